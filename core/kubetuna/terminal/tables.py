"""What the verbs print: tables for people, one line of JSON for scripts, closing words after a run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kubetuna.experiment.model import Experiment
from kubetuna.experiment.units import SECONDS_PER_HOUR, count, duration, unit_of
from kubetuna.planning.status import state_word
from kubetuna.trials.attempts import LINE_LIMIT
from kubetuna.trials.choice import choice_line
from kubetuna.trials.constraints import why_no_best
from kubetuna.trials.environment import feasible, short
from kubetuna.trials.records import TrialRecord, dumps


def print_json(value: object) -> None:
    """One line on stdout."""
    sys.stdout.write(dumps(value) + "\n")
    sys.stdout.flush()


def number(value: object) -> str:
    """A number short enough to read; other values as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return short(value)
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def clean(value: object) -> Text:
    """Text that a trial may have written: no markup, no control characters."""
    return Text("".join(c if c.isprintable() else "�" for c in str(value)))


def parameters(params: Mapping[str, Any]) -> str:
    """``name=value`` pairs on one line."""
    return "  ".join(f"{name}={number(value)}" for name, value in params.items())


def status_table(spec: Experiment, status: Mapping[str, Any]) -> Table:
    """The state, counts, best value, cost and savings of an experiment."""
    table = Table(title=f"Experiment {spec.name}", title_justify="left", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    for name, text in status_rows(spec, status):
        table.add_row(name, clean(text))
    return table


def status_rows(spec: Experiment, status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of a status: a name and what it says."""
    limit = f" of {spec.max_trials}" if spec.max_trials is not None else ""
    waiting = status.get("trialsInQueue", 0)
    running = status["trialsRunning"] + status["trialsPending"] - waiting
    infeasible = f" ({status['trialsInfeasible']} infeasible)" if "trialsInfeasible" in status else ""
    rows = [
        ("state", f"{state_word(status)}{': ' + status['message'] if status.get('message') else ''}"),
        (
            "trials",
            f"{status['trials']}{limit}: {running} running, "
            + (f"{waiting} in a queue, " if waiting else "")
            + f"{status['trialsSucceeded']} done{infeasible}, "
            f"{status['trialsEarlyStopped']} pruned, {status['trialsFailed']} failed"
            + (f", {status['trialsKilled']} stopped" if status["trialsKilled"] else ""),
        ),
        ("best", best_line(spec, status)),
        ("spent", _hours(status["spent"]) + f", {count(status['spent']['steps'], 'step')}"),
        ("saved by pruning", _saved(spec, status["savedByPruning"])),
    ]
    if "search" in status:
        rows.insert(1, ("search", status["search"]))
    if spec.retest is not None and (status.get("trialsRetested") or not spec.retest.auto):
        rows.insert(-3, ("re-tests", f"{status.get('trialsRetested', 0)} of {spec.retest.top} done"))
    if "choice" in status:
        rows.insert(-2, ("choice", choice_line(status)))
    if seconds := status["spent"].get("queueSeconds"):
        rows.append(("in a queue", f"{duration(seconds)}, all attempts together"))
    if displaced := status.get("attemptsDisplaced"):
        rows.append(("displaced", f"{count(displaced, 'attempt')}, tried again without counting as failed"))
    if cut := status.get("linesCut"):
        rows.append(
            ("long lines", f"{count(cut, 'line')} of more than {LINE_LIMIT:,} bytes: only the end was read")
        )
    rows += [(f"trial {f['trial']}", f"{f['outcome']}: {f['message']}") for f in status["failures"][-3:]]
    return rows


def best_line(spec: Experiment, status: Mapping[str, Any]) -> str:
    """The best value with its trial, or how many trials lie on the Pareto front."""
    if spec.multi_objective:
        return f"{len(status.get('paretoFront', []))} trials on the Pareto front"
    found = status.get("currentOptimalTrial")
    if not found:
        return f"none yet; {why_no_best(spec, status)}" if status.get("trialsSucceeded") else "none yet"
    return f"{spec.objectives[0].metric} = {number(found['values'][0])} (trial {found['number']}{_runs(found)})"


def _runs(found: Mapping[str, Any]) -> str:
    """Of how many runs a value is the mean, and whose parameters were run again."""
    runs = len(found.get("repeats", ()))
    mean = f", mean of {runs} runs" if runs > 1 else ""
    return f"{mean}, a re-test of trial {found['retestOf']}" if "retestOf" in found else mean


def _hours(amounts: Mapping[str, Any]) -> str:
    unit = unit_of(amounts)
    wall = f" in {duration(amounts['wallClockSeconds'])}" if "wallClockSeconds" in amounts else ""
    return f"{duration(amounts[unit.hours] * SECONDS_PER_HOUR)} of {unit.noun} time{wall}"


def _saved(spec: Experiment, saved: Mapping[str, Any]) -> str:
    if not saved["trials"]:
        return f"nothing: {'no trial was pruned' if spec.pruner else 'the experiment has no pruner'}"
    return f"about {count(saved['steps'], 'step')}, {_hours(saved)} ({count(saved['trials'], 'trial')} pruned)"


def trials_table(spec: Experiment, trials: Sequence[TrialRecord], wide: bool = False) -> Group:
    """A row a trial, its parameters on one line as far as they fit, or whole; then what is to be said of trials."""
    table = Table(title=clean(f"Trials of {spec.name}"), title_justify="left")
    for name in ("trial", "state", "outcome", *(o.metric for o in spec.objectives), "steps", "tries"):
        table.add_column(clean(name), justify="left" if name in ("state", "outcome") else "right", no_wrap=True)
    # On a narrow terminal the only column that gives way, since it alone may be wrapped; its text is cut instead.
    table.add_column("parameters", overflow="fold" if wide else "ellipsis")
    for trial in trials:
        values = trial.values or (None,) * len(spec.objectives)
        named = zip(spec.objectives, values, strict=False)
        table.add_row(
            str(trial.number),
            "QUEUED" if trial.in_queue else trial.state,
            clean(trial.outcome or ""),
            *("" if v is None else number(v) + _spread(trial, o.metric) for o, v in named),
            str(len(trial.steps)),
            str(len(trial.attempts)),
            _one_line(clean(parameters(trial.params)), not wide),
        )
    notes = [clean(f"trial {t.number}: {'; '.join(said)}") for t in trials if (said := _notes(t))]
    return Group(table, *notes, *(() if wide else ("--wide shows parameters whole, --json everything",)))


def _one_line(text: Text, cut: bool) -> Text:
    text.no_wrap = cut
    return text


def _spread(trial: TrialRecord, metric: str) -> str:
    """How far the runs of a trial lie apart, as a standard deviation."""
    found = [run[metric] for run in trial.repeats if metric in run]
    return f" ± {stdev(found):.2g}" if len(found) > 1 else ""


def _notes(trial: TrialRecord) -> list[str]:
    again = [] if trial.retest_of is None else [f"re-test of trial {trial.retest_of}"]
    drawn = ", ".join(f"{name} {feasible(space)}" for name, space in trial.space.items())
    again += [f"drawn from {drawn}"] if drawn else []
    if trial.retry_of is not None:
        again.append(f"in place of trial {trial.retry_of}")
    again += ["added by hand"] if trial.added else []
    return again + ([trial.message] if trial.message else [])


def best_text(spec: Experiment, status: Mapping[str, Any]) -> str:
    """The best parameters, or the Pareto front, in lines."""
    found = status.get("paretoFront") or [status.get("currentOptimalTrial")]
    lines = [line for trial in found if trial for line in _trial_lines(spec, trial)]
    return "\n".join(lines) or f"{spec.name}: {why_no_best(spec, status)}"


def _trial_lines(spec: Experiment, trial: Mapping[str, Any]) -> list[str]:
    values = ", ".join(f"{o.metric} = {number(v)}" for o, v in zip(spec.objectives, trial["values"], strict=False))
    width = max((len(name) for name in trial["params"]), default=0)
    rows = [f"  {name:<{width}}  {number(value)}" for name, value in trial["params"].items()]
    return [f"trial {trial['number']}: {values}{_runs(trial)}", *rows]


def command() -> str:
    """How this program is called here: by name where the shell finds it, else by its path."""
    own = Path(sys.argv[0])
    if own.name != "kubetuna" or shutil.which("kubetuna") is not None:
        return "kubetuna"
    return os.path.relpath(own)


def closing_words(
    spec: Experiment,
    status: Mapping[str, Any],
    folder: Path,
    again: str,
    store: str | None,
    report: str | None,
) -> str:
    """What a run ends with: the result, what beat what, what to type next.

    ``report`` says where that is. None: it was interrupted, and ``again`` are the arguments to go on with.
    """
    # Only a run ends with these words; no other verb should wait for a database's library.
    from sqlalchemy.engine import make_url

    with_store = f" --store '{make_url(store)}'" if store else ""
    if report is None:
        suspended = status["state"] == "Suspended"
        why = "Suspended, since spec.suspend is true" if suspended else "Interrupted"
        then = " --set suspend=false" if suspended else ""
        return (
            f"\n{why}; nothing is lost. {status['trials']} trials so far, best: {best_line(spec, status)}"
            f"\nGo on with:  {command()} run {again}{then}{with_store}"
        )
    lines = ["", f"{spec.name}: {status['state']}. {status.get('message', '')}".rstrip()]
    lines += [best_text(spec, status), *_of_the_best(status)]
    verbs = {
        f"report {spec.name} --open": "one page with every chart",
        f"trials {spec.name}": "every trial",
        "dashboard": "Optuna Dashboard on the study",
    }
    if status["failures"]:
        number = status["failures"][-1]["trial"]
        verbs = {f"logs {spec.name} {number}": f"why trial {number} failed", **verbs}
    width = max(map(len, verbs))
    lines += ["", "Next:"]
    lines += [f"  {command()} {verb:<{width}}{with_store}   {what}" for verb, what in verbs.items()]
    lines += [report, f"Logs and checkpoints: {folder}"]
    return "\n".join(lines)


def _of_the_best(status: Mapping[str, Any]) -> list[str]:
    """What domains say of the best trial."""
    # Extensions load the whole of the report, which takes longer than most verbs.
    from kubetuna.analysis.extensions import closing_of

    found = status.get("currentOptimalTrial")
    return closing_of({m["name"]: float(m["latest"]) for m in found["observation"]["metrics"]}) if found else []
