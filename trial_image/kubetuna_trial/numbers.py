"""Numeric parameters of a trainer: the range that works, and the one that the contest's guide searches.

What is accepted is wider than the guide's ranges; what cannot work is refused with the name, the value and what
is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna_trial.errors import InputError


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric parameter."""

    whole: bool
    low: float
    high: float
    default: float
    guide: str
    meaning: str

    @property
    def help(self) -> str:
        """A line of ``--help``."""
        default = int(self.default) if self.whole else self.default
        return f"{self.meaning} ({self.guide}; default {default})".replace("%", "%%")


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise InputError, with the nearest known name, where a parameter does not exist."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InputError(f"there is no parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def parse_numbers(rules: Mapping[str, Number], given: Mapping[str, Any]) -> dict[str, float]:
    """The value of each, as JSON or text; what is absent has its default. Raises InputError."""
    return {name: _number(name, rule, given.get(name, rule.default)) for name, rule in rules.items()}


def _number(name: str, rule: Number, value: object) -> float:
    allowed = f"{'a whole number' if rule.whole else 'a number'} from {rule.low:g} to {rule.high:g}"
    try:
        number = float(str(value)) if not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not rule.low <= number <= rule.high or (rule.whole and not number.is_integer()):
        raise InputError(f"{name}: {value!r} is not allowed; it must be {allowed}")
    return number
