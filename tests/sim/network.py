"""One process's connection to the API server, on which every request, answer and watch can go wrong.

A fault comes before the request has its effect or after it. While an answer is slow the rest of the world goes on,
and other work of the same process with it; while the process is frozen only the others do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from kubetuna_operator.kube.api_client import ANSWER_SECONDS
from kubetuna_operator.kube.leader import ANSWER_SECONDS as ELECTION_PATIENCE
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.failures import Failure, no_such_pod_on_its_node
from tests.apiserver.logs import UNREADABLE
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import KATIB_EXPERIMENTS, PODS, find_target
from tests.apiserver.server import Query, Response, Server
from tests.apiserver.watches import Stream, Watch
from tests.sim.actors import NEVER
from tests.sim.bounds import API_SERVER
from tests.sim.draws import Draws, Fault

# How a request can go wrong, with weights. "lost" is a connection that breaks; "after": it was carried out.
ANY = {
    "429": 2.0, "429 wait": 1.5, "404": 1.5, "500": 1.0, "503": 2.0, "504 after": 1.0, "403": 1.5,
    "cut error": 0.5, "page": 0.5, "slow": 2.5, "slow after": 2.5,
    "lost before": 3.0, "lost after": 4.0, "timeout before": 0.7, "timeout after": 1.0, "cut answer": 2.0,
    "frozen before": 0.5, "frozen after": 0.5, "killed before": 0.7, "killed after": 0.7,
}  # fmt: skip
# Others write the same objects, and to be stored takes longer than to be read.
WRITES = {**ANY, "409": 3.0, "slow after": 5.0}
LOGS = {**ANY, "no log": 2.0, "half log": 2.0, "late log": 2.0, "odd line": 1.0}
WATCHES = {**ANY, "gone": 1.0, "failed": 1.0, "odd": 4.0, "silent": 1.0, "late": 3.0, "cut": 4.0}
SAID_NO = {
    "429": (429, "TooManyRequests", "too many requests, please try again later"),
    "404": (404, "NotFound", "the server could not find the requested resource"),
    "500": (500, "InternalError", "etcdserver: leader changed"),
    "503": (503, "ServiceUnavailable", "apiserver is shutting down"),
    "403": (403, "Forbidden", "not yet ready to handle request"),
    "409": (409, "Conflict", "please apply your changes to the latest version and try again"),
}
# What a watch tells as its last event.
ENDS = {
    "gone": (410, "Expired", "too old resource version"),
    "failed": (500, "InternalError", "etcdserver: no leader"),
}
# What every world asks for all the time. Anything else is asked for seldom, and goes wrong more often instead.
EVERYDAY, SELDOM = frozenset({"pods", "experiments", "trials", "leases"}), 5.0
FREEZE_SECONDS, SLOW_SECONDS, LATE_SECONDS, CUT_SECONDS, PAUSE_SECONDS = 60.0, 8.0, 20.0, 60.0, 30.0
LAG = 0.05
PAGE = b"<html><body>The proxy has no answer.</body></html>"
ODD_LINE = b"2026-13-40T25:61:61Z a line of no time\n"
KATIB = f"/{KATIB_EXPERIMENTS.api_version}/"
_KIND = re.compile(
    r"/(experiments|trials|pods|events|leases|jobs|jobsets|trainjobs|pytorchjobs|workflows|resourceclaimtemplates)\b(/[^/]+)?(/\w+)?"
)


class Killed(BaseException):
    """The process is dead; nothing that it still tries has an effect. No handler of errors may catch it."""


class Host(Protocol):
    """The process whose network this is."""

    name: str
    alive: bool
    # None: the API server cannot be reached.
    cut_off: bool
    # By how much later than others' its watch of Experiments tells of what happened.
    behind: float

    def rest(self, seconds: float, frozen: bool) -> None:
        """Let the world go on for so long in the midst of a step."""

    def die(self, why: str) -> None:
        """End the process."""

    def standing(self) -> object:
        """Another one each time that it is frozen, and where another process comes to lead."""

    def too_late(self, late: bool) -> None:
        """Whether what is carried out now was sent by a process of another standing."""

    def says(self, what: str) -> None:
        """Put something into the trace."""

    def heeds_not(self, what: str) -> None:
        """It asks again although it was told to wait."""


class Delivery:
    """A watch on its way to who reads it: events arrive in order, each some time after it happened."""

    def __init__(
        self, watch: Watch, now: Callable[[], float], fault: Fault | None, behind: Callable[[], float]
    ) -> None:
        self.stream, self._watch, self._now, self._behind = Stream(), watch, now, behind
        self._kind, share = (fault.kind, fault.share) if fault else ("", 0.0)
        self._lag = LATE_SECONDS * share if self._kind == "late" else LAG
        self._ends = now() + CUT_SECONDS * share if self._kind == "cut" else None
        self._seen: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing will be delivered any more, or nobody reads it."""
        if self.stream.closed:
            self._watch.close()
        return self.stream.closed

    @property
    def due(self) -> float:
        """When something is to be delivered next."""
        if self._ends is None and not self._watch.ready:
            return NEVER
        if self._ends is not None and (self._ends <= self._now() or not self._watch.ready):
            return self._ends
        if not self._watch.ready or self._kind == "silent":
            return NEVER
        if self._seen is None:
            self._seen = self._now()
        return self._seen + max(self._lag, self._behind())

    def close(self) -> None:
        """Break off."""
        self._watch.close()
        self.stream.close(ConnectionResetError("connection reset by peer"))

    def step(self) -> None:
        """Deliver what is due."""
        if self._ends is not None and self._now() >= self._ends:
            self.close()
            return
        self._seen = None
        try:
            while (piece := self._watch.take()) is not None:
                self.stream.push(piece)
        except OSError as error:
            self.stream.close(error)
        if self._watch.closed:
            self.stream.close()


