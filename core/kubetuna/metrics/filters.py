r"""Katib's metric filters: regular expressions with a group for the name and one for the value.

The default is Katib's own, written so that Python's engine needs linear time for any line. A custom pattern comes
from a spec that somebody else may have written, and Python's engine can be made to run for ever by one, so those
run on RE2: Katib's engine, with its syntax, and linear by construction. ``kubetuna.metrics.lines`` calls both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from kubetuna.metrics.libraries import LIBRARY_FILTERS
from kubetuna.metrics.numbers import SCALAR, number_in
from kubetuna.metrics.settings import Parentheses

# Finding all matches is quadratic in the worst case even where finding one is linear.
FILTERED_LENGTH = 4_096
MATCHES_PER_LINE = 64
PATTERN_LENGTH = 1_000
ADDRESS_LENGTH = 2_000

Pairs = Iterator[tuple[str, str]]


class Assigned(NamedTuple):
    """A name and its value in a line; ``aside``: called the best, the target or the like."""

    name: str
    value: str
    aside: bool


# A word is taken whole whether an assignment follows or not, so no character starts a second search.
# "/" and "." join words here, and Katib's reading is the part after the last of them.
# A number may stand in quotes, and a scalar as its library shows it: loss="0.5", loss=tensor(0.5, grad_fn=…).
_CALLED = rf"(?:(?=[a-zA-Z<]){SCALAR}(?=[\"']?[+-]?[\d.]))?+"
_WRAPPED = rf"{_CALLED}(?:[\"'](?=[+-]?[\d.,_]{{1,40}}(?:[Ee][+-]?\d{{1,4}})?[\"']))?+"
_VALUE = rf"\s*+=\s*+{_WRAPPED}([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)(?=([^\s,;]{{0,20}}))"
_ASSIGNMENT = re.compile(rf"([\w|./-]++)(?:{_VALUE})?", re.ASCII)
_JOINT = re.compile(r"[./]")


# A comparison, the name of a file, what was before: "loss == 0.9", "val_loss=0.40.ckpt", "loss=0.5 -> 0.4".
_NO_REPORT = re.compile(r"=|\.[A-Za-z]|\s{0,3}(?:-{1,2}>|=>|[→⇒➜])\s{0,3}[+-]?[\d.]")
# What is named so is another value of the metric: "loss=0.5 (best loss=0.4)", "[best] loss=0.4", "best/loss=0.4".
_OTHERS = r"(?:best|target|goal|prev(?:ious)?|initial|old|min|max|lowest|highest)"
_OTHER = re.compile(rf"\b{_OTHERS}(?:[ :]|[)\]:] ?)\Z", re.IGNORECASE)
_OTHER_JOINED = re.compile(rf"(?:^|[./]){_OTHERS}[./]", re.IGNORECASE)
_WORD = re.compile(r"[\w|./-]+", re.ASCII)
_ADDRESS_ENDS = re.compile(r"""[\s,;"'<>)\]]""")


def default_filter(known: Collection[str]) -> Callable[[str], Sequence[Assigned]]:
    r"""A function that finds known names and their values in a line, as Katib's default filter does.

    That is ``([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)``.

    Katib reads ``val/acc=0.9`` as ``acc``; where ``val/acc`` is itself ``known``, that is the name. A value that
    is no number is given as it stands in the line rather than as Katib's empty text.
    """
    # A name that is no word ("ndcg@10", "valid_1 auc") is looked for as it is written, between separators.
    odd = sorted((name for name in known if not _WORD.fullmatch(name)), key=len, reverse=True)
    written = re.compile(rf"(?<![\w@:])({'|'.join(map(re.escape, odd))}){_VALUE}", re.ASCII) if odd else None

    def assignments(text: str) -> Iterator[tuple[str, re.Match[str]]]:
        for match in _ASSIGNMENT.finditer(text):
            word, value, _ = match.groups()
            if value is None:
                continue
            name = word if word in known else _JOINT.split(word)[-1]
            if name in known:
                yield name, match

    def in_order(text: str) -> Iterable[tuple[str, re.Match[str]]]:
        if written is None:
            return assignments(text)
        odd_ones = ((match.group(1), match) for match in written.finditer(text))
        return sorted([*assignments(text), *odd_ones], key=lambda pair: pair[1].start())

    def assigned(text: str) -> Sequence[Assigned]:
        around, addressed = Parentheses(text) if "(" in text else None, "://" in text
        found = [
            Assigned(name, _given(match), _is_other(match, name))
            for name, match in in_order(text)
            if _tells(match)
            and not (around and around.in_settings(match.start()))
            and not (addressed and _in_address(match))
        ]
        return sorted(found, key=lambda one: one.aside, reverse=True) if len(found) > 1 else found

    return assigned


