"""A metric is called what its trainer calls it: in logs, expressions, stores, tables and pages alike."""

from __future__ import annotations

import json

import optuna
import pytest
from rich.console import Console

from kubetuna.analysis.comparison import compare
from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import view_of
from kubetuna.cli.result_tables import comparison_table
from kubetuna.local.runner import look_by_name
from kubetuna.terminal.tables import best_text, trials_table
from kubetuna.trials.attempts import AttemptRequest
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

NAMES = ["valid_1 auc", "ndcg@10", "validation:auc", "mAP50-95(B)", "step", "outcome", "__proto__", "=", "[/red]",
         "<b>&`x`", "é ü", "a" * 200]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_any_name_is_optimised_constrained_and_shown(name: str) -> None:
    def program(launch: AttemptRequest) -> Run:
        return Run((json.dumps({name: float(launch.params["x"]), "other": 1.0}).encode(),))

    goal = {"type": "maximize", "objectiveMetricName": name, "additionalMetricNames": ["other"]}
    quoted = name.replace("`", "``")
    world = World(experiment("", objective=goal, constraints=[f"`{quoted}` <= 2"], maxTrialCount=3), program)
    world.finish()
    url = f"sqlite:///{world.folder.name}/study.db"
    seen = look_by_name("small", url)
    best = max(float(t.params["x"]) for t in seen.trials)
    assert seen.best is not None and seen.best.values == (best,) and seen.best.metrics[name] == best
    assert optuna.load_study(study_name="small", storage=url).best_trial.user_attrs[name] == best
    assert f"{name} = " in best_text(seen.spec, seen.status)
    console = Console(width=1000, force_terminal=False)
    with console.capture() as shown:
        console.print(trials_table(seen.spec, seen.trials))
        console.print(comparison_table(compare([seen, seen])))
    assert "".join(shown.get().split()).count("".join(name.split())) >= 2
    assert "<b>&`" not in render_report(view_of(seen.spec, seen.status, seen.trials, 0.0))
