"""What containers printed, and the part of it that a request asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.apiserver.failures import bad_request
from tests.apiserver.resources import Object
from tests.apiserver.watches import Stream

NANOSECONDS = 1_000_000_000
UNREADABLE = b"unable to retrieve container logs for containerd://4f2c"


@dataclass
class Log:
    """One container's file on its node, and who follows it, with or without times."""

    lines: list[tuple[int, bytes]] = field(default_factory=list)
    followers: list[tuple[Stream, bool]] = field(default_factory=list)


class Logs:
    """The logs on all nodes, by the Pod's UID and the container's name."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, str], Log] = {}
        # UIDs of Pods whose files their nodes cannot read any more.
        self.lost: set[str] = set()

    def add(self, uid: str, container: str, at: float, line: bytes) -> None:
        """A container prints a line; one without a newline is what it says last."""
        log = self._logs.setdefault((uid, container), Log())
        stamp = max(round(at * NANOSECONDS), log.lines[-1][0] if log.lines else 0)
        log.lines.append((stamp, line))
        for stream, stamped in log.followers:
            stream.push(_shown(stamp, line, stamped))

    def rotate(self, uid: str) -> None:
        """Begin new files, as a kubelet does whose containers printed much: the old ones can't be read any more."""
        for log in [log for key, log in self._logs.items() if key[0] == uid]:
            log.lines.clear()

    def end(self, uid: str, container: str) -> None:
        """The container has ended: who follows is told."""
        for stream, _ in self._logs.get((uid, container), Log()).followers:
            stream.close()

    def forget(self, uid: str) -> None:
        """The Pod is gone, and its files with it."""
        for key in [key for key in self._logs if key[0] == uid]:
            self.end(*key)
            del self._logs[key]

    def read(self, pod: Object, query: Mapping[str, str]) -> bytes | Stream:
        """GET ``pods/NAME/log``.

        Raises:
            Failure: 400, no such container, or one that has not started.
        """
        name = _container(pod, query)
        state = _state(pod, name)
        if not pod["spec"].get("nodeName"):
            return b""
        if "running" not in state and "terminated" not in state:
            why = (state.get("waiting") or {}).get("reason", "ContainerCreating")
            raise bad_request(f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start: {why}')
        key = (pod["metadata"]["uid"], name)
        if key[0] in self.lost:
            return UNREADABLE
        log = self._logs.setdefault(key, Log())
        said, stamped = _asked(log, query), query.get("timestamps") == "true"
        if query.get("follow") != "true" or "terminated" in state:
            return said
        stream = Stream()
        stream.push(said)
        log.followers.append((stream, stamped))
        return stream


def _asked(log: Log, query: Mapping[str, str]) -> bytes:
    lines = log.lines
    if since := query.get("sinceTime"):
        # The API server hands the time on to the kubelet without its fraction.
        first = int(datetime.fromisoformat(since).timestamp()) * NANOSECONDS
        lines = [line for line in lines if line[0] >= first]
    if tail := query.get("tailLines"):
        lines = lines[max(0, len(lines) - int(tail)) :]
    said = b"".join(_shown(*line, query.get("timestamps") == "true") for line in lines)
    return said[: int(query["limitBytes"])] if query.get("limitBytes") else said


def _shown(stamp: int, line: bytes, stamped: bool) -> bytes:
    return _rfc3339(stamp).encode() + b" " + line if stamped else line


def _rfc3339(stamp: int) -> str:
    seconds, fraction = divmod(stamp, NANOSECONDS)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:09}Z"


def _container(pod: Object, query: Mapping[str, str]) -> str:
    names = [c["name"] for c in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]]
    name, own = query.get("container") or (names[0] if len(names) == 1 else ""), pod["metadata"]["name"]
    if not name:
        raise bad_request(f"a container name must be specified for pod {own}, choose one of: [{' '.join(names)}]")
    if name not in names:
        raise bad_request(f"container {name} is not valid for pod {own}")
    return name


def _state(pod: Object, name: str) -> Mapping[str, Any]:
    status = pod["status"]
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return next((s.get("state") or {} for s in statuses if s["name"] == name), {})
