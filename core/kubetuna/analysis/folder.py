"""A study as a folder of files that a person can read, and that needs no database to be read back.

``summary.json`` (where it came from, its status), ``experiment.yaml``, ``trials.csv`` for a spreadsheet,
``trials.json`` and ``series.jsonl`` to be read back, ``report.html`` where the extra ``analysis`` is installed,
``TASK_best_config.json`` where there is a best, ``final.json`` once the held-out test was scored,
``walkforward.json`` once the best were walked forward.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from kubetuna.analysis.best_config import versions, write_configuration
from kubetuna.analysis.extensions import checks_of, commands_of, sections_of, task_of
from kubetuna.analysis.report.view import view_of
from kubetuna.errors import BackendMissing, KubetunaError, ResultsError
from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Template
from kubetuna.files import read_object, read_value, strict, write_json, write_whole
from kubetuna.parsing.parse import parse_file_text
from kubetuna.store.reader import Others
from kubetuna.study.record import StudyRecord, trials_table
from kubetuna.trials.records import TrialRecord, from_json

SUMMARY, EXPERIMENT, REPORT = "summary.json", "experiment.yaml", "report.html"
TRIALS, SERIES, FINAL = "trials.json", "series.jsonl", "final.json"


def is_results(folder: Path) -> bool:
    """Whether a folder holds a study's results."""
    return (folder / SUMMARY).is_file()


def results_under(folder: Path) -> list[Path]:
    """The folder itself and the folders in it, as far as they hold results; by name."""
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    return [place for place in places if is_results(place)]


def write_results(seen: StudyRecord, folder: Path) -> Path:
    """Write a study into a folder, over what it holds of the same study; another study's are moved aside."""
    _set_aside(seen, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if seen.spec.raw:
        text = yaml.safe_dump(strict(seen.spec.raw), sort_keys=False, allow_unicode=True)
        write_whole(folder / EXPERIMENT, text)
    write_whole(folder / TRIALS, _lines(_trial(t) for t in seen.trials))
    series = (json.dumps({"trial": t.number, **t.series}) for t in seen.trials if t.series)
    write_whole(folder / SERIES, "".join(f"{line}\n" for line in series))
    write_whole(folder / "trials.csv", trials_csv(seen))
    if seen.final is not None:
        write_json(folder / FINAL, seen.final)
    if any(t.state == "COMPLETE" and t.values for t in seen.trials) and not seen.spec.multi_objective:
        write_configuration(seen, folder)
    report_words(replace(seen, results=folder), folder / REPORT)
    # Last, since it is what makes the folder one of results.
    write_json(folder / SUMMARY, _summary(seen))
    return folder


def write_report(seen: StudyRecord, path: Path) -> Path:
    """Write the page with every chart.

    Raises:
        BackendMissing: the extra ``analysis`` is not installed.
    """
    # The import alone takes a while; a command that writes no page should not wait for it.
    from kubetuna.analysis.report.page import render_report

    view = view_of(seen.spec, seen.status, seen.trials, time.time(), seen.others.alike)
    commands = tuple(commands_of(view.spec, shlex.quote(view.spec.name)))
    return write_whole(path, render_report(view, sections_of(seen), checks_of(seen, view), commands))


def report_words(seen: StudyRecord, path: Path) -> str:
    """Write the page at the end of other work, which no missing extra may fail; says where it is, or why not."""
    try:
        return f"Report: {write_report(seen, path)}"
    except BackendMissing as error:
        return f"Report: not written; {error}"


def _set_aside(seen: StudyRecord, folder: Path) -> None:
    """Keep another study's results: what they say may be found nowhere else."""
    if not is_results(folder):
        return
    try:
        held = read_object(folder / SUMMARY)
    except ResultsError:
        held = {}
    if (held.get("study"), held.get("uid")) != (seen.spec.name, seen.uid):
        name = f"{folder.name}-{held.get('study', 'unknown')}"
        free = (folder.with_name(f"{name}-{i}" if i else name) for i in range(10_000))
        folder.rename(next(place for place in free if not place.exists()))


def _summary(seen: StudyRecord) -> dict[str, Any]:
    return {
        "study": seen.spec.name,
        "task": task_of(seen.spec),
        "uid": seen.uid,
        "store": seen.store,
        "seed": seen.seed,
        "protocol": seen.protocol,
        "alike": seen.others.alike,
        "folder": str(seen.folder),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "status": seen.status,
        **({} if seen.spec.raw else {"described": _description(seen.spec)}),
    }


def _trial(trial: TrialRecord) -> dict[str, Any]:
    return {**trial.as_json(), "ordinal": trial.ordinal, "feasible": trial.feasible}


def _lines(records: Iterator[dict[str, Any]]) -> str:
    """A JSON list with a line per record."""
    inner = ",\n".join(json.dumps(strict(r), allow_nan=False, ensure_ascii=False) for r in records)
    return f"[\n{inner}\n]\n"


def trials_csv(seen: StudyRecord) -> str:
    """A row per trial: number, state, outcome, values, metrics, parameters."""
    columns, rows = trials_table(seen)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *([_cell(c) for c in row] for row in rows)])
    return out.getvalue()


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is marked as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def read_results(folder: Path) -> StudyRecord:
    """Read a folder of results.

    Raises:
        ResultsError: it holds none, or a file in it is damaged; the message names the file.
    """
    if not is_results(folder):
        inner = [p.name for p in results_under(folder)] if folder.is_dir() else []
        hint = f"; it contains {', '.join(inner[:5])}" if inner else ""
        raise ResultsError(f"{folder}: holds no results of a study (no {SUMMARY}){hint}")
    summary = read_object(folder / SUMMARY)
    try:
        return _seen(folder, summary)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultsError(f"{folder}: is damaged: {type(error).__name__}: {str(error)[:200]}") from error


