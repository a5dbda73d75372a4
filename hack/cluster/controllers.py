"""Controllers of others' workloads: built from their modules as Kubernetes is, installed by their own manifests.

They make their own certificates and ask for webhooks, which the API server calls from the node. What the node sends
to a service's address would leave by the uplink and be refused there, so it is led to the Pods' bridge.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy2, copytree
from typing import Any

import yaml

from hack.cluster import base_image, images, ocitar, room
from hack.cluster.api import wait_until
from hack.cluster.binaries import Module, build
from hack.cluster.commands import run, say
from hack.cluster.containerd import BRIDGE
from hack.cluster.layout import SERVICE_SUBNET, Layout

WITHIN = 300.0
# What the training operator puts before the workers of a PyTorchJob. Its own has an image that is not here, and is
# refused where Pod Security is "restricted".
WAIT_FOR_MASTER = f"""
- name: init-pytorch
  image: {base_image.REFERENCE}
  imagePullPolicy: IfNotPresent
  securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
  command: [sh, -c, "until getent hosts {{{{.MasterAddr}}}}; do sleep 0.2; done"]
"""


@dataclass(frozen=True, slots=True)
class Controller:
    """One of them: its module, and the folder of its manifests and the Deployment in them.

    ``without`` is a line of what that folder asks for, which brings another controller and stands here already.
    ``flags`` are added to the Deployment's, ``files`` to its image.
    """

    name: str
    module: Module
    manifests: str
    namespace: str
    deployment: str
    without: str = ""
    flags: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The file that its module is built to."""
        return next(iter(self.module.programs))

    @property
    def image(self) -> str:
        """What it is called on the node."""
        return f"localhost/kubetuna/{self.name}:{self.tag}"

    @property
    def tag(self) -> str:
        """Its version, and of what other files are in its image: with others it is another one."""
        files = hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:8]
        return f"{self.module.version()}-{files}" if self.files else self.module.version()


CONTROLLERS = {
    "jobset": Controller(
        "jobset",
        Module("jobset", "sigs.k8s.io/jobset", {"jobset": "sigs.k8s.io/jobset"}, "", 5),
        "config/default",
        "jobset-system",
        "jobset-controller-manager",
    ),
    "trainer": Controller(
        "trainer",
        Module(
            "trainer",
            "github.com/kubeflow/trainer/v2",
            {"trainer-controller-manager": "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager"},
            "",
            5,
        ),
        "manifests/overlays/manager",
        "kubeflow-system",
        "kubeflow-trainer-controller-manager",
        "../../third-party/jobset",
    ),
    "kueue": Controller(
        "kueue",
        Module("kueue", "sigs.k8s.io/kueue", {"kueue": "sigs.k8s.io/kueue/cmd/kueue"}, "", 4),
        "config/default",
        "kueue-system",
        "kueue-controller-manager",
    ),
    "training-operator": Controller(
        "training-operator",
        Module(
            "training-operator",
            "github.com/kubeflow/training-operator",
            {"training-operator.v1": "github.com/kubeflow/training-operator/cmd/training-operator.v1"},
            "",
            2,
        ),
        "manifests/overlays/standalone",
        "kubeflow",
        "training-operator",
        flags=(f"--mpi-kubectl-delivery-image={base_image.REFERENCE}",),
        files={"etc/config/initContainer.yaml": WAIT_FOR_MASTER},
    ),
}


def install(layout: Layout, controller: Controller) -> None:
    """Build it where the cache lacks it, apply its manifests, and return when it answers."""
    images.load_image(layout, prepare(layout, controller))
    say(f"installing {controller.name} {controller.module.version()}")
    _kubectl(layout, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests(layout, controller))
    wait_until(f"{controller.name} is ready", WITHIN, lambda: _is_ready(layout, controller))
    # The bridge is there from the first Pod on.
    room.run_inside(layout, ["ip", "route", "replace", SERVICE_SUBNET, "dev", BRIDGE])


def prepare(layout: Layout, controller: Controller) -> Path:
    """Its image, built where the cache lacks it: the program and nothing else. That takes minutes."""
    build(layout, controller.module)
    target = layout.images / f"{controller.name}-{controller.tag}.tar"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=layout.cache) as folder:
            copy2(layout.program(controller.program), Path(folder, "manager"))
            for name, text in controller.files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True)
                path.write_text(text)
            config = {"Entrypoint": ["/manager"], "User": "65532:65532"}
            ocitar.pack(Path(folder), controller.image, config, target)
    return target


def manifests(layout: Layout, controller: Controller) -> str:
    """Its own, with the image that is on the node."""
    where = run(["go", "list", "-m", "-f", "{{.Dir}}", controller.module.pinned], cwd=controller.module.path)
    with tempfile.TemporaryDirectory() as folder:
        top, *below = Path(controller.manifests).parts
        made = Path(copytree(Path(where.strip(), top), Path(folder, top)), *below)
        _leave_out(made / "kustomization.yaml", controller.without)
        found = run([layout.program("kubectl"), "kustomize", str(made)])
    return yaml.safe_dump_all(_with_image(yaml.safe_load_all(found), controller))


def _leave_out(kustomization: Path, resource: str) -> None:
    """A module's files may not be written to, and neither may their copies."""
    if resource:
        asked = yaml.safe_load(kustomization.read_text())
        asked["resources"].remove(resource)
        kustomization.chmod(0o644)
        kustomization.write_text(yaml.safe_dump(asked))


def _with_image(objects: Iterator[dict[str, Any]], controller: Controller) -> Iterator[dict[str, Any]]:
    for one in objects:
        if one["kind"] == "Deployment":
            for container in one["spec"]["template"]["spec"]["containers"]:
                container |= {"image": controller.image, "imagePullPolicy": "IfNotPresent"}
                container["args"] = [*container.get("args", ()), *controller.flags]
        yield one


def _is_ready(layout: Layout, controller: Controller) -> bool:
    path = f"deployment/{controller.deployment}"
    return _kubectl(layout, "get", "-n", controller.namespace, path, "-o", "jsonpath={.status.readyReplicas}") > "0"


def _kubectl(layout: Layout, *words: str, stdin: str = "") -> str:
    return run([layout.program("kubectl"), "--kubeconfig", str(layout.kubeconfig), *words], stdin=stdin)
