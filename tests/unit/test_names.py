"""Names in the code have the glossary's one meaning: a word that once meant something else does not come back.

What is refused are the glossary's "words to avoid". An exception stands in ``ALLOWED`` with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.sources

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = (PROJECT / "core" / "kubetuna", PROJECT / "operator" / "kubetuna_operator")
MODULES = {
    path: ".".join(path.relative_to(package.parent).with_suffix("").parts)
    for package in PACKAGES
    for path in package.rglob("*.py")
}

# Where the words of modules' and classes' names count; the others are the product's.
ELSEWHERE = {
    path: ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for folder in ("trial_image", "tests", "benchmarks", "hack")
    for path in (PROJECT / folder).rglob("*.py")
}

NO_DUTY = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)$")
# As one of the words of a class's name.
CLASS_WORDS = {
    "Place": "Executor",
    "Engine": "Reconciler",
    "Order": "Request",
    "Ending": "StopDecision",
    "Seen": "StudyRecord",
    "Told": "a noun",
    "About": "ExperimentRef",
    "Surroundings": "OperatorContext",
}


@dataclass(frozen=True, slots=True)
class Word:
    """A word that names may not be made of in some rooms, what to write instead, and where it is at home."""

    banned: re.Pattern[str]
    instead: str
    rooms: str = ""
    home: str = "nowhere"


# What runs an experiment; the rooms after a search have orders of trials and places in a chart.
_RUNNING = r"kubetuna\.(trials|planning|reconciling|study|local)|kubetuna_operator"
WORDS = (
    Word(re.compile(r"^_?places?$"), "executor", _RUNNING),
    Word(re.compile(r"^_?orders?$"), "request", _RUNNING, home=r"kubetuna_operator\.kube\.work_queue"),
    Word(re.compile(r"^_?engines?$"), "reconciler", _RUNNING, home=r"kubetuna\.(study|local\.runner)"),
    Word(re.compile(r"^_?endings?$"), "decision", _RUNNING),
    Word(re.compile(r"^_?(picture|projection)s?$"), "view", _RUNNING),
    Word(re.compile(r"^_?tell(_|$)"), "record, report, emit", home=r"kubetuna\.study"),
    Word(re.compile(r"(^|_)verdict$"), "conclusion", home=r"kubetuna\.(trials|planning|reconciling|study)"),
)

ALLOWED = {
    "kubetuna.analysis.comparison: verdict": "a report's conclusion in one sentence",
    "kubetuna.analysis.report.overfitting: verdict": "a report's conclusion in one sentence",
    "kubetuna.analysis.statistics.ranks: Order": "how well an order of trials holds: a rank correlation",
    "kubetuna.finrl.fold_results: verdict": "a report's conclusion in one sentence",
    "kubetuna.finrl.hpo_utils: hpo_utils": "the contest's guide gives it this name",
    "kubetuna.finrl.results_manager: HPOResultsManager": "the contest's guide gives it this name",
    "kubetuna.finrl.results_manager: results_manager": "named after its class",
    "kubetuna.reconciling.reconciler: _tell": "Optuna's tell",
    "kubetuna.training.retest: verdict": "a report's conclusion in one sentence",
}


def names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every name that a module gives: to a class, a function, a parameter, an attribute or a variable."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield "class", name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield "function", name
            case ast.arg(arg=name) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield "value", name


def faults(module: str, source: str) -> Iterator[tuple[str, str]]:
    """Names with a second meaning, each with what to write instead."""
    last = module.removesuffix(".__init__").rpartition(".")[2]
    if NO_DUTY.search(last):
        yield last, "the module's duty"
    for kind, name in names(ast.parse(source)):
        if kind == "class":
            yield from _faults_of_class(name)
        yield from ((name, word.instead) for word in WORDS if _refuses(word, module, name))


def faults_of_classes(module: str, source: str) -> Iterator[str]:
    """A module without a duty, and classes with a second meaning."""
    last = module.removesuffix(".__init__").rpartition(".")[2]
    yield from [last] if NO_DUTY.search(last) else ()
    for kind, name in names(ast.parse(source)):
        yield from (fault for fault, _ in _faults_of_class(name)) if kind == "class" else ()


def _faults_of_class(name: str) -> Iterator[tuple[str, str]]:
    words = re.findall(r"[A-Z][a-z]+", name)
    yield from ((name, CLASS_WORDS[word]) for word in words if word in CLASS_WORDS)
    if words[-1:] in (["Manager"], ["Helper"], ["Utils"]):
        yield name, "the class's duty"
    if words == ["Launch"]:
        yield name, "AttemptRequest"


def _refuses(word: Word, module: str, name: str) -> bool:
    here = re.match(word.rooms, module) is not None
    return here and re.match(word.home, module) is None and word.banned.search(name) is not None


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """All faults of the core and the operator, with what to write instead."""
    return {
        f"{module}: {name}": instead
        for path, module in MODULES.items()
        for name, instead in faults(module, path.read_text(encoding="utf-8"))
    }


def test_no_name_has_a_second_meaning(found: dict[str, str]) -> None:
    assert {name: f"write: {instead}" for name, instead in found.items() if name not in ALLOWED} == {}


def test_no_class_or_module_of_trainers_and_tests_has_a_second_meaning() -> None:
    found = [
        f"{module}: {name}"
        for path, module in ELSEWHERE.items()
        for name in faults_of_classes(module, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_exception_outlives_its_name(found: dict[str, str]) -> None:
    assert sorted(set(ALLOWED) - set(found)) == [], "delete these lines from ALLOWED"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kubetuna.planning.utils", ""),
        ("kubetuna.store.row_helpers", ""),
        ("kubetuna.local.executor", "class FakePlace: ..."),
        ("kubetuna.analysis.folder", "class Seen: ..."),
        ("kubetuna.trials.attempts", "class Launch: ..."),
        ("kubetuna.store.storage", "class StorageManager: ..."),
        ("kubetuna.trials.attempts", "def launch(order): ..."),
        ("kubetuna_operator.context", "class Runner:\n    def __init__(self): self._place = 1"),
        ("kubetuna_operator.kube.events", "def tell_people(): ..."),
        ("kubetuna.planning.plan", "class Publish:\n    ending: int"),
    ],
)
def test_a_second_meaning_is_refused(module: str, source: str) -> None:
    assert list(faults(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kubetuna.study.study", "def tell(self): ..."),
        ("kubetuna.store.database", "engine = open_engine(url)"),
        ("kubetuna.planning.plan", "class LaunchAttempt: ..."),
        ("kubetuna.trials.substitution", "class Placeholder: ..."),
    ],
)
def test_the_word_at_home_is_not(module: str, source: str) -> None:
    assert not list(faults(module, source))
