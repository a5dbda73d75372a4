"""Reading studies back, however a person names them: a name, a file, a folder, a store, an Optuna study."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from optuna import Study

from kubetuna.analysis.folder import is_results, read_results, results_under, write_report
from kubetuna.errors import ResultsError
from kubetuna.local.runner import look, look_by_name, store_url
from kubetuna.search.optuna_internals import stored_attributes
from kubetuna.store.reader import ReadStudy, existing_store, study_names
from kubetuna.study.record import StudyRecord, study_record

Source: TypeAlias = "str | Path | Study | StudyRecord | tuple[str | Path, str]"

NAMES = "give its name, an experiment's file, a folder of results, a SQLite file, a store's URL or an Optuna study"
DATABASES = (".db", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"

StudyRecord.write_report = write_report


def load(study: Source, study_name: str | None = None, *, store: str | Path | None = None) -> StudyRecord:
    """Read a study, while it runs or after::

        kubetuna.load("quadratic")                                    # by its name, in the default store
        kubetuna.load("examples/quadratic.yaml", store="other.db")    # by its file, in another store
        kubetuna.load("hpo_experiments/task1_hpo_results")            # a folder of results
        kubetuna.load("sqlite:///kubetuna.db", "quadratic")           # a store, and a name if it holds several

    Args:
        study: a name, an experiment's file, a folder of results, a SQLite file, a store's URL, an Optuna study.
        study_name: which study, where a store or a folder holds several.
        store: where to look for a name: a SQLite file or a URL; else KUBETUNA_STORE, else sqlite:///kubetuna.db.

    Raises:
        KubetunaError: there is no such study; the message has the nearest names.
    """
    return read(study, study_name, store)


def read(source: Source, study_name: str | None = None, store: str | Path | None = None) -> StudyRecord:
    """The one study that ``source`` means.

    Raises:
        KubetunaError: there is none, or there are several; the message says which.
    """
    found = read_all(source, study_name, store)
    if len(found) > 1:
        names = ", ".join(seen.spec.name for seen, _ in found)
        raise ResultsError(f"{source}: holds several studies ({names}); name one")
    return found[0][0]


def read_all(
    source: Source, study_name: str | None = None, store: str | Path | None = None
) -> list[tuple[StudyRecord, Path | None]]:
    """Every study that ``source`` means, each with its folder where it has one.

    Raises:
        KubetunaError: there is none, or it is damaged.
    """
    if isinstance(source, StudyRecord):
        return [(source, None)]
    if isinstance(source, Study):
        return [(_of_optuna(source), None)]
    if not source or not isinstance(source, str | Path | tuple):
        raise ResultsError(f"{source!r} names no study: {NAMES}")
    if isinstance(source, tuple):
        return [(look_by_name(source[1], store_of(source[0])), None)]
    if _is_store(source):
        return [(seen, None) for seen in _in_store(store_of(source), study_name)]
    path = Path(source)
    if path.is_file() or (isinstance(source, str) and not path.is_dir() and path.name == source):
        return [(look(str(source), store_of(store)), None)]
    return _in_folder(path, study_name)


def store_of(source: str | Path | None) -> str:
    """A store's URL, of a URL or the path of a SQLite file; the default one of None."""
    if source is None or "://" in str(source):
        return store_url(None if source is None else str(source))
    return f"sqlite:///{source}"


def _is_store(source: str | Path) -> bool:
    if "://" in str(source) or Path(source).suffix in DATABASES:
        return True
    if not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


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
