"""Optuna's private names: each does what kubetuna relies on, and no module but one touches any."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import Study, Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import QMCSampler
from optuna.storages import InMemoryStorage
from optuna.trial import create_trial

from kubetuna.search import optuna_internals as internals
from kubetuna.study.decoding import decode_trial

CORE = Path(internals.__file__).resolve().parents[1]
ROOM = Path(internals.__file__).resolve()
UNIT = FloatDistribution(0, 1)


def study_of_one(**settings: Any) -> Study:
    study = optuna.create_study(**settings)
    study.add_trial(create_trial(value=1.0, params={"x": 0.5}, distributions={"x": UNIT}))
    return study


def owners() -> dict[str, Any]:
    """Each private name with the object of Optuna that must have it."""
    study, memory = study_of_one(), InMemoryStorage()
    return {
        **dict.fromkeys(("_studies", "_trial_id_to_study_id_and_number", "_update_cache", "_max_trial_id"), memory),
        **dict.fromkeys(("_storage", "_study_id", "_thread_local"), study),
        "_trial_id": study.trials[0],
        "_find_sample_id": QMCSampler,
        "_contains": UNIT,
        "_suggest": Trial,
        "_filter_study": optuna.pruners,
    }


@pytest.mark.parametrize("name", sorted(owners()))
def test_optuna_still_has_the_private_name(name: str) -> None:
    assert hasattr(owners()[name], name), (
        f"Optuna {optuna.__version__} has no {name} any more: {ROOM.name} needs it"
    )


@pytest.mark.parametrize(
    ("module", "name"), [("optuna.study._frozen", "FrozenStudy"), ("optuna.storages._rdb.models", "TrialModel")]
)
def test_optuna_still_has_the_private_module(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"{module} has no {name} any more"


def test_the_list_above_names_all_that_is_used() -> None:
    used = {name for name in private_names(ROOM) if not name.startswith("optuna.")}
    overridden = {name for name in defined_names(ROOM) if is_private(name) and hasattr(QMCSampler, name)}
    assert used | overridden == set(owners()), "give each private name a test, and take out those that nothing uses"


def test_a_filled_storage_knows_its_trials_by_number_and_forgets_the_newest() -> None:
    storage = internals.FilledStorage()
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "filled")
    storage.fill(study_id, study_of_one().trials)
    assert storage.get_best_trial(study_id).number == internals.id_of(storage.get_trial(0)) == 0
    assert storage.create_new_trial(study_id) == 1
    storage.drop_last()
    assert [t.number for t in storage.get_all_trials(study_id)] == [0]
    assert storage.create_new_trial(study_id) == 1


def test_a_placed_sequence_draws_the_point_of_its_place() -> None:
    def point(place: int) -> float:
        sampler = internals.PlacedSequence(seed=1, scramble=False, qmc_type="halton")
        sampler.place = place
        study = study_of_one()
        return sampler.sample_relative(study, study.trials[0], {"x": UNIT})["x"]

    assert [point(i) for i in (1, 2, 1)] == [0.5, 0.25, 0.5]


def test_a_study_is_seen_anew_once_its_history_is_forgotten() -> None:
    study = study_of_one()
    study._thread_local.cached_all_trials = []
    assert study._get_trials(use_cache=True) == []
    internals.forget_history(study)
    assert len(study._get_trials(use_cache=True)) == 1


def test_a_sampler_sees_the_trials_of_its_own_bracket_only() -> None:
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    study = study_of_one(study_name="brackets", pruner=pruner)
    study.add_trials([study.trials[0]] * 19)
    pruner.prune(study, study.trials[0])
    seen = internals.seen_by(study, study.trials[0]).get_trials()
    assert 0 < len(seen) < 20
    plain = study_of_one()
    assert internals.seen_by(plain, plain.trials[0]) is plain


def test_a_distribution_tells_what_it_contains() -> None:
    assert internals.contains(UNIT, 1.0) and not internals.contains(UNIT, 1.1)
    assert internals.contains(CategoricalDistribution(("a", "b")), "b")


def test_a_trial_suggests_from_any_distribution() -> None:
    trial = study_of_one().ask()
    assert 0 <= internals.suggest(trial, "x", UNIT) <= 1
    assert internals.suggest(trial, "kind", CategoricalDistribution(("a",))) == "a"


def test_optuna_keeps_names_of_metrics_where_they_are_read() -> None:
    study = study_of_one()
    study.set_metric_names(["loss"])
    assert internals.stored_attributes(study)[internals.METRIC_NAMES] == ["loss"]


def test_optuna_reads_constraints_where_they_are_kept() -> None:
    trial = create_trial(value=1.0, system_attrs={internals.CONSTRAINTS: [-1.0, 0.5]})
    assert list(trial.constraints.values()) == [-1.0, 0.5]
    assert not decode_trial(trial).feasible


def test_a_constraint_set_by_another_program_counts() -> None:
    assert not decode_trial(create_trial(value=1.0, constraints={"memory": 0.5})).feasible


def test_optunas_tables_are_the_ones_that_are_written() -> None:
    models = internals.table_models()
    assert models.TrialModel.__tablename__ == "trials"
    assert models.TrialValueModel.value_to_stored_repr(float("inf"))[0] is None


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(CORE)))
def test_no_other_module_touches_a_private_name_of_optuna(path: Path) -> None:
    """A private name that a module uses must be one that it defines."""
    if path != ROOM:
        found = private_names(path) - defined_names(path)
        assert not found, f"{path.name} uses {', '.join(sorted(found))}; Optuna's go through {ROOM.name}"


def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(path: Path) -> set[str]:
    """Private attributes that a module reaches, and what it imports of Optuna's private names and modules."""
    found = {n.attr for n in nodes(path) if isinstance(n, ast.Attribute) and is_private(n.attr)}
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {a.name for a in node.names if is_private(a.name)}
            found |= {node.module} if node.module.startswith("optuna") and "._" in node.module else set()
    return found


def defined_names(path: Path) -> set[str]:
    """Names of the module's own functions and classes, and attributes that it sets on its own objects."""
    found: set[str] = set()
    for node in nodes(path):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
    return found
