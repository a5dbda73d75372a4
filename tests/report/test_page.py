"""The whole page, for studies in every state."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.report.studies import SEVERAL, SINGLE, Study, failed_trial, many, study, trial

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>&\"'\x00\x1b[31m\u202e"

COLOURS = [
    "ink",
    "paper",
    "blue",
    "orange",
    "green",
    "vermillion",
    "purple",
    "sky",
    "grey",
]


def two_values(value: float) -> tuple[float, ...]:
    return value, abs(value) / 3 + value * 7 % 1


STUDIES: dict[str, Study] = {
    "none": study([]),
    "one": study([trial(0)]),
    "two": study([trial(0, 1.0), trial(1, 2.0)]),
    "equal": study([trial(n, 1.0) for n in range(12)]),
    "only failed": study([failed_trial(n) for n in range(4)]),
    "only running": study(many(1)),
    "many": study(many(60)),
    "several": study(many(60, values=two_values), SEVERAL),
    "several, none": study([], SEVERAL),
    "several, one": study([trial(0, values=(1.0, 2.0))], SEVERAL),
    "foreign": study([trial(n, float(n), ordinal=None, outcome=None, attempts=()) for n in range(12)]),
}


class Elements(HTMLParser):
    """The elements of a page, with what scripts hold left out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def charts_of(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL)
    assert found
    return list(json.loads(found[1], parse_constant=lambda name: pytest.fail(f"{name} in the charts")))


def head_of(page: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(head_of(page))
    return parser


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_gives_a_page_with_its_places(name: str) -> None:
    page = STUDIES[name].page()
    places = [attrs["id"] for _, attrs in elements(page).found if attrs.get("class") == "chart"]
    assert places == [chart["place"] for chart in charts_of(page)]
    assert page.startswith("<!DOCTYPE html>")
    for question in ("Result", "Cost", "Reliability checks", "Next steps"):
        assert question in page


@pytest.mark.parametrize("name", STUDIES)
def test_no_number_is_nan_and_nothing_is_none(name: str) -> None:
    text = " ".join(elements(STUDIES[name].page()).text)
    assert not re.search(r"\b(nan|inf|NaN|Infinity|None|undefined)\b", text)


@pytest.mark.parametrize("name", STUDIES)
def test_plotly_itself_accepts_every_figure(name: str) -> None:
    from plotly import graph_objects

    for chart in charts_of(STUDIES[name].page()):
        shown = json.dumps({"data": chart["data"], "layout": chart["layout"]})
        named = re.sub(rf'"({"|".join(COLOURS)})"(?!:)', '"#123456"', shown)
        graph_objects.Figure(json.loads(named))


@pytest.mark.parametrize("name", STUDIES)
def test_no_chart_is_empty(name: str) -> None:
    for chart in charts_of(STUDIES[name].page()):
        assert chart["data"]
        assert all(trace["x"] and len(trace["x"]) == len(trace["y"]) for trace in chart["data"])


def test_nothing_is_fetched_and_only_our_scripts_run() -> None:
    page = STUDIES["many"].page()
    found = elements(page).found
    policy = next(a["content"] for _, a in found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert len(scripts) == 2 and all(f"'sha256-{h}'" in policy for h in hashes)
    assert not any("src" in attrs for _, attrs in found)
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in found)


def test_hostile_text_stays_text() -> None:
    spec_name = SINGLE.replace("objectiveMetricName: sharpe_ratio", "objectiveMetricName: sharpe|ratio")
    hostile = spec_name.replace("D3QN", json.dumps(HOSTILE))
    params = {**trial(0).params, "n_agents": 3, "agent": HOSTILE, HOSTILE: HOSTILE}
    trials = [
        *(trial(n, n / 10, params=params, metrics={HOSTILE: 1.0}) for n in range(12)),
        failed_trial(12, HOSTILE, HOSTILE),
        replace(failed_trial(13, HOSTILE), state=HOSTILE),
    ]
    page = study(trials, hostile).page()
    found = elements(page).found
    assert not any(tag in ("img", "iframe", "object") for tag, _ in found)
    assert not any(name.startswith("on") for _, attrs in found for name in attrs)
    assert page.count("</script>") == 3
    assert "&lt;/script&gt;" in page and "\x00" not in page and "\x1b" not in page and "\u202e" not in page
    texts = [v for v in walk(charts_of(page)) if isinstance(v, str)]
    assert not any("<img" in t or "<script" in t for t in texts)


def test_metrics_that_are_no_numbers_do_no_harm() -> None:
    metrics: dict[str, Any] = {"total_return": math.nan, "flat_return": "x", "random_return": 10**400}
    assert "flat" not in head_of(study([trial(0, metrics=metrics)]).page()).split("<main>")[1]


def test_the_head_names_the_best_and_its_parameters() -> None:
    page = head_of(study([trial(0, 1.0), trial(1, 2.5), trial(2, 2.0)]).page())
    assert '<span class="value">2.5</span> in trial 1 (higher is better)' in page
    assert "learning_rate: 0.0001" in page and "&quot;learning_rate&quot;: 0.0001" in page
    assert "kubetuna best trading-ensemble --json" in page
    assert "kubetuna logs trading-ensemble 1" in page


def test_without_a_result_the_head_says_so() -> None:
    assert "No result yet: no trial has started." in STUDIES["none"].page()
    page = STUDIES["only failed"].page()
    assert "No result: no trial has completed with a valid value" in page
    assert "kubetuna logs trading-ensemble 0" in page and 'href="#failures"' in page


def test_a_study_of_another_program_has_a_best_too() -> None:
    page = STUDIES["foreign"].page()
    assert '<span class="value">11</span> in trial 11' in page
    assert "12 trials in the study came from another program" in page


def test_what_cannot_be_drawn_is_said_once_with_its_reason() -> None:
    page = head_of(STUDIES["one"].page())
    assert "Importance needs at least 10 completed trials; there are 1." in page
    assert "No time has been spent yet." in head_of(STUDIES["none"].page())


def test_failures_are_counted_by_class_with_the_first_message() -> None:
    page = head_of(study([failed_trial(0, "first words"), failed_trial(1, "other words"), trial(2)]).page())
    assert "first words" in page and "other words" not in page
    assert '<b>Crashed</b></td><td class="num">2</td>' in page


def test_a_study_of_ten_thousand_trials_stays_light() -> None:
    page = study(many(10_000)).page()
    assert len(page.encode()) < 8_000_000
    points = sum(len(trace["x"]) for chart in charts_of(page) for trace in chart["data"])
    assert points < 45_000
    assert "To keep the page small" in page


def test_the_page_does_not_depend_on_the_order_of_the_trials() -> None:
    made = STUDIES["many"]
    assert replace(made, trials=made.trials[::-1]).page() == made.page()


def test_extreme_values_are_drawn() -> None:
    values = [1e308, -1e308, 0.0, 5e-324, 1.0, 2.0]
    page = study([trial(n, v) for n, v in enumerate(values)]).page()
    assert charts_of(page)


def test_a_single_value_for_a_parameter() -> None:
    text = SINGLE.replace("{min: 0.99, max: 0.999}", "{min: 0.995, max: 0.995}")
    page = study(many(20), text).page()
    assert charts_of(page)
