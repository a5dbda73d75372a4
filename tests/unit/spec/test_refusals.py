"""What is refused, and that the message names the field, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_file_text
from tests.local.runs import experiment

X = r"spec.parameters\[0\]"


def document(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(experiment("", command=["python"], **spec))
    return found


def parameter(**changes: Any) -> dict[str, Any]:
    base = {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}
    return {"parameters": [{**base, **changes}]}


def space(kind: str, **fields: Any) -> dict[str, Any]:
    return parameter(parameterType=kind, feasibleSpace=fields)


def algorithm(name: str, field: str = "algorithm", **settings: Any) -> dict[str, Any]:
    items = [{"name": k, "value": v} for k, v in settings.items()]
    return {field: {"algorithmName": name, "algorithmSettings": items}}


def pruner(name: str, **settings: Any) -> dict[str, Any]:
    return algorithm(name, "earlyStopping", **settings)


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_file_text(text)
    return [str(problem) for problem in caught.value.problems]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field with the nearest": ({"maxTrialCnt": 3}, "spec.maxTrialCnt: .*maxTrialCount"),
    "no parameters": ({"parameters": []}, "spec.parameters: "),
    "no objective": ({"objective": None}, "spec.objective"),
    "objective type": (
        {"objective": {"type": "max", "objectiveMetricName": "a"}},
        "spec.objective.type: .*minimize",
    ),
    "metric name": ({"objective": {"type": "minimize", "objectiveMetricName": " a"}}, "spec.objective.objectiveM"),
    "additional holds objective": (
        {"objective": {"type": "minimize", "objectiveMetricName": "a", "additionalMetricNames": ["a"]}},
        "spec.objective.additionalMetricNames",
    ),
    "both kinds of objective": ({"objectives": [{"metric": "a", "direction": "minimize"}]}, "spec.objective"),
    "count of zero": ({"maxTrialCount": 0}, "spec.maxTrialCount: "),
    "count that is text": ({"parallelTrialCount": "many"}, "spec.parallelTrialCount: .*many"),
    "parallel above max": ({"parallelTrialCount": 9}, "spec.parallelTrialCount: Invalid value: 9"),
    "parallel of another type": ({"parallelTrialCount": "2"}, '.*"2": must be of type integer or {min, max}'),
    "parallel of no most": ({"parallelTrialCount": {"min": 2}}, "spec.parallelTrialCount.max: Required value: Tri"),
    "parallel by another word": ({"parallelTrialCount": {"least": 1, "max": 2}}, '.*"least"; known: min, max'),
    "parallel from above its most": (
        {"parallelTrialCount": {"min": 3, "max": 2}},
        r"spec.parallelTrialCount.min: Invalid value: 3: .* to spec.parallelTrialCount.max, 2",
    ),
    "parallel's most above max": (
        {"parallelTrialCount": {"max": 9}},
        r"spec.parallelTrialCount.max: Invalid value: 9: must be less than or equal to spec.maxTrialCount, 4",
    ),
    "parallel of too many": (
        {"parallelTrialCount": {"max": 10_001}},
        "spec.parallelTrialCount.max: Invalid value: 10001: should be less than or equal to 10000",
    ),
    "failed above max": ({"maxFailedTrialCount": 9}, "spec.maxFailedTrialCount: Invalid value: 9"),
    "negative failed": ({"maxFailedTrialCount": -1}, "spec.maxFailedTrialCount: Invalid value: -1"),
    "no end": ({"maxTrialCount": None}, "spec.*maxTrialCount"),
    "budget": ({"budget": {"gpuHours": -1}}, "spec.budget.gpuHours: Invalid value: -1"),
    "duration": ({"budget": {"wallClock": "soon"}}, "spec.budget.wallClock: .*soon"),
    "retries": ({"retryPolicy": {"limit": -1}}, "spec.retryPolicy.limit"),
    "resume policy": ({"resumePolicy": "Always"}, "spec.resumePolicy: .*Never"),
    "preset": ({"preset": "fast"}, "spec.preset: .*quick"),
    "parameter type": (parameter(parameterType="float"), f"{X}.parameterType: .*double"),
    "parameter name": (parameter(name="1x"), f"{X}.name: "),
    "min above max": (space("double", min=2, max=1), f"{X}.feasibleSpace"),
    "no max": (space("double", min=2), f"{X}.feasibleSpace.max"),
    "log of zero": (space("double", min=0, max=1, distribution="logUniform"), f"{X}.feasibleSpace.min"),
    "logNormal of zero": (space("double", min=0, max=1, distribution="logNormal"), f"{X}.feasibleSpace.min"),
    "list for a double": (space("double", list=[1]), f"{X}.feasibleSpace.list"),
    "min for a categorical": (space("categorical", list=["a"], min=1), f"{X}.feasibleSpace.min"),
    "empty list": (space("categorical", list=[]), f"{X}.feasibleSpace.list"),
    "twice in a list": (space("categorical", list=["a", "a"]), f"{X}.feasibleSpace.list"),
    "text in a discrete": (space("discrete", list=["a"]), f"{X}.feasibleSpace.list"),
    "half an int": (space("int", min=0.5, max=2), f"{X}.feasibleSpace.min"),
    "step of zero": (space("int", min=0, max=2, step=0), f"{X}.feasibleSpace.step"),
    "infinite": (space("double", min=0, max=".inf"), f"{X}.feasibleSpace.max"),
    "when names nothing": (parameter(when="y > 1"), f"{X}.when: .*y"),
    "when names itself": (parameter(when="x > 1"), f"{X}.when"),
    "when is no expression": (parameter(when="import os"), f"{X}.when"),
    "constraint of nothing": ({"constraints": ["y < 1"]}, r"spec.constraints\[0\]: .*y"),
    "constraint that cannot hold": ({"constraints": ["x > 2"]}, r"spec.constraints\[0\]: "),
    "constraint with a call": ({"constraints": ["open('f') == 1"]}, r"spec.constraints\[0\]"),
    "sampler": (algorithm("tpee"), "spec.algorithm.algorithmName: .*tpe"),
    "sampler setting": (algorithm("tpe", n_startup=1), "spec.algorithm.*n_startup_trials"),
    "sampler setting's type": (algorithm("tpe", n_startup_trials="x"), 'spec.algorithm.*"x": must be an integer'),
    "sampler setting's range": (algorithm("tpe", n_startup_trials=-1), "spec.algorithm.*-1"),
    "grid without an end": (algorithm("grid"), "spec.*(step|grid)"),
    "pruner": (pruner("median2"), "spec.earlyStopping.algorithmName: .*median"),
    "pruner setting": (pruner("percentile", percentile=101), "spec.earlyStopping.*101"),
    "threshold without bounds": (pruner("threshold"), "spec.earlyStopping"),
    "patient without patience": (pruner("patient"), "spec.earlyStopping.*patience"),
    "patient in patient": (
        pruner("patient", patience=1, wrapped_pruner="patient"),
        "spec.earlyStopping.*wrapped_pruner",
    ),
    "warm start outside": ({"warmStart": {"points": [{"x": 7}]}}, r"spec.warmStart.points\[0\].x"),
    "filter": (
        {"metricsCollectorSpec": {"source": {"filter": {"metricsFormat": ["("]}}}},
        "spec.metricsCollectorSpec.source.filter.metricsFormat",
    ),
    "filter with one group": (
        {"metricsCollectorSpec": {"source": {"filter": {"metricsFormat": ["(a)"]}}}},
        "spec.metricsCollectorSpec.source.filter.metricsFormat",
    ),
    "warm start off its step": (
        {**space("double", min=0, max=1, step=0.2), "warmStart": {"points": [{"x": 0.3}]}},
        r"spec.warmStart.points\[0\].x",
    ),
    "warm start against a constraint": (
        {"constraints": ["x > 0.5"], "warmStart": {"points": [{"x": 0.1}]}},
        r"spec.warmStart.points\[0\]: .*x > 0.5",
    ),
    "number without end": (space("double", min=0, max=10**320), f"{X}.feasibleSpace.max"),
    "range without end": (space("double", min=-1e308, max=1e308), f"{X}.feasibleSpace.max"),
    "hours without end": ({"budget": {"gpuHours": 10**320}}, "spec.budget.gpuHours"),
    "cmaes twice": (
        algorithm("cmaes", use_separable_cma=True, with_margin=True),
        "spec.algorithm.algorithmSettings",
    ),
    "constraint off the grid": (
        {**space("double", min=0, max=1, step=0.2), "constraints": ["x == 0.5"]},
        r"spec.constraints\[0\]",
    ),
    "constraint to a list outside": ({"constraints": ["x in (11, 12)"]}, r"spec.constraints\[0\]"),
    "constraint of a number and a text": ({"constraints": ["x == 'a'"]}, r"spec.constraints\[0\]"),
    "constraint against everything": ({"constraints": ["not (x < 20)"]}, r"spec.constraints\[0\]"),
    "constraint against itself": ({"constraints": ["x != x"]}, r"spec.constraints\[0\]"),
    "only stagnation for several objectives": (
        {
            "objective": None,
            "objectives": [{"metric": "a", "direction": "minimize"}, {"metric": "b", "direction": "maximize"}],
            "maxTrialCount": None,
            "stopWhen": {"noImprovement": 2},
        },
        "spec.stopWhen.noImprovement",
    ),
    "nas": ({"nasConfig": {}}, "spec.nasConfig"),
    "pruning several objectives": (
        {
            "objective": None,
            "objectives": [{"metric": "a", "direction": "minimize"}, {"metric": "b", "direction": "maximize"}],
            **pruner("median"),
        },
        "spec.earlyStopping",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    import re

    changes, pattern = REFUSED[case]
    found = document()
    for field, value in changes.items():
        if value is None:
            found["spec"].pop(field, None)
        else:
            found["spec"][field] = value
    told = problems(yaml.safe_dump(found))
    assert any(re.match(pattern, line) for line in told), told
    assert all(line.startswith(("spec", "metadata")) for line in told)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d.update(kind="Trial"), "kind"),
        (lambda d: d.update(apiVersion="v1"), "apiVersion"),
        (lambda d: d["metadata"].update(name="A_b"), "metadata.name"),
        (lambda d: d["metadata"].update(name="a" * 41), "metadata.name"),
        (
            lambda d: d["spec"]["trialTemplate"]["trialSpec"].update(kind="Deployment"),
            "spec.trialTemplate.trialSpec.kind",
        ),
        (
            lambda d: d["spec"]["trialTemplate"]["trialSpec"]["spec"].update(restartPolicy="Always"),
            "spec.trialTemplate.trialSpec.spec.restartPolicy",
        ),
        (
            lambda d: d["spec"]["trialTemplate"]["trialSpec"]["spec"].update(containers=[]),
            "spec.trialTemplate.trialSpec.spec.containers",
        ),
        (
            lambda d: d["spec"]["trialTemplate"].update(primaryContainerName="b"),
            "spec.trialTemplate.primaryContainerName",
        ),
        (
            lambda d: d["spec"]["trialTemplate"].update(trialParameters=[{"name": "p", "reference": "nope"}]),
            "spec.trialTemplate.trialParameters[0].reference",
        ),
        (lambda d: d["spec"].pop("trialTemplate"), "spec.trialTemplate"),
        (lambda d: d.pop("spec"), "spec"),
    ],
)
def test_refused_elsewhere(change: Any, path: str) -> None:
    found = document()
    change(found)
    assert any(line.startswith(f"{path}: ") for line in problems(yaml.safe_dump(found)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "a: [",
        "a: 1\na: 2",
        "!!python/object/apply:os.system ['true']",
        "&a [*a]",
        "a: " + "[" * 5000,
        "\x00",
        "a: &x [1]\n" + "".join(f"b{i}: [*x, *x]\n" for i in range(3)),
        "just text",
        "{}",
        "---\na: 1\n---\nb: 2\n",
        "a: b: c",
        "? [1, 2]\n: 3",
        "spec: 5\nkind: Experiment\napiVersion: kubetuna.dev/v1alpha1\nmetadata: []",
    ],
)
def test_whatever_a_file_holds_it_is_an_error_in_words(text: str) -> None:
    assert all(line for line in problems(text))


def test_every_problem_is_told_at_once() -> None:
    text = yaml.safe_dump(document(maxTrialCount=0, resumePolicy="x", bogus=1, **space("int", min=3, max=1)))
    paths = {line.split(":")[0] for line in problems(text)}
    assert {"spec.maxTrialCount", "spec.resumePolicy", "spec.bogus"} <= paths
    assert any(path.startswith("spec.parameters[0]") for path in paths)


def test_what_follows_from_a_fault_is_not_told_as_another() -> None:
    changes = {**space("int", min=3, max=1), "constraints": ["x > 1"], "warmStart": {"points": [{"x": 1}]}}
    told = problems(yaml.safe_dump(document(**changes)))
    assert len(told) == 1 and told[0].startswith("spec.parameters[0].feasibleSpace.max")


def test_rules_over_several_parts_are_told_with_the_rest() -> None:
    found = document(**algorithm("grid"), resumePolicy="x")
    told = problems(yaml.safe_dump(found))
    assert {line.split(":")[0] for line in told} == {"spec.resumePolicy", "spec.parameters[0].feasibleSpace.step"}
    del found["spec"]["maxTrialCount"], found["spec"]["algorithm"]
    told = problems(yaml.safe_dump(found))
    assert {line.split(":")[0] for line in told} == {"spec.resumePolicy", "spec.maxTrialCount"}


def test_a_constraint_that_does_not_apply_everywhere_may_be_impossible_elsewhere() -> None:
    parameters = [
        {"name": "a", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 2}},
        {"name": "b", "parameterType": "int", "feasibleSpace": {"min": 1, "max": 5}, "when": "a == 2"},
    ]
    parse_file_text(yaml.safe_dump(document(parameters=parameters, constraints=["b > 10"])))


@pytest.mark.parametrize("choices", [[0, 1], [False, True], ["", "a"]])
def test_a_point_may_hold_what_python_takes_for_nothing(choices: list[Any]) -> None:
    points = {"warmStart": {"points": [{"x": choices[0]}]}}
    found = parse_file_text(yaml.safe_dump(document(**space("categorical", list=choices), **points)))
    assert found.warm_start == ({"x": choices[0]},)


CONTAINER = "spec.trialTemplate.trialSpec.spec.containers[0]"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"comand": ["a"]}, f"{CONTAINER}.comand"),
        ({"env": "x"}, f"{CONTAINER}.env"),
        ({"env": ["x"]}, f"{CONTAINER}.env[0]"),
        ({"env": [{"name": "A", "value": 1}]}, f"{CONTAINER}.env[0].value"),
        ({"resources": "x"}, f"{CONTAINER}.resources"),
        ({"resources": {"limits": ["a"]}}, f"{CONTAINER}.resources.limits"),
        ({"resources": {"limits": {"nvidia.com/gpu": "two"}}}, f"{CONTAINER}.resources.limits.nvidia.com/gpu"),
        ({"resources": {"limits": {"nvidia.com/gpu": -1}}}, f"{CONTAINER}.resources.limits.nvidia.com/gpu"),
        ({"resources": {"requests": {"cpu": "abc"}}}, f"{CONTAINER}.resources.requests.cpu"),
    ],
)
def test_a_container_that_could_only_fail_is_refused(changes: dict[str, Any], path: str) -> None:
    found = document()
    found["spec"]["trialTemplate"]["trialSpec"]["spec"]["containers"][0].update(changes)
    assert any(line.startswith(f"{path}: ") for line in problems(yaml.safe_dump(found)))


@pytest.mark.parametrize("value", [0, -1, 2.5, "2", True, 10**9])
@pytest.mark.parametrize("field", ["parallelism", "completions"])
def test_a_job_of_no_number_of_pods_is_refused(field: str, value: object) -> None:
    found = document()
    pod = found["spec"]["trialTemplate"]["trialSpec"]["spec"]
    job = {field: value, "template": {"spec": pod}}
    found["spec"]["trialTemplate"]["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": job}
    told = problems(yaml.safe_dump(found))
    assert told and all(p.startswith(f"spec.trialTemplate.trialSpec.spec.{field}: Invalid value: ") for p in told)


def test_the_known_names_are_those_of_the_client() -> None:
    """A newer client brings newer names; here is where they are missed."""
    import kubernetes.client as models

    from kubetuna.experiment.kinds import JOB
    from kubetuna.parsing import pod_fields

    for names, model in (
        (pod_fields.CONTAINER, models.V1Container),
        (pod_fields.POD, models.V1PodSpec),
        (JOB.fields, models.V1JobSpec),
    ):
        assert set(names) == set(model.attribute_map.values())


def test_names_that_collide_as_variables_are_refused() -> None:
    two = [{"name": n, "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}} for n in ("a-b", "a.b")]
    assert any("a.b" in line or "A_B" in line for line in problems(yaml.safe_dump(document(parameters=two))))


@pytest.mark.parametrize("joint", [" + ", " * ", " - ", " > 0 or x + ", " > 0 and x + "])
@pytest.mark.parametrize("field", ["constraints", "when"])
def test_an_expression_is_as_long_as_it_can_be_evaluated_or_refused(joint: str, field: str) -> None:
    def spec(terms: int) -> dict[str, Any]:
        text = f"{joint.join(['x'] * terms)} > 0"
        if field == "constraints":
            return {"constraints": [text]}
        return {"parameters": [*parameter()["parameters"], *parameter(name="n", when=text)["parameters"]]}

    with pytest.raises(SpecError, match="more than"):
        parse_file_text(experiment("", **spec(400)))
    parsed = parse_file_text(experiment("", **spec(40)))
    conditions = [c.expression for c in parsed.constraints] + [p.when for p in parsed.parameters if p.when]
    assert len(conditions) == 1 and conditions[0].evaluate({"x": 1.0}) in (True, False)
