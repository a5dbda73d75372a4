"""What the product defines the product uses: a name that only tests read, or nobody, is taken out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.sources

PROJECT = Path(__file__).resolve().parents[2]
PRODUCT = ("core/kubetuna", "operator/kubetuna_operator", "trial_image/kubetuna_trial")
# What uses the product, besides itself: what generates its files, measures it, and what its public pages promise.
USERS = (*PRODUCT, "hack", "manifests", "benchmarks", "examples")
PAGES = sorted((PROJECT / "docs").rglob("*.md")) + sorted((PROJECT / "tests" / "api").glob("guide.txt"))
# Read by a library or an interpreter, or by the simulated world.
READ_BY_OTHERS = {
    "ClusterBackend": "the entry point of the operator's backend",
    "EXTENSION": "the entry point of an extension",
    "_find_sample_id": "Optuna's samplers",
    "_repr_html_": "notebooks",
    "daemon_threads": "the standard library's servers",
    "delete_study": "Optuna's storages",
    "do_GET": "the standard library's servers",
    "log_message": "the standard library's servers",
    "net_adv2": "the contest's files of weights",
    "net_val2": "the contest's files of weights",
    "remove_session": "Optuna's storages",
    "soft_max": "the contest's files of weights",
    "suggest_parameters": "the contest's guide",
    "watching": "the simulated world, which waits for it",
    "yaml_implicit_resolvers": "the YAML loader",
}


def trees(folders: tuple[str, ...]) -> Iterator[ast.Module]:
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def defined(tree: ast.AST) -> Iterator[str]:
    """Functions, classes, constants, fields of classes and attributes of objects."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
        body = node.body if isinstance(node, ast.Module | ast.ClassDef) else ()
        for one in body:
            targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def used(tree: ast.AST) -> Iterator[str]:
    """What is read, imported, matched, or spelled in a string, as a field's attribute is."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
                yield name
            case ast.alias(name=name) | ast.Constant(value=str(name)):
                yield name.rpartition(".")[2]
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def test_nothing_is_defined_that_nobody_uses() -> None:
    names = {name for tree in trees(PRODUCT) for name in defined(tree) if not name.startswith("__")}
    known = {name for tree in trees(USERS) for name in used(tree)}
    known |= {word for page in PAGES for word in re.findall(r"\w+", page.read_text(encoding="utf-8"))}
    assert sorted(names - known - READ_BY_OTHERS.keys()) == []


def test_no_exception_outlives_its_name() -> None:
    names = {name for tree in trees(PRODUCT) for name in defined(tree)}
    assert sorted(READ_BY_OTHERS.keys() - names) == []
