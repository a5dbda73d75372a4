"""What lines before a line say of it: objects over several lines, settings, heads of tables; all of it bounded."""

from __future__ import annotations

import json
import time

import pytest

from kubetuna.metrics.earlier_lines import EarlierLines
from kubetuna.metrics.lines import LineReader, MetricLine


def values(*lines: str, filters: tuple[str, ...] = ()) -> list[float | str]:
    """What each report says of the loss, by a reader that begins anew after each line."""
    state, found = {}, []
    for line in lines:
        reader = LineReader(("loss",), filters)
        reader.earlier = EarlierLines.from_state(json.loads(json.dumps(state)))
        record = reader.read(line.encode())
        state = reader.earlier.to_state()
        if isinstance(record, MetricLine):
            found += [*record.values.values(), *record.invalid.values()]
    return found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["{", '  "loss": 0.5', "}"], [0.5]),
        (["{", '"loss": 0.5,', '"step": 1', "}"], [0.5]),
        (["INFO root: {", '\t"loss": 0.5', "}"], [0.5]),
        (["[rank0]: {", '[rank0]:   "loss": 0.5', "[rank0]: }"], [0.5]),
        (["{'a': [1,", "       2],", " 'loss': 0.5}"], [0.5]),
        (["{'loss': 0.5,", " 'text': 'x'}", "loss=0.4"], [0.5, 0.4]),
        (["{", '  "a": {"loss": 0.5}', "}"], []),
        (["{", "loss=0.4", '  "loss": 0.5', "}"], [0.4]),
        (["[rank0]: {", '[rank1]:   "loss": 0.5', "[rank0]: }"], []),
        (["config = {", '  "loss": 0.5', "}"], []),
        (["Config(", "  loss=0.5,", "  lr=1,", ")", "loss=0.4"], [0.4]),
        (["Config(lr=1,", "       loss=0.5)", "loss=0.4"], [0.4]),
        (["Result(", "  loss=0.5,", ")"], [0.5]),
        (["epoch loss", "1 0.5"], [0.5]),
        (["Epoch,lr,loss", "1/3,0.1,0.5", "2/3,0.1,-", "3/3,0.1", "x,0.1,9", "3/3,1,nan"], [0.5, "nan"]),
        (["name loss", "1 0.5"], []),
        (["epoch loss loss", "1 0.5 0.4"], []),
        (["epoch acc", "1 0.5"], []),
        (["epoch loss 3", "1 0.5 3"], []),
    ],
)
def test_what_stands_on_several_lines(lines: list[str], found: list[float | str]) -> None:
    assert values(*lines) == found


def test_filters_take_the_place_of_tables_too() -> None:
    assert values("epoch loss", "1 0.5", filters=("(loss): (.*)",)) == []


@pytest.mark.parametrize(
    "line", ["{", "  {", '  "loss": 1,', "{'a': " + "[" * 900 + ",", "A(" * 500 + "(", "epoch loss", "1 2"]
)
def test_what_never_ends_is_bounded(line: str) -> None:
    reader = LineReader(("loss",))
    began = time.process_time()
    for _ in range(5_000):
        reader.read(b"{")
        reader.read(line.encode())
    assert time.process_time() - began < 5.0
    assert len(json.dumps(reader.earlier.to_state())) < 50_000
