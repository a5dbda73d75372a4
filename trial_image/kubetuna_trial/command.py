"""What both trainers' command lines share: errors in one line, parameters as options, the choice of a device."""

from __future__ import annotations

from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import torch

from kubetuna_trial.errors import InputError
from kubetuna_trial.memory import is_out_of_memory
from kubetuna_trial.numbers import Number
from kubetuna_trial.wire import announce_out_of_memory, say


class Parser(ArgumentParser):
    """Raises InputError in place of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def guarded(run: Callable[[], int], advice: str) -> int:
    """The exit code of a verb: its own, 2 for bad input, 1 for what failed; a lack of memory is an outcome."""
    try:
        return run()
    except InputError as error:
        say(f"error: {error}")
        return 2
    except FloatingPointError as error:
        say(f"error: {error}")
        return 1
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        announce_out_of_memory()
        say(f"error: out of memory; {advice} ({str(error)[:200]})")
        return 1


class Formatter(ArgumentDefaultsHelpFormatter):
    """Shows each option's default, where it has one."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def add_numbers(group: Any, rules: Mapping[str, Number]) -> None:
    """One option a parameter; its text is parsed with the other sources of parameters."""
    for name, rule in rules.items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help=rule.help)


def given_options(options: Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The options that were given."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def add_final(parser: ArgumentParser) -> None:
    """The word of ``kubetuna finalize``, which writes down who looks before it looks."""
    parser.add_argument("--final", action="store_true", help="with --split test: the look has been recorded")


def refuse_unrecorded(options: Namespace) -> None:
    """Raise InputError where the held-out test would be scored without a record of it."""
    if options.split == "test" and not options.final:
        raise InputError(
            "--split: test is the held-out test, which 'kubetuna finalize STUDY' scores, once, and records that it "
            "did; take --split train or --split validation"
        )


def check_least(options: Namespace, least: Mapping[str, float]) -> None:
    """Raise InputError where an option is below what it must be at least."""
    for name, low in least.items():
        value = getattr(options, name)
        if not value >= low:
            raise InputError(f"--{name.replace('_', '-')}: {value} is not allowed; it must be at least {low:g}")


def device_named(name: str) -> str:
    """``cpu`` or ``cuda``. Raises InputError where it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"--device: {name!r} is not available; it must be auto, cpu or cuda (on a GPU machine)")
    return name
