"""A model's card says how it decides, which its weights alone do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubetuna.finrl.extension import EXTENSION

ADAPTER: dict[str, Any] = {
    "parameters": {"signal_strength": 8},
    "prompting": {"template": "News: {news}. Rate {ticker}.", "answer": "Score:", "articles": 3, "news_days": 10},
    "protocol": {"tie_rule": "equal scores share the places left"},
}
ENSEMBLE = {"step_gap": 3, "max_position": 2, "protocol": {"tie_rule": "majority, then keep"}}


@pytest.mark.parametrize(
    ("task", "place", "note", "words"),
    [
        (
            "task2",
            "adapter/trial.json",
            ADAPTER,
            ("from -8 to 8", "Rate {ticker}.\nScore:", "share the places left"),
        ),
        ("task1", "ensemble.json", ENSEMBLE, ("every 3 s", "majority, then keep", "one of 2 units")),
        ("task2", None, {}, ("from -? to ?",)),
        ("task1", None, {}, ("every ? s",)),
    ],
)
def test_a_card_says_how_its_model_decides(
    tmp_path: Path, task: str, place: str | None, note: dict[str, Any], words: tuple[str, ...]
) -> None:
    if place:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(json.dumps(note))
    said = EXTENSION.card(task, tmp_path)["decides"]
    assert all(word in said for word in words)
