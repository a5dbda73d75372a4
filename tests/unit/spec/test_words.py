"""What the parser says of a wrong field: the API machinery's own words, each fault once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kubetuna.errors import Problem, SpecError
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.schema import Forbidden, Node, Object, Rule, children
from kubetuna.parsing.shape import SPEC
from kubetuna.search.catalogue import build_pruner
from tests.spec_table import ABSENT, BAD, OBJECTIVE, SPACE, TEMPLATE, X, document


def problems(edits: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        parse_experiment(document(edits))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"spec.maxTrialCnt": 3}, 'unknown field "maxTrialCnt"; did you mean "maxTrialCount"?'),
        ({f"{X}.name": ABSENT}, "Required value: Trials find the value in KUBETUNA_PARAM_NAME, in capitals."),
        ({f"{OBJECTIVE}.type": ABSENT}, 'Required value: one of "minimize", "maximize"'),
        (
            {f"{OBJECTIVE}.type": "maximise"},
            'Unsupported value: "maximise": supported values: "minimize", "maximize"; did you mean "maximize"?',
        ),
        ({"spec.repeats": 0}, "Invalid value: 0: should be greater than or equal to 1"),
        ({"spec.repeats": 101}, "Invalid value: 101: should be less than or equal to 100"),
        ({"spec.repeats": "x"}, 'Invalid value: "x": must be of type integer'),
        ({"spec.suspend": "yes"}, 'Invalid value: "yes": must be of type boolean'),
        ({"spec.queueName": 5}, "Invalid value: 5: must be of type string; quote it"),
        (
            {"spec.queueName": "a b"},
            "Invalid value: \"a b\": should match '^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$' "
            "(letters, digits, - _ .)",
        ),
        ({"spec.queueName": "a" * 64}, "Too long: may not be more than 63 bytes"),
        ({"spec.constraints": ["x < 2"] * 51}, "Too many: 51: must have at most 50 items"),
        ({"spec.parameters": []}, "Invalid value: 0: should have at least 1 items"),
        ({f"{OBJECTIVE}.additionalMetricNames": ["a", "a"]}, 'Duplicate value: "a"'),
        (
            {f"{OBJECTIVE}.metricStrategies": [{"name": "loss", "value": "min"}] * 2},
            'Duplicate value: {"name":"loss"}',
        ),
        (
            {"spec.objectives": [{"metric": "a", "direction": "minimize"}]},
            "Forbidden: mutually exclusive with objective; keep one of the two",
        ),
        ({f"{SPACE}.max": "large"}, 'Invalid value: "large": must be a finite number'),
        ({f"{TEMPLATE}.primaryContainerName": "b"}, 'Unsupported value: "b": supported values: "trial"'),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_the_words_of_the_api_machinery(edits: dict[str, Any], words: str) -> None:
    assert [problem.message for problem in problems(edits)] == [words]


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            {SPACE: {"list": [1, 2]}},
            "Forbidden: not for parameterType double; use min and max, or parameterType discrete",
        ),
        (
            {SPACE: {"list": ["a"]}, f"{X}.parameterType": "discrete"},
            'Invalid value: "a": must be a finite number; for other values use parameterType categorical',
        ),
        (
            {SPACE: {"min": 1}, f"{X}.parameterType": "categorical"},
            "Forbidden: not for parameterType categorical; use list, or parameterType double or int",
        ),
    ],
)  # fmt: skip
def test_a_slip_of_the_type_is_told_once_with_the_type_that_fits(edits: dict[str, Any], words: str) -> None:
    assert [problem.message for problem in problems(edits)] == [words]


@pytest.mark.parametrize(
    ("field", "name", "hint"),
    [
        ("algorithm", "asha", "; asha is a pruner here: write spec.earlyStopping.algorithmName"),
        ("earlyStopping", "tpe", "; tpe is a sampler here: write spec.algorithm.algorithmName"),
    ],
)
def test_a_pruner_is_no_sampler_and_the_right_field_is_named(field: str, name: str, hint: str) -> None:
    (problem,) = problems({f"spec.{field}": {"algorithmName": name}})
    assert problem.message.endswith(hint)


def test_fields_of_katib_without_effect_are_named() -> None:
    collector = {"collector": {"kind": "StdOut", "customCollector": {"name": "c"}}}
    edits = {
        "spec.resumePolicy": "LongRunning",
        f"{TEMPLATE}.primaryPodLabels": {"a": "b"},
        f"{TEMPLATE}.successCondition": "x",
        f"{TEMPLATE}.failureCondition": "y",
        "spec.metricsCollectorSpec": collector,
    }
    named = [note.split(" has no effect: ")[0] for note in parse_experiment(document(edits)).warnings]
    *fields, _ = edits
    assert sorted(named) == sorted([*fields, "spec.metricsCollectorSpec.collector.customCollector"])
    assert parse_experiment(document({"spec.resumePolicy": "Never"})).warnings == ()


@pytest.mark.parametrize("name", ["wilcoxon", "patient"])
def test_no_warning_of_optuna_reaches_a_person(name: str, recwarn: pytest.WarningsRecorder) -> None:
    settings = [{"name": "patience", "value": 1}] if name == "patient" else []
    early = {"algorithmName": name, "algorithmSettings": settings}
    assert build_pruner(parse_experiment(document({"spec.earlyStopping": early}))) is not None
    assert not recwarn.list


STARTS = (
    "Required value",
    "Invalid value: ",
    "Unsupported value: ",
    "Duplicate value: ",
    "Too many: ",
    "Too long: ",
    "Forbidden: ",
    "unknown field ",
)


@pytest.mark.parametrize("case", BAD)
def test_every_message_begins_as_the_api_machinerys(case: str) -> None:
    for problem in problems(dict(BAD[case].edits)):
        assert problem.message.startswith(STARTS), problem


def test_a_field_of_the_wrong_shape_is_told_once() -> None:
    for edits in ({"spec.objective": 3}, {"spec.algorithm": "tpe"}, {TEMPLATE: []}, {"metadata": "small"}):
        assert [problem.path for problem in problems(edits)] == list(edits)


@pytest.mark.parametrize("kind", ["Deployment", None, 5])
def test_of_a_template_of_no_known_kind_only_that_is_told(kind: object) -> None:
    """What its fields should be depends on the kind, so that whatever else was said of them would mislead."""
    trial = {"apiVersion": "kubeflow.org/v1", "kind": kind, "metadata": {"name": "a"}, "spec": {"template": 3}}
    (problem,) = problems({f"{TEMPLATE}.trialSpec": trial})
    assert problem.path == f"{TEMPLATE}.trialSpec.kind"
    if kind == "Deployment":
        assert problem.message.startswith(
            'Invalid value: "Deployment": needs successCondition and failureCondition'
        )


def test_a_hostile_name_is_shown_on_one_line() -> None:
    (problem,) = problems({"spec.metricsCollectorSpec": {"a\nb\x1b[31m": 1}})
    assert problem.path == "spec.metricsCollectorSpec.a�b�[31m" and str(problem).isprintable()


def rules(node: Node, path: str) -> Iterator[tuple[str, Rule]]:
    if isinstance(node, Object):
        yield from ((path, rule) for rule in node.rules)
        forbidden = ((name, child) for name, child in node.fields.items() if isinstance(child, Forbidden))
        yield from ((path, Rule(name, child.because, "")) for name, child in forbidden)
    for step, child in children(node):
        yield from rules(child, path + step)


@pytest.mark.parametrize(("path", "rule"), list(rules(SPEC, "spec")), ids=lambda value: getattr(value, "words", ""))
def test_the_parser_says_the_words_of_each_rule_of_the_crd(path: str, rule: Rule) -> None:
    """The server's half of a rule is CEL, ours is Python: a case of the table shows that both are there."""
    told = [
        problem.message
        for bad in BAD.values()
        if bad.server and bad.path == f"{path}.{rule.field}"
        for problem in problems(dict(bad.edits))
    ]
    assert any(rule.words in message for message in told)


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("opt == sgd", "'sgd' is not a parameter; a text stands in quotes: 'sgd'"),
        ("opt == True", "'True' is not a parameter; write true"),
        ("opt == None", "'None' is not a parameter; write null"),
        ("opt == 'a' && opt == 'b'", "'&' is not understood at character 11; write and"),
        ("opt == 'a' || opt == 'b'", "'|' is not understood at character 11; write or"),
        ("!opt", "'!' is not understood at character 1; write not"),
        ("opt = 'a'", "'=' is not understood at character 4; write =="),
        ("opt % 2 == 0", "'%' is not understood at character 4"),
    ],
)
def test_what_other_languages_write_is_told_as_this_one_does(when: str, words: str) -> None:
    given = {"name": "more", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 2}, "when": when}
    opt = {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["a", "b"]}}
    (told,) = problems({"spec.parameters": [opt, given]})
    assert told.path == "spec.parameters[1].when" and told.message.endswith(words)
