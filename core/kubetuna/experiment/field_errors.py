"""What is said of a wrong field: the API machinery's own words, so that a person reads the same from every checker.

``kubectl apply``, the operator's conditions and ``kubetuna plan`` differ in who speaks, not in what is said. The
messages of the CRD's own rules are made here too. After the standard words may follow what helps: the nearest
known name, or what would be right.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence

IMMUTABLE = "field is immutable; give metadata.name another value to start afresh"
_SHOWN = 60
# What other tuners call the same.
_OTHER_WORDS = {
    "float": "double",
    "real": "double",
    "uniform": "double",
    "loguniform": "double",
    "integer": "int",
    "choice": "categorical",
    "enum": "categorical",
    "string": "categorical",
    "bool": "categorical",
    "boolean": "categorical",
    "min": "minimize",
    "max": "maximize",
    "bayes": "gp",
    "bayesian": "gp",
    "bayesopt": "gp",
    "hyperopt": "tpe",
    "gridsearch": "grid",
    "randomsearch": "random",
    "asynchyperband": "asha",
}
_CLASS = re.compile(r"(?:sampler|pruner|search)\Z")


def shown(value: object) -> str:
    """A value as a message shows it: JSON, short, on one line."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError):
        text = repr(value)
    text = printable(text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"


def printable(text: str) -> str:
    """A text whose every character may be shown; names of fields come from strangers, too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def required(hint: str = "") -> str:
    """A field is missing."""
    return f"Required value: {hint}" if hint else "Required value"


def invalid(value: object, rule: str) -> str:
    """A value breaks a rule, which is told from after "the value"."""
    return f"Invalid value: {shown(value)}: {rule}"


def unsupported(value: object, supported: Sequence[str], hint: str = "") -> str:
    """A value is none of a few; the nearest of them is named."""
    allowed = ", ".join(shown(word) for word in supported)
    return f"Unsupported value: {shown(value)}: supported values: {allowed}{_near(value, supported)}{hint}"


def not_found(value: object, hint: str) -> str:
    """An object of this name is not there."""
    return f"Not found: {shown(value)}: {hint}"


def duplicate(value: object) -> str:
    """A value is in a list for the second time."""
    return f"Duplicate value: {shown(value)}"


def unknown(name: object, known: Sequence[str]) -> str:
    """A field is none of the known ones."""
    near = _near(name, known)
    return f"unknown field {shown(name)}{near or '; known: ' + ', '.join(known)}"


def too_many(count: int, limit: int) -> str:
    """A list or an object has too many entries."""
    return f"Too many: {count}: must have at most {limit} items"


def too_long(limit: int) -> str:
    """A text has too many characters, which the API machinery calls bytes and counts as characters, too."""
    return f"Too long: may not be more than {limit} bytes"


def forbidden(why: str) -> str:
    """A field may not be set here."""
    return f"Forbidden: {why}"


def exclusive(other: str) -> str:
    """A field may not be set beside another."""
    return f"mutually exclusive with {other}; keep one of the two"


def not_above(other: str) -> str:
    """A number exceeds that of another field."""
    return f"must be less than or equal to {other}"


def _near(value: object, known: Sequence[str]) -> str:
    word = re.sub(r"[ _-]", "", str(value).lower())
    other = _OTHER_WORDS.get(word)
    # As other tuners' classes are called, and in whatever case.
    named = {one.lower(): one for one in known}
    found = other if other in known else named.get(_CLASS.sub("", word))
    near = [found] if found else difflib.get_close_matches(str(value), known, n=1)
    return f"; did you mean {shown(near[0])}?" if near else ""