def _seen(folder: Path, summary: Mapping[str, Any]) -> StudyRecord:
    final = folder / FINAL
    return StudyRecord(
        spec=_experiment(folder, summary),
        status=dict(summary["status"]),
        trials=tuple(_trials(folder)),
        folder=Path(str(summary.get("folder") or folder)),
        seed=summary.get("seed"),
        uid=str(summary.get("uid") or ""),
        store=str(summary.get("store") or ""),
        protocol=summary.get("protocol"),
        final=read_object(final) if final.exists() else None,
        results=folder,
        others=Others(alike=int(summary.get("alike") or 0)),
    )


def _experiment(folder: Path, summary: Mapping[str, Any]) -> Experiment:
    if "described" in summary:
        return _described(str(summary["study"]), summary["described"])
    path = folder / EXPERIMENT
    try:
        return parse_file_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, KubetunaError) as error:
        raise ResultsError(f"{path}: is damaged: {str(error)[:300]}") from error


def _trials(folder: Path) -> Iterator[TrialRecord]:
    path = folder / TRIALS
    found = read_value(path)
    if not isinstance(found, list):
        raise ResultsError(f"{path}: holds no list of trials")
    series = _series(folder / SERIES)
    for shown in found:
        try:
            record = from_json(shown)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ResultsError(f"{path}: holds something that is not a trial: {str(shown)[:100]}") from error
        yield replace(record, series=series.get(record.number, {}))


def _series(path: Path) -> dict[int, dict[str, list[float]]]:
    """The series of each trial that printed any."""
    found: dict[int, dict[str, list[float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            shown = json.loads(line)
            number = int(shown.pop("trial"))
            found[number] = {str(n): [float(v) for v in values] for n, values in shown.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResultsError(f"{path}: is damaged: {line[:80]}") from error
    return found


def _description(spec: Experiment) -> dict[str, Any]:
    """An experiment that has no document, since another program made its study."""
    return {
        "algorithm": spec.algorithm.name,
        "maxTrialCount": spec.max_trials,
        "objectives": [asdict(o) for o in spec.objectives],
        "parameters": [{**asdict(p), "choices": list(p.choices)} for p in spec.parameters],
        "warnings": list(spec.warnings),
    }


def _described(name: str, shown: Mapping[str, Any]) -> Experiment:
    kind = str(shown["algorithm"])
    return Experiment(
        name=name,
        namespace="",
        parameters=tuple(Parameter(**{**p, "choices": tuple(p["choices"])}) for p in shown["parameters"]),
        objectives=tuple(Objective(**o) for o in shown["objectives"]),
        algorithm=Algorithm(kind),
        template=Template(kind=kind, trial_spec={}, primary_container=""),
        max_trials=shown.get("maxTrialCount"),
        warnings=tuple(shown.get("warnings") or ()),
    )
