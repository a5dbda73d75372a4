"""Requests to the API server: raw JSON in both directions, one budget for writes, errors by their meaning.

The official client brings authentication and connections; its typed models are left aside, being slow and
dropping fields that they do not know.
"""

from __future__ import annotations

import copy
import functools
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from prometheus_client import Counter, Histogram

from kubetuna.errors import KubetunaError
from kubetuna.experiment.units import duration
from kubetuna_operator.kube.objects import mapping
from kubetuna_operator.kube.server_time import ServerTime
from kubetuna_operator.telemetry import REQUEST_SECONDS, REQUESTS

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
WRITES_PER_SECOND, WRITES_AT_ONCE = 50.0, 100.0
# The longest that a server may ask to be left alone.
LONGEST_PAUSE = 60.0
# For what nobody waits for, each kind apart: none takes the place of another, nor of what a trial waits for.
LAZY_PER_SECOND, LAZY_AT_ONCE = 20.0, 20.0
# How a 404 begins that is not about an object, though it may name one: a kubelet's, passed on.
_NOT_SERVED = "the server could not find the requested resource"
LAZY_KINDS = ("pods", "experiments", "trials", "events")


class Refused(KubetunaError):
    """The API server said no. ``code`` is HTTP's, ``reason`` Kubernetes' word, ``message`` for people.

    ``fields`` are the paths that it names as wrong.
    """

    def __init__(self, code: int, reason: str, message: str, fields: tuple[str, ...] = ()) -> None:
        self.code, self.reason, self.message, self.fields = code, reason, message, fields
        super().__init__(f"{code} {reason}: {message}")


class Unreachable(KubetunaError):
    """The API server cannot be reached, or fails inside: the same request may succeed later.

    ``public`` is what anyone may read who sees an Experiment: no address.
    """

    def __init__(self, message: str, public: str = "the API server cannot be reached") -> None:
        self.public = public
        super().__init__(message)


class NotLeading(Unreachable):
    """The request was not sent: another operator may lead by now."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How time is measured (monotonic seconds) and waited for, and this machine's time of day."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    machine: Callable[[], float] = time.time


class TokenBucket:
    """At most ``rate`` a second on average and ``burst`` at once."""

    def __init__(self, rate: float, burst: float, pace: Pace) -> None:
        self._rate, self._burst, self._tokens, self._pace = rate, burst, burst, pace
        self._at, self._lock = pace.clock(), threading.Lock()

    def take(self) -> None:
        """Wait for a token."""
        with self._lock:
            now = self._pace.clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            delay = -self._tokens / self._rate
        if delay > 0:
            self._pace.sleep(delay)


class _Pauses:
    """What the server asked not to be asked again before some moment, with a 429 and Retry-After."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._until = clock, dict[tuple[str, str], float]()

    def heed(self, method: str, path: str) -> None:
        """Refuse a request that is too early."""
        left = self._until.get((method, path), 0.0) - self._clock()
        if left > 0:
            raise Unreachable(
                f"{method} {path}: not sent, the API server asked to wait {duration(left)} more", _BUSY
            )

    def note(self, method: str, path: str, seconds: str | None) -> None:
        """Take in what an answer asks for, in seconds; no API server gives a date."""
        if seconds is not None and seconds.isdecimal():
            now = self._clock()
            kept = {request: until for request, until in self._until.items() if until > now}
            self._until = {**kept, (method, path): now + min(LONGEST_PAUSE, float(seconds[:9]))}


_BUSY = "the API server is busy"


