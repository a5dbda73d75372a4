"""The kubelet and kube-proxy.

kube-proxy works in nftables mode: in iptables mode new services stalled for up to 20 s. It must not touch the
limits of connection tracking, which belong to the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hack.cluster import api, pki, processes, room
from hack.cluster.kubeconfig import path_for
from hack.cluster.layout import DNS_SERVICE, DOMAIN, NODE, POD_SUBNET, Layout
from hack.cluster.processes import Daemon

READY_WITHIN = 90.0
NODE_PATH = f"/api/v1/nodes/{NODE}"


def start(layout: Layout) -> bool:
    """Start both daemons; return whether the kubelet is a new one, which forgets what was added to its node."""
    _write_resolver(layout)
    started = room.ensure(layout, _kubelet(layout))
    room.ensure(layout, _proxy(layout))
    return started


def wait_ready(layout: Layout) -> None:
    api.wait_until(
        "the node is Ready",
        READY_WITHIN,
        lambda: is_ready(layout),
        lambda: processes.require_alive(layout, "kubelet"),
    )


def is_ready(layout: Layout) -> bool:
    conditions = api.call(layout, "GET", NODE_PATH)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _kubelet(layout: Layout) -> Daemon:
    file = _write(layout, "kubelet", _kubelet_settings(layout))
    flags = [
        f"--config={file}",
        f"--kubeconfig={path_for(layout, 'kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={layout.node_address}",
    ]
    return Daemon("kubelet", [layout.program("kubelet"), *flags], [file])


def _kubelet_settings(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node_address,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "resolvConf": str(_resolver(layout)),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": DOMAIN,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        # The machine's disk is not the cluster's to judge: without limits no Pod is evicted when it is rather full.
        "evictionHard": {},
        # Without a registry an image that is collected as garbage never comes back.
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "readOnlyPort": 0,
        **_kubelet_credentials(layout),
    }


def _kubelet_credentials(layout: Layout) -> dict[str, Any]:
    return {
        "tlsCertFile": pki.certificate(layout, "kubelet"),
        "tlsPrivateKeyFile": pki.private_key(layout, "kubelet"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": pki.certificate(layout, "ca")},
        },
        "authorization": {"mode": "Webhook"},
    }


def _proxy(layout: Layout) -> Daemon:
    file = _write(layout, "kube-proxy", _proxy_settings(layout))
    flags = [f"--config={file}", f"--hostname-override={NODE}"]
    return Daemon("kube-proxy", [layout.program("kube-proxy"), *flags], [file])


def _proxy_settings(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_SUBNET,
        "clientConnection": {"kubeconfig": str(path_for(layout, "proxy"))},
        "conntrack": {"maxPerCore": 0, "min": 0},
        # Default a second: new services are usable sooner, and there are few of them.
        "nftables": {"minSyncPeriod": "100ms"},
    }


def _write(layout: Layout, name: str, settings: dict[str, Any]) -> Path:
    file = layout.config / f"{name}.yaml"
    text = yaml.safe_dump(settings, sort_keys=False)
    # kube-proxy ends when its file is written, be it with what stood there before.
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
    return file


def _resolver(layout: Layout) -> Path:
    return layout.config / "resolv.conf"


def _write_resolver(layout: Layout) -> None:
    """What Pods that ask for the node's DNS get; the machine's own server is out of their reach."""
    _resolver(layout).write_text(f"nameserver {layout.node_address}\n")
