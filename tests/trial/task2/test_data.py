"""The contest's files: read as they are, refused in words, and the test part never opened by a trial."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2 import lexicon, planted
from kubetuna_trial.task2.data import folder_market, folder_market_with_test, planted_market
from kubetuna_trial.task2.planted import NEWS_COLUMNS, STOCK_COLUMNS, planted_world, write_contest_files
from kubetuna_trial.task2.prompts import Prompts

DAYS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_contest_files(tmp_path, 3, False, DAYS)
    return tmp_path


def stocks(folder: Path, part: str = "train") -> Path:
    return folder / part / f"task2_stocks_{part}.csv"


def news(folder: Path, part: str = "train") -> Path:
    return folder / part / f"task2_news_{part}.csv"


def edited(path: Path, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))


def _split(rows: list[list[str]], ticker: str, parts: float) -> list[list[str]]:
    """The prices of a ticker as they are traded: from the middle on, a share is a part of one."""
    days = sorted({row[0] for row in rows[1:]})
    late = days[len(days) // 2]
    return [
        [*r[:2], *(str(float(v) / parts) for v in r[2:6]), r[6]] if r[1] == ticker and r[0] >= late else r
        for r in rows
    ]


def test_an_article_without_a_title_is_its_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(folder_market(folder).world.news)
    edited(news(folder), lambda rows: [rows[0], *([*r[:2], "", r[3] or "News"] for r in rows[1:])])
    found = folder_market(folder)
    assert len(found.world.news) > 0.9 * before, "only what says the same twice is left out"
    prompts = Prompts(found, 10).of_day(found.window.start)
    assert not any(": . " in prompt for prompt in prompts) and "warning" not in capsys.readouterr().err
    edited(news(folder), lambda rows: [*rows[:5], [*rows[5][:2], " ", ""], *rows[6:]])
    folder_market(folder)
    assert "1 articles have neither a title nor a summary" in capsys.readouterr().err


def test_written_files_are_the_contests_and_read_back_as_they_were(folder: Path) -> None:
    assert stocks(folder).read_text().splitlines()[0] == ",".join(STOCK_COLUMNS)
    assert news(folder).read_text().splitlines()[0] == ",".join(NEWS_COLUMNS)
    read, made = folder_market(folder), planted_market(3, days=DAYS)
    assert np.array_equal(read.world.bars, made.world.bars) and read.world.news == made.world.news
    assert (read.digest, read.train, read.window) == (made.digest, made.train, made.window)


def test_further_columns_other_orders_and_times_of_day_are_read(folder: Path) -> None:
    before = folder_market(folder).digest
    edited(stocks(folder), lambda rows: [["", *reversed(row), "Adj Close"] for row in rows])
    edited(
        news(folder), lambda rows: [rows[0], *([f"{r[0]} 09:30:00 UTC", r[1].lower(), *r[2:]] for r in rows[1:])]
    )
    assert folder_market(folder).digest == before


def test_a_trial_never_opens_the_test_files(folder: Path) -> None:
    before = folder_market(folder).digest
    for path in (stocks(folder, "test"), news(folder, "test")):
        path.write_text("no,numbers,at,all\n1\n")
    assert folder_market(folder).digest == before
    with pytest.raises(InputError, match="has no column"):
        folder_market_with_test(folder)


def test_test_days_follow_the_train_days_and_know_their_news(folder: Path) -> None:
    train, both, made = (
        folder_market(folder),
        folder_market_with_test(folder),
        planted_market(3, days=DAYS, test=True),
    )
    assert both.window == made.window and both.window.start == len(train.world.dates)
    assert both.train == train.train and np.array_equal(both.world.bars, made.world.bars)


def test_test_files_that_overlap_the_train_files_are_refused(folder: Path) -> None:
    stocks(folder, "test").write_text(stocks(folder).read_text())
    with pytest.raises(InputError, match="must hold days after"):
        folder_market_with_test(folder)


def test_shuffled_news_is_the_same_news_at_other_places() -> None:
    planted, control = planted_world(3, DAYS), planted_world(3, DAYS, shuffled=True)
    assert np.array_equal(planted.bars, control.bars) and len(planted.news) == len(control.news)
    assert [(a.date, a.ticker) for a in planted.news] == [(a.date, a.ticker) for a in control.news]
    moved = sum(a.title != b.title for a, b in zip(planted.news, control.news, strict=True))
    assert moved > 0.8 * len(planted.news)


def test_in_a_storm_that_only_a_long_memory_holds_prices_go_far_against_the_news() -> None:
    """What ``max_env_steps`` of the guide's range decides on: a third of 300 days are among them, none of 200."""
    market = planted_market(7)
    first, stop = (int(share * planted.DAYS) for share in planted.STORM)
    good = np.zeros(market.opens.shape)
    day_of = {date: day for day, date in enumerate(market.world.dates)}
    for article in market.world.news:
        tone = sum(words in article.title for words in lexicon.GOOD) - sum(w in article.title for w in lexicon.BAD)
        good[market.world.tickers.index(article.ticker), day_of[article.date]] = tone
    moves = market.future_return(np.arange(1, market.train.stop), 1).T
    gained = (good[:, : moves.shape[1]] * moves).mean(axis=0)
    before, within, since = gained[:first].mean(), gained[first:stop].mean(), gained[stop:].mean()
    assert min(before, since) > 0.001 and within < -3 * max(before, since)
    assert 90 <= sum(first <= day < stop for day in market.train[-300:]) <= 100
    assert not any(first <= day < stop for day in market.train[-200:])


