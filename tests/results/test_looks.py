"""The held-out test is one: it is known again in another study, another store and another folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from kubetuna.analysis.folder import read_results, write_results
from kubetuna.errors import KubetunaError, ResultsError
from kubetuna.finrl import finalize as finalizing
from kubetuna.finrl.baselines import looks_checks
from kubetuna.finrl.looks import Look, known_looks, ledger, remember, same_test, shared_ledger, sketches
from kubetuna.finrl.shipped import task_experiment
from kubetuna.local.runner import look_by_name
from kubetuna.store.database import open_engine
from kubetuna.store.reader import keep_final
from kubetuna.study.record import StudyRecord
from kubetuna.training.train import Trained
from kubetuna.trials.records import PROTOCOL
from kubetuna_trial.marks import Floats, sketch, stretches
from kubetuna_trial.task1.data import GRAIN
from kubetuna_trial.task1.planted import SNR, planted_series
from kubetuna_trial.task2.data import planted_market
from tests.results.studies import plain_optuna, seen

LOOK = Look("first", "u0", 1, "2026-01-01T00:00:00Z", "ada@host", "d1", "p1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBETUNA_LOOKS", str(tmp_path / "everyones.jsonl"))
    return tmp_path


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainers that take no time, on data of one hash; what was scored."""
    done: list[str] = []
    found = {"metrics": {"sharpe_ratio": 0.1}, "baselines": {}, "runs": [{"metrics": {"sharpe_ratio": 0.1}}]}

    def train(*_: Any) -> list[Trained]:
        return [Trained(Path("m"), 1, {"sharpe_ratio": 0.2}, "p1")]

    def evaluate(_: Path, split: str, final: bool) -> Mapping[str, Any]:
        assert final
        done.append(split)
        return found

    fakes = {"train": train, "evaluate": evaluate, "data_of": lambda _: "d1", "market_in": lambda _: []}
    for name, fake in fakes.items():
        monkeypatch.setattr(finalizing, name, fake)
    return done


def study(uid: str, **changes: Any) -> StudyRecord:
    return replace(seen(), spec=task_experiment("task1", name=f"study-{uid}"), uid=uid, protocol=None, **changes)


def finalize(one: StudyRecord, looks: list[Look], again: bool = False) -> dict[str, Any]:
    kept: list[Mapping[str, Any]] = []
    done = finalizing.finalize(one, one.trials[0], Path("x"), kept.append, lambda _: None, 1, again, looks=looks)
    remember(done)
    assert [bool(record["runs"]) for record in kept] == [False, True], "recorded before it is done"
    return done


def test_a_second_study_on_the_same_data_has_no_unseen_test(scored: list[str]) -> None:
    first = finalize(study("u1"), known_looks((), None))
    assert first["looks"] == 1
    with pytest.raises(ResultsError, match=r"scored on .*Z by .* in study study-u1, on the same data"):
        finalize(study("u2"), known_looks((), None))
    assert scored == ["test"], "it was not scored before it was refused"
    again = finalize(study("u2"), known_looks((), None), again=True)
    assert again["looks"] == 2 and [look["study"] for look in again["seen"]] == ["study-u1", "study-u2"]
    (told,) = looks_checks(study("u1", final=first))
    assert "in study study-u2" in told.text and "no longer unseen" in told.text
    assert list(looks_checks(study("u3", final=None))) == []


def test_trials_that_were_judged_alike_are_refused_before_anything_is_trained(
    scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalizing, "train", lambda *_: pytest.fail("nothing is trained for a refusal"))
    with pytest.raises(ResultsError, match="by ada@host in study first"):
        finalize(replace(study("u2"), protocol="p1"), [LOOK])


PRICES = planted_series(20_000, 7, SNR).prices
BORDER = 16_000


def known_by(prices: Floats) -> tuple[int, ...]:
    return tuple(sketch(stretches(prices, GRAIN)))


