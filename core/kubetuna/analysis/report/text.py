"""Text as the page writes it: escaped for HTML, for chart labels and for a script element; short numbers.

Anything that comes from a trial or a spec may be hostile, so nothing reaches the page but through this module.
Charts read a little HTML in their labels, hence an escape of their own.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubetuna.parsing.yaml_text import plain
from kubetuna.trials.environment import short

LABEL_LIMIT = 28
TEXT_LIMIT = 300

# U+2028 and U+2029 end a line in older JavaScript; the rest could close or open an element.
_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def esc(value: object) -> str:
    """Text for an element or a quoted attribute."""
    return html.escape(printable(value), quote=True)


def printable(value: object) -> str:
    """Text without control characters and without marks that turn the reading direction round."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def label(value: object, limit: int = LABEL_LIMIT) -> str:
    """Text for a chart: cut in the middle, and no markup to plotly, which reads a few tags and entities."""
    text = cut(str(value), limit)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """Text of bounded length; the middle goes first, since names differ at their ends."""
    clean = printable(text)
    if len(clean) <= limit:
        return clean
    tail = (limit - 1) // 2
    return f"{clean[: limit - 1 - tail]}…{clean[-tail:]}"


def safe_json(value: object) -> str:
    """JSON that may stand inside a script element; never NaN or Infinity."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_SCRIPT).encode("utf-8", "replace").decode("utf-8")


def finite(value: object) -> float | None:
    """A finite float, or None for anything else, booleans and numbers too large for a float included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def number(value: object) -> str:
    """A number short enough to read; a dash for none."""
    found = finite(value)
    if found is None:
        return "–"
    if isinstance(value, int) and abs(value) < 10**9:
        return f"{value:,}"
    return f"{found:.6g}"


def interval_words(found: Mapping[str, Any]) -> str:
    """What is known of a figure's chance, from ``Chances`` as JSON: of the market and of training, each apart."""
    both, market, training = (found.get(n) for n in ("interval", "marketInterval", "trainingInterval"))
    if market and training and both:
        return f"95 % interval {span(*both)}; market alone {span(*market)}, training alone {span(*training)}"
    if market:
        return f"95 % interval of the market alone {span(*market)}; one seed says nothing of training"
    if both:
        return f"95 % interval {span(*both)}{', of training alone' if training else ''}"
    return "no interval: one seed says nothing of chance"


def span(low: float, high: float) -> str:
    """An interval: ``0.1 to 0.3``."""
    return f"{number(low)} to {number(high)}"


def scalar(value: object) -> str:
    """A parameter's value as YAML shows it: text that would read as something else is quoted."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, str):
        return short(value)
    text = value
    return f'"{text}"' if isinstance(value, str) and plain(text) != text else text


def moment(seconds: float | None) -> str:
    """A time in UTC, to the minute."""
    if seconds is None:
        return "–"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "–"
