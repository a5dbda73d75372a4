"""Jobs that make the Pods of attempts, where the template is one: what stands between an order and its Pod.

Everything else is read from and done to the Pod, for a Job's own deadline would delete it with its log. A Job says
nowhere but in Events why it cannot make its Pod, so the API server is asked what it would say to such a Pod.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest, ExitFacts
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.kube.objects import Owner, mapping, mappings
from kubetuna_operator.workloads.manifest import attempt_manifest

ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A Job whose Pod has not been seen: since when, when we last asked why, and what we were told."""

    request: AttemptRequest
    since: float
    asked: float
    why: str = ""
    final: bool = False
    recalled: float | None = None


class Jobs:
    """The Jobs of one Experiment that have no Pod yet."""

    def __init__(self, context: OperatorContext, spec: Experiment, owner: Owner) -> None:
        self._api, self._clock, self._spec, self._owner = context.api, context.clock, spec, owner
        self.path = collection("jobs", owner.namespace)
        self._awaited: dict[AttemptKey, _Awaited] = {}

    def expect(self, request: AttemptRequest) -> None:
        """Its Job is there; its Pod will come."""
        now = self._clock.now()
        self._awaited.setdefault(request.key, _Awaited(request, now, now))

    def awaited(self, seen: Container[AttemptKey], now: float) -> dict[AttemptKey, AttemptFacts]:
        """Attempts whose Pod is not among those ``seen``."""
        for key in [key for key in self._awaited if key in seen]:
            del self._awaited[key]
        for key, wait in list(self._awaited.items()):
            if now > wait.asked + ASK_SECONDS:
                self._awaited[key] = self._ask(wait, now)
        return {key: self._facts(wait, now) for key, wait in self._awaited.items()}

    def _facts(self, wait: _Awaited, now: float) -> AttemptFacts:
        if wait.final and now > wait.since + self._spec.start_timeout:
            end = ExitFacts(reason="StartError", message=wait.why)
            return AttemptFacts(wait.request.key, "ended", wait.since, exit=end, waiting=wait.why)
        return AttemptFacts(wait.request.key, "pending", wait.since, waiting=wait.why or None)

    def _ask(self, wait: _Awaited, now: float) -> _Awaited:
        job = attempt_manifest(self._spec, self._owner, wait.request)
        pod = {"apiVersion": "v1", "kind": "Pod", **job["spec"]["template"]}
        pod["metadata"] = {**pod["metadata"], "name": wait.request.name}
        try:
            self._api.create(collection("pods", self._owner.namespace), pod, low_priority=True, dryRun="All")
        except Refused as error:
            passing = error.code == 409 or (error.code == 403 and "quota" in error.message)
            return replace(wait, asked=now, why=error.message[:300], final=not passing)
        except Unreachable:
            # Says nothing of the Pod: it is asked for again.
            pass
        return replace(wait, asked=now, why="", final=False)

    def reasons(self) -> list[str]:
        """Why Pods do not come, as far as it is known."""
        return [wait.why for wait in self._awaited.values()]

    def recall(self, key: AttemptKey) -> None:
        """Delete a Job whose Pod has not come. It is awaited until the API server has taken that."""
        wait, now = self._awaited.get(key), self._clock.now()
        if wait is None or (wait.recalled is not None and now < wait.recalled + ASK_SECONDS):
            return
        self._awaited[key] = replace(wait, recalled=now)
        path = f"{self.path}/{wait.request.name}"
        self._api.delete(path, low_priority=True, propagationPolicy="Background")
        del self._awaited[key]

    def remove(self, name: str, uid: str) -> None:
        """Delete a Job, and with it its Pod."""
        self._api.delete(f"{self.path}/{name}", uid=uid, low_priority=True, propagationPolicy="Background")

    @staticmethod
    def is_over(job: Mapping[str, Any]) -> bool:
        """Whether it has ended, so that no Pod will come any more."""
        conditions = mappings(mapping(job.get("status")).get("conditions"))
        return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)
