"""Reading fields of a parsed document while noting everything that is wrong, never stopping at the first fault."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubetuna.errors import Problem
from kubetuna.experiment import quantities


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


class Fields:
    """One object of a document at its path. All readers of a document share one list of problems."""

    def __init__(self, value: object, path: str, problems: list[Problem]) -> None:
        self.path, self.problems = path, problems
        self.present = isinstance(value, Mapping)
        self._value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        if value is not None and not self.present:
            self.problem("", f"{shown(value)} must be an object with fields")

    def problem(self, field: str, message: str) -> None:
        """Note that a field (the object itself: "") is wrong; a name may be hostile, a message is one line."""
        field = "".join(c if c.isprintable() else "�" for c in field[:200])
        path = self.path if not field else f"{self.path}.{field}" if self.path else field
        self.problems.append(Problem(path.removeprefix("."), message))

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def raw(self, name: str) -> Any:
        """A field's value as it is, None where absent."""
        return self._value.get(name)

    def raw_all(self) -> Mapping[str, Any]:
        """All fields as they are."""
        return self._value

    def known(self, names: Sequence[str]) -> None:
        """Note every field that is not among ``names``, with the nearest that is."""
        for name in self._value:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
                self.problem(str(name), f"this field is not known{hint}")

    def child(self, name: str) -> Fields:
        """A field that is an object; absent ones read as empty."""
        return Fields(self._value.get(name), f"{self.path}.{name}", self.problems)

    def items(self, name: str) -> Iterator[tuple[int, Any, str]]:
        """Index, value and path of every item of a list field."""
        value = self._value.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self.problem(name, f"{shown(value)} must be a list")
            return
        for index, item in enumerate(value):
            yield index, item, f"{self.path}.{name}[{index}]"

    def text(self, name: str, default: str | None = None, words: Sequence[str] = ()) -> str | None:
        """A text field, one of ``words`` where they are given."""
        value = self._value.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or not value:
            self.problem(name, f"{shown(value)} must be text; quote it")
            return default
        if words and value not in words:
            near = difflib.get_close_matches(value, words, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.problem(name, f"{shown(value)} is not allowed; allowed: {', '.join(words)}{hint}")
            return default
        return value

    def number(self, name: str) -> float | int | None:
        """A finite number, or the text of one."""
        value = self._value.get(name)
        if value is None:
            return None
        found = quantities.number(value)
        if found is None:
            self.problem(name, f"{shown(value)} must be a finite number")
        return found

    def count(self, name: str, low: int, high: int = 2**31 - 1) -> int | None:
        """An integer between two bounds."""
        value = self._value.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            bound = f"an integer of at least {low}" if high == 2**31 - 1 else f"an integer from {low} to {high}"
            self.problem(name, f"{shown(value)} must be {bound}")
            return None
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false where absent."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"{shown(value)} must be true or false")
        return value is True

    def duration(self, name: str) -> float | None:
        """A duration in seconds."""
        value = self._value.get(name)
        if value is None:
            return None
        found = quantities.seconds(value)
        if found is None:
            self.problem(name, f"{shown(value)} must be a duration above 0, such as 90s, 30m, 1h30m")
        return found
