"""Watching an experiment of the cluster: its status, drawn again as it changes."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live

from kubetuna.cli.backends import cluster, in_cluster
from kubetuna.terminal.tables import best_line, status_table

LOOK_SECONDS = 1.0
OVER = ("Succeeded", "Failed")


def watch_until_it_ends(target: str, namespace: str | None, console: Console) -> dict[str, Any]:
    """Show the status until the experiment is over; the last one."""
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