def _tells(match: re.Match[str]) -> bool:
    end = match.end(2)
    return match.string[end : end + 4].lstrip()[:1] not in "=.-→⇒➜" or not _NO_REPORT.match(match.string, end)


def _in_address(match: re.Match[str]) -> bool:
    """Whether it is part of a URL: ``https://host/runs?loss=0.9``."""
    before = match.string[max(0, match.start() - ADDRESS_LENGTH) : match.start()]
    _, mark, since = before.rpartition("://")
    return bool(mark) and not _ADDRESS_ENDS.search(since)


def _is_other(match: re.Match[str], name: str) -> bool:
    if _OTHER.search(match.string, max(0, match.start() - 12), match.start()):
        return True
    word = match.group(1)
    return word != name and _OTHER_JOINED.match(word) is not None


def _given(match: re.Match[str]) -> str:
    value, rest = match.group(2), match.group(3)
    return number_in(match.string, *match.span(2)) if any(map(str.isdigit, value)) else value + (rest or "")


def compile_filter(text: str) -> Callable[[str], Pairs]:
    """Compile a custom filter, or a library's by its name, into a function from a line to names and values in it.

    Raises:
        ValueError: too long, no RE2 expression, or fewer than two groups.
    """
    if text in LIBRARY_FILTERS:
        return _all_of([_pairs_of(_compile(found.pattern), found.names) for found in LIBRARY_FILTERS[text]])
    if len(text) > PATTERN_LENGTH:
        raise ValueError(f"{len(text)} characters long; at most {PATTERN_LENGTH} are allowed")
    pattern = _compile(text)
    if pattern.groups < 2:
        raise ValueError(
            "two groups are needed: the first is the metric's name, the second its value; "
            f"or the name of a library: {', '.join(LIBRARY_FILTERS)}"
        )
    return _pairs_of(pattern, ())


def marks_of(filters: Iterable[str]) -> Iterator[str]:
    """What a line has, other than a metric's name, in which one of these filters may find something."""
    return (found.mark for name in filters for found in LIBRARY_FILTERS.get(name, ()) if found.mark)


def _pairs_of(pattern: Any, names: Sequence[str]) -> Callable[[str], Pairs]:
    """What a pattern finds: name and value, or a value for each of the given ``names``."""

    def pairs(line: str) -> Pairs:
        for match in islice(pattern.finditer(line), MATCHES_PER_LINE):
            if names:
                yield from ((name, match.group(at)) for at, name in enumerate(names, 1))
            elif match.group(1) is not None and match.group(2) is not None:
                yield match.group(1).strip(), number_in(line, *match.span(2)).strip()

    return pairs


def _all_of(filters: Sequence[Callable[[str], Pairs]]) -> Callable[[str], Pairs]:
    return lambda line: (pair for pairs in filters for pair in pairs(line))


def _compile(text: str) -> Any:
    try:
        import re2  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise ValueError("custom filters need the package google-re2; install it") from error
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"no RE2 expression: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    found = error.args[0] if error.args else error
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
