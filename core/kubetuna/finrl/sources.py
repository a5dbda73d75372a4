"""Whatever a person may name a study by: a folder, a store and a name, an Optuna study, or what was read before."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from optuna import Study

from kubetuna.analysis.folder import is_results, read_results, results_under
from kubetuna.errors import ResultsError
from kubetuna.local.runner import look_by_name
from kubetuna.search.optuna_internals import stored_attributes
from kubetuna.store.reader import ReadStudy, existing_store, study_names
from kubetuna.study.record import StudyRecord, study_record

Source: TypeAlias = "str | Path | Study | StudyRecord | tuple[str | Path, str]"


def read(source: Source, study_name: str | None = None) -> StudyRecord:
    """The one study that ``source`` means.

    Raises:
        KubetunaError: there is none, or there are several; the message says which.
    """
    found = read_all(source, study_name)
    if len(found) > 1:
        names = ", ".join(seen.spec.name for seen, _ in found)
        raise ResultsError(f"{source}: holds several studies ({names}); name one")
    return found[0][0]


def read_all(source: Source, study_name: str | None = None) -> list[tuple[StudyRecord, Path | None]]:
    """Every study that ``source`` means, each with its folder where it has one.

    Raises:
        KubetunaError: there is none, or it is damaged.
    """
    if isinstance(source, StudyRecord):
        return [(source, None)]
    if isinstance(source, Study):
        return [(_of_optuna(source), None)]
    if isinstance(source, tuple):
        return [(look_by_name(source[1], store_of(source[0])), None)]
    if "://" in str(source) or Path(source).is_file():
        return [(seen, None) for seen in _in_store(store_of(source), study_name)]
    return _in_folder(Path(source), study_name)


def store_of(source: str | Path) -> str:
    """A store's URL, of a URL or the path of a SQLite file."""
    return str(source) if "://" in str(source) else f"sqlite:///{source}"


def _in_store(url: str, name: str | None) -> list[StudyRecord]:
    if name is not None:
        return [look_by_name(name, url)]
    names = study_names(existing_store(url))
    if not names:
        raise ResultsError(f"{url}: holds no study")
    return [look_by_name(one, url) for one in names]


def _in_folder(folder: Path, name: str | None) -> list[tuple[StudyRecord, Path | None]]:
    if not folder.is_dir():
        raise ResultsError(
            f"{folder}: there is no such folder; give a folder of results, or a store's URL and a name"
        )
    places = [folder] if is_results(folder) else results_under(folder)
    found: list[tuple[StudyRecord, Path | None]] = [(read_results(place), place) for place in places]
    chosen = [(seen, place) for seen, place in found if name in (None, seen.spec.name)]
    if not chosen:
        known = ", ".join(seen.spec.name for seen, _ in found)
        raise ResultsError(f"{folder}: holds no results{f' of {name}; it holds {known}' if found else ''}")
    return chosen


def _of_optuna(study: Study) -> StudyRecord:
    read_study = ReadStudy(
        study.study_name,
        tuple(study.directions),
        study.user_attrs,
        stored_attributes(study),
        tuple(study.get_trials(deepcopy=False)),
    )
    return study_record(read_study, "")
