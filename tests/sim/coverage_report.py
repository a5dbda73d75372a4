"""``make sim COVERAGE=1``: lines of the operator, and branches after ``except``, that simulated worlds reach.

What no simulated world can reach is named here with the reason, and left out of the count; everything else counts.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import coverage

ROOT = Path(__file__).resolve().parents[2] / "operator" / "kubetuna_operator"
LINES_BAR, HANDLERS_BAR = 95.0, 90.0
PROCESS, THREADS = "the process itself", "a thread's shell around a step, and its sign of life"
# By module, or by module and function.
OUT_OF_REACH = {
    "__main__": PROCESS,
    "settings": f"{PROCESS}: flags and environment",
    "endpoints": f"{PROCESS}: its HTTP server",
    "health": f"{PROCESS}: what that server answers",
    "failpoints": "for tests of a real process only",
    "backend": "the command line's, not the operator's",
    "kube.threads": THREADS,
    "kube.api_client:Api.connect": f"{PROCESS}: its kubeconfig",
    "kube.reflector:Reflector.start": THREADS,
    "kube.reflector:Reflector.stop": THREADS,
    "kube.reflector:Reflector._run": THREADS,
    "kube.leader:Leadership.acquire": THREADS,
    "kube.leader:Leadership.keep": THREADS,
    "kube.leader:Leadership._renew": THREADS,
    "kube.leader:Leadership.silent": THREADS,
    "kube.leader:Leadership.release": f"{PROCESS}: its end by a signal",
    "kube.work_queue:WorkQueue.get": THREADS,
    "kube.work_queue:WorkQueue.work": THREADS,
    "kube.work_queue:WorkQueue._work": THREADS,
    "kube.work_queue:WorkQueue.longest_work": THREADS,
    "kube.deferred_writes:DeferredWrites.start": THREADS,
    "kube.deferred_writes:DeferredWrites.hanging": THREADS,
    "context:Store.watch": THREADS,
    "context:Store._watch": THREADS,
    "context:OperatorContext.make": PROCESS,
    "experiment.watches:NamespaceWatches.start": THREADS,
    "experiment.watches:NamespaceWatches.last_event_at": THREADS,
    "experiment.controller:Controller.run": THREADS,
    "experiment.controller:Controller.watch": THREADS,
    "experiment.controller:Controller.ready": THREADS,
    "experiment.controller:Controller.last_event_at": THREADS,
    "experiment.controller:Controller.hanging": THREADS,
    "workloads.executor:PodExecutor.wait": "for runners with a thread of their own",
}


@dataclass(frozen=True, slots=True)
class Reached:
    """Of one module, what counts and what of it was not reached: lines, and the lines of ``except``."""

    module: str
    lines: frozenset[int]
    missing: frozenset[int]
    handlers: frozenset[int]
    unmet: frozenset[int]


def reach(path: Path, executable: set[int], missing: set[int]) -> Reached:
    """What was reached of one module, apart from what is out of reach."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if module in OUT_OF_REACH:
        return Reached(module, *[frozenset[int]()] * 4)
    left_out = {line for name, node in functions(tree) if f"{module}:{name}" in OUT_OF_REACH for line in body(node)}
    left_out |= {line for node in ast.walk(tree) if is_for_the_unforeseen(node) for line in body(node)}
    left_out |= {node.lineno for node in ast.walk(tree) if is_for_the_unforeseen(node)}
    lines = executable - left_out
    handlers = {
        node.lineno: node.body[0].lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.lineno in lines
    }
    unmet = frozenset(line for line, first in handlers.items() if first in missing)
    return Reached(module, frozenset(lines), frozenset(missing & lines), frozenset(handlers), unmet)


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions of a module and the methods of its classes, with their names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node


def is_for_the_unforeseen(node: ast.AST) -> TypeGuard[ast.ExceptHandler]:
    """Whether it takes any error and logs it as nobody's plan: a seed in which that happens has failed."""
    if (
        not isinstance(node, ast.ExceptHandler)
        or not isinstance(node.type, ast.Name)
        or node.type.id != "Exception"
    ):
        return False
    called = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return any(isinstance(func, ast.Attribute) and func.attr == "exception" for func in called)


def body(node: ast.FunctionDef | ast.ExceptHandler) -> range:
    """The lines of a function, or of a branch, after its head."""
    return range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)


def main() -> int:
    """Exit code 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.coverage_report", description=__doc__)
    parser.add_argument("--first", type=int, default=100, help="the first seed")
    parser.add_argument("--seeds", type=int, default=900, help="how many")
    chosen = parser.parse_args()
    measured = coverage.Coverage(source_pkgs=["kubetuna_operator"], data_file=None, config_file=False)
    measured.start()
    world = importlib.import_module("tests.sim.world")
    logging.disable(logging.WARNING)
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        for wrong in world.simulate(seed, world.Profile()).wrong:
            print(f"seed {seed}: {wrong}", flush=True)
    measured.stop()
    return tell([_reached(measured, path) for path in sorted(ROOT.rglob("*.py"))])


def _reached(measured: coverage.Coverage, path: Path) -> Reached:
    _, executable, _, missing, _ = measured.analysis2(str(path))
    return reach(path, set(executable), set(missing))


def tell(found: list[Reached]) -> int:
    """Print what was not reached, and how much was."""
    for one in found:
        if one.missing or one.unmet:
            handlers = f"; except: {_listed(one.unmet)}" if one.unmet else ""
            print(f"{one.module}: {_listed(one.missing)}{handlers}")
    lines, missing = sum(len(one.lines) for one in found), sum(len(one.missing) for one in found)
    handlers, unmet = sum(len(one.handlers) for one in found), sum(len(one.unmet) for one in found)
    reached = 100.0 - 100.0 * missing / lines, 100.0 - 100.0 * unmet / handlers
    print(f"{reached[0]:.1f} % of {lines} lines, {reached[1]:.1f} % of {handlers} branches after except")
    return int(reached[0] < LINES_BAR or reached[1] < HANDLERS_BAR)


def _listed(lines: frozenset[int]) -> str:
    return " ".join(map(str, sorted(lines)))


if __name__ == "__main__":
    sys.exit(main())
