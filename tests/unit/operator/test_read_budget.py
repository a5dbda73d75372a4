"""Reading beside others: hung nodes and large experiments leave room."""

from __future__ import annotations

import pytest

from kubetuna_operator.pods.read_budget import (
    FINAL_RESERVE,
    PER_EXPERIMENT,
    PER_NODE,
    READERS,
    ReadBudget,
    interval,
)


def taken(budget: ReadBudget, experiments: int, nodes: int, final: bool = False) -> list[tuple[str, str]]:
    """All reads that are let in, of as many experiments and nodes, each tried many times."""
    pairs = [(f"e{e}", f"n{n}") for _ in range(READERS) for e in range(experiments) for n in range(nodes)]
    return [pair for pair in pairs if budget.take(*pair, final)]


def test_no_node_and_no_experiment_takes_all_readers() -> None:
    assert len(taken(ReadBudget(), 10, 1)) == PER_NODE
    assert len(taken(ReadBudget(), 1, 100)) == PER_EXPERIMENT < READERS - FINAL_RESERVE


def test_final_reads_have_a_reserve() -> None:
    budget = ReadBudget()
    assert len(taken(budget, 10, 100)) == READERS - FINAL_RESERVE
    assert len(taken(budget, 20, 200, final=True)) == FINAL_RESERVE


def test_sixteen_nodes_that_hang_leave_the_others_their_readers() -> None:
    budget = ReadBudget()
    for node in range(16):
        budget.note(f"n{node}", answers=False)
    hanging = taken(budget, 10, 16, final=True)
    assert 0 < len(hanging) <= 4
    assert budget.take("e20", "well", final=False)
    assert len(taken(budget, 10, 100)) > 4
    for pair in hanging:
        budget.give_back(*pair)
    budget.note("n0", answers=True)
    assert len({node for _, node in hanging}) >= 1 and budget.take("e30", "n0", final=True)


def test_what_was_given_back_can_be_taken_and_nothing_is_kept_of_it() -> None:
    budget = ReadBudget()
    for _ in range(3):
        pairs = taken(budget, 10, 100)
        assert len(pairs) == READERS - FINAL_RESERVE
        for pair in pairs:
            budget.give_back(*pair)
    assert not budget._nodes and not budget._experiments


def test_two_pods_beside_a_thousand_are_read_in_time() -> None:
    assert interval(1000, [1000]) == pytest.approx(10.0)
    assert interval(2, [2, 1000]) < 1.0 and interval(1000, [2, 1000]) < 11.0
    assert interval(0, []) == 0.0


@pytest.mark.parametrize("counts", [[5] * 200, [5] * 100 + [1000], [1, 10, 100, 1000]])
def test_all_together_keep_the_rate(counts: list[int]) -> None:
    assert sum(own / interval(own, counts) for own in counts) == pytest.approx(100.0)
