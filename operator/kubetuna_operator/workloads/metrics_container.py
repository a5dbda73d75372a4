"""The container that prints what a trial writes into files: its log is read in place of the trial's.

A native sidecar: it starts before the trial, and is told to leave once that has ended. It has the trial's image and
user, a volume with the trial's files to read, and nothing else. Its program is ``kubetuna.metrics.following``,
handed over as text, so the image needs a Python and nothing of ours.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.metrics import following
from kubetuna_operator import METRICS_CONTAINER

VOLUME = "kubetuna-metrics"
PROGRAM = Path(following.__file__).read_text()
# What a Python that follows a file needs; as limits too, so that the Pod keeps the class of its trial.
RESOURCES = {"cpu": "100m", "memory": "64Mi"}
# Who the trial is reads what it writes.
IDENTITY = ("runAsUser", "runAsGroup", "runAsNonRoot")


def add_metrics_container(body: dict[str, Any], trial: dict[str, Any], spec: Experiment) -> None:
    """Put it into a Pod's spec, before the container of the trial, where the experiment's metrics are in files."""
    collector = spec.collector
    if not collector.folder:
        return
    mount = _mounted(trial, collector.folder)
    if mount is None:
        mount = {"name": VOLUME, "mountPath": collector.folder}
        trial["volumeMounts"] = [*(trial.get("volumeMounts") or []), mount]
        body["volumes"] = [*(body.get("volumes") or []), {"name": VOLUME, "emptyDir": {}}]
    what = ("file", collector.path) if collector.kind == "File" else ("events", collector.path, *spec.metric_names)
    identity = {name: value for name in IDENTITY if (value := trial["securityContext"].get(name)) is not None}
    container = {
        "name": METRICS_CONTAINER,
        "image": trial.get("image"),
        "imagePullPolicy": trial["imagePullPolicy"],
        "restartPolicy": "Always",
        "command": ["python3", "-I", "-S", "-c", PROGRAM, *(word.replace("$", "$$") for word in what)],
        "resources": {"requests": RESOURCES, "limits": RESOURCES},
        "securityContext": {
            **identity,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{**mount, "readOnly": True}],
        **({"env": trial["env"]} if "subPathExpr" in mount else {}),
    }
    body["initContainers"] = [*(body.get("initContainers") or []), container]


def _mounted(trial: Mapping[str, Any], folder: str) -> dict[str, Any] | None:
    """The mount in which a folder of the trial's container lies, if it lies in any: the nearest."""
    found = [m for m in trial.get("volumeMounts") or [] if _holds(str(m.get("mountPath")), folder)]
    return dict(max(found, key=lambda m: len(posixpath.normpath(m["mountPath"])))) if found else None


def _holds(outer: str, folder: str) -> bool:
    outer = posixpath.normpath(outer)
    return outer != "/" and (folder == outer or folder.startswith(f"{outer}/"))
