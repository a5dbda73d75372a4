"""What an accepted file means: defaults, Katib's shape, scalars as kubectl reads them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kubetuna.errors import Problem, SpecError
from kubetuna.parsing.katib_migration import migrate
from kubetuna.parsing.overrides import with_metric
from kubetuna.parsing.parse import parse_experiment, parse_file_text
from kubetuna.parsing.yaml_text import load_documents
from kubetuna.trials.attempts import AttemptKey
from kubetuna.trials.environment import environment
from kubetuna.trials.substitution import substitute
from tests.local.runs import experiment
from tests.unit.spec.test_refusals import algorithm, parameter, pruner, space

KATIB = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {namespace: kubeflow, name: random}
spec:
  objective:
    type: maximize
    goal: 0.99
    objectiveMetricName: Validation-accuracy
    additionalMetricNames: [Train-accuracy]
  algorithm: {algorithmName: random}
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 3
  parameters:
  - {name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.03"}}
  - {name: num-layers, parameterType: int, feasibleSpace: {min: "2", max: "5"}}
  - {name: optimizer, parameterType: categorical, feasibleSpace: {list: [sgd, adam, ftrl]}}
  trialTemplate:
    primaryContainerName: training-container
    trialParameters:
    - {name: learningRate, description: d, reference: lr}
    - {name: numberLayers, description: d, reference: num-layers}
    - {name: optimizer, description: d, reference: optimizer}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            containers:
            - name: training-container
              image: example
              command: [python3, mnist.py, "--lr=${trialParameters.learningRate}"]
              args: ["--n=${trialParameters.numberLayers}", "${trialParameters.optimizer}"]
            restartPolicy: Never
"""


def test_a_katib_experiment_runs_as_it_is() -> None:
    spec = parse_file_text(KATIB)
    assert (spec.name, spec.parallel, spec.max_trials, spec.max_failed) == ("random", 3, 12, 3)
    assert spec.objectives[0].goal == 0.99 and spec.metric_names == ("Validation-accuracy", "Train-accuracy")
    params = {"lr": 0.02, "num-layers": 3, "optimizer": "adam"}
    meta = {"name": "random-0", "namespace": "kubeflow"}
    rendered = substitute(spec.template.trial_spec, spec.template.substitutions, params, meta)
    container = rendered["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][2:] == ["--lr=0.02"] and container["args"] == ["--n=3", "adam"]


@pytest.mark.parametrize(("way", "best"), [("maximize", "max"), ("minimize", "min")])
def test_a_file_of_katibs_group_keeps_katibs_default_strategy(way: str, best: str) -> None:
    names = ("Validation-accuracy", "Train-accuracy")
    text = KATIB.replace("type: maximize", f"type: {way}")
    assert [parse_file_text(text).strategy(name) for name in names] == [best, best]
    # As it is stored, and read back with the study.
    assert parse_experiment(parse_file_text(text).raw).strategy(names[0]) == best
    ours = parse_file_text(text.replace("kubeflow.org/v1beta1", "kubetuna.dev/v1alpha1"))
    assert [ours.strategy(name) for name in names] == ["latest", "latest"]
    written = "metricStrategies: [{name: Train-accuracy, value: latest}]\n    goal: 0.99"
    own = parse_file_text(text.replace("goal: 0.99", written))
    assert [own.strategy(name) for name in names] == [best, "latest"]


def test_a_value_that_looks_like_a_placeholder_stays_text() -> None:
    template = {"a": "${trialParameters.x}", "b": ["${trialSpec.Name}", 3]}
    params = {"x": '"}, ${trialParameters.y}: {', "y": "no"}
    done = substitute(template, {"x": "x", "y": "y"}, params, {"name": "n-1", "namespace": "d"})
    assert done == {"a": '"}, ${trialParameters.y}: {', "b": ["n-1", 3]}


def parsed(**spec: Any) -> Any:
    return parse_file_text(experiment("", command=["python"], **spec))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-6", 1e-6), ("1E3", 1000.0), ("0.5", 0.5), ("'0.5'", 0.5), ("7", 7), ("-1", -1)],
)
def test_numbers_are_numbers_however_yaml_1_1_reads_them(text: str, value: float) -> None:
    source = (
        experiment("", command=["python"]).replace('"min": 0', f'"min": {text}').replace('"max": 1', '"max": 5000')
    )
    assert parse_file_text(source).parameters[0].low == value


