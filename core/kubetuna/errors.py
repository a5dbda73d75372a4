"""Every error that kubetuna raises on purpose, in one tree.

    KubetunaError
      SpecError            an Experiment that cannot run; carries all of its ``Problem``s
      StoreError           the study store cannot be used as asked
        StoreUnavailable   the database cannot be reached right now: try again
        StoreFenced        another writer has taken the study over: stop at once
        ForeignTrials      another writer added trials: open the study again
        StudyHeld          another live runner holds the study
        StudyNotFound      no such study in the store
        StudyMismatch      the study was started with another, not editable, spec
      SearchExhausted      no proposal satisfies the constraints
        EveryPointTried    the search space has no further point: a good end
      RequestRefused       what a person asks of a trial cannot be done
      BackendMissing       a verb needs a part that is not installed
      ResultsError         a folder of results, or a model, cannot be used as asked

Errors are raised close to their cause and handled at the command line or the controller's loop only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class KubetunaError(Exception):
    """Base of all errors meant for a person."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a spec; ``path`` as Kubernetes writes it: ``spec.parameters[2].name``."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(KubetunaError):
    """An Experiment that is refused, with every problem found in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class StoreError(KubetunaError):
    """The study store cannot be used as asked.

    ``public`` is what anyone may read who sees an Experiment: no address, no name of another study.
    """

    public = "the database cannot be used as asked; the operator's log says why"

    def __init__(self, message: str, public: str = "") -> None:
        self.public = public or self.public
        super().__init__(message)


class StoreUnavailable(StoreError):
    """The database cannot be reached or lost the connection; the same call may succeed later."""

    public = "the database cannot be reached; the operator's log says why"


class StoreFenced(StoreError):
    """Another writer raised the study's epoch: nothing more may be written by this one."""


class ForeignTrials(StoreError):
    """Another writer numbered a trial that we hold in memory under the same number: open the study again."""


class StudyHeld(StoreError):
    """Another live runner holds the study."""


class StudyNotFound(StoreError):
    """No study of that name in the store."""

    public = "there is no such study"


class StudyMismatch(StoreError):
    """The study was started with a spec that differs in a field that cannot be edited."""

    def __init__(self, message: str, public: str = "") -> None:
        super().__init__(message, public or message)


class SearchExhausted(KubetunaError):
    """No point of the search space satisfies the constraints within the allowed number of draws."""


class EveryPointTried(SearchExhausted):
    """There is no point left that was not tried."""


class RequestRefused(KubetunaError):
    """What a person asks of a trial cannot be done; the message says why, and what can be."""


class BackendMissing(KubetunaError):
    """A verb needs a part of kubetuna that is not installed."""


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Around imports of what only an extra brings: says what needs it and what to type.

    Raises:
        BackendMissing: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError:
        words = f"{what} needs an extra that is not installed: pip install 'kubetuna[{extra}]'"
        raise BackendMissing(words) from None


class ResultsError(KubetunaError):
    """A folder of results, or a model made from them, cannot be used as asked."""
