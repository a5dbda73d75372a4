"""Count what the house style limits: lines of code, function lengths, module sizes, the share of imports.

    python hack/size.py [--json]

A line of code holds a token other than a docstring or a comment. A function's length is its lines of code, nested
functions included.
"""

from __future__ import annotations

import ast
import io
import json
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = {"core": PROJECT / "core" / "kubetuna", "operator": PROJECT / "operator" / "kubetuna_operator"}
# What comes after a search; the rest of the core and the operator is what tunes.
AFTERWARDS = ("analysis", "training", "finrl")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its room, its lines of code, those of its imports, and each function's."""

    path: Path
    room: str
    code: int
    imports: int
    functions: tuple[int, ...]


def measure(path: Path, room: str) -> Module:
    """Measure one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = _lines_of_code(text) - set(_docstring_lines(tree))
    imports = {n for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for n in _span(node)}
    functions = [node for node in ast.walk(tree) if isinstance(node, Definition)]
    lengths = tuple(len(lines & set(_span(one))) for one in functions)
    return Module(path, room, len(lines), len(imports & lines), lengths)


def _lines_of_code(text: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {n for t in tokens if t.type not in NO_CODE for n in range(t.start[0], t.end[0] + 1)}


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, Definition | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            yield from _span(node.body[0])


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def modules() -> list[Module]:
    """Every module of the core and the operator."""
    found = []
    for distribution, root in PACKAGES.items():
        for path in sorted(root.rglob("*.py")):
            inner = path.relative_to(root).parts
            found.append(measure(path, f"{distribution}/{inner[0]}" if len(inner) > 1 else distribution))
    return found


def report(found: list[Module]) -> dict[str, object]:
    """The figures, by room and in all."""
    rooms: dict[str, int] = defaultdict(int)
    for module in found:
        rooms[module.room] += module.code
    lengths = sorted(length for module in found for length in module.functions)
    code = sum(module.code for module in found)
    after = sum(rooms[f"core/{name}"] for name in AFTERWARDS)
    return {
        "rooms": dict(sorted(rooms.items())),
        "files": len(found),
        "code": code,
        "what_tunes": code - after,
        "imports_percent": round(100 * sum(module.imports for module in found) / code, 1),
        "function_median": statistics.median(lengths),
        "function_p90": lengths[len(lengths) * 9 // 10],
        "function_max": lengths[-1],
        "modules_over_400_lines": [_name(m) for m in found if _length(m) > 400],
        "modules_under_30_lines": [_name(m) for m in found if _length(m) < 30 and m.path.name != "__init__.py"],
    }


def _length(module: Module) -> int:
    return len(module.path.read_text(encoding="utf-8").splitlines())


def _name(module: Module) -> str:
    return str(module.path.relative_to(PROJECT))


def main() -> None:
    """Print the figures."""
    figures = report(modules())
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        rows = [f"\n  {key:28}{lines:7,}" for key, lines in value.items()] if isinstance(value, dict) else [value]
        print(f"{name}:", *rows)


if __name__ == "__main__":
    main()
