"""A study as it is read back by whoever did not run it, wherever it lies and whichever program made it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from kubetuna.errors import BackendMissing
from kubetuna.experiment.model import NOTHING, Experiment
from kubetuna.experiment.resources import resource_unit, resource_units
from kubetuna.parsing.parse import parse_experiment
from kubetuna.planning.status import Moment, render, state_word
from kubetuna.search.space import space_of
from kubetuna.store.reader import Others, ReadStudy
from kubetuna.study.begun import as_begun
from kubetuna.study.choosing import weighed, with_choice
from kubetuna.study.decoding import decode_trial
from kubetuna.study.foreign import UNNAMED, adopt, foreign_experiment
from kubetuna.study.replay import decision_of, snapshot_of
from kubetuna.study.steering import Steering
from kubetuna.trials.attempts import SystemClock
from kubetuna.trials.progress import open_cut, open_steps, progress_of
from kubetuna.trials.records import (
    EXHAUSTED,
    EXPERIMENT,
    FINAL,
    FOLDER,
    PROTOCOL,
    RESOURCE,
    SEED,
    STARTED,
    UID,
    UNSEARCHABLE,
    WARM_START,
    TrialRecord,
)


@dataclass(frozen=True, slots=True, repr=False)
class StudyRecord:
    """A study with its trials, as it stood when it was read::

        study = kubetuna.load("quadratic")
        print(study.best.params, study.best.values)
        study.report("quadratic.html")

    ``folder``: where its attempts keep their files. ``store``: where it was read, without a password. ``final``:
    what ``finalize`` found, once it has. ``results``: the folder of results that it was read from, if it was.
    ``seed`` and ``protocol`` are None where nobody said. ``others``: the other studies of its store.
    """

    spec: Experiment
    status: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    folder: Path
    seed: int | None = None
    uid: str = ""
    store: str = ""
    protocol: str | None = None
    final: Mapping[str, Any] | None = None
    results: Path | None = None
    others: Others = field(default_factory=Others)

    # Pages are drawn by a room above this one, which sets this when ``kubetuna`` is used from Python.
    write_report: ClassVar[Callable[[StudyRecord, Path], Path] | None] = None

    @property
    def best(self) -> TrialRecord | None:
        """The best trial; None before one has completed, and where several objectives leave only a ``front``."""
        return None if self.spec.multi_objective else next(iter(self.front), None)

    @property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front; with a single objective, the best trial."""
        single = [self.status.get("currentOptimalTrial")]
        shown = self.status.get("paretoFront", []) if self.spec.multi_objective else single
        numbers = {one["number"] for one in shown if one}
        return tuple(t for t in self.trials if t.number in numbers)

    def to_dataframe(self) -> Any:
        """A row per trial, as a pandas data frame.

        Raises:
            BackendMissing: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise BackendMissing("a data frame needs pandas: pip install pandas") from None
        columns, rows = trials_table(self)
        return pandas.DataFrame(rows, columns=columns)

    def report(self, path: str | Path) -> Path:
        """Write the page with every chart.

        Raises:
            BackendMissing: the record was not read through ``kubetuna.run`` or ``kubetuna.load``.
        """
        write = type(self).write_report
        if write is None:
            raise BackendMissing("a report needs kubetuna's Python interface: import kubetuna; kubetuna.load(…)")
        return write(self, Path(path))

    def __repr__(self) -> str:
        best = "; ".join(self._line(trial) for trial in self.front[:3]) or "none yet"
        return f"<StudyRecord {self.spec.name}: {state_word(self.status)}, {len(self.trials)} trials, best: {best}>"

    def _line(self, trial: TrialRecord) -> str:
        named = zip(self.spec.objectives, trial.values or (), strict=False)
        return ", ".join(f"{o.metric} = {v:.6g}" for o, v in named) + f" (trial {trial.number})"

    def _repr_html_(self) -> str:
        columns, rows = trials_table(replace(self, trials=self.front))
        lines = "".join(_html_row("td", row) for row in rows)
        return f"<table><caption>{escape(repr(self))}</caption>{_html_row('th', columns)}{lines}</table>"

    @property
    def home(self) -> Path:
        """Where later findings are kept: with the results that a person named, else beside the runs."""
        return self.results or self.folder


def study_record(found: ReadStudy, store: str, others: Others | None = None) -> StudyRecord:
    """What a store holds of a study; one that another program made gets an experiment that describes it."""
    attrs = found.system_attrs
    if EXPERIMENT in attrs:
        spec = replace(as_begun(parse_experiment(attrs[EXPERIMENT]), attrs), claimed=attrs.get(RESOURCE))
        trials = tuple(decode_trial(t, space_of(spec)) for t in found.trials)
        first = (*spec.warm_start, *attrs.get(WARM_START, {}).get("points", ()))
        started = float(attrs.get(STARTED, 0.0))
        status = status_of(replace(spec, warm_start=first), trials, started, attrs)
    else:
        spec = foreign_experiment(found)
        trials = tuple(decode_trial(t) for t in found.trials)
        status = status_of(spec, adopt(trials), min((t.started for t in trials if t.started), default=0.0))
    uid = str(attrs.get(UID, ""))
    return StudyRecord(
        spec,
        status,
        trials,
        kept_folder(attrs.get(FOLDER), folder_of(found.name, uid)),
        seed=attrs.get(SEED),
        uid=uid,
        store=store,
        protocol=attrs.get(PROTOCOL),
        final=attrs.get(FINAL),
        others=others or Others(),
    )


def _html_row(tag: str, cells: Sequence[object]) -> str:
    texts = (f"{c:.6g}" if isinstance(c, float) else str(c) for c in cells)
    return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"


def trials_table(study: StudyRecord) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of a table of trials: number, state, outcome, values, metrics, parameters, seconds."""
    trials, spec = study.trials, study.spec
    objectives = [o.metric for o in spec.objectives]
    params = list(dict.fromkeys([*(p.name for p in spec.parameters), *(n for t in trials for n in t.params)]))
    metrics = [m for m in dict.fromkeys(n for t in trials for n in t.metrics) if m not in objectives]
    rows = [
        [
            *(t.number, t.state, t.outcome),
            *(t.values or (None,) * len(objectives)),
            *(t.metrics.get(m) for m in metrics),
            *(t.params.get(p) for p in params),
            round(t.ended - t.started, 3) if t.started is not None and t.ended is not None else None,
        ]
        for t in trials
    ]
    return ["trial", "state", "outcome", *objectives, *metrics, *params, "seconds"], rows


