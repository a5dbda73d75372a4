"""The environment of an attempt: the whole interface by which a trial learns what it is to do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from kubetuna.trials.attempts import AttemptKey

# Tells which container of a Pod carries the trial.
TRIAL = "KUBETUNA_TRIAL"
PARAMS = "KUBETUNA_PARAMS"
# Given by an executor: the folder for results, the one that outlives an attempt, the file to write metrics into.
OUT = "KUBETUNA_OUT"
CHECKPOINT_DIR = "KUBETUNA_CHECKPOINT_DIR"
METRICS_FILE = "KUBETUNA_METRICS"


def environment(experiment: str, params: Mapping[str, Any], key: AttemptKey, seed: int) -> dict[str, str]:
    """The variables of one attempt; its executor adds those that name folders and files."""
    return {
        "KUBETUNA_EXPERIMENT": experiment,
        TRIAL: str(key.trial),
        "KUBETUNA_REPEAT": str(key.repeat),
        "KUBETUNA_ATTEMPT": str(key.attempt),
        "KUBETUNA_SEED": str(seed),
        PARAMS: json.dumps(dict(params), ensure_ascii=False),
        **{variable(name): bare(value) for name, value in params.items()},
    }


def variable(name: str) -> str:
    """The environment variable that carries a parameter."""
    return "KUBETUNA_PARAM_" + re.sub(r"[-.]", "_", name).upper()


def bare(value: Any) -> str:
    """A value as a JSON scalar, text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def short(value: Any, limit: int = 40) -> str:
    """A value for people: as JSON, of bounded length, and text that would read as something else quoted."""
    ambiguous = isinstance(value, str) and (
        value in ("null", "true", "false") or value[:1] in ("[", "{", '"') or value.strip() != value or not value
    )
    text = json.dumps(value, ensure_ascii=False) if ambiguous else bare(value)
    return text if len(text) <= limit or isinstance(value, str) else f"{text[: limit - 1]}…"


def feasible(space: Mapping[str, Any]) -> str:
    """A feasible space for people: ``0 to 1``, or ``a | b``."""
    if "list" in space:
        return short(" | ".join(map(short, space["list"]))[:80])
    return f"{space['min']:g} to {space['max']:g}"


def params_hash(params: Mapping[str, Any]) -> str:
    """A short, stable fingerprint of a trial's parameters."""
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_seed(seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial's repeat, below 2**31: a function of the experiment's seed and these two numbers."""
    text = f"{seed}:{number}:{repeat}" if repeat else f"{seed}:{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