class Api:
    """A connection to one cluster, for any number of threads. ``pool`` stands in for urllib3's."""

    def __init__(self, configuration: client.Configuration, pool: Any = None, pace: Pace | None = None) -> None:
        configuration.connection_pool_maxsize = 64
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        if pool is not None:
            self._client.rest_client.pool_manager = pool
        pace = pace or Pace()
        self._writes = TokenBucket(WRITES_PER_SECOND, WRITES_AT_ONCE, pace)
        self._lazy = {kind: TokenBucket(LAZY_PER_SECOND, LAZY_AT_ONCE, pace) for kind in LAZY_KINDS}
        self._pauses = _Pauses(pace.clock)
        self.time = ServerTime(pace.machine)
        self._patience = ANSWER_SECONDS
        self._leads: Callable[[], bool] = lambda: True

    @staticmethod
    def connect(kubeconfig: str | None = None, context: str | None = None) -> Api:
        """With a kubeconfig where one is given or usual, else as the Pod that this runs in.

        Raises:
            KubetunaError: neither is there.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is None:
                try:
                    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                    return Api(configuration)
                except config.ConfigException:
                    # Not in a Pod: a person's kubeconfig is next.
                    pass
            config.load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, context=context, client_configuration=configuration
            )
        except (config.ConfigException, OSError, TypeError) as error:
            raise KubetunaError(f"no cluster to talk to: {error}; give --kubeconfig, or set KUBECONFIG") from error
        return Api(configuration)

    def within(self, seconds: float) -> Api:
        """The same connection and budgets, but an answer is waited for no longer than this."""
        other = copy.copy(self)
        other._patience = seconds
        return other

    def while_leading(self, leads: Callable[[], bool]) -> Api:
        """The same connection and budgets, but nothing is written unless it ``leads`` as the request is sent.

        A process may stand still between any two steps, for longer than its Lease lasts: whatever it had decided to
        do is another one's to decide by then.
        """
        other = copy.copy(self)
        other._leads = leads
        return other

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """Read one object, or a list of them."""
        return self._json("GET", path, query)

    def create(
        self, path: str, body: Mapping[str, Any], low_priority: bool = False, **query: object
    ) -> dict[str, Any]:
        """Create an object in the collection at ``path``."""
        return self._json("POST", path, query, body, low_priority=low_priority)

    def apply(self, path: str, body: Mapping[str, Any], manager: str, low_priority: bool = False) -> dict[str, Any]:
        """Server-side apply: make these fields so, creating the object where it is missing."""
        return self._json("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY, low_priority)

    def merge(self, path: str, body: Mapping[str, Any], low_priority: bool = False) -> dict[str, Any]:
        """Merge patch."""
        return self._json("PATCH", path, {}, body, MERGE, low_priority)

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object; refused with 409 where its resourceVersion has moved."""
        return self._json("PUT", path, {}, body)

    def delete(self, path: str, uid: str | None = None, low_priority: bool = False, **body: object) -> bool:
        """Delete one object, only the one with this UID where it is given; whether it was there.

        A conflict says that another one has the name, or only that this one is being changed.
        """
        options: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", **body}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", path, {}, options, low_priority=low_priority)
        except Refused as error:
            if error.code != 404 and (error.code != 409 or self.has(path, uid)):
                raise
            return False
        return True

    def find(self, path: str) -> dict[str, Any] | None:
        """One object, if it is there."""
        try:
            return self.get(path)
        except Refused as error:
            if error.code != 404:
                raise
        return None

    def has(self, path: str, uid: str | None) -> bool:
        """Whether an object is there, and is the one with this UID where it is given."""
        found = self.find(path)
        return found is not None and (uid is None or mapping(found.get("metadata")).get("uid") == uid)

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        """Ask, and once the server has begun to answer return the body in pieces as they come.

        They end with Unreachable after ``silence`` seconds without any.
        """
        pieces = _pieces(self._send("GET", path, query, None, None, silence), path)
        # Only what has begun is closed where it is given up, and that may be before anything was read.
        next(pieces)
        return pieces

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        low_priority: bool = False,
    ) -> dict[str, Any]:
        if method != "GET":
            (self._lazy[_lazy_kind(path)] if low_priority else self._writes).take()
            if not self._leads():
                raise NotLeading(f"{method} {path}: not sent, since the Lease was not renewed", "no operator leads")
        response = self._send(method, path, query, body, content_type, self._patience)
        with _as_unreachable(f"{method} {path}"):
            return _object(response.data)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, Any] | None,
        content_type: str | None,
        patience: float,
    ) -> urllib3.HTTPResponse:
        self._pauses.heed(method, path)
        pairs = [(name, value) for name, value in query.items() if value is not None]
        headers = {"Accept": "application/json", "Content-Type": content_type or "application/json"}
        timeout, sent_at = (min(CONNECT_SECONDS, patience), patience), self.time.sent()
        with _as_unreachable(f"{method} {path}", lambda: _requests_of(method, "error").inc()):
            # This reads the token's file. It would copy a body, which is JSON already, and headers, which are text.
            verb, url, sent, _, form = self._client.param_serialize(
                method, path, query_params=pairs, auth_settings=["BearerToken"]
            )
            with _seconds_of(method).time():
                answer = self._client.call_api(verb, url, sent | headers, body, form, _request_timeout=timeout)
        response: urllib3.HTTPResponse = answer.response
        _requests_of(method, str(response.status)).inc()
        self.time.answered(response.headers.get("Date"), sent_at)
        if response.status >= 400:
            self._pauses.note(method, path, response.headers.get("Retry-After"))
            with _as_unreachable(f"{method} {path}: {response.status}"):
                data = response.data
            raise _refusal(method, path, response.status, data)
        return response


