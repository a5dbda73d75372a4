"""What is handed in: adapter, tokenizer, prompt and decoding, and our scores in a process without our code."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kubetuna_trial.task2.artifacts import write_artifacts
from kubetuna_trial.task2.cli import main
from kubetuna_trial.task2.contest import task2_signal
from kubetuna_trial.task2.data import folder_market
from kubetuna_trial.task2.evaluation import positions
from kubetuna_trial.task2.planted import write_contest_files
from kubetuna_trial.task2.training import Trial, scores
from tests.trial.alone import alone
from tests.trial.task2 import worlds

DAYS = 12


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_contest_files(folder, 7, False, worlds.DAYS)
    return folder


def handed_in(made: Trial, folder: Path) -> Path:
    write_artifacts(folder / "model", made, {}, np.zeros(1))
    words = ["export", "--adapter", str(folder / "model" / "adapter"), "--out", str(folder / "kit")]
    assert main(words) == 0
    return folder / "kit"


@pytest.mark.parametrize("parameters", [{}, {"use_4bit": True, "signal_strength": 6}])
def test_a_process_without_us_gives_our_scores_and_trades(
    parameters: dict[str, Any], files: Path, tmp_path: Path
) -> None:
    """But for ties: two scores that are as probable may fall either way, as another order of sums has it."""
    made = worlds.trial(worlds.plan(learning_rate=0.001, **parameters), folder_market(files))
    made.train(2)
    kit, days = handed_in(made, tmp_path), made.protocol.days(DAYS)
    words = ["--stocks", str(files / "train/task2_stocks_train.csv"), "--out", str(tmp_path / "scores.csv")]
    words += ["--news", str(files / "train/task2_news_train.csv")]
    words += ["--first", made.market.world.dates[days[0]], "--last", made.market.world.dates[days[-1]]]
    alone(str(kit / "task2_signal.py"), *words)
    own = scores(made.policy, made.market, days)
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = np.array([int(row["Score"]) for row in rows]).reshape(DAYS, -1)
    away = np.abs(told - np.rint(own.greedy * made.policy.strength))
    assert away.max() <= 1 and np.count_nonzero(away) <= 2 and len(np.unique(told)) > 2
    assert [row["Ticker"] for row in rows[: told.shape[1]]] == list(made.market.world.tickers)
    held = np.array([float(row["Position"]) for row in rows]).reshape(DAYS, -1)
    same = np.isclose(held, positions(own, made.protocol), atol=1e-5)
    assert (same.all() if not away.any() else same.mean() > 0.8) and held.any()


def test_the_layout_has_what_the_contest_asks_for(tmp_path: Path) -> None:
    kit = handed_in(worlds.trial(worlds.plan()), tmp_path)
    found = {path.name for path in kit.iterdir()}
    assert found == {
        "README.md",
        "base_model",
        "config.json",
        "requirements.txt",
        "task2_signal.py",
        "trained_models",
    }
    weights = {path.name for path in (kit / "trained_models").iterdir()}
    assert weights >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    assert "trial.json" not in weights and "bitsandbytes" not in (kit / "requirements.txt").read_text()


def test_the_kits_function_reads_the_kits_news(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kit joins titles and summaries, and names no dates; its scale need not be the model's."""
    kit = handed_in(worlds.trial(worlds.plan()), tmp_path)
    monkeypatch.setattr(task2_signal, "HERE", kit)
    task2_signal.config.cache_clear()
    asked: list[str] = []

    def answer(tokenizer: Any, model: Any, text: str) -> int:
        asked.append(text)
        return 4

    monkeypatch.setattr(task2_signal, "score", answer)
    prices = {"Ticker": SimpleNamespace(item=lambda: "AAPL"), "Close": SimpleNamespace(item=lambda: 12.0)}
    news = "".join(f"Title {n}, says more -- " for n in range(5))
    found = task2_signal.generate_eval_signal(None, None, "cpu", news, prices, 5, 1.5)
    task2_signal.config.cache_clear()
    assert found == 2.0, "4 of 10 is 2 of 5"
    assert asked[0].splitlines()[:4] == [
        "News about AAPL:", *(f"- recently: Title {n}, says more" for n in (4, 3, 2))
    ]  # fmt: skip
    assert "Last close: 12.00" in asked[0]


def test_an_adapter_of_another_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = handed_in(worlds.trial(worlds.plan()), tmp_path)
    note = tmp_path / "model" / "adapter" / "trial.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "prompting": {"of_later": 1}}))
    words = ["export", "--adapter", str(tmp_path / "model" / "adapter"), "--out", str(kit)]
    assert main(words) == 2 and "is of another version" in capsys.readouterr().err
