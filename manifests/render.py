"""Render the CRDs from the shapes of their objects, and the bases of this folder from the chart.

    python manifests/render.py [FOLDER]     where helm is on the PATH (`make manifests`)

So `kubectl apply -k` and helm install the same objects. The CRDs lie in the chart, which can take files from
nowhere else; manifests/crd points there. Tests render it all again.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from kubetuna.parsing.definition import definitions, katib_definitions

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "helm" / "kubetuna"
CRDS, KATIB_CRDS = CHART / "crds-source", CHART / "crds-katib"
NAMESPACE = "kubetuna"
Object = dict[str, Any]
HEADER = "# Rendered from helm/kubetuna by manifests/render.py; edit the chart and run `make manifests`.\n"
CRD_HEADER = (
    "# Rendered from core/kubetuna/parsing by manifests/render.py; edit the shape and run `make manifests`.\n"
)
# Made by helm's own means, which kustomize has none of: secret.yaml stands in for it.
SECRET = "kubetuna-database"
DEMO = ("--set", "postgres.enabled=true")
ADMISSION_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
RBAC_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def _component(name: str, *, but: tuple[str, ...] = ()) -> Callable[[Object], bool]:
    label = "app.kubernetes.io/component"
    return lambda o: o["metadata"].get("labels", {}).get(label) == name and o["kind"] not in but


def _kind(*kinds: str) -> Callable[[Object], bool]:
    return lambda o: o["kind"] in kinds


# Folder: the values, and which of the objects.
BASES: dict[str, tuple[tuple[str, ...], Callable[[Object], bool]]] = {
    "rbac/cluster": ((*DEMO, "--set", "watchAll=true"), _kind(*RBAC_KINDS)),
    "rbac/namespaced": (DEMO, _kind(*RBAC_KINDS)),
    "operator": ((*DEMO, "--set", "watchAll=true"), _component("operator", but=(*RBAC_KINDS, *ADMISSION_KINDS))),
    # Apart, because kustomize would give a namespace to these, which have none.
    "admission": (DEMO, _kind(*ADMISSION_KINDS)),
    "postgres": (DEMO, _component("postgres", but=("Secret",))),
    "dashboard": (DEMO, _component("dashboard")),
    "overlays/prod/disruption": (
        (*DEMO, "--set", "podDisruptionBudget.enabled=true"),
        _kind("PodDisruptionBudget"),
    ),
}


def main(target: Path = HERE) -> None:
    """Write every base below ``target``, and the CRDs where that is this folder."""
    for folder, (values, wanted) in BASES.items():
        chosen = [o for o in template(*values) if wanted(o)]
        path = target / folder / "objects.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + yaml.safe_dump_all(chosen, sort_keys=False, width=120))
    for folder, found in ((CRDS, definitions()), (KATIB_CRDS, katib_definitions())) if target == HERE else ():
        for name, text in crds(found).items():
            (folder / name).write_text(text)


def crds(found: tuple[Object, ...]) -> dict[str, str]:
    """The text of each CRD by the name of its file."""
    return {
        f"{one['spec']['names']['plural']}.yaml": CRD_HEADER + yaml.safe_dump(one, sort_keys=False, width=120)
        for one in found
    }


def template(*words: str) -> list[Object]:
    """What helm would install, without what is only helm's: its labels, its notes, its tests."""
    argv = ["helm", "template", NAMESPACE, str(CHART), "--namespace", NAMESPACE, *words]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    objects = [o for o in yaml.safe_load_all(text) if o]
    return [plain(o) for o in objects if "helm.sh/hook" not in (o["metadata"].get("annotations") or {})]


def plain(obj: Object) -> Object:
    """Take away what helm and the chart say of the one who installs."""
    for metadata in (obj["metadata"], obj.get("spec", {}).get("template", {}).get("metadata", {})):
        metadata.get("labels", {}).pop("app.kubernetes.io/managed-by", None)
        notes = metadata.get("annotations", {})
        for note in [name for name in notes if name.startswith("helm.sh/")]:
            del notes[note]
        if "annotations" in metadata and not notes:
            del metadata["annotations"]
    return obj


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
