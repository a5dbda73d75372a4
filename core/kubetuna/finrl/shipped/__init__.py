"""The experiments that ship with kubetuna: the tasks of the FinRL contest, ready to be tuned by name.

Their files lie here, so that every installation has them: a wheel, an image and an editable one. ``examples/`` in
the repository links to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import unsupported
from kubetuna.experiment.model import Experiment, metric_called, object_name
from kubetuna.experiment.resources import pod_spec
from kubetuna.parsing.overrides import metric_and_direction, with_metric, with_sets
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.yaml_text import load_documents

# Trials per configuration, as the contest's guide has them.
COUNTS: Mapping[str, Mapping[str, int]] = {
    "task1": {"quick": 20, "thorough": 200, "production": 500},
    "task2": {"quick": 15, "thorough": 100, "production": 200},
}


TRAINERS = "kubetuna_trial."


def tasks() -> list[str]:
    """The tasks whose experiment is carried along."""
    return [task for task in COUNTS if files(__name__).joinpath(_file(task)).is_file()]


def _file(task: str) -> str:
    return f"experiment-{task}.yaml"


def document(task: str) -> dict[str, Any]:
    """The experiment of a task, as written.

    Raises:
        SpecError: there is no such task.
    """
    if task not in tasks():
        raise SpecError((Problem("task", unsupported(task, tasks())),))
    found: dict[str, Any] = load_documents(files(__name__).joinpath(_file(task)).read_text(encoding="utf-8"))[0]
    return found


def task_experiment(
    task: str,
    config: str = "quick",
    metric: str | None = None,
    name: str | None = None,
    data: Path | None = None,
    sets: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
) -> Experiment:
    """The experiment of a task with a configuration's number of trials, and whatever else is asked for.

    ``name`` is the study's, of which the experiment's is made; by default the task and the metric, so that another
    metric is another study. ``data``
    is a folder of the contest's files; ``sets`` are ``PATH=VALUE`` changes, ``changes`` whole fields of the spec.

    Raises:
        SpecError: a name, a field or a value that is not allowed.
    """
    made = document(task)
    if config not in COUNTS[task]:
        raise SpecError((Problem("config", unsupported(config, tuple(COUNTS[task]))),))
    spec = made["spec"]
    spec |= {"preset": config, "maxTrialCount": COUNTS[task][config], **(changes or {})}
    if data is not None:
        container = spec["trialTemplate"]["trialSpec"]["spec"]["containers"][0]
        container["command"] = [*container["command"], "--data", str(data)]
    problems: list[Problem] = []
    metric = _known_metric(spec, metric, problems)
    made = with_metric(with_sets(made, sets, problems), metric, problems)
    made["metadata"]["name"] = object_name(name or study_name(task, _metric(made))) or name
    return parse_experiment(_fitting(made, problems))


def _known_metric(spec: Mapping[str, Any], metric: str | None, problems: list[Problem]) -> str | None:
    """The metric by its own name; one that the task does not print is refused: every trial would fail for it."""
    objective = spec.get("objective")
    if metric is None or not isinstance(objective, Mapping):
        return metric
    known = [str(objective.get("objectiveMetricName")), *(objective.get("additionalMetricNames") or ())]
    named, direction = metric_and_direction(metric)
    if (found := metric_called(named, known)) not in known:
        problems.append(Problem("metric", unsupported(metric, known)))
    return f"{found}:{direction}" if direction else found


def study_name(task: str, metric: str) -> str:
    """A study's name for a task tuned for a metric: ``task1-sharpe-ratio``."""
    return object_name(f"{task}-{metric}")


def _metric(made: Mapping[str, Any]) -> str:
    objective = made["spec"].get("objective")
    return str(objective.get("objectiveMetricName", "")) if isinstance(objective, Mapping) else "several"


def _fitting(made: dict[str, Any], problems: Sequence[Problem]) -> dict[str, Any]:
    """The document, with the counts that cannot exceed the number of trials lowered to it."""
    if problems:
        raise SpecError(tuple(problems))
    spec = made["spec"]
    limit = spec.get("maxTrialCount")
    for field in ("parallelTrialCount", "maxFailedTrialCount"):
        if isinstance(limit, int) and isinstance(spec.get(field), int):
            spec[field] = min(spec[field], limit)
    return made


def shipped_task(spec: Experiment) -> str | None:
    """The shipped trainer that an experiment tunes: what it trains can be judged; None where it is another."""
    for container in pod_spec(spec.template.trial_spec, spec.template.primary_container).get("containers") or ():
        for word in (*(container.get("command") or ()), *(container.get("args") or ())):
            if isinstance(word, str) and word.startswith(TRAINERS):
                return word.removeprefix(TRAINERS).partition(".")[0]
    return None
