"""A mutant: the product with one text in one of its files replaced, so that something it relies on is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
OPERATOR, CORE = "operator/kubetuna_operator", "core/kubetuna"


@dataclass(frozen=True, slots=True)
class Mutant:
    """``what`` no longer holds once ``before`` has become ``after`` in ``file``."""

    what: str
    file: str
    before: str
    after: str

    def applied(self, tree: Path) -> str:
        """The file's text with the mutation, from a copy of the project.

        Raises:
            ValueError: the text is not there, or more than once.
        """
        text = (tree / self.file).read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.what}: in {self.file} there is {text.count(self.before)} times: {self.before}")
        return text.replace(self.before, self.after)


def within(file: str, *mutations: tuple[str, str, str]) -> Iterator[Mutant]:
    """Mutants of one file."""
    for what, before, after in mutations:
        yield Mutant(what, file, before, after)
