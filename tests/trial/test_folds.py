"""Walk-forward folds: expanding, apart, before the test part, blind to what comes later; without one, no change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import FEWEST, MOST, Fold, fold_of
from kubetuna_trial.task1 import cli as task1
from kubetuna_trial.task1.artifacts import write_artifacts as write_ensemble
from kubetuna_trial.task1.data import file_dataset, planted_dataset
from kubetuna_trial.task1.ensemble import load_ensemble
from kubetuna_trial.task1.evaluate import evaluate
from kubetuna_trial.task1.planted import SNR, write_contest_files
from kubetuna_trial.task1.splits import EMBARGO, split_of
from kubetuna_trial.task1.training import configuration
from kubetuna_trial.task1.windows import part_of, window_of
from kubetuna_trial.task2 import cli as task2
from kubetuna_trial.task2.data import EXIT_DAYS, LONGEST_LOOKAHEAD, Market, market_of
from kubetuna_trial.task2.planted import World, planted_world
from kubetuna_trial.task2.planted import write_contest_files as write_news
from kubetuna_trial.task2.protocol import protocol_of
from tests.trial.task1 import worlds
from tests.trial.task2 import worlds as worlds2

ROWS = 20_000
FOLD = Fold(1, 3)


def folds(of: int) -> list[Fold]:
    return [Fold(number, of) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", range(FEWEST, MOST + 1))
@pytest.mark.parametrize("length", [30_000, 30_007])
def test_blocks_are_equal_and_follow_each_other(of: int, length: int) -> None:
    cuts = [fold.cut(length, 1, "rows") for fold in folds(of)]
    sizes = {stop - start for start, stop in cuts} | {cuts[0][0]}
    assert max(sizes) - min(sizes) <= 1
    assert [start for start, _ in cuts[1:]] == [stop for _, stop in cuts[:-1]] and cuts[-1][1] == length


@pytest.mark.parametrize("of", range(FEWEST, MOST + 1))
def test_task_1_trains_on_more_and_more_and_keeps_its_distance(of: int) -> None:
    rows = 50_000
    test = part_of(split_of(rows), rows, "test")
    before = 0
    for fold in folds(of):
        train, validation = split_of(rows).parts(fold)
        assert train.start == 0 and train.stop > before, "the train part grows"
        assert validation.start - train.stop == EMBARGO
        assert validation.start < validation.stop <= test.start - EMBARGO, "the test part is never within"
        before = train.stop
    assert validation.stop == split_of(rows).parts()[1].stop, "the last block ends where ordinary validation does"


@pytest.mark.parametrize("of", (2, 5, 10))
def test_task_2_trains_on_more_and_more_and_keeps_its_distance(of: int) -> None:
    world = planted_world(7, 320)
    days = len(world.dates)
    before = 0
    for fold in folds(of):
        market = market_of(world, "x", fold)
        assert market.train.start == 1 and market.train.stop > before, "the train part grows"
        assert market.train[-1] + LONGEST_LOOKAHEAD < market.window.start, "no reward is paid by a judged price"
        assert market.window.stop + EXIT_DAYS == len(market.world.dates) <= days, "nothing later is known"
        before = market.train.stop
    assert len(market.world.dates) == days


def test_rows_after_a_fold_and_of_the_test_change_nothing_of_its_run(tmp_path: Path) -> None:
    """Not even what is no number is seen: the rows are never parsed."""
    prices, factors = write_contest_files(tmp_path, ROWS, 7, SNR)
    kept = file_dataset(prices, factors, "front", FOLD)
    stop = kept.validation.stop
    lines, table = prices.read_text().splitlines(), np.load(factors)
    spoiled = tmp_path / "spoiled.csv"
    spoiled.write_text("\n".join([*lines[: stop + 1], *["no,numbers,at,all"] * (ROWS - stop)]) + "\n")
    table[stop:] = np.nan
    np.save(tmp_path / "spoiled.npy", table)
    changed = file_dataset(spoiled, tmp_path / "spoiled.npy", "front", FOLD)
    runs = [worlds.trial(worlds.plan(updates=16), data) for data in (kept, changed)]
    assert runs[0].protocol.digest == runs[1].protocol.digest
    assert worlds.reports(runs[0]) == worlds.reports(runs[1])


def test_factors_are_scaled_on_the_rows_that_the_fold_trains_on() -> None:
    data = planted_dataset(ROWS, 7, SNR, FOLD)
    assert np.abs(data.factors[: data.train.stop].mean(axis=0)).max() < 1e-3
    later = planted_dataset(ROWS, 7, SNR, Fold(2, 3))
    assert not np.array_equal(data.mean, later.mean)


def test_days_after_a_fold_change_nothing_of_its_market() -> None:
    world = planted_world(7, 320)
    market = market_of(world, "x", FOLD)
    stop = len(market.world.dates)
    bars = world.bars.copy()
    bars[:, stop:] *= 2
    news = tuple(replace(a, title="x") if a.date >= world.dates[stop] else a for a in world.news)
    changed = market_of(World(world.tickers, world.dates, bars, news), "x", FOLD)
    assert (changed.digest, changed.train, changed.window) == (market.digest, market.train, market.window)
    assert protocol_of(changed).digest == protocol_of(market).digest
    bars[:, stop - 1] *= 2
    assert market_of(World(world.tickers, world.dates, bars, news), "x", FOLD).digest != market.digest


def test_without_a_fold_nothing_changes() -> None:
    """Hashes of version 3 of the protocols: whatever changes them ends the studies that began with them."""
    made = worlds.trial(worlds.plan())
    assert made.protocol.digest == "b00102e27e37cabe" and "fold" not in made.protocol.fields()
    assert configuration(made.plan, made.protocol).startswith("4b5213c1c3b84d41")
    assert protocol_of(worlds2.market()).digest == "340e626ccf7253e4"
    assert "fold" not in protocol_of(worlds2.market()).fields()


def test_every_fold_has_a_protocol_of_its_own() -> None:
    """The fold itself counts, not only its data: two cuts that end alike are not the same."""
    data = planted_dataset(ROWS, 7, SNR, FOLD)
    digest = worlds.trial(worlds.plan(), data).protocol.digest
    assert digest != worlds.trial(worlds.plan(), replace(data, fold=Fold(1, 4))).protocol.digest
    market: Market = worlds2.market()
    assert protocol_of(replace(market, fold=FOLD)).digest != protocol_of(market).digest


def test_a_saved_ensemble_is_judged_on_its_own_folds_block(tmp_path: Path) -> None:
    data = planted_dataset(ROWS, 7, SNR, FOLD)
    made = worlds.trial(worlds.plan(updates=16), data)
    last = worlds.reports(made)[-1]
    write_ensemble(tmp_path, made, data, last, np.zeros(1))
    assert json.loads((tmp_path / "ensemble.json").read_text())["protocol"]["fold"] == "1/3"
    ensemble = load_ensemble(tmp_path)
    found = evaluate(ensemble, window_of(ensemble.origin or {}, "validation", ensemble.fold))
    assert found["metrics"]["sharpe_ratio"] == last["sharpe_ratio"] and found["fold"] == "1/3"
    assert found["rows"] == [data.validation.start, data.validation.stop]
    held = evaluate(ensemble, window_of(ensemble.origin or {}, "test", ensemble.fold))
    assert held["rows"] == [part_of(split_of(ROWS), ROWS, "test").start, ROWS] and "fold" not in held


def test_a_saved_adapter_is_judged_on_its_own_folds_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_news(tmp_path / "data", 3, False, 120)
    data = ["--data", str(tmp_path / "data")]
    few = ["--max-train-steps", "2", "--reports", "1", "--use-4bit", "false"]
    assert task2.main([*data, *few, "--fold", "1/2", "--out", str(tmp_path)]) == 0
    first, last = (json.loads(line) for line in capsys.readouterr().out.splitlines() if '"series"' not in line)
    note = json.loads((tmp_path / "adapter" / "trial.json").read_text())
    assert note["protocol"]["fold"] == "1/2" and note["protocol"]["hash"] == first["protocol"]
    assert task2.main(["evaluate", "--adapter", str(tmp_path / "adapter"), *data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"] == first["protocol"] and found["fold"] == "1/2"
    assert found["tuned"]["hit_rate"] == last["hit_rate"]
    assert found["last"] == market_of(planted_world(3, 120).until(84), "x", Fold(1, 2)).world.dates[-4]
    words = ["evaluate", "--adapter", str(tmp_path / "adapter"), *data, "--split", "test", "--final", "--json"]
    assert task2.main(words) == 0
    assert "fold" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1/1", "1/11", "1", "1/", "a/b", "-1/4", "1/4/2", " 1/4", "1.0/4", ""]
)
@pytest.mark.parametrize("main", [task1.main, task2.main])
def test_a_fold_that_cannot_be_is_told_in_one_line(
    main: object, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main) and main(["--fold", text] if not text.startswith("-") else [f"--fold={text}"]) == 2
    told = capsys.readouterr().err.strip()
    assert f"--fold: {text!r} is not allowed" in told and "K from 2 to 10" in told and len(told.splitlines()) == 1


def test_a_cut_into_too_little_says_how_many_folds_there_can_be() -> None:
    with pytest.raises(InputError, match=r"8000 rows .* blocks of 727; at least 2000 are needed: take at most 3"):
        split_of(10_000).parts(Fold(1, 10))
    with pytest.raises(InputError, match=r"60 days .* blocks of 15; .* take at most 2"):
        market_of(planted_world(7, 60), "x", Fold(2, 3))
    with pytest.raises(InputError, match="more data is required"):
        Fold(1, 2).cut(50, 20, "days")
    assert fold_of(None) is None and str(fold_of("3/4")) == "3/4"
