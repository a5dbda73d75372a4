"""Putting parameters into a template: whole leaves of parsed YAML, in one pass.

Text is never formatted and parsed again, and a value that itself looks like a placeholder stays as it is, so no
parameter can change a template's structure. An argument, or an entry of the environment, that names a parameter
which does not exist in this trial is left out whole: ``--momentum=`` would only crash the trial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.trials.environment import bare

# ``${trialParameters.x}``; ``:+WORD`` gives WORD where x is there and not false, ``:-WORD`` where x is not there.
PLACEHOLDER = re.compile(
    r"\$\{trial(?:Parameters\.(?P<name>[^}]*?)(?::(?P<form>[-+])(?P<word>[^}]*))?|Spec\.(?P<reference>[^}]*))\}"
)
WORDS = ("command", "args")

_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
# The words of a shell's text, its operators and what is between them; a placeholder may hold blanks.
_PIECES = re.compile(r"\s+|[;&|()]+|(?:\$\{trial[^}]*\}|[^\s;&|()])+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
# Without an assignment after it each of these prints every variable, secrets too.
_EXPORTS = frozenset({"export", "declare", "local", "readonly", "typeset"})
# What may go from a shell's text without a trace; quotes that span words and operators may not.
_PLAIN = re.compile(r"(?:[\w./:,=@%+-]|\"[^\"]*\"|'[^']*')*")


def substitute(
    trial_spec: Mapping[str, Any],
    substitutions: Mapping[str, str],
    params: Mapping[str, Any],
    meta: Mapping[str, str],
) -> dict[str, Any]:
    """A copy of the template with every known placeholder replaced.

    ``substitutions`` maps a placeholder's name to a parameter, or to a reference like ``${trialSpec.Name}``;
    ``meta`` holds the trial's ``name`` and ``namespace``. Outside of arguments and environment a parameter that
    does not exist in this trial leaves an empty text.
    """
    result: dict[str, Any] = Filling(substitutions, params, _references(trial_spec, meta)).tree(trial_spec)
    return result


@dataclass(frozen=True, slots=True)
class Filling:
    """What the placeholders stand for in one trial."""

    substitutions: Mapping[str, str]
    params: Mapping[str, Any]
    about: Mapping[str, str]

    def tree(self, value: Any, field: str = "") -> Any:
        """A part of the template, filled in; ``field`` is what holds it."""
        if isinstance(value, str):
            return self.text(value) or ""
        if isinstance(value, Mapping):
            return {key: self.tree(child, key) for key, child in value.items()}
        if not isinstance(value, list):
            return value
        if field in WORDS and all(isinstance(item, str) for item in value):
            return [word for word in self.words(value) if word is not None]
        if field == "env":
            value = [entry for entry in value if not self.is_lost(entry)]
        return [self.tree(child) for child in value]

    def is_lost(self, entry: Any) -> bool:
        """Whether an entry of the environment is left out."""
        text = entry.get("value") if isinstance(entry, Mapping) else None
        return isinstance(text, str) and text != "" and self.text(text) is None

    def words(self, words: Sequence[str]) -> list[str | None]:
        """Arguments, each filled in; None for one that is left out, with the flag before one that stands alone."""
        return self._each(words, lambda word: self._script(word) if _is_script(word) else self.text(word))

    def lost_words(self, words: Sequence[str]) -> list[str]:
        """The arguments, and words of a shell's text, that are left out, as they are written."""
        lost = [word for word, found in zip(words, self.words(words), strict=True) if found is None]
        for word in filter(_is_script, words):
            inner = [piece for piece in _PIECES.findall(word) if not piece.isspace()]
            filled = self._each(inner, self._script_word)
            lost += [piece for piece, found in zip(inner, filled, strict=True) if found is None]
        return [" ".join(lost)] if lost else []

    def _each(self, words: Sequence[str], fill: Callable[[str], str | None]) -> list[str | None]:
        found: list[str | None] = []
        for word in words:
            own = len(found)
            found.append(fill(word))
            if found[own] is None and _is_exported(words, own):
                found[own] = word[: word.index("=") + 1]
            if found[own] is None and own and found[own - 1] is not None and _follows(word, words[own - 1]):
                found[own - 1] = None
        return found

    def _script(self, text: str) -> str:
        """A shell's text, in which words are left out as arguments are."""
        pieces = _PIECES.findall(text)
        own = [i for i, piece in enumerate(pieces) if not piece.isspace()]
        for index, word in zip(own, self._each([pieces[i] for i in own], self._script_word), strict=True):
            if word is None and index and pieces[index - 1].isspace() and "\n" not in pieces[index - 1]:
                pieces[index - 1] = ""
            pieces[index] = word or ""
        return "".join(pieces)

    def _script_word(self, word: str) -> str | None:
        filled = self.text(word)
        whole = filled is not None or _PLAIN.fullmatch(PLACEHOLDER.sub("", word))
        return filled if whole else PLACEHOLDER.sub(lambda match: self._value(match) or "", word)

    def text(self, text: str) -> str | None:
        """A text, filled in; None where a parameter does not exist, or where nothing but a ``:+`` was there."""
        found = {match.group(): self._value(match) for match in PLACEHOLDER.finditer(text)}
        if None in found.values():
            return None
        filled = PLACEHOLDER.sub(lambda match: found[match.group()] or "", text)
        optional = any(match["form"] == "+" for match in PLACEHOLDER.finditer(text))
        return None if optional and not filled.strip() else filled

    def _value(self, match: re.Match[str]) -> str | None:
        if match["reference"] is not None:
            return self.about.get(match["reference"], match.group())
        source = self.substitutions.get(match["name"])
        if source is None:
            return match.group()
        if source.startswith("${trialSpec."):
            return self.about.get(source.removeprefix("${trialSpec.").removesuffix("}"), "")
        if match["form"] == "+":
            return match["word"] if _is_set(self.params.get(source)) else ""
        return bare(self.params[source]) if source in self.params else match["word"]


def _is_set(value: Any) -> bool:
    """Whether a ``:+`` holds: Katib's booleans are texts."""
    return value is not None and value is not False and str(value).lower() not in ("", "false")


def _is_script(word: str) -> bool:
    return any(piece.isspace() for piece in _PIECES.findall(word))


def _follows(word: str, before: str) -> bool:
    """Whether a word that is left out is the value of the flag before it, and no flag or setting of its own."""
    given = (match["word"] or "" for match in PLACEHOLDER.finditer(word))
    own = word.startswith("-") or "=" in PLACEHOLDER.sub("", word) or any(one.startswith("-") for one in given)
    return not own and _FLAG.fullmatch(before) is not None


def _is_exported(words: Sequence[str], index: int) -> bool:
    """Whether a word of a shell's text is an assignment that ``export`` or the like needs."""
    while index and _ASSIGNMENT.match(words[index]):
        index -= 1
        if words[index] in _EXPORTS:
            return True
    return False


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
