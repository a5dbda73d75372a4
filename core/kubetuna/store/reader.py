"""Reading studies without becoming their writer: which there are, and one of them whole."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import Engine, func, select

from kubetuna.errors import StudyNotFound
from kubetuna.experiment.model import object_name
from kubetuna.store.database import open_engine, place, reading, writing
from kubetuna.store.fencing import load_directions
from kubetuna.store.loading import load_attributes, load_trials
from kubetuna.store.schema import check_schema
from kubetuna.store.tables import INTERMEDIATE, STUDIES, STUDY_SYSTEM, TRIALS, VALUES, upsert
from kubetuna.trials.records import FINAL, PROTOCOL, dumps


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """A study as it stood in one transaction."""

    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]


def study_names(engine: Engine) -> list[str]:
    """The names of all studies in a store, sorted."""
    with reading(engine) as connection:
        return sorted(connection.execute(select(STUDIES.c.study_name)).scalars())


def read_study(engine: Engine, name: str) -> ReadStudy:
    """Read one study whole.

    Raises:
        StudyNotFound: there is none of that name; the message names the nearest ones.
    """
    if engine.dialect.name == "sqlite":
        _refuse_absent_file(engine, f", so no study {name!r}")
    check_schema(engine)
    name = stored_name(engine, name)
    study_id = read_study_id(engine, name)
    with reading(engine) as connection:
        user, system = load_attributes(connection, study_id)
        directions = load_directions(connection, study_id)
        trials = tuple(load_trials(connection, study_id))
    return ReadStudy(name, directions, user, system, trials)


def keep_final(engine: Engine, name: str, record: Mapping[str, Any]) -> None:
    """Keep what ``finalize`` found with the study, whoever its writer is.

    Raises:
        StudyNotFound: it is gone.
    """
    study_id = read_study_id(engine, stored_name(engine, name))
    row = {"study_id": study_id, "key": FINAL, "value_json": dumps(record)}
    with writing(engine) as connection:
        upsert(connection, STUDY_SYSTEM, [row], ("study_id", "key"), ("value_json",))


def study_attributes(engine: Engine, name: str) -> Mapping[str, Any] | None:
    """The study's system attributes; None where there is no such study."""
    try:
        study_id = read_study_id(engine, name)
    except StudyNotFound:
        return None
    with reading(engine) as connection:
        return load_attributes(connection, study_id)[1]


@dataclass(frozen=True, slots=True)
class Others:
    """What a store knows of its other studies: their records of held-out tests, and how many trials with a value
    they had that were judged by the same protocol.
    """

    finals: tuple[Mapping[str, Any], ...] = ()
    alike: int = 0


def other_studies(engine: Engine, found: ReadStudy) -> Others:
    """The others beside a study."""
    wanted = STUDY_SYSTEM.c.key.in_((FINAL, PROTOCOL)) & (STUDIES.c.study_name != found.name)
    joined = select(STUDY_SYSTEM).join(STUDIES, STUDIES.c.study_id == STUDY_SYSTEM.c.study_id).where(wanted)
    with reading(engine) as connection:
        rows = [(row.study_id, row.key, json.loads(row.value_json)) for row in connection.execute(joined)]
        protocol = found.system_attrs.get(PROTOCOL)
        alike = [study for study, key, value in rows if key == PROTOCOL and value == protocol]
        scored = TRIALS.c.trial_id.in_(select(VALUES.c.trial_id).union(select(INTERMEDIATE.c.trial_id)))
        query = select(func.count()).select_from(TRIALS).where(TRIALS.c.study_id.in_(alike) & scored)
        count = connection.execute(query).scalar() if alike else 0
    return Others(tuple(value for _, key, value in rows if key == FINAL and isinstance(value, dict)), count or 0)


def newest_study(engine: Engine, name: str) -> str | None:
    """The newest study of this name, or whose name begins with it and a slash."""
    column, begun = STUDIES.c.study_name, f"{name}/"
    # No LIKE: what is looked for is a person's text, and SQLite's LIKE heeds no case.
    wanted = (column == name) | (func.substr(column, 1, len(begun)) == begun)
    with reading(engine) as connection:
        query = select(column).where(wanted).order_by(STUDIES.c.study_id.desc()).limit(1)
        found: str | None = connection.execute(query).scalar()
        return found


def stored_name(engine: Engine, name: str) -> str:
    """The study of that name, else the only local one whose Experiment is called so, without its underscores."""
    alike = names_alike(engine, name)
    return alike[0] if name not in alike and len(alike) == 1 else name


def names_alike(engine: Engine, name: str) -> list[str]:
    """The local studies whose Experiment has this name, whatever they are called themselves."""
    return [one for one in study_names(engine) if one == name or ("/" not in one and object_name(one) == name)]


def read_study_id(engine: Engine, name: str) -> int:
    """The study's id.

    Raises:
        StudyNotFound: there is none of that name.
    """
    with reading(engine) as connection:
        found: int | None = connection.execute(
            select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)
        ).scalar()
    if found is None:
        raise StudyNotFound(_absent(name, study_names(engine), place(engine.url)))
    return found


def existing_store(url: str) -> Engine:
    """A store that is there and can be read.

    Raises:
        StudyNotFound: it is a SQLite file that does not exist.
        StoreUnavailable: it cannot be reached.
    """
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        _refuse_absent_file(engine, "")
    study_names(engine)
    return engine


def _refuse_absent_file(engine: Engine, then: str) -> None:
    from pathlib import Path

    # Opening it would make an empty database, which nobody asked for.
    if not Path(str(engine.url.database)).exists():
        raise StudyNotFound(
            f"no store at {place(engine.url)}{then}; name its store (--store, in Python store=), or run it first"
        )


def _absent(name: str, known: list[str], where: str) -> str:
    alike = difflib.get_close_matches(name, known, n=3)
    near = alike or known[:5]
    more = f" and {len(known) - len(near)} more" if len(known) > len(near) and not alike else ""
    hint = f"; there is {', '.join(map(repr, near))}{more}" if near else "; the store has no study yet"
    return f"no study {name!r} in {where}{hint}"
