"""Judging a saved ensemble: as its trial judged it, on any data, and the test rows on demand only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.task1.artifacts import write_artifacts
from kubetuna_trial.task1.cli import main
from kubetuna_trial.task1.ensemble import load_ensemble
from kubetuna_trial.task1.evaluate import evaluate
from kubetuna_trial.task1.planted import FACTORS_FILE, PRICES_FILE, RECIPE, SNR, write_contest_files
from kubetuna_trial.task1.splits import USUAL, split_of
from kubetuna_trial.task1.windows import part_of, window_of
from tests.trial.task1.worlds import data, plan, trial

ROWS = 20_000
ORIGIN = {"rows": ROWS, "seed": 7, "snr": SNR, "recipe": RECIPE, "split": USUAL}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble as a trial leaves it."""
    made = trial(plan())
    assert made.run(lambda report: None, lambda: False)
    folder = tmp_path_factory.mktemp("model")
    write_artifacts(folder, made, data(), {"sharpe_ratio": made.judge().performance.sharpe_ratio}, np.zeros(1))
    return folder


@pytest.fixture(scope="module")
def found(model: Path) -> dict[str, Any]:
    return evaluate(load_ensemble(model), window_of(ORIGIN, "validation"))


def test_it_is_judged_as_its_trial_was(model: Path, found: dict[str, Any]) -> None:
    told = json.loads((model / "metrics.json").read_text())
    assert found["metrics"]["sharpe_ratio"] == told["sharpe_ratio"]
    assert sum(found["returns"]) != 0 and len(found["returns"]) <= 1000


def test_it_stands_beside_what_needs_no_training(found: dict[str, Any]) -> None:
    assert found["baselines"].keys() == {"linear", "buy_and_hold", "flat", "random", "untuned"}
    assert all(f.keys() == found["metrics"].keys() for f in found["baselines"].values())
    others = {name: f["sharpe_ratio"] for name, f in found["baselines"].items()}
    assert found["metrics"]["sharpe_ratio"] > max(others.values()), "a line cannot see that two factors multiply"


def test_costs_only_ever_take(model: Path, found: dict[str, Any]) -> None:
    returns = [c["total_return"] for c in found["costs"]]
    assert returns == sorted(returns, reverse=True)
    at_protocol = next(c for c in found["costs"] if c["slippage"] == 7e-7)
    assert at_protocol["sharpe_ratio"] == pytest.approx(found["metrics"]["sharpe_ratio"], rel=1e-6)
    assert 7e-7 < found["break_even_slippage"] < 5e-4


def test_the_parts_lie_in_order_and_apart() -> None:
    _, validation = split_of(ROWS).parts()
    test = part_of(split_of(ROWS), ROWS, "test")
    assert part_of(split_of(ROWS), ROWS, "validation") == validation
    assert (test.start, test.stop) == (validation.stop + 900, ROWS)


def test_files_are_read_as_the_trial_reads_them_and_the_test_rows_only_on_demand(
    tmp_path: Path, model: Path
) -> None:
    prices, factors = write_contest_files(tmp_path, ROWS, 7, SNR)
    origin = {"prices": prices, "factors": factors, "align": "front"}
    assert window_of(origin, "validation").digest == window_of(ORIGIN, "validation").digest
    _, validation = split_of(ROWS).parts()
    lines = prices.read_text().splitlines()
    prices.write_text("\n".join([*lines[: validation.stop + 1], *["no,numbers"] * (ROWS - validation.stop)]) + "\n")
    assert window_of(origin, "validation").digest == window_of(ORIGIN, "validation").digest
    with pytest.raises(InputError, match="midpoint"):
        window_of(origin, "test")


