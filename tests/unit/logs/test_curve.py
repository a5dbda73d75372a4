"""How a trial's lines, over all of its attempts, become one curve and one value per metric."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.metrics.curve import Curve, Point, joined
from kubetuna.metrics.lines import LineReader, MetricLine, SeriesPart


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


class RunResult:
    """A curve as the engine keeps it: the points that stand, after every line a restart of its reader."""

    def __init__(self, **strategies: str) -> None:
        self.strategies, self.state, self.points = strategies, dict[str, Any](), dict[int, float]()

    def hear(self, *lines: str | MetricLine, attempt: bool = False) -> RunResult:
        for number, line in enumerate(lines):
            read = LineReader(("loss", "acc")).read(line.encode()) if isinstance(line, str) else line
            assert isinstance(read, MetricLine)
            self._hear(read, begins=attempt and number == 0)
        return self

    def _hear(self, line: MetricLine, begins: bool) -> None:
        curve = Curve("loss", self.strategies, json.loads(json.dumps(self.state)))
        if begins:
            curve.begin_attempt()
        point = curve.accept(line, self.points)
        if point is not None:
            self.points = {s: v for s, v in self.points.items() if s >= point.void_below}
            self.points[point.step] = point.value
        self.state, self.values, self.invalid = curve.to_state(), curve.values(), curve.invalid


CHANCE = ("patience=5 loss=99", "loss=nan", "loss=-7", "acc=0 loss=0.01")


@pytest.mark.parametrize("strategy", ["latest", "min", "max"])
@pytest.mark.parametrize("chance", CHANCE)
def test_text_never_changes_what_json_reports(strategy: str, chance: str) -> None:
    """Between, before and after the reports, and in a later attempt: a bar, a word on early stopping."""
    reports = ('{"step": 0, "loss": 0.5, "acc": 0.6}', '{"step": 1, "loss": 0.3, "acc": 0.8}')
    plain = RunResult(loss=strategy).hear(*reports)
    mixed = RunResult(loss=strategy).hear(chance, chance, chance, reports[0], chance, chance, reports[1], chance)
    assert (mixed.points, mixed.values, mixed.invalid) == (plain.points, plain.values, {})
    mixed.hear(chance, chance, chance, attempt=True)
    assert (mixed.points, mixed.values, mixed.invalid) == (plain.points, plain.values, {})


def test_json_reports_without_a_step_make_the_curve_from_the_second_on() -> None:
    told = RunResult().hear("warmup: loss=9", '{"loss": 0.5}')
    assert told.points == {0: 9.0, 1: 0.5} and told.values == {"loss": 0.5}
    told.hear("loss=99", '{"loss": 0.3}', "loss=99")
    assert told.points == {1: 0.5, 2: 0.3} and told.values == {"loss": 0.3}


@pytest.mark.parametrize(("strategy", "value"), [("latest", 0.31), ("min", 0.31), ("max", 0.31)])
def test_one_json_summary_gives_the_value_and_leaves_the_curve_that_text_gave(strategy: str, value: float) -> None:
    """As the last line of the log or the termination message: pruning was on the text, and goes on so."""
    told = RunResult(loss=strategy).hear("loss=0.9", "loss=0.2", '{"loss": 0.31}')
    assert told.points == {0: 0.9, 1: 0.2, 2: 0.31} and told.values == {"loss": value}


def test_points_from_json_are_in_order_however_many_lines_of_text_came_before() -> None:
    curve, known = Curve("loss", {}, {}), dict[int, float]()
    for _ in range(9):
        point = curve.accept(MetricLine(None, {"loss": 9.0}, text=True), known)
        assert point is not None
        known[point.step] = point.value
    assert curve.accept(MetricLine(2, {"loss": 1.0}), known) == Point(2, 1.0, in_order=True, void_below=9)
    assert curve.accept(MetricLine(3, {"loss": 1.0}), {2: 1.0}) == Point(3, 1.0, in_order=True)


def test_a_metric_that_json_never_names_is_read_from_text() -> None:
    told = RunResult().hear('{"step": 0, "loss": 0.3}', "acc=0.7 loss=99")
    assert told.values == {"loss": 0.3, "acc": 0.7} and told.points == {0: 0.3}
    told.hear('{"acc": 0.9}', "acc=0.1")
    assert told.values == {"loss": 0.3, "acc": 0.9}


def test_a_word_in_json_is_no_report_that_would_silence_text() -> None:
    """``{"loss": "cross_entropy"}`` is a configuration; NaN is a number, and no bar may stand in for it."""
    assert RunResult().hear('{"loss": "cross_entropy"}', "loss=0.3").values == {"loss": 0.3}
    told = RunResult().hear('{"loss": NaN}', "patience=5 loss=99")
    assert told.values == {} and told.invalid == {"loss": "nan"}


def places(told: RunResult, *found: str, attempt: bool = False) -> dict[int, float]:
    lines = [f"{{'loss': {value}, 'epoch': {place}}}" for place, value in (pair.split(":") for pair in found)]
    return told.hear(*lines, attempt=attempt).points


def test_reports_between_two_steps_are_counted_in_their_order() -> None:
    told = RunResult()
    assert places(told, "0.5:9", "1.0:8", "1.5:7", "2.0:6") == {0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0}
    assert places(told, "1.5:5", "2.0:4", "2.5:3", attempt=True) == {0: 9.0, 1: 8.0, 2: 7.0, 3: 6.0, 4: 3.0}
    assert told.values == {"loss": 3.0}
    assert places(RunResult(), "1.0:8", "1.5:7", "2.0:6", "2.0:5") == {1: 8.0, 2: 7.0, 3: 6.0}
    assert places(RunResult(), "1.0:8", "2.0:7", "4.0:6") == {1: 8.0, 2: 7.0, 4: 6.0}
    assert places(RunResult().hear(*["loss=1"] * 9), "0.5:9", "1.0:8") == {9: 9.0, 10: 8.0}


def test_series_are_joined_and_bounded() -> None:
    found: dict[str, list[float]] = joined({}, SeriesPart("r", 0, (1.0, 2.0)))
    found = joined(found, SeriesPart("r", 1, (5.0, 6.0)))
    assert found == {"r": [1.0, 5.0, 6.0]}
    assert joined(found, SeriesPart("r", 9, (1.0,))) == found
    assert sum(map(len, joined(found, SeriesPart("s", 0, (0.0,) * 1000)).values())) == 1000
