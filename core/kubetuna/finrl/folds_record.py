"""Where the record of walking forward lies: in the folder of results that a person named, else beside the runs."""

from __future__ import annotations

from kubetuna.errors import ResultsError
from kubetuna.files import read_object
from kubetuna.finrl.fold_results import WalkForward, from_json
from kubetuna.study.record import Seen

RECORD = "walkforward.json"


def walk_of(seen: Seen) -> WalkForward | None:
    """What ``kubetuna walkforward`` found; None before it was asked, or where it was of another study.

    Raises:
        ResultsError: the record is damaged.
    """
    places = [folder / RECORD for folder in (seen.results, seen.folder) if folder is not None]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        return None
    try:
        found = from_json(read_object(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        remedy = "delete it, and 'kubetuna walkforward' makes it again"
        raise ResultsError(f"{path}: is damaged: {type(error).__name__}: {str(error)[:100]}; {remedy}") from error
    return found if (found.study, found.uid) == (seen.spec.name, seen.uid) else None
