"""From Experiments in the cluster to runners: one for each that has something to do, in its current generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator import FINALIZER
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.reconcile import Runner
from kubetuna_operator.experiment.watches import NamespaceWatches
from kubetuna_operator.health import Report
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.objects import mapping, seconds, whole
from kubetuna_operator.kube.reflector import Key
from kubetuna_operator.kube.work_queue import WorkQueue, wait_after
from kubetuna_operator.telemetry import UNREADABLE_NAMESPACES

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
# A clock that is set meanwhile must not keep an Experiment for ever.
LONGEST_LOOK = 600.0
WORKERS = 4


class Controller:
    """Watches namespaces (none: all) and keeps runners. ``fenced`` ends the process."""

    def __init__(self, context: OperatorContext, namespaces: tuple[str, ...], fenced: Callable[[], None]) -> None:
        self._context, self._fenced = context, fenced
        self._queue: WorkQueue[Key] = WorkQueue("experiment")
        self._lock = threading.Lock()
        self._runners: dict[str, Runner] = {}
        self._finished: dict[str, int] = {}
        self._failures: dict[Key, int] = {}
        self._watches = {n: NamespaceWatches(context, n, self._queue.add) for n in namespaces or (None,)}
        UNREADABLE_NAMESPACES.set_function(lambda: len(self._refusals()))

    def _refusals(self) -> tuple[str, ...]:
        return tuple(watches.refusal for watches in self._watches.values() if watches.refusal)

    def ready(self) -> Report:
        """Whether every namespace has answered, and not all by a refusal; with those that cannot be read."""
        watches = self._watches.values()
        answered = all(w.readable or w.refusal for w in watches)
        return Report(answered and any(w.readable for w in watches), self._refusals())

    def last_event_at(self) -> float:
        """When the quietest watch last heard anything, monotonic seconds."""
        return min(watches.last_event_at for watches in self._watches.values())

    def hanging(self) -> float:
        """For how many seconds the oldest step of an Experiment has been under way."""
        return self._queue.longest_work()

    def watch(self) -> None:
        """Begin to watch; on followers too, so that taking over finds everything known."""
        for watches in self._watches.values():
            watches.start()

    def run(self, stopped: threading.Event) -> None:
        """Keep runners in step until ``stopped``; then leave them, and what runs goes on running."""
        self._queue.work(self._reconcile, WORKERS)
        stopped.wait()
        self._queue.close()
        runners = self._known()
        for runner in runners:
            runner.leave()
        for runner in runners:
            runner.join(LEAVE_SECONDS)

    def _known(self) -> list[Runner]:
        with self._lock:
            return list(self._runners.values())

    def _find(self, key: Key) -> Mapping[str, Any] | None:
        watches = self._watches.get(key[0]) or self._watches.get(None)
        return watches.experiment(key) if watches else None

    def _reconcile(self, key: Key) -> None:
        """One key's step. Raises Unreachable to be called again later."""
        obj = self._find(key)
        self._leave_others(key, obj["metadata"]["uid"] if obj else "")
        if obj is None:
            return
        try:
            self._step(key, obj)
        except Refused as error:
            # 404: gone. 409: what we saw is old, and the newer object comes with its own event.
            if error.code not in (404, 409):
                log.error("%s; it is tried again", error, extra={"experiment": "/".join(key)})
                self._queue.add(key, LONGEST_WAIT)

    def _step(self, key: Key, obj: Mapping[str, Any]) -> None:
        metadata = obj["metadata"]
        uid, generation = metadata["uid"], int(metadata.get("generation", 1))
        with self._lock:
            running, finished = self._runners.get(uid), self._finished.get(uid)
        if metadata.get("deletionTimestamp"):
            self._delete(obj, running, finished is not None)
        elif FINALIZER not in (metadata.get("finalizers") or []):
            self._finalizers(obj, [*(metadata.get("finalizers") or []), FINALIZER])
        elif running is not None and running.generation != generation:
            running.leave()
        elif running is None and finished != generation:
            self._start(obj)
        elif running is None:
            self._expire(key, obj)

    def _expire(self, key: Key, obj: Mapping[str, Any]) -> None:
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

    def _start(self, obj: Mapping[str, Any]) -> Runner:
        runner = Runner(self._context, obj, self._done, self._fenced)
        with self._lock:
            self._runners[runner.owner.uid] = runner
        runner.start()
        return runner

    def _done(self, runner: Runner) -> None:
        """A runner ended: the experiment is over, or the runner was left, and another one may go on."""
        key = (runner.owner.namespace, runner.owner.name)
        with self._lock:
            self._runners.pop(runner.owner.uid, None)
            if runner.failed:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
            else:
                failures = 0
                self._failures.pop(key, None)
                if not runner.left:
                    self._finished[runner.owner.uid] = runner.generation
        self._queue.add(key, wait_after(failures, FIRST_WAIT, LONGEST_WAIT) if failures else 0.0)

    def _leave_others(self, key: Key, uid: str) -> None:
        """Leave runners of an Experiment that had this name and is gone, or cannot be seen."""
        for runner in self._known():
            if (runner.owner.namespace, runner.owner.name) == key and runner.owner.uid != uid:
                runner.leave()

    def _delete(self, obj: Mapping[str, Any], running: Runner | None, finished: bool) -> None:
        metadata = obj["metadata"]
        if FINALIZER not in (metadata.get("finalizers") or []):
            return
        if running is not None:
            running.delete()
        elif not finished:
            # Never seen running by this process: its open trials are told and its Pods stopped first.
            self._start(obj).delete()
        else:
            self._finalizers(obj, [f for f in metadata["finalizers"] if f != FINALIZER])
            with self._lock:
                self._finished.pop(metadata["uid"], None)

    def _finalizers(self, obj: Mapping[str, Any], wanted: list[str]) -> None:
        metadata = obj["metadata"]
        path = f"{collection('experiments', metadata['namespace'])}/{metadata['name']}"
        body = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        self._context.api.merge(path, body)
