"""A relay in front of a server, so that one client's network can be cut while everybody else's holds.

Cut, it refuses what is new and ends what is there, as a lost route with a reset does. Silent, it takes connections
and lets nothing through, as a lost route without a word does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

T = TypeVar("T")
State = Literal["open", "cut", "silent"]
PIECE = 65_536
ANSWER_SECONDS = 10.0


class Relay:
    """Listens on a port of its own and passes everything on to ``host:port``, in a thread."""

    def __init__(self, host: str, port: int) -> None:
        self._target, self._state = (host, port), "open"
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self.port = self._call(self._listen())
        self.set("open")

    def set(self, state: State) -> None:
        """From now on. What was held back while silent then goes on."""
        self._call(self._turn(state))

    def close(self) -> None:
        """End every connection, and the thread."""
        self.set("cut")
        self._call(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _turn(self, state: State) -> None:
        self._state = state
        if state == "silent":
            self._flows.clear()
        else:
            self._flows.set()
        if state == "cut":
            for writer in self._writers:
                writer.transport.abort()

    async def _drain(self) -> None:
        """Let every connection's task see its end."""
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if self._state == "cut":
            writer.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, server}
        await asyncio.gather(self._pass(reader, server), self._pass(answers, writer))
        self._writers -= {writer, server}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
