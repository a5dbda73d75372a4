"""Studies in a real store: ours, as the runner leaves them, and those of plain Optuna."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna

from kubetuna.analysis.statistics.ranks import Order
from kubetuna.finrl.fold_results import Block, Walked, WalkForward
from kubetuna.study.record import StudyRecord
from kubetuna.trials.records import TrialRecord
from tests.report.studies import Study, failed_trial, study, trial

WALKED = study([trial(n, n / 10) for n in range(6)])


def trials(count: int = 14, seed: int = 0) -> list[TrialRecord]:
    """Completed trials with series, and one of each other kind."""
    rng = np.random.default_rng(seed)
    done = [
        replace(trial(n, float(rng.normal())), series={"returns": [float(f"{v:.6g}") for v in rng.normal(size=40)]})
        for n in range(count - 2)
    ]
    pruned = trial(count - 2, 0.1, state="PRUNED", outcome="Pruned")
    return [*done, pruned, failed_trial(count - 1)]


def seen(made: Study | None = None, **changes: object) -> StudyRecord:
    """A study as it is read back."""
    made = made or study(trials())
    found = StudyRecord(
        made.spec, made.status(), made.trials, Path("kubetuna-runs/x"), 42, "u1", "sqlite:///x.db", "abc"
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def walk(**changes: object) -> WalkForward:
    """Three folds of ``WALKED``; the winner is ahead in each."""
    held = [0.01, -0.02, 0.03]
    blocks = tuple(Block(f"rows {n},000 to {n},999", {"buy_and_hold": v, "flat": 0.0}) for n, v in enumerate(held))
    trials = tuple(Walked(5 - i, 0.5 - i / 10, (0.3 - i / 10, 0.2 - i / 10, 0.1 - i / 10)) for i in range(4))
    found = WalkForward("trading-ensemble", "u1", "sharpe_ratio", "maximize", blocks, trials, Order(1.0, 0.001))
    return replace(found, **changes)  # type: ignore[arg-type]


def plain_optuna(path: Path, count: int = 12, name: str = "theirs") -> str:
    """A study that plain Optuna made: conditional parameters, pruned and failed trials, user attributes."""
    url = f"sqlite:///{path}"
    made = optuna.create_study(
        study_name=name, storage=url, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1)
    )

    def objective(t: optuna.Trial) -> float:
        kind = t.suggest_categorical("kind", ["a", "b", None, True])
        x = t.suggest_float("x", 1e-5, 1.0, log=True)
        n = t.suggest_int("n", 2, 8, step=2) if kind == "a" else 1
        t.report(x, 1)
        t.set_user_attr("loss", 1 - x)
        if t.number == 3:
            raise optuna.TrialPruned
        if t.number == 4:
            raise ValueError("no")
        return x * n

    made.optimize(objective, n_trials=count, catch=(ValueError,))
    return url
