"""What looks like a parameter's value in a template and is none is said before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from kubetuna.parsing.parse import parse_experiment
from tests.spec_table import document

CONTAINER = "spec.trialTemplate.trialSpec.spec.containers[0]"


def noted(command: list[str], **container: Any) -> list[str]:
    """What the plan says of a command; the parameter is called x."""
    edits = {f"{CONTAINER}.command": command, **{f"{CONTAINER}.{name}": value for name, value in container.items()}}
    warnings = parse_experiment(document(edits)).warnings
    return [text.split(" in the template")[0].strip('"') for text in warnings if "is passed on as it is" in text]


@pytest.mark.parametrize(
    "text",
    [
        "${x}",
        "$(x)",
        "{{x}}",
        "{{ x }}",
        "${parameters.x}",
        "{{inputs.parameters.x}}",
        "${trialParameter.x}",
        "${trialparameters.x}",
        "${trial_parameters.x}",
        "$(trialParameters.x)",
        "{{trialParameters.x}}",
        "$trialParameters.x",
        "${ trialParameters.x }",
        "${trialParameters[x]}",
        "${trialSpec.Foo}",
    ],
)
def test_what_is_passed_on_as_it_is_is_said(text: str) -> None:
    assert len(noted(["python", f"--x={text}"])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "${trialParameters.x}",
        "${trialParameters.x:+--flag}",
        "${trialSpec.Name}",
        "${HOME:-/tmp}",
        "$(DATA)",
        "{{.Values}}",
        "x",
        "${xx}",
        "f'{x}'",
        "x=${trialParameters.x}; run ${x}",
        "for x in 1 2; do run ${x}; done",
        "[trial] parameters x",
    ],
)
def test_what_is_meant_as_it_stands_is_not(text: str) -> None:
    assert noted(["sh", "-c", text]) == []


def test_a_variable_of_the_template_is_meant_as_that() -> None:
    assert noted(["run", "$(x)"], env=[{"name": "x", "value": "${trialParameters.x}"}]) == []


def test_many_of_them_are_said_once_each_and_not_without_end() -> None:
    assert noted(["run", "${x}", "${x}"]) == ["${x}"]
    assert len(noted(["run", *(f"{{{{a{n}.x}}}}" for n in range(50))])) == 5
