"""The parser on the table that the API server is tested with too, and the CRD's words against the parser's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.errors import SpecError
from kubetuna.parsing.edits import EDITABLE
from kubetuna.parsing.parse import SPEC_FIELDS, parse_experiment
from kubetuna.search.catalogue import PRUNER_ALIASES, PRUNERS, SAMPLER_ALIASES, SAMPLERS
from tests.spec_table import BAD, GOOD, document

CRD = Path(__file__).parents[3] / "helm" / "kubetuna" / "crds-source" / "experiments.yaml"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of ``spec``."""
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
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


def test_the_crd_knows_every_field_of_the_parser(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(SPEC_FIELDS)
    assert {path.split(".")[1] for path in EDITABLE} <= set(schema["properties"])


def test_the_crd_knows_every_algorithm_of_the_parser(schema: dict[str, Any]) -> None:
    for field, names in (
        ("algorithm", {*SAMPLERS, *SAMPLER_ALIASES}),
        ("earlyStopping", {*PRUNERS, *PRUNER_ALIASES}),
    ):
        assert set(schema["properties"][field]["properties"]["algorithmName"]["enum"]) == names


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


def test_explain_has_a_word_on_every_field(schema: dict[str, Any]) -> None:
    silent = [name for name, node in schema["properties"].items() if not node.get("description")]
    assert silent == []
