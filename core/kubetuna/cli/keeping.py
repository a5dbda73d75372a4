"""Where the record of a scored test is kept: in the store, or in a cluster with the Experiment, in the named folder
of results, and on this machine.

All are looked at before the test is, so that any of them alone is enough to refuse a second look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kubetuna.analysis.folder import FINAL, REPORT, report_words
from kubetuna.cli.backends import cluster, in_cluster
from kubetuna.errors import StoreError
from kubetuna.files import read_object, write_json
from kubetuna.finrl.finalize import Keep
from kubetuna.finrl.looks import Look, known_looks, looks_of, remember
from kubetuna.local.runner import look_by_name, store_url
from kubetuna.store.database import open_engine
from kubetuna.store.reader import existing_store, keep_final, names_alike
from kubetuna.study.record import StudyRecord


def keeper(
    target: str, seen: StudyRecord, store: str | None, namespace: str | None
) -> tuple[Path, Keep, Any, list[Look]]:
    """The folder for the final models, what keeps their record, the record that is there, and all known looks."""
    folder = seen.home
    places: list[Callable[[Mapping[str, Any]], None]] = [
        remember,
        lambda record: _into_folder(folder, seen, record),
    ]
    known = [seen.final, read_object(folder / FINAL) if (folder / FINAL).exists() else None]
    place = in_cluster(target, namespace)
    stored = None if place else _stored(seen, store)
    if place is not None:
        places.append(lambda record: cluster().keep_looks(*place, _own_looks(seen, record)))
    if stored is not None:
        url, name = stored
        known.append(look_by_name(name, url).final)
        places.append(lambda record: keep_final(open_engine(url), name, record))

    def keep(record: Mapping[str, Any]) -> None:
        for place in places:
            place(record)

    record = max((k for k in known if k), key=lambda k: int(k.get("looks", 1)), default=None)
    return folder, keep, record, known_looks((record, *seen.others.finals), stored and stored[0])


def _own_looks(seen: StudyRecord, record: Mapping[str, Any]) -> dict[str, str]:
    """A study's own looks as lines, by their numbers."""
    return {str(look.number): json.dumps(asdict(look)) for look in looks_of(record) if look.uid == seen.uid}


def _into_folder(folder: Path, seen: StudyRecord, record: Mapping[str, Any]) -> None:
    write_json(folder / FINAL, record)
    report_words(replace(seen, final=record), folder / REPORT)


def _stored(seen: StudyRecord, store: str | None) -> tuple[str, str] | None:
    """The store that still holds this very study, and its name there; None where there is none."""
    for url in (store, seen.store if "***" not in seen.store else None, store_url(None)):
        try:
            for name in names_alike(existing_store(url), seen.spec.name) if url else ():
                if look_by_name(name, str(url)).uid == seen.uid:
                    return str(url), name
        except StoreError:
            continue
    return None
