"""The verbs that make models of results."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
