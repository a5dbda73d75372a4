"""Requests to the API server: raw JSON in both directions, one budget for writes, errors by their meaning.

The official client brings authentication and connections; its typed models are left aside, being slow and
dropping fields that they do not know.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from kubetuna.errors import KubetunaError
from kubetuna_operator.telemetry import REQUEST_SECONDS, REQUESTS

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
WRITES_PER_SECOND, WRITES_AT_ONCE = 50.0, 100.0
# For what nobody waits for, so that it never takes the place of what a trial waits for.
LAZY_PER_SECOND, LAZY_AT_ONCE = 20.0, 20.0


class Refused(KubetunaError):
    """The API server said no. ``code`` is HTTP's, ``reason`` Kubernetes' word, ``message`` for people.

    ``fields`` are the paths that it names as wrong.
    """

    def __init__(self, code: int, reason: str, message: str, fields: tuple[str, ...] = ()) -> None:
        self.code, self.reason, self.message, self.fields = code, reason, message, fields
        super().__init__(f"{code} {reason}: {message}")


class Unreachable(KubetunaError):
    """The API server cannot be reached, or fails inside: the same request may succeed later."""


class TokenBucket:
    """At most ``rate`` a second on average and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._tokens = rate, burst, burst
        self._at, self._lock = time.monotonic(), threading.Lock()

    def take(self) -> None:
        """Wait for a token."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            delay = -self._tokens / self._rate
        if delay > 0:
            time.sleep(delay)


class Api:
    """A connection to one cluster, for any number of threads. ``pool`` stands in for urllib3's."""

    def __init__(self, configuration: client.Configuration, pool: Any = None) -> None:
        configuration.connection_pool_maxsize = 64
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        if pool is not None:
            self._client.rest_client.pool_manager = pool
        self._writes = TokenBucket(WRITES_PER_SECOND, WRITES_AT_ONCE)
        self._lazy = TokenBucket(LAZY_PER_SECOND, LAZY_AT_ONCE)

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

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """Read one object, or a list of them."""
        return self._json("GET", path, query)

    def create(self, path: str, body: Mapping[str, Any], lazily: bool = False, **query: object) -> dict[str, Any]:
        """Create an object in the collection at ``path``."""
        return self._json("POST", path, query, body, lazily=lazily)

    def apply(self, path: str, body: Mapping[str, Any], manager: str, lazily: bool = False) -> dict[str, Any]:
        """Server-side apply: make these fields so, creating the object where it is missing."""
        return self._json("PATCH", path, {"fieldManager": manager, "force": "true"}, body, APPLY, lazily)

    def merge(self, path: str, body: Mapping[str, Any], lazily: bool = False) -> dict[str, Any]:
        """Merge patch."""
        return self._json("PATCH", path, {}, body, MERGE, lazily)

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object; refused with 409 where its resourceVersion has moved."""
        return self._json("PUT", path, {}, body)

    def delete(self, path: str, uid: str | None = None, lazily: bool = False, **body: object) -> None:
        """Delete one object, only the one with this UID where it is given. None there is no error."""
        options: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", **body}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", path, {}, options, lazily=lazily)
        except Refused as error:
            if error.code not in (404, 409):
                raise

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        """Ask, and once the server has begun to answer return the body in pieces as they come.

        They end with Unreachable after ``silence`` seconds without any.
        """
        return _pieces(self._send("GET", path, query, None, None, silence), path)

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        lazily: bool = False,
    ) -> dict[str, Any]:
        if method != "GET":
            (self._lazy if lazily else self._writes).take()
        response = self._send(method, path, query, body, content_type, ANSWER_SECONDS)
        try:
            found: dict[str, Any] = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        return found

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, Any] | None,
        content_type: str | None,
        patience: float,
    ) -> urllib3.HTTPResponse:
        pairs = [(name, value) for name, value in query.items() if value is not None]
        headers = {"Accept": "application/json", "Content-Type": content_type or "application/json"}
        request = self._client.param_serialize(
            method, path, query_params=pairs, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            with REQUEST_SECONDS.labels(method).time():
                answer = self._client.call_api(*request, _request_timeout=(CONNECT_SECONDS, patience))
        except (urllib3.exceptions.HTTPError, OSError, ApiException) as error:
            REQUESTS.labels(method, "error").inc()
            raise Unreachable(f"{method} {path}: {error}") from error
        REQUESTS.labels(method, str(answer.status)).inc()
        if answer.status >= 400:
            raise _refusal(method, path, answer.status, answer.response.data)
        response: urllib3.HTTPResponse = answer.response
        return response


def _pieces(response: urllib3.HTTPResponse, path: str) -> Iterator[bytes]:
    try:
        yield from response.stream(65_536, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"{path}: {error}") from error
    finally:
        response.close()


def _refusal(method: str, path: str, code: int, data: bytes) -> Exception:
    try:
        status = json.loads(data)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
        causes = (status.get("details") or {}).get("causes") or []
    except (ValueError, AttributeError):
        reason, message, causes = "", data[:500].decode(errors="replace"), []
    if code in (408, 429) or code >= 500:
        return Unreachable(f"{method} {path}: {code} {reason} {message[:300]}")
    fields = tuple(str(cause["field"]) for cause in causes if cause.get("field"))
    return Refused(code, reason, message[:1000], fields)


def collection(kind: str, namespace: str | None) -> str:
    """The path of a collection: ``experiments`` and ``trials`` are ours, the others Kubernetes' own."""
    roots = {"experiments": "/apis/kubetuna.dev/v1alpha1", "trials": "/apis/kubetuna.dev/v1alpha1",
             "leases": "/apis/coordination.k8s.io/v1", "jobs": "/apis/batch/v1"}  # fmt: skip
    root = roots.get(kind, "/api/v1")
    return f"{root}/namespaces/{namespace}/{kind}" if namespace else f"{root}/{kind}"


def split_lines(pieces: Iterator[bytes], longest: int | None = None, tail: bool = False) -> Iterator[bytes]:
    """Whole lines of a stream, without their newline; what follows the last newline only with ``tail``.

    Of a line longer than ``longest`` bytes only one byte more than that is kept, however long it is.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if longest is not None and len(rest) > longest:
            rest = rest[: longest + 1]
    if tail and rest:
        yield rest
