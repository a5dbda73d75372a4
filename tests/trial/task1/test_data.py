"""The contest's files: read as they are, refused in words, and never beyond validation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.task1 import files as reading
from kubetuna_trial.task1.cli import main
from kubetuna_trial.task1.data import file_dataset, planted_dataset
from kubetuna_trial.task1.files import count_rows
from kubetuna_trial.task1.planted import SNR, columns, planted_series, write_contest_files
from kubetuna_trial.task1.splits import split_of

ROWS = 12_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_contest_files(tmp_path_factory.mktemp("data"), ROWS, 3, SNR)


def test_written_files_have_the_contests_155_columns_and_read_back_as_they_were(files: tuple[Path, Path]) -> None:
    assert len(columns()) == 155 and len(set(columns())) == 155
    read, made = file_dataset(*files, "front"), planted_dataset(ROWS, 3, SNR)
    assert read.digest == made.digest
    assert np.array_equal(read.factors, made.factors)


def test_a_trial_never_reads_the_test_rows(files: tuple[Path, Path], tmp_path: Path) -> None:
    _, validation = split_of(ROWS).parts()
    lines = files[0].read_text().splitlines()
    spoiled = tmp_path / "prices.csv"
    spoiled.write_text(
        "\n".join(lines[: validation.stop + 1] + ["no,numbers,at,all"] * (ROWS - validation.stop)) + "\n"
    )
    factors = np.load(files[1])
    factors[validation.stop :] = np.nan
    np.save(tmp_path / "factors.npy", factors)
    assert file_dataset(spoiled, tmp_path / "factors.npy", "front").digest == file_dataset(*files, "front").digest


def test_train_and_validation_lie_apart_and_in_order() -> None:
    train, validation = split_of(100_000).parts()
    assert (train.start, train.stop, validation.start, validation.stop) == (0, 60_000, 60_900, 80_000)


def test_the_scale_of_the_factors_comes_from_train_rows_only() -> None:
    data = planted_dataset(ROWS, 3, SNR)
    part = data.factors[data.train.start : data.train.stop]
    assert np.abs(part.mean(axis=0)).max() < 1e-3


def test_rear_alignment_pairs_the_last_rows_and_says_that_it_does_not_fit(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, prices = np.load(files[1]), planted_series(ROWS, 3, SNR).prices
    table[:-10, 0] += 1e4 * np.log(prices[10:] / prices[:-10])
    np.save(tmp_path / "short.npy", table[:-900])
    front = file_dataset(files[0], tmp_path / "short.npy", "front")
    assert "--align" not in capsys.readouterr().err
    rear = file_dataset(files[0], tmp_path / "short.npy", "rear")
    assert "--align" in capsys.readouterr().err
    assert np.array_equal(front.prices[900:1000], rear.prices[:100])


def test_no_signal_leaves_factors_that_look_alike() -> None:
    planted, control = planted_series(5000, 1, SNR), planted_series(5000, 1, 0.0)
    assert np.array_equal(planted.factors, control.factors) and not np.array_equal(planted.prices, control.prices)


def refused(prices: Path, factors: Path) -> str:
    with pytest.raises(InputError) as told:
        file_dataset(prices, factors, "front")
    return str(told.value)


def test_what_is_wrong_with_a_file_is_told(files: tuple[Path, Path], tmp_path: Path) -> None:
    prices, factors = files
    text = prices.read_text().splitlines()
    other = tmp_path / "p.csv"
    assert "No such file" in refused(tmp_path / "absent.csv", factors)
    assert "No such file" in refused(prices, tmp_path / "absent.npy")
    other.write_text("\n".join([text[0].replace("midpoint", "mid_point"), *text[1:]]))
    assert "did you mean 'mid_point'" in refused(other, factors)
    other.write_text("\n".join([*text[:50], "1,2021", *text[51:]]))
    assert "numbers only" in refused(other, factors)
    other.write_text("\n".join(text[:5000]))
    assert "more than the" in refused(other, factors)
    cut = tmp_path / "f.npy"
    cut.write_bytes(factors.read_bytes()[:-1000])
    assert "not a whole .npy" in refused(prices, cut)
    np.save(cut, np.zeros(ROWS))
    assert "(rows, factors)" in refused(prices, cut)
    np.save(cut, np.load(factors)[:500])
    assert "at least 10000" in refused(prices, cut)
    wrong = np.load(factors)
    wrong[17, 2] = np.inf
    np.save(cut, wrong)
    assert "row 17" in refused(prices, cut)
    np.save(cut, np.load(factors)[:, :0])
    assert "(rows, factors), not float32" in refused(prices, cut)


def _retimed(rows: list[str], at: int, like: int) -> list[str]:
    """Row ``at`` with the time of row ``like``."""
    fields = rows[at].split(",")
    return [*rows[:at], ",".join([fields[0], rows[like].split(",")[1], *fields[2:]]), *rows[at + 1 :]]


def _timed(rows: list[str], at: int, time: str) -> list[str]:
    """Row ``at`` with another time."""
    fields = rows[at].split(",")
    return [*rows[:at], ",".join([fields[0], time, *fields[2:]]), *rows[at + 1 :]]


# Lines of the file, the header is line 1.
TIMES = {
    "repeated": (lambda rows: _retimed(rows, 30, 29), "line 31: system_time .* repeats .* keep one row a second"),
    "swapped": (
        lambda rows: [*rows[:30], rows[31], rows[30], *rows[32:]],
        "line 32: .* is before .* sort",
    ),
    "two in a second": (
        lambda rows: [*rows[:30], rows[29].replace(".000000", ".500000"), *rows[31:]],
        "line 31: .* repeats .* keep one row a second",
    ),
    "another zone": (
        lambda rows: [*rows[:30], rows[30].replace("+00:00", "+01:00"), *rows[31:]],
        "line 31: .* must be in the zone of line 2",
    ),
    "empty": (lambda rows: _timed(rows, 30, ""), "line 31: system_time '' must be YYYY-MM-DD"),
    "not a time": (lambda rows: _timed(rows, 30, "NaT"), "line 31: system_time 'NaT' must be YYYY-MM-DD"),
    "no such month": (lambda rows: _timed(rows, 30, "2021-13-01 00:00:00+00:00"), "system_time: .*2021-13-01"),
    "seconds since 1970": (
        lambda rows: [rows[0], *(_timed(rows, n, str(1617795161 + n))[n] for n in range(1, len(rows)))],
        "line 2: system_time '1617795162' must be YYYY-MM-DD",
    ),
    "no time": (lambda rows: _retimed(rows, 30, 0), "line 31: system_time 'system_time' must be YYYY-MM-DD"),
    "a blank line": (lambda rows: [*rows[:30], "", *rows[30:]], "line 31 is blank"),
    "a line of spaces": (lambda rows: [*rows[:30], " \t", *rows[30:]], "line 31 is blank"),
}


@pytest.mark.parametrize("case", TIMES)
def test_seconds_that_are_none_are_refused(files: tuple[Path, Path], tmp_path: Path, case: str) -> None:
    change, words = TIMES[case]
    (tmp_path / "p.csv").write_text("\n".join(change(files[0].read_text().splitlines())))
    assert re.search(words, refused(tmp_path / "p.csv", files[1]))


def test_a_mark_of_the_encoding_is_no_part_of_a_columns_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [row.split(",") for row in files[0].read_text().splitlines()]
    (tmp_path / "p.csv").write_text("\ufeff" + "\n".join(f"{row[2]},{row[1]}" for row in rows))
    assert file_dataset(tmp_path / "p.csv", files[1], "front").digest == file_dataset(*files, "front").digest


def test_missing_seconds_are_told(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = files[0].read_text().splitlines()
    (tmp_path / "p.csv").write_text("\n".join([*rows[:30], *rows[33:100], *rows[101:]]))
    np.save(tmp_path / "f.npy", np.load(files[1])[:-4])
    file_dataset(tmp_path / "p.csv", tmp_path / "f.npy", "front")
    told = capsys.readouterr().err
    assert "4 seconds are missing, 3 of them after line 30" in told and "repeat the last row" in told
    (tmp_path / "p.csv").write_text("midpoint\n" + "\n".join(row.split(",")[2] for row in rows[1:]))
    file_dataset(tmp_path / "p.csv", tmp_path / "f.npy", "front")
    assert "no column 'system_time'" in capsys.readouterr().err


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_blank_lines_at_the_end_shift_nothing(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", block)
    few = tmp_path / "few.csv"
    for end in ("", "\n", "\n\n\n", "\r\n \r\n"):
        few.write_bytes(f"midpoint\n1\n2\n3{end}".encode())
        assert count_rows(few) == 3
    for middle, line in (("1\n\n2", 3), ("1\n2\r\n\r\n\n3", 4)):
        few.write_bytes(f"midpoint\n{middle}\n".encode())
        with pytest.raises(InputError, match=f"line {line} is blank"):
            count_rows(few)
    monkeypatch.setattr(reading, "_BLOCK", 1 << 20)
    long = tmp_path / "p.csv"
    long.write_text(files[0].read_text() + "\n" * 50)
    np.save(tmp_path / "f.npy", np.load(files[1])[:-900])
    assert file_dataset(long, tmp_path / "f.npy", "rear").digest == (
        file_dataset(files[0], tmp_path / "f.npy", "rear").digest
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prices", "x.csv"], "belong together"),
        (["--rows", "5"], "at least 10000"),
        (["--learning-rate", "fast"], "learning_rate: 'fast'"),
        (["--gamma", "nan"], "gamma"),
        (["--num-sims", "32.5"], "whole number"),
        (["--agent-0", "PPO"], "D3QN, DoubleDQN, TwinD3QN"),
        (["--device", "tpu"], "--device"),
        (["--nonsense"], "--help"),
    ],
)
def test_bad_options_are_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err.strip()
    assert words in told and len(told.splitlines()) == 1


def test_an_unknown_parameter_is_told_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBETUNA_PARAMS", '{"learning_rat": 1}')
    assert main([]) == 2
    assert "did you mean 'learning_rate'" in capsys.readouterr().err
