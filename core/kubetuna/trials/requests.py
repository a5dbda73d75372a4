"""What a person asks of one trial, as one line: the same in a shell, in the store and in an annotation.

``stop 3`` ends a trial, ``retry 3`` runs a failed one again, ``add lr=0.01`` puts a point before those that the
search proposes, ``withdraw lr=0.01`` takes one that waits back. What becomes of a request is decided in
``kubetuna.study.steering``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kubetuna.errors import RequestRefused
from kubetuna.experiment.field_errors import duplicate, invalid
from kubetuna.trials.records import bounded, timestamp

Verb = Literal["stop", "retry", "add", "withdraw"]

LINE_LIMIT = 10_000
# Of an answer that a status shows.
SHOWN_LIMIT = 300
ALLOWED = "must be 'stop N', 'retry N', 'add NAME=VALUE …' or 'withdraw NAME=VALUE …', with N a trial's number"


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """One request: of trial ``number``, or for a ``point`` whose values are texts yet."""

    verb: Verb
    number: int = -1
    point: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request. ``written``: it still stands where it was written, and must not be heeded again."""

    id: str
    request: str
    accepted: bool
    message: str
    time: float
    written: bool = True

    def as_json(self) -> dict[str, Any]:
        """The documented shape."""
        return {
            "id": self.id,
            "request": bounded(self.request, SHOWN_LIMIT),
            "accepted": self.accepted,
            "message": bounded(self.message, SHOWN_LIMIT),
            "time": timestamp(self.time),
        }


def line_of(words: Sequence[str]) -> str:
    """The words of a command line as one line."""
    return shlex.join(words)


def parse_request(line: str) -> TrialRequest:
    """What a line asks for.

    Raises:
        RequestRefused: it is no request.
    """
    if len(line) > LINE_LIMIT:
        raise RequestRefused(
            f"a request may not be longer than {LINE_LIMIT:,} characters; this one has {len(line):,}"
        )
    match _words(line):
        case ["stop" | "retry" as verb, number] if re.fullmatch(r"\d{1,18}", number, re.ASCII):
            return TrialRequest(verb, int(number))
        case ["add" | "withdraw" as verb, *pairs] if pairs:
            return TrialRequest(verb, point=_point(pairs))
        case _:
            raise RequestRefused(invalid(line, ALLOWED))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise RequestRefused(invalid(line, f"cannot be read ({error}); {ALLOWED}")) from error


def _point(pairs: Sequence[str]) -> dict[str, str]:
    point: dict[str, str] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise RequestRefused(invalid(pair, "must be NAME=VALUE, such as lr=0.01"))
        if name in point:
            raise RequestRefused(f"{bounded(name, SHOWN_LIMIT)}: {duplicate(name)}")
        point[name] = value
    return point
