"""The verbs of an experiment in the cluster: submit it, watch it, suspend, resume or stop it."""

from __future__ import annotations

import time
from typing import Any

import typer
from rich.console import Console
from rich.live import Live

from kubetuna.cli.experiments import code_of, parsed
from kubetuna.cli.options import File, NamespaceOption, PresetOption, SetOption, StudyArgument, errors, out

LOOK_SECONDS = 1.0


def submit(
    file: File, namespace: NamespaceOption = None, preset: PresetOption = None, set_: SetOption = None
) -> None:
    """Validate an experiment, then create or update it in the cluster."""
    from kubetuna.cli.backends import cluster

    spec = parsed(file, preset, None, set_)
    out.print(f"{cluster().submit(namespace, spec.raw)} submitted", markup=False)


def watch(target: StudyArgument, namespace: NamespaceOption = None) -> None:
    """Show progress in the cluster until the experiment ends."""
    raise typer.Exit(code_of(_watched(target, namespace, errors)))


def suspend(target: StudyArgument, namespace: NamespaceOption = None) -> None:
    """Start no new trials of an experiment in the cluster."""
    _edit(target, namespace, {"suspend": True}, "suspended")


def resume(target: StudyArgument, namespace: NamespaceOption = None) -> None:
    """Resume a suspended experiment in the cluster."""
    _edit(target, namespace, {"suspend": False}, "resumed")


def stop(target: StudyArgument, namespace: NamespaceOption = None) -> None:
    """End an experiment in the cluster now; the best result so far stands."""
    _edit(target, namespace, {"shutdown": True}, "is being stopped")


def _edit(target: str, namespace: str | None, changes: dict[str, Any], word: str) -> None:
    from kubetuna.cli.backends import cluster, in_cluster

    space, name = in_cluster(target, namespace) or (None, target)
    cluster().edit(space, name, changes)
    out.print(f"{name} {word}", markup=False)


def _watched(target: str, namespace: str | None, console: Console) -> dict[str, Any]:
    """Show the status until the experiment is over; the last one."""
    from kubetuna.cli.backends import cluster, in_cluster
    from kubetuna.planning.status import OVER
    from kubetuna.terminal.tables import best_line, status_table

    space, name = in_cluster(target, namespace) or (None, target)
    backend, shown = cluster(), ""
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            seen = backend.look(space, name)
            status = seen.status
            if console.is_terminal:
                live.update(status_table(seen.spec, status), refresh=True)
            line = f"{status['state']}: {status['trials']} trials, best: {best_line(seen.spec, status)}"
            if not console.is_terminal and line != shown:
                console.print(line, markup=False)
                shown = line
            if status["state"] in OVER:
                return dict(status)
            time.sleep(LOOK_SECONDS)
