"""Numbers and durations as people write them, and arithmetic that comes out as on paper."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

# More digits than two exact integers multiplied have, and exponents beyond those of floats.
PAPER = Context(prec=50)


def exact(value: float | int) -> Decimal:
    """The decimal number that is written for a value."""
    # Not the plain repr, which NumPy's own kinds of float write in another way.
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


def number(raw: object) -> float | int | None:
    """A finite number, given as one or as the text of one (Katib's way); else None."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int | float):
        return raw if _fits(raw) else None
    if not isinstance(raw, str) or not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", raw, re.ASCII):
        return None
    value = float(raw)
    if not _fits(value):
        return None
    return int(raw) if re.fullmatch(r"\s*[-+]?\d+\s*", raw, re.ASCII) else value


def _fits(value: int | float) -> bool:
    """Whether a number is finite as a floating-point number, too; an integer of YAML has no end."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def seconds(raw: object) -> float | None:
    """A duration above 0 in seconds: a number of seconds, or ``90s``, ``30m``, ``1h30m``; else None."""
    plain = number(raw)
    if plain is not None:
        return float(plain) if plain > 0 else None
    if not isinstance(raw, str) or not raw.strip():
        return None
    text = raw.strip()
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text, re.ASCII):
        return None
    total = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))
    return total if 0 < total < 1e9 else None
