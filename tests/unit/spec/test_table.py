"""The parser on the table that the API server is tested with too, and what must hold of the whole CRD."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kubetuna.errors import SpecError
from kubetuna.parsing.definition import experiment_definition
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.schema import Forbidden
from kubetuna.parsing.shape import SPEC
from tests.spec_table import BAD, GOOD, document


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of ``spec``."""
    version = experiment_definition()["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


@pytest.mark.parametrize("case", GOOD)
def test_the_parser_takes_the_good_ones(case: str) -> None:
    parse_experiment(document(GOOD[case]))


@pytest.mark.parametrize("case", BAD)
def test_the_parser_refuses_the_bad_ones_at_their_path(case: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_experiment(document(BAD[case].edits))
    assert {problem.path for problem in caught.value.problems} == {BAD[case].path}


def test_every_list_and_text_of_the_crd_is_bounded(schema: dict[str, Any]) -> None:
    """Else the server refuses CEL over them, or lets an object grow past what it stores."""

    def walk(node: dict[str, Any], path: str) -> None:
        if node.get("type") == "array":
            assert "maxItems" in node, path
            walk(node["items"], f"{path}[]")
        if node.get("type") == "string" and ".trialSpec" not in path:
            assert "maxLength" in node or "enum" in node, path
        for name, child in (node.get("properties") or {}).items():
            walk(child, f"{path}.{name}")

    walk(schema, "spec")


def test_the_documentation_names_every_field() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "experiment.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    fields = {name for name, node in SPEC.fields.items() if not isinstance(node, Forbidden)}
    assert fields <= set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in rows)))


def test_explain_has_a_word_on_every_field(schema: dict[str, Any]) -> None:
    silent = [name for name, node in schema["properties"].items() if not node.get("description")]
    assert silent == []
