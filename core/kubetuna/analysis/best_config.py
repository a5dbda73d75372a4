"""The best parameters as a file for production: what they are, what they reached, and how that was measured."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kubetuna.analysis.extensions import task_of
from kubetuna.analysis.report.view import View, view_of
from kubetuna.errors import ResultsError
from kubetuna.files import write_json
from kubetuna.study.record import StudyRecord
from kubetuna.trials.environment import trial_seed
from kubetuna.trials.records import TrialRecord

PACKAGES = (
    "kubetuna", "kubetuna-trial", "optuna", "torch", "numpy", "safetensors", "transformers", "tokenizers", "peft",
    "bitsandbytes",
)  # fmt: skip


def best_trial(seen: StudyRecord) -> TrialRecord:
    """The best trial of a single objective.

    Raises:
        ResultsError: none has completed, or there are several objectives and so no best.
    """
    view = view_of(seen.spec, seen.status, seen.trials, 0.0, seen.others.alike)
    if view.spec.multi_objective:
        names = ", ".join(o.metric for o in view.spec.objectives)
        raise ResultsError(
            f"{view.spec.name} has several objectives ({names}) and no single best; "
            "choose a trial of the Pareto front and give --trial NUMBER"
        )
    if view.best is None:
        raise ResultsError(f"{view.spec.name}: {_why_none(view)}")
    return view.best


def _why_none(view: View) -> str:
    if not view.trials or view.scored:
        return f"{view.why_no_best}, so there is no best"
    words = {"PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
    states = [t.state for t in view.trials]
    counts = ", ".join(f"{states.count(s)} {w}" for s, w in words.items() if s in states)
    return f"no trial has completed with a valid value, so there is no best ({counts or 'none counts'})"


def chosen_trial(seen: StudyRecord, number: int | None) -> TrialRecord:
    """The trial of that number, else the best."""
    if number is None:
        return best_trial(seen)
    trial = next((t for t in seen.trials if t.number == number), None)
    if trial is None:
        raise ResultsError(f"{seen.spec.name} has no trial {number}; it has {len(seen.trials)}, numbered from 0")
    return trial


def configuration(seen: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """One trial's parameters with everything that is needed to make it again."""
    values = trial.values or ()
    objective = seen.spec.objectives[0]
    return {
        "task": task_of(seen.spec),
        "best_params": dict(trial.params),
        "metric": objective.metric,
        "direction": objective.direction,
        "value": values[0] if values else None,
        "values": dict(zip((o.metric for o in seen.spec.objectives), values, strict=False)),
        "metrics": dict(trial.metrics),
        **_runs(seen, trial),
        "study": seen.spec.name,
        "store": seen.store,
        "trial": trial.number,
        "seed": None if seen.seed is None else trial_seed(int(seen.seed), trial.number),
        "protocol": seen.protocol,
        "versions": versions(),
    }


def _runs(seen: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """The metrics of each run, and of the re-test, where there were several."""
    again = next((t for t in seen.trials if t.retest_of == trial.number and t.repeats), None)
    found = {"repeats": trial.repeats, "retest": again.repeats if again else ()}
    return {name: [dict(run) for run in runs] for name, runs in found.items() if runs}


def versions() -> dict[str, str]:
    """Versions of what a result depends on, as far as they are installed here."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_configuration(seen: StudyRecord, folder: Path, number: int | None = None) -> Path:
    """Write ``TASK_best_config.json`` into a folder."""
    path = folder / f"{_file_name(task_of(seen.spec))}_best_config.json"
    return write_json(path, configuration(seen, chosen_trial(seen, number)))


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
