"""``spec.objective`` or ``spec.objectives``, the metrics, their strategies and the collector's filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from kubetuna.experiment.field_errors import invalid, unsupported
from kubetuna.experiment.model import Collector, Direction, Objective, Strategy
from kubetuna.metrics.filters import compile_filter
from kubetuna.parsing.fields import Fields
from kubetuna.parsing.objective_shape import HOLDS_THE_OBJECTIVE


def parse_goals(spec: Fields) -> tuple[tuple[Objective, ...], tuple[str, ...], dict[str, Strategy]]:
    """Objectives, additional metrics and strategies."""
    if "objectives" in spec:
        found = (_objective(fields, "metric", "direction") for fields in spec.objects("objectives"))
        return tuple(o for o in found if o is not None), (), {}
    fields = spec.child("objective")
    objective = _objective(fields, "objectiveMetricName", "type")
    additional = _additional(fields)
    metrics = (fields.text("objectiveMetricName"), *additional)
    strategies = _strategies(fields, {name for name in metrics if name})
    return (() if objective is None else (objective,)), additional, strategies


def _objective(fields: Fields, metric: str, direction: str) -> Objective | None:
    name, way = fields.text(metric), fields.text(direction)
    return Objective(name, cast(Direction, way), fields.real("goal")) if name and way else None


def _additional(fields: Fields) -> tuple[str, ...]:
    names = tuple(name for _index, name, _path in fields.items("additionalMetricNames"))
    objective = fields.text("objectiveMetricName")
    if objective is not None and objective in names:
        fields.problem("additionalMetricNames", invalid(objective, HOLDS_THE_OBJECTIVE))
    return tuple(name for name in names if name != objective)


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
    found = {o.metric: best[o.direction] for o in objectives}
    return found | {name: best[o.direction] for o in objectives[:1] for name in additional}


def parse_directions(spec: Fields) -> dict[str, Direction]:
    """Which way metrics that are no objectives are better, where the file says so."""
    fields = spec.child("objective").child("metricDirections")
    found = ((name, fields.text(name)) for name in fields.raw_all())
    return {name: cast(Direction, way) for name, way in found if way}


def parse_collector(spec: Fields) -> Collector:
    """``spec.metricsCollectorSpec``: only what is read from a log can be had."""
    fields = spec.child("metricsCollectorSpec").child("source").child("filter")
    found = []
    for index, text, _path in fields.items("metricsFormat"):
        try:
            compile_filter(text)
            found.append(text)
        except ValueError as error:
            fields.problem(f"metricsFormat[{index}]", invalid(text, str(error)))
    return Collector(tuple(found))