def test_a_model_loads_with_two_lines_and_nothing_of_ours(model: Path) -> None:
    from safetensors.numpy import load_file

    tensors, about = load_file(model / "ensemble.safetensors"), json.loads((model / "ensemble.json").read_text())
    assert {name.split(".")[0] for name in tensors} == {str(i) for i in range(len(about["agents"]))}
    assert about["origin"] == ORIGIN


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: (f / "ensemble.json").unlink(), "holds no ensemble"),
        (lambda f: (f / "ensemble.json").write_text("{"), "is damaged"),
        (lambda f: (f / "ensemble.json").write_text('{"task": "task2"}'), "not an ensemble of task1"),
        (lambda f: (f / "ensemble.safetensors").write_bytes(b"x" * 100), "is damaged"),
    ],
)
def test_what_is_no_ensemble_is_told(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, told: str
) -> None:
    for name in ("ensemble.json", "ensemble.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    change(tmp_path)
    assert main(["evaluate", "--model", str(tmp_path)]) == 2
    assert told in capsys.readouterr().err


def test_data_of_another_width_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, factors = write_contest_files(tmp_path, 12_000, 7, SNR)
    np.save(factors, np.load(factors)[:, :5])
    assert main(["evaluate", "--model", str(model), "--data", str(tmp_path)]) == 2
    assert "5 factors" in capsys.readouterr().err


def test_the_command_prints_one_object(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", str(model), "--split", "test", "--final", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["task"], shown["split"], shown["rows"]) == ("task1", "test", [16_900, 20_000])
    assert main(["evaluate", "--model", str(model)]) == 0
    assert "buy_and_hold" in capsys.readouterr().out


def _shifted(folder: Path) -> None:
    """The same factors, paired with the last of more prices."""
    prices = [row.split(",")[2] for row in (folder / PRICES_FILE).read_text().splitlines()]
    (folder / PRICES_FILE).write_text("\n".join([prices[0], *[prices[1]] * 900, *prices[1:]]) + "\n")


def _longer(folder: Path) -> None:
    """A day more of the same market."""
    prices = [row.split(",")[2] for row in (folder / PRICES_FILE).read_text().splitlines()]
    (folder / PRICES_FILE).write_text("\n".join([*prices, *prices[-2000:]]) + "\n")
    table = np.load(folder / FACTORS_FILE)
    np.save(folder / FACTORS_FILE, np.concatenate([table, table[-2000:]]))


SAME = {
    "a copy": lambda folder: None,
    "own factors": lambda folder: np.save(folder / FACTORS_FILE, np.load(folder / FACTORS_FILE) * 2),
    "shifted prices": _shifted,
    "longer": _longer,
}


@pytest.mark.parametrize("case", SAME)
def test_the_data_that_a_model_knows_are_known_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    write_contest_files(tmp_path, ROWS, 7, SNR)
    SAME[case](tmp_path)
    words = ["evaluate", "--model", str(model), "--data", str(tmp_path), "--align", "rear", "--json", "--split"]
    assert main([*words, "all"]) == 2
    assert "--split train or --split validation" in capsys.readouterr().err
    assert main([*words, "test"]) == 2
    assert "'kubetuna finalize STUDY' scores, once" in capsys.readouterr().err
    assert main([*words, "train"]) == 0


@pytest.mark.parametrize("before", [0, 1500])
def test_validation_rows_of_longer_data_are_not_a_models_test(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: int
) -> None:
    """More rows after its own move the borders, so that what is called validation lies in its test."""
    write_contest_files(tmp_path, ROWS, 7, SNR)
    lines, table = (tmp_path / PRICES_FILE).read_text().splitlines(), np.load(tmp_path / FACTORS_FILE)
    (tmp_path / PRICES_FILE).write_text("\n".join([lines[0], *lines[1 + before :]]) + "\n")
    np.save(tmp_path / FACTORS_FILE, table[before:])
    assert main(["evaluate", "--model", str(model), "--data", str(tmp_path)]) == (0 if before == 0 else 2)
    _longer(tmp_path)
    assert main(["evaluate", "--model", str(model), "--data", str(tmp_path)]) == 2
    assert "where its held-out test is" in capsys.readouterr().err


def test_every_row_of_other_data_is_judged(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_contest_files(tmp_path, 12_000, 8, SNR)
    assert main(["evaluate", "--model", str(model), "--data", str(tmp_path), "--split", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [0, 12_000]
    assert main(["evaluate", "--model", str(model), "--split", "all"]) == 2


def test_own_data_that_have_changed_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_contest_files(data, ROWS, 7, SNR)
    words = ["--updates", "2", "--reports", "1", "--num-sims", "32", "--net-dims-0", "64"]
    assert main(["--data", str(data), "--out", str(out), *words]) == 0
    assert main(["evaluate", "--model", str(out), "--json"]) == 0
    lines = (data / PRICES_FILE).read_text().splitlines()
    lines[5000] = lines[5000].replace(lines[5000].split(",")[2], "49999")
    (data / PRICES_FILE).write_text("\n".join(lines) + "\n")
    for split in ("train", "validation", "test"):
        assert main(["evaluate", "--model", str(out), "--split", split, "--final"]) == 2
        assert "the data have changed since the model was trained" in capsys.readouterr().err
    assert main(["evaluate", "--model", str(out), "--data", str(data)]) == 0, "asked for, they are other data"