class Network:
    """Hands a process's requests to the server."""

    def __init__(self, host: Host, server: Server, draws: Draws, answers: Callable[[str], bool]) -> None:
        self._host, self._server, self._draws, self._answers = host, server, draws, answers
        self._deliveries: list[Delivery] = []
        # What each watch reads from, by its kind.
        self.streams: dict[str, Stream] = {}
        # Until when a request is not to be made again, since a 429 said so.
        self._pauses: dict[tuple[str, str], float] = {}

    def handle(self, method: str, path: str, query: Query, body: bytes, headers: Mapping[str, str]) -> Response:
        """Answer one request, or fail to."""
        self._check()
        if self._host.cut_off:
            raise ConnectionRefusedError(f"{API_SERVER}: connection refused")
        kind, name = kind_of(method, path, query)
        if self._server.clock.now() < self._pauses.get((method, path), 0.0):
            self._host.heeds_not(f"{kind} {name}")
        fault = self._draws.fault(f"{self._host.name} {kind}", _kinds(kind), _often(kind))
        if fault is not None:
            self._host.says(f"FAULT {kind} {name}: {fault.kind}")
        standing = self._host.standing()
        refused = self._before(fault, kind, name) if fault else None
        if fault is not None and fault.kind == "429 wait":
            refused = self._pause(method, path, fault.share)
        self._host.too_late(self._host.standing() != standing)
        answer = refused or self._answer(method, path, query, body, headers)
        self._host.too_late(False)
        if not kind.startswith("WATCH") and not kind.endswith(" leases"):
            self._host.says(f"{kind} {name} {answer.status}")
        if fault is not None and fault.kind == "late log" and answer.status == 200 and not self._has_ended(path):
            answer = Response(200, _late(answer.body, fault.share), answer.content_type)
        answer = self._after(fault, answer, kind) if fault else answer
        if isinstance(answer.body, Watch):
            self.streams[kind.split()[1]] = stream = self._deliver(
                answer.body, fault, query.get("resourceVersion", ""), kind
            )
            answer = Response(answer.status, stream, answer.content_type)
        return answer

    def _pause(self, method: str, path: str, share: float) -> Response:
        seconds = 1 + int(PAUSE_SECONDS * share)
        self._pauses[method, path] = self._server.clock.now() + seconds
        refused = refusal(429, "TooManyRequests", "the server has received too many requests")
        return Response(429, refused.body, headers={"Retry-After": str(seconds)})

    def paused(self, part: str) -> bool:
        """Whether some request to a path with this part is not to be made yet."""
        now = self._server.clock.now()
        return any(part in path and now < until for (_, path), until in self._pauses.items())

    def _has_ended(self, path: str) -> bool:
        """Whether the container of this log has: then its runtime has written all of it."""
        target = find_target(path)
        assert target is not None and target.namespace and target.name
        pod = self._server.objects.get(PODS, (target.namespace, target.name))
        return pod is None or pod["status"]["phase"] in ENDED

    def _check(self) -> None:
        if not self._host.alive:
            raise Killed

    def _answer(self, method: str, path: str, query: Query, body: bytes, headers: Mapping[str, str]) -> Response:
        if path.endswith("/log") and not self._answers(path.split("/")[-2]):
            return refusal(500, "InternalError", "Get https://node:10250/containerLogs: dial tcp: i/o timeout")
        return self._server.handle(method, path, query, body, headers)

    def _before(self, fault: Fault, kind: str, name: str) -> Response | None:
        """What happens before the request has its effect; an answer where it never has one."""
        match fault.kind:
            case "slow":
                self._host.rest(SLOW_SECONDS * fault.share, frozen=False)
            case "lost before":
                raise ConnectionResetError(f"{API_SERVER}: connection reset by peer")
            case "timeout before":
                self._time_out(kind)
            case "frozen before":
                self._host.rest(1.0 + FREEZE_SECONDS * fault.share, frozen=True)
            case "killed before":
                self._host.die("killed before a request")
        self._check()
        if (kind, fault.kind) == ("GET pods/log", "404"):
            return Response(404, json.dumps(no_such_pod_on_its_node(name).body()).encode())
        return _said_no(fault.kind)

    def _after(self, fault: Fault, answer: Response, kind: str) -> Response:
        match fault.kind:
            case "504 after":
                answer = refusal(504, "Timeout", "request did not complete within the requested timeout")
            case "slow after":
                self._host.rest(SLOW_SECONDS * fault.share, frozen=False)
            case "lost after":
                raise ConnectionResetError(f"{API_SERVER}: connection reset by peer")
            case "timeout after":
                self._time_out(kind)
            case "frozen after":
                self._host.rest(1.0 + FREEZE_SECONDS * fault.share, frozen=True)
            case "killed after":
                self._host.die("killed after a request")
            case "cut answer" | "half log" if isinstance(answer.body, bytes):
                answer = Response(answer.status, _cut(answer.body, fault.share), answer.content_type)
            case "no log":
                answer = Response(200, UNREADABLE, "text/plain")
            case "odd line" if answer.status == 200:
                answer = Response(200, _begun_with(ODD_LINE, answer.body), answer.content_type)
        self._check()
        return answer

    def _time_out(self, kind: str) -> None:
        self._host.rest(ELECTION_PATIENCE if kind.endswith(" leases") else ANSWER_SECONDS, frozen=False)
        self._check()
        raise TimeoutError("timed out")

    def _deliver(self, watch: Watch, fault: Fault | None, revision: str, kind: str) -> Stream:
        if fault is not None and fault.kind in ENDS:
            watch.close()
            stream = Stream()
            stream.push(_event("ERROR", Failure(*ENDS[fault.kind]).body()))
            stream.close()
            return stream
        late = kind == "WATCH experiments"
        delivery = Delivery(watch, self._server.clock.now, fault, lambda: self._host.behind if late else 0.0)
        self._deliveries.append(delivery)
        if fault is not None and fault.kind == "odd":
            odd = {"metadata": {"name": "odd", "namespace": NAMESPACE, "resourceVersion": revision, "labels": 7}}
            delivery.stream.push(_event("MODIFIED", odd))
        return delivery.stream

    def due(self) -> float:
        """When a watch has something to deliver."""
        return min((delivery.due for delivery in self._deliveries), default=NEVER)

    def deliver(self) -> None:
        """Deliver what is due."""
        now = self._server.clock.now()
        for delivery in self._deliveries:
            if delivery.due <= now and self._host.cut_off:
                delivery.close()
            elif delivery.due <= now:
                delivery.step()
        self._deliveries = [delivery for delivery in self._deliveries if not delivery.over]

    def close(self) -> None:
        """The process is gone, and its connections with it."""
        for delivery in self._deliveries:
            delivery.close()
        self._deliveries.clear()


