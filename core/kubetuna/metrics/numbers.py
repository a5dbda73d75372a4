"""Which texts and values are a finite number or a step, and where a number in a text really ends.

A filter's expression may stop at the first digit group of ``1,234.5``, at the first part of ``0:01:30`` or at the
zero of ``0x1F``. What it stopped in is one word to a person, so it is read as a whole or not at all.
"""

from __future__ import annotations

import math
import re

STEP_LIMIT = 2**31 - 1

_EXPONENT = r"(?:[Ee][+-]?\d+)?"
_NUMBER = re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}\Z", re.ASCII)
_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:(?:,\d{{3}})+|(?:_\d{{3}})+)(?:\.\d*)?{_EXPONENT}\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,10}(?:\.\d*)?\Z", re.ASCII)
# Digits joined by what people write between digits: thousands, decimals, times, spaces that do not break.
_JOINTS = ",._':\u00a0\u2009\u202f"
_JOINED = re.compile(rf"[+-]?[\d{_JOINTS}]*\d(?:[Ee][+-]?\d+)?", re.ASCII)
_LIST = re.compile(r"[+-]?\d*\.\d+(?:,\d*\.\d+)+\Z", re.ASCII)
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]+")
# What makes another number of the one before it: a fraction, a date or a range, a power of ten, thousands of it.
_MORE = re.compile(
    r"(?:[/-]\d[\d./-]{0,20}|\s?[x×*·]\s?10(?:\^|\*\*|[⁻⁰¹²³⁴-⁹])\S{0,6}|[kKMGTB](?![\w%/]))", re.ASCII
)
_MORE_BEGINS = "/-x×*·kKMGTB"

# How libraries print one number: tensor(0.5, …), np.float64(0.5), Array(0.5, …), Decimal('0.5'), a tf.Tensor.
SCALAR = (
    r"(?:(?:\w{1,12}\.)?(?:[tT]ensor|[aA]rray|DeviceArray|Decimal|b?float\d{0,3}|longdouble|u?int\d{0,3})\("
    r"|<tf\.Tensor:[ ]shape=\(\),[ ]dtype=\w{1,12},[ ]numpy=)"
)


def finite(raw: object) -> float | None:
    """A finite number of a JSON number, or of the text of one; else None. Booleans are no numbers."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str):
        raw = raw.strip()
        if not _NUMBER.match(raw):
            if not _GROUPED.match(raw):
                return None
            raw = raw.replace(",", "").replace("_", "")
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def step_of(raw: object) -> int | float | None:
    """A step, or a place between two (half an epoch), of a JSON number or the text of one; None if out of range."""
    if isinstance(raw, str) and _DECIMAL.match(raw.strip()):
        raw = float(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= STEP_LIMIT:
        return None
    return int(raw) if isinstance(raw, int) or raw.is_integer() else raw


def number_in(text: str, start: int, end: int) -> str:
    """The number of which a filter found this much, with all that belongs to it."""
    found = text[start:end]
    if end >= len(text) or not found[-1:].isdigit():
        return found
    if (text[end] if text[end] != " " else text[end + 1 : end + 2]) in _MORE_BEGINS and (
        more := _MORE.match(text, end)
    ):
        return found + more.group()
    if end + 1 == len(text):
        return found
    if text[end] in "xX" and (word := _HEXADECIMAL.match(text, start)):
        return word.group()
    if text[end] not in _JOINTS or not text[end + 1].isdigit():
        return found
    word = _JOINED.match(text, start)
    return found if word is None or _LIST.match(word.group()) else word.group()
