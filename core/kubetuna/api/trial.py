"""What a trial of a Python function runs: ``python -m kubetuna.api.trial FOLDER MODULE FUNCTION METRIC…``.

It reads its parameters and prints its metrics as any other trial does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from importlib import import_module
from types import GeneratorType
from typing import Any

from kubetuna.trials.environment import PARAMS


def reports(result: Any, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a function returned, or yields, as metrics by name; the steps of a generator are counted from 1."""
    if isinstance(result, GeneratorType):
        for step, one in enumerate(result, 1):
            yield {"step": step, **_named(one, metrics)}
    elif result is not None:
        yield _named(result, metrics)


def _named(value: Any, metrics: Sequence[str]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    values = value if isinstance(value, tuple) else (value,)
    return {name: float(one) for name, one in zip(metrics, values, strict=True)}


def main(folder: str, module: str, function: str, *metrics: str) -> None:
    """Call the function with this trial's parameters and print what it reports."""
    sys.path.insert(0, folder)
    called: Any = reduce(getattr, function.split("."), import_module(module))
    for one in reports(called(**json.loads(os.environ[PARAMS])), metrics):
        print(json.dumps(one, default=float), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
