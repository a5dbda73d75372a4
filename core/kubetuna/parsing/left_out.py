"""What a trial's command loses where a conditional parameter does not exist, told before it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubetuna.experiment.field_errors import invalid
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.checking import below
from kubetuna.trials.substitution import WORDS, Filling

SHOWN = 200


def check(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Programs that would be left out: paths below ``spec`` with what is wrong there."""
    for name in _conditional(experiment):
        filling = _without(experiment, name)
        for path, field, words in _places(experiment.template.trial_spec, "trialTemplate.trialSpec"):
            if field == "command" and words and filling.words(words)[0] is None:
                rule = f"names the program, and {name!r} does not exist in every trial"
                hint = f"${{trialParameters.{name}:-DEFAULT}} says what to run without it"
                yield f"{path}[0]", invalid(words[0], f"{rule}; {hint}")


def notes(experiment: Experiment) -> Iterator[str]:
    """What each conditional parameter takes with it, in a sentence."""
    for name in _conditional(experiment):
        lost = ", ".join(_lost(experiment, _without(experiment, name)))
        if lost:
            cut = lost if len(lost) <= SHOWN else f"{lost[: SHOWN - 1]}…"
            yield f"where {name!r} does not exist, a trial runs without: {cut}"


def _conditional(experiment: Experiment) -> list[str]:
    return [p.name for p in experiment.parameters if p.when is not None]


def _without(experiment: Experiment, name: str) -> Filling:
    others: dict[str, Any] = {p.name: True for p in experiment.parameters if p.name != name}
    return Filling(experiment.template.substitutions, others, {})


def _lost(experiment: Experiment, filling: Filling) -> Iterator[str]:
    for path, field, value in _places(experiment.template.trial_spec, ""):
        if field in WORDS:
            yield from filling.lost_words(value)
        elif field == "env":
            yield from (f"the variable {entry['name']}" for entry in value if filling.is_lost(entry))
        elif filling.text(value) is None:
            yield f"a value in {path.removeprefix('.')}"


def _places(value: Any, path: str, field: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every command, every environment and every other text in a template, each with its path and its field."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _places(child, below(path, key), str(key))
    elif isinstance(value, list):
        if field == "env" or (field in WORDS and all(isinstance(word, str) for word in value)):
            yield path, field, value
            return
        for index, child in enumerate(value):
            yield from _places(child, f"{path}[{index}]")
    elif isinstance(value, str):
        yield path, "", value
