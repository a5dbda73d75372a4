"""From Experiments in the cluster to turns: each is a key of one work queue, and a turn does what is due for it.

A turn says when the next one is due; a change of the Experiment, of its Pods or of what is known of their logs asks
for one at once. No key is ever worked on twice at the same time, and a fixed number of workers does all of it. What
has ended costs nothing: it is not even opened after a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubetuna.errors import StoreFenced
from kubetuna_operator import FINALIZER
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.requests import requests_of
from kubetuna_operator.experiment.run import ExperimentRun
from kubetuna_operator.experiment.status_renderer import BEHIND, failed_turn
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.experiment.watches import NamespaceWatches
from kubetuna_operator.health import Report
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.objects import Owner, mapping, seconds, whole
from kubetuna_operator.kube.reflector import Key
from kubetuna_operator.kube.work_queue import WorkQueue
from kubetuna_operator.telemetry import EXPERIMENTS, UNREADABLE_NAMESPACES
from kubetuna_operator.workloads.members import settled

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
# Until what the API server refused is tried again; a Role may be given meanwhile.
REFUSED_WAIT = 60.0
# A clock that is set meanwhile must not keep an Experiment for ever.
LONGEST_LOOK = 600.0
# Few, since the interpreter serves one at a time; of one namespace no more than the share, since a webhook of its
# own that does not answer holds whoever waits for it.
WORKERS, SHARE = 8, 4

Object = Mapping[str, Any]


class Controller:
    """Watches namespaces (none: all) and gives their Experiments turns. ``fenced`` ends the process."""

    def __init__(self, context: OperatorContext, namespaces: tuple[str, ...], fenced: Callable[[], None]) -> None:
        self._context, self._fenced = context, fenced
        self._queue: WorkQueue[Key] = WorkQueue("experiment", context.monotonic, lambda key: key[0], SHARE)
        self._runs: dict[Key, ExperimentRun] = {}
        # What ended here, which its status may not show yet.
        self._ended: dict[Key, _Ended] = {}
        self._leading = False
        self.watches = {n: NamespaceWatches(context, n, self._look) for n in namespaces or (None,)}
        # A Pod may come of an Experiment that has ended: its request was late, or what made it.
        context.pods.unasked = lambda pod: self._look((pod.namespace, pod.experiment))
        UNREADABLE_NAMESPACES.set_function(lambda: len(self._refusals()))

    def _refusals(self) -> tuple[str, ...]:
        return tuple(watches.refusal for watches in self.watches.values() if watches.refusal)

    def ready(self) -> Report:
        """Whether every namespace has answered, and not all by a refusal; with those that cannot be read."""
        watches = self.watches.values()
        answered = all(w.readable or w.refusal for w in watches)
        return Report(answered and any(w.readable for w in watches), self._refusals())

    def last_event_at(self) -> float:
        """When the quietest watch last heard anything, monotonic seconds."""
        return min(watches.last_event_at for watches in self.watches.values())

    def hanging(self) -> float:
        """For how many seconds the oldest turn has been under way."""
        return self._queue.longest_work()

    def watch(self) -> None:
        """Begin to watch; on followers too, which are ready to take over only where they can read."""
        for watches in self.watches.values():
            watches.start()

    def lead(self) -> None:
        """Begin to decide: no Pod is taken for gone, and nothing is done, before all was listed anew."""
        self._leading = True
        for watches in self.watches.values():
            watches.renew()

    def _look(self, key: Key) -> None:
        """Who only stands by collects no keys; all are looked at once it leads."""
        if self._leading:
            self._queue.add(key)

    def run(self, stopped: threading.Event) -> None:
        """Give turns until ``stopped``; then leave, and what runs goes on running."""
        self.lead()
        self.watch()
        workers = self._queue.work(self._turn, WORKERS)
        stopped.wait()
        self._queue.close()
        deadline = time.monotonic() + LEAVE_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def step(self) -> bool:
        """Give the next turn that is due, as a worker does; False where there is none."""
        return self._queue.step(self._turn)

    def due(self) -> float | None:
        """Seconds until the next turn; None where none is planned."""
        return self._queue.due()

    def _find(self, key: Key) -> Object | None:
        watches = self.watches.get(key[0]) or self.watches.get(None)
        return watches.experiment(key) if watches else None

    def _turn(self, key: Key) -> None:
        """One key's turn. Raises to be called again later."""
        obj, run = self._find(key), self._runs.get(key)
        if run is not None and not _carries_out(run, obj):
            if run.busy:
                return
            if obj is None or obj["metadata"]["uid"] != run.ref.owner.uid:
                self._leave(key, run)
        if obj is None:
            self._ended.pop(key, None)
            return
        try:
            self._step(key, obj)
        except StoreFenced:
            self._queue.close()
            self._fenced()
        except Refused as error:
            self._refused(key, obj, error)

    def _step(self, key: Key, obj: Object) -> None:
        metadata = obj["metadata"]
        deleted, held = bool(metadata.get("deletionTimestamp")), FINALIZER in metadata["finalizers"]
        if deleted and not held:
            return
        if not held:
            self._set_finalizers(obj, [*metadata["finalizers"], FINALIZER])
        elif key not in self._runs and self._has_ended(key, obj):
            if deleted:
                self._set_finalizers(obj, [f for f in metadata["finalizers"] if f != FINALIZER])
            else:
                self._expire(key, obj)
        else:
            self._carry_on(key, obj, deleted)

    def _carry_on(self, key: Key, obj: Object, deleted: bool) -> None:
        run = self._run(key, obj)
        if deleted:
            # Also of one never seen running by this process: its open trials are told and its Pods stopped first.
            run.delete()
        run.requests = requests_of(obj)
        wait = run.turn()
        if run.over:
            self._leave(key, run)
            uid = run.ref.owner.uid
            pods = frozenset(pod.uid for pod in self._context.pods.of(uid))
            self._ended[key] = _Ended(uid, obj["metadata"]["generation"], run.requests, pods)
            self._queue.add(key)
        elif wait is not None:
            self._queue.add(key, wait)

    def _run(self, key: Key, obj: Object) -> ExperimentRun:
        """The run of this generation; one writer shows the status of all of them, lest they overtake each other."""
        run = self._runs.get(key)
        if run is not None and _carries_out(run, obj):
            return run
        writer = run.writer if run is not None else StatusWriter(self._context, _owner(obj), obj["status"])
        if run is not None:
            self._leave(key, run)
        self._runs[key] = ExperimentRun(self._context, obj, writer, lambda: self._queue.add(key))
        EXPERIMENTS.inc()
        return self._runs[key]

    def _leave(self, key: Key, run: ExperimentRun) -> None:
        run.leave()
        del self._runs[key]
        EXPERIMENTS.dec()

    def _has_ended(self, key: Key, obj: Object) -> bool:
        """Whether there is nothing left to do: by what this process did, or by what an earlier one wrote last."""
        asked, pods = requests_of(obj), self._context.pods.of(obj["metadata"]["uid"])
        known = self._remembered(key, obj["metadata"]["uid"], asked)
        if known is not None:
            late = any(pod.may_run and pod.uid not in known.pods for pod in pods)
            return known.generation >= _generation(obj) and asked.items() <= known.answered.items() and not late
        retain = mapping(mapping(obj["spec"]).get("trialTemplate")).get("retain") is True
        return not asked and _shows_its_end(obj) and settled(pods, retain)

    def _remembered(self, key: Key, uid: str, asked: Mapping[str, str]) -> _Ended | None:
        """How it ended here, if it did; without the requests that were taken away since, which may come again."""
        known = self._ended.get(key)
        if known is None or known.uid != uid:
            return None
        answered = {i: line for i, line in known.answered.items() if asked.get(i) == line}
        self._ended[key] = replace(known, answered=answered)
        return self._ended[key]

    def _expire(self, key: Key, obj: Object) -> None:
        """Delete an Experiment whose time after its end is over; what it owns goes with it, its study stays."""
        ttl = whole(mapping(obj["spec"]).get("ttlSecondsAfterFinished"))
        ended = seconds(obj["status"].get("completionTime"))
        if ttl is None or ended is None:
            return
        left = ended + ttl - self._context.clock.now()
        if left > 0:
            self._queue.add(key, min(left, LONGEST_LOOK))
            return
        log.info("it ended %d seconds ago and is deleted", ttl, extra={"experiment": "/".join(key)})
        path = f"{collection('experiments', key[0])}/{key[1]}"
        self._context.api.delete(path, uid=obj["metadata"]["uid"])

    def _refused(self, key: Key, obj: Object, error: Refused) -> None:
        if error.code == 404:
            return
        if error.code == 409:
            # What we saw is old; the newer object need not come with a turn of its own.
            raise error
        log.error("%s; it is tried again", error, extra={"experiment": "/".join(key)})
        generation, now = obj["metadata"]["generation"], self._context.clock.now()
        StatusWriter(self._context, _owner(obj), obj["status"]).amend(failed_turn(str(error), generation, now))
        self._queue.add(key, REFUSED_WAIT)

    def _set_finalizers(self, obj: Object, wanted: list[str]) -> None:
        metadata = obj["metadata"]
        path = f"{collection('experiments', metadata['namespace'])}/{metadata['name']}"
        body = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        self._context.api.merge(path, body)


