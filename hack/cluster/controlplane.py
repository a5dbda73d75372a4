"""etcd, the API server, the controller manager and the scheduler.

Speed before durability: etcd does not sync to disk (the cluster is thrown away) and nobody elects a leader.
"""

from __future__ import annotations

from hack.cluster import api, pki, processes, room
from hack.cluster.kubeconfig import path_for
from hack.cluster.layout import API_PORT, DOMAIN, SERVICE_SUBNET, Layout
from hack.cluster.processes import Daemon

ETCD_URL = "http://127.0.0.1:2379"
READY_WITHIN = 90.0
DAEMONS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def start(layout: Layout) -> None:
    """Start the four daemons and return when the API server says that it is ready."""
    started = room.ensure(layout, _etcd(layout))
    if started:
        processes.stop(layout, "kube-apiserver")
    room.ensure(layout, _apiserver(layout))
    wait_ready(layout)
    keep_controllers(layout)


def keep_controllers(layout: Layout) -> None:
    """Start the controller manager and the scheduler where they have ended, as a kubelet does with its static Pods.

    The scheduler ends itself where what it remembers of a Pod is not what the API server says.
    """
    room.ensure(layout, _controller_manager(layout))
    room.ensure(layout, _scheduler(layout))


def wait_ready(layout: Layout) -> None:
    def guard() -> None:
        processes.require_alive(layout, "etcd")
        processes.require_alive(layout, "kube-apiserver")

    api.wait_until(
        "the API server is ready", READY_WITHIN, lambda: bool(api.call(layout, "GET", "/readyz") == "ok"), guard
    )


def _flags(values: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _etcd(layout: Layout) -> Daemon:
    values = {
        "name": "kubetuna",
        "data-dir": str(layout.state / "etcd"),
        "listen-client-urls": ETCD_URL,
        "advertise-client-urls": ETCD_URL,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "initial-cluster": "kubetuna=http://127.0.0.1:2380",
        "logger": "zap",
    }
    return Daemon("etcd", ["etcd", *_flags(values), "--unsafe-no-fsync"])


def _apiserver(layout: Layout) -> Daemon:
    values = {
        "advertise-address": layout.node_address,
        "secure-port": str(API_PORT),
        "etcd-servers": ETCD_URL,
        "service-cluster-ip-range": SERVICE_SUBNET,
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
        "kubelet-preferred-address-types": "InternalIP",
        **_apiserver_credentials(layout),
    }
    return Daemon("kube-apiserver", [layout.program("kube-apiserver"), *_flags(values)], [pki.token_file(layout)])


def _apiserver_credentials(layout: Layout) -> dict[str, str]:
    authority = pki.certificate(layout, "ca")
    return {
        "client-ca-file": authority,
        "tls-cert-file": pki.certificate(layout, "apiserver"),
        "tls-private-key-file": pki.private_key(layout, "apiserver"),
        "kubelet-certificate-authority": authority,
        "kubelet-client-certificate": pki.certificate(layout, "apiserver-kubelet"),
        "kubelet-client-key": pki.private_key(layout, "apiserver-kubelet"),
        "token-auth-file": str(pki.token_file(layout)),
        "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
        "service-account-key-file": str(layout.pki / "service-accounts.pub"),
        "service-account-signing-key-file": pki.private_key(layout, "service-accounts"),
    }


def _controller_manager(layout: Layout) -> Daemon:
    values = {
        "kubeconfig": str(path_for(layout, "controller-manager")),
        "service-account-private-key-file": pki.private_key(layout, "service-accounts"),
        "root-ca-file": pki.certificate(layout, "ca"),
        "use-service-account-credentials": "true",
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }
    return Daemon("kube-controller-manager", [layout.program("kube-controller-manager"), *_flags(values)])


def _scheduler(layout: Layout) -> Daemon:
    values = {
        "kubeconfig": str(path_for(layout, "scheduler")),
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }
    return Daemon("kube-scheduler", [layout.program("kube-scheduler"), *_flags(values)])
