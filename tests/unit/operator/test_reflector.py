"""The list and watch against a scripted API server: whatever it does, the image of its objects ends right."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from kubetuna_operator.kube import reflector
from kubetuna_operator.kube.api_client import Api, Refused, Unreachable
from kubetuna_operator.kube.reflector import Reflector
from kubetuna_operator.telemetry import UNREADABLE

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


NAMELESS = {"metadata": {"namespace": "lab", "resourceVersion": "8"}, "value": "1"}
VALUELESS = {"metadata": {"namespace": "lab", "name": "odd", "resourceVersion": "8"}}


@pytest.mark.parametrize("odd", [NAMELESS, VALUELESS])
def test_an_object_that_cannot_be_read_is_left_out_counted_and_said(
    odd: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """One object of one tenant must not hide those of all others."""
    counted = UNREADABLE.labels("pods")._value.get()
    api, known, _ = told(page(7, odd, pod("a", 1, "1")), [event("ADDED", odd), event("ADDED", pod("b", 9, "1"))])
    assert known == {"a": "1", "b": "1"}
    assert [q.get("resourceVersion") for q in api.asked[1:]] == ["7", "9"], "and nothing is listed again for it"
    assert UNREADABLE.labels("pods")._value.get() == counted + 2 and "cannot be read" in caplog.text


def test_an_object_that_cannot_be_read_any_more_stays_as_it_was_until_it_is_deleted() -> None:
    """Taken for gone, its attempt would be started again beside it."""
    _, known, _ = told(
        page(7, {**VALUELESS, "value": "1"}),
        [event("MODIFIED", VALUELESS)],
        Refused(410, "Gone", "too old"),
        page(9, VALUELESS),
    )
    assert known == {"odd": "1"}
    _, known, _ = told(page(7, {**VALUELESS, "value": "1"}), [event("DELETED", VALUELESS)])
    assert known == {}


@pytest.mark.parametrize(
    "line",
    [b"{}\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": {"metadata": 7}}\n'],
)
def test_a_watch_survives_whatever_it_is_sent_and_lists_anew(line: bytes) -> None:
    api, known, _ = told(page(7, pod("a", 1, "1")), [line], page(9, pod("b", 8, "1")))
    assert known == {"b": "1"} and "resourceVersion" not in api.asked[2]


@pytest.mark.parametrize("odd", [{}, {"items": None, "metadata": {}}, {"items": [], "metadata": None}, 7])
def test_a_list_that_is_none_forgets_nothing(odd: Any) -> None:
    api, known, changes = told(page(7, pod("a", 1, "1")), Refused(410, "Gone", "too old"), odd, page(9))
    assert known == {} and changes[-1] == ("a", None) and not api.answers
    _, known, _ = told(page(7, pod("a", 1, "1")), Refused(410, "Gone", "too old"), odd)
    assert known == {"a": "1"}


def test_a_change_that_is_not_taken_in_does_not_keep_back_the_others() -> None:
    api, last_event_at = Script(page(7, pod("a", 1, "1"), pod("b", 2, "1")), [event("ADDED", pod("c", 8, "1"))]), []

    def changed(key: tuple[str, str], before: str | None, after: str | None) -> None:
        last_event_at.append(key[1])
        raise KeyError(key)

    watch: Reflector[str] = Reflector(api, "pods", "lab", lambda obj: str(obj["value"]), changed)
    watch.start()
    assert api.over.wait(10)
    assert sorted(last_event_at) == ["a", "b", "c"]


def test_a_watch_goes_on_after_thousands_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait doubles; what doubles without end becomes a number that no clock takes."""
    api = Script(page(7), *[Unreachable("away")] * 2_000)
    watch: Reflector[str] = Reflector(api, "pods", "lab", lambda obj: str(obj["value"]), lambda *_: None)
    waits: list[float] = []
    monkeypatch.setattr(watch._ended, "wait", lambda seconds=None: waits.append(seconds))
    monkeypatch.setattr(reflector, "FIRST_WAIT", 0.2)
    watch.start()
    assert api.over.wait(10)
    assert len(waits) == 2_000 and max(waits) <= reflector.LONGEST_WAIT


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
    assert clock[0] - watch.last_event_at <= reflector.SILENCE and not waits
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
    assert clock[0] == 1300.0 and watch.last_event_at == 1300.0
