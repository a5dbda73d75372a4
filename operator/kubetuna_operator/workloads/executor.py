"""Pods as a place where attempts run: the core's ``Executor`` over the API server and the image of its Pods.

An attempt is stopped, read and judged by its Pod, whatever made that; until there is one it is a launch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import GONE, AttemptFacts, AttemptKey, AttemptRequest, ExitFacts
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from kubetuna_operator.pods import failure_note
from kubetuna_operator.pods.read_budget import interval
from kubetuna_operator.pods.status import STOP_DEADLINE, PodView, facts
from kubetuna_operator.pods.warnings import Warnings
from kubetuna_operator.workloads.awaited import RETRY_SECONDS
from kubetuna_operator.workloads.conclusions import Conclusions
from kubetuna_operator.workloads.failing import START_ERROR, Failing, Obstacles
from kubetuna_operator.workloads.launches import Launches
from kubetuna_operator.workloads.makers import Makers
from kubetuna_operator.workloads.manifest import primary_labels
from kubetuna_operator.workloads.members import (
    MISSING,
    Members,
    exit_of,
    grouped,
    headless,
    is_vague,
    silent,
    together,
)
from kubetuna_operator.workloads.ownership import is_own
from kubetuna_operator.workloads.removal import Removal

log = logging.getLogger(__name__)

BACK_IN_QUEUE = ExitFacts(reason="StoppedByQueue", message="its queue has suspended it")


class PodExecutor:
    """The Pods of one Experiment. ``changed`` is set whenever one of them does."""

    def __init__(self, context: OperatorContext, spec: Experiment, ref: ExperimentRef) -> None:
        self._api, self._pods, self._clock = context.api, context.pods, context.clock
        self._events = context.events
        self._spec, self._about, self._owner, self._lost_after = spec, ref, ref.owner, context.lost_after
        self._path = collection("pods", self._owner.namespace)
        self._kind = kind_of(spec.template.trial_spec)
        self._makers = Makers(context, spec, ref)
        self._launches = Launches(context, spec, ref, self._makers)
        self._removal = Removal(context, spec, ref, self._makers)
        self._wanted = primary_labels(spec)
        # Of a kind that is not known nobody can say how many come at once.
        self._count = self._kind.pods(spec.template.trial_spec) if self._kind.falls_with_one else 0
        self._conclusions = Conclusions(self._makers.object_of, self._makers.conclusion)
        self._members: dict[AttemptKey, Members] = {}
        self._rivalries: set[AttemptKey] = set()
        self._told: set[str] = set()
        # When the stop of a Pod was last sent; whether it is done is seen on the Pod.
        self._sent: dict[str, float] = {}
        self._obstacles, self._failing = Obstacles(spec.start_timeout), Failing()
        # The own Pods as of one version of the index.
        self._pods_by_key: dict[AttemptKey, PodView] = {}
        self._version = -1
        # Attempts that a fresh look did not find, and who was seen taking one away.
        self._gone: set[AttemptKey] = set()
        self._disruptions: dict[AttemptKey, ExitFacts] = {}
        # Of attempts whose Pods were deleted: whether their queue has suspended what made these.
        self._suspended: dict[AttemptKey, bool] = {}
        # How another Pod than the primary one was taken away; its controller may conclude later, when it is gone.
        self._taken: dict[AttemptKey, ExitFacts] = {}
        self._look_at = 0.0
        self._seen_facts: Sequence[AttemptFacts] = ()
        self._over: set[AttemptKey] = set()
        self._headless: Collection[AttemptKey] = ()
        self._held = 0
        self.changed: threading.Event = self._pods.changes(self._owner.uid)
        self._warnings = Warnings(context.api, context.deferred, ref.owner.namespace, self.changed.set)

    def launch(self, request: AttemptRequest) -> None:
        """Create the Pod, or what makes it; until the Pod is there the attempt is pending, with the reason."""
        self._gone.discard(request.key)
        self._forget_end(request.key)
        if self._makers.expect(request):
            self._version = -1
        self._launches.launch(request)

    def stop(self, key: AttemptKey, why: str) -> None:
        """Let the kubelet end it, which keeps its log; a Pod without a node has none and is deleted."""
        self._stop(key, why, {})

    def _stop(self, key: AttemptKey, why: str, note: Mapping[str, str]) -> None:
        pod = self._seen(key)
        if pod is None:
            if not self._is_there_unseen(key):
                self._launches.recall(key)
            return
        # While the primary Pod saves, no other may end: its controller would take all of them away with their logs.
        for one in (pod,) if pod.exit is None else self._members[key].active:
            if not one.stopping:
                self._end(one, why, note)

    def _is_there_unseen(self, key: AttemptKey) -> bool:
        """Whether a fresh look finds Pods that no watch has told of; taken in, they are stopped as others are."""
        try:
            return self._launches.may_come(key) and bool(self._makers.members(key).pods)
        except (Refused, Unreachable):
            return False

    def _end(self, pod: PodView, why: str, note: Mapping[str, str]) -> None:
        extra = self._about.attempt(pod.key)
        again, self._sent[pod.uid] = pod.uid in self._sent, self._clock.now()
        try:
            now = pod if pod.node is not None else self._by_now(pod)
            if now.exit is not None:
                return
            if now.node is None:
                self._removal.take_away(pod, again)
            else:
                self._set_deadline(pod, note)
            log.info("attempt told to end: %s", why, extra=extra)
        except (Refused, Unreachable) as error:
            log.warning("attempt not told to end yet (%s): %s", why, error, extra=extra)

    def _by_now(self, pod: PodView) -> PodView:
        """A fresh look at one that has no node: the watch may be behind, and with what has run its log would go."""
        return next((seen for seen in self._makers.members(pod.key).pods if seen.uid == pod.uid), pod)

    def _set_deadline(self, pod: PodView, note: Mapping[str, str]) -> None:
        about = {"uid": pod.uid, **({"annotations": dict(note)} if note else {})}
        try:
            deadline = {"activeDeadlineSeconds": STOP_DEADLINE}
            self._api.merge(self._named(pod), {"metadata": about, "spec": deadline})
        except Refused as error:
            if error.code == 409:
                # It passes, and with the Pod its log would go.
                raise
            # Another's of its name is refused too. With what made it: that would make it anew.
            if error.code != 404 and self._api.has(self._named(pod), pod.uid):
                self._removal.take_away(pod, again=True)

    def delete(self, key: AttemptKey) -> None:
        """Forget an attempt that was told. The Pods of the latest failures stay to be looked at."""
        failpoint("deleting")
        pod = self._seen(key)
        if pod is None:
            # A former run may have marked it since this turn began: what is marked is kept, not taken back.
            if not self._is_marked(key):
                self._launches.recall(key)
            self._forget_end(key)
            return
        self._told.add(pod.uid)
        self._members.pop(key, None)
        self._pods_by_key.pop(key, None)
        self._forget_end(key)
        self._removal.let_go(pod)

    def _forget_end(self, key: AttemptKey) -> None:
        for known in (self._suspended, self._disruptions, self._taken):
            known.pop(key, None)
        self._failing.forget(key)

    def observe(self) -> Sequence[AttemptFacts]:
        """Every attempt with a Pod, or with a launch that is waiting to be taken."""
        now = self._clock.now()
        own = self._own()
        members = [self._members[key] for key in own]
        self._obstacles.note((pod for one in members for pod in one.pods), now)
        if self._wanted:
            self._conclusions.look({key: pod.exit is not None for key, pod in own.items()}, now)
            self._note_rivals()
        self._disruptions.update((key, pod.disruption) for key, pod in own.items() if pod.disruption is not None)
        found = {key: self._facts(pod, now) for key, pod in own.items()}
        quiet = {key: self._silent(pod, found[key]) for key, pod in own.items()}
        found = {key: self._explained(seen, quiet[key], now) for key, seen in found.items()}
        for key, failure in self._failing.still_there(found):
            self._take_down(own[key], failure, now)
        self._warnings.keep(set(quiet.values()))
        for key, pod in own.items():
            self._watch_deadline(pod, found[key], now)
        self._launches.forget(own)
        self._launches.note_active(key for key, pod in own.items() if pod.exit is None and pod.deleted is None)
        self._over = {key for key, seen in found.items() if seen.phase == "ended"}
        held = len(found) - len(self._over)
        if held < self._held:
            self._launches.hurry()
        self._held = held
        gone = self._failing.gone(found, lambda key: self.gone(key) is not None)
        self._seen_facts = (*found.values(), *gone, *self._launches.waiting(now))
        return self._seen_facts

    def unfinished(self) -> Callable[[], None] | None:
        """Launches that the API server did not take, or whose Pods do not come."""
        return self._launches.try_again if self._launches.any_due(self._clock.now()) else None

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        """Ask the API server, whose watch may be silent; after a failure not again for a while."""
        now = self._clock.now()
        if key in self._own():
            return None
        if key not in self._gone and (now >= self._look_at or now < self._look_at - RETRY_SECONDS):
            self._look_for(key, now)
        return (self._failing.exit(key) or self._disruptions.get(key, GONE)) if key in self._gone else None

    def absent(self, key: AttemptKey) -> bool:
        """Ask for its Pod, and where something else makes that, for what makes it."""
        return self.gone(key) is not None and not self._makers.may_be_made(key)

    def headless(self) -> Collection[AttemptKey]:
        """Pods run on, and the one that is read is gone: an earlier process may have told it, and then ended."""
        return [key for key in self._headless if not self._launches.is_withdrawn(key)]

    def _look_for(self, key: AttemptKey, now: float) -> None:
        try:
            seen = self._makers.members(key)
            if seen.primary is None and seen.others:
                # The others would run on for nobody.
                self._launches.withdraw(key)
        except (Refused, Unreachable) as error:
            self._look_at = now + RETRY_SECONDS
            log.warning("attempt not looked for yet: %s", error, extra=self._about.attempt(key))
            return
        if seen.primary is None or seen.primary.uid in self._told:
            self._gone.add(key)
            if seen.cause is not None:
                self._disruptions.setdefault(key, exit_of(seen.cause))
            elif self._is_back_in_queue(key):
                self._disruptions.setdefault(key, BACK_IN_QUEUE)

    def _facts(self, pod: PodView, now: float) -> AttemptFacts:
        """The attempt by its primary Pod, and by the others where it has some.

        What another Pod has ended is over once the primary Pod has ended too: the next attempt would run beside it.
        """
        seen = facts(pod, now, self._lost_after)
        if seen.exit is not None and seen.exit.reason == "Deleted" and self._is_back_in_queue(pod.key):
            seen = replace(seen, exit=BACK_IN_QUEUE)
        self._failing.look(seen)
        noted = self._together(pod).failure
        if noted is not None and self._failing.exit(pod.key) is None:
            self._failing.note(noted, seen)
        whole = self._whole(pod, seen, now)
        if whole.phase == "ended" and seen.phase != "ended":
            # The workload may say that it failed before the Pod's own end is seen, which explains it.
            self._failing.note(whole.exit or ExitFacts(), seen)
        failure = self._failing.exit(pod.key)
        if failure is None or seen.phase != "ended":
            return whole if failure is None else seen
        if is_vague(failure) and whole.phase == "ended":
            return whole
        return replace(whole, phase="ended", exit=failure, ended=whole.ended or seen.ended)

    def _take_down(self, pod: PodView, failure: ExitFacts, now: float) -> None:
        """What has started keeps its log. Else there is none, and a node that is away heeds no deadline."""
        why = failure.message or "another Pod of it failed"
        if pod.started is not None:
            self._stop(pod.key, why, failure_note.written(failure))
        elif pod.deleted is None and not 0 <= now - self._sent.get(pod.uid, float("-inf")) < RETRY_SECONDS:
            again, self._sent[pod.uid] = pod.uid in self._sent, now
            try:
                if is_vague(failure):
                    self._explain(pod.key)
                self._removal.take_away(pod, again)
            except (Refused, Unreachable) as error:
                log.warning("attempt not taken down yet (%s): %s", why, error, extra=self._about.attempt(pod.key))

    def _explain(self, key: AttemptKey) -> None:
        """Look afresh for what has failed, which would go with its Pods: a watch may be behind of the workload."""
        cause = self._makers.members(key).cause
        if cause is not None:
            self._failing.explain(key, exit_of(cause))

    def _is_back_in_queue(self, key: AttemptKey) -> bool:
        """Whether what made its Pods is there, suspended by its queue; it then goes, as the next attempt waits."""
        if key not in self._suspended:
            try:
                self._suspended[key] = self._makers.is_suspended(key)
            except (Refused, Unreachable):
                return False
            if self._suspended[key]:
                self._launches.withdraw(key)
        return self._suspended[key]

    def _whole(self, pod: PodView, seen: AttemptFacts, now: float) -> AttemptFacts:
        """The attempt, where ``seen`` is its primary Pod."""
        members = self._together(pod)
        blocked = next((p for p in members.pods if self._obstacles.blocks(p, now)), None)
        if blocked is not None and seen.phase != "ended":
            said = (blocked.waiting or "") if blocked is pod else f"Pod {blocked.name}: {blocked.waiting}"
            return replace(seen, phase="ended", exit=ExitFacts(reason=START_ERROR, message=said[:300]))
        if not self._wanted:
            return seen
        patient = self._conclusions.waited(pod.key, now) <= self._spec.start_timeout
        conclusion, taken = self._conclusions.of(pod.key), self._taken_from(members, pod.key)
        return together(members, seen, conclusion, self._kind.falls_with_one, patient, taken)

    def _taken_from(self, members: Members, key: AttemptKey) -> ExitFacts | None:
        """How another Pod than the primary one was taken away, which an earlier process may have seen alone."""
        if members.taken is not None:
            self._taken[key] = exit_of(members.taken)
        return self._taken.get(key) or (MISSING if len(members.pods) < self._count else None)

    def _together(self, pod: PodView) -> Members:
        return self._members.get(pod.key, Members(pod))

    def _note_rivals(self) -> None:
        """Say once where labels that a person wrote name more than one Pod."""
        named = self._spec.template.primary_pod_labels
        rivals = {key for key, one in self._members.items() if one.rivals and named}
        for key in rivals - self._rivalries:
            one = self._members[key]
            labels = ", ".join(f"{name}={value}" for name, value in named.items())
            name = one.primary.name if one.primary is not None else ""
            text = f"{one.rivals + 1} Pods have the primaryPodLabels {labels}: {name} is read"
            self._events.emit(self._owner, "SeveralPrimaryPods", text, warning=True)
        self._rivalries = rivals

    def _explained(self, seen: AttemptFacts, uid: str, now: float) -> AttemptFacts:
        """With what Events say of the object that is silent, where nothing else says it."""
        return replace(seen, waiting=self._warnings.of(uid, now) or None) if uid and not seen.waiting else seen

    def _silent(self, pod: PodView, seen: AttemptFacts) -> str:
        """The UID of what may not go on and says so in Events alone."""
        return silent(self._together(pod), pod, seen, self._kind.maker(pod.owner_reference), self._count)

    def _own(self) -> Mapping[AttemptKey, PodView]:
        version = self._pods.version(self._owner.uid)
        if version != self._version:
            pods = (pod for pod in self._pods.of(self._owner.uid) if self._is_open(pod))
            self._version, self._members = version, grouped(pods, self._wanted, self._members)
            found = {key: one.primary for key, one in self._members.items()}
            self._pods_by_key = {key: pod for key, pod in found.items() if pod is not None}
            if self._wanted:
                every = (p for p in self._pods.of(self._owner.uid) if is_own(p, self._owner, self._kind))
                self._headless = headless(every, self._wanted, self._spec.template.retain)
        return self._pods_by_key

    def _is_marked(self, key: AttemptKey) -> bool:
        pods = self._pods.of(self._owner.uid)
        return any(p.key == key and p.told and p.deleted is None and self._makers.is_own(p) for p in pods)

    def _is_open(self, pod: PodView) -> bool:
        return self._makers.is_own(pod) and not pod.told and pod.uid not in self._told

    def _seen(self, key: AttemptKey) -> PodView | None:
        """The Pod of an attempt that is to end: seen once, it must not be launched again when it is gone."""
        pod = self._own().get(key)
        self._launches.forget([key] if pod is not None else [])
        return pod

    def find(self, key: AttemptKey) -> PodView | None:
        """The Pod of an attempt, if there is one."""
        return self._own().get(key)

    def over(self, pod: PodView) -> bool:
        """Whether the plan is told that this Pod has ended."""
        return pod.key in self._over

    def read_interval(self) -> float:
        """Seconds between two reads of a Pod, so that those of all experiments get theirs."""
        running = self._pods.running()
        return interval(running.get(self._owner.uid, 0), running.values())

    def _watch_deadline(self, pod: PodView, seen: AttemptFacts, now: float) -> None:
        """The deadline counts from the container's start; Kubernetes' own would count the image's pull too."""
        if seen.phase != "running" or pod.timeout is None or seen.started is None:
            return
        if now >= max(seen.started + pod.timeout, self._sent.get(pod.uid, 0.0) + RETRY_SECONDS):
            self.stop(pod.key, "DeadlineExceeded")

    def capacity(self) -> int | None:
        """Only the scheduler knows."""
        return None

    def wait(self, seconds: float) -> None:
        """Until a Pod of this experiment changes, at most this long."""
        self.changed.wait(seconds)
        self.changed.clear()

    def stalled(self) -> str:
        """Why an attempt does not start, or nothing."""
        waiting = (f.waiting for f in self._seen_facts if f.phase != "ended" and f.waiting)
        return next(waiting, "") or next(filter(None, self._launches.reasons()), "")

    def _named(self, pod: PodView) -> str:
        return f"{self._path}/{pod.name}"
