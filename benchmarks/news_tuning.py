"""What tuning is worth on planted news: the best of the example's search against all that takes no tuning.

The search runs as a user runs it, one trial at a time so that every run makes the same trials. Its best point and
the trainer's defaults are then trained with the same seeds, random points of the example's space with one each.
The curves of those also tell how well each report ranks trials, and what the example's pruner would cost.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from scipy.stats import spearmanr, ttest_1samp, ttest_ind

from benchmarks.measure import Row, say
from benchmarks.pruning import ORDERS, REPORTS, TOP, replayed
from kubetuna.parsing.parse import parse_file_text
from kubetuna.search.samplers import Proposer
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task2.data import Market, planted_market
from kubetuna_trial.task2.evaluation import judge
from kubetuna_trial.task2.loading import load, source_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.training import Plan, Trial
from kubetuna_trial.task2.words import word_scores

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiment-task2.yaml"
DATA_SEED, SEEDS, POINTS = 7, 20, 20
SMALL = {"max_train_steps": 2}
RANDOM = ("algorithm.algorithmName=random", "algorithm.algorithmSettings=[]")
Params = Mapping[str, Any]


def rows(quick: bool) -> list[Row]:
    """The table, the margins, and what random points say of reports and pruning."""
    seeds, points, trials = (2, 3, 1) if quick else (SEEDS, POINTS, 0)
    small: Params = SMALL if quick else {}
    market, found = planted_market(DATA_SEED), searched(trials)
    curves = [curve(market, {**params, **small}, seed) for seed, params in enumerate(random_points(points))]
    tuned, usual = ([last(market, {**p, **small}, seed) for seed in range(seeds)] for p in (found, {}))
    return [*_worth(market, tuned, usual, [told.ends for told in curves]), *_reports(curves)]


def searched(trials: int = 0) -> Params:
    """The best point of the example's search, or of so many trials of it."""
    with tempfile.TemporaryDirectory() as place:
        store, sets = f"sqlite:///{place}/store.db", ["parallelTrialCount=1"]
        sets += [f"maxTrialCount={trials}", f"maxFailedTrialCount={trials}"] if trials else []
        say("  the example's search")
        command = [sys.executable, "-m", "kubetuna.cli.main", "run", str(EXAMPLE), "--store", store]
        subprocess.run([*command, *(f"--set={one}" for one in sets)], check=True, cwd=place, stdout=sys.stderr)
        return optuna.load_study(study_name=None, storage=store).best_params


def random_points(count: int) -> list[Params]:
    """Of the example's whole space."""
    proposer, study = Proposer(parse_file_text(EXAMPLE.read_text(), sets=RANDOM), 1), optuna.create_study()
    found: list[Params] = []
    for number in range(count):
        study.ask()
        found.append(dict(proposer.propose(study, study.trials[-1], number)))
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """The return of every report, the last by the whole window; ``half``: of that model by a report's own dates."""

    returns: Sequence[float]
    half: float

    @property
    def ends(self) -> float:
        """What the trial is judged by."""
        return self.returns[-1]


def last(market: Market, params: Params, seed: int) -> float:
    """The return on the validation days after all steps."""
    return curve(market, params, seed, 1).ends


def curve(market: Market, params: Params, seed: int, reports: int = REPORTS) -> Curve:
    """Train a trial to its end."""
    say(f"  training {dict(params) or 'the defaults'}, seed {seed}")
    source = source_of(None, None, False)
    plan = Plan(parse_parameters(params), seed, source, "cpu", reports)
    loaded = load(source, plan.params.quantization, "cpu")
    trial = Trial(plan, loaded, market, lambda key: Checkpoints(None, key))
    told: list[float] = []
    for step in range(1, reports + 1):
        trial.train(step)
        found = trial.judge_share() if step < reports else trial.judge(trial.protocol.days())
        told.append(found.performance.total_return)
    return Curve(told, trial.judge_share().performance.total_return)


def _worth(market: Market, tuned: Sequence[float], usual: Sequence[float], points: Sequence[float]) -> list[Row]:
    untaught = _untaught(market)
    ahead = sum(one > other for one, other in zip(tuned, usual, strict=True))
    over = [one - untaught["a bag of words"] for one in tuned]
    bag = ttest_1samp(over, 0.0).confidence_interval()
    return [
        *(Row(f"news: {name}", value, "return", note="nothing random in it") for name, value in untaught.items()),
        *(
            Row(f"news: {name}", statistics.mean(found), "return", statistics.stdev(found), f"{len(found)} {of}")
            for name, found, of in (
                ("random points", points, "points, a seed each; ± is the standard deviation"),
                ("the guide's defaults", usual, "seeds"),
                ("the best of the example's search", tuned, "seeds"),
            )
        ),
        _ahead("the guide's defaults", tuned, usual, f"; with the same seed in {ahead} of {len(usual)}"),
        _ahead("a random point", tuned, points),
        Row("news: the best over a bag of words", statistics.mean(over), "return",
            note=f"95 %: {bag.low:.2f} to {bag.high:.2f}"),
    ]  # fmt: skip


def _ahead(name: str, tuned: Sequence[float], others: Sequence[float], more: str = "") -> Row:
    """Welch's interval of a difference of means."""
    between = ttest_ind(tuned, others, equal_var=False).confidence_interval()
    note = f"95 %: {between.low:.2f} to {between.high:.2f}{more}"
    return Row(f"news: the best over {name}", statistics.mean(tuned) - statistics.mean(others), "return", note=note)


def _untaught(market: Market) -> dict[str, float]:
    source = source_of(None, None, False)
    plan = Plan(parse_parameters({}), 0, source, "cpu")
    trial = Trial(plan, load(source, None, "cpu"), market, lambda key: Checkpoints(None, key))
    days = trial.protocol.days()
    with trial.policy.untuned():
        base = trial.judge(days)
    bag = judge(word_scores(market, trial.protocol, days), market, trial.protocol, days)
    return {"the base model": base.performance.total_return, "a bag of words": bag.performance.total_return}


def _reports(curves: Sequence[Curve]) -> list[Row]:
    ends, spec = [told.ends for told in curves], parse_file_text(EXAMPLE.read_text())
    returns = [told.returns for told in curves]
    agree = [float(spearmanr([told[step] for told in returns], ends).statistic) for step in range(REPORTS - 1)]
    half = float(spearmanr([told.half for told in curves], ends).statistic)
    found = [replayed(spec, returns, seed) for seed in range(ORDERS)]
    note = f"{len(curves)} random points, {ORDERS} orders"
    return [
        Row("news: half of the dates rank as all do", half, "ρ", note=f"{len(curves)} trained models"),
        *(Row(f"news: report {n} ranks as the last", value, "ρ", note=note) for n, value in enumerate(agree, 1)),
        Row("news: steps saved by pruning", 100 * statistics.mean(s for s, _ in found), "%", note=note),
        Row(f"news: of the best {TOP} stopped", 100 * statistics.mean(hit for _, hit in found), "%"),
    ]
