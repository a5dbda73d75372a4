"""Pods that run by themselves: a scheduler and nodes on which every container does what its program says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.apiserver.cluster import Cluster
from tests.apiserver.kubelet import is_new, name_of
from tests.apiserver.resources import Object


@dataclass(frozen=True, slots=True)
class Program:
    """What a Pod does: it prints lines, then leaves with ``code``, or where that is None works on for ever."""

    lines: tuple[str, ...] = ()
    code: int | None = 0


class Nodes:
    """Runs the Pods of a cluster. ``program`` says of a Pod what it does; None: it finds no node."""

    def __init__(self, cluster: Cluster, program: Callable[[Object], Program | None]) -> None:
        self._cluster, self._program = cluster, program

    def drive(self) -> None:
        """Schedule and start what is new; what was started before prints its lines and ends."""
        kubelet = self._cluster.kubelet
        with self._cluster.server.changed:
            for pod in kubelet.pods():
                program = self._program(pod)
                if program is None or pod["status"]["phase"] not in ("Pending", "Running"):
                    continue
                if is_new(pod):
                    kubelet.schedule(name_of(pod))
                    kubelet.start(name_of(pod))
                    kubelet.print(name_of(pod), *program.lines)
                elif program.code is not None:
                    kubelet.exit(name_of(pod), program.code)


def params_of(pod: Object) -> dict[str, Any]:
    """The parameters that a trial's Pod was given."""
    environment = {e["name"]: e.get("value", "") for c in pod["spec"]["containers"] for e in c.get("env") or []}
    found: dict[str, Any] = json.loads(environment["KUBETUNA_PARAMS"])
    return found
