"""The verbs that come before and after a run: tune a shipped task, then read, compare, export its results.

``kubetuna.cli.main`` registers them with the program; those that make a model are in ``kubetuna.cli.training``.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from kubetuna.cli import training
from kubetuna.cli.options import (
    JsonOption,
    MetricOption,
    NamespaceOption,
    SetOption,
    StoreOption,
    StudyArgument,
    TrialOption,
    errors,
    out,
)

OK, FAILED, INTERRUPTED = 0, 1, 130

OutFolder = Annotated[Path, typer.Option("--out", help="The folder to write into.", metavar="DIR")]
OutFile = Annotated[Path | None, typer.Option("--out", help="Where to write it.", metavar="FILE")]
OpenOption = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the program, in the order in which a person needs them."""
    for verb in (tune, summary, compare, analyze, export):
        app.command()(verb)
    training.register(app)


def tune(
    task: Annotated[str, typer.Argument(help="task1 or task2.", metavar="TASK")],
    config: Annotated[str, typer.Option(help="quick, thorough or production: how many trials.")] = "quick",
    metric: MetricOption = None,
    data: Annotated[Path | None, typer.Option(help="A folder of the contest's files.", metavar="DIR")] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; else the task and the metric.")] = None,
    out_: Annotated[
        Path | None,
        typer.Option("--out", help="The results' folder; else hpo_experiments/TASK_hpo_results.", metavar="DIR"),
    ] = None,
    store: StoreOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Tune a task that ships with kubetuna, and leave a folder of results."""
    from kubetuna.finrl.shipped import task_experiment
    from kubetuna.finrl.tuning import results_folder
    from kubetuna.finrl.tuning import tune as run_and_keep
    from kubetuna.local import runner
    from kubetuna.terminal.tables import best_line, print_json

    spec = task_experiment(task, config, metric, name, data, set_ or ())
    folder, url, interrupt = out_ or results_folder(task), runner.store_url(store), runner.install_interrupt()
    told, _ = run_and_keep(spec, url, errors, interrupt, folder)
    if json:
        print_json(told.status)
    if told.interrupted:
        best = best_line(spec, told.status)
        errors.print(f"Interrupted; nothing is lost. Best: {best}. The same command goes on.", markup=False)
        raise typer.Exit(INTERRUPTED)
    (errors if json else out).print(_told(folder), markup=False, soft_wrap=True)
    raise typer.Exit(OK if told.status.get("state") == "Succeeded" else FAILED)


def _told(folder: Path) -> str:
    from kubetuna.analysis.folder import read_results
    from kubetuna.analysis.summary import summary, summary_text

    return (
        f"{summary_text(summary(read_results(folder), shlex.quote(str(folder)), time.time()))}\n\nResults: {folder}"
    )


def summary(
    study: StudyArgument, store: StoreOption = None, namespace: NamespaceOption = None, json: JsonOption = False
) -> None:
    """What was found, what it cost, whether to believe it, what to type next."""
    from kubetuna.analysis import summary as summaries
    from kubetuna.cli.backends import find
    from kubetuna.files import strict
    from kubetuna.terminal.tables import print_json

    seen = find(study, store, namespace)
    shown = summaries.summary(seen, shlex.quote(study), time.time())
    if json:
        print_json(strict(shown))
    else:
        out.print(summaries.summary_text(shown), markup=False, soft_wrap=True)


def export(
    study: StudyArgument,
    out_: OutFolder = Path("production_configs"),
    trial: TrialOption = None,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write the best parameters as JSON, with where they come from."""
    from kubetuna.analysis.best_config import write_configuration
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import print_json

    path = write_configuration(find(study, store, namespace), out_, trial)
    if json:
        print_json({"config": str(path)})
    else:
        out.print(f"Wrote {path}", markup=False, soft_wrap=True)


def compare(
    studies: Annotated[list[str], typer.Argument(help="Two or more studies.", metavar="STUDY STUDY …")],
    metric: Annotated[str | None, typer.Option(help="Compare this metric; else the common objective.")] = None,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Which study is better, at equal numbers of trials, with intervals."""
    from kubetuna.analysis.comparison import compare as compared
    from kubetuna.cli.backends import find
    from kubetuna.cli.result_tables import comparison_table
    from kubetuna.errors import ResultsError
    from kubetuna.terminal.tables import print_json

    if len(studies) < 2:
        raise ResultsError("it takes two studies to compare")
    found = compared([find(study, store, namespace) for study in studies], metric)
    if json:
        rows = [c.as_json() for c in found.studies]
        print_json(
            {"metric": found.metric, "direction": found.direction, "studies": rows, "verdict": found.verdict}
        )
    else:
        out.print(comparison_table(found))
        size = found.studies[0].of
        out.print(f"of {size}: the likely best of {size} trials, with its interval; chance: to beat the leader's.")
        out.print(found.verdict, markup=False)


def analyze(
    target: Annotated[str, typer.Argument(help="A folder of results folders, or a study.", metavar="FOLDER|STUDY")],
    out_: OutFile = None,
    open_: OpenOption = False,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """One page over all studies of a folder, or over one study: results, luck, comparison."""
    import webbrowser

    from kubetuna.analysis.folder import is_results
    from kubetuna.analysis.overview import write_overview, write_overview_of
    from kubetuna.cli.backends import find
    from kubetuna.terminal.tables import print_json

    folder = Path(target)
    if folder.is_dir() and not is_results(folder):
        path = write_overview(folder, out_)
    else:
        path = write_overview_of(find(target, store, namespace), folder if folder.is_dir() else None, out_)
    if json:
        print_json({"dashboard": str(path)})
    else:
        out.print(f"Dashboard: {path}", markup=False, soft_wrap=True)
    if open_:
        webbrowser.open(path.resolve().as_uri())
