"""The verbs that train what a search found: a model with the winner's parameters, the best with more seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from kubetuna.cli.options import (
    JsonOption,
    SavePathOption,
    Study,
    TrialOption,
    WordsOption,
    errors,
    of_study,
    out,
    show,
)


def say(text: str) -> None:
    """Tell a person how the training goes."""
    errors.print(text, markup=False)


@contextmanager
def interruptible() -> Iterator[None]:
    """Say what an interrupt leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        say("Interrupted; nothing is lost: the same command goes on from the last checkpoint.")
        raise


@of_study
def train(
    study: Study,
    context: typer.Context,
    save_path: SavePathOption = None,
    seeds: Annotated[int, typer.Option(help="Train this many models, each with its own seed.", metavar="N")] = 1,
    trial: TrialOption = None,
    out_of_range: Annotated[
        bool, typer.Option("--out-of-range", help="Allow numbers outside the searched range.")
    ] = False,
    words: WordsOption = "",
    json: JsonOption = False,
) -> None:
    """Train a model with the winner's parameters; --learning-rate 1e-5 changes one of them."""
    from kubetuna.analysis.best_config import chosen_trial
    from kubetuna.finrl.evaluate import task_in
    from kubetuna.terminal.tables import number
    from kubetuna.training.overrides import changes_of, overridden
    from kubetuna.training.train import seeds_of
    from kubetuna.training.train import train as trained

    changes = changes_of(context.args)
    seen = study.read()
    chosen = chosen_trial(seen, trial)
    params = overridden(seen.spec, chosen.params, changes, out_of_range)
    folder = save_path or Path(f"{seen.spec.name}_final")
    with interruptible():
        done = trained(seen, chosen, params, folder, seeds_of(seen, chosen, seeds), say, shlex.split(words))
    rows = [{"folder": str(d.folder), "seed": d.seed, "metrics": dict(d.metrics)} for d in done]
    metric = seen.spec.objectives[0].metric
    lines = [
        f"{d.folder}: {metric} = {number(d.metrics.get(metric, 'not told'))} on validation (seed {d.seed})"
        for d in done
    ]
    if any(task_in(d.folder) for d in done):
        lines.append(f"Next: kubetuna evaluate {shlex.quote(str(folder))}")
    show(json, {"model": str(folder), "params": params, "runs": rows}, "\n".join(lines))


@of_study
def retest(
    study: Study,
    top: Annotated[int, typer.Option(help="How many of the best trials.", metavar="K")] = 3,
    seeds: Annotated[int, typer.Option(help="Seeds per trial, including its own.", metavar="N")] = 3,
    words: WordsOption = "",
    json: JsonOption = False,
) -> None:
    """Train the best trials again with more seeds, and rank them by their means, with intervals."""
    from kubetuna.cli.result_tables import retest_table
    from kubetuna.training.retest import retest as retested
    from kubetuna.training.retest import verdict

    seen = study.read()
    metric = seen.spec.objectives[0].metric
    with interruptible():
        ranked = retested(seen, top, seeds, seen.home, say, shlex.split(words))
    rows = [one.as_json() for one in ranked]
    show(json, {"metric": metric, "trials": rows}, retest_table(metric, ranked))
    if not json:
        out.print(verdict(ranked), markup=False)
        out.print(f"Train with it: kubetuna train {study.quoted} --trial {ranked[0].trial}", markup=False)
