"""Opening an experiment's study: made where it is new, checked where it exists.

A study keeps the spec it was started with, the seed that was drawn for it and a uid of its own, so that a run
that goes on later proposes what it would have proposed, and one that was deleted and made anew adopts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine

from kubetuna.errors import StudyMismatch
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.edits import editable_fields, immutable_changes, space_edited, space_faults
from kubetuna.search.space import study_direction
from kubetuna.store.reader import study_attributes
from kubetuna.store.storage import JournaledStorage
from kubetuna.study.begun import as_begun
from kubetuna.study.edited_space import within
from kubetuna.study.study import Study
from kubetuna.study.warm_start import Earlier, take_over
from kubetuna.trials import records

# A user attribute, which Optuna Dashboard shows with the study.
DESCRIPTION = "description"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open study with what is stored about its experiment; ``notes`` say what a warm start left out.

    ``spec`` is the one that was given, with the search that the study was begun with.
    """

    spec: Experiment
    study: Study
    storage: JournaledStorage
    uid: str
    started: float
    notes: tuple[str, ...] = ()


def open_study(
    engine: Engine,
    spec: Experiment,
    study_name: str,
    writer: str,
    now: float,
    draw: Callable[[], int],
) -> Opened:
    """Create or take up the study of ``spec``. ``draw`` gives a fresh random number below 2**31.

    Raises:
        StudyMismatch: the study was started with another spec, in a field that cannot be edited, or an earlier
            study that it is to start from does not exist.
    """
    # Before anything is made: a study that cannot be started leaves no empty one behind.
    known = study_attributes(engine, study_name) or {}
    _refuse_other_spec(known, spec, study_name)
    is_new = records.EXPERIMENT not in known
    earlier = take_over(engine, spec, study_name) if spec.warm_start_studies and is_new else Earlier()
    directions = [study_direction(o.direction) for o in spec.objectives]
    storage = JournaledStorage.open(engine, study_name, directions, writer=writer, seen_as=spec.name)
    attrs = storage.get_study_system_attrs(storage.study_id)
    _refuse_other_spec(attrs, spec, study_name)
    spec, keep = as_begun(spec, attrs), _keeper(storage, attrs)
    if is_new:
        keep(records.USUAL_ALGORITHM, spec.algorithm.name)
    if space_edited(known.get(records.EXPERIMENT), spec.raw):
        _search_again(attrs, keep)
    keep(records.EXPERIMENT, dict(spec.raw), replace=True)
    seed = keep(records.SEED, draw() if spec.algorithm.seed is None else spec.algorithm.seed)
    uid = keep(records.UID, f"{draw():08x}")
    started = keep(records.STARTED, now)
    if spec.claimed is not None:
        keep(records.RESOURCE, spec.claimed, replace=True)
    if spec.description != storage.get_study_user_attrs(storage.study_id).get(DESCRIPTION, ""):
        storage.set_study_user_attr(storage.study_id, DESCRIPTION, spec.description)
    warm: dict[str, Any] = {"points": earlier.points, "notes": earlier.notes}
    if spec.warm_start_studies:
        warm = keep(records.WARM_START, warm)
    for trial in earlier.trials:
        storage.create_new_trial(storage.study_id, trial)
    storage.flush()
    started_from = replace(spec, warm_start=(*spec.warm_start, *within(spec, warm["points"])))
    study = Study(storage, storage, started_from, int(seed))
    return Opened(spec, study, storage, str(uid), float(started), (*warm["notes"], *study.notes))


def _search_again(attrs: Mapping[str, Any], keep: Callable[..., Any]) -> None:
    """Another space has other points: what was said of an end of the search may hold no longer."""
    for said in {records.EXHAUSTED, records.UNSEARCHABLE} & attrs.keys():
        keep(said, "", replace=True)


def _keeper(storage: JournaledStorage, attrs: dict[str, Any]) -> Callable[..., Any]:
    def keep(key: str, value: Any, replace: bool = False) -> Any:
        if key in attrs and not (replace and attrs[key] != value):
            return attrs[key]
        storage.set_study_system_attr(storage.study_id, key, value)
        return value

    return keep


def _refuse_other_spec(attrs: Mapping[str, Any], spec: Experiment, name: str) -> None:
    if records.EXPERIMENT not in attrs:
        return
    afresh = "To start afresh give metadata.name another value, or use another --store."
    changed = immutable_changes(attrs[records.EXPERIMENT], spec.raw)
    if changed:
        raise StudyMismatch(
            f"study {name!r} was started with another spec; changed: {', '.join(changed)}. "
            f"Only {editable_fields()} can be edited. {afresh}"
        )
    faults = space_faults(attrs[records.EXPERIMENT], spec.raw)
    if faults:
        raise StudyMismatch(f"study {name!r} cannot go on in another space: {'; '.join(faults)}. {afresh}")
