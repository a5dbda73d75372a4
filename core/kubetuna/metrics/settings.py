"""What in a log is set rather than measured: a configuration, its arguments, the object that holds them.

A trainer prints what it runs with in the same signs as what came of it: ``Config(loss=0.0)``,
``args={'loss': 0.0}``. A person tells them apart by the name in front, and so does this.
"""

from __future__ import annotations

import re

_SET = (
    r"(?:hyper)?(?:config(?:uration)?|cfg|args?|arguments?|kwargs|param(?:eter)?s?|hparams|settings?|options?|opts"
    r"|flags)"
)
# Directly before an object: "config: {", "train_args={", "BertConfig {", "Config({".
_CLASSES = r"[a-z](?:Config|Configuration|Args|Arguments|Params|Settings|Options)"
_LABEL = re.compile(rf"(?:(?i:(?<![a-z]){_SET}\d*[\"']?\s{{0,3}}[:=(]+\s{{0,3}}(?:dict\()?)|{_CLASSES}\s?\(?)\Z")
_BEFORE = 40

# A word is taken whole, so that no character of it starts a second search.
_PARENTHESIS = re.compile(r"(\w++)(\()?|\(|\)")
_CONFIGURES = re.compile(rf"(?:(?i:(?<![a-z]){_SET})|{_CLASSES})\Z")
# A class whose object holds what was measured, by its last word: TrainOutput, EvalResult, Metrics, Epoch.
_MEASURED = re.compile(
    r"(?:output|results?|metrics?|scores?|report|stat(?:e|s|istics)|eval(?:uation)?|val(?:id|idation)?|test(?:ing)?"
    r"|train(?:ing)?|prediction|epoch|step|loss(?:es)?|summary|history|logs?|record|progress|performance)\d*\Z",
    re.IGNORECASE,
)


def is_settings(text: str, start: int) -> bool:
    """Whether the object that begins here is named as settings."""
    return start > 0 and _LABEL.search(text, max(0, start - _BEFORE), start) is not None


def names_settings(text: str, place: int) -> bool:
    """Whether a place lies in settings of either form."""
    return Parentheses(text).in_settings(place) or is_settings(text, text.rfind("{", 0, place))


class Parentheses:
    """The parentheses that are open, from the left of a text to its right."""

    def __init__(self, text: str) -> None:
        # For each whether it holds settings; one without a name is what the one around it is.
        self._open: list[bool] = []
        self._found = _PARENTHESIS.finditer(text)
        self._next = next(self._found, None)

    def in_settings(self, place: int) -> bool:
        """Whether a place lies in an object that was built, and not of a result. Places come in order."""
        while self._next is not None and self._next.start() < place:
            self._take(self._next)
            self._next = next(self._found, None)
        return bool(self._open) and self._open[-1]

    def _take(self, found: re.Match[str]) -> None:
        name, opens = found.groups()
        if found.group() == ")":
            del self._open[-1:]
        elif opens:
            self._open.append(_holds_settings(name))
        elif name is None:
            self._open.append(self._open[-1] if self._open else False)


def _holds_settings(name: str) -> bool:
    return bool(_CONFIGURES.search(name)) or (name.lstrip("_")[:1].isupper() and not _MEASURED.search(name))
