"""Running an experiment from Python, or showing what it would do: a file, a mapping, a value or a function.

All four become the same document, so that a program, the command line and a cluster check and run the same thing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from kubetuna.api import trial
from kubetuna.api.functions import function_document, short_fields
from kubetuna.api.studies import load, store_of
from kubetuna.errors import KubetunaError, Problem, SpecError
from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.model import Experiment
from kubetuna.local.runner import interruptible
from kubetuna.parsing.parse import only_document, parse_experiment, read_text
from kubetuna.study.record import StudyRecord
from kubetuna.terminal.live import progress_console, run_shown
from kubetuna.terminal.preview import Preview, preview

Given: TypeAlias = "str | Path | Mapping[str, Any] | Experiment | Callable[..., Any]"


def run(
    experiment: Given,
    *,
    store: str | Path | None = None,
    progress: bool = False,
    name: str | None = None,
    preset: str | None = None,
    metric: str | None = None,
    sets: Sequence[str] = (),
    **fields: Any,
) -> StudyRecord:
    """Run an experiment locally, or resume it::

        study = kubetuna.run("examples/quadratic.yaml", maxTrialCount=10)
        print(study.best.params)

    A function can be tuned too. Each trial calls it in a process of its own, so it must be importable: defined at
    the top level of a module, or of a script whose own work stands under ``if __name__ == "__main__":``. It gets
    the parameters by name and returns the objective, or a mapping of metrics. A generator yields them step by step,
    so that it can be pruned::

        def loss(x, layers):
            return (x - 2) ** 2 + layers

        if __name__ == "__main__":
            space = {"x": (-10.0, 10.0), "layers": (1, 4)}
            study = kubetuna.run(loss, parameters=space, objective="minimize loss", maxTrialCount=20)

    Ctrl-C in the main thread stops the trials and raises ``KeyboardInterrupt``; the same call resumes later.

    Args:
        experiment: a file, a mapping of the same shape, an ``Experiment``, or a function.
        store: where the study is kept: a SQLite file or a URL; else KUBETUNA_STORE, else sqlite:///kubetuna.db.
        progress: whether to show progress on stderr.
        name: the study's name; the experiment's, or the function's, by default.
        preset: quick, thorough or production.
        metric: optimise this metric instead.
        sets: changes as on the command line, ``PATH=VALUE`` each.
        fields: fields of the Experiment's spec. ``parameters`` may be a mapping, of each name to ``(low, high)``, a
            list of choices, or a feasible space; ``objective`` may be text, such as ``"maximize accuracy"``.

    Raises:
        SpecError: the experiment cannot run; with every problem found.
        KubetunaError: another runner holds the study, or the store cannot be used.
    """
    _refuse_inside_a_trial()
    spec, url = experiment_of(experiment, name, preset, metric, sets, fields), store_of(store)
    with interruptible() as interrupt:
        told = run_shown(spec, url, progress_console(progress), interrupt)
    return told.study or load((url, spec.name))


def plan(
    experiment: Given,
    *,
    name: str | None = None,
    preset: str | None = None,
    metric: str | None = None,
    sets: Sequence[str] = (),
    **fields: Any,
) -> Preview:
    """Validate an experiment and show its search space, budget and cost; starts nothing::

        print(kubetuna.plan("examples/quadratic.yaml"))             # as a person reads it
        kubetuna.plan("examples/quadratic.yaml")["cost"]            # as a program does

    Takes what ``run`` takes.

    Raises:
        SpecError: the experiment cannot run; with every problem found.
    """
    return preview(experiment_of(experiment, name, preset, metric, sets, fields))


def experiment_of(
    given: Given,
    name: str | None = None,
    preset: str | None = None,
    metric: str | None = None,
    sets: Sequence[str] = (),
    fields: Mapping[str, Any] | None = None,
) -> Experiment:
    """The experiment that is meant, with the changes that are asked for.

    Raises:
        SpecError: it cannot run; with every problem found.
    """
    if isinstance(given, Experiment):
        preset = preset or given.preset
    changes = short_fields(fields or {})
    document = function_document(given, changes) if callable(given) else _document(given)
    if isinstance(document, Mapping):
        document = _plain(_changed(document, name, changes))
    return parse_experiment(document, preset=preset, metric=metric, sets=sets)


def _document(given: str | Path | Mapping[str, Any] | Experiment) -> object:
    if isinstance(given, Experiment):
        return given.raw
    return only_document(read_text(Path(given))) if isinstance(given, str | Path) else given


def _changed(document: Mapping[str, Any], name: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(document)
    for part, new in (("spec", fields), ("metadata", {} if name is None else {"name": name})):
        old = changed.get(part)
        if new and (old is None or isinstance(old, Mapping)):
            changed[part] = {**(old or {}), **new}
    return changed


def _plain(document: Mapping[str, Any]) -> object:
    """What a program wrote, as a file would hold it: tuples are lists, and NumPy's numbers are numbers."""
    try:
        return json.loads(json.dumps(document, default=lambda value: value.item()))
    except (AttributeError, TypeError, ValueError) as error:
        raise SpecError((Problem("experiment", invalid(str(error), "must hold what JSON can express")),)) from error


def _refuse_inside_a_trial() -> None:
    """A trial imports the script that started it, which would start it again."""
    running = getattr(sys.modules.get("__main__"), "__spec__", None)
    if running is not None and running.name == trial.__name__:
        raise KubetunaError(
            "a trial imports this script to find its function: put the call of kubetuna.run under "
            '`if __name__ == "__main__":`'
        )
