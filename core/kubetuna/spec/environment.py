"""The environment of an attempt: the whole interface by which a trial learns what it is to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubetuna.spec.parameters import variable


def environment(experiment: str, params: Mapping[str, Any], trial: int, attempt: int, seed: int) -> dict[str, str]:
    """The variables of one attempt; its place adds ``KUBETUNA_CHECKPOINT_DIR`` and ``KUBETUNA_OUT``."""
    return {
        "KUBETUNA_EXPERIMENT": experiment,
        "KUBETUNA_TRIAL": str(trial),
        "KUBETUNA_ATTEMPT": str(attempt),
        "KUBETUNA_SEED": str(seed),
        "KUBETUNA_PARAMS": json.dumps(dict(params), ensure_ascii=False),
        **{variable(name): bare(value) for name, value in params.items()},
    }


def bare(value: Any) -> str:
    """A value as a JSON scalar, text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)
