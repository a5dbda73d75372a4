"""How many attempts this machine can run at once, and what each of them gets.

GPUs go out by index, as many per trial as the template asks; without any, the CPU's cores are the slots, and
each attempt is told how many threads are its share, since numerical libraries otherwise take every core.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import gpus, pod_spec

THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Slots:
    """What the machine has for an experiment. ``devices`` are the GPUs, ``each`` how many a trial gets."""

    devices: tuple[str, ...]
    each: int
    count: int
    threads: int

    def free(self, taken: Iterable[str]) -> tuple[str, ...]:
        """The devices for one more attempt."""
        used = set(taken)
        return tuple(d for d in self.devices if d not in used)[: self.each]

    def environment(self, given: tuple[str, ...], asked: Mapping[str, str]) -> dict[str, str]:
        """The variables that keep an attempt to its share; what the template sets itself wins."""
        share = {name: str(self.threads) for name in THREADS if name not in asked}
        if self.devices:
            share["CUDA_VISIBLE_DEVICES"] = ",".join(given)
        return share


def slots_of(spec: Experiment, cores: int, devices: tuple[str, ...]) -> Slots:
    """The slots of a machine with so many ``cores`` and these GPUs.

    Raises:
        KubetunaError: it has GPUs, and fewer than one trial asks for.
    """
    each = gpus(spec)
    if devices and each > len(devices):
        raise KubetunaError(
            f"spec.trialTemplate: a trial asks for {each} GPUs and this machine has {len(devices)}; ask for fewer"
        )
    if devices and each:
        count = len(devices) // each
    else:
        each, count = 0, max(1, int(cores / _cores_asked(spec)))
    threads = max(1, cores // max(1, min(count, spec.parallel)))
    return Slots(devices, each, count, threads)


def _cores_asked(spec: Experiment) -> float:
    """The CPU that the containers request; 1 where they do not say."""
    total = 0.0
    for container in pod_spec(spec.template.trial_spec, spec.template.primary_container).get("containers") or []:
        total += _cores((container.get("resources") or {}).get("requests") or {})
    return total or 1.0


def _cores(requests: Mapping[str, Any]) -> float:
    text = str(requests.get("cpu", ""))
    try:
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text or 0)
    except ValueError:
        return 0.0


def machine_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_devices() -> tuple[str, ...]:
    """The GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(d.strip() for d in visible.split(",") if d.strip() and d.strip() != "-1")
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        told = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = [line for line in told.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(index) for index in range(len(gpus)))
