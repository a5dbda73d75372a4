"""The contest's verbs: tune a shipped task, score its models, judge them over time and on the held-out test."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kubetuna.cli.experiments import code_of
from kubetuna.cli.options import (
    INTERRUPTED,
    JsonOption,
    MetricOption,
    SavePathOption,
    SetOption,
    StoreOption,
    Study,
    TrialOption,
    WordsOption,
    errors,
    of_study,
    out,
    show,
)
from kubetuna.cli.training import interruptible, say


def tune(
    task: Annotated[str, typer.Argument(help="task1 or task2.", metavar="TASK")],
    config: Annotated[str, typer.Option(help="quick, thorough or production: how many trials.")] = "quick",
    metric: MetricOption = None,
    data: Annotated[Path | None, typer.Option(help="A folder of the contest's files.", metavar="DIR")] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; by default the task and the metric.")] = None,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where to write the results; else hpo_experiments/TASK_hpo_results.", metavar="DIR"
        ),
    ] = None,
    store: StoreOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Run or resume a shipped task, and write a folder of results."""
    from kubetuna.finrl.shipped import task_experiment
    from kubetuna.finrl.tuning import results_folder
    from kubetuna.finrl.tuning import tune as run_and_keep
    from kubetuna.local import runner
    from kubetuna.terminal.tables import best_line, print_json

    spec = task_experiment(task, config, metric, name, data, set_ or ())
    folder, url, interrupt = out_ or results_folder(task), runner.store_url(store), runner.install_interrupt()
    told, _ = run_and_keep(spec, url, errors, interrupt, folder, name)
    if json:
        print_json(told.status)
    if told.interrupted:
        best = best_line(spec, told.status)
        errors.print(f"Interrupted; nothing is lost. Best: {best}. The same command goes on.", markup=False)
        raise typer.Exit(INTERRUPTED)
    (errors if json else out).print(_told(folder), markup=False, soft_wrap=True)
    raise typer.Exit(code_of(told.status))


def _told(folder: Path) -> str:
    from kubetuna.analysis.folder import REPORT, read_results
    from kubetuna.analysis.summary import summary, summary_text

    shown = summary(read_results(folder), shlex.quote(str(folder)), time.time())
    without = "" if (folder / REPORT).exists() else " (without a report: pip install 'kubetuna[analysis]')"
    return f"{summary_text(shown)}\n\nResults: {folder}{without}"


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that train or a trial left.", metavar="MODEL")],
    data: Annotated[
        Path | None, typer.Option(help="Score on this folder of data instead, on all of its rows.", metavar="DIR")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which part of the data: train or validation.")] = None,
    json: JsonOption = False,
) -> None:
    """Score a model by the protocol, next to buy-and-hold, flat, chance and the untuned model."""
    from kubetuna.analysis.report.text import interval_words, number
    from kubetuna.cli.result_tables import evaluation_table
    from kubetuna.finrl.evaluate import beaten
    from kubetuna.finrl.evaluate import evaluate as judged

    found = judged(model, split, data)
    show(json, found, evaluation_table(found))
    if json:
        return
    if found["metric"] in found["metrics"]:
        own = found["metrics"][found["metric"]]
        out.print(f"{found['metric']} {number(own)} ({interval_words(found)}).", markup=False, soft_wrap=True)
    better, worse = beaten(found)
    if worse:
        out.print(f"In {found['metric']} it does not beat {', '.join(worse)}.", markup=False)
    elif better:
        out.print(f"In {found['metric']} it beats {', '.join(better)}.", markup=False)
    for cost in ("slippage", "cost"):
        even = found["runs"][0].get(f"break_even_{cost}")
        if even is not None:
            out.print(f"It earns nothing from a {cost} of {even:.3g} a trade on ({even * 1e4:.3g} basis points).")


@of_study
def walkforward(
    study: Study,
    folds: Annotated[int, typer.Option(help="How many consecutive blocks to judge on.", metavar="K")] = 4,
    top: Annotated[int, typer.Option(help="How many of the best trials.", metavar="K")] = 3,
    seeds: Annotated[int, typer.Option(help="Seeds per trial and fold, including its own.", metavar="N")] = 2,
    save_path: SavePathOption = None,
    words: WordsOption = "",
    json: JsonOption = False,
) -> None:
    """Train the best trials on a growing part of the past, and judge each on the following block."""
    from kubetuna.analysis.folder import REPORT, report_words
    from kubetuna.cli.result_tables import walkforward_table
    from kubetuna.finrl.fold_results import verdict
    from kubetuna.finrl.walkforward import MODELS, walk_forward

    seen = study.read()
    folder = seen.home
    with interruptible():
        models, more = save_path or folder / MODELS, shlex.split(words)
        found = walk_forward(seen, folds, top, folder, models, say, more, seeds)
    report = report_words(seen, folder / REPORT)
    show(json, found.as_json(), walkforward_table(found))
    if not json:
        out.print(verdict(found), markup=False)
        out.print(report, markup=False, soft_wrap=True)


@of_study
def finalize(
    study: Study,
    seeds: Annotated[int, typer.Option(help="Train with this many seeds.", metavar="N")] = 5,
    trial: TrialOption = None,
    again: Annotated[bool, typer.Option("--again", help="Score the test a second time.")] = False,
    words: WordsOption = "",
    json: JsonOption = False,
) -> None:
    """Train the winner with several seeds and score the held-out test, once."""
    from kubetuna.analysis.best_config import chosen_trial
    from kubetuna.cli.keeping import keeper
    from kubetuna.cli.result_tables import final_text
    from kubetuna.finrl.finalize import finalize as finalized

    seen = study.read()
    folder, keep, known, looks = keeper(study.target, seen, study.store, study.namespace)
    seen = replace(seen, final=known)
    chosen, more = chosen_trial(seen, trial), shlex.split(words)
    with interruptible():
        done = finalized(seen, chosen, folder, keep, say, seeds, again, more, looks)
    show(json, done, final_text(done))
