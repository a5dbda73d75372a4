"""Attempts that have failed while Pods of theirs are still there: those go first, and only then has such an attempt
ended.

The next attempt would else run beside a Pod that starts after all, or beside the primary Pod of an attempt that
another Pod has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from kubetuna.trials.attempts import AttemptFacts, AttemptKey, ExitFacts
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.workloads.members import is_vague

START_ERROR = "StartError"


@dataclass(frozen=True, slots=True)
class _Failure:
    """How an attempt has failed, and what its primary Pod showed last."""

    exit: ExitFacts
    last: AttemptFacts


class Failing:
    """The attempts of one Experiment that have failed and not ended."""

    def __init__(self) -> None:
        self._failures: dict[AttemptKey, _Failure] = {}

    def exit(self, key: AttemptKey) -> ExitFacts | None:
        """How it has failed, if it has."""
        return self._failures[key].exit if key in self._failures else None

    def note(self, exit_facts: ExitFacts, seen: AttemptFacts) -> None:
        """It has failed, though its primary Pod goes on.

        What names an exit code explains it for good, and what explains it at all does against a workload's word.
        """
        known = self.exit(seen.key)
        kept = known is not None and (known.exit_code is not None or is_vague(exit_facts))
        told = known if known is not None and kept else exit_facts
        self._failures[seen.key] = _Failure(told, seen)

    def explain(self, key: AttemptKey, exit_facts: ExitFacts) -> None:
        """More is known of how it has failed."""
        self._failures[key] = replace(self._failures[key], exit=exit_facts)

    def look(self, seen: AttemptFacts) -> None:
        """What is made anew has not failed; nor does what runs for its start, where nothing has told it to go."""
        known = self._failures.get(seen.key)
        if known is None:
            return
        started = seen.phase == "running" and not seen.stopping and known.exit.reason == START_ERROR
        if started or seen.uid != known.last.uid:
            self.forget(seen.key)

    def forget(self, key: AttemptKey) -> None:
        """It is over, or begins anew."""
        self._failures.pop(key, None)

    def still_there(self, found: dict[AttemptKey, AttemptFacts]) -> list[tuple[AttemptKey, ExitFacts]]:
        """Those of ``found`` that are to go, and how they have failed."""
        there = [key for key in self._failures if key in found and found[key].phase != "ended"]
        return [(key, self._failures[key].exit) for key in there]

    def gone(self, there: Collection[AttemptKey], is_gone: Callable[[AttemptKey], bool]) -> Iterator[AttemptFacts]:
        """Those without a Pod: ended where ``is_gone`` says so, until they are forgotten."""
        for key, failure in list(self._failures.items()):
            if key not in there:
                ended = is_gone(key)
                yield replace(failure.last, phase="ended", exit=failure.exit) if ended else failure.last


class Obstacles:
    """What keeps Pods from starting, and since when that was seen; ``patience`` in seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[str, tuple[str, float]] = {}

    def note(self, pods: Iterable[PodView], now: float) -> None:
        """Only the time with one obstacle counts: a Pod may have waited in a queue, or for another cause before."""
        before, self._since = self._since, {}
        for pod in pods:
            if pod.obstacle:
                what, since = before.get(pod.uid, (pod.obstacle, now))
                self._since[pod.uid] = (pod.obstacle, since if what == pod.obstacle else now)

    def blocks(self, pod: PodView, now: float) -> bool:
        """Whether it has waited too long with the same obstacle."""
        _, since = self._since.get(pod.uid, ("", now))
        return now > since + self._patience
