"""Putting parameters into a template: whole leaves of parsed YAML, in one pass.

Text is never formatted and parsed again, and a value that itself looks like a placeholder stays as it is, so no
parameter can change a template's structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubetuna.trials.environment import bare

_PLACEHOLDER = re.compile(r"\$\{trial(?:Parameters\.([^}]*)|Spec\.([^}]*))\}")


def substitute(
    trial_spec: Mapping[str, Any],
    substitutions: Mapping[str, str],
    params: Mapping[str, Any],
    meta: Mapping[str, str],
) -> dict[str, Any]:
    """A copy of the template with every known placeholder replaced.

    ``substitutions`` maps a placeholder's name to a parameter, or to a reference like ``${trialSpec.Name}``;
    ``meta`` holds the trial's ``name`` and ``namespace``. A parameter that does not exist in this trial leaves
    an empty text.
    """
    about = _references(trial_spec, meta)

    def replaced(match: re.Match[str]) -> str:
        name, reference = match.group(1), match.group(2)
        if name is None:
            return about.get(reference, match.group(0))
        source = substitutions.get(name)
        if source is None:
            return match.group(0)
        if source.startswith("${trialSpec."):
            return about.get(source.removeprefix("${trialSpec.").removesuffix("}"), "")
        return bare(params[source]) if source in params else ""

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(replaced, value)
        if isinstance(value, Mapping):
            return {key: walk(child) for key, child in value.items()}
        return [walk(child) for child in value] if isinstance(value, list) else value

    result: dict[str, Any] = walk(trial_spec)
    return result


def _references(trial_spec: Mapping[str, Any], meta: Mapping[str, str]) -> dict[str, str]:
    metadata = trial_spec.get("metadata") or {}
    found = {
        "Name": meta["name"],
        "Namespace": meta["namespace"],
        "Kind": str(trial_spec.get("kind", "")),
        "APIVersion": str(trial_spec.get("apiVersion", "")),
    }
    for word, field in (("Labels", "labels"), ("Annotations", "annotations")):
        for key, value in (metadata.get(field) or {}).items():
            found[f"{word}[{key}]"] = str(value)
    return found
