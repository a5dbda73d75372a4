"""The commands that make sense next, on the page and in the summary."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TypeAlias

from kubetuna.analysis.report.chart import card
from kubetuna.analysis.report.kinds import FAILED, trial_kind
from kubetuna.analysis.report.result import copyable
from kubetuna.analysis.report.text import esc
from kubetuna.analysis.report.view import View

# Commands, each with a word on what it does.
Commands: TypeAlias = Sequence[tuple[str, str]]


def next_card(view: View, more: Commands = ()) -> str:
    """The commands that come next; ``more`` are a domain's."""
    return card(
        "Next steps",
        f"{command_list(_commands(view, more))}"
        '<p class="small">Add <code>--store URL</code> if the study is not in the default store.</p>',
    )


def command_list(commands: Commands) -> str:
    """Commands that can be copied, each with a word on what it does."""
    lines = "".join(f"<li>{copyable(esc(command))}<span>{esc(what)}</span></li>" for command, what in commands)
    return f'<ul class="commands">{lines}</ul>'


def _commands(view: View, more: Commands) -> Commands:
    name = shlex.quote(view.spec.name)
    found = [] if view.over else [(f"kubetuna status {name}", "show progress")]
    if view.winners:
        found.append((f"kubetuna best {name} --json", "print the best parameters for a script"))
    if view.best is not None:
        found += [*with_the_winner(view, name), *more]
        found.append((f"kubetuna logs {name} {view.best.number}", "show the log of the best trial"))
    failed = next((t for t in view.trials if trial_kind(t) is FAILED), None)
    if failed is not None:
        found.append((f"kubetuna logs {name} {failed.number}", "show the log of the first failed trial"))
    return [
        *found,
        (f"kubetuna trials {name}", "list every trial"),
        ("kubetuna dashboard", "open Optuna Dashboard"),
    ]


def with_the_winner(view: View, name: str) -> list[tuple[str, str]]:
    """What only a study whose template says how a trial is started can do, with what each command does."""
    if not view.spec.template.trial_spec:
        return []
    model = shlex.quote(f"{view.spec.name}_final")
    return [
        (f"kubetuna train {name} --save-path {model}", "train with the best parameters"),
        (f"kubetuna retest {name}", "run the best trials again with more seeds"),
    ]
