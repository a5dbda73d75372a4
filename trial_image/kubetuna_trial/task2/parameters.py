"""The parameters of a trial: their types, what the trainer accepts, and the contest guide's search ranges.

What is accepted is wider than the guide's ranges; what cannot work is refused with the name, the value and what
is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna_trial.errors import InputError
from kubetuna_trial.numbers import Number, parse_numbers, refuse_unknown

HIGHEST_STRENGTH = 20
QUANTIZATIONS = ("nf4", "fp4")


NUMBERS: Mapping[str, Number] = {
    "lora_r": Number(True, 1, 1024, 16, "8 … 64 step 8", "rank of the LoRA update"),
    "lora_alpha": Number(True, 1, 1024, 32, "8 … 32 step 8", "its weight: alpha / r scales the update"),
    "lora_dropout": Number(False, 0, 0.9, 0.05, "0.05 … 0.3", "dropout before the update, in training only"),
    "learning_rate": Number(False, 1e-9, 1, 1e-4, "1e-6 … 1e-4 log", "step size of AdamW"),
    "max_train_steps": Number(True, 1, 1_000_000, 100, "20 … 100", "training steps: the trial's budget"),
    "signal_strength": Number(True, 2, HIGHEST_STRENGTH, 10, "5 … 20", "scores go from minus to plus this"),
    "lookahead": Number(True, 1, 7, 3, "1 … 7", "trading days after which training pays a score"),
    "max_env_steps": Number(True, 1, 100_000, 300, "200 … 300", "most recent days that training sees"),
    "reward_scaling": Number(False, 1e-6, 1e6, 1.0, "0.1 … 2", "factor on the training reward"),
}
# How much a prompt holds: not in the guide, and no part of how a trial is judged, so that it can be tuned.
READING: Mapping[str, Number] = {
    "articles": Number(True, 1, 50, 3, "not in the guide", "newest articles in a prompt"),
    "news_days": Number(True, 1, 365, 10, "not in the guide", "days before the decision that they are from"),
    "article_characters": Number(True, 20, 100_000, 400, "not in the guide", "an article is cut after as many"),
    "prompt_tokens": Number(
        True, 32, 1_000_000, 1024, "not in the guide", "a prompt is cut to as many, at its start"
    ),
}
CHOICES = ("use_4bit", "quantization_type")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is tuned. None of it changes how a trial is judged. ``quantization`` is None, nf4 or fp4."""

    lora_r: int
    lora_alpha: int
    lora_dropout: float
    learning_rate: float
    max_train_steps: int
    signal_strength: int
    lookahead: int
    max_env_steps: int
    reward_scaling: float
    quantization: str | None
    articles: int = 3
    news_days: int = 10
    article_characters: int = 400
    prompt_tokens: int = 1024


def parse_parameters(given: Mapping[str, Any]) -> Parameters:
    """Read parameters by name; one that is absent has its default. Raises InputError."""
    rules = {**NUMBERS, **READING}
    refuse_unknown(given, {*rules, *CHOICES})
    numbers = parse_numbers(rules, given)
    whole = {name: int(value) for name, value in numbers.items() if rules[name].whole}
    return Parameters(
        lora_r=whole["lora_r"],
        lora_alpha=whole["lora_alpha"],
        lora_dropout=numbers["lora_dropout"],
        learning_rate=numbers["learning_rate"],
        max_train_steps=whole["max_train_steps"],
        signal_strength=whole["signal_strength"],
        lookahead=whole["lookahead"],
        max_env_steps=whole["max_env_steps"],
        reward_scaling=numbers["reward_scaling"],
        quantization=_quantization(given),
        **{name: whole[name] for name in READING},
    )


def _quantization(given: Mapping[str, Any]) -> str | None:
    """The 4-bit format; the type is checked even where it is not used."""
    kind = given.get("quantization_type", QUANTIZATIONS[0])
    if kind not in QUANTIZATIONS:
        raise InputError(
            f"quantization_type: {kind!r} is not allowed; it must be one of {', '.join(QUANTIZATIONS)}"
        )
    return str(kind) if _truth("use_4bit", given.get("use_4bit", False)) else None


def _truth(name: str, value: object) -> bool:
    words = {"true": True, "false": False}
    found = words.get(str(value).lower())
    if found is None:
        raise InputError(f"{name}: {value!r} is not allowed; it must be true or false")
    return found
