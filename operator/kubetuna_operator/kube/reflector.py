"""A local image of one kind of object: list, then watch from there, for ever.

Only projections are kept. A watch that ends is normal and goes on from the last revision; one that is too old (410)
lists again; one that is silent longer than the server's bookmarks allow is taken for dead, and made anew. Whatever
ends a watch is waited after, longer each time where nothing came of it. Nothing that the server sends ends a watch:
an object that cannot be read is left out, and after whatever else is wrong everything is listed anew.

``step`` lists, opens the watch or takes one event; the thread of ``start`` is a shell around it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from kubetuna_operator.kube.api_client import Api, Refused, Unreachable, collection, read_event, split_lines
from kubetuna_operator.kube.objects import key_of, mapping, revision_of
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.kube.work_queue import wait_after
from kubetuna_operator.telemetry import UNREADABLE, WATCH_RESTARTS

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]
PAGE = 500
SILENCE = 90.0
WATCH_SECONDS = 270
# Also after a clean end and a revision that is too old: a server that ends every watch at once would else be asked
# thousands of times a second.
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
# After so many failures in a row, at the longest wait, the revision itself may be what the server cannot serve.
DOUBTFUL = 8


class _Expired(Exception):
    """The revision is too old: list again."""


class Reflector(Generic[T]):
    """Keeps ``project(object)`` of every object of a kind, by (namespace, name), and tells of each change.

    ``turned`` is called when all was listed, and when the server begins or ceases to refuse: ``refusal`` tells why.
    ``clock`` gives monotonic seconds.
    """

    def __init__(
        self,
        api: Api,
        kind: str,
        namespace: str | None,
        project: Callable[[Mapping[str, Any]], T],
        changed: Callable[[Key, T | None, T | None], None],
        selector: str | None = None,
        turned: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._api, self._kind, self._path = api, kind, collection(kind, namespace)
        self._project, self._changed, self._selector = project, changed, selector
        self._turned, self.refusal = turned, ""
        self._clock, self._random = clock, chance or random.Random()
        self._items: dict[Key, T] = {}
        self._revision: str | None = None
        self._lines: Iterator[bytes] | None = None
        self._failures = 0
        # Changes are told under it: two of one object never overtake each other.
        self._lock = threading.RLock()
        self._ended = threading.Event()
        # Which beginning counts: a thread that hangs in a silent watch cannot be called back, only left.
        self._beginning = 0
        self.synced = threading.Event()
        self.last_event_at = clock()
        # Since when a watch has been open; None while none is.
        self._opened: float | None = None

    def start(self) -> None:
        """Go on in a thread of its own."""
        supervised(f"watch-{self._path}", self._run, self._beginning).start()

    def stop(self) -> None:
        """Stop at the next event."""
        self._ended.set()

    def _run(self, beginning: int) -> None:
        while beginning == self._beginning and not self._ended.is_set():
            if wait := self.step():
                self._ended.wait(wait)

    def renew(self) -> None:
        """Begin anew with a list: what a silent watch may not have told is not known until that has come."""
        with self._lock:
            self._beginning += 1
            self._revision = self._lines = self._opened = None
            self.synced.clear()

    @property
    def watching(self) -> bool:
        """Whether the next step waits for what the server sends."""
        return self._lines is not None

    def step(self) -> float:
        """Do what comes next: list, open the watch, or take one event. Returns the seconds to wait afterwards."""
        beginning = self._beginning
        try:
            if self._revision is None:
                self._list(beginning)
            elif self._lines is None:
                self._open(beginning)
            elif (line := next(self._lines, None)) is not None:
                self._event(read_event(line, self._path), beginning)
            elif beginning == self._beginning:
                return self.after(None)
        except Exception as error:
            # What was left meanwhile says nothing any more.
            return self.after(error) if beginning == self._beginning else 0.0
        return 0.0

    def after(self, error: Exception | None) -> float:
        """Take in why a list or a watch ended; seconds to wait before the next one."""
        lived = self._opened is not None and self._clock() - self._opened > LONGEST_WAIT
        self._lines = self._opened = None
        match error:
            case None:
                reason = "ended"
            case _Expired():
                reason = "expired"
            case Refused():
                reason, lived = ("expired" if error.code == 410 else "refused"), False
                if error.code != 410:
                    self._note_refusal(str(error))
            case Unreachable():
                # A server sends no bookmarks for a kind of which it has never had an object: that is no failure.
                reason = "unreachable"
            case _:
                # Whatever it is: without this watch the operator would be blind, and nobody would know.
                log.error("the watch of %s failed and begins anew", self._kind, exc_info=error)
                reason, lived = "failed", False
        if reason not in ("ended", "unreachable") or self._failures >= DOUBTFUL:
            # A server that was restored from a backup is behind our revision, and only ever says "later".
            self._revision = None
        WATCH_RESTARTS.labels(self._kind, reason).inc()
        self._failures = 0 if lived else self._failures + 1
        wait = wait_after(self._failures + 1, FIRST_WAIT, LONGEST_WAIT)
        return wait * self._random.uniform(0.5, 1.0)

    def items(self) -> dict[Key, T]:
        """What is known now, copied."""
        with self._lock:
            return dict(self._items)

    def get(self, key: Key) -> T | None:
        """One object."""
        with self._lock:
            return self._items.get(key)

    def learn(self, obj: Mapping[str, Any]) -> None:
        """Take in an object that came with the answer to a write, ahead of its event, unless that has come."""
        with self._lock:
            for key, found in self._read(obj).items():
                if key not in self._items and not _is_past(revision_of(obj), self._revision):
                    self._put(key, found)

    def _note_refusal(self, why: str) -> None:
        """Take in why the server refuses, or that it does not. A refusal is an answer too: the watch is alive."""
        self.last_event_at = self._clock()
        before, self.refusal = self.refusal, why
        if bool(before) != bool(why):
            self._turned()

    def _list(self, beginning: int) -> None:
        found: dict[Key, T] = {}
        token: str | None = None
        while True:
            page = self._api.get(self._path, limit=PAGE, labelSelector=self._selector, **{"continue": token})
            for obj in page["items"]:
                found |= self._read(obj)
            token = page["metadata"].get("continue")
            if not token:
                break
        with self._lock:
            if beginning != self._beginning:
                return
            before, self._items = self._items, found
            for key in {**before, **found}:
                if before.get(key) != found.get(key):
                    self._notify(key, before.get(key), found.get(key))
            self._revision = revision_of(page)
            self.last_event_at = self._clock()
            self.synced.set()
        self._turned()

    def _open(self, beginning: int) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._revision,
            "labelSelector": self._selector,
            "timeoutSeconds": WATCH_SECONDS + self._random.randrange(60),
        }
        lines = split_lines(self._api.stream(self._path, query, SILENCE))
        with self._lock:
            if beginning != self._beginning:
                return
            self._lines, self._opened = lines, self._clock()
        # Only now: who may list and not watch would else begin and cease to be refused for ever.
        self._note_refusal("")

    def _event(self, event: Mapping[str, Any], beginning: int) -> None:
        self.last_event_at = self._clock()
        kind, obj = event["type"], mapping(event["object"])
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _Expired
            raise Unreachable(str(obj.get("message", "the watch failed")))
        with self._lock:
            if beginning != self._beginning:
                return
            self._revision, self._failures = revision_of(obj), 0
            if kind == "DELETED":
                self._put(key_of(obj), None)
            elif kind != "BOOKMARK":
                for key, after in self._read(obj).items():
                    self._put(key, after)

    def _read(self, obj: object) -> dict[Key, T]:
        """The object by its key. One that cannot be read stays as it is known, if it is."""
        key = None
        try:
            key = key_of(obj)
            return {key: self._project(mapping(obj))}
        except Exception as error:
            UNREADABLE.labels(self._kind).inc()
            log.warning("%s %s cannot be read and is left out: %r", self._kind, "/".join(key or ()), error)
            return {key: self._items[key]} if key in self._items else {}

    def _put(self, key: Key, after: T | None) -> None:
        before = self._items.pop(key, None) if after is None else self._items.get(key)
        if after is not None:
            self._items[key] = after
        if before != after:
            self._notify(key, before, after)

    def _notify(self, key: Key, before: T | None, after: T | None) -> None:
        try:
            self._changed(key, before, after)
        except Exception:
            # The changes of other objects are passed on all the same: they come only once.
            log.exception("a change of %s %s was not taken in", self._kind, "/".join(key))


def _is_past(revision: str, reached: str | None) -> bool:
    """Whether a watch that has come so far has told of this revision; as far as can be told."""
    return reached is not None and revision.isdecimal() and reached.isdecimal() and int(revision) <= int(reached)