def refused(folder: Path, tickers: list[str] | None = None) -> str:
    with pytest.raises(InputError) as told:
        folder_market(folder, tickers)
    return str(told.value)


def test_what_is_missing_is_told(folder: Path, tmp_path: Path) -> None:
    assert "is not a folder" in refused(tmp_path / "absent")
    assert "has no prices of TSLA; to use only those that have both, say --tickers AAPL,AMZN" in refused(
        folder, ["AAPL", "TSLA"]
    )
    news(folder).rename(folder / "elsewhere.csv")
    assert "has no train file of news; looked for train/task2_news_train.csv" in refused(folder)


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (stocks, lambda r: [[c.replace("Open", "Opening") for c in row] for row in r], "did you mean 'opening'"),
        (stocks, lambda r: [*r[:5], [r[5][0], "AAPL", "-3", *r[5][3:]], *r[6:]], "line 6: Open '-3' must be"),
        (stocks, lambda r: [*r[:5], [*r[5][:5], "nan", r[5][6]], *r[6:]], "Close 'nan' must be a positive number"),
        (stocks, lambda r: [*r[:9], ["9 May", *r[9][1:]], *r[10:]], "line 10: Date '9 May' must be written"),
        (stocks, lambda r: [*r[:9], r[9][:3], *r[10:]], "line 10: has 3 fields, too few"),
        (stocks, lambda r: [*r, r[-1]], "has two rows of WMT on"),
        (stocks, lambda r: [row for i, row in enumerate(r) if i != 100], "has no row on"),
        (stocks, lambda r: [row for row in r if row[1] != "XOM"], "has no prices of XOM"),
        (stocks, lambda r: r[:1 + 7 * 40], "at least 60 are needed"),
        (stocks, lambda r: r[:1], "has no"),
        (stocks, lambda r: [], "is empty"),
        (stocks, lambda r: _split(r, "NVDA", 4), "as after a 4:1 split; multiply its earlier prices by 0.25"),
        (stocks, lambda r: _split(r, "WMT", 0.1), "as after a 1:10 reverse split"),
        (stocks, lambda r: _split(r, "WMT", 12), "as after a 12:1 split"),
        (stocks, lambda r: _split(r, "NVDA", 3.8), "as after a 4:1 split"),
        (stocks, lambda r: [*r[:5], [*r[5][:3], "1", "9", *r[5][5:]], *r[6:]], "line 6: Low 9 is above High 1"),
        (news, lambda r: [row if row[1] != "XOM" else [*row[:2], "", " "] for row in r], "has no news of XOM"),
        (news, lambda r: [row for row in r if row[1] != "XOM"], "has no news of XOM"),
        (news, lambda r: [*r[:4], [r[4][0], " ", *r[4][2:]], *r[5:]], "the ticker is empty"),
        (news, lambda r: [[c.replace("Article_title", "Title") for c in row] for row in r], "has no column"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(
    folder: Path, path: Callable[[Path], Path], change: Callable[[list[list[str]]], list[list[str]]], words: str
) -> None:
    edited(path(folder), change)
    told = refused(folder)
    assert words in told and path(folder).name.split("_")[1] in told


def test_a_move_that_a_nights_news_may_explain_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(stocks(folder), lambda r: _split(r, "NVDA", 1.5))
    folder_market(folder)
    assert "if that was a 3:2 split, multiply its earlier prices by 0.667" in capsys.readouterr().err


def test_a_file_that_is_no_text_is_told(folder: Path) -> None:
    stocks(folder).write_bytes(b"\xff\xfe\x00\x01" * 50)
    assert "is not a CSV file in UTF-8" in refused(folder)


def test_the_same_news_told_twice_counts_once_and_later_news_not_at_all(folder: Path) -> None:
    before = folder_market(folder)
    edited(news(folder), lambda rows: [*rows, *rows[1:], ["2031-01-01", "AAPL", "From the future", ""]])
    assert folder_market(folder).world.news == before.world.news
