"""Every spec of the corpus is planned as it means, or refused at its path with words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_file
from kubetuna.terminal.preview import preview

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[2] / "corpus" / "specs.yaml").read_text())


def shown(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "experiment.yaml"
    path.write_bytes(case["text"].encode())
    return preview(parse_file(path))


@pytest.mark.parametrize("case", [c for c in CASES if "plan" in c], ids=lambda case: case["name"])
def test_a_spec_is_planned_as_it_means(case: dict[str, Any], tmp_path: Path) -> None:
    plan = shown(case, tmp_path)
    for field, value in case["plan"].items():
        found = plan[field]
        assert found | value == found if isinstance(value, dict) else found == value
    for note in case.get("notes", ()):
        assert any(note in warning for warning in plan["warnings"]), plan["warnings"]


@pytest.mark.parametrize("case", [c for c in CASES if "refused" in c], ids=lambda case: case["name"])
def test_a_spec_is_refused_at_its_paths(case: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        shown(case, tmp_path)
    told = {problem.path: problem.message for problem in caught.value.problems}
    assert told.keys() == case["refused"].keys()
    assert all(words in told[path] for path, words in case["refused"].items()), told
