"""What verbs share: arguments and options, the study that a command line means, the two consoles, exit codes."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from kubetuna.study.record import StudyRecord

OK, FAILED, INVALID, HELD, INTERRUPTED = 0, 1, 2, 3, 130

errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
out = Console(highlight=False, emoji=False)

File = Annotated[str, typer.Argument(help="The experiment's file.", metavar="FILE")]
StudyArgument = Annotated[
    str,
    typer.Argument(
        help="An experiment's name or file, its folder of results, or NAMESPACE/NAME in a cluster.",
        metavar="STUDY",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="SQLite or PostgreSQL URL; else KUBETUNA_STORE, else sqlite:///kubetuna.db.",
        metavar="URL",
    ),
]
PresetOption = Annotated[str | None, typer.Option(help="quick, thorough or production.")]
MetricOption = Annotated[
    str | None, typer.Option(help="Optimise this metric instead: NAME, or NAME:minimize, NAME:maximize.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field: PATH=VALUE.", metavar="PATH=VALUE")
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace in the cluster.", metavar="NAMESPACE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
TrialOption = Annotated[
    int | None, typer.Option("--trial", help="Use this trial instead of the best.", metavar="N")
]
OutFile = Annotated[Path | None, typer.Option("--out", help="Where to write it.", metavar="FILE")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]
SavePathOption = Annotated[
    Path | None, typer.Option("--save-path", help="Where to write the models.", metavar="DIR")
]
WordsOption = Annotated[
    str, typer.Option("--args", help='More arguments for the trainer: "--updates 2000".', metavar="ARGS")
]


@dataclass(frozen=True, slots=True)
class Study:
    """The study that a command line means, and how it said so."""

    target: str
    store: str | None
    namespace: str | None

    @property
    def quoted(self) -> str:
        """The target as a shell takes it, for the commands that are suggested next."""
        return shlex.quote(self.target)

    def read(self) -> StudyRecord:
        """The study as it stands, wherever it is."""
        from kubetuna.cli.backends import find

        return find(self.target, self.store, self.namespace)


def _selection(target: StudyArgument, store: StoreOption = None, namespace: NamespaceOption = None) -> None:
    """The parameters by which a command line says which study it means."""


def of_study(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb that gets a ``Study`` first, as a command that takes STUDY, --store and --namespace in its place."""
    _, *own = inspect.signature(verb, eval_str=True).parameters.values()
    target, *where = inspect.signature(_selection, eval_str=True).parameters.values()

    @functools.wraps(verb)
    def command(target: str, store: str | None, namespace: str | None, **others: Any) -> None:
        verb(Study(target, store, namespace), **others)

    command.__signature__ = inspect.Signature([target, *own, *where])  # type: ignore[attr-defined]
    return command


def show(json: bool, value: object, shown: RenderableType) -> None:
    """Print a result: one line of JSON for scripts, else text or a table for people."""
    from kubetuna.terminal.tables import print_json

    if json:
        print_json(value)
    elif isinstance(shown, str):
        out.print(shown, markup=False, soft_wrap=True)
    else:
        out.print(shown)


def show_page(json: bool, key: str, path: Path, browse: bool) -> None:
    """Print where a page was written, and open it if asked."""
    import webbrowser

    show(json, {key: str(path)}, f"{key.capitalize()}: {path}")
    if browse:
        webbrowser.open(path.resolve().as_uri())
