"""What is known of an attempt between its order and its Pod, and of what is refused to all attempts alike."""

from __future__ import annotations

from dataclasses import dataclass

from kubetuna.trials.attempts import AttemptKey, AttemptRequest, ExitFacts
from kubetuna_operator.kube.work_queue import wait_after

# A launch that is not taken is tried again after this many seconds, then after twice as many.
RETRY_SECONDS, RETRY_LIMIT = 5.0, 60.0
VANISHED = "its Pods were gone before they started; another one is made"


@dataclass(frozen=True, slots=True)
class Awaited:
    """An attempt without a Pod: since when, when last tried and how often in vain, and why.

    ``stuck`` is from when until when it was seen that only another template would help: time in which nobody asked
    does not count. ``gated``: every other launch would meet the same; ``maker`` the UID of what will make its Pod,
    once that is there; ``recalled`` when it was last asked to go; ``unsure``: an answer was lost, so the object may
    be there, or still come; ``end``: how it ended unseen.
    ``broken``: since when its objects come to their ends without a Pod, and what they say. ``queued``: a queue
    holds the object.
    """

    request: AttemptRequest
    since: float
    tried: float
    tries: int = 0
    why: str = ""
    stuck: tuple[float, float] | None = None
    gated: bool = False
    unsure: bool = False
    end: ExitFacts | None = None
    broken: tuple[float, str] | None = None
    maker: str | None = None
    recalled: float | None = None
    queued: bool = False

    @property
    def may_come(self) -> bool:
        """Whether something is there, or may be, that makes its Pod."""
        return self.maker is not None or self.unsure

    def is_given_up(self, now: float, patience: float) -> bool:
        """Whether for more than ``patience`` seconds only another template would have helped."""
        if self.stuck is not None and self.stuck[1] > self.stuck[0] + patience:
            return True
        return self.broken is not None and now > self.broken[0] + patience

    @property
    def due(self) -> float:
        """When to try again."""
        return self.tried + wait_after(max(1, self.tries), RETRY_SECONDS, RETRY_LIMIT)


def stuck_until(now: float, before: Awaited | None) -> tuple[float, float]:
    """From when until now only another template would help; what had to be waited for before does not count."""
    return now if before is None or before.stuck is None else before.stuck[0], now


class Made:
    """How many Pods were made of an attempt lately. None was seen to start where there is another to make.

    The first that goes so is replaced at once, and each after it later: where a node rejects what comes and someone
    deletes what was rejected, there would be one after the other.
    """

    def __init__(self) -> None:
        # The latest comes last.
        self._known: dict[AttemptKey, tuple[int, float]] = {}

    def add(self, key: AttemptKey, now: float) -> None:
        """One was made."""
        while self._known and now >= next(iter(self._known.values()))[1] + 2 * RETRY_LIMIT:
            del self._known[next(iter(self._known))]
        count, _ = self._known.pop(key, (0, 0.0))
        self._known[key] = count + 1, now

    def forget(self, key: AttemptKey) -> None:
        """The attempt was taken back."""
        self._known.pop(key, None)

    def too_soon(self, request: AttemptRequest, now: float) -> Awaited | None:
        """The launch as it waits, where it is too early for another one."""
        count, at = self._known.get(request.key, (0, 0.0))
        launch = Awaited(request, now, at, count - 1, VANISHED)
        return launch if count > 1 and now < launch.due else None


@dataclass(slots=True)
class Gate:
    """What the API server refuses to all launches alike: one of them asks for all, ever more rarely."""

    failures: int = 0
    due: float = 0.0
    why: str = ""

    def shut(self, why: str, now: float, longest: float) -> None:
        """Something was refused once more."""
        self.failures += 1
        self.why, self.due = why, now + wait_after(self.failures, RETRY_SECONDS, longest)

    def open(self) -> None:
        """Something was taken."""
        self.failures, self.due, self.why = 0, 0.0, ""
