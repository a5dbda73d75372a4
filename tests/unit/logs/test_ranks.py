"""Which process of a distributed trainer speaks, where each of them prints the metric."""

from __future__ import annotations

import pytest

from kubetuna.metrics.curve import Curve
from kubetuna.metrics.lines import LineReader, MetricLine
from kubetuna.metrics.ranks import rank_before


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("[default1]:loss=0.5", 1),
        ("[rank12]:loss=0.5", 12),
        ("[trainer3]: loss=0.5", 3),
        ("[1,2]<stdout>:loss=0.5", 2),
        ("[3]<stderr>:loss=0.5", 3),
        ("INFO - [RANK 4] loss=0.5", 4),
        ("[rank: 1] loss=0.5", 1),
        ("Rank 2: loss=0.5", 2),
        ("2026-11-26 00:00:00 global_rank=5 | loss=0.5", 5),
        ("rank=1 step=3 loss=0.5", 1),
        ("[1,mpirank:2,algo-2]<stdout>:loss=0.5", 2),
        ("worker-1: loss=0.5", 1),
        ("node2: {'loss': 0.5}", 2),
        ("the worker-1: loss=0.5", None),
        ("worker: loss=0.5", None),
        ("lora_rank=8 loss=0.5", None),
        ("rank=0.5 loss=0.5", None),
        ("[epoch1]: loss=0.5", None),
        ("[1]: loss=0.5", None),
        ("3: loss=0.5", None),
        ("rank_loss=0.5", None),
        ("mean rank 3.5: loss=0.5", None),
        ("x" * 300 + "[rank1]: loss=0.5", None),
    ],
)
def test_a_rank_is_told_by_what_a_launcher_or_a_logger_writes(text: str, rank: int | None) -> None:
    assert rank_before(text) == rank


def values(curve: Curve, *lines: str) -> dict[str, float]:
    reader = LineReader(("loss",))
    for line in lines:
        record = reader.read(line.encode())
        assert isinstance(record, MetricLine)
        curve.accept(record, {})
    return curve.values()


def test_in_a_further_attempt_another_rank_may_be_the_first() -> None:
    curve = Curve("loss", {}, {})
    assert values(curve, "[rank0]: loss=0.5", "[rank1]: loss=0.6") == {"loss": 0.5}
    curve.begin_attempt()
    assert values(curve, "[rank1]: loss=0.4", "[rank0]: loss=0.3") == {"loss": 0.4}


def test_each_metric_has_a_rank_of_its_own_and_min_takes_what_counts() -> None:
    curve = Curve("loss", {"loss": "min"}, {})
    assert values(curve, "[rank0]: loss=0.5", "[rank1]: loss=0.1") == {"loss": 0.5}