def folder_of(study_name: str, uid: str) -> Path:
    """Where the attempts of a study keep logs, checkpoints and outputs."""
    # The name of a study that another program made may hold anything.
    name = re.sub(r"[^A-Za-z0-9_-]", "_", study_name)
    return Path("kubetuna-runs") / (f"{name}-{uid}" if uid else name)


def began_in(folder: Path) -> Path:
    """The folder that a study was first run in: relative paths of its template mean what is there."""
    return folder.absolute().parent.parent


def kept_folder(kept: object, usual: Path) -> Path:
    """Where a study's runs lie, whatever folder a person is in: where it began, if that exists here."""
    if not isinstance(kept, str) or not began_in(Path(kept)).is_dir():
        return usual
    path = Path(kept)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def status_of(
    spec: Experiment, trials: Sequence[TrialRecord], started: float, attrs: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """The status that a runner would publish now. ``attrs`` are the study's own, as they are stored."""
    steering = Steering(attrs)
    replaced = steering.retries.union(t.retry_of for t in trials if t.retry_of is not None)
    now, progress = SystemClock().now(), progress_of(spec, trials, replaced)
    snapshot = snapshot_of(spec, trials, started, resource_units(spec), progress, replaced)
    snapshot = replace(
        snapshot,
        exhausted=not steering.queue and (snapshot.exhausted or bool(attrs.get(EXHAUSTED))),
        unsearchable=str(attrs.get(UNSEARCHABLE, "")),
        answers=steering.answers,
        queued=len(steering.queue),
    )
    ended = progress.results().ended_at
    counting = [t for t in trials if t.own and t.number not in replaced]
    snapshot = weighed(snapshot, ended or now, progress, lambda: counting)
    results = progress.results(open_steps(trials), open_cut(trials))
    status = render(snapshot, decision_of(snapshot, ended, now), results, Moment(now, unit=resource_unit(spec)))
    return with_choice(spec, status, counting)


def value_in(one: StudyRecord, trial: TrialRecord, metric: str) -> float | None:
    """A trial's value of a metric, its objective's where that is nameless."""
    for index, objective in enumerate(one.spec.objectives):
        if objective.metric == metric or (objective.metric == UNNAMED and metric not in trial.metrics):
            return trial.values[index] if trial.values else None
    found = trial.metrics.get(metric)
    return found if found is not None and math.isfinite(found) else None
