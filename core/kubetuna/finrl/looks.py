"""Who looked at which held-out test, and when: it is one test, whatever study, folder or store looks at it.

A look is known by the hash of the data before the test, and by a sketch of their prices (``kubetuna_trial.marks``),
since a hash changes with an order of rows, a split, or other news beside the same prices. It is found in the study,
in all studies of its store or of its namespace in a cluster, and in two files of this machine, a person's own and
that of everyone, so that a second study on the same data does not look unseen.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna.store.reader import existing_store, study_attributes, study_names
from kubetuna.study.record import StudyRecord
from kubetuna.trials.records import FINAL

LEDGER = "looks.jsonl"
# Everyone's on this machine, whatever home they have; kept over restarts, and written to by anyone.
SHARED, SHARED_VARIABLE = "/var/tmp/kubetuna-looks.jsonl", "KUBETUNA_LOOKS"
# What a trial prints of its data: a series for each price, see ``kubetuna_trial.marks``.
MARKET = "market"
# Of the stretches of two series of prices so many are the same where both lead to the same test: a border elsewhere
# or a piece cut off leaves more; years that were added leave less.
ALIKE = 0.65

Sketch = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a test. ``data``: the hash of what lies before it; ``protocol``: how trials were judged there;
    ``market``: the sketches of the prices before it.
    """

    study: str
    uid: str
    number: int
    when: str
    by: str
    data: str
    protocol: str
    market: tuple[Sketch, ...] = ()


def who() -> str:
    """The person and the machine, as far as they can be told."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def ledger() -> Path:
    """The file of this machine, where the XDG specification wants what a program remembers."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "kubetuna" / LEDGER


def shared_ledger() -> Path:
    """The file of everyone on this machine."""
    return Path(os.environ.get(SHARED_VARIABLE) or SHARED)


def market_of(seen: StudyRecord) -> tuple[Sketch, ...]:
    """The sketches of the prices that a study's trials were trained beside; none where they print none."""
    found = (
        [values for name, values in trial.series.items() if name.partition(" ")[0] == MARKET]
        for trial in seen.trials
    )
    return sketches(next(filter(None, found), []))


def sketches(found: Iterable[Sequence[Any]]) -> tuple[Sketch, ...]:
    """Sketches as a trainer or a file says them."""
    return tuple(tuple(int(mark) for mark in marks) for marks in found if marks)


def alike(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether most of what two sketches are of is the same: both are whole up to the lesser of their ends."""
    end = min(max(one), max(other))
    first, second = ({mark for mark in marks if mark <= end} for marks in (one, other))
    return len(first & second) >= ALIKE * len(first | second)


def looks_of(record: Mapping[str, Any] | None) -> Iterator[Look]:
    """The looks in the record that ``finalize`` leaves with a study."""
    for found in (record or {}).get("seen") or ():
        if isinstance(found, Mapping) and (look := _look(found)):
            yield look


def known_looks(records: Iterable[Mapping[str, Any] | None], store: str | None) -> list[Look]:
    """Every look in some records, in a store and on this machine, each once, the earliest first."""
    recorded = chain.from_iterable(map(looks_of, records))
    found = {
        (look.uid, look.number): look
        for look in (*recorded, *_in(ledger()), *_in(shared_ledger()), *_in_store(store))
    }
    return sorted(found.values(), key=lambda look: (look.when, look.uid, look.number))


def same_test(
    looks: Sequence[Look], seen: StudyRecord, data: str | None = None, market: Sequence[Sketch] = ()
) -> list[Look]:
    """Those at the test of a study: its own, those on the same data, and those whose trials were judged alike.

    ``data`` and ``market``: what is known of the data beside what the study says.
    """
    mine = [look for look in looks if look.uid == seen.uid]
    own = {look.data for look in mine} | {data}
    known = {*market_of(seen), *market, *chain.from_iterable(look.market for look in mine)}
    return [
        look
        for look in looks
        if look.uid == seen.uid
        or (look.data and look.data in own)
        or (look.protocol and look.protocol == seen.protocol)
        or any(alike(one, other) for one in known for other in look.market)
    ]


def remember(record: Mapping[str, Any]) -> None:
    """Write a record's looks into this machine's files, each once.

    Raises:
        KubetunaError: the person's own cannot be written, so that the look would be forgotten.
    """
    place, everyones = ledger(), shared_ledger()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _append(place, _new(record, place), 0o600)
    except OSError as error:
        raise KubetunaError(f"{place}: a look at the test cannot be recorded: {error.strerror}") from error
    # A machine without a place for everyone has the person's own.
    with suppress(OSError):
        _append(everyones, _new(record, everyones), 0o666)


def _new(record: Mapping[str, Any], place: Path) -> bytes:
    known = set(_in(place))
    return "".join(json.dumps(asdict(look)) + "\n" for look in looks_of(record) if look not in known).encode()


def _append(place: Path, text: bytes, mode: int) -> None:
    """Made only where it is absent: Linux refuses to open for making what another user has in a shared folder."""
    how = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(place, how)
    except FileNotFoundError:
        file = os.open(place, how | os.O_CREAT, mode)
        os.fchmod(file, mode)
    with os.fdopen(file, "ab") as opened:
        opened.write(text)


def _in(place: Path) -> Iterator[Look]:
    """The looks in a file. Anyone may write into that of everyone, and put anything in its place."""
    try:
        lines = place.read_text("utf-8", "replace").splitlines() if place.is_file() else []
    except OSError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and (look := _look(found)):
            yield look


def _in_store(url: str | None) -> Iterator[Look]:
    if url is None:
        return
    engine = existing_store(url)
    for name in study_names(engine):
        yield from looks_of((study_attributes(engine, name) or {}).get(FINAL))


def _look(found: Mapping[str, Any]) -> Look | None:
    try:
        texts = {f.name: str(found[f.name])[:200] for f in fields(Look) if f.name != MARKET}
        known = {"number": int(found["number"]), MARKET: sketches(found.get(MARKET) or ())}
        return Look(**texts | known)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
