"""The list and watch against a scripted API server: whatever it does, the image of its objects ends right."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
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


class Over(BaseException):
    """No answer is left."""


class Script(Api):
    """Answers lists and watches in turn; what it is asked is kept. After the last answer comes ``Over``."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    def _next(self, query: Mapping[str, Any]) -> Any:
        self.asked.append(query)
        if not self.answers:
            raise Over
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._next(query)
        return found

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        return iter(self._next(query))


class Watch:
    """A reflector over a script, driven by hand on a clock that its waits move. ``changes``: what it told."""

    def __init__(self, *answers: Any, turned: Callable[[], None] = lambda: None) -> None:
        self.api, self.now = Script(*answers), 1000.0
        self.waits: list[float] = []
        self.changes: list[tuple[str, str | None]] = []
        self.reflector: Reflector[str] = Reflector(
            self.api, "pods", "lab", lambda obj: str(obj["value"]), self.changed, turned=turned, clock=self.clock,
            chance=random.Random(1),
        )  # fmt: skip

    def clock(self) -> float:
        return self.now

    def changed(self, key: tuple[str, str], before: str | None, after: str | None) -> None:
        self.changes.append((key[1], after))

    def drive(self) -> Watch:
        """Until no answer is left."""
        with suppress(Over):
            while True:
                self.step()
        return self

    def step(self) -> None:
        if wait := self.reflector.step():
            self.waits.append(wait)
            self.now += wait

    def known(self) -> dict[str, str]:
        return {name: value for (_, name), value in self.reflector.items().items()}


def told(*answers: Any) -> tuple[Script, dict[str, str], list[tuple[str, str | None]]]:
    """What is known once every answer was used, and the changes that were told on the way."""
    watch = Watch(*answers).drive()
    return watch.api, watch.known(), watch.changes


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


def test_a_change_that_is_not_taken_in_does_not_keep_back_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(page(7, pod("a", 1, "1"), pod("b", 2, "1")), [event("ADDED", pod("c", 8, "1"))])
    seen: list[str] = []

    def changed(key: tuple[str, str], before: str | None, after: str | None) -> None:
        seen.append(key[1])
        raise KeyError(key)

    monkeypatch.setattr(watch.reflector, "_changed", changed)
    watch.drive()
    assert sorted(seen) == ["a", "b", "c"]


AWAY, GONE = Unreachable("away"), Refused(410, "Gone", "too old")


@pytest.mark.parametrize(
    "answers",
    [
        [AWAY] * 2_000,
        [Refused(403, "Forbidden", "no Role")] * 2_000,
        [page(7)] + [[]] * 2_000,
        [page(7), GONE] * 1_000,
        [page(7), [event("ERROR", {"code": 410, "message": "too old"})]] * 1_000,
        [{}] * 2_000,
    ],
    ids=["away", "refused", "ended", "expired", "expired in the watch", "odd"],
)
def test_whatever_ends_every_watch_at_once_makes_no_storm(answers: list[Any]) -> None:
    """And the wait that doubles never becomes a number that no clock takes."""
    watch = Watch(*answers).drive()
    assert len(watch.waits) >= 1_000 and max(watch.waits) <= reflector.LONGEST_WAIT
    assert min(watch.waits) >= reflector.FIRST_WAIT / 2 and sum(watch.waits) > 5 * len(watch.waits)


def test_a_watch_that_lived_is_waited_after_only_shortly() -> None:
    watch = Watch(page(7), *[[]] * 8)
    for _ in range(2):
        watch.step()
    for _ in range(6):
        watch.now += 300.0
        watch.step()
        watch.step()
    assert max(watch.waits) <= reflector.FIRST_WAIT


def test_a_watch_that_tells_something_each_time_stays_prompt() -> None:
    answers = [[event("ADDED", pod(f"p{n}", 10 + n, "1"))] for n in range(20)]
    watch = Watch(page(7), *answers).drive()
    assert len(watch.changes) == 20 and max(watch.waits) <= 2 * reflector.FIRST_WAIT


def test_the_watch_asks_for_bookmarks_and_for_an_end() -> None:
    api, _, _ = told(page(7))
    assert api.asked[1]["allowWatchBookmarks"] == "true" and int(api.asked[1]["timeoutSeconds"]) <= 330


