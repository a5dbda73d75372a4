"""What a finished trial leaves in its output folder, readable without this package.

``ensemble.safetensors`` (tensors ``<member>.<name>``), ``ensemble.json`` (what rebuilds the networks and their
inputs), ``metrics.json`` (the last report, flat) and ``returns.csv`` (the evaluation's return of each second).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from kubetuna_trial.files import write_whole
from kubetuna_trial.marks import last_mark, sketch
from kubetuna_trial.metrics import Floats
from kubetuna_trial.task1.data import Dataset
from kubetuna_trial.task1.training import Trial


def write_artifacts(
    folder: Path, trial: Trial, data: Dataset, metrics: Mapping[str, float], returns: Floats
) -> None:
    """Write the four files; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{index}.{name}": tensor.detach().cpu().contiguous()
        for index, member in enumerate(trial.members)
        for name, tensor in member.net.state_dict().items()
    }
    save_file(tensors, folder / "ensemble.safetensors.part")
    (folder / "ensemble.safetensors.part").replace(folder / "ensemble.safetensors")
    write_whole(folder / "ensemble.json", json.dumps(_description(trial, data), indent=2) + "\n")
    write_whole(folder / "returns.csv", "return\n" + "".join(f"{value!r}\n" for value in returns.tolist()))
    write_whole(folder / "metrics.json", json.dumps(dict(metrics), indent=2) + "\n")


def _description(trial: Trial, data: Dataset) -> dict[str, object]:
    params = trial.plan.params
    return {
        "task": "task1",
        "agents": [
            {"name": name, **asdict(member.kind)} for name, member in zip(params.agents, trial.members, strict=True)
        ],
        "net_dims": list(params.net_dims),
        "step_gap": params.step_gap,
        "max_position": params.max_position,
        "inputs": ["position / max_position", "seconds held / 3600", "factors, scaled and clipped to ±5"],
        "factor_mean": data.mean.tolist(),
        "factor_deviation": data.deviation.tolist(),
        "linear": trial.linear,
        "seed": trial.plan.seed,
        "data": data.source,
        "origin": dict(data.origin),
        "hashes": dict(data.hashes),
        "market": {"": sketch(data.marks)},
        "ends": last_mark(data.marks),
        "protocol": {**trial.protocol.fields(), "hash": trial.protocol.digest},
    }
