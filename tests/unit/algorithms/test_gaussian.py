"""The Gaussian process: what it is given may be anything that a store holds, and its cost stays bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from kubetuna.search.gaussian.encoding import Encoding
from kubetuna.search.gaussian.history import SEEN, history_of
from kubetuna.search.gaussian.improvement import Promise
from kubetuna.search.gaussian.process import Process, fitted
from kubetuna.search.gaussian.sampler import GaussianProcessSampler
from kubetuna.search.gaussian.warp import warps
from kubetuna.search.optuna_internals import CONSTRAINTS, FilledStorage, contains

Space = dict[str, BaseDistribution]
UNIT = FloatDistribution(0, 1)
MIXED: Space = {
    "x": UNIT,
    "lr": FloatDistribution(1e-6, 1, log=True),
    "drop": FloatDistribution(0, 0.5, step=0.1),
    "n": IntDistribution(1, 1000, log=True),
    "deep": IntDistribution(2, 10, step=2),
    "batch": CategoricalDistribution([64, 16, 32]),
    "kind": CategoricalDistribution(["a", True, None, 2, "json:[1]"]),
}


def study_of(
    space: Space,
    values: Sequence[float | None],
    seed: int = 0,
    value_of: Callable[[Mapping[str, Any]], float] | None = None,
    **settings: Any,
) -> optuna.Study:
    """Random trials of a space with these values; None: it failed."""
    study = optuna.create_study(**settings)
    draw = optuna.samplers.RandomSampler(seed=seed)
    for value in values:
        params = {n: draw.sample_independent(study, study_trial(), n, d) for n, d in space.items()}
        study.add_trial(ended(space, params, value_of(params) if value_of else value))
    return study


def study_trial() -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING)


def ended(space: Space, params: Mapping[str, Any], value: float | None, **more: Any) -> FrozenTrial:
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    settings = {"state": state, "params": dict(params), "distributions": dict(space), "value": value, **more}
    return create_trial(**settings)


def proposal(study: optuna.Study, space: Space, seed: int = 1, **settings: Any) -> dict[str, Any]:
    """What the sampler proposes; every value lies in its distribution."""
    sampler = GaussianProcessSampler(seed=seed, **settings)
    with np.errstate(all="raise", under="ignore"):
        found = sampler.sample_relative(study, create_trial(state=TrialState.RUNNING), space)
    assert all(contains(space[name], value) for name, value in found.items())
    return found


@pytest.mark.parametrize(
    "values",
    [
        [0.5] * 12,
        [0.0] * 12,
        [*(i / 10 for i in range(11)), 1e300],
        [*(i / 10 for i in range(11)), -1e300],
        [-1e308, 1e308] * 6,
        [10.0 ** (3 * i) for i in range(-6, 6)],
        [-(10.0 ** (3 * i)) for i in range(-6, 6)],
        [*(i / 10 for i in range(10)), math.inf, math.inf],
        [*(i / 10 for i in range(10)), -math.inf],
        [math.inf] * 12,
        [-math.inf] * 12,
        [5e-324, 1e-310] * 6,
    ],
    ids=str,
)
def test_any_values_lead_to_a_proposal(values: list[float]) -> None:
    found = proposal(study_of(MIXED, values), MIXED)
    # Where nothing is left that could be learned from, it is chance's turn.
    assert found.keys() == MIXED.keys() or values == [-math.inf] * 12


def test_what_is_no_value_is_not_learned_from() -> None:
    study = study_of({"x": UNIT}, [0.1 * i for i in range(12)])
    odd = [create_trial(params={"x": 0.5}, distributions={"x": UNIT}, value=1.0) for _ in range(3)]
    odd[0].values, odd[1].values, odd[2].values = [math.nan], [1.0, 2.0], [-math.inf]
    # As another program may have stored them: Optuna's own checks are passed by.
    study._storage._studies[0].trials.extend(odd)  # type: ignore[attr-defined]
    seen = history_of(study, study_trial(), Encoding({"x": UNIT}))
    assert len(seen.points) == 12 and 0.0 <= proposal(study, {"x": UNIT})["x"] <= 1.0


def test_trials_that_all_failed_leave_it_to_chance() -> None:
    assert proposal(study_of(MIXED, [None] * 30), MIXED) == {}
    assert proposal(study_of(MIXED, []), MIXED, n_startup_trials=0) == {}


def test_with_few_trials_chance_decides_and_then_the_process() -> None:
    assert proposal(study_of(MIXED, [0.1] * 9), MIXED) == {}
    assert proposal(study_of(MIXED, [0.1] * 10), MIXED)
    assert proposal(study_of(MIXED, [0.1] * 2), MIXED, n_startup_trials=2)


def with_limit(space: Space, params: Mapping[str, Any], value: float, violation: float) -> FrozenTrial:
    return ended(space, params, value, system_attrs={CONSTRAINTS: [violation]})


def test_where_all_are_infeasible_it_looks_for_what_is_allowed() -> None:
    space: Space = {"x": UNIT, "y": UNIT}
    study = optuna.create_study()
    for i in range(12):
        params = {"x": i / 11, "y": (7 * i % 12) / 11}
        study.add_trial(with_limit(space, params, -params["x"], 0.1 + params["x"]))
    assert all(proposal(study, space, seed)["x"] <= 0.1 for seed in range(3))


def test_what_is_promising_but_not_allowed_is_left_alone() -> None:
    space: Space = {"x": UNIT}
    study = optuna.create_study()
    for i in range(15):
        x = i / 14
        study.add_trial(with_limit(space, {"x": x}, -x, x - 0.6))
    assert all(0.4 <= proposal(study, space, seed)["x"] <= 0.65 for seed in range(3))


def test_where_memory_ran_out_it_does_not_go_again() -> None:
    space: Space = {"x": UNIT}
    study = optuna.create_study()
    for i in range(20):
        x = i / 19
        full = x > 0.5
        told = {"state": TrialState.PRUNED} if full else {}
        study.add_trial(ended(space, {"x": x}, None if full else -x, **({"state": TrialState.COMPLETE} | told)))
    assert all(proposal(study, space, seed)["x"] < 0.6 for seed in range(3))


def test_a_pruned_trial_never_stands_better_than_half_of_the_others() -> None:
    space: Space = {"x": UNIT}
    study = study_of(space, [float(i) for i in range(11)])
    study.add_trial(ended(space, {"x": 0.5}, -100.0, state=TrialState.PRUNED, intermediate_values={0: -100.0}))
    assert history_of(study, study_trial(), Encoding(space)).values[-1, 0] == 5.0


def test_points_that_were_tried_twice_are_no_trouble() -> None:
    study = study_of(MIXED, [0.5, 0.7, 0.1])
    for trial in study.trials * 6:
        study.add_trial(ended(MIXED, trial.params, trial.values[0] + 0.01))
    assert proposal(study, MIXED) not in [t.params for t in study.trials]


def test_a_space_of_one_point_is_nothing_to_search() -> None:
    one: Space = {"x": FloatDistribution(2, 2), "k": CategoricalDistribution(["only"])}
    study = study_of(one, [1.0] * 12)
    assert GaussianProcessSampler(seed=1).infer_relative_search_space(study, study_trial()) == {}
    assert proposal(study, one) == {}, "every point was tried: the runner says so"


def test_a_finite_space_is_gone_through_without_a_point_twice() -> None:
    space: Space = {"a": IntDistribution(0, 2), "k": CategoricalDistribution(["u", "v", "w"])}
    study = optuna.create_study(sampler=GaussianProcessSampler(seed=3, n_startup_trials=1))
    for number in range(9):
        study.sampler = GaussianProcessSampler(seed=number, n_startup_trials=1)
        trial = study.ask(space)
        study.tell(trial, trial.params["a"] + (trial.params["k"] == "u"))
    assert len({tuple(t.params.items()) for t in study.trials}) == 9


def test_fifty_parameters() -> None:
    space: Space = {f"p{i}": list(MIXED.values())[i % len(MIXED)] for i in range(50)}
    assert len(proposal(study_of(space, [math.sin(i) for i in range(40)]), space)) == 50


def test_of_ten_thousand_trials_it_sees_so_many_and_the_best_among_them() -> None:
    rng = np.random.default_rng(0)
    storage = FilledStorage()
    trials = [
        create_trial(value=value, params={"x": value}, distributions={"x": UNIT}) for value in rng.random(10_000)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "many")
    storage.fill(study_id, trials)
    study = optuna.load_study(study_name="many", storage=storage)
    seen = history_of(study, study_trial(), Encoding({"x": UNIT}))
    assert len(seen.points) == SEEN and seen.values.min() == study.best_value
    assert study.trials[-1].values[0] in seen.values and proposal(study, {"x": UNIT})


def test_trials_of_another_space_are_passed_over() -> None:
    study = study_of(MIXED, [0.1 * i for i in range(12)])
    wider: Space = {"x": FloatDistribution(0, 9)}
    study.add_trial(ended(wider, {"x": 7.0}, -5.0))
    study.add_trial(ended({"kind": CategoricalDistribution(["z"])}, {"kind": "z"}, -5.0))
    assert len(history_of(study, study_trial(), Encoding(MIXED)).points) == 12
    assert proposal(study, MIXED).keys() == MIXED.keys()


def test_it_finds_the_best_choice_where_values_jump_by_orders_of_magnitude() -> None:
    space: Space = {"lr": FloatDistribution(1e-6, 1, log=True), "k": CategoricalDistribution(["a", "b", "c"])}

    def loss(p: Mapping[str, Any]) -> float:
        return float(10 ** (3 * abs(math.log10(p["lr"]) + 3) + 4 * (p["k"] != "b")))

    study = optuna.create_study()
    for number in range(24):
        study.sampler = GaussianProcessSampler(seed=number)
        trial = study.ask(space)
        study.tell(trial, loss(trial.params))
    assert study.best_params["k"] == "b" and abs(math.log10(study.best_params["lr"]) + 3) < 0.15


def test_it_goes_the_other_way_where_more_is_better() -> None:
    study = study_of({"x": UNIT}, [0.0] * 12, value_of=lambda p: p["x"], direction="maximize")
    assert proposal(study, {"x": UNIT})["x"] > 0.8


def test_several_objectives_lead_to_points_between_their_best() -> None:
    space: Space = {"x": UNIT, "y": UNIT}
    study = optuna.create_study(directions=["minimize", "maximize"])
    for i in range(20):
        x, y = i / 19, (7 * i % 20) / 19
        study.add_trial(create_trial(values=[x + y, x - y], params={"x": x, "y": y}, distributions=space))
    found = [proposal(study, space, seed) for seed in range(4)]
    assert all(p["y"] < 0.4 for p in found) and max(p["x"] for p in found) > 0.5 > min(p["x"] for p in found)


def test_a_trial_under_way_keeps_others_off_its_point() -> None:
    space: Space = {"x": UNIT, "k": CategoricalDistribution(["a", "b"])}
    study = study_of(space, [0.0] * 15, value_of=lambda p: (p["x"] - 0.4) ** 2 + (p["k"] == "a"))
    found = []
    for seed in range(5):
        found.append(proposal(study, space, seed))
        study.add_trial(create_trial(state=TrialState.RUNNING, params=found[-1], distributions=space))
    assert len({p["x"] for p in found}) == 5


def test_the_same_trials_and_the_same_seed_give_the_same_proposal() -> None:
    first, second = (study_of(MIXED, [math.sin(i) for i in range(20)]) for _ in range(2))
    assert proposal(first, MIXED) == proposal(second, MIXED) != proposal(first, MIXED, seed=2)
    # A fit that was found before, or not, changes nothing.
    from kubetuna.search.gaussian.process import _fitted

    before = proposal(first, MIXED)
    _fitted.cache_clear()
    assert proposal(first, MIXED) == before


@pytest.mark.parametrize("name", sorted(MIXED))
def test_a_value_has_a_place_and_comes_back_from_it(name: str) -> None:
    space = {name: MIXED[name]}
    encoding, draw = Encoding(space), optuna.samplers.RandomSampler(seed=1)
    for _ in range(50):
        value = draw.sample_independent(optuna.create_study(), study_trial(), name, space[name])
        point = encoding.point({name: value})
        assert point is not None
        back = encoding.params(point)[name]
        assert back == value or (isinstance(value, float) and math.isclose(back, value, rel_tol=1e-4, abs_tol=1e-5))
        assert type(back) is type(value)
        again = encoding.point({name: back})
        assert again is not None and again.tobytes() == point.tobytes()


def test_warps_keep_the_order_and_bring_outliers_near() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=40), np.exp(5 * rng.normal(size=40)), np.append(rng.random(39), 1e300)):
        for one in warps(values):
            assert (np.diff(one.values[np.argsort(values, kind="stable")]) >= 0).all()
            assert abs(one.values).max() < 20 and math.isclose(one.values.std(), 1.0)


def test_slopes_are_those_of_what_they_belong_to() -> None:
    encoding, rng = Encoding(dict.fromkeys("abc", UNIT)), np.random.default_rng(0)
    points = encoding.drawn(rng, 20)
    values = np.sin(5 * points).sum(axis=1)
    process = Process(fitted(points, values, encoding.choices, False)[0], points, values, points[:1] + 0.05)
    promise = Promise(process, -1.0, process)
    for point in encoding.drawn(rng, 5):
        worth, change = promise.climbing(point, encoding.smooth)
        assert math.isclose(worth, promise.of(point[None, :])[0], rel_tol=1e-6)
        for axis in range(3):
            beside = np.repeat(point[None, :], 2, axis=0)
            beside[:, axis] += (-1e-6, 1e-6)
            below, above = promise.of(beside)
            assert math.isclose(change[axis], (above - below) / 2e-6, rel_tol=1e-3, abs_tol=1e-4)


def test_a_proposal_takes_one_thread_and_gives_the_others_back() -> None:
    from kubetuna.search.gaussian.threads import _libraries, one_thread

    with one_thread():
        pass
    counts = [count for count, _ in _libraries()]
    assert counts, "numpy and scipy bring OpenBLAS along"
    before = [count() for count in counts]
    with pytest.raises(KeyError), one_thread():
        assert [count() for count in counts] == [1] * len(counts)
        raise KeyError
    assert [count() for count in counts] == before
