"""The command line: verbs over a backend, exit codes that scripts rely on, never a traceback.

Exit codes: 0 succeeded, 1 the experiment (or the command) failed, 2 invalid input, 3 the study is held by
another runner, 130 interrupted. Tables and the live view go to people; with ``--json`` stdout ends with one
line of JSON. What a verb shows is in ``kubetuna.terminal.tables``, the live view in ``kubetuna.terminal.live``.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kubetuna.cli import results
from kubetuna.cli.options import (
    File,
    JsonOption,
    MetricOption,
    NamespaceOption,
    PresetOption,
    SetOption,
    StoreOption,
    Target,
    errors,
    out,
)
from kubetuna.errors import KubetunaError, SpecError, StoreError, StoreFenced, StudyHeld, StudyMismatch

OK, FAILED, INVALID, HELD, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="kubetuna",
    help="Hyperparameter tuning from one YAML file, on this machine or on Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _parsed(file: str, preset: str | None, metric: str | None, sets: list[str] | None) -> Any:
    from kubetuna.local.runner import read_text
    from kubetuna.parsing.parse import parse_file_text

    return parse_file_text(read_text(Path(file)), preset=preset, metric=metric, sets=tuple(sets or ()))


@app.command()
def run(
    file: File,
    store: StoreOption = None,
    preset: PresetOption = None,
    metric: MetricOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Run an experiment here, or take it up where it was."""
    from kubetuna.cli.pages import write_report
    from kubetuna.local import runner
    from kubetuna.terminal.live import run_shown
    from kubetuna.terminal.tables import closing_words, print_json

    spec = _parsed(file, preset, metric, set_)
    for warning in spec.warnings:
        errors.print(f"note: {warning}", markup=False)
    interrupt = runner.install_interrupt()
    url = runner.store_url(store)
    told = run_shown(spec, url, errors, interrupt)
    if json:
        print_json(told.status)
    page = None if told.interrupted else write_report(runner.look(spec.name, url), None)
    options = [*_options("--preset", preset), *_options("--metric", metric), *_options("--set", *set_ or ())]
    again = shlex.join([file, *options])
    words = closing_words(spec, told.status, told.folder, again, store, page)
    (errors if json else out).print(words, markup=False, soft_wrap=True)
    raise typer.Exit(INTERRUPTED if told.interrupted else _code(told.status))


def _options(name: str, *values: str | None) -> list[str]:
    return [word for value in values if value is not None for word in (name, value)]


def _code(status: dict[str, Any]) -> int:
    return OK if status.get("state") == "Succeeded" else FAILED


