"""A saved ensemble: read back from its two files, whoever wrote them, and rebuilt untrained for comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from kubetuna_trial.errors import InputError
from kubetuna_trial.folds import Fold, fold_of
from kubetuna_trial.metrics import Floats
from kubetuna_trial.task1.agents import Kind, network
from kubetuna_trial.task1.nets import QNetwork

TENSORS, DESCRIPTION = "ensemble.safetensors", "ensemble.json"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Networks with what they need to decide: gap in seconds, units of exposure, scale of the factors f64[F].

    ``fold`` is the one that it was trained in, where it was.
    """

    nets: tuple[QNetwork, ...]
    gap: int
    units: int
    mean: Floats
    deviation: Floats
    origin: Mapping[str, Any] | None
    described: Mapping[str, Any]
    fold: Fold | None = None

    def untrained(self, seed: int) -> tuple[QNetwork, ...]:
        """The same networks before any training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _networks(self.described)


def load_ensemble(folder: Path) -> Ensemble:
    """Read an ensemble. Raises InputError where the folder holds none, or a damaged one."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        tensors = load_file(folder / TENSORS)
        return _ensemble(described, tensors)
    except OSError as error:
        raise InputError(
            f"{folder}: holds no ensemble: {error.filename or error}: {error.strerror or ''}"
        ) from None
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: the ensemble is damaged: {type(error).__name__}: {str(error)[:200]}") from None


def _ensemble(described: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Ensemble:
    if described.get("task") != "task1":
        raise InputError(f"a model of {described.get('task')!r} is not an ensemble of task1")
    nets = _networks(described)
    for index, net in enumerate(nets):
        own = {name.partition(".")[2]: t for name, t in tensors.items() if name.partition(".")[0] == str(index)}
        net.load_state_dict(own)
    return Ensemble(
        nets,
        int(described["step_gap"]),
        int(described["max_position"]),
        np.array(described["factor_mean"], dtype=np.float64),
        np.array(described["factor_deviation"], dtype=np.float64),
        described.get("origin"),
        described,
        fold_of(described.get("protocol", {}).get("fold")),
    )


def _networks(described: Mapping[str, Any]) -> tuple[QNetwork, ...]:
    width = 2 + len(described["factor_mean"])
    kinds = [Kind(bool(a["dueling"]), int(a["heads"]), bool(a["double"])) for a in described["agents"]]
    return tuple(network(kind, width, described["net_dims"]) for kind in kinds)
