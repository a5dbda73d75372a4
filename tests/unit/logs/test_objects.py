"""Reports behind prefixes and as Python dicts, and what only looks like one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetuna.metrics.lines import LineReader, MetricLine
from kubetuna.metrics.objects import DICT_DEPTH, objects

REPORT = '{"step": 1, "loss": 0.5}'
PREFIXES = (
    "", "[default0]:",
    "INFO root: ", "INFO:root:", "2026-11-26 00:00:00,123 - ", "trial/0 | ", "[{ ", "{{", "{", "}} ",
    "[{", "(RayTrainWorker pid=7) ", '{"a": 1} ', "{'a': {'loss': 9}} ", "args={'lr': <obj>} ", "🚀 ", "\ufeff",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("report", [REPORT, "{'step': 1, 'loss': 0.5}", "{'loss': '0.5', 'step': '1', }"])
def test_a_report_is_found_behind_its_prefix(prefix: str, report: str) -> None:
    found = LineReader(("loss",)).read(f"{prefix}{report}".encode())
    assert isinstance(found, MetricLine) and not found.text
    assert (found.step, found.values) == (1, {"loss": 0.5})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{'a': 1, 'b': [1, (2, 3)], 'c': {'d': None}}", {"a": 1, "b": [1, [2, 3]], "c": {"d": None}}),
        ("{'a': True, 'b': False, 3: 'x', None: 1}", {"a": True, "b": False, "3": "x", "null": 1}),
        (r"""{'it\'s': 0.5, "valid_0's auc": 1e-3}""", {"it's": 0.5, "valid_0's auc": 1e-3}),
        ("{'a': -1.5, 'b': +2, 'c': 1_000, 'd': .5, 'e': 5.}", {"a": -1.5, "b": 2, "c": 1000, "d": 0.5, "e": 5.0}),
    ],
)
def test_a_dict_as_python_prints_it(line: str, found: dict[str, Any]) -> None:
    assert list(objects(line)) == [found]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\\")),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("a'\"é"),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab'"), inner, max_size=3),
            max_leaves=6,
        ),
        min_size=1,
    )
)
def test_what_python_and_json_print_is_read_back(value: dict[str, Any]) -> None:
    if str(value).isprintable():
        assert list(objects(f"rank 0: {value}")) == [value]
    assert list(objects(f"rank 0: {json.dumps(value)}")) == [value]


@pytest.mark.parametrize(
    "line",
    [
        "{'loss': __import__('os').system('x')}",
        "{'loss': open('/etc/passwd')}",
        "{'loss': 1+1}",
        "{'loss': 0.5 if x else 1}",
        "{'loss': f'{1}'}",
        "{'loss': 0.5",
        "{'loss' 0.5}",
        "{'a': <object at 0x7f>, 'b': {'loss': 0.5}}",
        '{"config": {"loss": 0.5}, oops}',
        "{'loss': tensor([0.5])}",
        "{'loss': tensor(eval('1'))}",
        "{'loss': np.float64(0.5}",
        "{'loss': 0.5, **x}",
        "{'a', 'loss'}",
    ],
)
def test_what_is_no_literal_is_no_report(line: str) -> None:
    assert list(objects(line)) == [] and LineReader(("loss",)).read(line.encode()) is None


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("np.float64(0.25)", 0.25),
        ("np.int64(-3)", -3),
        ("numpy.float32(1e-05)", 1e-5),
        ("tensor(0.2500)", 0.25),
        ("tensor(0.25, device='cuda:0', grad_fn=<NllLossBackward0>)", 0.25),
        ("torch.tensor(0.25, dtype=torch.float64)", 0.25),
        ("Array(0.25, dtype=float32, weak_type=True)", 0.25),
        ("array(0.25, dtype=float32)", 0.25),
        ("<tf.Tensor: shape=(), dtype=float32, numpy=0.25>", 0.25),
        ("Decimal('0.25')", 0.25),
    ],
)
def test_a_number_in_a_dict_as_its_library_shows_it(shown: str, value: float) -> None:
    line = f"{{'ok': np.True_, 'loss': {shown}, 'epoch': 3, 'more': {{'x': {shown}}}}}"
    assert list(objects(line)) == [{"ok": True, "loss": value, "epoch": 3, "more": {"x": value}}]
    assert LineReader(("loss",)).read(line.encode()) == MetricLine(3, {"loss": value})


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_a_librarys_number_may_not_be_finite(number: str) -> None:
    found = LineReader(("loss",)).read(f"{{'loss': np.float64({number})}}".encode())
    assert isinstance(found, MetricLine) and not found.values and "loss" in found.invalid


@pytest.mark.parametrize("number", ["1e999", "-1e999", "nan", "inf", "-inf", "1_0e99999"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_number_without_end_is_an_invalid_value(number: str, quote: str) -> None:
    found = LineReader(("loss",)).read(f"{{{quote}loss{quote}: {number}}}".encode())
    assert isinstance(found, MetricLine) and not found.values and "loss" in found.invalid


@pytest.mark.parametrize(
    "line",
    [
        "{'loss': " * 10_000 + "1" + "}" * 10_000,
        '{"loss": ' * 5_000 + "1" + "}" * 5_000,
        "{'loss': " + "[" * 10_000 + "]" * 10_000 + "}",
        "{'loss': " + "(" * (DICT_DEPTH + 1) + ")" * (DICT_DEPTH + 1) + "}",
        "{'loss': " + "-" * 60_000 + "1}",
        "{'loss': " + "9" * 60_000 + "}",
        "{'" * 20_000,
        "{'a':" * 12_000 + "}" * 12,
        "{ " * 30_000 + "'",
        "{" + " " * 65_000,
        "{'a" + "\\" * 60_000,
        "{'loss': " + "'a' " * 15_000 + "}",
        "[{" * 20_000 + "}]" * 5_000,
        "{'loss': " + "np." * 20_000 + "1}",
        "{'loss': " + "tensor(1, " * 6_000 + "}",
        "{'a': " + "np.float64(1" * 5_000 + "}",
        "args=" * 12_000 + "{'loss'}",
    ],
)
def test_hostile_literals_are_harmless(line: str) -> None:
    reader = LineReader(("loss",))
    began = time.process_time()
    found = reader.read(line.encode())
    assert time.process_time() - began < 2.0
    assert not isinstance(found, MetricLine) or not found.values


def test_of_several_reports_on_a_line_the_last_counts() -> None:
    found = LineReader(("loss",)).read(b'{"step": 1, "loss": 0.5}{"step": 2, "loss": 0.4} {"other": 1}')
    assert isinstance(found, MetricLine) and (found.step, found.values) == (2, {"loss": 0.4})


@pytest.mark.parametrize(
    ("keys", "step", "position"),
    [
        ('"epoch": 3', 3, None),
        ('"epoch": 3.0', 3, None),
        ('"epoch": "3"', 3, None),
        ('"epoch": 0.5', None, 0.5),
        ('"epoch": "0.5"', None, 0.5),
        ('"epoch": 0.5, "global_step": 70', 70, None),
        ('"epoch": 0.5, "global_step": 70, "step": 7', 7, None),
        ('"step": 1.5', None, 1.5),
        ('"epoch": "1/10"', None, None),
        ('"epoch": -1', None, None),
        ('"epoch": true', None, None),
    ],
)
def test_which_key_is_the_step(keys: str, step: int | None, position: float | None) -> None:
    found = LineReader(("loss",)).read(f'{{{keys}, "loss": 0.5}}'.encode())
    assert isinstance(found, MetricLine) and (found.step, found.position) == (step, position)


@pytest.mark.parametrize(
    "name", ["step", "epoch", "outcome", "series", "protocol", "__proto__", "=", 'a"b', "a'b\"c", r"a\b"]
)
@pytest.mark.parametrize("write", [json.dumps, str])
def test_a_metric_may_have_any_name(name: str, write: Any) -> None:
    found = LineReader((name,)).read(f"x {write({name: 0.5, 'more': 1})}".encode())
    assert isinstance(found, MetricLine) and found.values == {name: 0.5} and found.step is None


@pytest.mark.parametrize(
    "name", ["valid_1 auc", "valid_0's auc", "ndcg@10", "validation:auc", "mAP50-95(B)", "genau.é", "top-1 (%)"]
)
def test_a_name_that_is_no_word_is_read_from_text_as_it_is_written(name: str) -> None:
    reader = LineReader((name, "loss"))
    for line in (f"{name}=0.5", f"epoch 1 {name} = 0.5, loss=0.1"):
        found = reader.read(line.encode())
        assert isinstance(found, MetricLine) and found.values[name] == 0.5
    assert reader.read(f"my{name}=0.5".encode()) is None
