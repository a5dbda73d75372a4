"""The server in place of a network: what stands in for urllib3's pool below the official client.

Answers in pieces are bytes of HTTP read by the standard library's parser, so that chunks, ends and broken
connections reach the transport as they do from a real server.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import urllib3
from kubernetes import client

from kubetuna_operator.kube.api_client import Api, Pace
from tests.apiserver.server import Handler, Response
from tests.apiserver.watches import Stream

Wait = Callable[[Stream, float], None]


class Pool:
    """Hands requests to ``handle``; ``wait`` blocks until a stream has more, or raises TimeoutError."""

    def __init__(self, handle: Handler, wait: Wait) -> None:
        self._handle, self._wait = handle, wait

    def request(
        self,
        method: str,
        url: str,
        body: str | None = None,
        timeout: urllib3.Timeout | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> urllib3.HTTPResponse:
        """As ``urllib3.PoolManager.request`` with ``preload_content=False``."""
        parts, sent = urlsplit(url), (body or "").encode()
        try:
            answer = self._handle(method, unquote(parts.path), dict(parse_qsl(parts.query)), sent, headers or {})
        except OSError as error:
            raise urllib3.exceptions.ProtocolError("Connection aborted.", error) from error
        if isinstance(answer.body, bytes):
            return cast(urllib3.HTTPResponse, _Whole(answer, answer.body))
        silence = timeout.read_timeout if timeout is not None else None
        socket = cast(Any, _Socket(self._wire(answer, answer.body, float(silence or 60.0)), answer.body))
        raw = http.client.HTTPResponse(socket, method=method)
        raw.begin()
        return urllib3.HTTPResponse(
            raw, urllib3.HTTPHeaderDict(raw.getheaders()), raw.status, raw.version, reason=raw.reason,
            preload_content=False, original_response=raw, request_method=method,
        )  # fmt: skip

    def clear(self) -> None:
        """Nothing is kept open."""

    def _wire(self, answer: Response, body: Stream, silence: float) -> Iterator[bytes]:
        head = f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, '')}\r\n"
        for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
            head += f"{name}: {value}\r\n"
        yield f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        while True:
            piece = body.take()
            if piece is not None:
                yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
            elif body.closed:
                break
            else:
                self._wait(body, silence)
        yield b"0\r\n\r\n"


class _Whole:
    """An answer that came whole: what the client and the transport ask of urllib3's, which takes long to make."""

    def __init__(self, answer: Response, body: bytes) -> None:
        self.status, self.data, self.reason = answer.status, body, None
        self.headers: Mapping[str, str] = {"Content-Type": answer.content_type, **answer.headers}

    def stream(self, _most: int, decode_content: bool = True) -> Iterator[bytes]:
        """All of it in one piece."""
        assert decode_content
        yield from filter(None, [self.data])

    def close(self) -> None:
        """It has been read."""


class _Socket:
    def __init__(self, pieces: Iterator[bytes], body: Stream) -> None:
        self._file = _Pieces(pieces, body)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._file)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes], body: Stream) -> None:
        self._pieces, self._body, self._rest = pieces, body, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest or next(self._pieces, b"")
        count = min(len(buffer), len(piece))
        buffer[:count], self._rest = piece[:count], piece[count:]
        return count

    def close(self) -> None:
        self._body.close()
        super().close()


def connect(handle: Handler, wait: Wait, pace: Pace | None = None) -> Api:
    """The operator's own transport, with a server in place of a network."""
    configuration = client.Configuration()
    configuration.host = "http://apiserver"
    return Api(configuration, Pool(handle, wait), pace)
