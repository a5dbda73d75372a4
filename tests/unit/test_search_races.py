"""What the benchmark of searches takes for the best is the best, and a run that was cut off goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import kept
from benchmarks.contenders import DEFAULT, OURS, spec_of, theirs
from benchmarks.races import Race, run_race
from benchmarks.search_fronts import FRONTED, Fronted, dominated
from benchmarks.search_limits import LIMITED, Limited
from benchmarks.search_series import Series, compared
from optuna.samplers import RandomSampler

_BEST: dict[str, dict[str, Any]] = {
    "branin in a disc": {"x": math.pi, "y": 2.275},
    "islands": {"x": 1.5 * math.pi, "y": math.asin(0.95) + 1e-9},
    "pressure vessel": {"shell": 13, "head": 7, "radius": 42.0984455, "length": 176.636599},
    "training that fits": {
        "lr": 10**-3.5,
        "decay": 1e-4,
        "dropout": 0.15,
        "batch": 16,
        "width": 256,
        "layers": 4,
        "warmup": 400,
        "optimizer": "adam",
        "activation": "gelu",
        "clip": True,
    },
}


@pytest.mark.parametrize("task", LIMITED, ids=lambda task: task.name)
def test_the_best_allowed_point_is_allowed_and_none_is_better(task: Limited) -> None:
    assert max(task.over(_BEST[task.name])) <= 0
    assert task.excess(_BEST[task.name]) == pytest.approx(0, abs=1e-4)
    ask = theirs(spec_of(task, "random"), RandomSampler(seed=0))
    assert min(task.excess(ask()[0]) for _ in range(300)) > 0


def test_a_search_stands_at_the_worst_until_a_point_is_allowed() -> None:
    task = LIMITED[1]
    told: list[Any] = []
    points = ({"x": 1.0, "y": 1.0}, _BEST[task.name], {"x": 1.0, "y": 0.0})
    found = task.followed([(point, lambda *seen: told.append(seen)) for point in points])
    assert found == [task.worst, pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6)]
    assert [over[0] > 0 for _, over in told] == [True, False, True]


@pytest.mark.parametrize("task", FRONTED, ids=lambda task: task.name)
def test_no_points_dominate_more_than_the_best_front(task: Fronted) -> None:
    ask = theirs(spec_of(task, "random", objectives=task.objectives), RandomSampler(seed=0))
    missing = task.followed(ask() for _ in range(200))
    assert 0 < missing[-1] < missing[0] <= 1
    assert missing == pytest.approx(sorted(missing, reverse=True))


def test_the_best_front_of_zdt1_dominates_what_is_said() -> None:
    task = FRONTED[0]
    front = [task.values({"x0": x, **{f"x{i}": 0.0 for i in range(1, 6)}}) for x in np.linspace(0, 1, 2001)]
    assert dominated(front, task.corner) == pytest.approx(task.best, rel=1e-3)


def test_what_lies_beyond_the_corner_or_behind_another_adds_no_area() -> None:
    assert dominated([(1, 1)], (2, 3)) == 2
    assert dominated([(1, 1), (1.5, 2), (3, 0), (0, 4)], (2, 3)) == 2
    assert dominated([(1, 1), (0, 2)], (2, 3)) == 3
    assert dominated([(0, 0, 1), (1, 1, 0), (0, 0, 3)], (2, 2, 2)) == 5


@pytest.mark.parametrize("at_a_time", [1, 10])
def test_all_trials_end_however_many_run_at_a_time(at_a_time: int) -> None:
    assert len(run_race(Race(OURS, "branin", 0, 12, at_a_time))) == 12


def test_a_limit_and_two_objectives_reach_the_sampler() -> None:
    assert len(run_race(Race(OURS, "islands", 0, 14))) == 14
    assert len(run_race(Race(OURS, "zdt1", 0, 14))) == 14


def test_of_a_pair_a_task_the_interval_is_over_the_tasks() -> None:
    one = Series("made up", ("branin", "hartmann6"), 1, (1,), (DEFAULT,))
    found = {race: [2.0 if race.contender == OURS else 4.0 + len(race.task)] for race in one.races(quick=False)}
    (row,) = compared(one, found)
    assert row.value == pytest.approx(2 / math.sqrt(10 * 13))
    assert "2 pairs, better in 2" in row.note
    assert "inf" not in row.note


def _squared(job: int) -> list[int]:
    assert job != 1
    return [job * job]


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept"
    file.write_text('["1", [7]]\n["2", [')
    monkeypatch.setenv(kept.KEEP, str(file))
    assert kept.ran([1, 2, 3], _squared) == {1: [7], 2: [4], 3: [9]}
    assert kept.ran([1, 2, 3], lambda _: pytest.fail("not again")) == {1: [7], 2: [4], 3: [9]}
