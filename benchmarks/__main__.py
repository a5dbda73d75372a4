"""``python -m benchmarks [NAME …] [--quick] [--json]``: run them and show a table.

``search``, ``samplers`` and ``trainings`` go on where they were cut off if ``KUBETUNA_BENCH_KEEP`` names a file,
and take N times the seeds of their short series with ``KUBETUNA_BENCH_SEEDS=N``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform

import optuna
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row, say

# Each is a module with ``rows(quick) -> list[Row]``.
NAMES = (
    *("store", "control", "turns", "logs", "market", "news", "pruning", "pruners", "results", "concurrency"),
    *("search", "samplers", "trainings"),
)
# These need a cluster, a GPU or others' data, so they run only when they are named.
ON_REQUEST = ("cluster", "gpu", "choosing")


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*NAMES, *ON_REQUEST)))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.names) - {*NAMES, *ON_REQUEST}
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there is {', '.join((*NAMES, *ON_REQUEST))}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    found: list[Row] = []
    for name in options.names or NAMES:
        say(f"{name} …")
        found += importlib.import_module(f"benchmarks.{name}").rows(options.quick)
    if options.json:
        print(json.dumps({"machine": machine(), "rows": [row.as_json() for row in found]}))
    else:
        Console().print(table(found))
        print(machine())


def machine() -> str:
    """What it was measured on."""
    versions = f"Python {platform.python_version()}, Optuna {optuna.__version__}, torch {torch.__version__}"
    return f"{os.cpu_count()} cores, {platform.machine()}; {versions}"


def table(found: list[Row]) -> Table:
    """A row a figure."""
    made = Table(box=None)
    for name in ("figure", "value", "±", "unit", "note"):
        made.add_column(name, justify="right" if name in ("value", "±") else "left")
    for row in found:
        made.add_row(row.name, f"{row.value:,.3g}", f"{row.spread:.2g}" if row.spread else "", row.unit, row.note)
    return made


if __name__ == "__main__":
    main()
