"""The verbs of an experiment: check it, run it here, and look at it while it runs and after."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from kubetuna.cli.options import (
    FAILED,
    INTERRUPTED,
    OK,
    File,
    JsonOption,
    MetricOption,
    OpenOption,
    OutFile,
    PresetOption,
    SetOption,
    StoreOption,
    Study,
    errors,
    of_study,
    out,
    show,
    show_page,
)
from kubetuna.errors import KubetunaError

if TYPE_CHECKING:
    from kubetuna.experiment.model import Experiment
    from kubetuna.study.record import StudyRecord


def parsed(file: str, preset: str | None, metric: str | None, sets: list[str] | None) -> Any:
    """The experiment of a file, with the changes of the command line."""
    from kubetuna.parsing.parse import parse_file

    return parse_file(Path(file), preset=preset, metric=metric, sets=tuple(sets or ()))


def run(
    file: File,
    store: StoreOption = None,
    preset: PresetOption = None,
    metric: MetricOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Run an experiment locally, or resume it."""
    from kubetuna.analysis.folder import REPORT, report_words
    from kubetuna.local import runner
    from kubetuna.terminal.live import run_shown
    from kubetuna.terminal.tables import closing_words, print_json

    spec = parsed(file, preset, metric, set_)
    for warning in spec.warnings:
        errors.print(f"note: {warning}", markup=False)
    interrupt = runner.install_interrupt()
    url = runner.store_url(store)
    told = run_shown(spec, url, errors, interrupt)
    if json:
        print_json(told.status)
    page = None if told.interrupted or told.study is None else report_words(told.study, told.folder / REPORT)
    options = [*_options("--preset", preset), *_options("--metric", metric), *_options("--set", *set_ or ())]
    again = shlex.join([file, *options])
    words = closing_words(spec, told.status, told.folder, again, store, page)
    (errors if json else out).print(words, markup=False, soft_wrap=True)
    raise typer.Exit(INTERRUPTED if told.interrupted else code_of(told.status))


def _options(name: str, *values: str | None) -> list[str]:
    return [word for value in values if value is not None for word in (name, value)]


def code_of(status: dict[str, Any]) -> int:
    """The exit code of an experiment that has ended."""
    return OK if status.get("state") == "Succeeded" else FAILED


