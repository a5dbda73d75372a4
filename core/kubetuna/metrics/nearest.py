"""The lines that look nearest to a metric that no line gave, and what would have read them.

A trial that printed ``val_loss: 0.25`` where ``loss`` was looked for has not failed for want of a value, and the
person who reads the message should not have to open the log to see that. What is kept is small: one line per name,
and the three nearest names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache

from kubetuna.metrics.filters import PATTERN_LENGTH, compile_filter, default_filter
from kubetuna.metrics.libraries import LIBRARY_FILTERS
from kubetuna.metrics.terminal import is_cut, shown
from kubetuna.trials.masking import LONGEST, masked

KEPT = 3
LOOKED_AT = 1_000
MOST_LOOKS = 10_000
EXCERPT = 80
# "acc" may stand for the accuracy, and "val" for the validation's loss.
BEGINNING = 3
# Names that share less than this with the metric are another thing.
ALIKE = 0.6
NUMBER = r"([+-]?[\d.]+(?:[eE][+-]?\d+)?)"
COLON = rf"([\w./-]+): *{NUMBER}"
# Of a table or a summary, between bars or at the end of its line.
BLANKS = rf"(?:^|[│|:]) *(\S+) +{NUMBER} *(?:[│|]|$)"
# Before a metric's name, and between it and its value; the second also where the name is a word.
BETWEEN = (("", " *[:=] *"), (r"(?:^|[^\w./-])", r"\s+"))
_WORD = re.compile(r"[\w./-]+")

_PAIR = re.compile(
    r"([^\W\d][\w./@%()'-]{0,60})(?:\\{0,2}[\"'])?\s{0,20}[:=|│]?\s{0,20}(?:[\w.]{1,20}\()?"
    r"[+-]?(?:\d[\d.,]{0,30}(?:[eE][+-]?\d+)?|nan|inf)\b"
)
_WORDS = re.compile(r"[a-z0-9]+")


@dataclass(slots=True)
class Nearest:
    """The nearest lines seen so far: name, how near it is, and the line around it. Mutable; one per metric."""

    metric: str
    found: dict[str, tuple[float, str]] = field(default_factory=dict)
    _looks: int = 0
    _beginnings: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self._beginnings = tuple(word[:BEGINNING].encode() for word in _words(self.metric))

    def look(self, line: bytes) -> None:
        """Keep a line that no filter read, if it looks near. Cheap for lines that share no word's beginning."""
        low = line.lower()
        if self._looks < MOST_LOOKS and any(beginning in low for beginning in self._beginnings):
            self._looks += 1
            text = shown(line)[-LOOKED_AT - LONGEST :].decode("utf-8", "replace")
            self._compare(masked(text, begun=is_cut(line) or len(text) > LOOKED_AT)[-LOOKED_AT:])

    def _compare(self, text: str) -> None:
        """Keep a line's nearest name, if it is nearer than those that are kept."""
        pairs = [(likeness(match.group(1), self.metric), match) for match in _PAIR.finditer(text)]
        fresh = (pair for pair in pairs if pair[1].group(1) not in self.found)
        near, match = max(fresh, key=lambda pair: pair[0], default=(0.0, None))
        if match is None or near < ALIKE:
            self._name_itself(text)
            return
        if len(self.found) == KEPT:
            farthest = min(self.found, key=lambda kept: self.found[kept][0])
            if near <= self.found[farthest][0]:
                return
            del self.found[farthest]
        self.found[match.group(1)] = (near, _around(text, match))

    def _name_itself(self, text: str) -> None:
        """Where there is room, keep a line that has the very name, and a number somewhere."""
        match = re.search(rf"(?<!\w){re.escape(self.metric)}(?!\w)", text)
        if match and len(self.found) < KEPT and self.metric not in self.found and any(map(str.isdigit, text)):
            self.found[self.metric] = (ALIKE, _around(text, match))

    def hint(self) -> str:
        """What to say of the nearest lines: what they are, and what would read one of them; empty without any."""
        ordered = sorted(self.found.items(), key=lambda item: -item[1][0])
        if not ordered:
            return ""
        quoted = ", ".join(f"{text!r}" for _, (_, text) in ordered)
        exact = (_exact(self.metric, text) for _, (_, text) in ordered)
        advice = (_advice(self.metric, name, text) for name, (_, text) in ordered)
        return f"nearest: {quoted}{next(filter(None, (*exact, *advice)), '')}"


@lru_cache(maxsize=4096)
def likeness(name: str, metric: str) -> float:
    """How near two names are, from 0 to 1, whatever their case and what joins their words."""
    words, wanted = _words(name), _words(metric)
    if not words or not wanted:
        return 0.0
    if words == wanted:
        return 1.0
    one, other = "".join(words), "".join(wanted)
    if set(words) & set(wanted) or (
        min(len(one), len(other)) > 2 and (one.startswith(other) or other.startswith(one))
    ):
        return 0.9
    return SequenceMatcher(None, one, other).ratio()


def _words(name: str) -> list[str]:
    return _WORDS.findall(name.lower())


def _around(text: str, match: re.Match[str]) -> str:
    start = max(0, min(match.start() - 20, len(text) - EXCERPT))
    excerpt = text[start : max(start + EXCERPT, match.end())][: 2 * EXCERPT]
    return "".join(c if c.isprintable() or c == "\t" else " " for c in excerpt).strip(" ")


def _exact(metric: str, line: str) -> str:
    """Where a line has the very metric, and no filter that is not made for it reads it there: one that does."""
    word = _WORD.fullmatch(metric) is not None
    if metric not in line or (word and any(True for _ in _readers_of(metric, line))):
        return ""
    name = re.escape(metric).replace("\\ ", " ")
    made = (f"{before}({name}){between}{NUMBER}" for before, between in BETWEEN[word:])
    short = (reader for reader in made if len(reader) <= PATTERN_LENGTH)
    found = next((reader for reader in short if _gives(compile_filter(reader)(line), metric)), "")
    return f" (read with metricsFormat: [{_in_quotes(found)}])" if found else ""


def _in_quotes(text: str) -> str:
    """As YAML has it."""
    return "'" + text.replace("'", "''") + "'"


def _advice(metric: str, name: str, line: str) -> str:
    reader = next(_readers_of(name, line), None)
    if reader is None:
        return ""
    wanted = [f"metricsFormat: [{reader}]"] if reader else []
    if name != metric:
        wanted.append(f"the metric's name {name}")
    return f" (read with {' and '.join(wanted)})" if wanted else ""


def _readers_of(name: str, line: str) -> Iterator[str]:
    """Filters that find a value of this name in a line, the default ("") first."""
    if _gives(((one.name, one.value) for one in default_filter((name,))(line)), name):
        yield ""
    for text in (*LIBRARY_FILTERS, COLON, BLANKS):
        if _gives(compile_filter(text)(line), name):
            yield text if text in LIBRARY_FILTERS else _in_quotes(text)


def _gives(pairs: Iterable[tuple[str, str]], name: str) -> bool:
    return any(found == name and any(map(str.isdigit, value)) for found, value in pairs)
