"""A metric is called what its trainer calls it: in logs, expressions, stores, tables and pages alike."""

from __future__ import annotations

import json
from html import escape

import optuna
import pytest
from prometheus_client.metrics import MetricWrapperBase
from rich.console import Console

from kubetuna.analysis.comparison import compare
from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import view_of
from kubetuna.cli.result_tables import comparison_table
from kubetuna.local.runner import look_by_name
from kubetuna.parsing.parse import parse_file_text
from kubetuna.terminal.tables import best_text, trials_table
from kubetuna.trials.attempts import AttemptRequest
from kubetuna.trials.records import dumps, from_json
from kubetuna_operator import telemetry
from kubetuna_operator.experiment.trial_objects import _status
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

NAMES = [
    "valid_1 auc", "ndcg@10", "validation:auc", "mAP50-95(B)", "step", "outcome", "series", "protocol", "__proto__",
    "=", "[/red]", "<b>&`x`", "é ü", "a" * 200, 'say "x"', "it's \\", "a\\nb\\u0041", "``", "{{x}} %s %(x)s",
    "null", "-1e5", "- a: b #c", "\U0001f389 日本", "${trialParameters.x}", 'loss{x="1"}', "a,b;c|d",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_any_name_is_optimised_constrained_pruned_on_and_shown(name: str) -> None:
    def program(launch: AttemptRequest) -> Run:
        x = float(launch.params["x"])
        return Run(tuple(json.dumps({name: x, "other": 1.0, "global_step": step}).encode() for step in (1, 2)))

    goal = {
        "type": "minimize",
        "objectiveMetricName": "other",
        "additionalMetricNames": [name],
        "metricDirections": {name: "maximize"},
        "metricStrategies": [{"name": name, "value": "max"}],
    }
    quoted = name.replace("`", "``")
    stopping = {"algorithmName": "median", "pruneOn": name}
    text = experiment("", objective=goal, constraints=[f"`{quoted}` <= 2"], earlyStopping=stopping, maxTrialCount=3)
    spec = parse_file_text(text, metric=f"{name}:maximize")
    assert parse_file_text(text).curve.metric == spec.objectives[0].metric == name
    world = World(json.dumps(spec.raw), program)
    world.finish()
    url = f"sqlite:///{world.folder.name}/study.db"
    seen = look_by_name("small", url)
    best = max(float(t.params["x"]) for t in seen.trials)
    assert seen.best is not None and seen.best.values == (best,) and seen.best.metrics[name] == best
    assert optuna.load_study(study_name="small", storage=url).best_trial.user_attrs[name] == best
    shown = json.loads(dumps({"trials": [t.as_json() for t in seen.trials], "status": seen.status}))
    assert all(name in t["metrics"] for t in shown["trials"])
    assert shown["status"]["currentOptimalTrial"]["observation"]["metrics"][0]["name"] == name
    assert from_json(json.loads(json.dumps(_status(seen.best)))).metrics == seen.best.metrics
    assert f"{name} = " in best_text(seen.spec, seen.status)
    console = Console(width=1000, force_terminal=False)
    with console.capture() as printed:
        console.print(trials_table(seen.spec, seen.trials))
        console.print(comparison_table(compare([seen, seen])))
    assert "".join(printed.get().split()).count("".join(name.split())) >= 2
    page = render_report(view_of(seen.spec, seen.status, seen.trials, 0.0))
    assert "<b>&`" not in page and escape(name if len(name) < 50 else name[:20]) in page


def test_the_operators_own_metrics_have_no_label_that_a_trial_or_a_person_names() -> None:
    known = {"method", "code", "name", "controller", "result", "kind", "reason", "state", "outcome"}
    ours = [metric for metric in vars(telemetry).values() if isinstance(metric, MetricWrapperBase)]
    assert ours and {label for metric in ours for label in metric._labelnames} <= known
