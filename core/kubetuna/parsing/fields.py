"""Reading fields of a checked document and noting what else is wrong with them, never stopping at the first fault.

A field that is not of its shape reads as absent, and nothing more is told of it: one fault is one problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.errors import Problem
from kubetuna.experiment import quantities
from kubetuna.experiment.field_errors import required
from kubetuna.parsing.checking import below, check
from kubetuna.parsing.schema import Node


@dataclass(slots=True)
class Faults:
    """Every problem of one document, and the paths that are not of their shape."""

    problems: list[Problem] = field(default_factory=list)
    misshapen: set[str] = field(default_factory=set)


class Fields:
    """One object of a document at its path. All readers of a document share its faults."""

    def __init__(self, value: object, path: str, faults: Faults) -> None:
        self.path, self.faults = path, faults
        self.present = isinstance(value, Mapping)
        self._value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def check(self, node: Node) -> None:
        """Hold the object against a shape."""
        found = tuple(check(node, self._value, self.path))
        self.faults.problems.extend(found)
        self.faults.misshapen.update(problem.path for problem in found)

    def problem(self, name: str, message: str) -> None:
        """Note that a field (the object itself: "") is wrong, unless its shape is, or its object's."""
        path = below(self.path, name) if name else self.path
        if not {path, self.path} & self.faults.misshapen:
            self.faults.problems.append(Problem(path, message))

    def sound(self) -> bool:
        """Whether the object and all that it holds are of their shape."""
        return not any(path.startswith(self.path) for path in self.faults.misshapen)

    def need(self, name: str, hint: str = "") -> None:
        """Note a field that is missing."""
        if name not in self:
            self.problem(name, required(hint))

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def raw(self, name: str) -> Any:
        """A field's value as it is, None where absent."""
        return self._value.get(name)

    def raw_all(self) -> Mapping[str, Any]:
        """All fields as they are."""
        return self._value

    def value(self, name: str) -> Any:
        """A field's value, None where it is not of its shape."""
        return None if below(self.path, name) in self.faults.misshapen else self._value.get(name)

    def child(self, name: str) -> Fields:
        """A field that is an object; absent ones read as empty."""
        return Fields(self._value.get(name), below(self.path, name), self.faults)

    def named(self, name: str, by: str) -> Fields:
        """A field that is an object, or the text of its one field ``by``."""
        value = self._value.get(name)
        return Fields({by: value} if isinstance(value, str) else value, below(self.path, name), self.faults)

    def items(self, name: str) -> Iterator[tuple[int, Any, str]]:
        """Index, value and path of every item of a list field that may be read."""
        value = self.value(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            path = f"{below(self.path, name)}[{index}]"
            if path not in self.faults.misshapen:
                yield index, item, path

    def objects(self, name: str) -> Iterator[Fields]:
        """Every item of a list of objects."""
        return (Fields(item, path, self.faults) for _index, item, path in self.items(name))

    def text(self, name: str) -> str | None:
        """A text field."""
        value = self.value(name)
        return value if isinstance(value, str) else None

    def count(self, name: str) -> int | None:
        """An integer."""
        value = self.value(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, name: str) -> float | int | None:
        """A finite number, or the text of one."""
        return quantities.number(self.value(name))

    def real(self, name: str) -> float | None:
        """The same as a floating-point number."""
        found = self.number(name)
        return None if found is None else float(found)

    def flag(self, name: str) -> bool:
        """A boolean, false where absent."""
        return self.value(name) is True

    def duration(self, name: str) -> float | None:
        """A duration in seconds."""
        return quantities.seconds(self.value(name))
