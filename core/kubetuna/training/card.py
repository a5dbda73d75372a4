"""The model card: what a model is, how it came about, how far to believe it, how to load it without us."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetuna.analysis.extensions import card_of, task_of
from kubetuna.analysis.report.overfitting import choice, luck_of, verdict
from kubetuna.analysis.report.text import printable, scalar
from kubetuna.analysis.report.view import view_of
from kubetuna.study.record import StudyRecord

ELSEWHERE = "See the trainer of the experiment."


def model_card(seen: StudyRecord, record: Mapping[str, Any], metrics: Mapping[str, float], folder: Path) -> str:
    """The card of the model in a folder, in Markdown."""
    words = card_of(task_of(seen.spec), folder)
    params = "\n".join(f"| {_cell(n)} | {_cell(scalar(v))} |" for n, v in record["params"].items())
    figures = "\n".join(f"| {_cell(n)} | {v:.6g} |" for n, v in metrics.items())
    changed = record["params"] != record["best_params"]
    origin = f"trial {record['trial']} of study `{record['study']}`" + (
        ", some parameters changed" if changed else ""
    )
    versions = ", ".join(f"{name} {v}" for name, v in record["versions"].items())
    parts = [
        f"# Model of {record['study']}",
        f"Trained with the parameters of {origin}, seed {record['seed']}.",
        f"## Parameters\n\n| parameter | value |\n|---|---|\n{params}",
        f"## Figures on validation data\n\nChosen on these data, so they flatter. Protocol of evaluation: "
        f"`{record.get('protocol') or 'not told'}`.\n\n| figure | value |\n|---|---|\n{figures}",
        f"## Reliability\n\n{_reliability(seen)}",
        *([f"## How it decides\n\n{words['decides']}"] if words.get("decides") else []),
        f"## Loading it\n\n{words.get('loading', ELSEWHERE)}",
        f"## Limits\n\n{words.get('limits', ELSEWHERE)} No advice to invest.",
        f"## Versions\n\n{versions}; {record['machine']}.",
        f"Command: `{' '.join(record['command'])}` with the parameters and the seed in its environment.",
    ]
    return "\n\n".join(parts) + "\n"


def _reliability(seen: StudyRecord) -> str:
    luck = luck_of(view_of(seen.spec, seen.status, seen.trials, 0.0, seen.others.alike))
    if luck is None:
        return "Not tested: the trials printed no returns."
    return f"{verdict(luck)} {choice(luck)}".strip()


def _cell(text: object) -> str:
    return printable(text).replace("|", "\\|")
