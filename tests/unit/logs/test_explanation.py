"""What is said of each line of a log: what was read from it, and why not more."""

from __future__ import annotations

import pytest

from kubetuna.metrics.explanation import ExplainedLine, Explanation
from kubetuna.trials.attempts import LINE_LIMIT
from tests.unit.plan.builders import experiment


def explained(*lines: str) -> tuple[list[ExplainedLine], Explanation]:
    whole = Explanation(experiment(additional_metrics=("acc",)))
    return list(whole.lines(line.encode() for line in lines)), whole


@pytest.mark.parametrize(
    ("line", "read", "step", "why"),
    [
        ('{"step": 3, "loss": 0.5}', {"loss": 0.5}, 3, ""),
        ("loss=0.5 acc=0.9", {"loss": 0.5, "acc": 0.9}, 0, ""),
        ("acc=0.9", {"acc": 0.9}, None, ""),
        ("", {}, None, "empty"),
        ("starting", {}, None, "no metric in it"),
        ("loss: 0.5", {}, None, "loss stands in it, but no filter reads a value there"),
        ("val_loss=0.5 acc_1=3", {}, None, "it has acc_1, val_loss, which is not loss or acc"),
        ("best loss=0.5", {"loss": 0.5}, None, "counts only where no line gives loss otherwise"),
        ("loss=nan", {"loss": "nan"}, None, "loss is 'nan', no finite number"),
        ('{"lr": 0.1, "x": 2}', {}, None, "an object without loss or acc; it has lr, x"),
        ('{"step": -1, "loss": 0.5}', {}, None, "its step is not a number from 0 to 2147483647"),
        ("{'loss': open(0.5)}", {}, None, "neither JSON nor a dict of literals"),
        ("Config(lr=0.1, loss=0.0)", {}, None, "loss stands in settings there, which are not a report"),
        ("args: {'loss': 0.0}", {}, None, "loss stands in settings there, which are not a report"),
        ('{"outcome": "OutOfMemory"}', {"outcome": "OutOfMemory"}, None, ""),
        ('{"series": "r", "values": [1, 2]}', {"series": "r"}, None, "2 values, stored with the trial"),
        ('{"protocol": "abc"}', {"protocol": "abc"}, None, ""),
        ("x" * LINE_LIMIT + " loss=0.5", {"loss": 0.5}, 0, "too long: only its end is read"),
    ],
)
def test_a_line_alone(line: str, read: dict[str, float | str], step: int | None, why: str) -> None:
    ((found,), _) = explained(line)
    assert (found.read, found.step) == (read, step)
    assert why in found.why and bool(why) == bool(found.why)


def test_what_a_line_means_after_those_before_it() -> None:
    lines, whole = explained(
        "loss=9", '{"step": 1, "loss": 0.5}', "early stop: loss=99 acc=0.9", '{"step": 1, "loss": 0.4}'
    )
    assert [(line.number, dict(line.read), line.step) for line in lines] == [
        (1, {"loss": 9.0}, 0),
        (2, {"loss": 0.5}, 1),
        (3, {"acc": 0.9}, None),
        (4, {"loss": 0.4}, None),
    ]
    assert "withdrawn" in lines[1].why and "JSON speaks for loss" in lines[2].why and "already" in lines[3].why
    assert (whole.curve, dict(whole.values), whole.hint) == ({1: 0.5}, {"loss": 0.4, "acc": 0.9}, "")


def test_a_group_of_metrics_on_a_later_line_says_so() -> None:
    lines, _ = explained(
        "OrderedDict([('bbox',", " {'loss': 0.5})])", "{", '  "val": {"loss": 0.5},', '  "n": 1', "}"
    )
    assert [line.why.split(",")[0] for line in lines if "loss" in line.text] == [
        "it is part of what began on an earlier line"
    ] * 2
    assert all(not line.read for line in lines)


def test_a_log_without_the_objective_ends_with_the_nearest_lines() -> None:
    lines, whole = explained("6/6 - val_loss: 0.25\x1b[0m", "bye")
    assert lines[0].text == "6/6 - val_loss: 0.25"
    assert "metricsFormat: [keras] and the metric's name val_loss" in whole.hint


def test_a_line_is_shown_short_and_printable() -> None:
    ((found,), _) = explained("a\tb\x07" * 500)
    assert len(found.text) == 160 and found.text.isprintable()


def test_a_line_of_another_rank_says_so() -> None:
    lines, whole = explained('[rank0]: {"step": 1, "loss": 0.5}', '[rank1]: {"step": 1, "loss": 0.6, "acc": 0.9}')
    assert (lines[1].read, lines[1].step) == ({"acc": 0.9}, None)
    assert lines[1].why == "another rank speaks for loss"
    assert dict(whole.values) == {"loss": 0.5, "acc": 0.9}
