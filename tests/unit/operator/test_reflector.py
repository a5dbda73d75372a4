"""The list and watch against a scripted API server: whatever it does, the image of its objects ends right."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from kubetuna_operator import reflector
from kubetuna_operator.reflector import Reflector
from kubetuna_operator.transport import Api, Refused, Unreachable

Step = Callable[[dict[str, Any]], Any]


def pod(name: str, revision: int, value: str = "") -> dict[str, Any]:
    return {"metadata": {"namespace": "lab", "name": name, "resourceVersion": str(revision)}, "value": value}


def page(revision: int, *pods: dict[str, Any], more: str = "") -> dict[str, Any]:
    return {"items": list(pods), "metadata": {"resourceVersion": str(revision), "continue": more}}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


class Script(Api):
    """Answers lists and watches in turn; what it is asked is kept. After the last answer it is silent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []
        self.over = threading.Event()

    def _next(self, query: Mapping[str, Any]) -> Any:
        self.asked.append(query)
        if not self.answers:
            self.over.set()
            threading.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._next(query)
        return found

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        return iter(self._next(query))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "FIRST_WAIT", 0.001)


def told(*answers: Any) -> tuple[Script, dict[str, str], list[tuple[str, str | None]]]:
    """What is known once every answer was used, and the changes that were told on the way."""
    api, changes = Script(*answers), []

    def changed(key: tuple[str, str], before: str | None, after: str | None) -> None:
        changes.append((key[1], after))

    watch: Reflector[str] = Reflector(api, "pods", "lab", lambda obj: str(obj["value"]), changed)
    watch.start()
    assert api.over.wait(10)
    return api, {name: value for (_, name), value in watch.items().items()}, changes


def test_a_list_in_pages_then_events_from_its_revision() -> None:
    api, known, changes = told(
        page(7, pod("a", 1, "1"), more="next"),
        page(7, pod("b", 2, "1")),
        [event("ADDED", pod("c", 8, "1")), event("MODIFIED", pod("a", 9, "2")), event("DELETED", pod("b", 10))],
    )
    assert known == {"a": "2", "c": "1"}
    assert sorted(changes[:2]) == [("a", "1"), ("b", "1")]
    assert changes[2:] == [("c", "1"), ("a", "2"), ("b", None)]
    assert api.asked[1]["continue"] == "next" and api.asked[2]["resourceVersion"] == "7"


def test_a_watch_that_ends_goes_on_where_it_was_without_a_list() -> None:
    api, known, _ = told(
        page(7),
        [event("ADDED", pod("a", 8, "1")), event("BOOKMARK", {"metadata": {"resourceVersion": "50"}})],
        [],
    )
    assert [q.get("resourceVersion") for q in api.asked[1:]] == ["7", "50", "50"] and known == {"a": "1"}


@pytest.mark.parametrize(
    "gone",
    [Refused(410, "Gone", "too old"), [event("ERROR", {"code": 410, "message": "too old"})]],
)
def test_a_revision_that_is_too_old_lists_again_and_tells_what_went_meanwhile(gone: Any) -> None:
    _, known, changes = told(page(7, pod("a", 1, "1"), pod("b", 2, "1")), gone, page(90, pod("b", 80, "2")))
    assert known == {"b": "2"} and set(changes[2:]) == {("a", None), ("b", "2")}


def test_a_server_that_is_away_is_asked_again_and_nothing_known_is_forgotten() -> None:
    away = Unreachable("connection refused")
    api, known, changes = told(page(7, pod("a", 1, "1")), away, away, [event("ADDED", pod("b", 8, "1"))])
    assert known == {"a": "1", "b": "1"} and changes == [("a", "1"), ("b", "1")]
    assert [q.get("resourceVersion") for q in api.asked[1:4]] == ["7", "7", "7"]


@pytest.mark.parametrize("line", [b"<html>\n", b"null\n", b"\xff\n"])
def test_a_line_that_is_no_event_opens_the_watch_again(line: bytes) -> None:
    _, known, _ = told(page(7, pod("a", 1, "1")), [line], [event("ADDED", pod("b", 8, "1"))])
    assert known == {"a": "1", "b": "1"}


def test_the_watch_asks_for_bookmarks_and_for_an_end() -> None:
    api, _, _ = told(page(7))
    assert api.asked[1]["allowWatchBookmarks"] == "true" and int(api.asked[1]["timeoutSeconds"]) <= 330


def test_a_watch_of_a_kind_without_objects_is_alive_though_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has never had an object of a kind sends no bookmarks; the operator must not end for that."""
    clock = [1000.0]
    monkeypatch.setattr(reflector.time, "monotonic", lambda: clock[0])
    waits: list[float] = []

    def silent() -> Iterator[bytes]:
        clock[0] += reflector.SILENCE
        raise Unreachable("read timed out")
        yield b""

    api = Script(page(7), silent(), silent(), silent())
    watch: Reflector[str] = Reflector(api, "experiments", None, lambda obj: str(obj["value"]), lambda *_: None)
    monkeypatch.setattr(watch._ended, "wait", lambda seconds=None: waits.append(seconds))
    watch.start()
    assert api.over.wait(10)
    assert clock[0] - watch.heard <= reflector.SILENCE and not waits
    assert [q.get("resourceVersion") for q in api.asked[1:]] == ["7"] * 4


def test_a_refusal_is_a_sign_of_life_and_ends_only_when_the_watch_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one namespace without its Role fails the operator's health, and it is started again for ever."""
    clock, seen = [1000.0], []
    monkeypatch.setattr(reflector.time, "monotonic", lambda: clock[0])

    def turned() -> None:
        seen.append(watch.refusal)

    refused = Refused(403, "Forbidden", "no Role")
    api = Script(refused, refused, page(7), refused, page(7), [])
    watch: Reflector[str] = Reflector(api, "pods", "lab", lambda obj: "", lambda *_: None, turned=turned)
    monkeypatch.setattr(watch._ended, "wait", lambda seconds=None: clock.__setitem__(0, clock[0] + 100.0))
    watch.start()
    assert api.over.wait(10)
    assert seen == [str(refused), str(refused), str(refused), ""]
    assert clock[0] == 1300.0 and watch.heard == 1300.0