# There are few of them, and to look one up takes as long as to count in it.
@functools.cache
def _requests_of(method: str, code: str) -> Counter:
    return REQUESTS.labels(method, code)


@functools.cache
def _seconds_of(method: str) -> Histogram:
    return REQUEST_SECONDS.labels(method)


def _lazy_kind(path: str) -> str:
    """Whose budget a write takes from: that of its collection; what runs trials shares the Pods' one."""
    _, _, within = path.partition("/namespaces/")
    kind = f"{within}//".split("/")[1]
    return kind if kind in LAZY_KINDS else "pods"


def _pieces(response: urllib3.HTTPResponse, path: str) -> Iterator[bytes]:
    pieces: Generator[bytes] = response.stream(65_536, decode_content=True)
    try:
        yield b""
        while True:
            with _as_unreachable(path):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
    finally:
        # A connection that broke, or that another thread shut, may not be closed once more without an error.
        with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            pieces.close()
        with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            response.close()


@contextmanager
def _as_unreachable(what: str, failed: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Whatever goes wrong on the wire, or is no answer, becomes the transport's own error."""
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError, ValueError, ApiException, config.ConfigException) as error:
        failed()
        raise Unreachable(f"{what}: {error}") from error


def read_event(line: bytes, path: str) -> dict[str, Any]:
    """One line of a watch."""
    with _as_unreachable(path):
        return _object(line)


def _object(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("the answer is not a JSON object")
    return found


def _refusal(method: str, path: str, code: int, data: bytes) -> Exception:
    try:
        status = _object(data)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
        causes = (status.get("details") or {}).get("causes") or []
        fields = tuple(str(cause["field"]) for cause in causes if cause.get("field"))
        named = bool((status.get("details") or {}).get("name")) and not message.startswith(_NOT_SERVED)
    except (ValueError, AttributeError):
        reason, message, fields, named = "", data[:500].decode(errors="replace"), (), False
    # A kind that is not served now, a proxy's page, a kubelet that has just begun and does not know its Pods yet:
    # none of that is about the object, which may be there all the same.
    if code in (408, 429) or code >= 500 or (code == 404 and not named and _names_object(path)):
        text = f"{code} {reason} {message[:300]}"
        return Unreachable(f"{method} {path}: {text}", text)
    return Refused(code, reason, message[:1000], fields)


def _names_object(path: str) -> bool:
    _, _, within = path.partition("/namespaces/")
    return within.count("/") > 1


def collection(kind: str, namespace: str | None) -> str:
    """The path of a collection: ``experiments`` and ``trials`` are ours, ``GROUP/VERSION/KIND`` says whose."""
    group, _, plural = kind.rpartition("/")
    roots = {"experiments": "/apis/kubetuna.dev/v1alpha1", "trials": "/apis/kubetuna.dev/v1alpha1",
             "leases": "/apis/coordination.k8s.io/v1"}  # fmt: skip
    root = f"/apis/{group}" if group else roots.get(plural, "/api/v1")
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def split_lines(
    pieces: Iterator[bytes], longest: int | None = None, tail: bool = False, head: int = 0
) -> Iterator[bytes]:
    """Whole lines of a stream, without their newline; what follows the last newline only with ``tail``.

    Of a line longer than ``longest`` bytes only one byte more than that is kept, however long it is: its first
    ``head`` bytes and its end.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if longest is not None and len(rest) > longest:
            rest = rest[:head] + rest[head - longest - 1 :]
    if tail and rest:
        yield rest
