"""Arguments and options that several verbs share, and the two consoles that they write to."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
out = Console(highlight=False, emoji=False)

Target = Annotated[
    str, typer.Argument(help="The experiment's file or name, or its folder of results.", metavar="FILE|NAME|FOLDER")
]
File = Annotated[str, typer.Argument(help="The experiment's file.", metavar="FILE")]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="SQLite or PostgreSQL URL; else KUBETUNA_STORE, else sqlite:///kubetuna.db.",
        metavar="URL",
    ),
]
PresetOption = Annotated[str | None, typer.Option(help="quick, thorough or production.")]
MetricOption = Annotated[str | None, typer.Option(help="Optimise this metric instead.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field: PATH=VALUE.", metavar="PATH=VALUE")
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Look in this namespace of the cluster.", metavar="NAMESPACE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

StudyArgument = Annotated[
    str,
    typer.Argument(
        help="A folder of results, an experiment's file, a study's name, or NAMESPACE/NAME in a cluster.",
        metavar="STUDY",
    ),
]
TrialOption = Annotated[int | None, typer.Option("--trial", help="This trial in place of the best.", metavar="N")]
