"""A mutant: the product with one text in one of its files replaced, so that something it relies on is gone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType

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

    def lines(self) -> set[int]:
        """All lines of the statements that are others in the mutant; of one with a body, its head."""
        before = (PROJECT / self.file).read_text(encoding="utf-8")
        old, new = before.splitlines(), self.applied(PROJECT).splitlines()
        steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        # What is put between two lines belongs to the one before, or to the one after.
        spans = [(a, b) if b > a else (a - 1, a + 1) for kind, a, b, _, _ in steps if kind != "equal"]
        changed = {line + 1 for first, end in spans for line in range(first, end)}
        return changed | {line for head in heads(ast.parse(before)) if changed & set(head) for line in head}

    def functions(self) -> dict[str, CodeType]:
        """The code of the functions that are others in the mutant, by their names in the module.

        Raises:
            ValueError: something else is another one too, which is run as the module is loaded.
        """
        path = str(PROJECT / self.file)
        before = compile((PROJECT / self.file).read_text(encoding="utf-8"), path, "exec")
        old, new = outermost(before), outermost(compile(self.applied(PROJECT), path, "exec"))
        changed = {name: code for name, code in new.items() if not is_same(code, old.get(name))}
        if not changed or old.keys() != new.keys():
            raise ValueError(f"{self.what}: not a change within functions")
        return changed


def outermost(module: CodeType) -> dict[str, CodeType]:
    """The functions of a module and the methods of its classes."""
    found: dict[str, CodeType] = {}
    for code in [c for c in module.co_consts if isinstance(c, CodeType)]:
        # The body of a class runs in a namespace of its own.
        found |= {code.co_qualname: code} if code.co_flags & CO_OPTIMIZED else outermost(code)
    return found


def is_same(code: CodeType, other: CodeType | None) -> bool:
    """Whether two functions do the same, wherever they stand."""
    if other is None or (code.co_code, code.co_names) != (other.co_code, other.co_names):
        return False
    pairs = list(zip(code.co_consts, other.co_consts, strict=False))
    return len(code.co_consts) == len(other.co_consts) and all(
        is_same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a == b for a, b in pairs
    )


def heads(tree: ast.AST) -> Iterator[range]:
    """The lines of each statement, and of each branch after ``except``; without its body where it has one."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            first, body = node.lineno, getattr(node, "body", None)
            yield range(first, max(first + 1, body[0].lineno) if body else (node.end_lineno or first) + 1)


def within(file: str, *mutations: tuple[str, str, str]) -> Iterator[Mutant]:
    """Mutants of one file."""
    for what, before, after in mutations:
        yield Mutant(what, file, before, after)
