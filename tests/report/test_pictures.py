"""Pictures say what the page says, without covering any of it; tables keep to their width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from kubetuna.analysis.pictures import _draw
from kubetuna.analysis.report.history import section
from kubetuna.parsing.parse import parse_file_text
from kubetuna.terminal.tables import trials_table
from kubetuna.trials.records import TrialRecord
from tests.report.studies import SINGLE, study, trial


def test_a_legend_covers_nothing_and_far_values_are_told() -> None:
    trials = [*(trial(number, number / 10) for number in range(20)), trial(20, -1e9)]
    (chart,) = section(study(trials).view()).charts
    figure = Figure(layout="constrained")
    axis: Any = figure.add_subplot(title="history")
    _draw(axis, chart)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = canvas.get_renderer()
    assert not axis.get_legend().get_window_extent(drawn).overlaps(axis.get_window_extent(drawn))
    assert [text.get_text() for text in axis.texts] == ["Beyond the axis: 1 far worse value"]


def _printed(trials: Sequence[TrialRecord], wide: bool) -> list[str]:
    console = Console(width=80)
    with console.capture() as shown:
        console.print(trials_table(parse_file_text(SINGLE), trials, wide))
    return shown.get().splitlines()


def test_trials_take_a_line_each_and_their_messages_stand_apart() -> None:
    params = {f"parameter_{n}": n / 7 for n in range(19)}
    trials = [trial(n, float(n), params=params) for n in range(20)]
    trials[3] = trial(3, None, params=params, state="FAIL", message="exit code 1: no such file")
    lines = _printed(trials, False)
    assert sum("COMPLETE" in line and "parameter_0" in line for line in lines) == 19, "no column is lost to another"
    assert len(lines) < 30 and "trial 3: exit code 1: no such file" in lines
    assert "--wide" in lines[-1] and not any("parameter_18" in line for line in lines)
    assert "parameter_18" in "".join(_printed(trials, True)).replace(" ", "").replace("│", "")
