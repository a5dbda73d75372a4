"""``spec.objective`` or ``spec.objectives``, the metrics and their strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import cast

from kubetuna.experiment.field_errors import forbidden, invalid, unsupported
from kubetuna.experiment.model import Direction, Objective, Strategy
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.objective_shape import BELONGS_TO_ONE, BESIDE_SEVERAL, HOLDS_THE_OBJECTIVE


def parse_goals(spec: Fields) -> tuple[tuple[Objective, ...], tuple[str, ...], dict[str, Strategy]]:
    """Objectives, additional metrics and strategies."""
    several, fields = "objectives" in spec, _holder(spec)
    metric, direction = ("metric", "direction") if several else ("objectiveMetricName", "type")
    goals = list(spec.objects("objectives")) if several else [fields]
    found = (_objective(goal, metric, direction) for goal in goals)
    names = {name for goal in goals if (name := goal.text(metric))}
    additional = _additional(fields, names)
    for misplaced in () if several else BESIDE_SEVERAL:
        if misplaced in spec:
            spec.problem(misplaced, forbidden(BELONGS_TO_ONE))
    strategies = _strategies(fields, {*names, *additional})
    return tuple(o for o in found if o is not None), additional, strategies


def _holder(spec: Fields) -> Fields:
    """What holds the fields about further metrics."""
    return spec if "objectives" in spec else spec.child("objective")


def where_further(spec: Fields) -> str:
    """Where a metric gets its name, as the end of a message."""
    return f"; a further metric belongs in {_holder(spec).path}.additionalMetricNames"


def _objective(fields: Fields, metric: str, direction: str) -> Objective | None:
    name, way = fields.text(metric), fields.text(direction)
    return Objective(name, cast(Direction, way), fields.real("goal")) if name and way else None


def _additional(fields: Fields, objectives: Set[str]) -> tuple[str, ...]:
    names = tuple(name for _index, name, _path in fields.items("additionalMetricNames") if isinstance(name, str))
    for name in names:
        if name in objectives:
            fields.problem("additionalMetricNames", invalid(name, HOLDS_THE_OBJECTIVE))
    return tuple(name for name in names if name not in objectives)


def _strategies(fields: Fields, known: set[str]) -> dict[str, Strategy]:
    found: dict[str, Strategy] = {}
    for strategy in fields.objects("metricStrategies"):
        name, value = strategy.text("name"), strategy.text("value")
        if name is not None and name not in known:
            strategy.problem("name", unsupported(name, sorted(known)))
        elif name is not None and value is not None:
            found[name] = cast(Strategy, value)
    return found


def usual_strategies(objectives: Sequence[Objective], additional: Sequence[str]) -> dict[str, Strategy]:
    """Katib's own default: the best value of each curve, by the objective's type. Ours is the latest value."""
    best: dict[str, Strategy] = {"minimize": "min", "maximize": "max"}
    known = [o for o in objectives if o.direction in best]
    found = {o.metric: best[o.direction] for o in known}
    return found | {name: best[o.direction] for o in known[:1] for name in additional}


def parse_directions(spec: Fields) -> dict[str, Direction]:
    """Which way metrics that are no objectives are better, where the file says so."""
    fields = _holder(spec).child("metricDirections")
    found = ((name, fields.text(name)) for name in fields.raw_all())
    return {name: cast(Direction, way) for name, way in found if way}


def parse_prune_on(
    spec: Fields, objectives: Sequence[Objective], additional: Sequence[str], ways: Mapping[str, Direction]
) -> str | None:
    """The metric to prune on; None where that is the only objective."""
    fields = spec.child("earlyStopping")
    name, own = fields.text("pruneOn"), [o.metric for o in objectives]
    if name is None or [name] == own:
        return None
    if name not in (known := (*own, *additional)):
        fields.problem("pruneOn", unsupported(name, known, where_further(spec)))
    elif name not in (*own, *ways):
        fields.problem("pruneOn", invalid(name, f"needs a direction in {_holder(spec).path}.metricDirections"))
    return name