def test_items_of_a_list_keep_their_yaml_type() -> None:
    items = "['1', 1.5, y, 1:30, off]"
    source = experiment("", command=["python"], **space("categorical", list=["a", "b"]))
    written = source.replace('"list": ["a", "b"]', f'"list": {items}')
    assert written != source
    # As kubectl reads them: booleans of YAML 1.1, but no numbers to base 60.
    assert parse_file_text(written).parameters[0].choices == ("1", 1.5, True, "1:30", False)


@pytest.mark.parametrize(
    ("written", "least", "most"),
    [
        ("4", None, 4),
        ("{max: 4}", 1, 4),
        ("{min: 3, max: 4}", 3, 4),
        ("{min: null, max: 1}", 1, 1),
        ("null", None, 3),
    ],
)
def test_how_many_trials_are_open_is_a_number_or_two(written: str, least: int | None, most: int) -> None:
    spec = parse_file_text(experiment("", command=["python"]), sets=[f"parallelTrialCount={written}"])
    assert (spec.parallel_min, spec.parallel) == (least, most)
    assert parse_experiment(spec.raw) == spec, "as it is stored"


def test_katib_knows_a_number_of_trials_at_once_only() -> None:
    text = KATIB.replace("parallelTrialCount: 3", "parallelTrialCount: {min: 1, max: 3}")
    told = (
        r'spec.parallelTrialCount: Invalid value: {"min":1,"max":3}: must be of type integer; {min, max} needs api'
    )
    with pytest.raises(SpecError, match=told):
        parse_file_text(text)
    with pytest.raises(SpecError, match=told):
        migrate(yaml.safe_load(text))
    assert parse_file_text(text.replace("kubeflow.org/v1beta1", "kubetuna.dev/v1alpha1")).parallel == 3


def test_defaults() -> None:
    source = yaml.safe_load(experiment("", command=["python"]))
    for field in ("parallelTrialCount", "algorithm"):
        del source["spec"][field]
    spec = parse_file_text(yaml.safe_dump(source))
    assert spec.parallel == 3 and spec.algorithm.name == "auto" and spec.pruner is None and spec.retry_limit == 0
    assert spec.template.primary_container == "trial" and spec.max_failed is None


@pytest.mark.parametrize(
    ("preset", "written", "count"), [("quick", None, 20), ("thorough", None, 200), ("production", 7, 7)]
)
def test_a_preset_fills_what_is_not_written(preset: str, written: int | None, count: int) -> None:
    source = yaml.safe_load(experiment("", command=["python"]))
    source["spec"]["preset"] = preset
    source["spec"]["maxTrialCount"] = written
    if written is None:
        del source["spec"]["maxTrialCount"]
    assert parse_file_text(yaml.safe_dump(source)).max_trials == count


@pytest.mark.parametrize(
    "name",
    [
        "random",
        "tpe",
        "cmaes",
        "nsgaii",
        "nsgaiii",
        "qmc",
        "sobol",
        "multivariate-tpe",
        "bayesianoptimization",
        "gp",
    ],
)
def test_every_sampler_by_name(name: str) -> None:
    two = [{"name": n, "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}} for n in ("x", "y")]
    assert parsed(parameters=two, **algorithm(name)).algorithm.name


@pytest.mark.parametrize("name", ["grid", "bruteforce"])
def test_searches_with_an_end(name: str) -> None:
    assert parsed(**space("int", min=1, max=3), maxTrialCount=3, **algorithm(name)).algorithm.name == name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("none", {}),
        ("median", {}),
        ("medianstop", {"min_trials_required": 3, "start_step": 4}),
        ("percentile", {"percentile": 25}),
        ("asha", {}),
        ("hyperband", {"max_resource": 9}),
        ("threshold", {"upper": 3}),
        ("wilcoxon", {}),
        ("patient", {"patience": 2, "wrapped_pruner": "median", "wrapped_pruner.n_startup_trials": 2}),
    ],
)
def test_every_pruner_by_name(name: str, settings: dict[str, Any]) -> None:
    parsed(**pruner(name, **settings))


