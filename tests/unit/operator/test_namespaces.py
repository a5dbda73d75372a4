"""Several namespaces, some of which cannot be read: each goes its own way, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubetuna_operator import FINALIZER
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment import controller, watches
from kubetuna_operator.experiment.controller import Controller
from kubetuna_operator.kube import reflector
from kubetuna_operator.kube.api_client import Api, Refused
from kubetuna_operator.kube.server_time import ServerTime
from kubetuna_operator.telemetry import UNREADABLE_NAMESPACES

MOVED = threading.Condition()
FORBIDDEN = Refused(403, "Forbidden", "no Role")
NOT_FOUND = Refused(404, "NotFound", "no such namespace")


def until(check: Callable[[], Any]) -> None:
    with MOVED:
        assert MOVED.wait_for(check, 10)


class Cluster(Api):
    """One Experiment in each namespace. ``refused``: (namespace, kind) to what is answered; ``asked`` counts."""

    def __init__(self, *refused: tuple[tuple[str, str], Refused]) -> None:
        self.time = ServerTime(time.time)
        self.refused = dict(refused)
        self.asked: dict[tuple[str, str], int] = {}
        self.cut: dict[tuple[str, str], int] = {}

    def _answer(self, path: str) -> tuple[str, str]:
        namespace, kind = path.split("/namespaces/")[1].split("/")
        with MOVED:
            self.asked[namespace, kind] = self.asked.get((namespace, kind), 0) + 1
            MOVED.notify_all()
            if (namespace, kind) in self.refused:
                raise self.refused[namespace, kind]
        return namespace, kind

    def get(self, path: str, **query: object) -> dict[str, Any]:
        namespace, kind = self._answer(path)
        metadata = {"namespace": namespace, "name": "small", "uid": namespace, "resourceVersion": "1"}
        metadata["finalizers"] = [FINALIZER]
        items = [{"metadata": metadata}] if kind == "experiments" else []
        return {"items": items, "metadata": {"resourceVersion": "1"}}

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        return self._silent(self._answer(path))

    def _silent(self, watch: tuple[str, str]) -> Iterator[bytes]:
        """A watch of which nothing comes until it ends, as all do that are open when it is refused."""
        with MOVED:
            before = self.cut.get(watch, 0)
            MOVED.wait_for(lambda: self.cut.get(watch, 0) > before)
        yield from ()

    def refuse(self, error: Refused, *watches: tuple[str, str]) -> None:
        with MOVED:
            self.refused |= dict.fromkeys(watches, error)
            self.cut |= {watch: self.cut.get(watch, 0) + 1 for watch in watches}
            MOVED.notify_all()

    def allow(self) -> None:
        with MOVED:
            self.refused.clear()
            MOVED.notify_all()


class Runs:
    """Stands for an Experiment that is carried out until it is left."""

    busy = over = False

    def __init__(self, context: object, obj: Mapping[str, Any], writer: object, call: Callable[[], None]) -> None:
        metadata = obj["metadata"]
        self.ref = SimpleNamespace(owner=SimpleNamespace(uid=metadata["uid"]), generation=metadata["generation"])
        self.writer, self._namespace = writer, metadata["namespace"]
        with MOVED:
            RUNNING.append(self._namespace)
            MOVED.notify_all()

    def turn(self) -> None:
        pass

    def leave(self) -> None:
        with MOVED:
            RUNNING.remove(self._namespace)
            MOVED.notify_all()


RUNNING: list[str] = []
Start = Callable[[Cluster], Controller]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts an operator that watches the namespaces a, b and c."""
    monkeypatch.setattr(reflector, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(reflector, "LONGEST_WAIT", 0.002)
    monkeypatch.setattr(controller, "ExperimentRun", Runs)
    RUNNING.clear()
    stopped, threads = threading.Event(), []

    def begin(api: Cluster) -> Controller:
        made = Controller(OperatorContext.make(api, cast(Any, None), "me", 60.0), ("a", "b", "c"), lambda: None)
        made.watch()
        threads.append(threading.Thread(target=made.run, args=(stopped,), daemon=True))
        threads[0].start()
        return made

    yield begin
    stopped.set()
    threads[0].join(10)


@pytest.mark.parametrize("kinds", [("experiments",), ("pods",), ("experiments", "pods")])
@pytest.mark.parametrize("error", [FORBIDDEN, NOT_FOUND])
def test_a_namespace_that_cannot_be_read_stops_no_other_and_is_taken_up_later(
    start: Start, monkeypatch: pytest.MonkeyPatch, error: Refused, kinds: tuple[str, ...]
) -> None:
    told: list[str] = []

    def note(text: str, *arguments: object) -> None:
        with MOVED:
            told.append(text % arguments)
            MOVED.notify_all()

    for level in ("warning", "info"):
        monkeypatch.setattr(watches.log, level, note)
    api = Cluster(*((("b", kind), error) for kind in kinds))
    operator = start(api)
    until(lambda: sorted(RUNNING) == ["a", "c"] and all(api.asked.get(("b", kind), 0) > 3 for kind in kinds))
    report = operator.ready()
    assert report.good and len(report.notes) == 1
    assert "namespace b" in report.notes[0] and str(error) in report.notes[0]
    assert UNREADABLE_NAMESPACES.collect()[0].samples[0].value == 1
    api.allow()
    until(lambda: sorted(RUNNING) == ["a", "b", "c"] and len(told) == 2)
    assert operator.ready().good and not operator.ready().notes
    assert told == [f"namespace b cannot be read: {error}; it is tried again", "namespace b can be read"]


def test_a_namespace_that_is_taken_away_is_left_and_gone_on_with_when_it_is_back(start: Start) -> None:
    """Nobody decides anything from an image of Pods that is old."""
    api = Cluster()
    operator = start(api)
    until(lambda: sorted(RUNNING) == ["a", "b", "c"])
    api.refuse(FORBIDDEN, ("b", "pods"))
    until(lambda: sorted(RUNNING) == ["a", "c"])
    assert operator.ready().good and "namespace b" in operator.ready().notes[0]
    api.allow()
    until(lambda: sorted(RUNNING) == ["a", "b", "c"])


def test_an_operator_that_can_read_nothing_is_not_ready_and_says_why(start: Start) -> None:
    api = Cluster(*(((name, "experiments"), FORBIDDEN) for name in "abc"))
    operator = start(api)
    until(lambda: all(api.asked.get((name, "experiments"), 0) > 3 for name in "abc"))
    assert not operator.ready().good and len(operator.ready().notes) == 3
