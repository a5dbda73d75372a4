"""The verbs over finished searches: sum one up, compare several, write pages and configurations."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from kubetuna.cli.options import (
    JsonOption,
    NamespaceOption,
    OpenOption,
    OutFile,
    StoreOption,
    Study,
    TrialOption,
    WordsOption,
    of_study,
    out,
    show,
    show_page,
)
from kubetuna.cli.training import interruptible, say


@of_study
def summary(study: Study, json: JsonOption = False) -> None:
    """Show the result, its cost, reliability checks and next steps."""
    from kubetuna.analysis import summary as summaries
    from kubetuna.files import strict

    shown = summaries.summary(study.read(), study.quoted, time.time())
    show(json, strict(shown), summaries.summary_text(shown))


@of_study
def export(
    study: Study,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Where to write it; else production_configs.", metavar="DIR")
    ] = None,
    contest: Annotated[
        Path | None, typer.Option(help="Train the model, and write it there for the contest.", metavar="DIR")
    ] = None,
    trial: TrialOption = None,
    words: WordsOption = "",
    json: JsonOption = False,
) -> None:
    """Write the best parameters as JSON, with their provenance, or a model for the contest."""
    from kubetuna.analysis.best_config import chosen_trial, write_configuration
    from kubetuna.errors import ResultsError

    seen, shown, lines = study.read(), {}, []
    if words and contest is None:
        raise ResultsError("--args: are words for a trainer, which runs only with --contest DIR")
    if contest is None or out_ is not None:
        path = write_configuration(seen, out_ or Path("production_configs"), trial)
        shown, lines = {"config": str(path)}, [f"Wrote {path}"]
    if contest is not None:
        from kubetuna.finrl.contest import hand_in

        with interruptible():
            shown |= hand_in(seen, chosen_trial(seen, trial), contest, say, shlex.split(words))
        lines += [f"Wrote {file}" for file in shown["files"]]
    show(json, shown, "\n".join(lines))


def compare(
    studies: Annotated[list[str], typer.Argument(help="Two or more studies.", metavar="STUDY STUDY …")],
    metric: Annotated[
        str | None,
        typer.Option(help="Compare by NAME, NAME:minimize or NAME:maximize; by default the common objective."),
    ] = None,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Compare searches at equal numbers of trials, with intervals."""
    from kubetuna.analysis.comparison import compare as compared
    from kubetuna.cli.result_tables import comparison_table
    from kubetuna.errors import ResultsError

    if len(studies) < 2:
        raise ResultsError("it takes two studies to compare")
    found = compared([Study(study, store, namespace).read() for study in studies], metric)
    rows = [c.as_json() for c in found.studies]
    value = {"metric": found.metric, "direction": found.direction, "studies": rows, "verdict": found.verdict}
    show(json, value, comparison_table(found))
    if not json:
        size = found.studies[0].of
        out.print(f"of {size}: the likely best of {size} trials, with its interval; chance: to beat the leader's.")
        out.print(found.verdict, markup=False)


@of_study
def analyze(study: Study, out_: OutFile = None, open_: OpenOption = False, json: JsonOption = False) -> None:
    """Write one page over all studies of a folder, or over one study, compared where they share a metric."""
    from kubetuna.analysis.folder import is_results
    from kubetuna.analysis.overview import write_overview, write_overview_of

    folder = Path(study.target)
    if folder.is_dir() and not is_results(folder):
        path = write_overview(folder, out_)
    else:
        path = write_overview_of(study.read(), folder if folder.is_dir() else None, out_)
    show_page(json, "dashboard", path, open_)