def test_a_watch_of_a_kind_without_objects_is_alive_though_it_is_silent() -> None:
    """A server that has never had an object of a kind sends no bookmarks; the operator must not end for that."""

    def silent() -> Iterator[bytes]:
        watch.now += reflector.SILENCE
        raise Unreachable("read timed out")
        yield b""

    watch = Watch(page(7), silent(), silent(), silent())
    watch.drive()
    assert watch.now - watch.reflector.last_event_at <= reflector.SILENCE + reflector.FIRST_WAIT
    assert len(watch.waits) == 3 and max(watch.waits) <= reflector.FIRST_WAIT
    assert [q.get("resourceVersion") for q in watch.api.asked[1:]] == ["7"] * 4


def test_a_refusal_is_a_sign_of_life_and_ends_only_when_the_watch_is_open() -> None:
    """Else one namespace without its Role fails the operator's health, and it is started again for ever."""
    seen: list[str] = []
    refused = Refused(403, "Forbidden", "no Role")
    watch = Watch(
        refused, refused, page(7), refused, page(7), [], turned=lambda: seen.append(watch.reflector.refusal)
    )
    for _ in range(7):
        watch.step()
    assert seen == [str(refused), str(refused), str(refused), ""]
    assert watch.reflector.last_event_at == watch.now - watch.waits[-1]


def test_an_answer_to_a_write_is_known_at_once_but_never_after_what_the_watch_has_told() -> None:
    """Neither does it bring back what was deleted since, nor hide that it runs by now."""
    lines = [event("ADDED", pod("a", 9, "runs")), event("DELETED", pod("b", 12, "ends"))]
    watch = Watch(page(7), lines)
    watch.step()
    watch.reflector.learn(pod("b", 8, "new"))
    assert watch.known() == {"b": "new"}
    watch.drive()
    watch.reflector.learn(pod("a", 8, "new"))
    watch.reflector.learn(pod("b", 8, "new"))
    assert watch.known() == {"a": "runs"}
    watch.reflector.learn(pod("c", 13, "new"))
    assert watch.known() == {"a": "runs", "c": "new"}


def test_what_was_not_told_is_listed_anew_and_the_silent_watch_is_heard_no_more() -> None:
    late = event("ADDED", pod("late", 8, "1"))
    watch = Watch(page(7, pod("a", 1, "1"), pod("b", 2, "1")), [late, late], page(20, pod("b", 2, "1")))
    watch.step()
    watch.step()
    assert watch.reflector.watching and watch.reflector.synced.is_set()
    watch.reflector.renew()
    assert not watch.reflector.watching and not watch.reflector.synced.is_set()
    watch.drive()
    assert watch.known() == {"b": "1"} and watch.reflector.synced.is_set()
    assert watch.changes == [("a", "1"), ("b", "1"), ("a", None)]


def test_what_a_watch_says_that_was_left_counts_no_more() -> None:
    """It comes from a thread that hung in it meanwhile."""

    def hanging() -> Iterator[bytes]:
        watch.reflector.renew()
        yield event("ADDED", pod("late", 8, "1"))

    watch = Watch(page(7), hanging(), page(20, pod("b", 2, "1"))).drive()
    assert watch.known() == {"b": "1"} and ("late", "1") not in watch.changes


def test_a_thread_lists_and_watches_and_ends_when_it_is_asked_to() -> None:
    over, watched = threading.Event(), threading.Event()

    def silent() -> Iterator[bytes]:
        watched.set()
        over.wait(10)
        yield event("ADDED", pod("b", 8, "1"))

    watch = Watch(page(7, pod("a", 1, "1")), silent())
    watch.reflector.start()
    assert watched.wait(10) and watch.known() == {"a": "1"}
    watch.reflector.stop()
    over.set()


def test_a_revision_that_a_restored_server_does_not_know_is_given_up() -> None:
    behind = Unreachable("504 Timeout Too large resource version: 900, current: 3")
    watch = Watch(
        page(900, pod("a", 900, "old")), *[behind] * (reflector.DOUBTFUL + 1), page(3, pod("a", 3, "restored"))
    )
    watch.drive()
    assert watch.changes == [("a", "old"), ("a", "restored")]
    assert [query["resourceVersion"] for query in watch.api.asked if "watch" in query][-1] == "3"