def plan(
    file: File,
    preset: PresetOption = None,
    metric: MetricOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Validate an experiment and show its search space, budget and cost; starts nothing."""
    from kubetuna.terminal.preview import preview, preview_text

    shown = preview(parsed(file, preset, metric, set_))
    show(json, shown, preview_text(shown))


@of_study
def status(study: Study, json: JsonOption = False) -> None:
    """Show progress."""
    from kubetuna.terminal.tables import status_table

    seen = study.read()
    show(json, seen.status, status_table(seen.spec, seen.status))


@of_study
def trials(
    study: Study,
    wide: Annotated[bool, typer.Option("--wide", help="Show parameters whole, over several lines.")] = False,
    json: JsonOption = False,
) -> None:
    """List every trial with its parameters, state and values."""
    from kubetuna.terminal.tables import trials_table

    seen = study.read()
    show(json, [t.as_json() for t in seen.trials], trials_table(seen.spec, seen.trials, wide))


@of_study
def best(study: Study, json: JsonOption = False) -> None:
    """Show the best parameters so far."""
    from kubetuna.terminal.tables import best_text

    seen = study.read()
    found = seen.status.get("paretoFront") or seen.status.get("currentOptimalTrial")
    show(json, found, best_text(seen.spec, seen.status))
    raise typer.Exit(OK if found else FAILED)


@of_study
def logs(
    study: Study,
    trial: Annotated[int | None, typer.Argument(help="The trial's number.")] = None,
    attempt: Annotated[int | None, typer.Option(help="Which attempt; the latest by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="In a cluster: stream the log.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what was read from each line, and why.")] = False,
    spec: Annotated[
        str | None,
        typer.Option("--spec", help="With --explain: STUDY is a log, or - for standard input.", metavar="FILE"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print the log of a trial."""
    if spec is not None:
        if not explain:
            raise typer.BadParameter("says how a log is explained; add --explain", param_hint="--spec")
        with _opened(study.target) as log:
            return _explain(parsed(spec, None, None, None), log, json)
    if trial is None:
        raise typer.BadParameter("which trial? Add its number: kubetuna logs STUDY N", param_hint="TRIAL")
    if not explain:
        return _print_log(study, trial, attempt, follow, sys.stdout.buffer)
    experiment = study.read().spec
    if experiment.collector.folder:
        how = "kubetuna logs FILE --explain --spec EXPERIMENT explains one that you have"
        raise KubetunaError(f"metrics are read from {experiment.collector.path}, not from the log; {how}")
    with tempfile.TemporaryFile() as copy:
        _print_log(study, trial, attempt, False, copy)
        copy.seek(0)
        _explain(experiment, copy, json)


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise KubetunaError(f"cannot read {path}: {error.strerror}") from error


def _explain(spec: Experiment, log: BinaryIO, json: bool) -> None:
    from kubetuna.metrics.explanation import Explanation
    from kubetuna.terminal.explained import explained_json, explained_line, explained_sum
    from kubetuna.terminal.tables import print_json

    whole = Explanation(spec)
    lines = whole.lines(line.removesuffix(b"\n") for line in log)
    if json:
        print_json(explained_json(whole, lines))
        return
    for line in lines:
        out.print(explained_line(line), markup=False, soft_wrap=True)
    out.print(explained_sum(whole), markup=False, soft_wrap=True)


def _print_log(study: Study, trial: int, attempt: int | None, follow: bool, out: BinaryIO) -> None:
    from kubetuna.cli.backends import cluster, in_cluster

    place = in_cluster(study.target, study.namespace)
    if place is not None:
        cluster().copy_log(*place, trial, attempt, follow, out)
        return
    _copy_log(study.read(), trial, attempt, out)


def _copy_log(seen: StudyRecord, number: int, attempt: int | None, out: BinaryIO) -> None:
    from kubetuna.local.folders import LOG, attempt_folder
    from kubetuna.trials.attempts import AttemptKey

    trial = next((t for t in seen.trials if t.number == number), None)
    if trial is None:
        known = f"0 to {len(seen.trials) - 1}" if seen.trials else "none yet"
        raise KubetunaError(f"trial {number} does not exist; trials: {known}")
    wanted = attempt if attempt is not None else max((a.number for a in trial.attempts), default=0)
    repeat = next((a.repeat for a in trial.attempts if a.number == wanted), 0)
    path = attempt_folder(seen.folder, AttemptKey(number, wanted, repeat)) / LOG
    try:
        with path.open("rb") as log:
            shutil.copyfileobj(log, out)
    except FileNotFoundError as error:
        raise KubetunaError(
            f"no log of trial {number}, attempt {wanted} at {path}; "
            "logs lie in the folder and on the machine where the experiment ran"
        ) from error


@of_study
def report(study: Study, out_: OutFile = None, open_: OpenOption = False, json: JsonOption = False) -> None:
    """Write one HTML page with every chart: the result, its cost, its reliability."""
    from kubetuna.analysis.folder import REPORT, write_report

    seen = study.read()
    show_page(json, "report", write_report(seen, out_ or seen.folder / REPORT), open_)


def dashboard(
    store: StoreOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    open_: OpenOption = False,
) -> None:
    """Serve Optuna Dashboard on the store, until Ctrl-C."""
    from kubetuna.local.runner import store_url
    from kubetuna.store.reader import existing_store

    url = store_url(store)
    existing_store(url)
    out.print(f"Optuna Dashboard: http://{host}:{port}/   (Ctrl-C ends it)", markup=False)
    _serve_dashboard(url, host, port, open_)


def _serve_dashboard(url: str, host: str, port: int, browse: bool) -> None:
    from kubetuna.store.dashboard import listen

    try:
        server = listen(url, host, port)
    except OSError as error:
        raise KubetunaError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from error
    if browse:
        webbrowser.open(f"http://{host}:{port}/")
    # A script's shell lets what it starts in the background ignore SIGINT, so that Ctrl-C would be lost.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with server:
        server.serve_forever()
