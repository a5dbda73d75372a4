"""Whoever does something in a simulated world, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from kubetuna_operator.kube.reflector import SILENCE, Reflector
from tests.apiserver.watches import Stream
from tests.fakes import FakeClock

NEVER = float("inf")


@dataclass(eq=False)
class Actor:
    """``due`` tells when its next step is, in seconds of the world's clock.

    ``process``: of which it is a part. ``alone``: it shares locks with others of its process, so that in the midst
    of another one's step it would wait. ``foreign``: others decide when it is due, not its own process alone.
    """

    name: str
    due: Callable[[], float]
    step: Callable[[], object]
    process: Any = None
    alone: bool = False
    foreign: bool = False
    busy: bool = False
    # When it is due, as long as its process does nothing. It is asked anew at that moment, since a queue may find
    # then that it waited in vain.
    known: float | None = None


class Promise(Future[Any]):
    """What comes of it. A worker that waits for that is kept from everything else, so none may."""

    def result(self, timeout: float | None = None) -> Any:
        """What came of it."""
        if not self.done():
            raise RuntimeError("a worker waits for what is done beside")
        return super().result(timeout)


class Beside(Executor):
    """A process's threads for what takes long, such as reading logs: what they are given waits for ``step``.

    ``may_start`` raises where there can be no more of them.
    """

    def __init__(self, clock: FakeClock, may_start: Callable[[], None] = lambda: None) -> None:
        self._clock, self._may_start = clock, may_start
        self._work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it later."""
        self._may_start()
        future: Future[Any] = Promise()
        self._work.append((future, lambda: fn(*args, **kwargs)))
        return future

    def due(self) -> float:
        """At once, where there is something to do."""
        return self._clock.time if self._work else NEVER

    def step(self) -> None:
        """Do what was given first."""
        future, work = self._work.pop(0)
        try:
            found = work()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(found)


class Timer:
    """Does something again and again, ``every`` so many seconds."""

    def __init__(self, clock: FakeClock, every: float, work: Callable[[], object]) -> None:
        self._clock, self._every, self._work, self._next = clock, every, work, clock.time

    def due(self) -> float:
        """When it does so next."""
        return self._next

    def step(self) -> None:
        """Do it."""
        try:
            self._work()
        finally:
            self._next = self._clock.time + self._every


class Watcher:
    """The thread of a reflector. ``stream`` gives what it reads from, once it watches."""

    def __init__(self, reflector: Reflector[Any], stream: Callable[[], Stream | None], clock: FakeClock) -> None:
        self._reflector, self._stream, self._clock = reflector, stream, clock
        self._next = self._heard = clock.time

    def due(self) -> float:
        """When there is something to read, or to do; or the server has been silent for too long."""
        if not self._reflector.watching:
            return self._next
        stream = self._stream()
        ready = stream is None or stream.ready
        return self._next if ready else max(self._next, self._heard + SILENCE)

    def step(self) -> None:
        """One step of it."""
        wait = self._reflector.step()
        self._heard = self._clock.time
        self._next = self._clock.time + wait
