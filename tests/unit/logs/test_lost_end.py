"""A log whose end could not be read: whether its value is the last one."""

from __future__ import annotations

import pytest

from kubetuna.metrics.collector import TrialLog
from kubetuna.trials.attempts import LogChunk
from tests.unit.plan.builders import experiment


@pytest.mark.parametrize(
    ("last", "cut"), [((), True), ((b"saved",), True), ((b"loss=nan",), True), ((b"loss=0.1",), False)]
)
def test_only_the_objective_in_the_last_word_makes_up_for_what_was_not_read(
    last: tuple[bytes, ...], cut: bool
) -> None:
    log = TrialLog(experiment(), {})
    log.turn_to(0)
    log.take(LogChunk((b"loss=0.5",)))
    log.take(LogChunk(last, drained=True, gap=True, lost=True))
    list(log.records({}))
    assert log.reading().lost is cut and log.reading().whole is not cut
    log.turn_to(1)
    assert not log.reading().lost
