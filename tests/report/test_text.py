"""Text on the page: escaped, bounded, finite."""

from __future__ import annotations

import json
import math

import pytest

from kubetuna.analysis.report.text import cut, esc, finite, label, moment, number, safe_json, scalar
from kubetuna.experiment.units import duration
from kubetuna.files import strict


def test_html_is_escaped_and_control_characters_go() -> None:
    assert esc('<b a="1">&\'\x00\x1b') == "&lt;b a=&quot;1&quot;&gt;&amp;&#x27;  "
    assert "\u202e" not in esc("a\u202eb")


def test_labels_carry_no_markup_to_plotly() -> None:
    assert label('<a href="x">&') == '&lt;a href="x"&gt;&amp;'


def test_a_long_text_loses_its_middle() -> None:
    assert cut("a" * 50 + "z", 11) == "aaaaa…aaaaz"
    assert cut("short", 11) == "short"


def test_json_cannot_close_or_open_an_element() -> None:
    value = {"</script><script>": "<!-- & \u2028\u2029 -->"}
    text = safe_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_json_of_a_lone_surrogate_is_text() -> None:
    safe_json({"a": "\ud800"}).encode()


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        safe_json(math.nan)


@pytest.mark.parametrize("value", [None, True, "1", math.nan, math.inf, -math.inf, 10**400, [1]])
def test_what_is_no_finite_number(value: object) -> None:
    assert finite(value) is None
    assert number(value) == "–"


def test_numbers_are_short() -> None:
    assert [number(v) for v in (0.123456789, 12, 12345, 1e-7, 10**12)] == [
        "0.123457",
        "12",
        "12,345",
        "1e-07",
        "1e+12",
    ]


def test_values_read_as_yaml_reads_them() -> None:
    values = [True, "true", 2, "2", "D3QN", 1e-6, None]
    assert [scalar(v) for v in values] == ["true", '"true"', "2", '"2"', "D3QN", "1e-06", "null"]


def test_what_json_has_no_word_for() -> None:
    assert strict({"a": math.nan, "b": (1, math.inf), "c": True}) == {"a": None, "b": [1, None], "c": True}


def test_durations_and_moments() -> None:
    assert [duration(s) for s in (-1, 0.25, 59, 185, 7800)] == [
        "0 s",
        "0.25 s",
        "59 s",
        "3 min 5 s",
        "2 h 10 min",
    ]
    assert [moment(s) for s in (0, None, 1e30)] == ["1970-01-01 00:00 UTC", "–", "–"]
