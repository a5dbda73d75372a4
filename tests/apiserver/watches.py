"""Answers that come in pieces, and the watches among them."""

from __future__ import annotations

from collections import deque

from tests.apiserver.failures import Failure
from tests.apiserver.lists import Query, selects
from tests.apiserver.objects import Change, Objects, text_of
from tests.apiserver.resources import Object, Target

BOOKMARK_SECONDS = 60.0
# What the server draws from where the client names no end.
WATCH_SECONDS = 1800.0


class Stream:
    """The body of an answer that is still being given. ``broken``: how the connection ends, if not well."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.closed = False
        self.broken: OSError | None = None

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or nothing will come any more."""
        return bool(self._pieces) or self.closed

    def push(self, piece: bytes) -> None:
        """Say something more."""
        if not self.closed:
            self._pieces.append(piece)

    def close(self, broken: OSError | None = None) -> None:
        """Say nothing more; what was said can still be read."""
        self.closed, self.broken = True, broken

    def take(self) -> bytes | None:
        """The next piece that there is."""
        if self._pieces:
            return self._pieces.popleft()
        if self.broken is not None:
            raise self.broken
        return None


class Watch(Stream):
    """The changes of one collection after a revision."""

    def __init__(self, target: Target, query: Query, objects: Objects, now: float) -> None:
        super().__init__()
        self.target, self._query, self._objects = target, query, objects
        self._until = now + float(query.get("timeoutSeconds") or WATCH_SECONDS)
        self._bookmarks = query.get("allowWatchBookmarks") == "true"
        self._spoke = now
        self._begin(query.get("resourceVersion") or "0")

    def _begin(self, revision: str) -> None:
        if revision == "0":
            for obj in self._objects.of(self.target.resource, self.target.namespace):
                if selects(self._query, obj):
                    self._say("ADDED", obj)
            return
        try:
            for change in self._objects.since(int(revision)):
                self.see(change)
        except Failure as failure:
            self._say("ERROR", failure.body())
            self.close()

    def see(self, change: Change) -> None:
        """Tell of a change, as it looks through the selector."""
        if change.resource != self.target.resource or self.target.namespace not in (None, change.key[0]):
            return
        before = change.before is not None and selects(self._query, change.before)
        after = change.after is not None and selects(self._query, change.after)
        if before and not after and change.before is not None:
            metadata = {**change.before["metadata"], "resourceVersion": str(change.revision)}
            self._say("DELETED", {**change.before, "metadata": metadata})
        elif after and change.after is not None:
            self._say("MODIFIED" if before else "ADDED", change.after)

    def tick(self, now: float) -> None:
        """Time went by: a bookmark where it was quiet for long, the end where it is due."""
        if self.closed:
            return
        if now >= self._until:
            if self._bookmarks:
                self._bookmark()
            self.close()
        elif self._bookmarks and now >= self._spoke + BOOKMARK_SECONDS:
            self._spoke = now
            self._bookmark()

    def _bookmark(self) -> None:
        resource, revision = self.target.resource, str(self._objects.revision)
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"resourceVersion": revision}}
        self._say("BOOKMARK", obj)

    def _say(self, kind: str, obj: Object) -> None:
        self.push(b'{"type": "%b", "object": %b}\n' % (kind.encode(), text_of(obj)))
