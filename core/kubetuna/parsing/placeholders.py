"""What stands in a template for a parameter's value by its looks, and is passed on as it is.

``${lr}``, ``{{inputs.parameters.lr}}`` or a misspelt ``${trialParameter.lr}`` reaches the program untouched, or a
shell makes nothing of it, and every trial runs with the same value. A name that the template itself gives a value,
as a variable of the environment or of the shell, is meant as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubetuna.experiment.field_errors import shown
from kubetuna.experiment.model import Experiment
from kubetuna.parsing.template import META, leaves
from kubetuna.trials.substitution import PLACEHOLDER

_NOTED = 5
_MISSPELT = r"(?i:[${(<\[%]{1,3} ?trial[ _-]?(?:param\w{0,20}|spec)[.\[ _-][\w.-]{0,200} ?[})>\]%]{0,2})"


def unfilled(experiment: Experiment) -> Iterator[str]:
    """A sentence for each, the first few."""
    found = dict.fromkeys(_found(experiment))
    for text in list(found)[:_NOTED]:
        yield (
            f"{shown(text)} in the template is passed on as it is; a parameter's value is written "
            "${trialParameters.NAME}, a trial's name ${trialSpec.Name}"
        )


def _found(experiment: Experiment) -> Iterator[str]:
    names = sorted((p.name for p in experiment.parameters), key=len, reverse=True)
    named = rf"(?:\$\{{|\{{\{{|\$\() ?(?:[\w-]{{1,40}}\.){{0,3}}({'|'.join(map(re.escape, names))}) ?(?:\}}\}}?|\))"
    looks = re.compile(f"{named}|{_MISSPELT}")
    texts = list(leaves(experiment.template.trial_spec))
    given = {name for name in names if name in texts or any(_assigns(text, name) for text in texts)}
    for text in texts:
        yield from (m.group() for m in PLACEHOLDER.finditer(text) if _unknown(m))
        rest = PLACEHOLDER.sub(" ", text)
        yield from (match.group() for match in looks.finditer(rest) if match.group(1) not in given)


def _unknown(match: re.Match[str]) -> bool:
    return match["reference"] is not None and not META.match(match.group())


def _assigns(text: str, name: str) -> bool:
    """Whether a shell's text gives a variable of this name a value."""
    word = re.escape(name)
    return re.search(rf"(?:^|[\s;&|(])(?:{word}=|for {word} |read {word}\b)", text) is not None
