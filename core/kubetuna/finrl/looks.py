"""Who looked at which held-out test, and when: it is one test, whatever study, folder or store looks at it.

A look is known by the hash of the data before the test. It is found in the study, in all studies of its store, and
in a file of this machine, so that a second study on the same data does not look unseen.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from kubetuna.errors import KubetunaError
from kubetuna.store.reader import existing_store, study_attributes, study_names
from kubetuna.study.record import StudyRecord
from kubetuna.trials.records import FINAL

LEDGER = "looks.jsonl"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a test. ``data``: the hash of what lies before it; ``protocol``: how trials were judged there."""

    study: str
    uid: str
    number: int
    when: str
    by: str
    data: str
    protocol: str


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


def looks_of(record: Mapping[str, Any] | None) -> Iterator[Look]:
    """The looks in the record that ``finalize`` leaves with a study."""
    for found in (record or {}).get("seen") or ():
        if isinstance(found, Mapping) and (look := _look(found)):
            yield look


def known_looks(records: Iterable[Mapping[str, Any] | None], store: str | None) -> list[Look]:
    """Every look in some records, in a store and on this machine, each once, the earliest first."""
    recorded = chain.from_iterable(map(looks_of, records))
    found = {(look.uid, look.number): look for look in (*recorded, *_on_machine(), *_in_store(store))}
    return sorted(found.values(), key=lambda look: (look.when, look.uid, look.number))


def same_test(looks: Sequence[Look], seen: StudyRecord, data: str | None = None) -> list[Look]:
    """Those at the test of a study: its own, those on the same data, and those whose trials were judged alike."""
    own = {look.data for look in looks if look.uid == seen.uid} | {data}
    return [
        look
        for look in looks
        if look.uid == seen.uid
        or (look.data and look.data in own)
        or (look.protocol and look.protocol == seen.protocol)
    ]


def remember(record: Mapping[str, Any]) -> None:
    """Write a record's looks into this machine's file, each once.

    Raises:
        KubetunaError: the file cannot be written, so that the look would be forgotten.
    """
    place, known = ledger(), set(_on_machine())
    lines = "".join(json.dumps(asdict(look)) + "\n" for look in looks_of(record) if look not in known)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        raise KubetunaError(f"{place}: a look at the test cannot be recorded: {error.strerror}") from error


def _on_machine() -> Iterator[Look]:
    try:
        lines = ledger().read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
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
        texts = {f.name: str(found[f.name])[:200] for f in fields(Look)}
        return Look(**texts | {"number": int(found["number"])})  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        return None