@app.command()
def plan(
    file: File,
    preset: PresetOption = None,
    metric: MetricOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Check an experiment and show its space, budget and cost; starts nothing."""
    from kubetuna.terminal.preview import preview, preview_text
    from kubetuna.terminal.tables import print_json

    shown = preview(_parsed(file, preset, metric, set_))
    if json:
        print_json(shown)
    else:
        out.print(preview_text(shown), markup=False)


@app.command()
def status(
    target: Target, store: StoreOption = None, namespace: NamespaceOption = None, json: JsonOption = False
) -> None:
    """How an experiment goes."""
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import print_json, status_table

    seen = find(target, store, namespace)
    if json:
        print_json(seen.status)
    else:
        out.print(status_table(seen.spec, seen.status))


@app.command()
def trials(
    target: Target, store: StoreOption = None, namespace: NamespaceOption = None, json: JsonOption = False
) -> None:
    """Every trial with its parameters, state and values."""
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import print_json, trials_table

    seen = find(target, store, namespace)
    if json:
        print_json([t.as_json() for t in seen.trials])
    else:
        out.print(trials_table(seen.spec, seen.trials))


@app.command()
def best(
    target: Target, store: StoreOption = None, namespace: NamespaceOption = None, json: JsonOption = False
) -> None:
    """The best parameters found so far."""
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import best_text, print_json

    seen = find(target, store, namespace)
    found = seen.status.get("paretoFront") or seen.status.get("currentOptimalTrial")
    if json:
        print_json(found)
    else:
        out.print(best_text(seen.spec, seen.status), markup=False)
    raise typer.Exit(OK if found else FAILED)


@app.command()
def logs(
    target: Target,
    trial: Annotated[int, typer.Argument(help="The trial's number.")],
    attempt: Annotated[int | None, typer.Option(help="Which attempt; the latest by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="In a cluster: go on as it prints.")] = False,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """What a trial printed."""
    from kubetuna.cli.backends import cluster, find, in_cluster
    from kubetuna.cli.trial_output import copy_log

    place = in_cluster(target, namespace)
    if place is not None:
        cluster().copy_log(*place, trial, attempt, follow, sys.stdout.buffer)
        return
    copy_log(find(target, store, None), trial, attempt, sys.stdout.buffer)


@app.command()
def report(
    target: Target,
    store: StoreOption = None,
    out_: Annotated[Path | None, typer.Option("--out", help="Where to write it.", metavar="FILE")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """One page with every chart: what was found, what it cost, whether to believe it."""
    import webbrowser

    from kubetuna.cli.backends import find
    from kubetuna.cli.pages import write_report
    from kubetuna.terminal.tables import print_json

    path = write_report(find(target, store, namespace), out_)
    if json:
        print_json({"report": str(path)})
    else:
        out.print(f"Report: {path}", markup=False, soft_wrap=True)
    if open_:
        webbrowser.open(path.resolve().as_uri())


@app.command()
def dashboard(
    store: StoreOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Optuna Dashboard on the store; Ctrl-C ends it."""
    from kubetuna.cli.pages import serve_dashboard
    from kubetuna.local.runner import store_url
    from kubetuna.store.reader import existing_store

    url = store_url(store)
    existing_store(url)
    out.print(f"Optuna Dashboard: http://{host}:{port}/   (Ctrl-C ends it)", markup=False)
    serve_dashboard(url, host, port, open_)


@app.command()
def submit(
    file: File, namespace: NamespaceOption = None, preset: PresetOption = None, set_: SetOption = None
) -> None:
    """Create or update the experiment in the cluster, checked beforehand."""
    from kubetuna.cli.backends import cluster

    spec = _parsed(file, preset, None, set_)
    out.print(f"{cluster().submit(namespace, spec.raw)} submitted", markup=False)


@app.command()
def watch(target: Target, namespace: NamespaceOption = None) -> None:
    """Show an experiment of the cluster as it goes, until it ends."""
    from kubetuna.cli.cluster import watch_until_it_ends

    raise typer.Exit(_code(watch_until_it_ends(target, namespace, errors)))


def _edit(target: str, namespace: str | None, changes: dict[str, Any], word: str) -> None:
    from kubetuna.cli.backends import cluster, in_cluster

    space, name = in_cluster(target, namespace) or (None, target)
    cluster().edit(space, name, changes)
    out.print(f"{name} {word}", markup=False)


@app.command()
def suspend(target: Target, namespace: NamespaceOption = None) -> None:
    """Start no further trials of an experiment in the cluster."""
    _edit(target, namespace, {"suspend": True}, "suspended")


@app.command()
def resume(target: Target, namespace: NamespaceOption = None) -> None:
    """Go on with a suspended experiment in the cluster."""
    _edit(target, namespace, {"suspend": False}, "resumed")


@app.command()
def stop(target: Target, namespace: NamespaceOption = None) -> None:
    """End an experiment in the cluster now; the best so far stands."""
    _edit(target, namespace, {"shutdown": True}, "is being stopped")


results.register(app)


def main() -> None:
    """Entry point: runs the command line and turns every known error into words and an exit code."""
    from optuna.logging import WARNING, set_verbosity

    set_verbosity(WARNING)
    sys.exit(_guarded(app))


def _guarded(command: Callable[[], Any]) -> int:
    try:
        command()
        return OK
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; the interpreter must not try to write more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KubetunaError as error:
        errors.print(str(error) if isinstance(error, SpecError) else f"error: {error}", markup=False)
        return _code_of(error)
    except OSError as error:
        errors.print(f"error: {error.strerror or error}: {error.filename or 'no file named'}", markup=False)
        return FAILED
    except Exception as error:
        if os.environ.get("KUBETUNA_TRACEBACK"):
            raise
        errors.print(f"internal error: {type(error).__name__}: {error}", markup=False)
        errors.print("This is a fault of kubetuna. KUBETUNA_TRACEBACK=1 shows where.", markup=False)
        return FAILED


def _code_of(error: KubetunaError) -> int:
    if isinstance(error, StudyHeld | StoreFenced):
        return HELD
    return INVALID if isinstance(error, SpecError | StudyMismatch | StoreError) else FAILED


if __name__ == "__main__":
    main()
