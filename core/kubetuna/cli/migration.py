"""The verb that takes Katib's Experiments along: our YAML on stdout, what changed and what was lost on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetuna.cli.options import FAILED, INVALID, OK, JsonOption, NamespaceOption, StoreOption, errors, out
from kubetuna.errors import SpecError

if TYPE_CHECKING:
    from kubetuna.parsing.katib_config_map import Find
    from kubetuna.parsing.katib_migration import Change, Migration


def migrate(
    file: Annotated[str | None, typer.Argument(help="A file of Katib's.", metavar="[FILE]")] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Read the Experiments of a cluster instead.")] = False,
    namespace: NamespaceOption = None,
    history: Annotated[
        bool, typer.Option("--history", help="Copy Katib's ended Trials into the store, to start from.")
    ] = False,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Translate Katib Experiments, and say what changed, why, and what has no counterpart."""
    from kubetuna.terminal.tables import print_json

    if (file is None) != cluster:
        raise typer.BadParameter("give a file, or --cluster", param_hint="FILE")
    objects = _objects(file, namespace, history)
    made, refused = _migrated(_experiments(objects, file), _config_maps(objects, cluster))
    copied = [_copied(one, objects, cluster, store) for one in made] if history else []
    if json:
        print_json({"experiments": [_as_json(one) for one in made], "refused": refused, "history": copied})
    else:
        _print(made, refused, copied)
    raise typer.Exit(INVALID if refused else FAILED if any(one.lost for one in made) else OK)


def _objects(file: str | None, namespace: str | None, history: bool) -> list[Any]:
    """Everything that a file, or Katib in a cluster, holds; of a list its items."""
    if file is None:
        from kubetuna.cli.backends import cluster

        plurals = ("experiments", "trials") if history else ("experiments",)
        return [obj for plural in plurals for obj in cluster().katibs(plural, namespace)]
    from kubetuna.parsing.parse import read_text
    from kubetuna.parsing.yaml_text import load_documents

    return [item for document in load_documents(read_text(Path(file))) for item in _listed(document)]


def _config_maps(objects: list[Any], of_cluster: bool) -> Find:
    """Where templates are found that are not in the Experiments."""
    from kubetuna.parsing.katib_config_map import among

    if not of_cluster:
        return among(objects)
    from kubetuna.cli.backends import cluster

    return lambda source: cluster().config_map(source.namespace, source.name)


def _listed(document: Any) -> list[Any]:
    items = document.get("items") if isinstance(document, Mapping) and document.get("kind") == "List" else None
    return items if isinstance(items, list) else [document]


def _experiments(objects: list[Any], file: str | None) -> list[Any]:
    """What may be Experiments; of a file's other documents none is."""
    found = [obj for obj in objects if not isinstance(obj, Mapping) or obj.get("kind") == "Experiment"]
    return found or (objects[:1] or [None] if file is not None else [])


def _copied(one: Migration, objects: list[Any], cluster: bool, store: str | None) -> dict[str, Any]:
    """Copy the Trials of an experiment, and let its new one start from them."""
    from kubetuna.local.runner import store_url
    from kubetuna.parsing.parse import parse_experiment
    from kubetuna.store.database import open_engine
    from kubetuna.study.katib_history import copy_history, of_experiment

    spec = parse_experiment(one.document)
    name = f"{spec.name}-katib"
    # As an operator would call the study of an Experiment of that name.
    study = f"{spec.namespace}/{name}/katib" if cluster else name
    trials = [obj for obj in objects if isinstance(obj, Mapping) and obj.get("kind") == "Trial"]
    done = copy_history(open_engine(store_url(store)), spec, study, of_experiment(trials, one.former_name))
    if done.copied:
        one.start_from(name)
    return {"name": spec.name, "study": study, "copied": done.copied, "left": done.left}


def _migrated(documents: list[Any], find: Find) -> tuple[list[Migration], list[dict[str, Any]]]:
    from kubetuna.parsing.katib_config_map import with_template
    from kubetuna.parsing.katib_migration import migrate as translate

    made, refused = [], []
    for document in documents:
        try:
            made.append(translate(with_template(document, find)))
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


def _print(made: list[Migration], refused: list[dict[str, Any]], copied: list[dict[str, Any]]) -> None:
    from kubetuna.parsing.katib_migration import as_yaml

    for one in made:
        out.print(f"---\n{as_yaml(one.document)}", markup=False, soft_wrap=True, end="")
        for change in one.changes:
            what = "left out" if change.now is None else "changed"
            errors.print(f"{one.name}: {what} {_words(change)}", markup=False)
        for change in one.lost:
            errors.print(f"{one.name}: no counterpart for {_words(change)}", markup=False)
    for done in copied:
        text = f"{done['copied']} trials are in the store as study {done['study']}, {done['left']} were left out"
        errors.print(f"{done['name']}: {text}", markup=False)
    for other in refused:
        for problem in other["problems"]:
            errors.print(f"{other['name']}: {problem['path']}: {problem['message']}", markup=False)


def _words(change: Change) -> str:
    from kubetuna.experiment.field_errors import shown

    now = "" if change.now is None else f" to {shown(change.now)}"
    was = "" if change.was is None else f" from {shown(change.was)}" if now else f" ({shown(change.was)})"
    return f"{change.path}{was}{now}: {change.why}"
