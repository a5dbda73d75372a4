"""The verb that takes Katib's Experiments along: our YAML on stdout, what changed and what was lost on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetuna.cli.options import FAILED, INVALID, OK, JsonOption, NamespaceOption, errors, out
from kubetuna.errors import SpecError

if TYPE_CHECKING:
    from kubetuna.parsing.katib_migration import Change, Migration


def migrate(
    file: Annotated[str | None, typer.Argument(help="A file of Katib's.", metavar="[FILE]")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Read the Experiments of a cluster instead.")] = False,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Translate Katib Experiments, and say what changed, why, and what has no counterpart."""
    from kubetuna.terminal.tables import print_json

    if (file is None) != cluster:
        raise typer.BadParameter("give a file, or --cluster", param_hint="FILE")
    made, refused = _migrated(_documents(file, namespace))
    if json:
        print_json({"experiments": [_as_json(one) for one in made], "refused": refused})
    else:
        _print(made, refused)
    raise typer.Exit(INVALID if refused else FAILED if any(one.lost for one in made) else OK)


def _documents(file: str | None, namespace: str | None) -> list[Any]:
    """What may be Experiments; of a file's other documents none is."""
    if file is None:
        from kubetuna.cli.backends import cluster

        return list(cluster().katib_experiments(namespace))
    from kubetuna.parsing.parse import read_text
    from kubetuna.parsing.yaml_text import load_documents

    documents = load_documents(read_text(Path(file)))
    found = [d for d in documents if not isinstance(d, Mapping) or d.get("kind") == "Experiment"]
    return found or documents[:1] or [None]


def _migrated(documents: list[Any]) -> tuple[list[Migration], list[dict[str, Any]]]:
    from kubetuna.parsing.katib_migration import migrate as translate

    made, refused = [], []
    for document in documents:
        try:
            made.append(translate(document))
        except SpecError as error:
            problems = [{"path": p.path, "message": p.message} for p in error.problems]
            refused.append({"name": _name(document), "problems": problems})
    return made, refused


def _name(document: Any) -> str:
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return str(metadata.get("name", ""))[:200] if isinstance(metadata, Mapping) else ""


def _as_json(one: Migration) -> dict[str, Any]:
    return {
        "name": one.name,
        "document": one.document,
        "changed": [_change(change) for change in one.changes],
        "withoutCounterpart": [_change(change) for change in one.lost],
    }


def _change(change: Change) -> dict[str, Any]:
    return {"path": change.path, "was": change.was, "now": change.now, "why": change.why}


def _print(made: list[Migration], refused: list[dict[str, Any]]) -> None:
    from kubetuna.parsing.katib_migration import as_yaml

    for one in made:
        out.print(f"---\n{as_yaml(one.document)}", markup=False, soft_wrap=True, end="")
        for change in one.changes:
            what = "left out" if change.now is None else "changed"
            errors.print(f"{one.name}: {what} {_words(change)}", markup=False)
        for change in one.lost:
            errors.print(f"{one.name}: no counterpart for {_words(change)}", markup=False)
    for other in refused:
        for problem in other["problems"]:
            errors.print(f"{other['name']}: {problem['path']}: {problem['message']}", markup=False)


def _words(change: Change) -> str:
    from kubetuna.experiment.field_errors import shown

    now = "" if change.now is None else f" to {shown(change.now)}"
    was = "" if change.was is None else f" from {shown(change.was)}" if now else f" ({shown(change.was)})"
    return f"{change.path}{was}{now}: {change.why}"
