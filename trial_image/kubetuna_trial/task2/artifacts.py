"""What a finished trial leaves in its output folder, readable without this package.

``adapter/`` (loads with ``peft.PeftModel.from_pretrained``; its ``trial.json`` says how it was made),
``metrics.json`` (the last report, flat) and ``returns.csv`` (the evaluation's return of each day). Where the base
is the tiny model, which lives in a cache, a copy of it is ``model/`` and the adapter points there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kubetuna_trial.errors import InputError
from kubetuna_trial.files import write_whole
from kubetuna_trial.marks import last_mark
from kubetuna_trial.metrics import Floats
from kubetuna_trial.task2.training import Trial

NOTE = "trial.json"


def write_artifacts(folder: Path, trial: Trial, metrics: Mapping[str, float], returns: Floats) -> None:
    """Write them; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    base = trial.plan.source.name
    if trial.plan.source.made:
        _whole(folder / "model", lambda beside: shutil.copytree(trial.plan.source.name, beside))
        base = str((folder / "model").absolute())
    trial.policy.model.peft_config["default"].base_model_name_or_path = base
    _whole(folder / "adapter", lambda beside: _save(beside, trial))
    dates = trial.market.world.dates[trial.protocol.window[0] :]
    rows = "".join(f"{date},{value!r}\n" for date, value in zip(dates, returns.tolist(), strict=False))
    write_whole(folder / "returns.csv", "date,return\n" + rows)
    write_whole(folder / "metrics.json", _json(dict(metrics)))


def read_note(adapter: Path) -> dict[str, Any]:
    """How an adapter was made; empty for one that another program made. Raises InputError."""
    if not (adapter / "adapter_config.json").is_file():
        raise InputError(f"{adapter}: holds no adapter_config.json: it is not an adapter's folder")
    try:
        found = json.loads((adapter / NOTE).read_text()) if (adapter / NOTE).is_file() else {}
    except ValueError as error:
        raise InputError(f"{adapter / NOTE}: is not JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _save(folder: Path, trial: Trial) -> None:
    trial.policy.model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / NOTE).write_text(_json(_description(trial)))


def _description(trial: Trial) -> dict[str, object]:
    return {
        "task": "task2",
        "model": trial.plan.source.identity,
        "parameters": asdict(trial.plan.params),
        "method": asdict(trial.plan.method),
        "prompting": asdict(trial.policy.prompting),
        "weights": trial.backend,
        "seed": trial.plan.seed,
        "data": trial.market.source,
        "market": trial.market.sketches(),
        "ends": {ticker: last_mark(marks) for ticker, marks in trial.market.marks().items()},
        "protocol": {**trial.protocol.fields(), "hash": trial.protocol.digest},
    }


def _whole(folder: Path, make: Callable[[Path], object]) -> None:
    """A folder made beside, then put in the place of an older one."""
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    make(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=2) + "\n"
