"""What a TrainJob adds to the Pods of its runtime: by which they are found, the trial's variables and folders.

The Pods' template is the runtime's, an object of the cluster that nobody reads here. A TrainJob may patch it:
labels and annotations of each of its jobs, volumes, nodes. The trainer's variables stand in the TrainJob itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.kinds.template_kind import NODE
from kubetuna_operator import GROUP, LABEL_PRIMARY

MANAGER = f"{GROUP}/operator"
# Those that prepare it, each with what asks for it.
INITIALIZERS = {"dataset": "dataset-initializer", "model": "model-initializer"}


def with_patch(spec: Mapping[str, Any], body: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A TrainJob's spec with what its Pods get: ``body`` as far as it may be patched, and these labels."""
    container = body["containers"][0]
    pod = {name: body[name] for name in ("affinity",) if name in body}
    mounts, volumes = _apart(container.get("volumeMounts") or [], body.get("volumes") or [])
    pod |= {"volumes": volumes, "containers": [{"name": NODE, "volumeMounts": mounts}]} if mounts else {}
    primary = {**metadata, "labels": {**metadata["labels"], LABEL_PRIMARY: "true"}}
    wanted = spec.get("initializer") or {}
    jobs = [_job(name, metadata, {}) for asked, name in INITIALIZERS.items() if wanted.get(asked)]
    patch = {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [_job(NODE, primary, pod), *jobs]}}},
    }
    others = [one for one in spec.get("runtimePatches") or () if one.get("manager") != MANAGER]
    trainer = {**(spec.get("trainer") or {}), "env": container["env"]}
    return {**spec, "trainer": trainer, "runtimePatches": [*others, patch]}


def _apart(mounts: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The same with a volume for each mount: a patch names each volume once."""
    named = {volume["name"]: volume for volume in volumes}
    found = [(mount, named[mount["name"]], f"{mount['name']}-{i}") for i, mount in enumerate(mounts)]
    return [{**m, "name": name} for m, _, name in found], [{**v, "name": name} for _, v, name in found]


def _job(name: str, metadata: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    template = {"metadata": metadata, **({"spec": pod} if pod else {})}
    return {"name": name, "template": {"spec": {"template": template}}}
