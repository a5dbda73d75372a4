"""What documentation and docstrings name exists: modules, classes, functions, files, verbs, whole Experiments."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetuna.cli.main import app
from kubetuna.parsing.parse import parse_file_text

pytestmark = pytest.mark.sources

PROJECT = Path(__file__).resolve().parents[2]
ROOTS = [PROJECT / name for name in ("core", "operator", "trial_image")]
PACKAGES = ("kubetuna", "kubetuna_operator", "kubetuna_trial")
FOLDERS = [
    *("benchmarks", "cluster", "core", "docs", "examples", "hack", "helm", "manifests", "operator", "tests"),
    "trial_image",
]
# A change log names what was, and what a release no longer has.
PAGES = [p for p in (*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")) if p.name != "CHANGELOG.md"]
SOURCES = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]

_DOTTED = r"(?:kubetuna(?:_operator|_trial)?)(?:\.\w+)+"
_NAMED_IN_PAGES = re.compile(rf"`({_DOTTED})(?:\(\))?`|-m ({_DOTTED})|^from ({_DOTTED}) import", re.MULTILINE)
_IMPORTED = re.compile(r"^from kubetuna import (.+)$", re.MULTILINE)
_NAMED_IN_SOURCES = re.compile(rf"``({_DOTTED})``")
_SHORT_NAME = re.compile(r"``[a-z_]+\.[A-Z]\w+``")
_FILE = re.compile(rf"(?<![\w./~-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_VERB = re.compile(r"(?:^|/|`)kubetuna ([a-z]+)\b", re.MULTILINE)
_EXPERIMENT = re.compile(r"^```yaml\n(apiVersion: .*?)^```", re.MULTILINE | re.DOTALL)
_FILE_IN_SOURCES = re.compile(rf"``({_FILE.pattern})``")


def name(path: Path) -> str:
    """A file's path, for the names of tests."""
    return str(path.relative_to(PROJECT))


@functools.cache
def module(dotted: str) -> ast.Module | None:
    """A module's syntax tree: nothing is imported, since torch alone takes seconds."""
    path = dotted.replace(".", "/")
    files = [root / f"{path}{end}" for root in ROOTS for end in (".py", "/__init__.py")]
    return next((ast.parse(file.read_text(encoding="utf-8")) for file in files if file.exists()), None)


@functools.cache
def entry_point_groups() -> frozenset[str]:
    """Names under which distributions register what they add."""
    files = [tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")) for root in ROOTS]
    return frozenset(group for file in files for group in file["project"].get("entry-points", {}))


def exists(dotted: str) -> bool:
    """Whether a module, or something defined in one, has this name."""
    if dotted in entry_point_groups() or module(dotted) is not None:
        return True
    parent, _, last = dotted.rpartition(".")
    return bool(parent) and last in _defined(parent)


def _defined(dotted: str) -> set[str]:
    tree = module(dotted)
    if tree is not None:
        return set(_names(tree.body))
    parent, _, last = dotted.rpartition(".")
    inside = module(parent)
    classes = [node for node in (inside.body if inside else []) if isinstance(node, ast.ClassDef)]
    return {found for one in classes if one.name == last for found in _names(one.body)}


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) | ast.AnnAssign(target=ast.Name(id=found)):
                yield found
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.If(body=inner) | ast.Try(body=inner):
                yield from _names(inner)
            case ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_name_modules_and_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {found for groups in _NAMED_IN_PAGES.findall(text) for found in groups if found}
    named |= {f"kubetuna.{one}" for line in _IMPORTED.findall(text) for one in line.split(", ")}
    assert [found for found in sorted(named) if not exists(found)] == []
    assert [found for found in sorted(set(_FILE.findall(text))) if not _is_file(page, found)] == []


def _is_file(page: Path, path: str) -> bool:
    return (PROJECT / path).exists() or (page.parent / path).exists()


def test_verbs_of_pages_exist_and_every_verb_has_a_line_in_the_reference() -> None:
    verbs = {str(one.name or one.callback.__name__) for one in app.registered_commands if one.callback}
    verbs |= {str(group.name) for group in app.registered_groups}
    code = [text for page in PAGES for text in _CODE.findall(page.read_text(encoding="utf-8"))]
    named = {verb for text in code for verb in _VERB.findall(text)}
    assert "plan" in named
    assert named - verbs == set()
    reference = (PROJECT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert verbs - set(re.findall(r"^\| `([a-z]+)\b", reference, re.MULTILINE)) == set()


def test_whole_experiments_of_pages_are_valid() -> None:
    texts = [text for page in PAGES for text in _EXPERIMENT.findall(page.read_text(encoding="utf-8"))]
    whole = [text for text in texts if "trialTemplate" in text]
    assert len(whole) >= 2
    for text in whole:
        parse_file_text(text)


def test_docstrings_name_modules_and_files_that_exist() -> None:
    wrong = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        wrong += [f"{name(path)}: {found}" for found in _NAMED_IN_SOURCES.findall(text) if not exists(found)]
        wrong += [f"{name(path)}: {f}" for f in _FILE_IN_SOURCES.findall(text) if not (PROJECT / f).exists()]
        # Without its package a name cannot be found, neither by this test nor by a reader.
        wrong += [f"{name(path)}: {found}" for found in _SHORT_NAME.findall(text)]
    assert wrong == []


def test_classes_of_the_glossary_exist() -> None:
    text = (PROJECT / "docs" / "explanation" / "glossary.md").read_text(encoding="utf-8")
    known = {
        node.name
        for path in SOURCES
        if path.relative_to(PROJECT).parts[1] in PACKAGES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    contributors = text.partition("## For contributors")[2].partition("## Words to avoid")[0]
    named = set(re.findall(r"\*\*([A-Z][a-z]+(?:[A-Z][a-z]+)+)\*\*", contributors))
    assert named and named <= known


@pytest.mark.parametrize(
    "dotted",
    [
        "kubetuna.trials",
        "kubetuna.trials.outcome.RULES",
        "kubetuna.trials.attempts.Executor.launch",
        "kubetuna_operator.workloads",
        "kubetuna.extensions",
    ],
)
def test_what_exists_is_found(dotted: str) -> None:
    assert exists(dotted)


@pytest.mark.parametrize(
    "dotted", ["kubetuna.gone", "kubetuna.trials.outcome.Gone", "kubetuna.trials.attempts.Executor.vanish"]
)
def test_what_is_gone_is_not(dotted: str) -> None:
    assert not exists(dotted)
