"""A local image of one kind of object: list, then watch from there, for ever.

Only projections are kept. A watch that ends is normal and goes on from the last revision; one that is too old (410)
lists again; one that is silent longer than the server's bookmarks allow is taken for dead, and made anew. Failures
wait longer each time. Nothing that the server sends ends a watch: an object that cannot be read is left out, and
after whatever else is wrong everything is listed anew.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
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
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0


class _Expired(Exception):
    """The revision is too old: list again."""


class Reflector(Generic[T]):
    """Keeps ``project(object)`` of every object of a kind, by (namespace, name), and tells of each change.

    ``turned`` is called when all was listed, and when the server begins or ceases to refuse: ``refusal`` tells why.
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
    ) -> None:
        self._api, self._kind, self._path = api, kind, collection(kind, namespace)
        self._project, self._changed, self._selector = project, changed, selector
        self._turned, self.refusal = turned, ""
        self._random = random.Random()
        self._items: dict[Key, T] = {}
        self._revision: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.synced = threading.Event()
        self.last_event_at = self._opened = time.monotonic()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        supervised(f"watch-{self._path}", self._run).start()

    def stop(self) -> None:
        """Stop at the next event."""
        self._ended.set()

    def items(self) -> dict[Key, T]:
        """What is known now, copied."""
        with self._lock:
            return dict(self._items)

    def get(self, key: Key) -> T | None:
        """One object."""
        with self._lock:
            return self._items.get(key)

    def learn(self, obj: Mapping[str, Any]) -> None:
        """Take in an object that came with the answer to a write, ahead of its event."""
        for key, found in self._read(obj).items():
            with self._lock:
                known = key in self._items
                self._items.setdefault(key, found)
            if not known:
                self._notify(key, None, found)

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                if self._revision is None:
                    self._list()
                self._watch()
                failures = 0
            except _Expired:
                self._again("expired")
            except Refused as error:
                self._again("expired" if error.code == 410 else "refused")
                if error.code != 410:
                    failures += 1
                    self._note_refusal(str(error))
            except Unreachable:
                # A server sends no bookmarks for a kind of which it has never had an object: that is no failure.
                failures = 0 if time.monotonic() - self._opened > LONGEST_WAIT else failures + 1
                WATCH_RESTARTS.labels(self._kind, "unreachable").inc()
            except Exception:
                # Whatever it is: without this watch the operator would be blind, and nobody would know.
                log.exception("the watch of %s failed and begins anew", self._kind)
                self._again("failed")
                failures += 1
            if failures:
                self._ended.wait(
                    wait_after(failures + 1, FIRST_WAIT, LONGEST_WAIT) * self._random.uniform(0.5, 1.0)
                )

    def _again(self, reason: str) -> None:
        WATCH_RESTARTS.labels(self._kind, reason).inc()
        self._revision = None

    def _note_refusal(self, why: str) -> None:
        """Take in why the server refuses, or that it does not. A refusal is an answer too: the watch is alive."""
        self.last_event_at = time.monotonic()
        before, self.refusal = self.refusal, why
        if bool(before) != bool(why):
            self._turned()

    def _list(self) -> None:
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
            before, self._items = self._items, found
        for key in {*before, *found}:
            if before.get(key) != found.get(key):
                self._notify(key, before.get(key), found.get(key))
        self._revision = revision_of(page)
        self.last_event_at = time.monotonic()
        self.synced.set()
        self._turned()

    def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._revision,
            "labelSelector": self._selector,
            "timeoutSeconds": WATCH_SECONDS + self._random.randrange(60),
        }
        pieces = self._api.stream(self._path, query, SILENCE)
        self._opened = time.monotonic()
        # Only now: who may list and not watch would else begin and cease to be refused for ever.
        self._note_refusal("")
        for line in split_lines(pieces):
            if self._ended.is_set():
                return
            self._event(read_event(line, self._path))

    def _event(self, event: Mapping[str, Any]) -> None:
        self.last_event_at = time.monotonic()
        kind, obj = event["type"], mapping(event["object"])
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _Expired
            raise Unreachable(str(obj.get("message", "the watch failed")))
        self._revision = revision_of(obj)
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
        with self._lock:
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