def kind_of(method: str, path: str, query: Query) -> tuple[str, str]:
    """What a request is, for a trace: its verb and kind, and the object's name."""
    found = _KIND.search(path)
    if found is None:
        return method, path
    kind, name, part = found.groups()
    kind = f"katib-{kind}" if KATIB in path else kind
    verb = "WATCH" if query.get("watch") == "true" else method
    return f"{verb} {kind}{part or ''}", (name or "").lstrip("/")


def _kinds(kind: str) -> Mapping[str, float]:
    if kind.startswith("WATCH"):
        return WATCHES
    if kind.endswith("/log"):
        return LOGS
    return ANY if kind.startswith("GET") else WRITES


def _often(kind: str) -> float:
    return 1.0 if kind.partition(" ")[2].partition("/")[0] in EVERYDAY else SELDOM


def _said_no(kind: str) -> Response | None:
    if kind == "page":
        return Response(502, PAGE, "text/html")
    if kind == "cut error":
        return Response(500, _cut(b'{"kind": "Status", "message": "rpc error: code = Unavail', 0.9))
    found = SAID_NO.get(kind)
    return refusal(*found) if found else None


def refusal(code: int, reason: str, message: str) -> Response:
    """The server says no."""
    return Response(code, json.dumps(Failure(code, reason, message).body()).encode())


def _event(kind: str, obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def _begun_with(line: bytes, body: bytes | Stream) -> bytes | Stream:
    return line + body if isinstance(body, bytes) else body


def _late(body: bytes | Stream, share: float) -> bytes | Stream:
    """Without the last lines, which have not reached the file."""
    if isinstance(body, Stream):
        return body
    lines = body.splitlines(keepends=True)
    return b"".join(lines[: int(len(lines) * share)])


def _cut(body: bytes, share: float) -> Stream:
    """The beginning of an answer, then the connection breaks."""
    stream = Stream()
    stream.push(body[: max(1, int(len(body) * share))])
    stream.close(ConnectionResetError("connection reset by peer"))
    return stream