def test_the_environment_is_the_interface() -> None:
    params = {"lr.rate": 1e-05, "kind": "a b", "flag": True, "n": 3}
    found = environment("exp", params, AttemptKey(4, 1), 99)
    assert found["KUBETUNA_PARAM_LR_RATE"] == "1e-05" and found["KUBETUNA_PARAM_KIND"] == "a b"
    assert found["KUBETUNA_PARAM_FLAG"] == "true" and found["KUBETUNA_PARAM_N"] == "3"
    assert (found["KUBETUNA_TRIAL"], found["KUBETUNA_ATTEMPT"], found["KUBETUNA_SEED"]) == ("4", "1", "99")


def test_set_and_metric_change_the_document() -> None:
    text = experiment("", command=["python"])
    spec = parse_file_text(
        text, sets=("maxTrialCount=9", "spec.parameters[0].feasibleSpace.max=5"), metric="acc:maximize"
    )
    assert spec.max_trials == 9 and spec.parameters[0].high == 5
    assert [(o.metric, o.direction) for o in spec.objectives] == [("acc", "maximize")]
    # Neither way is forgotten: the old objective keeps its own, so the search can turn back.
    assert (spec.additional_metrics, spec.direction("loss")) == (("loss",), "minimize")
    assert parse_experiment(spec.raw, metric="loss").direction("acc") == "maximize"


@pytest.mark.parametrize("metric", ["acc", "valid:auc", "acc:max", ":minimize", "x:"])
def test_a_metric_whose_better_way_nobody_said_is_not_optimised(metric: str) -> None:
    with pytest.raises(SpecError, match=f"--metric: .*needs a direction: {metric}:minimize or {metric}:maximize"):
        parse_file_text(experiment("", command=["python"]), metric=metric)


@pytest.mark.parametrize(
    ("metric", "name", "way"),
    [("auc", "auc", "maximize"), ("auc:minimize", "auc", "minimize"), ("loss:maximize", "loss", "maximize"),
     ("valid:auc:maximize", "valid:auc", "maximize")],
)  # fmt: skip
def test_a_word_or_the_file_says_which_way_a_metric_is_better(metric: str, name: str, way: str) -> None:
    goal = {"type": "minimize", "objectiveMetricName": "loss", "metricDirections": {"auc": "maximize"}}
    document = yaml.safe_load(experiment("", command=["python"], objective=goal))
    problems: list[Problem] = []
    changed = with_metric(document, metric, problems)["spec"]["objective"]
    assert (changed["objectiveMetricName"], changed["type"], problems) == (name, way, [])


def test_conditions_may_nest() -> None:
    base = {"parameterType": "int", "feasibleSpace": {"min": 0, "max": 3}}
    three = [
        {"name": "a", **base},
        {"name": "b", **base, "when": "a >= 1"},
        {"name": "c", **base, "when": "b == 2 and a in [1, 2]"},
    ]
    assert parsed(parameters=three).parameters[2].when is not None
    assert parameter()["parameters"]


def test_tags_and_merges_mean_what_kubectl_makes_of_them() -> None:
    text = (
        "a: !!str 123\nb: !!float -10\nc: !!int 3\nd: !!bool yes\n"
        "base: &base {x: 1, y: 2}\ne: {<<: *base, y: 3}\nf: {<<: [*base, {z: 4, x: 9}]}\ng: {'<<': 1}\n"
    )
    found = load_documents(text)[0]
    assert found == {
        "a": "123", "b": -10.0, "c": 3, "d": True, "base": {"x": 1, "y": 2},
        "e": {"x": 1, "y": 3}, "f": {"x": 1, "y": 2, "z": 4}, "g": {"<<": 1},
    }  # fmt: skip
    assert type(found["b"]) is float


@pytest.mark.parametrize("text", ["a: !!int x", "a: {<<: 1}", "a: !!float true", "a: !!set {x}"])
def test_a_tag_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is not YAML: line 1"):
        load_documents(text)


def test_a_place_that_is_not_in_the_file_is_told_with_how_items_are_named() -> None:
    with pytest.raises(SpecError, match=r"no such place in the file; an item of a list is like parameters\[0\]"):
        parse_file_text(experiment("", command=["python"]), sets=("parameters.0.feasibleSpace.max=3",))


@pytest.mark.parametrize(
    ("escaped", "text"), [(r"\ud83c\udf89", "🎉"), (r"a\ud83cb", "a\ufffdb"), (r"\udf89\ud83c", "\ufffd\ufffd")]
)
def test_a_character_that_json_escapes_as_a_pair_is_one(escaped: str, text: str) -> None:
    assert load_documents(f'{{"{escaped}": "{escaped}"}}') == [{text: text}]
