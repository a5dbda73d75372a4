"""The time of an end that has none: the first moment at which that end was seen, and no later one."""

from __future__ import annotations

from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptPhase
from kubetuna.trials.end_times import EndTimes
from tests.fakes import FakeClock

KEY = AttemptKey(3, 1)


def seen(phase: AttemptPhase = "ended", ended: float | None = None, uid: str | None = "u1") -> AttemptFacts:
    return AttemptFacts(KEY, phase, 1.0, ended=ended, uid=uid)


def test_an_end_keeps_the_first_moment_at_which_it_was_seen() -> None:
    clock = FakeClock(100.0)
    ends = EndTimes(clock)
    assert ends.dated(seen()).ended == 100.0
    clock.time = 200.0
    assert ends.dated(seen()).ended == ends.first_seen(KEY) == 100.0


def test_a_time_that_its_place_knows_is_never_replaced() -> None:
    ends = EndTimes(FakeClock(100.0))
    assert ends.dated(seen(ended=50.0)).ended == 50.0 and ends.first_seen(KEY) is None
    assert ends.dated(seen("running")).ended is None


def test_another_pod_of_the_same_attempt_ends_at_its_own_time() -> None:
    clock = FakeClock(100.0)
    ends = EndTimes(clock)
    ends.dated(seen())
    clock.time = 200.0
    assert ends.dated(seen(uid="u2")).ended == 200.0


def test_an_attempt_that_went_on_after_all_ends_anew() -> None:
    """One that was only out of sight for a moment must not end before it went on."""
    clock = FakeClock(100.0)
    ends = EndTimes(clock)
    ends.dated(seen(uid=None))
    ends.dated(seen("running"))
    clock.time = 200.0
    assert ends.dated(seen(uid=None)).ended == 200.0


def test_what_is_gone_is_forgotten() -> None:
    clock = FakeClock(100.0)
    ends = EndTimes(clock)
    ends.dated(seen())
    ends.keep(lambda: {KEY})
    assert ends.first_seen(KEY) == 100.0
    ends.keep(set)
    assert ends.first_seen(KEY) is None
