"""From an algorithm's name and settings as written to Optuna's own, every fault found at once.

Values may come as text (Katib's way) or as numbers and booleans; their type is the one that Optuna's constructor
declares. Unknown names are answered with the nearest known one.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.samplers import GridSampler

from kubetuna.experiment.field_errors import duplicate, forbidden, invalid, required, unsupported
from kubetuna.experiment.model import Algorithm
from kubetuna.search.catalogue import (
    PRUNER_ALIASES,
    PRUNERS,
    SAMPLER_ALIASES,
    SAMPLERS,
    SEED,
    WITHOUT_COUNTERPART,
    Entry,
)

Settings = Sequence[tuple[str, object]]
Faults = list[tuple[str, str]]
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0")

_SAMPLER_NAMES, _PRUNER_NAMES = (*SAMPLERS, *SAMPLER_ALIASES), (*PRUNERS, *PRUNER_ALIASES)


def _elsewhere(name: str, known: Sequence[str], word: str, field: str) -> str:
    """The hint for a name that belongs into another field, as Katib's ``hyperband`` does."""
    return f"; {name} is {word} here: write spec.{field}.algorithmName" if name in known else ""


def resolve_sampler(name: str, settings: Settings) -> tuple[Algorithm | None, Faults]:
    """The sampler of that name; None with the faults, each a path below the algorithm and a message."""
    canonical, preset = SAMPLER_ALIASES.get(name, (name, {}))
    entry = SAMPLERS.get(canonical)
    if entry is None:
        return None, [
            (
                "algorithmName",
                unsupported(name, _SAMPLER_NAMES, _elsewhere(name, _PRUNER_NAMES, "a pruner", "earlyStopping")),
            )
        ]
    values, faults = _checked(entry, settings, with_seed=True)
    faults += _missing_needs(canonical, entry)
    seed = values.pop("seed", None)
    faults = faults or _refused(entry, {**entry.defaults, **preset, **values})
    return (None if faults else Algorithm(canonical, {**entry.defaults, **preset, **values}, seed)), faults


def resolve_pruner(name: str, settings: Settings) -> tuple[Algorithm | None, Faults]:
    """The pruner of that name, likewise. ``patient`` keeps the pruner it wraps under ``wrapped_pruner``."""
    canonical, preset = PRUNER_ALIASES.get(name, (name, {}))
    entry = PRUNERS.get(canonical)
    if entry is None:
        return None, [
            (
                "algorithmName",
                unsupported(name, _PRUNER_NAMES, _elsewhere(name, _SAMPLER_NAMES, "a sampler", "algorithm")),
            )
        ]
    inner, rest, positions = _split_wrapped(canonical, settings)
    values, faults = _checked(entry, rest, with_seed=False, positions=positions)
    faults += _missing_needs(canonical, entry)
    merged = {**entry.defaults, **preset, **values}
    faults += _required(canonical, merged, {entry.renamed.get(key, key) for key, _ in rest})
    if canonical != "patient":
        faults = faults or _refused(entry, merged)
    if inner is not None:
        merged["wrapped_pruner"], inner_faults = _wrapped(inner)
        faults += inner_faults
    return (None if faults else Algorithm(canonical, merged)), faults


def ignored(settings: Settings) -> list[str]:
    """What to tell a person of settings that are accepted, since Katib has them, and have no effect here."""
    names = [name for name, _ in settings if name in WITHOUT_COUNTERPART]
    return [f"setting {name!r} has no effect: {WITHOUT_COUNTERPART[name]}" for name in names]


def _checked(
    entry: Entry, settings: Settings, with_seed: bool, positions: Sequence[int] | None = None
) -> tuple[dict[str, Any], Faults]:
    values: dict[str, Any] = {}
    faults: Faults = []
    ranges = {**entry.ranges, **({"seed": SEED} if with_seed else {})}
    for index, (written, raw) in zip(positions or range(len(settings)), settings, strict=True):
        name = entry.renamed.get(written, written)
        path = f"algorithmSettings[{index}]"
        if name not in ranges and written in WITHOUT_COUNTERPART:
            continue
        if name not in ranges:
            faults.append((f"{path}.name", _unsettable(entry, written, ranges)))
        elif name in values:
            faults.append((f"{path}.name", duplicate(written)))
        else:
            value, wrong = _typed(entry, name, raw)
            if wrong is None and not ranges[name].holds(value):
                wrong = invalid(raw, f"{written} must be {ranges[name]}")
            if wrong is None:
                values[name] = value
            else:
                faults.append((f"{path}.value", wrong))
    return values, faults


def _unsettable(entry: Entry, name: str, ranges: Mapping[str, object]) -> str:
    known = sorted({*ranges, *entry.renamed})
    if name in inspect.signature(entry.target).parameters:
        return unsupported(name, known, "; it cannot be set from a file")
    return unsupported(name, known) if known else forbidden("this algorithm has no settings")


