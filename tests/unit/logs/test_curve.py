"""How a trial's lines, over all of its attempts, become one curve and one value per metric."""

from __future__ import annotations

from typing import Any

from kubetuna.logs.curve import Curve, joined
from kubetuna.logs.lines import MetricLine, SeriesPart


def feed(curve: Curve, *lines: tuple[int | None, float], known: dict[int, float] | None = None) -> list[Any]:
    steps = {} if known is None else known
    found = []
    for step, value in lines:
        point = curve.accept(MetricLine(step, {"loss": value}), steps)
        if point is not None:
            steps[point.step] = point.value
        found.append(point and (point.step, point.value, point.in_order))
    return found


def test_the_first_value_of_a_step_counts_and_the_last_line_is_the_objective() -> None:
    curve = Curve("loss", {}, {})
    assert feed(curve, (1, 5.0), (1, 4.0), (2, 3.0)) == [(1, 5.0, True), None, (2, 3.0, True)]
    assert curve.values() == {"loss": 3.0}


def test_a_step_below_the_last_is_kept_but_never_pruned_on() -> None:
    assert feed(Curve("loss", {}, {}), (5, 1.0), (3, 2.0), (6, 3.0)) == [
        (5, 1.0, True),
        (3, 2.0, False),
        (6, 3.0, True),
    ]


def test_lines_without_a_step_are_numbered_per_attempt() -> None:
    curve, known = Curve("loss", {}, {}), {}
    assert [p[0] for p in feed(curve, (None, 1.0), (None, 2.0), known=known)] == [0, 1]
    curve.begin_attempt()
    assert feed(curve, (None, 9.0), (None, 8.0), (None, 7.0), known=known) == [None, None, (2, 7.0, True)]


def test_a_later_attempt_keeps_the_curve_and_gives_the_value() -> None:
    curve, known = Curve("loss", {}, {}), {}
    feed(curve, (1, 5.0), (2, 4.0), known=known)
    curve.begin_attempt()
    feed(curve, (2, 3.5), known=known)
    assert known == {1: 5.0, 2: 4.0} and curve.values() == {"loss": 3.5}


def test_strategies() -> None:
    for strategy, value in (("latest", 2.0), ("min", 1.0), ("max", 3.0)):
        curve = Curve("loss", {"loss": strategy}, {})
        feed(curve, (1, 3.0), (2, 1.0), (3, 2.0))
        assert curve.values() == {"loss": value}


def test_an_invalid_last_value_takes_the_value_away() -> None:
    curve = Curve("loss", {}, {})
    feed(curve, (1, 3.0))
    curve.accept(MetricLine(2, {}, {"loss": "nan"}), {})
    assert curve.values() == {} and curve.invalid == {"loss": "nan"}
    feed(curve, (3, 2.0))
    assert curve.values() == {"loss": 2.0} and curve.invalid == {}


def test_the_state_reads_back() -> None:
    curve = Curve("loss", {"loss": "min"}, {})
    feed(curve, (None, 3.0), (None, 1.0), (None, 2.0))
    again = Curve("loss", {"loss": "min"}, curve.to_state())
    assert again.values() == curve.values() == {"loss": 1.0}
    assert feed(again, (None, 5.0), known={0: 3.0, 1: 1.0, 2: 2.0}) == [(3, 5.0, True)]


def test_series_are_joined_and_bounded() -> None:
    found: dict[str, list[float]] = joined({}, SeriesPart("r", 0, (1.0, 2.0)))
    found = joined(found, SeriesPart("r", 1, (5.0, 6.0)))
    assert found == {"r": [1.0, 5.0, 6.0]}
    assert joined(found, SeriesPart("r", 9, (1.0,))) == found
    assert sum(map(len, joined(found, SeriesPart("s", 0, (0.0,) * 1000)).values())) == 1000
