"""What a template's primary container asks to be run, as this machine can run it.

Command, arguments and environment are taken as Kubernetes would take them, ``$(NAME)`` references included.
The image is not used, so ``python`` means the Python that kubetuna runs on: its folder leads ``PATH``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetuna.experiment.resources import primary_of

# What a runner holds and a trial has no use for: the way into its database.
PRIVATE = ("KUBETUNA_STORE", "PGPASSWORD", "PGPASSFILE", "PGUSER")

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start: ``argv`` (empty where the template leaves it to its image), environment, folder."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


def command_of(
    rendered: Mapping[str, Any],
    primary: str,
    own: Mapping[str, str],
    home: Path | None = None,
    moved: Callable[[str], str] = str,
) -> Command:
    """The command of a rendered template. ``own`` are kubetuna's variables, which nothing overrides.

    ``home`` is the folder that it runs in where the template names none; by default the present one. ``moved`` puts
    a path of this machine in the place of one of the container's, in words and variables.
    """
    container = primary_of(rendered, primary)
    variables = _variables(container.get("env") or [], own, moved)
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    environment = {**inherited(), **variables}
    return Command(tuple(moved(expand(word, variables)) for word in words), environment, _folder(container, home))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value where there is one, ``$$`` by ``$``; anything else stays, as in a Pod."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(value, text)


def moved_folder(there: str, here: Path) -> Callable[[str], str]:
    """Puts one folder in the place of another, wherever it and what is in it is named."""
    whole = re.compile(rf"(?<![\w./-]){re.escape(there)}(?![\w.-])")
    return lambda text: whole.sub(lambda _: str(here), text)


def _variables(
    entries: list[Mapping[str, Any]], own: Mapping[str, str], moved: Callable[[str], str]
) -> dict[str, str]:
    """Later entries may refer to earlier ones. A ``valueFrom`` has no meaning here and is left out."""
    found = dict(own)
    for entry in entries:
        name = entry.get("name")
        if name and name not in own and "valueFrom" not in entry:
            found[str(name)] = moved(expand(str(entry.get("value") or ""), found))
    return found


def inherited() -> dict[str, str]:
    """Our own environment, without the way into our database, and with our own Python first."""
    kept = {k: v for k, v in os.environ.items() if k not in PRIVATE}
    # Not resolved: the Python of a virtual environment is a link whose own folder counts.
    own = str(Path(sys.executable).parent)
    return kept | {"PATH": os.pathsep.join([own, kept.get("PATH", os.defpath)])}


def _folder(container: Mapping[str, Any], home: Path | None) -> Path:
    """The container's ``workingDir``, else ``home``, where this machine has it."""
    wanted = (container.get("workingDir"), home)
    return next((Path(folder) for folder in wanted if folder and Path(folder).is_dir()), Path.cwd())
