"""A short campaign of faults, each kind twice, in a cluster of its own: every other test needs theirs."""

from __future__ import annotations

import pytest
from hack.cluster.base_image import REFERENCE
from hack.cluster.layout import Layout

from tests.chaos.campaign import run
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Note, judge
from tests.chaos.stage import Stage
from tests.cluster.conftest import Cluster, cluster, second  # noqa: F401

SEED, AT_ONCE, OF_EACH = 1, 3, 2


@pytest.mark.cluster
@pytest.mark.timeout(2400)
def test_no_fault_loses_repeats_or_changes_a_trial(second: Layout) -> None:  # noqa: F811
    stage = Stage(Cluster(second.kubeconfig, REFERENCE, ours=True), second, SEED)
    try:
        outcome = run(stage, OF_EACH * len(FAULTS), AT_ONCE, print)
    finally:
        stage.close()
    assert outcome.sound, outcome.as_json()
    assert {kind: len(took) for kind, took in outcome.recovered.items()} == {
        fault.name: OF_EACH for fault in FAULTS
    }


def note(at: float, attempt: int, word: str = "step", params: str = "{}") -> Note:
    return Note(at, word, "e0", 0, attempt, params)


def test_the_ledger_convicts() -> None:
    """Of each wrong that it is there to find; and of none where nothing is wrong."""
    earlier, later = [note(0, 0, "started"), note(2, 0)], [note(3, 1, "started"), note(5, 1, "finished")]
    taken = {("e0", 0): {0}}
    assert not any(judge([*earlier, *later], {}, taken, {}).as_json().values())
    assert judge([*earlier, *later], {}, {}, {}).again
    assert judge([*earlier, note(1, 1)], {}, taken, {}).overlaps
    assert not judge([*earlier, note(1, 1)], {}, taken, taken).overlaps
    assert judge([*earlier, note(3, 1, params="{1}")], {}, taken, {}).changed
