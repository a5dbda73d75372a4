"""The ports between the plan and the world: a place where attempts run, a source of log lines, a clock.

The operator and the local runner execute the same plan through these protocols, so each has a real and a
fake implementation that pass one behaviour suite (``tests/contract``). The fourth port, the study, is
``kubetuna.study.study.Study`` over a database; its parts are under ``kubetuna.store``.
Times are seconds since the epoch, UTC, as floats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

# How much of a line of a log is read, in bytes: its end.
LINE_LIMIT = 64 * 1024


def end_of(line: bytes) -> bytes:
    """What is kept of a line, however long: its end, with one byte more as the sign that it was longer."""
    return line if len(line) <= LINE_LIMIT else line[-LINE_LIMIT - 1 :]


@dataclass(frozen=True, slots=True, order=True)
class AttemptKey:
    """Which attempt of which trial, numbered from 0 over all its repeats, and the index of the repeat it runs."""

    trial: int
    attempt: int
    repeat: int = 0


def attempt_name(experiment: str, key: AttemptKey) -> str:
    """The name of an attempt, the same for all time."""
    return f"{experiment}-{key.trial}-{key.repeat}-{key.attempt}"


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """Everything a place needs to start an attempt. ``params_hash`` guards against adopting a stranger.

    ``avoid`` are nodes on which earlier attempts of the trial failed, by no fault of their own.
    """

    key: AttemptKey
    name: str
    params: Mapping[str, str | int | float | bool]
    params_hash: str
    environment: Mapping[str, str]
    timeout: float | None = None
    avoid: tuple[str, ...] = ()


AttemptPhase = Literal["pending", "running", "ended"]


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """What is known of how an attempt ended; the outcome table turns it into an outcome.

    ``exit_code`` is None where the place cannot tell; ``signal`` where a signal ended the main process.
    ``reason`` is the place's own word: ``OOMKilled``, ``DeadlineExceeded``, ``Evicted``, ``Preempted``,
    ``NodeLost``, ``StartError`` (the command does not exist), ``Deleted``, ``RunnerDied``, ``LogLimit``, …
    """

    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str = ""

    @property
    def by_itself(self) -> bool:
        """Whether it ran to its end with exit code 0. An end that was asked for has the place's reason."""
        return self.exit_code == 0 and self.signal is None and self.reason is None


GONE = ExitFacts(reason="Deleted", message="it was running and is gone")


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One attempt as its place sees it now.

    ``created`` is None where the place cannot tell. ``waiting`` says why it is still pending, ``queued`` that its
    queue has not admitted it, ``stopping`` that its end was seen to be under way. ``ended`` is None also of one
    that has ended where the place does not know when: the present, which moves on at every look, is no answer
    (``kubetuna.trials.end_times``).
    """

    key: AttemptKey
    phase: AttemptPhase
    created: float | None
    started: float | None = None
    ended: float | None = None
    exit: ExitFacts | None = None
    node: str | None = None
    waiting: str | None = None
    uid: str | None = None
    stopping: bool = False
    queued: bool = False


class Executor(Protocol):
    """Where attempts run: processes on this machine, or Pods. Every call is safe to repeat."""

    def launch(self, request: AttemptRequest) -> None:
        """Start the attempt, or do nothing where exactly this one (same hash) exists already."""

    def stop(self, key: AttemptKey, why: str) -> None:
        """Ask the attempt to end (SIGTERM, grace, SIGKILL); its log and exit facts stay readable.

        Whether that came about is seen by ``observe`` alone; until it is, this is asked again.
        """

    def delete(self, key: AttemptKey) -> None:
        """Forget an ended attempt. Unknown attempts are no error."""

    def observe(self) -> Sequence[AttemptFacts]:
        """All attempts that the place knows of this experiment.

        Looking starts nothing. It may end what has run for longer than its timeout, which is so whoever looks.
        """

    def unfinished(self) -> Callable[[], None] | None:
        """What of an earlier ``launch`` is to be done again now; None where nothing is.

        It is an effect like any other, and carried out only while the study is known to be ours.
        """

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        """What is known of the end of an attempt that is not observed, by a look no older than the call.

        None where it is there all the same: a place may know less than there is. While it cannot look, nothing is
        gone.
        """

    def absent(self, key: AttemptKey) -> bool:
        """Whether of a launch that is not observed nothing is there that may yet start, by a look no older."""

    def headless(self) -> Collection[AttemptKey]:
        """Attempts that cannot be observed any more, and of which something runs on."""

    def capacity(self) -> int | None:
        """How many attempts can run at once here; None where only the place's own queue knows."""

    def wait(self, seconds: float) -> None:
        """Sleep until something changed here, at most this long."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Complete lines in order, without their newline, of longer ones the ``end_of`` them.

    ``cursor`` is opaque, a resume point after the last of ``lines``; ``drained`` is true once the attempt
    has ended and nothing more will come. ``gap`` is true where lines are known to be lost; ``lost``, beside
    ``drained``, where the last ones before the place's own word are.
    """

    lines: tuple[bytes, ...] = ()
    cursor: str = ""
    drained: bool = False
    gap: bool = False
    lost: bool = False
    times: tuple[float, ...] = field(default=())


class LogSource(Protocol):
    """Where an attempt's lines come from. At most 1 MiB a call."""

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        """The lines after ``cursor`` ("" is the start)."""


class Clock(Protocol):
    """Wall-clock time; injected, so that tests own it."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""


class SystemClock:
    """Wall-clock time of this machine."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()
