"""What is left of a trial's earlier attempts, which the next one waits for.

Such Pods hold GPUs and write what the next attempt reads; and what made a Pod that was taken away may make it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kubetuna.experiment.kinds.template_kind import is_primary
from kubetuna.trials.attempts import AttemptKey
from kubetuna_operator.pods.status import PodView, facts


def left_over(
    pods: Iterable[PodView], key: AttemptKey, wanted: Mapping[str, str], now: float, lost_after: float
) -> PodView | None:
    """A Pod of an earlier attempt of this trial that has not ended, though the one that is read has."""
    earlier = (p for p in pods if p.key.trial == key.trial and p.key.attempt < key.attempt)
    others = (p for p in earlier if not is_primary(p.labels, wanted))
    return next((p for p in others if facts(p, now, lost_after).phase != "ended"), None)


def taken_away(pods: Iterable[PodView], key: AttemptKey, wanted: Mapping[str, str]) -> AttemptKey | None:
    """The attempt before, where none of its ``pods`` that could be read is there and stays."""
    before = replace(key, attempt=key.attempt - 1)
    own = (pod for pod in pods if pod.key == before and (not wanted or is_primary(pod.labels, wanted)))
    stays = any(pod.exit is not None and pod.deleted is None for pod in own)
    return None if stays else before
