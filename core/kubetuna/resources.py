"""What a trial costs per second: the template's extended resource times its count, or one slot.

Any resource with a domain in its name (``nvidia.com/gpu``, ``nvidia.com/mig-1g.10gb``) is an extended one;
its name is never fixed in code, since clusters choose their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubetuna.spec.model import Experiment

_GPU = re.compile(r"/(.*gpu|mig-)", re.IGNORECASE)


def pod_spec(trial_spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Pod's spec inside a Pod or Job template."""
    spec: Mapping[str, Any] = trial_spec.get("spec") or {}
    template = spec.get("template")
    return (template.get("spec") or {}) if isinstance(template, Mapping) else spec


def extended_resources(spec: Experiment) -> dict[str, int]:
    """How many of each extended resource all containers of a trial ask for."""
    found: dict[str, int] = {}
    for container in pod_spec(spec.template.trial_spec).get("containers") or []:
        resources = container.get("resources") or {}
        asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        for name, count in asked.items():
            if "/" in name and str(count).isdigit():
                found[name] = found.get(name, 0) + int(count)
    return found


def resource_units(spec: Experiment) -> float:
    """Units a running attempt spends each second; 1.0 (a slot) where no extended resource is asked for."""
    return float(sum(extended_resources(spec).values())) or 1.0


def resource_unit(spec: Experiment) -> str:
    """``gpu`` where an extended resource is asked for, else ``slot``."""
    return "gpu" if extended_resources(spec) else "slot"


def gpus(spec: Experiment) -> int:
    """How many GPUs, or slices of one, a trial asks for, by whatever name a cluster gives them."""
    return sum(count for name, count in extended_resources(spec).items() if _GPU.search(name))


def primary_image(spec: Experiment) -> str:
    """The image of the container that trains; empty where none is named."""
    containers = pod_spec(spec.template.trial_spec).get("containers") or []
    named = (c.get("image") for c in containers if c.get("name") in (spec.template.primary_container, None))
    return str(next(named, None) or "")
