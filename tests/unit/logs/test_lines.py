"""What a line of a log reports: our JSON, Katib's filter with its edge cases, custom filters, hostile lines."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.metrics.lines import Announcement, LineReader, MetricLine, Protocol, SeriesPart

METRICS = ("loss", "acc", "val_acc", "a|b", "val/f1")


def read(line: str | bytes, filters: tuple[str, ...] = ()) -> Any:
    data = line.encode() if isinstance(line, str) else line
    return LineReader(METRICS, filters).read(data)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("loss=0.3", {"loss": 0.3}),
        ("loss = 0.3", {"loss": 0.3}),
        ("loss=\t0.4", {"loss": 0.4}),
        ("loss=.98", {"loss": 0.98}),
        ("loss=+1.5", {"loss": 1.5}),
        ("loss=1e-5", {"loss": 1e-5}),
        ("loss=1E0", {"loss": 1.0}),
        ("loss=5.", {"loss": 5.0}),
        ("loss=1,234", {"loss": 1234.0}),
        ("loss='0.4'", {"loss": 0.4}),
        ('loss="1,234.5"', {"loss": 1234.5}),
        ("loss=Decimal('0.4')", {"loss": 0.4}),
        ("loss=torch.tensor(0.4, device='cuda:0')", {"loss": 0.4}),
        ("loss=<tf.Tensor: shape=(), dtype=float32, numpy=0.4>", {"loss": 0.4}),
        ("loss=0.4 (best loss=0.3)", {"loss": 0.4}),
        ("previous loss: loss=0.4, target loss=0.1", {"loss": 0.4}),
        ("best loss=0.3", {"loss": 0.3}),
        ("val/acc=0.9", {"acc": 0.9}),
        ("val.acc=0.9", {"acc": 0.9}),
        ("val/f1=0.5", {"val/f1": 0.5}),
        ("val_acc=0.9", {"val_acc": 0.9}),
        ("a|b=1", {"a|b": 1.0}),
        ("--lr=0.1 loss=0.2", {"loss": 0.2}),
        ("x=3, loss=0.2;acc=0.3", {"loss": 0.2, "acc": 0.3}),
        ("2024-01-01T00:00:00Z loss=0.1", {"loss": 0.1}),
        ("\x1b[32mloss\x1b[0m=\x1b[1m0.25\x1b[0m", {"loss": 0.25}),
        ('{"loss": 0.5, "other": 1}', {"loss": 0.5}),
        ('{"loss": "0.5"}', {"loss": 0.5}),
        ('  {"acc": 1}  ', {"acc": 1.0}),
    ],
)
def test_values(line: str, values: dict[str, float]) -> None:
    found = read(line)
    assert isinstance(found, MetricLine) and dict(found.values) == values and not found.invalid


@pytest.mark.parametrize(
    "line",
    [
        "",
        "loss: 0.3",
        "lossy=0.3",
        "aloss=1",
        "épreuve=0.5",
        "hello",
        '{"other": 1}',
        "[1]",
        '{"loss":',
        "loss=0.5->0.4",
        "loss = 0.5 → 0.4",
        "Config(lr=0.1, loss=0.0)",
        "Namespace(loss=0.0, layers=[1, 2])",
        "TrainConfig(opt=Adam(lr=1), loss=0.0)",
        "Results(config=config(loss=0.0))",
        "EarlyStopping(patience=5, loss=99)",
        "config: {'loss': 0.0}",
        'train_args = {"loss": 0.0}',
        "Model config BertConfig {'loss': 0.0}",
        "Best params: {'loss': 0.0}",
        "\x00\xff",
    ],
)
def test_no_report(line: str) -> None:
    assert read(line) is None


@pytest.mark.parametrize(
    "line",
    ["loss=nan", "loss=inf", "loss=-inf", "loss=", "loss='0.4", "loss='a'", '{"loss": NaN}', '{"loss": null}',
     '{"loss": []}', '{"loss": 1e999}', '{"loss": true}'],
)  # fmt: skip
def test_what_is_no_finite_number_is_an_invalid_report_and_never_a_value(line: str) -> None:
    found = read(line)
    assert isinstance(found, MetricLine) and "loss" in found.invalid and not found.values


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ('{"step": 3, "loss": 1}', 3),
        ('{"step": 3.0, "loss": 1}', 3),
        ('{"step": 0, "loss": 1}', 0),
        ('{"step": 2147483647, "loss": 1}', 2147483647),
        ('{"loss": 1}', None),
        ('{"step": null, "loss": 1}', None),
    ],
)
def test_steps(line: str, step: int | None) -> None:
    assert read(line).step == step


@pytest.mark.parametrize("step", ["-1", "2147483648", "true", '"x"', "[]", "1e99"])
def test_a_step_out_of_range_is_no_report(step: str) -> None:
    assert read(f'{{"step": {step}, "loss": 1}}') is None


@pytest.mark.parametrize(
    "line",
    ["TrainOutput(global_step=1, loss=0.5)", "Validation(loss=0.5)", "Config(lr=0.1) loss=0.5",
     "Epoch 3 (loss=0.5)", "Results(config=Config(loss=9), loss=0.5)", "train(loss=0.5)", "step 3 (args, loss=0.5)",
     "TrainOutput(metrics={'loss': 0.5})", "[args] {'loss': 0.5}", "target={'loss': 0.5}"],
)  # fmt: skip
def test_a_result_is_read_and_what_stands_beside_settings(line: str) -> None:
    assert dict(read(line).values) == {"loss": 0.5}


def test_announcements_and_series() -> None:
    assert read('{"outcome": "OutOfMemory"}') == Announcement("OutOfMemory")
    assert read('{"outcome": "Great"}') is None
    assert read('{"series": "returns", "start": 2, "values": [0.1, -1]}') == SeriesPart("returns", 2, (0.1, -1.0))
    assert read('{"series": "returns", "values": [NaN]}') is None


def test_a_report_says_whether_it_was_given_as_json_or_found_in_text() -> None:
    assert not read('{"loss": 0.5}').text and not read('  5%|#  | loss=9\r{"loss": 0.5}').text
    assert read("patience=5 loss=99").text and read("loss=nan").text
    assert read("loss: 1", (r"(\w+): (\d+)",)).text


def test_custom_filters_replace_the_default() -> None:
    colon = r"(\w+)\s*:\s*((-?\d+)(\.\d+)?)"
    assert dict(read("loss: 0.25", (colon,)).values) == {"loss": 0.25}
    assert read("loss=0.25", (colon,)) is None
    assert dict(read('{"loss": 2}', (colon,)).values) == {"loss": 2.0}, "our JSON lines are always read"
    pairs = r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"
    line = "{metricName: acc, metricValue: 0.8078};{metricName: loss, metricValue: 0.5183}"
    assert dict(read(line, (pairs,)).values) == {"acc": 0.8078, "loss": 0.5183}


@pytest.mark.parametrize(
    "line",
    [
        b"loss=" + b"9" * 60_000,
        b"loss" * 16_000,
        b"\x1b[" * 30_000 + b"loss=1",
        b"{" * 65_000,
        b'{"loss":' * 8_000,
        b"\r" * 60_000 + b"loss=2",
        b"= loss" * 10_000,
        b"loss\t" * 12_000 + b"=",
        b"(" * 30_000 + b"loss=1 " * 5_000,
        b"best loss=1 -> " * 4_000,
        b"A(loss=1 " * 7_000,
        b"loss='" * 10_000,
        b"loss=tensor(" * 5_000,
    ],
)
@pytest.mark.parametrize("filters", [(), (r"(loss)\s*(=.*)*(x+x+)+y",)])
def test_hostile_lines_take_linear_time(line: bytes, filters: tuple[str, ...]) -> None:
    reader = LineReader(METRICS, filters)
    began = time.process_time()
    reader.read(line)
    assert time.process_time() - began < 2.0


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    reader = LineReader(METRICS)
    for line in (data, b"loss=" + data, b'{"loss": ' + data + b"}", data + b"\x1b[0mloss=1"):
        found = reader.read(line)
        if isinstance(found, MetricLine):
            json.dumps(dict(found.values), allow_nan=False)


def test_a_trainer_may_name_its_protocol() -> None:
    assert read(b'{"protocol": "abc", "data": "x"}') == Protocol("abc")
    assert read(b'{"protocol": 7}') is None and read(b'{"protocol": ""}') is None
    found = read(b'{"protocol": "abc", "loss": 1}')
    assert isinstance(found, MetricLine) and found.values == {"loss": 1.0}
    long = read(b'{"protocol": "' + b"a" * 500 + b'"}')
    assert isinstance(long, Protocol) and len(long.digest) == 64
