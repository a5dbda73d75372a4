"""What a template holds that a process of this machine does not have: said before anything starts.

A Pod has an image, volumes and neighbours. Here only the primary container's command runs, and a trial that misses
the rest would fail, or find other data, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import gpus, pod_spec, pods_per_trial, primary_of
from kubetuna.experiment.units import count
from kubetuna.local.slots import machine_cores, machine_devices, slots_of

SHOWN = 5


def differences(spec: Experiment) -> tuple[str, ...]:
    """A sentence each; none of what a template leaves out."""
    trial, primary = spec.template.trial_spec, primary_of(spec.template.trial_spec, spec.template.primary_container)
    pod = pod_spec(trial, spec.template.primary_container)
    return (*_of_container(primary), *_of_pod(pod, primary), *_of_others(spec), *_of_gpus(spec), *_of_queues(spec))


def _of_gpus(spec: Experiment) -> Iterator[str]:
    """GPUs that would stand idle."""
    devices = machine_devices()
    room = slots_of(spec, machine_cores(), devices).count if 0 < gpus(spec) <= len(devices) else 0
    if room > spec.parallel:
        yield (
            f"this machine's {count(len(devices), 'GPU')} have room for {count(room, 'trial')} at a time; "
            f"parallelTrialCount allows {spec.parallel}"
        )


def _of_queues(spec: Experiment) -> Iterator[str]:
    if spec.parallel_min is not None and spec.queue is not None:
        yield f"there is no queue here: parallelTrialCount is its max, {spec.parallel}"


def _of_container(container: Mapping[str, Any]) -> Iterator[str]:
    if image := container.get("image"):
        yield f"image {image} is not used here: trials run with the programs of this machine"
    if not container.get("command"):
        has = "args are run as if they were the command" if container.get("args") else "there is nothing to run"
        yield f"the image's own entrypoint is not known here, so {has}; write the container's command"
    if given := [str(e.get("name")) for e in container.get("env") or () if "valueFrom" in e]:
        yield f"valueFrom has no meaning here: your own environment gives {_listed(given)}, or nothing does"
    if container.get("envFrom"):
        yield "envFrom has no meaning here: its variables are what your own environment gives them"
    folder = container.get("workingDir")
    if folder and not Path(folder).is_dir():
        yield f"workingDir {folder} does not exist here: trials run in the folder where the study began"
    if container.get("lifecycle"):
        yield "lifecycle hooks are not run here"


def _of_others(spec: Experiment) -> Iterator[str]:
    if (pods := pods_per_trial(spec)) > 1:
        yield f"only the primary Pod's command is run here, without the other {count(pods - 1, 'Pod')} of a trial"


def _of_pod(pod: Mapping[str, Any], primary: Mapping[str, Any]) -> Iterator[str]:
    if first := _names(pod.get("initContainers")):
        yield f"init containers are not run here: {_listed(first)}"
    others = [c for c in pod.get("containers") or () if c is not primary]
    if others:
        yield f"only container {primary.get('name')} is run here, without {_listed(_names(others))}"
    mounts = primary.get("volumeMounts") or ()
    if mounts or pod.get("volumes"):
        paths = [str(mount.get("mountPath")) for mount in mounts]
        where = f"; {_listed(paths)} must exist on this machine" if paths else ""
        yield f"volumes are not mounted here: {_listed(_names(pod.get('volumes') or mounts))}{where}"


def _names(items: Any) -> list[str]:
    return [str(item.get("name")) for item in items or () if isinstance(item, Mapping)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
