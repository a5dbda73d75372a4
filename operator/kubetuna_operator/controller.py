"""From Experiments in the cluster to runners: one for each that has something to do, in its current generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator import FINALIZER, LABEL_EXPERIMENT
from kubetuna_operator.objects import experiment
from kubetuna_operator.pod_facts import PodView, view
from kubetuna_operator.reflector import Key, Reflector
from kubetuna_operator.runner import Runner
from kubetuna_operator.surroundings import Surroundings
from kubetuna_operator.transport import Refused, collection
from kubetuna_operator.work_queue import WorkQueue

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
LONGEST_WAIT = 60.0
WORKERS = 4


class Controller:
    """Watches namespaces (none: all) and keeps runners. ``fenced`` ends the process."""

    def __init__(self, around: Surroundings, namespaces: tuple[str, ...], fenced: Callable[[], None]) -> None:
        self._around, self._fenced = around, fenced
        self._queue: WorkQueue[Key] = WorkQueue("experiment")
        self._lock = threading.Lock()
        self._runners: dict[str, Runner] = {}
        self._finished: dict[str, int] = {}
        self._failures: dict[Key, int] = {}
        self._experiments: list[Reflector[Mapping[str, Any]]] = []
        self._pods: list[Reflector[PodView]] = []
        for namespace in namespaces or (None,):
            self._experiments.append(Reflector(around.api, "experiments", namespace, experiment, self._changed))
            pods = Reflector(around.api, "pods", namespace, view, around.pods.update, LABEL_EXPERIMENT)
            around.pods.learn_with(namespace, pods.learn)
            self._pods.append(pods)

    @property
    def _watches(self) -> list[Reflector[Any]]:
        return [*self._pods, *self._experiments]

    @property
    def synced(self) -> bool:
        """Whether every watch has listed once."""
        return all(watch.synced.is_set() for watch in self._watches)

    def heard(self) -> float:
        """When the quietest watch last heard anything, monotonic seconds."""
        return min(watch.heard for watch in self._watches)

    def watch(self) -> None:
        """Begin to watch; on followers too, so that taking over finds everything known."""
        for watch in self._watches:
            watch.start()

    def run(self, stopped: threading.Event) -> None:
        """Keep runners in step until ``stopped``; then leave them, and what runs goes on running."""
        while not stopped.is_set() and not self.synced:
            stopped.wait(0.05)
        self._queue.work(self._reconcile, WORKERS)
        stopped.wait()
        self._queue.close()
        runners = self._known()
        for runner in runners:
            runner.leave()
        for runner in runners:
            runner.join(LEAVE_SECONDS)

    def _changed(self, key: Key, before: object, after: object) -> None:
        self._queue.add(key)

    def _known(self) -> list[Runner]:
        with self._lock:
            return list(self._runners.values())

    def _find(self, key: Key) -> Mapping[str, Any] | None:
        return next((obj for r in self._experiments if (obj := r.get(key)) is not None), None)

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
                log.error("%s", error, extra={"experiment": "/".join(key)})

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

    def _start(self, obj: Mapping[str, Any]) -> Runner:
        runner = Runner(self._around, obj, self._done, self._fenced)
        with self._lock:
            self._runners[runner.owner.uid] = runner
        runner.start()
        return runner

    def _done(self, runner: Runner) -> None:
        """A runner ended: the experiment is over, or its spec has another generation now."""
        key = (runner.owner.namespace, runner.owner.name)
        with self._lock:
            self._runners.pop(runner.owner.uid, None)
            if runner.failed:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
            else:
                failures = 0
                self._failures.pop(key, None)
                self._finished[runner.owner.uid] = runner.generation
        self._queue.add(key, min(LONGEST_WAIT, 2.0 ** (failures - 1)) if failures else 0.0)

    def _leave_others(self, key: Key, uid: str) -> None:
        """Leave runners of an Experiment that had this name and is gone."""
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
        self._around.api.merge(path, body)
