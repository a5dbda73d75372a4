"""One trial's log, chunk by chunk: what it reads as, what is said of it, and what another process goes on from."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from kubetuna.experiment.model import Experiment, Objective
from kubetuna.metrics.collector import TrialLog
from kubetuna.metrics.filters import compile_filter
from kubetuna.metrics.nearest import Nearest
from kubetuna.trials.attempts import LINE_LIMIT, ExitFacts, LogChunk
from kubetuna.trials.outcome import Classified, Outcome, classify
from tests.unit.plan.builders import experiment


def log_of(*lines: str, spec: Experiment | None = None, state: dict[str, Any] | None = None) -> TrialLog:
    log = TrialLog(spec or experiment(), state or {})
    log.turn_to(0)
    log.take(LogChunk(tuple(line.encode() for line in lines), "end", drained=True))
    known: dict[int, float] = {}
    for point in log.records(known):
        if point is not None:
            known[point.step] = point.value
    return log


def ended(log: TrialLog) -> Classified:
    return classify(ExitFacts(exit_code=0), None, "go", log.reading())


@pytest.mark.parametrize(
    ("strategy", "outcome"),
    [("min", Outcome.SUCCEEDED), ("max", Outcome.SUCCEEDED), ("latest", Outcome.NON_FINITE)],
)
def test_nan_behind_a_value_fails_the_latest_only(strategy: str, outcome: Outcome) -> None:
    spec = experiment(strategies={"loss": strategy})
    log = log_of("loss=0.5", "loss=nan", spec=spec)
    assert ended(log).outcome is outcome
    assert log.reading().values == ({} if strategy == "latest" else {"loss": 0.5})
    assert ended(log_of("loss=nan", spec=spec)).outcome is Outcome.NON_FINITE
    assert ended(log_of("loss=nan", "loss=0.5", spec=spec)).outcome is Outcome.SUCCEEDED


def test_a_line_of_which_only_the_end_is_known_is_counted_and_said() -> None:
    long = "x" * (LINE_LIMIT + 1)
    log = log_of(long, f"{long} loss=0.5", f"{long}\r", f"\r{long}\rloss=0.6")
    assert ended(log) == Classified(
        Outcome.SUCCEEDED, "3 lines of the log are longer than 65,536 bytes and read from the end only"
    )
    again = TrialLog(experiment(), json.loads(json.dumps(log.state())))
    assert again.reading().cut == 3
    again.turn_to(1)
    assert again.reading().cut == 0
    assert "1 line of the log is longer" in ended(log_of(long)).message


@pytest.mark.parametrize(
    ("line", "quoted", "advice"),
    [
        ("epoch 1 val_loss: 0.25", "epoch 1 val_loss: 0.25", "and the metric's name val_loss)"),
        ("epoch 1 loss: 0.25", "epoch 1 loss: 0.25", r"(read with metricsFormat: ['([\w./-]+): *("),
        (
            "6/6 - 0s - Loss: 0.25",
            "6/6 - 0s - Loss: 0.25",
            "(read with metricsFormat: [keras] and the metric's name Loss)",
        ),
        (
            "[0]\tvalid-loss:0.25",
            "valid-loss:0.25",
            "(read with metricsFormat: [xgboost] and the metric's name valid-loss)",
        ),
        ("val_loss=0.25", "val_loss=0.25", "(read with the metric's name val_loss)"),
        ("{'loss': round(0.25)}", "{'loss': round(0.25)}", "; print e.g."),
        ("Epoch 3: loss improved from 0.5 to 0.4", "Epoch 3: loss improved from 0.5 to 0.4", "; print e.g."),
        ("| loss | 0.25 |", "| loss | 0.25 |", "(read with metricsFormat: [lightning])"),
    ],
)
def test_without_the_objective_the_nearest_line_is_quoted_with_what_reads_it(
    line: str, quoted: str, advice: str
) -> None:
    told = ended(log_of("starting", f"\r  0%| \r{line}", "wall clock: 3s", "lr: 0.1"))
    assert told.outcome is Outcome.METRICS_UNAVAILABLE
    assert quoted in told.message and advice in told.message and "lr" not in told.message
    assert 'print e.g. {"step": 1, "loss": 0.5}' in told.message


def test_three_lines_at_most_are_quoted_and_a_report_that_came_needs_none() -> None:
    names = ("train_loss", "val_loss", "test_loss", "loss", "lossy")
    message = ended(log_of(*(f"{name}: 0.{n}" for n, name in enumerate(names)), *["val_loss: 1"] * 9)).message
    assert message.count("loss: 0.") == 3 and "'loss: 0.3'" in message and len(message) < 500
    assert ended(log_of("val_loss: 0.1", "loss=0.5")) == Classified(Outcome.SUCCEEDED, "")


def test_what_another_process_saw_is_quoted_too() -> None:
    spec = experiment(additional_metrics=("acc",))
    state = json.loads(json.dumps(log_of("val_loss: 0.25", "acc=0.5", spec=spec).state()))
    again = log_of("acc=0.6", spec=spec, state=state)
    assert "'val_loss: 0.25'" in ended(again).message
    assert "near" not in log_of("val_loss: 0.25", "loss=0.5").state()


def test_of_several_objectives_each_missing_one_has_its_lines() -> None:
    spec = experiment(objectives=(Objective("loss", "minimize"), Objective("accuracy", "maximize")))
    message = ended(log_of('{"loss": 0.5, "acc": 0.9}', "Accuracy: 0.8", spec=spec)).message
    assert "gives 'accuracy'" in message and "'Accuracy: 0.8'" in message and "loss: 0.5" not in message


@pytest.mark.parametrize(
    "line", ["loss " * 200_000, "loss: " + "9" * 70_000, "a.loss(" * 9_000, "\0loss\x1b[: 0.1", "loss'" * 9_000]
)
def test_hostile_lines_are_quoted_short_and_printable(line: str) -> None:
    message = ended(log_of(*[line] * 3)).message
    assert message.isprintable() and len(message) < 900


@pytest.mark.parametrize(
    ("line", "metric", "reader"),
    [
        (" | lm loss PPL: 6.408E+03 | ", "lm loss PPL", r"(lm loss PPL) *[:=] *"),
        ("Norm: 12.30, Avg. loss: 0.523", "Avg. loss", r"(Avg\. loss) *[:=] *"),
        ("│ loss                 0.4321   │", "loss", r"(?:^|[│|:]) *(\S+) +"),
        ("wandb:   val_loss 0.25", "val_loss", r"(?:^|[│|:]) *(\S+) +"),
        ("epoch: 1, loss: 0.25", "loss", r"([\w./-]+): *"),
        ("step 250: train loss 2.1, val loss 2.2", "val loss", r"(?:^|[^\w./-])(val loss)\s+"),
        ("EPOCH 1 done: loss 0.5123 - lr: 0.1", "loss", r"(?:^|[^\w./-])(loss)\s+"),
        ("P@1\t0.541", "P@1", r"(?:^|[^\w./-])(P@1)\s+"),
        ("[1] valid_0's auc: 0.9", "valid_0's auc", r"(valid_0's auc) *[:=] *"),
    ],
)
def test_what_the_hint_advises_reads_the_line_by_the_metrics_own_name(line: str, metric: str, reader: str) -> None:
    near = Nearest(metric)
    near.look(line.encode())
    (listed,) = re.findall(r"\(read with (metricsFormat: \[.*\])\)", near.hint())
    (advised,) = yaml.safe_load(listed)["metricsFormat"]
    assert advised.startswith(reader)
    (found,) = {name for name, _ in compile_filter(advised)(line)} & {metric}
    assert found == metric


def test_of_a_line_with_several_names_only_the_nearest_is_quoted() -> None:
    near = Nearest("test_loss")
    near.look(b"train_loss: 0.2, train_accuracy: 93.2, test_loss: 0.1, test_accuracy: 96.1")
    assert list(near.found) == ["test_loss"]


def test_the_log_of_another_object_of_an_attempt_is_read_too() -> None:
    """A Pod that a node refused has no log; the one that is made in its place has."""
    log = TrialLog(experiment(), {})
    log.turn_to(0, uid="refused")
    log.take(LogChunk((), "", drained=True))
    log.turn_to(0, uid="refused")
    assert log.drained
    log.turn_to(0, uid="second")
    assert not log.drained
    log.take(LogChunk((b"loss=0.5",), "end", drained=True))
    list(log.records({}))
    assert dict(log.reading().values) == {"loss": 0.5}
