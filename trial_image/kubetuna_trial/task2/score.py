"""``score``: what a model says about given prompts, as a number and as the probability of each number."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from kubetuna_trial.command import Parser
from kubetuna_trial.errors import InputError
from kubetuna_trial.task2.saved import add_saved, saved_model
from kubetuna_trial.wire import say

DESCRIPTION = """\
The score of each prompt in FILE: the most probable whole number from minus to plus --signal-strength as the
answer. FILE is a JSON list of texts, or one prompt a line: a JSON text, an object with "prompt", or plain text.
--json prints a list of objects with score, expected_score and log_probabilities (by score)."""


def add_options(parser: Parser) -> None:
    """The options of ``score``."""
    add_saved(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", required=True, help="the prompts")


def run(options: Namespace) -> int:
    """Print the scores."""
    prompts = read_prompts(options.prompts)
    policy, names = saved_model(options)
    found = [_scored(row, policy.strength) for row in policy.log_probabilities(prompts).cpu().tolist()]
    say(f"model {names['model']}, adapter {names['adapter'] or 'none'}, weights {names['weights']}")
    if options.json:
        print(json.dumps(found, allow_nan=False))
        return 0
    for one, prompt in zip(found, prompts, strict=True):
        print(f"{one['score']:+d}  mean {one['expected_score']:+.2f}  {' '.join(prompt.split())[:80]}")
    return 0


def _scored(row: list[float], strength: int) -> dict[str, Any]:
    if not all(map(math.isfinite, row)):
        raise FloatingPointError("a score has no probability: the model is broken")
    scores = range(-strength, strength + 1)
    return {
        "score": scores[max(range(len(row)), key=row.__getitem__)],
        "expected_score": math.fsum(math.exp(value) * score for value, score in zip(row, scores, strict=True)),
        "log_probabilities": {str(score): value for score, value in zip(scores, row, strict=True)},
    }


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file. Raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        whole = json.loads(text)
    except ValueError:
        whole = [_line(line) for line in text.splitlines() if line.strip()]
    prompts = [_prompt(entry, path) for entry in (whole if isinstance(whole, list) else [whole])]
    if not prompts:
        raise InputError(f"{path}: holds no prompt")
    return prompts


def _line(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _prompt(entry: object, path: Path) -> str:
    found = entry.get("prompt") if isinstance(entry, dict) else entry
    found = str(found) if isinstance(found, int | float) else found
    if not isinstance(found, str) or not found.strip():
        raise InputError(
            f'{path}: {json.dumps(entry)[:80]} is not a prompt; a text or an object with "prompt" is required'
        )
    return found
