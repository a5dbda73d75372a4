"""Where a number in a text ends: read as a whole or refused, never its first part."""

from __future__ import annotations

import pytest

from kubetuna.metrics.lines import LineReader, MetricLine

FILTERS = ((), (r"(\w+)\s*[=:]\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)",), (r"(\w+)[=:] *(\S+)",))


def value_of(text: str, filters: tuple[str, ...]) -> float | str | None:
    found = LineReader(("rmse",), filters).read(f"rmse={text}".encode())
    assert isinstance(found, MetricLine)
    return found.values.get("rmse", found.invalid.get("rmse"))


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234,567.89", 1_234_567.89),
        ("-1,234", -1234.0),
        ("12,345.5e-3", 12.3455),
        ("1_234_567", 1_234_567.0),
        ("1234.5", 1234.5),
        ("999", 999.0),
    ],
)
def test_thousands_are_read_whole(text: str, value: float, filters: tuple[str, ...]) -> None:
    assert value_of(text, filters) == value


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize(
    "text",
    [
        "0,123",
        "1,23",
        "1,2,3",
        "12,34,567",
        "1.234.567,89",
        "1.234,56",
        "1'234",
        "1\u00a0234",
        "0x1F",
        "0:01:30",
        "1.2.3",
        "45/50",
        "1/2/2026",
        "2026-11-26",
        "0.5-0.6",
        "3k",
        "2.5M",
        "1.5×10⁻³",
        "1.5*10^-3",
    ],
)
def test_what_may_mean_two_things_is_no_number(text: str, filters: tuple[str, ...]) -> None:
    assert value_of(text, filters) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5,0.6", 0.5), ("0.5, 1", 0.5), ("90%", 90.0), ("5,acc=1", 5.0), ("1.", 1.0), ("12.5ms", 12.5),
     ("3 k", 3.0), ("5 x 3", 5.0), ("0.5-acc", 0.5), ("0.5/epoch", 0.5)],
)  # fmt: skip
def test_what_follows_a_number_is_not_part_of_it(text: str, value: float) -> None:
    assert value_of(text, ()) == value


@pytest.mark.parametrize("raw", ['"1,234.5"', "1234.5"])
def test_json_may_give_a_number_as_text(raw: str) -> None:
    found = LineReader(("rmse",)).read(f'{{"rmse": {raw}}}'.encode())
    assert isinstance(found, MetricLine) and found.values == {"rmse": 1234.5}
