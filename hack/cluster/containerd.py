"""The container runtime, the Pod network that it sets up, and the pause image that holds each Pod open.

`restrict_oom_score_adj` because a container may lack the right to lower scores; own pause image because there is
no registry to pull one from: a small static C program packed as an image.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hack.cluster import api, images, ocitar, processes, room
from hack.cluster.commands import run
from hack.cluster.layout import POD_SUBNET, SOURCE, Layout
from hack.cluster.processes import Daemon

PAUSE = "localhost/kubetuna/pause:1"
CNI_PROGRAMS = "/usr/lib/cni"
BRIDGE = "pods"
CONFIG = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{cni_config}"
"""


def start(layout: Layout) -> None:
    """Start containerd and load the pause image."""
    daemon = _write_config(layout)
    _write_network(layout)
    room.ensure(layout, daemon)
    api.wait_until("containerd answers", 30, lambda: images.loaded(layout) is not None, lambda: _guard(layout))
    images.load_image(layout, _pause_image(layout))


def _guard(layout: Layout) -> None:
    processes.require_alive(layout, "containerd")


def _write_config(layout: Layout) -> Daemon:
    file = layout.config / "containerd.toml"
    cni_config = layout.config / "cni"
    cni_config.mkdir(parents=True, exist_ok=True)
    file.write_text(CONFIG.format(pause=PAUSE, cni_programs=CNI_PROGRAMS, cni_config=cni_config))
    return Daemon("containerd", ["containerd", "--config", str(file)], [file])


def _write_network(layout: Layout) -> None:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_SUBNET}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    document = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}
    (layout.config / "cni" / "10-pods.conflist").write_text(json.dumps(document, indent=1))


def _pause_image(layout: Layout) -> Path:
    target = layout.images / "pause-1.tar"
    if not target.exists():
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "pause"
            run(["gcc", "-static", "-Os", "-s", "-o", str(program), str(SOURCE / "pause" / "pause.c")])
            ocitar.pack(Path(folder), PAUSE, {"Entrypoint": ["/pause"], "User": "65535:65535"}, target)
    return target
