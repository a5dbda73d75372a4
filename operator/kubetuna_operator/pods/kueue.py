"""What Kueue writes on the objects that it holds: a gate on a Pod, ``suspend`` in what makes Pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubetuna.experiment.model import QUEUE_LABEL
from kubetuna_operator.kube.objects import mapping, mappings

GATE = "kueue.x-k8s.io/admission"


def is_gated(pod: Mapping[str, Any]) -> bool:
    """Whether a Pod waits to be admitted."""
    gates = mappings(mapping(pod.get("spec")).get("schedulingGates"))
    return any(gate.get("name") == GATE for gate in gates)


def is_suspended(workload: Mapping[str, Any]) -> bool:
    """Whether an object that makes Pods waits to be admitted, or to be admitted again."""
    spec = mapping(workload.get("spec"))
    # Kubeflow's jobs have it among the policies of their run.
    suspended = spec.get("suspend") is True or mapping(spec.get("runPolicy")).get("suspend") is True
    return suspended and QUEUE_LABEL in mapping(mapping(workload.get("metadata")).get("labels"))
