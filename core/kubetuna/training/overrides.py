"""Changing a winner's parameters by hand: what is unknown or outside the space is told before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from kubetuna.errors import ResultsError
from kubetuna.experiment.model import Experiment, Parameter
from kubetuna.parsing.warm_start import OUTSIDE, point_value
from kubetuna.parsing.yaml_text import load_documents
from kubetuna.search.space import exists, ordered
from kubetuna.trials.environment import short


def overridden(
    spec: Experiment, params: Mapping[str, Any], changes: Mapping[str, object], anywhere: bool = False
) -> dict[str, Any]:
    """The parameters with changes made to them; those whose condition no longer holds are left out.

    ``anywhere`` allows numbers outside the searched range.

    Raises:
        ResultsError: an unknown name, or a value that is not allowed; with every fault there is.
    """
    by_name = {p.name: p for p in spec.parameters}
    faults: list[str] = []
    changed = dict(params)
    for name, raw in changes.items():
        parameter = by_name.get(name)
        if parameter is None:
            faults.append(_unknown(name, list(by_name)))
            continue
        value = _value(parameter, raw, anywhere)
        if value is OUTSIDE:
            faults.append(f"{name}: {raw!r} is not allowed; {_allowed(parameter)}")
        changed[name] = value
    if faults:
        raise ResultsError("\n".join(faults))
    return _existing(spec, changed)


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(known)}"
    return f"there is no parameter {name!r}{hint}"


def _value(parameter: Parameter, raw: object, anywhere: bool) -> Any:
    typed = load_documents(raw)[0] if isinstance(raw, str) and raw.strip() else raw
    found = point_value(parameter, typed)
    if found is OUTSIDE and parameter.choices:
        # On a command line every value is text: "true" may mean the word or the truth value.
        return next((c for c in parameter.choices if str(c) == str(raw)), OUTSIDE)
    beyond = anywhere and not parameter.choices and isinstance(typed, int | float) and not isinstance(typed, bool)
    return typed if found is OUTSIDE and beyond else found


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        return f"allowed: {', '.join(map(short, parameter.choices))}"
    kind = "a whole number" if parameter.kind == "int" else "a number"
    step = f" in steps of {parameter.step:g}" if parameter.step not in (None, 1) else ""
    beyond = "--out-of-range allows any number"
    return f"it was searched as {kind} from {parameter.low:g} to {parameter.high:g}{step} ({beyond})"


def _existing(spec: Experiment, params: Mapping[str, Any]) -> dict[str, Any]:
    """Only the parameters that exist at this point, and those that the space does not know."""
    known = {p.name for p in spec.parameters}
    kept: dict[str, Any] = {}
    for parameter in ordered(spec):
        if parameter.name in params and exists(parameter, kept):
            kept[parameter.name] = params[parameter.name]
    return {name: value for name, value in params.items() if name in kept or name not in known}


def changes_of(words: Sequence[str]) -> dict[str, str]:
    """``--learning-rate 1e-5 --gamma=0.99`` as names and values.

    Raises:
        ResultsError: a word that is no option, or an option without a value.
    """
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise ResultsError(f"{word!r} is not an option; a parameter is changed with --NAME VALUE")
        if not given:
            if not rest or rest[0].startswith("--"):
                raise ResultsError(f"{word}: needs a value")
            value = rest.pop(0)
        found[name.replace("-", "_")] = value
    return found