@dataclass(frozen=True, slots=True)
class _Ended:
    """An Experiment that ended here: in which generation, with which requests answered and which Pods seen."""

    uid: str
    generation: int
    answered: Mapping[str, str]
    pods: frozenset[str]


def _owner(obj: Object) -> Owner:
    metadata = obj["metadata"]
    return Owner(metadata["namespace"], metadata["name"], metadata["uid"])


def _carries_out(run: ExperimentRun, obj: Object | None) -> bool:
    """Whether a run is of this object in its generation, apart from its deletion."""
    if obj is None or obj["metadata"]["uid"] != run.ref.owner.uid:
        return False
    return bool(obj["metadata"].get("deletionTimestamp")) or obj["metadata"]["generation"] == run.ref.generation


def _generation(obj: Object) -> int:
    """The generation of the spec: a deletion, which counts as one, changes nothing in it."""
    return int(obj["metadata"]["generation"]) - bool(obj["metadata"].get("deletionTimestamp"))


def _shows_its_end(obj: Object) -> bool:
    """Whether the status says that all is done, as the spec stands now. A refused one never began."""
    status = obj["status"]
    ended = status.get("state") in ("Succeeded", "Failed") and seconds(status.get("completionTime")) is not None
    ended = ended and not mapping(status.get("study")).get(BEHIND)
    return ended and (whole(status.get("observedGeneration")) or 0) >= _generation(obj)
