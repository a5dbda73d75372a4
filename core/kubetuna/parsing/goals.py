"""``spec.objective`` or ``spec.objectives``, the metrics, their strategies and the collector's filters."""

from __future__ import annotations

import re
from typing import Any, cast

from kubetuna.experiment.model import Collector, Direction, Objective, Strategy
from kubetuna.metrics.filters import compile_filter
from kubetuna.parsing.fields import Fields, shown

METRIC = re.compile(r"[A-Za-z0-9_./|-]+\Z")
METRIC_LIMIT = 128
OBJECTIVE_LIMIT = 8
ADDITIONAL_LIMIT = 50
FILTER_LIMIT = 20
DIRECTIONS = ("minimize", "maximize")


def parse_goals(spec: Fields) -> tuple[tuple[Objective, ...], tuple[str, ...], dict[str, Strategy]]:
    """Objectives, additional metrics and strategies."""
    if "objective" in spec and "objectives" in spec:
        spec.problem("objectives", "cannot be joined with objective; keep one of the two")
    if "objectives" in spec:
        return _several(spec)
    if "objective" not in spec:
        spec.problem("objective", "must be specified: {type: maximize, objectiveMetricName: NAME}")
        return (), (), {}
    return _one(spec.child("objective"))


def _one(fields: Fields) -> tuple[tuple[Objective, ...], tuple[str, ...], dict[str, Strategy]]:
    fields.known(("type", "goal", "objectiveMetricName", "additionalMetricNames", "metricStrategies"))
    direction = fields.text("type", words=DIRECTIONS)
    if "type" not in fields:
        fields.problem("type", "is needed: minimize or maximize")
    metric = _metric(fields, "objectiveMetricName")
    additional = _additional(fields, metric)
    strategies = _strategies(fields, {n for n in (metric, *additional) if n})
    goal = fields.number("goal")
    if direction is None or metric is None:
        return (), additional, strategies
    return (Objective(metric, cast(Direction, direction), _float(goal)),), additional, strategies


def _several(spec: Fields) -> tuple[tuple[Objective, ...], tuple[str, ...], dict[str, Strategy]]:
    found: list[Objective] = []
    for index, item, path in spec.items("objectives"):
        fields = Fields(item, path, spec.problems)
        fields.known(("metric", "direction", "goal"))
        metric = _metric(fields, "metric")
        direction = fields.text("direction", words=DIRECTIONS)
        if "direction" not in fields:
            fields.problem("direction", "is needed: minimize or maximize")
        goal = fields.number("goal")
        if metric is not None and metric in {o.metric for o in found}:
            fields.problem("", f"{metric!r} is there twice")
        elif metric is not None and direction is not None:
            found.append(Objective(metric, cast(Direction, direction), _float(goal)))
        if index >= OBJECTIVE_LIMIT:
            spec.problem("objectives", f"more than {OBJECTIVE_LIMIT} objectives")
            break
    if not spec.raw("objectives"):
        spec.problem("objectives", "at least one objective is needed")
    return tuple(found), (), {}


def _float(value: float | int | None) -> float | None:
    return None if value is None else float(value)


def _metric(fields: Fields, field: str) -> str | None:
    name = fields.text(field)
    if name is None:
        if field not in fields:
            fields.problem(field, "is needed: the metric that the trials print")
        return None
    return name if _is_metric(fields, field, name) else None


def _is_metric(fields: Fields, field: str, name: Any) -> bool:
    if isinstance(name, str) and METRIC.match(name) and len(name) <= METRIC_LIMIT:
        return True
    rule = f"letters, digits and _ . / | -, at most {METRIC_LIMIT} characters"
    fields.problem(field, f"{shown(name)} is no metric name: {rule}")
    return False


def _additional(fields: Fields, objective: str | None) -> tuple[str, ...]:
    found: list[str] = []
    for index, name, _path in fields.items("additionalMetricNames"):
        field = f"additionalMetricNames[{index}]"
        if not _is_metric(fields, field, name):
            continue
        if name == objective:
            fields.problem("additionalMetricNames", f"{name!r} is the objective already")
        elif name in found:
            fields.problem(field, f"{name!r} is there twice")
        else:
            found.append(name)
    if len(found) > ADDITIONAL_LIMIT:
        fields.problem("additionalMetricNames", f"more than {ADDITIONAL_LIMIT} metrics")
    return tuple(found)


def _strategies(fields: Fields, known: set[str]) -> dict[str, Strategy]:
    found: dict[str, Strategy] = {}
    for _index, item, path in fields.items("metricStrategies"):
        strategy = Fields(item, path, fields.problems)
        strategy.known(("name", "value"))
        name = strategy.text("name")
        value = strategy.text("value", words=("min", "max", "latest"))
        if name is not None and name not in known:
            strategy.problem("name", f"{name!r} is none of the metrics: {', '.join(sorted(known))}")
        elif name is not None and name in found:
            strategy.problem("", f"{name!r} is there twice")
        elif name is not None and value is not None:
            found[name] = cast(Strategy, value)
        if "value" not in strategy:
            strategy.problem("value", "is needed: min, max or latest")
    return found


def parse_collector(spec: Fields) -> Collector:
    """``spec.metricsCollectorSpec``: only what is read from a log can be had."""
    fields = spec.child("metricsCollectorSpec")
    fields.known(("collector", "source"))
    collector = fields.child("collector")
    collector.known(("kind", "customCollector"))
    kind = collector.text("kind", "StdOut")
    if kind != "StdOut":
        collector.problem("kind", f"{kind!r} is not supported: metrics are read from the trial's log; use StdOut")
    source = fields.child("source")
    source.known(("filter", "fileSystemPath", "httpGet"))
    for field in ("fileSystemPath", "httpGet"):
        if field in source:
            source.problem(field, "is not for collector kind StdOut")
    filters = source.child("filter")
    filters.known(("metricsFormat",))
    return Collector(tuple(_filters(filters)))


def _filters(fields: Fields) -> list[str]:
    found = []
    for index, text, _path in fields.items("metricsFormat"):
        if index >= FILTER_LIMIT:
            fields.problem("metricsFormat", f"more than {FILTER_LIMIT} filters")
            break
        try:
            if not isinstance(text, str) or len(text) > 500:
                raise ValueError("must be a regular expression of at most 500 characters")
            compile_filter(text)
            found.append(text)
        except ValueError as error:
            fields.problem(f"metricsFormat[{index}]", f"{shown(text)}: {error}")
    return found
