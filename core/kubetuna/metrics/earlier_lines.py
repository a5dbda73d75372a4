"""What the lines before a line say of it: it quotes the program, goes on with an object, or is a row of a table.

All of it is small and JSON, so that another process reads on in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kubetuna.metrics.objects import DICT_LENGTH, pair_begun
from kubetuna.metrics.settings import Parentheses

# What ends a line that goes on in the next one.
OPENING_ENDS = (b"{", b"[", b"(", b",")
MAY_GO_ON = b"{[(, \t"
# How a line begins that goes on with an object: json.dumps(indent=…) and pprint indent, or begin with a key.
_CONTINUES = (" ", "\t", '"', "'", "}", "]", ")")


@dataclass(slots=True)
class EarlierLines:
    """Mutable. ``quotes``: the next line is one of the program; ``sets``: it lies in an object of settings.

    ``block``: the lines so far of an object that is not closed, and ``prefix`` what stands before it; ``columns``:
    the heads of the latest table; ``pair``: the line before ended with the first of a pair, as ``('segm',``.
    """

    quotes: bool = False
    sets: bool = False
    block: str = ""
    prefix: str = ""
    columns: Sequence[str] = ()
    pair: str = ""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EarlierLines:
        """As it was stored."""
        return cls(**state)

    def to_state(self) -> dict[str, Any]:
        """What differs from a log's beginning."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def open(self) -> bool:
        """Whether something goes on in the next line."""
        return bool(self.block or self.sets or self.quotes or self.pair)

    def quoted(self, line: bytes) -> bool:
        """Whether a line is the program's or sets something; learns what it says of the next one."""
        quoted = self.sets or (self.quotes and line[:2] == b"  ")
        self.quotes = b"Warning: " in line or (b'", line ' in line and b'File "' in line)
        goes_on = line.rstrip().endswith(OPENING_ENDS)
        self.sets = goes_on and (self.sets or _opens_settings(line))
        return quoted

    def joined(self, line: bytes) -> str | None:
        """The whole object whose last line this is; empty where it goes on; None for a line of its own."""
        text, first = line.decode("utf-8", "replace"), self.pair
        self.pair = pair_begun(text)
        if self.block:
            more = text.removeprefix(self.prefix)
            if more.startswith(_CONTINUES) and len(self.block) + len(more) < DICT_LENGTH:
                return self._go_on(more)
            self.block = ""
        before, brace, after = text.partition("{")
        led = f"{before}{first}{brace}{after}" if first and brace else text
        if len(line) < DICT_LENGTH and line.rstrip().endswith(OPENING_ENDS) and line.count(b"{") > line.count(b"}"):
            self.block, self.prefix = led, before
        return led if first and brace and not self.block else None

    def _go_on(self, text: str) -> str:
        self.block += "\n" + text
        if self.block.count("{") > self.block.count("}"):
            return ""
        whole, self.block = self.block, ""
        return whole


def _opens_settings(line: bytes) -> bool:
    if b"(" not in line:
        return False
    text = line.decode("utf-8", "replace")
    return Parentheses(text).in_settings(len(text))
