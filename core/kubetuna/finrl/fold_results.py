"""The walk-forward results: the best trials' parameters, trained on more and more of the past, block by block.

One validation window is one draw of the market. Here each fold trains on all before its block and is judged on the
block; a trial that leads in one period only, or falls behind a baseline without training, was fitted to its window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from kubetuna.analysis.statistics.intervals import Chances
from kubetuna.analysis.statistics.ranks import Order
from kubetuna.errors import ResultsError
from kubetuna.experiment.model import better, sign_of
from kubetuna.files import read_object
from kubetuna.study.record import StudyRecord

# In the given folder of results, else beside the runs.
RECORD = "walkforward.json"
# Of fewer trials a rank correlation says nothing: two are in order or not.
FEWEST_RANKED = 3
# An order holds where a fold explains at least a quarter of another's variance, and chance hardly ever would.
STEADY, BY_CHANCE = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Block:
    """A fold's block: where it lies, in words, and the objective's value of each baseline on it."""

    span: str
    baselines: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Walked:
    """A trial's parameters: their value in the search, and the objective on each fold's block.

    ``values`` are means over the seeds, each of which is in ``seeds``. ``chances`` are those of the mean over all
    folds, ``folds`` those on each.
    """

    trial: int
    value: float
    values: tuple[float, ...]
    seeds: tuple[tuple[float, ...], ...] = ()
    chances: Chances = field(default_factory=Chances)
    folds: tuple[Chances, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """One entry of ``walkforward.json``, but for what depends on the metric's direction."""
        return {
            "trial": self.trial,
            "value": self.value,
            "values": list(self.values),
            "seeds": [list(values) for values in self.seeds],
            "mean": fmean(self.values),
            **self.chances.as_json(),
            "folds": [one.as_json() for one in self.folds],
        }


def _walked(shown: Mapping[str, Any]) -> Walked:
    return Walked(
        int(shown["trial"]),
        float(shown["value"]),
        tuple(float(value) for value in shown["values"]),
        tuple(tuple(float(value) for value in fold) for fold in shown.get("seeds", ())),
        Chances.from_json(shown),
        tuple(Chances.from_json(fold) for fold in shown.get("folds", ())),
    )


@dataclass(frozen=True, slots=True)
class WalkForward:
    """All folds, at least one. The winner is the first of the ``trials``; the others are in the search's order.

    ``order``: how well the trials' order holds from fold to fold; None with fewer than three trials, or where they
    do not differ.
    """

    study: str
    uid: str
    metric: str
    direction: str
    blocks: tuple[Block, ...]
    trials: tuple[Walked, ...]
    order: Order | None

    @property
    def winner(self) -> Walked:
        """The trial that the study calls the best."""
        return self.trials[0]

    @property
    def behind(self) -> tuple[int, ...]:
        """The folds, from 1, in which some baseline has as much as the winner or more."""
        pairs = enumerate(zip(self.winner.values, self.blocks, strict=True), start=1)
        return tuple(
            number
            for number, (own, block) in pairs
            if not all(better(self.direction, own, other) for other in block.baselines.values())
        )

    @property
    def contenders(self) -> tuple[str, ...]:
        """The baselines that are known on every block."""
        return tuple(name for name in self.blocks[0].baselines if all(name in b.baselines for b in self.blocks))

    def worst(self, values: Sequence[float]) -> float:
        """The worst of some values."""
        return max(values, key=lambda value: sign_of(self.direction) * value)

    def as_json(self) -> dict[str, Any]:
        """The content of ``walkforward.json``."""
        return {
            "study": self.study,
            "uid": self.uid,
            "metric": self.metric,
            "direction": self.direction,
            "folds": len(self.blocks),
            "blocks": [
                {"fold": number, "span": block.span, "baselines": dict(block.baselines)}
                for number, block in enumerate(self.blocks, start=1)
            ],
            "trials": [one.as_json() | {"worst": self.worst(one.values)} for one in self.trials],
            "rank_correlation": None if self.order is None else self.order.correlation,
            "rank_correlation_by_chance": None if self.order is None else self.order.chance,
            "verdict": verdict(self),
        }


def from_json(shown: Mapping[str, Any]) -> WalkForward:
    """Read ``as_json`` back. Where it is something else, KeyError, TypeError, ValueError or AttributeError."""
    blocks = tuple(
        Block(str(block["span"]), {str(name): float(value) for name, value in block["baselines"].items()})
        for block in shown["blocks"]
    )
    trials = tuple(_walked(one) for one in shown["trials"])
    if not blocks or not trials or any(len(one.values) != len(blocks) for one in trials):
        raise ValueError("it needs a value of each trial for each block")
    rank, chance = shown["rank_correlation"], shown["rank_correlation_by_chance"]
    return WalkForward(
        study=str(shown["study"]),
        uid=str(shown["uid"]),
        metric=str(shown["metric"]),
        direction=str(shown["direction"]),
        blocks=blocks,
        trials=trials,
        order=None if rank is None else Order(float(rank), float(chance)),
    )


def verdict(walk: WalkForward) -> str:
    """One sentence: whether the winner stays ahead of the baselines, and whether the order of the trials holds."""
    return f"{_ahead(walk)}; {_order(walk)}."


def _ahead(walk: WalkForward) -> str:
    who, folds = f"In walk-forward, trial {walk.winner.trial}", len(walk.blocks)
    if not walk.contenders:
        return f"{who} has no baseline to beat in {walk.metric}"
    others = ", ".join(name.replace("_", " ") for name in walk.contenders)
    behind = walk.behind
    if not behind:
        return f"{who} stays ahead of {others} in each of {folds} folds"
    if len(behind) == folds:
        return f"{who} is ahead of {others} in none of {folds} folds"
    where = f"fold {', '.join(map(str, behind))}"
    return f"{who} is ahead of {others} in {folds - len(behind)} of {folds} folds, but not in {where}"


def _order(walk: WalkForward) -> str:
    order, count = walk.order, len(walk.trials)
    if count < FEWEST_RANKED:
        return f"judging the order of the trials needs at least {FEWEST_RANKED} of them"
    if order is None:
        return "the trials do not differ, so they have no order"
    if order.chance > BY_CHANCE:
        words = "is indistinguishable from chance"
    else:
        words = "holds" if order.correlation >= STEADY else "holds only roughly"
    return (
        f"the order of the {count} trials from fold to fold {words} (mean rank correlation "
        f"{order.correlation:.2f}; random orders reach that in {order.chance:.2g} of cases)"
    )


def walk_of(seen: StudyRecord) -> WalkForward | None:
    """The results of ``kubetuna walkforward``; None before it ran, or where they are of another study.

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
        remedy = "delete it, then rerun 'kubetuna walkforward'"
        raise ResultsError(f"{path}: is damaged: {type(error).__name__}: {str(error)[:100]}; {remedy}") from error
    return found if (found.study, found.uid) == (seen.spec.name, seen.uid) else None
