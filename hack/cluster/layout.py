"""Where everything lies and what it is called: paths, names and addresses, all derived from the state folder.

Two clusters in two folders get different names, subnets and cgroups, so that they can stand side by side.
The folder of the state is thrown away by `down`; the cache (programs, images) is kept and shared.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
PROJECT = SOURCE.parents[1]
NODE = "kubetuna"
SERVICE_SUBNET = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
DOMAIN = "cluster.local"
# A /22 holds the 250 Pods that the kubelet may run, and their predecessors whose addresses are not yet given back.
POD_SUBNET = "10.244.0.0/22"
API_PORT = 6443


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths, names and addresses of one cluster."""

    state: Path
    cache: Path

    @property
    def key(self) -> str:
        """Tell this cluster from others on the machine; short, because device names hold 15 characters."""
        return hashlib.sha256(str(self.state).encode()).hexdigest()[:6]

    @property
    def name(self) -> str:
        return f"kubetuna-{self.key}"

    @property
    def veth(self) -> str:
        return f"kt{self.key}"

    @property
    def subnet_index(self) -> int:
        """One of the 16384 networks of four addresses in 10.213.0.0/16."""
        return int(self.key, 16) % 16384

    @property
    def outside_address(self) -> str:
        return self._address(1)

    @property
    def node_address(self) -> str:
        return self._address(2)

    def _address(self, host: int) -> str:
        number = self.subnet_index * 4 + host
        return f"10.213.{number // 256}.{number % 256}"

    @property
    def api_url(self) -> str:
        return f"https://{self.node_address}:{API_PORT}"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def commands(self) -> Path:
        """The folder with links to kubectl and helm, for a person's PATH."""
        return self.state / "bin"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

    @property
    def node(self) -> Path:
        """What the node sees as /var/lib/kubelet, /run/containerd and so on."""
        return self.state / "node"

    @property
    def programs(self) -> Path:
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def lock(self) -> Path:
        """Outside the state, because `down` removes that while it holds the lock."""
        return self.cache / f"{self.name}.lock"

    def program(self, name: str) -> str:
        return str(self.programs / name)


def find_layout() -> Layout:
    """Take the folders from KUBETUNA_CLUSTER_DIR and KUBETUNA_CLUSTER_CACHE, or the usual ones."""
    state = os.environ.get("KUBETUNA_CLUSTER_DIR") or PROJECT / ".cluster"
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = os.environ.get("KUBETUNA_CLUSTER_CACHE") or Path(cache_home) / "kubetuna-cluster"
    return Layout(Path(state).absolute(), Path(cache).absolute())
