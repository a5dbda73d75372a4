"""What the objects of running attempts say of their own end: asked for one by one, a few in each look.

Only where an attempt has several Pods, or a kind's own conditions decide: the end of a single Pod says it all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.experiment.kinds.template_kind import Conclusion
from kubetuna.trials.attempts import AttemptKey
from kubetuna_operator.kube.api_client import Refused, Unreachable

log = logging.getLogger(__name__)

# Of one that runs, and of one whose primary Pod has ended; and how many are asked for in one look.
RUNNING_SECONDS, ENDED_SECONDS = 10.0, 1.0
ASKED_AT_ONCE = 5


@dataclass(slots=True)
class _Known:
    """When an object was asked for last, since when its primary Pod has ended, and what the object said."""

    asked: float = float("-inf")
    ended: float | None = None
    conclusion: Conclusion | None = None


class Conclusions:
    """``find`` asks for the object of an attempt (None: there is none); ``judge`` reads it."""

    def __init__(
        self,
        find: Callable[[AttemptKey], Mapping[str, Any] | None],
        judge: Callable[[Mapping[str, Any]], Conclusion | None],
    ) -> None:
        self._find, self._judge = find, judge
        self._known: dict[AttemptKey, _Known] = {}

    def look(self, ended: Mapping[AttemptKey, bool], now: float) -> None:
        """Ask for those that are due; ``ended`` says of every attempt whether its primary Pod has."""
        self._known = {key: self._known.get(key) or _Known() for key in ended}
        for key, over in ended.items():
            known = self._known[key]
            known.ended = (known.ended if known.ended is not None else now) if over else None
        due = [key for key, known in self._known.items() if self._is_due(known, now)]
        for key in sorted(due, key=lambda key: (self._known[key].ended is None, self._known[key].asked))[
            :ASKED_AT_ONCE
        ]:
            if not self._ask(key, self._known[key], now):
                # The others would wait as long for nothing.
                break

    def _is_due(self, known: _Known, now: float) -> bool:
        wait = RUNNING_SECONDS if known.ended is None else ENDED_SECONDS
        return known.conclusion is None and not known.asked <= now < known.asked + wait

    def _ask(self, key: AttemptKey, known: _Known, now: float) -> bool:
        """Whether there was an answer."""
        known.asked = now
        try:
            found = self._find(key)
        except (Refused, Unreachable) as error:
            log.warning("the object of trial %s is not seen: %s", key.trial, error)
            return isinstance(error, Refused)
        known.conclusion = self._judge(found) if found is not None else None
        return True

    def of(self, key: AttemptKey) -> Conclusion | None:
        """The conclusion on an attempt, if there is one."""
        return self._known[key].conclusion if key in self._known else None

    def waited(self, key: AttemptKey, now: float) -> float:
        """For how many seconds an attempt has waited for its conclusion."""
        known = self._known.get(key)
        return 0.0 if known is None or known.ended is None else max(0.0, now - known.ended)
