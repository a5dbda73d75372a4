"""Where a person says that training, validation and test begin, and what is used of the contest's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold
from kubetuna_trial.task1 import splits
from kubetuna_trial.task1.cli import main
from kubetuna_trial.task1.data import file_dataset, planted_dataset
from kubetuna_trial.task1.planted import SNR, write_contest_files
from kubetuna_trial.task1.protocol import protocol_of
from kubetuna_trial.task1.splits import FITTED_ROWS, LABELS, Span, split_of
from tests.trial.task1 import worlds

ROWS = 20_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first row is at 11:32:42, and each a second later."""
    return write_contest_files(tmp_path_factory.mktemp("data"), ROWS, 3, SNR)


def test_shares_say_where_the_parts_begin() -> None:
    assert split_of(ROWS).parts() == (Span(0, 12_000), Span(12_900, 16_000))
    assert split_of(ROWS, "0.5,0.7").parts() == (Span(0, 10_000), Span(10_900, 14_000))
    assert split_of(ROWS, "0.25,0.5,0.75").parts() == (Span(5_000, 10_000), Span(10_900, 15_000))
    assert split_of(ROWS, "0.25,0.5,0.75").parts(Fold(1, 2)) == (Span(5_000, 8_333), Span(9_233, 11_666))


def test_times_say_it_too_and_no_row_after_them_is_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    said = "2021-04-07T12:00,2021-04-07 14:00:00,2021-04-07T15:30"
    data = file_dataset(*files, "front", split=said)
    begins = [27 * 60 + 18 + hours * 3600 for hours in (0, 2, 3.5)]
    assert (data.train, data.validation) == (Span(begins[0], begins[1]), Span(begins[1] + 900, int(begins[2])))
    np.save(tmp_path / "short.npy", np.load(files[1])[900:])
    assert file_dataset(files[0], tmp_path / "short.npy", "rear", split=said).train.start == begins[0] - 900
    lines = files[0].read_text().splitlines()
    (tmp_path / "p.csv").write_text("\n".join([*lines[: int(begins[2]) + 2], *["no,times"] * 4_500]) + "\n")
    np.save(tmp_path / "f.npy", np.load(files[1])[: int(begins[2]) + 4_500])
    assert file_dataset(tmp_path / "p.csv", tmp_path / "f.npy", "front", split=said).digest == data.digest


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("0.5", "two or three borders"),
        ("0.1,0.2,0.3,0.4", "two or three borders"),
        ("0.5,0.4", "it leaves 0 of 20000 rows for validation"),
        ("0.5,0.55", "it leaves 1000 of 20000 rows for validation; at least 2000"),
        ("0.5,0.95", "for test"),
        ("half,0.8", "'half' is neither a share from 0 to 1 nor a time such as 2021-04-14T12:00"),
        ("0.5,1.2", "'1.2' is neither"),
        ("0.5,nan", "'nan' is neither"),
        ("-0.1,0.5,0.8", "'-0.1' is neither"),
        ("0.5,2021-13-40", "'2021-13-40' is not a time"),
        ("0.5,2031-01-01", "it leaves 0 of 20000 rows for test"),
        ("", "two or three borders"),
    ],
)
def test_what_is_no_split_is_told_in_one_line(
    files: tuple[Path, Path], said: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--prices", str(files[0]), "--factors", str(files[1]), f"--split={said}"]) == 2
    told = capsys.readouterr().err.strip()
    assert f"--split: {said!r} is not allowed" in told and words in told and len(told.splitlines()) == 1


def test_times_need_data_that_have_them(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no times"):
        planted_dataset(ROWS, 7, SNR, split="2021-04-07T14:00,2021-04-07T15:30")
    rows = files[0].read_text().splitlines()
    (tmp_path / "p.csv").write_text("midpoint\n" + "\n".join(row.split(",")[2] for row in rows[1:]))
    with pytest.raises(InputError, match="give shares"):
        file_dataset(tmp_path / "p.csv", files[1], "front", split="2021-04-07T14:00,0.8")


@pytest.mark.parametrize("rows", splits.CONTEST_ROWS)
def test_of_the_contests_files_only_what_the_factors_were_not_fitted_to_is_used(rows: int) -> None:
    usual = split_of(rows)
    train, validation = usual.parts()
    assert FITTED_ROWS <= train.start < FITTED_ROWS + 1_000
    assert abs(train.stop - train.start - 0.6 * (rows - train.start)) < 0.01 * rows
    (told,) = splits.warnings_of(usual, rows, rows + LABELS, False)
    assert "--split 0,0.6,0.8 uses all" in told and validation.stop < rows
    (told,) = splits.warnings_of(split_of(rows, "0.6,0.8"), rows, rows + LABELS, True)
    assert "looks better than it is" in told if rows < 1_000_000 else told


def test_factors_as_the_contests_network_leaves_them_are_told(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "short.npy", np.load(files[1])[:-LABELS])
    file_dataset(files[0], tmp_path / "short.npy", "front")
    assert "begin after them (--split)" in capsys.readouterr().err
    file_dataset(files[0], tmp_path / "short.npy", "front", split="0.1,0.6,0.8")
    assert "--split" not in capsys.readouterr().err


def test_the_split_is_part_of_the_protocol_even_where_validation_is_the_same() -> None:
    kinds = [planted_dataset(ROWS, 7, SNR, split=said) for said in (None, "0,0.6,0.8", "0.6,0.8", "0.1,0.6,0.8")]
    digests = [protocol_of(data, data.validation).digest for data in kinds]
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_a_model_is_judged_on_its_own_split(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--prices", str(files[0]), "--factors", str(files[1])]
    few = [f"--{name.replace('_', '-')}={value}" for name, value in worlds.SMALL.items()]
    words = [*data, *few, "--split", "0.1,0.5,0.7", "--updates", "4", "--reports", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    last = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"step"' in line][-1]
    for more in ([], data):
        assert main(["evaluate", "--model", str(tmp_path), *more, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["rows"] == [10_900, 14_000] and found["metrics"]["sharpe_ratio"] == last["sharpe_ratio"]
    assert main(["evaluate", "--model", str(tmp_path), "--split", "test", "--final", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [14_900, 20_000]
