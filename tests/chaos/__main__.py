"""``make chaos [FAULTS=1000] [SEED=N]``: faults on the cluster of `make cluster`, or on a given one; then a table.

A cluster of our own bears all of them. On that of KUBETUNA_TEST_KUBECONFIG only a namespace and a database of our
own and the nodes' schedulability are touched. The exit code is 1 where anything was lost, done twice or changed.
Ctrl-C ends the faults, and what ran until then is judged.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
from pathlib import Path

from hack.cluster import room
from hack.cluster.base_image import REFERENCE
from hack.cluster.layout import find_layout
from rich.console import Console
from rich.table import Table

from tests.chaos.campaign import Outcome, run
from tests.chaos.stage import Stage
from tests.cluster.conftest import Cluster


def main() -> int:
    """Run one campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1, help="so many faults at a time, of different places")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    stage = _stage(chosen.seed)
    try:
        say = functools.partial(print, file=sys.stderr, flush=True)
        outcome = run(stage, chosen.faults, chosen.at_once, say)
    finally:
        stage.close()
    if chosen.json:
        print(json.dumps(outcome.as_json(), indent=2))
    else:
        _show(outcome)
    return 0 if outcome.sound else 1


def _stage(seed: int) -> Stage:
    given = os.environ.get("KUBETUNA_TEST_KUBECONFIG")
    if given:
        image = os.environ.get("KUBETUNA_TEST_IMAGE", "python:3.11-slim")
        return Stage(Cluster(Path(given), image, ours=False), None, seed)
    layout = find_layout()
    if room.holder_pid(layout) is None:
        sys.exit("no cluster: run `make cluster`, or set KUBETUNA_TEST_KUBECONFIG")
    return Stage(Cluster(layout.kubeconfig, REFERENCE, ours=True), layout, seed)


def _show(outcome: Outcome) -> None:
    table = Table("fault", "times", "went on after (median, s)", "longest (s)", box=None)
    for name, took in sorted(outcome.recovered.items()):
        table.add_row(name, str(len(took)), f"{statistics.median(took):.1f}", f"{max(took):.1f}")
    console = Console()
    console.print(table)
    for name, lines in {**outcome.verdict.as_json(), "other result than undisturbed": outcome.other}.items():
        console.print(f"{name.replace('_', ' ')}: {len(lines)}", *lines[:10], sep="\n  ", soft_wrap=True)
    console.print(f"{outcome.trials} trials in {outcome.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
