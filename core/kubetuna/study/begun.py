"""A study goes on with the search that it was begun with, whatever newer versions do where none is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kubetuna.experiment.model import Experiment
from kubetuna.trials.records import EXPERIMENT, USUAL_ALGORITHM

# Before what is usual was stored with a study.
_FORMERLY = "tpe"


def as_begun(spec: Experiment, attrs: Mapping[str, Any]) -> Experiment:
    """The spec with the algorithm that the study of these attributes was begun with, if there is such a study."""
    named = (spec.raw.get("spec") or {}).get("algorithm") is not None
    if named or EXPERIMENT not in attrs:
        return spec
    usual = str(attrs.get(USUAL_ALGORITHM, _FORMERLY))
    return replace(spec, algorithm=replace(spec.algorithm, name=usual))