def _typed(entry: Entry, name: str, raw: object) -> tuple[Any, str | None]:
    """The value in the type that Optuna's constructor declares, or what is wrong with it."""
    if name == "seed" or name in entry.integers:
        return _number(raw, int)
    declared = inspect.signature(entry.target).parameters[name].annotation
    text = declared if isinstance(declared, str) else getattr(declared, "__name__", str(declared))
    if text.startswith("bool"):
        return _flag(raw)
    if text.startswith("int"):
        return _number(raw, int)
    if text.startswith("float"):
        return _number(raw, float)
    return (raw, None) if isinstance(raw, str) else (None, invalid(raw, "must be of type string"))


def _flag(raw: object) -> tuple[Any, str | None]:
    if isinstance(raw, bool):
        return raw, None
    if str(raw) in _TRUE:
        return True, None
    if str(raw) in _FALSE:
        return False, None
    return None, invalid(raw, "must be of type boolean")


def _number(raw: object, kind: type) -> tuple[Any, str | None]:
    word = "an integer" if kind is int else "a number"
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None, invalid(raw, f"must be {word}")
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None, invalid(raw, f"must be {word}")
    if value != value or abs(value) == float("inf") or (kind is int and not value.is_integer()):
        return None, invalid(raw, f"must be {word}")
    return (int(raw) if kind is int and not isinstance(raw, str) else kind(value)), None


def _missing_needs(name: str, entry: Entry) -> Faults:
    missing = [need for need in entry.needs if importlib.util.find_spec(need) is None]
    if not missing:
        return []
    return [("algorithmName", invalid(name, f"needs {', '.join(missing)}; pip install {' '.join(missing)}"))]


def _split_wrapped(
    name: str, settings: Settings
) -> tuple[tuple[str, list[tuple[int, str, object]]] | None, Settings, list[int]]:
    """Settings of the wrapped pruner apart from those of ``patient`` itself."""
    if name != "patient":
        return None, settings, list(range(len(settings)))
    wrapped = "none"
    inner: list[tuple[int, str, object]] = []
    rest: list[tuple[str, object]] = []
    positions: list[int] = []
    for index, (key, value) in enumerate(settings):
        if key == "wrapped_pruner":
            wrapped = str(value)
        elif key.startswith("wrapped_pruner."):
            inner.append((index, key.removeprefix("wrapped_pruner."), value))
        else:
            rest.append((key, value))
            positions.append(index)
    return (wrapped, inner), rest, positions


def _wrapped(inner: tuple[str, list[tuple[int, str, object]]]) -> tuple[Algorithm | None, Faults]:
    name, settings = inner
    if name == "patient":
        return None, [("algorithmSettings", forbidden("wrapped_pruner: 'patient' cannot wrap itself"))]
    algorithm, faults = resolve_pruner(name, [(key, value) for _, key, value in settings])
    moved = [(_moved(path, [index for index, _, _ in settings]), f"wrapped_pruner: {m}") for path, m in faults]
    return algorithm, moved


def _moved(path: str, positions: Sequence[int]) -> str:
    if not path.startswith("algorithmSettings["):
        return "algorithmSettings"
    index, _, rest = path.removeprefix("algorithmSettings[").partition("]")
    return f"algorithmSettings[{positions[int(index)]}]{rest}"


def _refused(entry: Entry, settings: Mapping[str, Any]) -> Faults:
    """What Optuna's own constructor says of settings that are each right alone."""
    if entry.target is GridSampler:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry.target(**settings)
    except (ValueError, TypeError, NotImplementedError) as error:
        return [("algorithmSettings", " ".join(str(error).split()))]
    return []


def _required(name: str, values: Mapping[str, Any], written: set[str]) -> Faults:
    """What is missing; what is ``written`` and wrong is told where it stands."""
    known = {*values, *written}
    if name == "percentile" and "percentile" not in known:
        return [("algorithmSettings", required("'percentile', between 0 and 100"))]
    if name == "patient" and "patience" not in known:
        return [("algorithmSettings", required("'patience', at least 0"))]
    if name == "threshold" and not {"lower", "upper"} & known:
        return [("algorithmSettings", required("'lower' or 'upper'"))]
    if name == "threshold" and values.get("lower", -1e308) > values.get("upper", 1e308):
        return [
            ("algorithmSettings", invalid(values.get("lower"), "'lower' must be less than or equal to 'upper'"))
        ]
    if name == "hyperband" and values.get("min_resource", 1) > values["max_resource"]:
        return [
            (
                "algorithmSettings",
                invalid(values.get("min_resource"), "'min_resource' must be less than or equal to 'max_resource'"),
            )
        ]
    return []
