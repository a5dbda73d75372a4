"""A place, its logs and a clock in memory: for unit tests, and for faults that no real machine can be made to have.

They pass the same behaviour suites as the real parts (``tests/contract``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kubetuna.trials.attempts import GONE, AttemptFacts, AttemptKey, AttemptRequest, Executor, ExitFacts, LogChunk


class FakeClock:
    """Time that moves only when it is told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def look(place: Executor) -> Sequence[AttemptFacts]:
    """What a reconciler does between two plans that are empty."""
    if (again := place.unfinished()) is not None:
        again()
    return place.observe()


@dataclass
class Run:
    """What a fake attempt will do: its lines, and how it ends once they are all printed."""

    lines: tuple[bytes, ...] = ()
    exit: ExitFacts = field(default_factory=lambda: ExitFacts(exit_code=0))
    endless: bool = False


@dataclass
class FakeAttempt:
    """One attempt with what it has printed so far."""

    order: AttemptRequest
    run: Run
    facts: AttemptFacts
    printed: int = 0


Program = Callable[[AttemptRequest], Run]


class FakeExecutor:
    """Runs programs, one line of every attempt per ``step``. It outlives the runner, as a cluster does."""

    def __init__(self, program: Program, clock: FakeClock, places: int | None = None) -> None:
        self._program, self._clock, self._places = program, clock, places
        self.attempts: dict[AttemptKey, FakeAttempt] = {}
        self.launched: list[AttemptKey] = []
        self.undrained_deletions: list[AttemptKey] = []
        # What a fresh look says of attempts that went before anyone saw how.
        self.traces: dict[AttemptKey, ExitFacts] = {}
        # Seconds that go by at least while nothing is to be done: a test need not turn through every one of them.
        self.idle = 0.0

    def launch(self, order: AttemptRequest) -> None:
        if order.key in self.attempts:
            return
        now = self._clock.now()
        facts = AttemptFacts(order.key, "running", created=now, started=now, node="fake")
        self.attempts[order.key] = FakeAttempt(order, self._program(order), facts)
        self.launched.append(order.key)

    def stop(self, key: AttemptKey, why: str) -> None:
        attempt = self.attempts.get(key)
        if attempt and attempt.facts.phase == "running":
            self._end(attempt, ExitFacts(exit_code=143, signal=15, reason=why))

    def delete(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.facts.phase != "ended":
            self.stop(key, "Deleted")
            return
        self.attempts.pop(key, None)

    def observe(self) -> Sequence[AttemptFacts]:
        return [attempt.facts for attempt in self.attempts.values()]

    def headless(self) -> tuple[AttemptKey, ...]:
        return ()

    def absent(self, key: AttemptKey) -> bool:
        return key not in self.attempts

    def unfinished(self) -> None:
        return None

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        return None if key in self.attempts else self.traces.get(key, GONE)

    def capacity(self) -> int | None:
        return self._places

    def wait(self, seconds: float) -> None:
        self._clock.time += max(seconds, self.idle)
        self.step()

    def step(self) -> None:
        """Every running attempt prints its next line, or ends."""
        for attempt in self.attempts.values():
            if attempt.facts.phase == "running":
                if attempt.printed < len(attempt.run.lines):
                    attempt.printed += 1
                elif not attempt.run.endless:
                    self._end(attempt, attempt.run.exit)

    def lose(self, key: AttemptKey, reason: str) -> None:
        """Take an attempt away, as a node's death or a preemption does."""
        attempt = self.attempts.get(key)
        if attempt and attempt.facts.phase == "running":
            self._end(attempt, ExitFacts(reason=reason))

    def vanish(self, key: AttemptKey, reason: str) -> None:
        """Take an attempt away so fast that only a fresh look tells why."""
        del self.attempts[key]
        self.traces[key] = ExitFacts(reason=reason)

    def _end(self, attempt: FakeAttempt, facts: ExitFacts) -> None:
        attempt.facts = replace(attempt.facts, phase="ended", ended=self._clock.now(), exit=facts)


class FakeLogs:
    """What the attempts of a ``FakeExecutor`` printed. The cursor is a line's number."""

    def __init__(self, place: FakeExecutor, most: int = 1000) -> None:
        self._place, self._most = place, most

    def read(self, key: AttemptKey, cursor: str) -> LogChunk:
        attempt = self._place.attempts.get(key)
        if attempt is None:
            return LogChunk((), cursor, drained=True)
        start = int(cursor or 0)
        lines = attempt.run.lines[: attempt.printed][start : start + self._most]
        after = start + len(lines)
        drained = attempt.facts.phase == "ended" and after >= attempt.printed
        return LogChunk(tuple(lines), str(after) if after else "", drained)
