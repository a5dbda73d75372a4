"""The programs of the cluster: Debian packages where Debian has them, Go programs built from pinned modules.

Versions stand in the go.mod beside each module and nowhere else. A build is kept in the cache under a key of
go.mod, go.sum and the build flags, so a changed pin builds again and nothing else does.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.commands import run, say
from hack.cluster.errors import ClusterError, Unsupported
from hack.cluster.layout import SOURCE, Layout

# Command that must exist: package that brings it.
PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "gcc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}


@dataclass(frozen=True, slots=True)
class Module:
    """A folder with a go.mod, the programs built from it, and how they are told their version."""

    folder: str
    pinned: str
    programs: dict[str, str]
    version_flags: str
    minutes: float

    @property
    def path(self) -> Path:
        return SOURCE / self.folder

    def version(self) -> str:
        match = re.search(rf"^(?:require)?\s*{re.escape(self.pinned)} (v\S+)", self._pins(), re.MULTILINE)
        if match is None:
            raise ClusterError(f"{self.path / 'go.mod'} does not pin {self.pinned}")
        return match[1]

    def _pins(self) -> str:
        return (self.path / "go.mod").read_text()

    def link_flags(self) -> str:
        major, minor = self.version().removeprefix("v").split(".")[:2]
        return "-s -w " + self.version_flags.format(version=self.version(), major=major, minor=minor)

    def key(self) -> str:
        text = self._pins() + (self.path / "go.sum").read_text() + self.link_flags()
        return hashlib.sha256(text.encode()).hexdigest()


KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl", "kube-proxy")
# Without these Kubernetes calls itself v0.0.0, and refuses to work with itself.
KUBERNETES_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in {
        "gitVersion": "{version}",
        "gitMajor": "{major}",
        "gitMinor": "{minor}",
        "gitTreeState": "clean",
    }.items()
)
MODULES = (
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES},
        KUBERNETES_FLAGS,
        10,
    ),
    Module(
        "helm",
        "helm.sh/helm/v4",
        {"helm": "helm.sh/helm/v4/cmd/helm"},
        "-X helm.sh/helm/v4/internal/version.version={version}",
        2.5,
    ),
    Module("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"}, "", 2.5),
    Module("kwok", "sigs.k8s.io/kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, "", 1.7),
)


def install(layout: Layout) -> None:
    """Bring every program that is missing, and link the ones that people use."""
    install_packages()
    for module in MODULES:
        build(layout, module)
    _link_commands(layout)


def install_packages() -> None:
    """Install the Debian packages whose commands are missing."""
    missing = sorted({package for command, package in PACKAGES.items() if not _exists(command)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Unsupported(f"these are missing and there is no apt-get: {' '.join(missing)}")
    say(f"installing the Debian packages {' '.join(missing)} (about a minute)")
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update", "-qq"], env=quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=quiet)


def _exists(command: str) -> bool:
    return bool(shutil.which(command)) or Path(command).exists()


def build(layout: Layout, module: Module) -> None:
    """Build a module's programs unless the cache holds them as they are pinned."""
    if _is_built(layout, module):
        return
    if not shutil.which("go"):
        raise Unsupported("go is not installed; it builds the cluster's programs (https://go.dev/dl)")
    names = ", ".join(module.programs)
    say(f"building {names} {module.version()} (about {module.minutes:g} minutes on two cores the first time)")
    layout.programs.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    argv = ["go", "build", "-trimpath", "-ldflags", module.link_flags(), "-o", f"{layout.programs}/"]
    run([*argv, *module.programs.values()], cwd=module.path, env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"})
    _key_file(layout, module).write_text(module.key())
    say(f"built {names} in {time.monotonic() - began:.0f} s")


def _is_built(layout: Layout, module: Module) -> bool:
    key = _key_file(layout, module)
    present = all((layout.programs / name).exists() for name in module.programs)
    return present and key.exists() and key.read_text() == module.key()


def _key_file(layout: Layout, module: Module) -> Path:
    return layout.programs / f".{module.folder}.key"


def _link_commands(layout: Layout) -> None:
    layout.commands.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "helm"):
        link = layout.commands / name
        link.unlink(missing_ok=True)
        link.symlink_to(layout.programs / name)
