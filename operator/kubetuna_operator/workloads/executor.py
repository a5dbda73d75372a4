"""Pods as a place where attempts run: the core's ``Executor`` over the API server and the image of its Pods.

A launch that the API server does not take is kept as a pending attempt with the reason, and tried again, so that a
full quota or an absent server is waited for and a template that is refused shows as such.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest, ExitFacts
from kubetuna_operator import ANNOTATION_PARAMS, LABEL_TOLD
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.kube.objects import mapping, mappings, text
from kubetuna_operator.pods.status import STOP_DEADLINE, PodView, facts
from kubetuna_operator.telemetry import OUTCOMES
from kubetuna_operator.workloads.job import Jobs
from kubetuna_operator.workloads.manifest import attempt_manifest

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
FAILED_KEPT = 3


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A launch that did not come about: since when, why, and whether only another template would help."""

    request: AttemptRequest
    since: float
    tried: float
    why: str
    final: bool


class PodExecutor:
    """The Pods of one Experiment. ``changed`` is set whenever one of them does."""

    def __init__(self, context: OperatorContext, spec: Experiment, ref: ExperimentRef) -> None:
        self._api, self._pods, self._clock = context.api, context.pods, context.clock
        self._background = context.deferred
        self._spec, self._about, self._owner, self._lost_after = spec, ref, ref.owner, context.lost_after
        self._path = self._objects = collection("pods", self._owner.namespace)
        self._jobs: Jobs | None = None
        if spec.template.kind == "Job":
            self._jobs = Jobs(context, spec, self._owner)
            self._objects = self._jobs.path
        self._refused: dict[AttemptKey, _Refusal] = {}
        self._told: set[str] = set()
        # When the stop of a Pod was last sent; whether it is done is seen on the Pod.
        self._sent: dict[str, float] = {}
        self._failed: list[PodView] = []
        self.changed = self._pods.changes(self._owner.uid)

    def launch(self, request: AttemptRequest) -> None:
        """Create the Pod; one that exists already is ours only with our UID and these parameters."""
        failpoint("launching")
        try:
            made = self._api.create(self._objects, attempt_manifest(self._spec, self._owner, request))
        except Refused as error:
            if error.code == 409 and error.reason == "AlreadyExists":
                self._adopt(request)
                return
            self._refuse(request, error.message, final=not _passing(error))
        except Unreachable as error:
            self._refuse(request, str(error), final=False)
        else:
            self._accept(request, made)
            log.info("attempt started", extra=self._about.attempt(request.key))
        failpoint("launched")

    def _accept(self, request: AttemptRequest, made: Mapping[str, Any]) -> None:
        self._refused.pop(request.key, None)
        if self._jobs is None:
            self._pods.learn(made)
        else:
            self._jobs.expect(request)

    def _adopt(self, request: AttemptRequest) -> None:
        try:
            found = self._api.get(f"{self._objects}/{request.name}")
        except (Refused, Unreachable) as error:
            self._refuse(request, str(error), final=False)
            return
        if not self._is_ours(found, request):
            self._refuse(
                request, f"{self._spec.template.kind} {request.name!r} is there and is not ours", final=False
            )
        elif self._jobs is not None and self._jobs.is_over(found) and request.key not in self._own():
            self._jobs.remove(request.name, text(mapping(found.get("metadata")).get("uid")))
            self._refuse(request, "its Job ended without a Pod, and is made again", final=False)
        else:
            self._accept(request, found)

    def _is_ours(self, found: Mapping[str, Any], request: AttemptRequest) -> bool:
        """A name alone says nothing: a recreated Experiment never adopts a stranger's."""
        metadata = mapping(found.get("metadata"))
        owners, notes = mappings(metadata.get("ownerReferences")), mapping(metadata.get("annotations"))
        ours = bool(owners) and owners[0].get("uid") == self._owner.uid
        ours = ours and notes.get(ANNOTATION_PARAMS) == request.params_hash
        return ours and not metadata.get("deletionTimestamp")

    def _refuse(self, request: AttemptRequest, why: str, final: bool) -> None:
        now, before = self._clock.now(), self._refused.get(request.key)
        since = before.since if before else now
        self._refused[request.key] = _Refusal(request, since, now, why[:300], final)

    def stop(self, key: AttemptKey, why: str) -> None:
        """Let the kubelet end it, which keeps its log; a Pod without a node has none and is deleted."""
        self._refused.pop(key, None)
        pod = self._own().get(key)
        if pod is None:
            self._recall(key)
        elif not pod.stopping:
            self._sent[pod.uid] = self._clock.now()
            self._end(pod, why)

    def _recall(self, key: AttemptKey) -> None:
        """Delete a Job whose Pod has not come."""
        if self._jobs is None:
            return
        try:
            self._jobs.recall(key)
        except (Refused, Unreachable) as error:
            log.warning("the Job of an attempt is not deleted yet: %s", error, extra=self._about.attempt(key))

    def _end(self, pod: PodView, why: str) -> None:
        extra = self._about.attempt(pod.key)
        try:
            self._set_deadline(pod)
            log.info("attempt told to end: %s", why, extra=extra)
        except (Refused, Unreachable) as error:
            log.warning("attempt not told to end yet (%s): %s", why, error, extra=extra)

    def _set_deadline(self, pod: PodView) -> None:
        if pod.node is None:
            self._forget(pod)
            return
        try:
            deadline = {"activeDeadlineSeconds": STOP_DEADLINE}
            self._api.merge(self._named(pod), {"metadata": {"uid": pod.uid}, "spec": deadline})
        except Refused as error:
            if error.code != 404:
                self._api.delete(self._named(pod), uid=pod.uid)

    def delete(self, key: AttemptKey) -> None:
        """Forget an attempt that was told. The Pods of the latest failures stay to be looked at."""
        failpoint("deleting")
        self._refused.pop(key, None)
        pod = self._own().get(key)
        if pod is None:
            self._recall(key)
            return
        self._told.add(pod.uid)
        failed = pod.exit is not None and pod.exit.exit_code not in (0, None) and not pod.stopping
        OUTCOMES.labels((pod.exit.reason if pod.exit else None) or ("Failed" if failed else "Ended")).inc()
        if not (self._spec.template.retain or failed):
            self._later(pod, self._remove)
            return
        self._later(pod, self._mark)
        self._failed.append(pod)
        if not self._spec.template.retain and len(self._failed) > FAILED_KEPT:
            self._later(self._failed.pop(0), self._remove)

    def _later(self, pod: PodView, write: Callable[[PodView], None]) -> None:
        """Nothing depends on a Pod that was told; it may linger, and goes with its Experiment at the latest."""
        self._background.later(("pod", pod.uid), lambda: write(pod))

    def _remove(self, pod: PodView) -> None:
        try:
            self._forget(pod)
        except Refused as error:
            log.warning("Pod %s cannot be deleted: %s", pod.name, error, extra=self._about.attempt(pod.key))
        failpoint("deleted")

    def _forget(self, pod: PodView) -> None:
        """Delete the Pod, with the Job that would else count it as lost."""
        if self._jobs is not None and pod.job is not None:
            self._jobs.remove(pod.job["name"], pod.job["uid"])
        else:
            self._api.delete(self._named(pod), uid=pod.uid, low_priority=True)

    def _mark(self, pod: PodView) -> None:
        try:
            change = {"metadata": {"uid": pod.uid, "labels": {LABEL_TOLD: "true"}}}
            self._api.merge(self._named(pod), change, low_priority=True)
        except Refused as error:
            if error.code not in (404, 409):
                log.warning("Pod %s cannot be marked: %s", pod.name, error, extra=self._about.attempt(pod.key))

    def observe(self) -> Sequence[AttemptFacts]:
        """Every attempt with a Pod, or with a launch that is waiting to be taken."""
        now = self._clock.now()
        own = self._own()
        found = {key: self._facts(pod, now) for key, pod in own.items()}
        for key, pod in own.items():
            self._watch_deadline(pod, found[key], now)
        if self._jobs is not None:
            found |= self._jobs.awaited(found, now)
        for refusal in list(self._refused.values()):
            if refusal.request.key not in found:
                found[refusal.request.key] = self._waiting(refusal, now)
        return tuple(found.values())

    def _facts(self, pod: PodView, now: float) -> AttemptFacts:
        return facts(pod, now, self._spec.start_timeout, self._lost_after)

    def _own(self) -> dict[AttemptKey, PodView]:
        pods = self._pods.of(self._owner.uid)
        return {p.key: p for p in pods if not p.told and p.uid not in self._told}

    def find(self, key: AttemptKey) -> PodView | None:
        """The Pod of an attempt, if there is one."""
        return self._own().get(key)

    def over(self, pod: PodView) -> bool:
        """Whether the plan is told that this Pod has ended."""
        return self._facts(pod, self._clock.now()).phase == "ended"

    def running(self) -> int:
        """Pods of all experiments that may print now."""
        return self._pods.running()

    def _watch_deadline(self, pod: PodView, seen: AttemptFacts, now: float) -> None:
        """The deadline counts from the container's start; Kubernetes' own would count the image's pull too."""
        if seen.phase != "running" or pod.timeout is None or seen.started is None:
            return
        if now >= max(seen.started + pod.timeout, self._sent.get(pod.uid, 0.0) + RETRY_SECONDS):
            self.stop(pod.key, "DeadlineExceeded")

    def _waiting(self, refusal: _Refusal, now: float) -> AttemptFacts:
        if refusal.final and now > refusal.since + self._spec.start_timeout:
            end = ExitFacts(reason="StartError", message=refusal.why)
            return AttemptFacts(refusal.request.key, "ended", refusal.since, exit=end, waiting=refusal.why)
        if now > refusal.tried + RETRY_SECONDS:
            self._refused[refusal.request.key] = replace(refusal, tried=now)
            self.launch(refusal.request)
        return AttemptFacts(refusal.request.key, "pending", refusal.since, waiting=refusal.why)

    def capacity(self) -> int | None:
        """Only the scheduler knows."""
        return None

    def wait(self, seconds: float) -> None:
        """Until a Pod of this experiment changes, at most this long."""
        self.changed.wait(seconds)
        self.changed.clear()

    def stalled(self) -> str:
        """Why an attempt does not start, or nothing."""
        now = self._clock.now()
        pods = [self._facts(pod, now) for pod in self._own().values()]
        waiting = [f.waiting or "" for f in pods if f.phase == "pending"]
        waiting += self._jobs.reasons() if self._jobs is not None else []
        return next(filter(None, [*waiting, *(r.why for r in self._refused.values())]), "")

    def _named(self, pod: PodView) -> str:
        return f"{self._path}/{pod.name}"


def _passing(error: Refused) -> bool:
    """Whether the refusal may pass by itself: a full quota, a namespace that is being made or goes."""
    return (error.code == 403 and "quota" in error.message) or error.code == 404 or error.code == 409
