"""What is named as out of reach is there, and a branch after ``except`` counts where its first line was run."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.sim.coverage_report import OUT_OF_REACH, ROOT, functions, reach


def test_what_is_out_of_reach_is_there() -> None:
    for named in OUT_OF_REACH:
        module, _, function = named.partition(":")
        tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
        assert not function or function in dict(functions(tree)), named


def test_a_branch_after_except_counts_by_its_first_line() -> None:
    path = ROOT / "pods" / "status.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    handler = next(n for n, line in enumerate(lines, 1) if "except ValueError" in line)
    met = reach(path, {handler, handler + 1}, set())
    assert (met.handlers, met.unmet) == ({handler}, frozenset())
    assert reach(path, {handler, handler + 1}, {handler + 1}).unmet == {handler}


def test_what_is_out_of_reach_does_not_count() -> None:
    assert not reach(ROOT / "settings.py", {30}, {30}).lines
    path: Path = ROOT / "kube" / "reflector.py"
    run = dict(functions(ast.parse(path.read_text(encoding="utf-8"))))["Reflector._run"]
    assert not reach(path, {run.body[0].lineno}, {run.body[0].lineno}).missing


def test_a_branch_for_what_nobody_foresaw_does_not_count() -> None:
    path = ROOT / "kube" / "reflector.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    logged = next(n for n, line in enumerate(lines, 1) if 'log.exception("a change of' in line)
    handlers = {n for n, line in enumerate(lines, 1) if "except Exception" in line}
    met = reach(path, {*handlers, logged}, {*handlers, logged})
    assert logged not in met.lines and len(met.handlers) == len(handlers) - 1
