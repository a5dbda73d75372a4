"""CoreDNS as a process on the node, behind a service without selector: no image is needed for it.

It answers for the cluster's own names; every other name does not exist, said at once, as Pods reach nothing else.
"""

from __future__ import annotations

from typing import Any

from hack.cluster import api, room
from hack.cluster.kubeconfig import path_for
from hack.cluster.layout import DNS_SERVICE, DOMAIN, NODE, Layout
from hack.cluster.processes import Daemon

COREFILE = """\
{domain}:53 in-addr.arpa:53 ip6.arpa:53 {{
  bind {address}
  errors
  kubernetes {domain} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 5
  }}
}}
.:53 {{
  bind {address}
  errors
  health 127.0.0.1:8080
  ready 127.0.0.1:8181
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
SYSTEM = "/api/v1/namespaces/kube-system"
READ = {"verbs": ["list", "watch"]}


def start(layout: Layout) -> None:
    """Start CoreDNS with the rights to read services, and give it the cluster's DNS address."""
    _allow_reading(layout)
    file = layout.config / "Corefile"
    file.write_text(COREFILE.format(domain=DOMAIN, address=layout.node_address, kubeconfig=path_for(layout, "dns")))
    room.ensure(layout, Daemon("coredns", [layout.program("coredns"), "-conf", str(file)], [file]))
    api.apply(layout, f"{SYSTEM}/services/kube-dns", _service())
    slices = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns"
    api.apply(layout, slices, _endpoints(layout))


def _allow_reading(layout: Layout) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = "rbac.authorization.k8s.io"
    name = "system:coredns"
    core = {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], **READ}
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], **READ}
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [core, slices]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
    }
    api.apply(layout, f"{rbac}/clusterroles/{name}", role)
    api.apply(layout, f"{rbac}/clusterrolebindings/{name}", binding)


def _service() -> dict[str, Any]:
    ports = [{"name": f"dns-{kind}".lower(), "port": 53, "protocol": kind} for kind in ("UDP", "TCP")]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": DNS_SERVICE, "ports": ports},
    }


def _endpoints(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [layout.node_address], "conditions": {"ready": True}, "nodeName": NODE}],
        "ports": [{"name": f"dns-{kind}".lower(), "port": 53, "protocol": kind} for kind in ("UDP", "TCP")],
    }
