"""From Experiments in the cluster to runners: one for each that has something to do, in its current generation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna_operator import FINALIZER, LABEL_EXPERIMENT
from kubetuna_operator.pod_facts import PodView, view
from kubetuna_operator.reflector import Key, Reflector
from kubetuna_operator.runner import Runner, Surroundings
from kubetuna_operator.transport import Refused, Unreachable, collection

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
LOOK_SECONDS = 5.0


class Controller:
    """Watches namespaces (None: all) and keeps runners. ``fenced`` ends the process."""

    def __init__(self, around: Surroundings, namespaces: tuple[str, ...], fenced: Callable[[], None]) -> None:
        self._around, self._fenced = around, fenced
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._dirty: set[Key] = set()
        self._runners: dict[str, Runner] = {}
        self._finished: dict[str, int] = {}
        self._experiments: list[Reflector[Mapping[str, Any]]] = []
        self._pods: list[Reflector[PodView]] = []
        for namespace in namespaces or (None,):
            self._experiments.append(Reflector(around.api, "experiments", namespace, dict, self._changed))
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
        while not stopped.is_set():
            with self._lock:
                dirty, self._dirty = self._dirty, set()
            for key in dirty:
                self._reconcile(key)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
        runners = list(self._runners.values())
        for runner in runners:
            runner.leave()
        for runner in runners:
            runner.join(LEAVE_SECONDS)

    def _changed(self, key: Key, before: object, after: object) -> None:
        self._again(key)

    def _again(self, key: Key) -> None:
        with self._lock:
            self._dirty.add(key)
        self._wake.set()

    def _find(self, key: Key) -> Mapping[str, Any] | None:
        return next((obj for r in self._experiments if (obj := r.get(key)) is not None), None)

    def _reconcile(self, key: Key) -> None:
        obj = self._find(key)
        if obj is None:
            self._stop_of(key, "")
            return
        metadata = obj["metadata"]
        uid, generation = metadata["uid"], int(metadata.get("generation", 1))
        self._stop_of(key, uid)
        running = self._runners.get(uid)
        try:
            if metadata.get("deletionTimestamp"):
                self._delete(key, obj, running)
            elif FINALIZER not in (metadata.get("finalizers") or []):
                self._finalizers(obj, [*(metadata.get("finalizers") or []), FINALIZER])
            elif running is not None and running.generation != generation:
                running.leave()
            elif running is None and self._finished.get(uid) != generation:
                self._start(obj)
        except Unreachable as error:
            log.warning("%s", error)
            self._again(key)
        except Refused as error:
            if error.code not in (404, 409):
                log.error("%s/%s: %s", *key, error)

    def _start(self, obj: Mapping[str, Any]) -> None:
        runner = Runner(self._around, obj, self._done, self._fenced)
        self._runners[runner.owner.uid] = runner
        runner.start()

    def _done(self, runner: Runner) -> None:
        """A runner ended: the experiment is over, or its spec has another generation now."""
        self._runners.pop(runner.owner.uid, None)
        key = (runner.owner.namespace, runner.owner.name)
        if runner.failed:
            timer = threading.Timer(LOOK_SECONDS, self._again, (key,))
            timer.daemon = True
            timer.start()
            return
        self._finished[runner.owner.uid] = runner.generation
        self._again(key)

    def _stop_of(self, key: Key, uid: str) -> None:
        """Leave runners of an Experiment that had this name and is gone."""
        for runner in list(self._runners.values()):
            if (runner.owner.namespace, runner.owner.name) == key and runner.owner.uid != uid:
                runner.leave()

    def _delete(self, key: Key, obj: Mapping[str, Any], running: Runner | None) -> None:
        metadata = obj["metadata"]
        if FINALIZER not in (metadata.get("finalizers") or []):
            return
        if running is not None:
            running.delete()
            return
        if metadata["uid"] not in self._finished:
            # Never seen running by this process: its open trials are told and its Pods stopped first.
            self._start(obj)
            self._runners[metadata["uid"]].delete()
            return
        self._finalizers(obj, [f for f in metadata["finalizers"] if f != FINALIZER])

    def _finalizers(self, obj: Mapping[str, Any], wanted: list[str]) -> None:
        metadata = obj["metadata"]
        path = f"{collection('experiments', metadata['namespace'])}/{metadata['name']}"
        body = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        self._around.api.merge(path, body)
