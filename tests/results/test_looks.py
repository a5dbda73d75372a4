"""The held-out test is one: it is known again in another study, another store and another folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from kubetuna.analysis.folder import read_results, write_results
from kubetuna.errors import KubetunaError, ResultsError
from kubetuna.finrl import finalize as finalizing
from kubetuna.finrl.baselines import looks_checks
from kubetuna.finrl.looks import Look, known_looks, ledger, remember
from kubetuna.finrl.shipped import task_experiment
from kubetuna.local.runner import look_by_name
from kubetuna.store.database import open_engine
from kubetuna.store.reader import keep_final
from kubetuna.study.record import StudyRecord
from kubetuna.training.train import Trained
from kubetuna.trials.records import PROTOCOL
from tests.results.studies import plain_optuna, seen

LOOK = Look("first", "u0", 1, "2026-01-01T00:00:00Z", "ada@host", "d1", "p1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
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

    for name, fake in {"train": train, "evaluate": evaluate, "data_of": lambda _: "d1"}.items():
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


def test_a_look_that_cannot_be_remembered_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    with pytest.raises(KubetunaError, match="cannot be recorded"):
        remember({"seen": [asdict(LOOK)]})
