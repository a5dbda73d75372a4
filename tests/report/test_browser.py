"""The page in a real browser: every chart drawn, no error, no request, nothing wider than the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetuna.analysis.folder import write_report
from kubetuna.files import write_json
from kubetuna.finrl.fold_results import RECORD
from tests.report.chrome import Page, opened
from tests.report.studies import SEVERAL, SINGLE, Study, failed_trial, many, study, trial
from tests.results.studies import WALKED, seen, walk

pytestmark = pytest.mark.browser

TEXT = "</script><img src=x onerror=alert(1)><b>bold</b>&lt;"
HOSTILE = SINGLE.replace("D3QN", json.dumps(TEXT))


def hostile_study() -> Study:
    params = {**trial(0).params, "n_agents": 3, "agent": TEXT}
    return study([*(trial(n, n / 10, params=params) for n in range(12)), failed_trial(12, TEXT, TEXT)], HOSTILE)


def wide_study() -> Study:
    """Sixty parameters with the longest names allowed."""
    names = [f"parameter_{n}_".ljust(128, "x") for n in range(60)]
    rows = "".join(
        f"  - {{name: {name}, parameterType: double, feasibleSpace: {{min: 0, max: 1}}}}\n" for name in names
    )
    params = [{name: (n * 7 + i) % 13 / 13 for i, name in enumerate(names)} for n in range(30)]
    trials = [trial(n, n / 10, params=params[n]) for n in range(30)]
    return study(trials, SINGLE.replace("  parameters:\n", "  parameters:\n" + rows))


STUDIES: dict[str, Study] = {
    "none": study([]),
    "one": study([trial(0)]),
    "two": study([trial(0, 1.0), trial(1, 2.0)]),
    "only failed": study([failed_trial(n) for n in range(4)]),
    "many": study(many(60)),
    "thousands": study(many(3000)),
    "several": study(many(60, values=lambda v: (v, v * v)), SEVERAL),
    "extreme": study([trial(n, v) for n, v in enumerate((1e308, -1e308, 0.0, 5e-324, 1.0, 2.0))]),
    "hostile": hostile_study(),
    "wide": wide_study(),
}

UNDRAWN = """[...document.querySelectorAll(".chart")].filter((place) => {
  return !place.querySelector("svg.main-svg .cartesianlayer .trace path");
}).map((place) => place.getAttribute("aria-label"))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def blank(page: Page) -> Page:
    page.errors.clear()
    page.requests.clear()
    return page


def written(folder: Path, name: str) -> Path:
    file = folder / "report.html"
    file.write_bytes(STUDIES[name].page().encode())
    return file


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("width", [390, 1200])
def test_every_chart_draws_without_errors_or_requests(blank: Page, tmp_path: Path, name: str, width: int) -> None:
    file = written(tmp_path, name)
    blank.open(file, width, phone=width < 600, dark=width < 600)
    charts = len(json.loads(blank.value("document.getElementById('charts').textContent")))
    assert int(blank.value("document.documentElement.dataset.drawn")) == charts
    assert blank.value("document.querySelectorAll('.chart').length") == charts
    assert blank.value(UNDRAWN) == []
    assert blank.value("document.documentElement.scrollWidth") <= width
    assert blank.errors == []
    assert blank.requests == [file.as_uri()]


@pytest.mark.parametrize("width", [390, 1200])
def test_walking_forward_is_drawn(blank: Page, tmp_path: Path, width: int) -> None:
    write_json(tmp_path / RECORD, walk().as_json())
    file = write_report(seen(WALKED, folder=tmp_path), tmp_path / "report.html")
    blank.open(file, width, phone=width < 600)
    names = blank.value("[...document.querySelectorAll('#walkforward .legendtext')].map((t) => t.textContent)")
    assert names == ["trial 5 (best)", "buy and hold", "trial 4", "trial 3", "trial 2"]
    assert blank.value("document.querySelectorAll('#walkforward .scatterlayer .trace path.js-line').length") == 5
    assert blank.value(UNDRAWN) == [] and blank.errors == []
    assert blank.value("document.documentElement.scrollWidth") <= width


def test_hostile_text_is_shown_as_it_is(blank: Page, tmp_path: Path) -> None:
    blank.open(written(tmp_path, "hostile"))
    assert blank.value("document.querySelectorAll('img, main b b').length") == 0
    assert TEXT in blank.value("document.querySelector('#failures tbody').textContent")
    write_json(tmp_path / RECORD, walk(metric=TEXT).as_json())
    blank.open(write_report(seen(WALKED, folder=tmp_path), tmp_path / "walked.html"))
    assert blank.value("document.querySelector('#walkforward .ytitle').textContent").startswith("</s")


def test_nothing_offers_to_upload_a_chart(blank: Page, tmp_path: Path) -> None:
    blank.open(written(tmp_path, "many"))
    titles = blank.value("[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title).join()")
    assert "Share" not in titles and "Edit" not in titles


def test_it_prints_within_the_paper_and_in_light_colours(blank: Page, tmp_path: Path) -> None:
    blank.open(written(tmp_path, "many"), dark=True)
    answer = blank.call("Page.printToPDF", printBackground=True)
    assert len(answer["data"]) > 50_000
    blank.value("window.dispatchEvent(new Event('beforeprint'))")
    widths = blank.value("[...document.querySelectorAll('.chart svg.main-svg')].map((s) => s.clientWidth)")
    assert max(widths) <= 680
    assert blank.value("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    blank.value("window.dispatchEvent(new Event('afterprint'))")
    assert blank.value("getComputedStyle(document.body).color") == "rgb(232, 234, 237)"
    assert blank.errors == []


def test_the_charts_follow_the_theme(blank: Page, tmp_path: Path) -> None:
    blank.open(written(tmp_path, "many"))
    colour = "getComputedStyle(document.querySelector('.xtick text')).fill"
    light = blank.value(colour)
    blank.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    blank.value("new Promise((done) => setTimeout(done, 500))")
    assert blank.value(colour) != light


def test_copying_takes_the_whole_text(blank: Page, tmp_path: Path) -> None:
    blank.open(written(tmp_path, "many"))
    blank.click(".commands .copy")
    blank.value("new Promise((done) => setTimeout(done, 300))")
    assert blank.value("document.querySelector('.commands .copy').textContent") == "Copied"