SAME = {
    "two decimals": lambda: np.round(PRICES[:BORDER], 2),
    "single precision": lambda: PRICES[:BORDER].astype(np.float32).astype(np.float64),
    "a border elsewhere": lambda: PRICES[: BORDER - 2000],
    "its first rows left out": lambda: PRICES[1500:BORDER],
    "gaps filled": lambda: np.insert(PRICES[:BORDER], range(50, BORDER, 500), PRICES[50:BORDER:500]),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_prices_are_the_same_test_however_they_are_written_and_cut(
    scored: list[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(finalizing, "data_of", lambda _: case)
    monkeypatch.setattr(finalizing, "market_in", lambda _: [known_by(SAME[case]())])
    first = replace(LOOK, protocol="p0", market=(known_by(PRICES[:BORDER]),))
    with pytest.raises(ResultsError, match="by ada@host in study first, on the same data"):
        finalize(study("u2"), [first])
    stranger = known_by(planted_series(20_000, 8, SNR).prices[:BORDER])
    assert finalize(study("u2"), [replace(first, market=(stranger,))])["looks"] == 1
    later = known_by(np.concatenate([PRICES, planted_series(20_000, 9, SNR).prices]))
    assert finalize(study("u2"), [replace(first, market=(later,))])["looks"] == 1, "its test is another"


def test_trials_say_by_what_their_data_are_known_so_that_a_report_knows_of_looks(
    scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing of the study was trained again, and it is judged by another protocol."""
    monkeypatch.setattr(finalizing, "train", lambda *_: pytest.fail("nothing is trained for a refusal"))
    marks = known_by(PRICES[:BORDER])
    trials = tuple(replace(one, series={"returns": [0.1], "market": marks}) for one in seen().trials)
    mine = study("u2", trials=trials)
    remember({"seen": [asdict(replace(LOOK, market=(known_by(np.round(PRICES[:BORDER], 2)),)))]})
    (told,) = looks_checks(mine)
    assert "in study first" in told.text
    with pytest.raises(ResultsError, match="in study first"):
        finalize(mine, known_looks((), None))


def test_some_of_the_same_tickers_lead_to_the_same_test() -> None:
    market = planted_market(7)
    looked = replace(LOOK, market=sketches(market.sketches().values()))
    one = market.sketches()[market.world.tickers[2]]
    assert same_test([looked], study("u2"), "other", sketches([one])) == [looked]
    other_news = planted_market(7, shuffled=True)
    assert other_news.digest != market.digest
    assert same_test([looked], study("u2"), "other", sketches(other_news.sketches().values())) == [looked]
    assert same_test([looked], study("u2"), "other", sketches(planted_market(8).sketches().values())) == []


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
def test_another_home_is_the_same_machine(home: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(home / "one"))
    remember({"seen": [asdict(LOOK)]})
    monkeypatch.setenv(variable, str(home / "two"))
    assert known_looks((), None) == [LOOK]
    assert shared_ledger().stat().st_mode & 0o777 == 0o666, "everyone may add to it"
    assert (home / "one/.local/state/kubetuna/looks.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_machine_without_a_place_for_everyone_keeps_a_persons_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBETUNA_LOOKS", str(home / "absent" / "looks.jsonl"))
    remember({"seen": [asdict(LOOK)]})
    assert known_looks((), None) == [LOOK]


def test_a_store_remembers_the_looks_of_all_its_studies(home: Path) -> None:
    url = plain_optuna(home / "a.db")
    assert known_looks((), url) == []
    keep_final(open_engine(url), "theirs", {"looks": 1, "seen": [asdict(LOOK)]})
    assert known_looks([look_by_name("theirs", url).final], url) == [LOOK], "each once"


def test_what_a_store_knows_of_its_other_studies_counts(home: Path) -> None:
    """Another study on the same data was tried too, pruned trials included, and it looked at the same test."""
    url = plain_optuna(home / "a.db", name="mine")
    plain_optuna(home / "a.db", name="alike")
    plain_optuna(home / "a.db", name="stranger")
    storage = optuna.storages.RDBStorage(url)
    for name, protocol in (("mine", "p1"), ("alike", "p1"), ("stranger", "p2")):
        storage.set_study_system_attr(storage.get_study_id_from_name(name), PROTOCOL, protocol)
    keep_final(open_engine(url), "alike", {"looks": 1, "seen": [asdict(LOOK)]})
    found = look_by_name("mine", url)
    alike = look_by_name("alike", url)
    scored = sum(1 for trial in alike.trials if trial.steps or trial.values)
    assert found.others.alike == scored == 12
    assert read_results(write_results(found, home / "results")).others.alike == 12
    (told,) = looks_checks(found)
    assert "scored by ada@host in study first" in told.text
    assert list(looks_checks(look_by_name("stranger", url))) == []


def test_a_damaged_ledger_hides_no_other_look() -> None:
    remember({"seen": [asdict(LOOK)]})
    with ledger().open("ab") as file:
        file.write(b'{"study": 1}\n[]\n\xff{\n"x"\n')
    remember({"seen": [asdict(LOOK), asdict(replace(LOOK, number=2))]})
    assert [look.number for look in known_looks((), None)] == [1, 2]
    assert known_looks([{"seen": [None, {}, {"number": "x"}]}], None) == known_looks((), None)


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(asdict(LOOK) | {"number": math.inf}),
        json.dumps(asdict(LOOK) | {"market": [[math.inf]]}),
        "[" * 200_000,
    ],
    ids=["a number", "a sketch", "nested"],
)
def test_what_anyone_writes_into_the_file_of_everyone_hides_no_look(line: str) -> None:
    shared_ledger().write_text(f"{line}\n")
    remember({"seen": [asdict(LOOK)]})
    assert known_looks((), None) == [LOOK]


def test_a_pipe_in_the_place_of_everyones_file_is_not_waited_for() -> None:
    os.mkfifo(shared_ledger())
    remember({"seen": [asdict(LOOK)]})
    assert known_looks((), None) == [LOOK]


def test_a_look_that_cannot_be_remembered_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    with pytest.raises(KubetunaError, match="cannot be recorded"):
        remember({"seen": [asdict(LOOK)]})
