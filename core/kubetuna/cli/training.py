"""The verbs that make models of results: train with the winner, evaluate, re-test or walk forward with the best,
finalize a study."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from kubetuna.cli.options import (
    JsonOption,
    NamespaceOption,
    StoreOption,
    StudyArgument,
    TrialOption,
    errors,
    out,
)

WordsOption = Annotated[
    str, typer.Option("--args", help='More words for the trainer, such as "--budget 1000000".', metavar="WORDS")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)
    app.command()(evaluate)
    app.command()(retest)
    app.command()(walkforward)
    app.command()(finalize)


def _say(text: str) -> None:
    errors.print(text, markup=False)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say what an interrupt leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        _say("Interrupted; nothing is lost: the same command goes on from the last checkpoint.")
        raise


def train(
    context: typer.Context,
    study: StudyArgument,
    save_path: Annotated[
        Path | None, typer.Option("--save-path", help="The model's folder; else STUDY_final.", metavar="DIR")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train this many models, each with its own seed.", metavar="N")] = 1,
    trial: TrialOption = None,
    out_of_range: Annotated[
        bool, typer.Option("--out-of-range", help="Allow numbers outside the searched range.")
    ] = False,
    words: WordsOption = "",
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train with the winner's parameters; any of them can be changed: --learning-rate 1e-5."""
    from kubetuna.analysis.best_config import chosen_trial
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import number, print_json
    from kubetuna.training.overrides import changes_of, overridden
    from kubetuna.training.train import seeds_of
    from kubetuna.training.train import train as trained

    changes = changes_of(context.args)
    seen = find(study, store, namespace)
    chosen = chosen_trial(seen, trial)
    params = overridden(seen.spec, chosen.params, changes, out_of_range)
    folder = save_path or Path(f"{seen.spec.name}_final")
    with _interruptible():
        done = trained(seen, chosen, params, folder, seeds_of(seen, chosen, seeds), _say, shlex.split(words))
    if json:
        rows = [{"folder": str(d.folder), "seed": d.seed, "metrics": dict(d.metrics)} for d in done]
        print_json({"model": str(folder), "params": params, "runs": rows})
        return
    metric = seen.spec.objectives[0].metric
    for one in done:
        value = number(one.metrics[metric]) if metric in one.metrics else "not told"
        out.print(f"{one.folder}: {metric} = {value} on validation (seed {one.seed})", markup=False, soft_wrap=True)
    out.print(f"Next: kubetuna evaluate {shlex.quote(str(folder))}", markup=False, soft_wrap=True)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that train or a trial left.", metavar="MODEL")],
    data: Annotated[
        Path | None, typer.Option(help="Score on all rows of this folder of data instead.", metavar="DIR")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Score a saved model by the protocol, beside doing nothing, buying, chance and the untuned model."""
    from kubetuna.cli.result_tables import evaluation_table
    from kubetuna.finrl.evaluate import beaten
    from kubetuna.finrl.evaluate import evaluate as judged
    from kubetuna.terminal.tables import print_json

    found = judged(model, data=data)
    if json:
        print_json(found)
        return
    out.print(evaluation_table(found))
    better, worse = beaten(found)
    if worse:
        out.print(f"In {found['metric']} it does not beat {', '.join(worse)}.", markup=False)
    elif better:
        out.print(f"In {found['metric']} it beats {', '.join(better)}.", markup=False)
    for cost in ("slippage", "cost"):
        even = found["runs"][0].get(f"break_even_{cost}")
        if even is not None:
            out.print(f"It earns nothing from a {cost} of {even:.3g} a trade on ({even * 1e4:.3g} basis points).")


def retest(
    study: StudyArgument,
    top: Annotated[int, typer.Option(help="How many of the best trials.", metavar="K")] = 3,
    seeds: Annotated[int, typer.Option(help="How many seeds each, the trial's own among them.", metavar="N")] = 3,
    words: WordsOption = "",
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train the best trials again with further seeds: which one leads on average, with intervals."""
    from kubetuna.cli.backends import find
    from kubetuna.cli.result_tables import retest_table
    from kubetuna.terminal.tables import print_json
    from kubetuna.training.retest import retest as retested
    from kubetuna.training.retest import verdict

    seen = find(study, store, namespace)
    with _interruptible():
        ranked = retested(seen, top, seeds, seen.home, _say, shlex.split(words))
    if json:
        print_json({"metric": seen.spec.objectives[0].metric, "trials": [one.as_json() for one in ranked]})
        return
    out.print(retest_table(seen.spec.objectives[0].metric, ranked))
    out.print(verdict(ranked), markup=False)
    out.print(f"Train with it: kubetuna train {shlex.quote(study)} --trial {ranked[0].trial}", markup=False)


def walkforward(
    study: StudyArgument,
    folds: Annotated[int, typer.Option(help="How many blocks to judge on, one after another.", metavar="K")] = 4,
    top: Annotated[int, typer.Option(help="How many of the best trials.", metavar="K")] = 3,
    save_path: Annotated[
        Path | None, typer.Option("--save-path", help="The models' folder; else beside the results.", metavar="DIR")
    ] = None,
    words: WordsOption = "",
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train the best trials on more and more of the past, judge each on the block that follows."""
    from kubetuna.analysis.folder import REPORT, report_words
    from kubetuna.cli.backends import find
    from kubetuna.cli.result_tables import walkforward_table
    from kubetuna.finrl.fold_results import verdict
    from kubetuna.finrl.walkforward import MODELS, walk_forward
    from kubetuna.terminal.tables import print_json

    seen = find(study, store, namespace)
    folder = seen.home
    with _interruptible():
        found = walk_forward(seen, folds, top, folder, save_path or folder / MODELS, _say, shlex.split(words))
    report = report_words(seen, folder / REPORT)
    if json:
        print_json(found.as_json())
        return
    out.print(walkforward_table(found))
    out.print(verdict(found), markup=False)
    out.print(report, markup=False, soft_wrap=True)


def finalize(
    study: StudyArgument,
    seeds: Annotated[int, typer.Option(help="Train again with this many seeds.", metavar="N")] = 5,
    trial: TrialOption = None,
    again: Annotated[bool, typer.Option("--again", help="Look at the test a second time.")] = False,
    words: WordsOption = "",
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Train the winner again with several seeds and score the held-out test, once."""
    from kubetuna.analysis.best_config import chosen_trial
    from kubetuna.cli.backends import find
    from kubetuna.cli.keeping import keeper
    from kubetuna.cli.result_tables import final_text
    from kubetuna.finrl.finalize import finalize as finalized
    from kubetuna.terminal.tables import print_json

    seen = find(study, store, namespace)
    folder, keep, known = keeper(study, seen, store, namespace)
    seen = replace(seen, final=known)
    with _interruptible():
        done: dict[str, Any] = finalized(
            seen, chosen_trial(seen, trial), folder, keep, _say, seeds, again, shlex.split(words)
        )
    if json:
        print_json(done)
    else:
        out.print(final_text(done), markup=False, soft_wrap=True)
