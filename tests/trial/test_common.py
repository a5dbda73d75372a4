"""What both trainers share: figures, the wire, checkpoints."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from kubetuna_trial import wire
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.errors import InputError
from kubetuna_trial.metrics import performance, simple_returns


def test_the_figures_of_a_known_series() -> None:
    found = performance(np.array([0.1, -0.5, 0.2]))
    assert found.total_return == pytest.approx(-0.34)
    assert found.max_drawdown == pytest.approx(-0.5)
    assert found.romad == pytest.approx(-0.68)
    assert found.sharpe_ratio == pytest.approx(np.mean([0.1, -0.5, 0.2]) / np.std([0.1, -0.5, 0.2]))


def test_never_trading_does_not_win() -> None:
    found = performance(simple_returns(np.full(100, 1e6)))
    assert (found.sharpe_ratio, found.romad, found.total_return, found.max_drawdown) == (0, 0, 0, 0)
    assert found.degenerate


def test_an_equity_that_only_rises_has_a_finite_romad() -> None:
    found = performance(np.array([0.01, 0.02]))
    assert found.max_drawdown == 0 and math.isfinite(found.romad) and not found.degenerate


def test_a_long_series_is_thinned_without_changing_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    values = list(np.random.default_rng(0).normal(size=12_345))
    wire.series("returns", values)
    lines = capsys.readouterr().out.splitlines()
    kept = [value for line in lines for value in json.loads(line)["values"]]
    assert len(kept) <= 1000 and sum(kept) == pytest.approx(sum(values))
    assert max(map(len, lines)) < 4096
    assert [json.loads(line)["start"] for line in lines] == list(range(0, len(kept), 100))


def test_a_value_that_is_not_finite_is_no_report() -> None:
    with pytest.raises(ValueError, match="loss"):
        wire.report(1, 2, {"loss": math.nan})


@pytest.mark.parametrize(
    "environment", [{"KUBETUNA_PARAMS": "[1]"}, {"KUBETUNA_PARAMS": "{"}, {"KUBETUNA_SEED": "x"}]
)
def test_a_broken_environment_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="KUBETUNA_"):
        wire.surroundings(environment)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "a")
    for number in (1, 2, 3):
        kept.save(number, {"number": number, "tensor": torch.ones(3)})
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == ["checkpoint-000002.pt", "checkpoint-000003.pt"]
    files[-1].write_bytes(files[-1].read_bytes()[:-7])
    state = kept.load()
    assert state is not None and state["number"] == 2


def test_a_checkpoint_of_another_configuration_is_not_used(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(1, {})
    assert Checkpoints(tmp_path, "b").load() is None
