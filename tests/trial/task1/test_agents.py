"""Agents that differ as their names say, and a vote that is fair."""

from __future__ import annotations

import itertools

import pytest
import torch

from kubetuna_trial.task1.agents import COMPAT_KINDS, KINDS, action_values, network, targets
from kubetuna_trial.task1.vote import vote


def test_the_three_kinds_are_different_networks() -> None:
    shapes = {
        name: sorted(n for n, _ in network(kind, 10, (8, 8, 8)).named_parameters()) for name, kind in KINDS.items()
    }
    assert len({tuple(s) for s in shapes.values()}) == 3


def test_each_kind_aims_at_its_own_target() -> None:
    """Worked by hand on values where the online network prefers another action than the target network."""
    online, target = torch.tensor([[[5.0, 1, 0]], [[4.0, 2, 0]]]), torch.tensor([[[1.0, 9, 2]], [[3.0, 7, 2]]])

    class Table(torch.nn.Module):
        def __init__(self, values: torch.Tensor) -> None:
            super().__init__()
            self.values = values

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return self.values

    def aim(name: str, heads: int, kinds: dict[str, object] = KINDS) -> float:  # type: ignore[assignment]
        nets = (Table(online[:heads]), Table(target[:heads]))
        one = torch.ones(1)
        return float(targets(kinds[name], *nets, torch.zeros(1, 3), one, one * 0.5))  # type: ignore[arg-type]

    assert aim("DoubleDQN", 1) == aim("D3QN", 1) == 1 + 0.5 * 1  # the online choice, valued by the target network
    assert aim("TwinD3QN", 2) == 1 + 0.5 * 1  # the lower of 1 and 3
    assert aim("D3QN", 2, COMPAT_KINDS) == 1 + 0.5 * 7  # the largest of the lower values


def test_dueling_advantages_have_no_say_in_the_mean() -> None:
    net = network(KINDS["D3QN"], 4, (8, 8, 8))
    with torch.no_grad():
        net.heads[0].advantage.bias += 5  # type: ignore[union-attr, operator]
    before = action_values(net, torch.ones(2, 4)).mean(dim=1)
    with torch.no_grad():
        net.heads[0].advantage.bias -= 5  # type: ignore[union-attr, operator]
    torch.testing.assert_close(before, action_values(net, torch.ones(2, 4)).mean(dim=1))


def prefers(*actions: int) -> torch.Tensor:
    values = torch.zeros(len(actions), 1, 3)
    for member, action in enumerate(actions):
        values[member, 0, action] = 1.0
    return values


@pytest.mark.parametrize(
    ("votes", "wanted"), [((0, 2, 2), 2), ((0, 0, 2), 0), ((1, 1, 0, 2), 1), ((2, 2, 0, 1), 2)]
)
def test_the_majority_decides(votes: tuple[int, ...], wanted: int) -> None:
    for order in itertools.permutations(votes):
        assert int(vote(prefers(*order))) == wanted


def test_a_majority_wins_over_any_confidence() -> None:
    values = prefers(0, 0, 2)
    values[2] *= 1e6
    assert int(vote(values)) == 0


def test_a_tie_goes_to_the_clearer_preference_and_then_to_keeping_the_position() -> None:
    clear, unsure = torch.tensor([[0.0, -1.0, 1.0]]), torch.tensor([[1.0, 0.98, 0.999]])
    for pair in ((clear, unsure), (unsure, clear)):
        assert int(vote(torch.stack(pair))) == 2
    assert int(vote(torch.zeros(2, 1, 3))) == 1
