"""The API server: one request in, one answer out.

``Server.handle`` is the seam: whoever wraps it can lose, delay, refuse or double any request and cut any answer.
"""

from __future__ import annotations

import functools
import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from kubetuna.trials.attempts import Clock
from tests.apiserver import lists
from tests.apiserver.deletion import Deletion
from tests.apiserver.failures import Failure, bad_request, no_such_path
from tests.apiserver.logs import Logs
from tests.apiserver.objects import Change, Objects, text_of
from tests.apiserver.resources import PODS, Object, Resource, Target, find_target, resources_of
from tests.apiserver.watches import Stream, Watch
from tests.apiserver.writes import Writes

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: its whole body, or one that comes in pieces."""

    status: int
    body: bytes | Stream = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


# What answers a request (method, path, query, body, headers): the server, or faults around it. An OSError that
# it raises is a connection that failed.
Handler = Callable[[str, str, Query, bytes, Mapping[str, str]], Response]


class Server:
    """An API server. ``changed`` guards it, and is notified whenever something in it changes."""

    def __init__(self, clock: Clock, draw: random.Random) -> None:
        self.clock, self.changed = clock, threading.Condition(threading.RLock())
        self.objects = Objects(clock, draw)
        self.writes = Writes(self.objects)
        self.deletion = Deletion(self.objects, self.writes)
        self.logs = Logs()
        # Whether what it takes of changes to Pods is lost: as after the power goes before it was on the disk.
        self.forgets = False
        self.watches: list[Watch] = []
        self.objects.listen(self._changed)

    def handle(self, method: str, path: str, query: Query, body: bytes, headers: Mapping[str, str]) -> Response:
        """Answer one request."""
        with self.changed:
            try:
                answer = self._answer(method, path, query, json.loads(body) if body else {}, headers)
            except Failure as failure:
                answer = _json(failure.code, failure.body())
            dated = {**answer.headers, "Date": _date(int(self.clock.now()))}
            return Response(answer.status, answer.body, answer.content_type, dated)

    def _answer(self, method: str, path: str, query: Query, body: Object, headers: Mapping[str, str]) -> Response:
        if method == "GET" and (found := resources_of(path)) is not None:
            return _json(200, found)
        target = find_target(path)
        if target is None or not _has_part(target):
            raise no_such_path()
        if target.part == "log":
            return self._log(target, query)
        if target.part == "eviction":
            return self._evict(target, body)
        if self.forgets and target.resource == PODS and method in ("PATCH", "DELETE"):
            return self._forget(target, method, query, body, headers)
        match method:
            case "GET" if target.name is not None:
                return _json(200, self.writes.find(target))
            case "GET" if query.get("watch") == "true":
                return Response(200, self._watch(target, query))
            case "GET":
                return _json(200, lists.page(self.objects, target, query))
            case "POST" if target.name is None:
                return _json(201, self.writes.create(target, body, query))
            case "PUT":
                return _json(200, self.writes.replace(target, body, query))
            case "PATCH":
                return self._patch(target, body, query, headers.get("Content-Type", ""))
            case "DELETE" if target.name is not None and target.part is None:
                return self._delete(target, body)
        raise Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _patch(self, target: Target, body: Object, query: Query, content_type: str) -> Response:
        if content_type == APPLY:
            made, obj = self.writes.apply(target, body, query)
            return _json(201 if made else 200, obj)
        if content_type == MERGE:
            return _json(200, self.writes.merge(target, body, query))
        raise Failure(415, "UnsupportedMediaType", f"the body of the request has an unknown format: {content_type}")

    def _delete(self, target: Target, options: Object) -> Response:
        found = self.writes.find(target)
        left = self.deletion.delete(target.resource, found, options)
        if left is not None:
            return _json(200, left)
        details = {"name": target.name, "kind": target.resource.plural, "uid": found["metadata"]["uid"]}
        return _json(200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details})

    def _forget(
        self, target: Target, method: str, query: Query, body: Object, headers: Mapping[str, str]
    ) -> Response:
        """The answer as if it were done."""
        if method == "DELETE":
            return _json(200, self.writes.find(target))
        return self._patch(target, body, {**query, "dryRun": "All"}, headers.get("Content-Type", ""))

    def _log(self, target: Target, query: Query) -> Response:
        said = self.logs.read(self.writes.find(target), query)
        return Response(200, said, "text/plain")

    def _evict(self, target: Target, body: Object) -> Response:
        if body.get("kind") != "Eviction":
            raise bad_request("an Eviction is expected")
        reason, message = "EvictionByEvictionAPI", "Eviction API: evicting"
        disrupted = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        found = self.writes.find(target)
        pod = self.change(found, lambda p: p["status"].setdefault("conditions", []).append(disrupted))
        self.deletion.delete(PODS, pod, body.get("deleteOptions") or {})
        return _json(201, {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201})

    def _watch(self, target: Target, query: Query) -> Watch:
        watch = Watch(target, query, self.objects, self.clock.now())
        self.watches.append(watch)
        return watch

    def _changed(self, change: Change) -> None:
        for watch in self.watches:
            watch.see(change)
        if change.resource == PODS and change.after is None:
            self.logs.forget(change.last["metadata"]["uid"])
        with self.changed:
            self.changed.notify_all()

    def change(self, obj: Object, edit: Callable[[Object], Any], resource: Resource = PODS) -> Object:
        """A component of the cluster changes an object, past what a client may."""
        with self.changed:
            return self.writes.change(resource, obj, edit)

    def tick(self) -> None:
        """Time went by: watches that are due end, quiet ones get a bookmark."""
        with self.changed:
            for watch in self.watches:
                watch.tick(self.clock.now())
            self.watches = [watch for watch in self.watches if not watch.closed]
            self.changed.notify_all()

    def cut_watches(self, broken: OSError | None = None) -> None:
        """End every watch now, as a server that restarts does."""
        with self.changed:
            for watch in self.watches:
                watch.close(broken)
            self.watches.clear()
            self.changed.notify_all()

    def wait(self, stream: Stream, seconds: float) -> None:
        """Wait, as a thread that reads does, until a stream has something to say.

        Raises:
            TimeoutError: it has not, for this long.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: stream.ready, seconds):
                raise TimeoutError("timed out")


def _has_part(target: Target) -> bool:
    parts = {None, *(["status"] if target.resource.status else [])}
    return target.part in parts | ({"log", "eviction"} if target.resource == PODS else set())


@functools.lru_cache(maxsize=8)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _json(status: int, obj: Object) -> Response:
    return Response(status, text_of(obj))
