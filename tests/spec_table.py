"""Experiments that are refused, and ones that are not: one table for the parser and for the API server.

Each bad one names the only path at which it is wrong. ``server`` tells who refuses it in a cluster: the CRD at once
and at the same path, or the operator's parser, where the rule needs what a schema cannot see.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.local.runs import experiment

ABSENT = object()
X, OBJECTIVE, TEMPLATE = "spec.parameters[0]", "spec.objective", "spec.trialTemplate"
PARALLEL = "spec.parallelTrialCount"
SPACE, TRIAL = f"{X}.feasibleSpace", f"{TEMPLATE}.trialSpec"
X_ = {"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}
Y = {"name": "y", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}
SEVERAL = [{"metric": "loss", "direction": "minimize"}, {"metric": "cost", "direction": "minimize"}]
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {"template": {"spec": {"containers": [{"name": "trial", "image": "python"}]}}},
}
JOBSET = {
    "apiVersion": "jobset.x-k8s.io/v1alpha2",
    "kind": "JobSet",
    "spec": {"replicatedJobs": [{"name": "a", "replicas": 2, "template": {"spec": JOB["spec"]}}]},
}


@dataclass(frozen=True, slots=True)
class Bad:
    """``edits`` maps paths of the good experiment to other values; ``path`` is where that is wrong."""

    edits: Mapping[str, Any]
    path: str
    server: bool = True


@dataclass(frozen=True, slots=True)
class Edit:
    """A change ``after`` of an experiment that was made with ``before``. ``path`` is where it is refused, if it is.

    ``server`` is where the API server refuses it; "": it takes it, and the operator refuses what has a ``path``.
    """

    after: Mapping[str, Any]
    path: str = ""
    server: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)


COLLECTOR = "spec.metricsCollectorSpec"
METRICS_PATH = f"{COLLECTOR}.source.fileSystemPath.path"
FILTER = {"filter": {"metricsFormat": ["([a-z]+)=([0-9.]+)"]}}


def _collector(collector: str, **place: str) -> dict[str, Any]:
    return {COLLECTOR: {"collector": {"kind": collector}, "source": {"fileSystemPath": place} if place else {}}}


def document(edits: Mapping[str, Any], name: str = "small") -> dict[str, Any]:
    """A small good Experiment with some fields changed, or left out where the value is ABSENT."""
    found: dict[str, Any] = json.loads(experiment("pass", name))
    for path, value in edits.items():
        *parents, last = list(_steps(path))
        target: Any = found
        for step in parents:
            target = target[step] if isinstance(step, int) else target.setdefault(step, {})
        if value is ABSENT:
            del target[last]
        else:
            target[last] = copy.deepcopy(value)
    return found


def _steps(path: str) -> Iterator[str | int]:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        yield int(index) if index else name


def _settings(name: str, field: str = "algorithm", **values: Any) -> dict[str, Any]:
    items = [{"name": key, "value": value} for key, value in values.items()]
    return {f"spec.{field}": {"algorithmName": name, "algorithmSettings": items}}


def _kind(kind: str, **space: Any) -> dict[str, Any]:
    return {f"{X}.parameterType": kind, SPACE: space}


GOOD: dict[str, Mapping[str, Any]] = {
    "as it is": {},
    "metrics as trainers name them": {
        f"{OBJECTIVE}.objectiveMetricName": "mAP50-95(B)",
        f"{OBJECTIVE}.additionalMetricNames": ["valid_1 auc", "ndcg@10", "a:b", "=", "__proto__", "step", "é`ü"],
        f"{OBJECTIVE}.metricDirections": {"valid_1 auc": "maximize", "a:b": "minimize"},
        "spec.constraints": ["`mAP50-95(B)` > 0 and `valid_1 auc` < 1", "`é``ü` < 2 or `=` > step"],
    },
    "a Pod with labels of others": {
        f"{TRIAL}.metadata": {"labels": {"team": "a"}, "annotations": {"not-kubetuna.dev/note": "b"}}
    },
    "as many at once as a queue admits": {PARALLEL: {"min": 2, "max": 4}, "spec.queueName": "gpus"},
    "as many at once as a queue admits, from one": {PARALLEL: {"max": 4}},
    "a most of trials at once and no count": {
        "spec.maxTrialCount": ABSENT,
        "spec.budget": {"wallClock": "2h"},
        PARALLEL: {"min": 10_000, "max": 10_000},
    },
    "a budget in place of a count": {
        "spec.maxTrialCount": ABSENT,
        "spec.budget": {"gpuHours": 0.5, "wallClock": "2h"},
    },
    "a budget of accelerators that no template tells": {"spec.budget": {"gpuHours": 1, "acceleratorsPerTrial": 0}},
    "an init container with a GPU": {
        f"{TRIAL}.spec.initContainers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": 1}}}]
    },
    "a normal distribution": {SPACE: {"min": 1, "max": 9, "distribution": "logNormal"}},
    "Katib's hyperband": _settings("hyperband", r_l="9", resource_name="x", eta="3"),
    "numbers as text": {SPACE: {"min": "1e-6", "max": "0.001", "distribution": "logUniform"}},
    "numbers in YAML 1.1's own way": {SPACE: {"min": 1e-6, "max": 0.5}, "spec.budget": {"trialTimeout": 90}},
    "a list of every type": _kind("categorical", list=["a", 2, 2.5, True]),
    "several objectives": {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL},
    "several objectives and further metrics": {
        OBJECTIVE: ABSENT,
        "spec.objectives": SEVERAL,
        "spec.additionalMetricNames": ["latency", "acc"],
        "spec.metricDirections": {"latency": "minimize"},
        "spec.metricStrategies": [{"name": "cost", "value": "min"}, {"name": "acc", "value": "max"}],
        "spec.constraints": ["latency <= 50 and cost < 3"],
    },
    "repeats and a re-test": {"spec.repeats": 3, "spec.retest": {"top": 2, "repeats": 4}},
    "a re-test by its defaults": {"spec.retest": {}},
    "an end by the noise": {"spec.stopWhen": {"regret": "auto"}},
    "an end by what is left to gain": {"spec.stopWhen": {"regret": "1e-3"}},
    "a re-test where noise is high": {"spec.maxTrialCount": 100, "spec.retest": "auto"},
    "a re-test always": {"spec.retest": {"when": "always", "top": 4}},
    "a re-test of a list of one objective": {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL[:1], "spec.retest": {}},
    "several objectives and no pruner": {
        OBJECTIVE: ABSENT,
        "spec.objectives": SEVERAL,
        "spec.earlyStopping": {"algorithmName": "none"},
    },
    "several objectives, pruned on one": {
        OBJECTIVE: ABSENT,
        "spec.objectives": SEVERAL,
        "spec.earlyStopping": {"algorithmName": "median", "pruneOn": "cost"},
    },
    "pruned on a further metric": {
        f"{OBJECTIVE}.additionalMetricNames": ["a `b`"],
        f"{OBJECTIVE}.metricDirections": {"a `b`": "maximize"},
        "spec.earlyStopping": {"algorithmName": "asha", "pruneOn": "a `b`"},
    },
    "a condition": {"spec.parameters[0].name": "x", "spec.constraints": ["x < 0.9"]},
    "a pruner": _settings("median", "earlyStopping", n_startup_trials=2),
    "earlier studies": {"spec.warmStart": {"studies": ["one", {"study": "two", "points": 0, "trials": True}]}},
    "a condition of Katib's that says nothing": {f"{TEMPLATE}.successCondition": ""},
    "names of Kubernetes that are not known here": {
        f"{TRIAL}.spec.somethingNew": {"a": 1},
        f"{TRIAL}.spec.containers[0].somethingNew": True,
        f"{TRIAL}.metadata": {"labels": {"a": "b"}},
    },
    "Katib's settings as text": _settings("tpe", n_startup_trials="3", random_state="7"),
    "a Job": {TRIAL: JOB},
    "a Job of several Pods": {
        TRIAL: {**JOB, "spec": {**JOB["spec"], "parallelism": 2, "completions": 4, "completionMode": "Indexed"}}  # type: ignore[dict-item]
    },
    "a JobSet": {TRIAL: JOBSET},
    "a kind of its own": {
        TRIAL: {**JOBSET, "apiVersion": "example.org/v1", "kind": "Workflow"},
        f"{TEMPLATE}.successCondition": 'status.[@this].#(phase=="Succeeded")#',
        f"{TEMPLATE}.failureCondition": 'status.[@this].#(phase=="Failed")#',
        f"{TEMPLATE}.primaryPodLabels": {"role": "leader"},
    },
    "a Job with a deadline": {TRIAL: {**JOB, "spec": {**JOB["spec"], "activeDeadlineSeconds": 60}}},  # type: ignore[dict-item]
    "placeholders": {
        f"{TEMPLATE}.trialParameters": [{"name": "rate", "reference": "x", "description": "the rate"}],
        f"{TRIAL}.spec.containers[0].args": ["--rate=${trialParameters.rate}"],
    },
    "a metrics file": {COLLECTOR: {"collector": {"kind": "File"}, "source": FILTER}},
    "a metrics file of JSON": _collector("File", path="/katib/mnist.log", kind="File", format="JSON"),
    "event files": _collector("TensorFlowEvent", path="/train/", kind="Directory"),
    "event files at the usual place": {COLLECTOR: {"collector": {"kind": "TensorFlowEvent"}}},
    "points to try first": {"spec.warmStart": {"points": [{"x": 0.5}]}},
    "a volume for checkpoints": {"spec.checkpoint": {"volume": {"emptyDir": {}}, "mountPath": "/keep"}},
    "Katib's leftovers": {
        "spec.resumePolicy": "Never",
        "spec.metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
    },
    "everything that may be edited": {
        "spec.suspend": False,
        "spec.suspendPolicy": "stop",
        "spec.shutdown": False,
        "spec.retryPolicy": {"limit": 2},
        "spec.stopWhen": {"noImprovement": 5, "goal": 0.1},
        "spec.maxFailedTrialCount": 2,
        "spec.preset": "quick",
    },
}

BAD: dict[str, Bad] = {
    "a field that does not exist": Bad({"spec.maxTrialCnt": 3}, "spec.maxTrialCnt"),
    "a field that does not exist, deeper": Bad({f"{SPACE}.maximum": 3}, f"{SPACE}.maximum"),
    "a name with capitals": Bad({"metadata.name": "Small"}, "metadata.name"),
    "a name with a dot": Bad({"metadata.name": "small.one"}, "metadata.name"),
    "a name that is too long": Bad({"metadata.name": "a" * 41}, "metadata.name"),
    "a name that begins with a digit": Bad({"metadata.name": "1small"}, "metadata.name"),
    "no parameters": Bad({"spec.parameters": []}, "spec.parameters"),
    "parameters left out": Bad({"spec.parameters": ABSENT}, "spec.parameters"),
    "too many parameters": Bad(
        {"spec.parameters": [{**Y, "name": f"y{i}"} for i in range(201)]}, "spec.parameters"
    ),
    "a parameter twice": Bad({"spec.parameters": [Y, Y]}, "spec.parameters[1]"),
    "a parameter without a name": Bad({f"{X}.name": ABSENT}, f"{X}.name"),
    "a parameter's name": Bad({f"{X}.name": "1x"}, f"{X}.name"),
    "a parameter without a type": Bad({f"{X}.parameterType": ABSENT}, f"{X}.parameterType"),
    "a parameter of an unknown type": Bad({f"{X}.parameterType": "float"}, f"{X}.parameterType"),
    "a parameter without a space": Bad({SPACE: ABSENT}, SPACE),
    "an unknown distribution": Bad({f"{SPACE}.distribution": "lognormal"}, f"{SPACE}.distribution"),
    "an empty list": Bad(_kind("categorical", list=[]), f"{SPACE}.list"),
    "too long a list": Bad(_kind("discrete", list=list(range(1001))), f"{SPACE}.list"),
    "no objective": Bad({OBJECTIVE: ABSENT}, OBJECTIVE),
    "no repeat": Bad({"spec.repeats": 0}, "spec.repeats"),
    "repeats in words": Bad({"spec.repeats": "three"}, "spec.repeats"),
    "a re-test of one run": Bad({"spec.retest": {"repeats": 1}}, "spec.retest.repeats", server=False),
    "a re-test of too many": Bad({"spec.retest": {"top": 51}}, "spec.retest.top", server=False),
    "an end by no gain": Bad({"spec.stopWhen": {"regret": 0}}, "spec.stopWhen.regret", server=False),
    "an end by a word": Bad({"spec.stopWhen": {"regret": "soon"}}, "spec.stopWhen.regret", server=False),
    "an end by a list": Bad({"spec.stopWhen": {"regret": ["auto"]}}, "spec.stopWhen.regret", server=False),
    "an end by one noise of several": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL, "spec.stopWhen": {"regret": "auto"}},
        "spec.stopWhen.regret",
        server=False,
    ),
    "a re-test sometimes": Bad({"spec.retest": "sometimes"}, "spec.retest.when", server=False),
    "a re-test that is a list": Bad({"spec.retest": ["auto"]}, "spec.retest", server=False),
    "a re-test of so many where noise is high": Bad(
        {"spec.retest": {"when": "auto", "top": 4}}, "spec.retest.top", server=False
    ),
    "a re-test of a share of nothing": Bad(
        {
            "spec.retest": "auto",
            "spec.maxTrialCount": ABSENT,
            "spec.parallelTrialCount": 1,
            "spec.budget": {"wallClock": "1h"},
        },
        "spec.maxTrialCount",
        server=False,
    ),
    "a re-test without an order": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL, "spec.retest": {"top": 2}}, "spec.retest", server=False
    ),
    "both kinds of objective": Bad({"spec.objectives": SEVERAL}, "spec.objectives"),
    "an empty list of objectives": Bad({OBJECTIVE: ABSENT, "spec.objectives": []}, "spec.objectives"),
    "too many objectives": Bad(
        {
            OBJECTIVE: ABSENT,
            "spec.objectives": [{"metric": f"m{i}", "direction": "minimize"} for i in range(9)],
        },
        "spec.objectives",
    ),
    "no direction": Bad({f"{OBJECTIVE}.type": ABSENT}, f"{OBJECTIVE}.type"),
    "an unknown direction": Bad({f"{OBJECTIVE}.type": "max"}, f"{OBJECTIVE}.type"),
    "no metric": Bad({f"{OBJECTIVE}.objectiveMetricName": ABSENT}, f"{OBJECTIVE}.objectiveMetricName"),
    "a metric's name": Bad({f"{OBJECTIVE}.objectiveMetricName": "the\nloss"}, f"{OBJECTIVE}.objectiveMetricName"),
    "the objective twice": Bad(
        {f"{OBJECTIVE}.additionalMetricNames": ["loss"]}, f"{OBJECTIVE}.additionalMetricNames"
    ),
    "a metric's name that ends with a blank": Bad(
        {f"{OBJECTIVE}.objectiveMetricName": "loss "}, f"{OBJECTIVE}.objectiveMetricName"
    ),
    "a metric's name that turns round what follows": Bad(
        {f"{OBJECTIVE}.objectiveMetricName": "a\u202eb"}, f"{OBJECTIVE}.objectiveMetricName"
    ),
    "a metric's name with a blank that looks like another": Bad(
        {f"{OBJECTIVE}.additionalMetricNames": ["a\u00a0b"]}, f"{OBJECTIVE}.additionalMetricNames[0]"
    ),
    "a metric's name that is too long": Bad(
        {f"{OBJECTIVE}.objectiveMetricName": "a" * 201}, f"{OBJECTIVE}.objectiveMetricName"
    ),
    "a direction that is none": Bad(
        {f"{OBJECTIVE}.metricDirections": {"acc": "up"}}, f"{OBJECTIVE}.metricDirections.acc"
    ),
    "a metric twice": Bad(
        {f"{OBJECTIVE}.additionalMetricNames": ["a", "a"]}, f"{OBJECTIVE}.additionalMetricNames[1]"
    ),
    "an unknown strategy": Bad(
        {f"{OBJECTIVE}.metricStrategies": [{"name": "loss", "value": "mean"}]},
        f"{OBJECTIVE}.metricStrategies[0].value",
    ),
    "a strategy without a name": Bad(
        {f"{OBJECTIVE}.metricStrategies": [{"value": "min"}]}, f"{OBJECTIVE}.metricStrategies[0].name"
    ),
    "two strategies for a metric": Bad(
        {f"{OBJECTIVE}.metricStrategies": [{"name": "loss", "value": "min"}] * 2},
        f"{OBJECTIVE}.metricStrategies[1]",
    ),
    "a metric of two objectives": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": [SEVERAL[0], SEVERAL[0]]}, "spec.objectives[1]"
    ),
    "pruning several objectives": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL, **_settings("median", "earlyStopping")},
        "spec.earlyStopping",
    ),
    "pruning on nothing": Bad(
        {"spec.earlyStopping": {"algorithmName": "median", "pruneOn": ""}}, "spec.earlyStopping.pruneOn"
    ),
    "a sampler that prunes": Bad(
        {"spec.algorithm": {"algorithmName": "tpe", "pruneOn": "loss"}}, "spec.algorithm.pruneOn"
    ),
    "pruning on a metric that is not collected": Bad(
        {"spec.earlyStopping": {"algorithmName": "median", "pruneOn": "cost"}},
        "spec.earlyStopping.pruneOn",
        server=False,
    ),
    "pruning on a metric without a direction": Bad(
        {
            f"{OBJECTIVE}.additionalMetricNames": ["cost"],
            "spec.earlyStopping": {"algorithmName": "median", "pruneOn": "cost"},
        },
        "spec.earlyStopping.pruneOn",
        server=False,
    ),
    "one of several objectives twice": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL, "spec.additionalMetricNames": ["acc", "cost"]},
        "spec.additionalMetricNames",
    ),
    "a further metric's direction that is none": Bad(
        {OBJECTIVE: ABSENT, "spec.objectives": SEVERAL, "spec.metricDirections": {"acc": "up"}},
        "spec.metricDirections.acc",
    ),
    "a strategy beside several objectives for no metric": Bad(
        {
            OBJECTIVE: ABSENT,
            "spec.objectives": SEVERAL,
            "spec.metricStrategies": [{"name": "acc", "value": "max"}],
        },
        "spec.metricStrategies[0].name",
        server=False,
    ),
    "further metrics outside the objective": Bad(
        {"spec.additionalMetricNames": ["acc"]}, "spec.additionalMetricNames"
    ),
    "directions outside the objective": Bad(
        {"spec.metricDirections": {"acc": "maximize"}}, "spec.metricDirections"
    ),
    "strategies outside the objective": Bad(
        {"spec.metricStrategies": [{"name": "loss", "value": "min"}]}, "spec.metricStrategies"
    ),
    "fewer accelerators than none": Bad(
        {"spec.budget": {"acceleratorsPerTrial": -1}}, "spec.budget.acceleratorsPerTrial"
    ),
    "part of an accelerator": Bad(
        {"spec.budget": {"acceleratorsPerTrial": 0.5}}, "spec.budget.acceleratorsPerTrial"
    ),
    "an init container's part of a GPU": Bad(
        {f"{TRIAL}.spec.initContainers": [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": "500m"}}}]},
        f"{TRIAL}.spec.initContainers[0].resources.limits.nvidia.com/gpu",
        server=False,
    ),
    "a count of zero": Bad({"spec.maxTrialCount": 0, "spec.parallelTrialCount": ABSENT}, "spec.maxTrialCount"),
    "a count that is text": Bad({"spec.maxTrialCount": "many"}, "spec.maxTrialCount"),
    "none at once": Bad({PARALLEL: 0}, PARALLEL),
    "fewer at once than none": Bad({PARALLEL: -1}, PARALLEL),
    "one and a half at once": Bad({PARALLEL: 1.5}, PARALLEL),
    "too many at once": Bad({PARALLEL: 10_001, "spec.maxTrialCount": 20_000}, PARALLEL),
    "more at once than in all": Bad({PARALLEL: 9}, PARALLEL, server=False),
    "more at once than in all, at most": Bad({PARALLEL: {"max": 9}}, f"{PARALLEL}.max", server=False),
    "more at least than at most": Bad({PARALLEL: {"min": 3, "max": 2}}, f"{PARALLEL}.min", server=False),
    "at once without a most": Bad({PARALLEL: {"min": 2}}, f"{PARALLEL}.max", server=False),
    "at once of nothing": Bad({PARALLEL: {}}, f"{PARALLEL}.max", server=False),
    "at once by another word": Bad({PARALLEL: {"max": 2, "least": 1}}, f"{PARALLEL}.least", server=False),
    **{
        f"{value!r} for a count of trials at once": Bad({PARALLEL: value}, PARALLEL, server=False)
        for value in ("2", "1-4", "", True, [1, 2])
    },
    **{
        f"{value!r} trials at once, {name}": Bad(
            {PARALLEL: {"min": 1, "max": 2, name: value}}, f"{PARALLEL}.{name}", server=False
        )
        for name in ("min", "max")
        for value in (0, -1, 1.5, "2", True, [2], {"max": 2}, 10_001)
    },
    "more failures than trials": Bad({"spec.maxFailedTrialCount": 9}, "spec.maxFailedTrialCount"),
    "fewer failures than none": Bad({"spec.maxFailedTrialCount": -1}, "spec.maxFailedTrialCount"),
    "too many retries": Bad({"spec.retryPolicy": {"limit": 101}}, "spec.retryPolicy.limit"),
    "no improvement in no trials": Bad({"spec.stopWhen": {"noImprovement": 0}}, "spec.stopWhen.noImprovement"),
    "an unknown preset": Bad({"spec.preset": "fast"}, "spec.preset"),
    "an unknown policy": Bad({"spec.suspendPolicy": "kill"}, "spec.suspendPolicy"),
    "a flag that is text": Bad({"spec.suspend": "yes"}, "spec.suspend"),
    "a queue's name": Bad({"spec.queueName": "the queue"}, "spec.queueName"),
    "an unknown sampler": Bad(_settings("tpee"), "spec.algorithm.algorithmName"),
    "a setting without a value": Bad(
        {"spec.algorithm": {"algorithmName": "tpe", "algorithmSettings": [{"name": "seed"}]}},
        "spec.algorithm.algorithmSettings[0].value",
    ),
    "too many settings": Bad(
        {
            "spec.algorithm": {
                "algorithmName": "tpe",
                "algorithmSettings": [{"name": f"a{i}", "value": 1} for i in range(65)],
            }
        },
        "spec.algorithm.algorithmSettings",
    ),
    "an unknown pruner": Bad(_settings("median2", "earlyStopping"), "spec.earlyStopping.algorithmName"),
    **{
        f"a collector of kind {kind}": Bad(_collector(kind), f"{COLLECTOR}.collector.kind")
        for kind in ("Custom", "PrometheusMetric", "Push", "file")
    },
    "a file to read metrics from, of a log": Bad(
        {COLLECTOR: {"source": {"fileSystemPath": {"path": "/a/b"}}}},
        f"{COLLECTOR}.source.fileSystemPath",
        server=False,
    ),
    "a metrics file by a relative path": Bad(_collector("File", path="logs/a"), METRICS_PATH),
    "a metrics file by a path with a colon": Bad(_collector("File", path="/logs:/a"), METRICS_PATH),
    "a metrics file at the root": Bad(_collector("File", path="/metrics"), METRICS_PATH, server=False),
    "a metrics file that is a folder": Bad(_collector("File", path="/metrics/"), METRICS_PATH, server=False),
    "a metrics file by a way back": Bad(_collector("File", path="/logs/../a"), METRICS_PATH, server=False),
    "a metrics file without a path": Bad(_collector("File", path=""), METRICS_PATH),
    "a metrics file of an unknown format": Bad(
        _collector("File", format="XML"), f"{COLLECTOR}.source.fileSystemPath.format"
    ),
    "a metrics file that is a directory": Bad(
        _collector("File", kind="Directory"), f"{COLLECTOR}.source.fileSystemPath.kind", server=False
    ),
    "event files that are a file": Bad(
        _collector("TensorFlowEvent", kind="File"), f"{COLLECTOR}.source.fileSystemPath.kind", server=False
    ),
    "event files with a format": Bad(
        _collector("TensorFlowEvent", format="TEXT"), f"{COLLECTOR}.source.fileSystemPath.format", server=False
    ),
    "a filter of JSON": Bad(
        {COLLECTOR: {"collector": {"kind": "File"}, "source": {**FILTER, "fileSystemPath": {"format": "JSON"}}}},
        f"{COLLECTOR}.source.filter",
        server=False,
    ),
    "a filter of event files": Bad(
        {COLLECTOR: {"collector": {"kind": "TensorFlowEvent"}, "source": FILTER}},
        f"{COLLECTOR}.source.filter",
        server=False,
    ),
    "too long a description": Bad({f"{X}.description": "x" * 1025}, f"{X}.description"),
    "too long a condition": Bad({f"{X}.when": "x > " + "1" * 1024}, f"{X}.when"),
    "too many constraints": Bad({"spec.constraints": ["x < 2"] * 51}, "spec.constraints"),
    "a constraint that is a number": Bad({"spec.constraints": [1]}, "spec.constraints[0]"),
    "earlier studies that are no list": Bad({"spec.warmStart": {"studies": "one"}}, "spec.warmStart.studies"),
    "too many points": Bad({"spec.warmStart": {"points": [{"x": 0.5}] * 1001}}, "spec.warmStart.points"),
    "a volume by its name": Bad({"spec.checkpoint": {"volume": "keep"}}, "spec.checkpoint.volume"),
    "a mount path that is a number": Bad({"spec.checkpoint": {"mountPath": 1}}, "spec.checkpoint.mountPath"),
    "architecture search": Bad({"spec.nasConfig": {"graphConfig": {}}}, "spec.nasConfig"),
    "a template in a ConfigMap": Bad({f"{TEMPLATE}.configMap": {"configMapName": "a"}}, f"{TEMPLATE}.configMap"),
    "a label that is a number": Bad({f"{TEMPLATE}.primaryPodLabels": {"a": 1}}, f"{TEMPLATE}.primaryPodLabels.a"),
    "a placeholder with braces": Bad(
        {f"{TEMPLATE}.trialParameters": [{"name": "{p}", "reference": "x"}]}, f"{TEMPLATE}.trialParameters[0].name"
    ),
    "an address to read metrics from": Bad(
        {"spec.metricsCollectorSpec": {"source": {"httpGet": {"port": 80}}}},
        "spec.metricsCollectorSpec.source.httpGet",
    ),
    "no template": Bad({TEMPLATE: ABSENT}, TEMPLATE),
    "a template of another kind": Bad({f"{TRIAL}.kind": "Deployment"}, f"{TRIAL}.kind"),
    "another version of a known kind without conditions": Bad(
        {TRIAL: {**JOBSET, "apiVersion": "jobset.x-k8s.io/v2"}}, f"{TRIAL}.kind"
    ),
    "a kind that is no name": Bad({f"{TRIAL}.kind": "pod"}, f"{TRIAL}.kind"),
    "a workload of no number of Pods": Bad(
        {TRIAL: {**JOB, "spec": {**JOB["spec"], "parallelism": "two"}}},  # type: ignore[dict-item]
        f"{TRIAL}.spec.parallelism",
        server=False,
    ),
    "a condition that cannot be read": Bad(
        {TRIAL: JOBSET, f"{TEMPLATE}.successCondition": "status.@this"},
        f"{TEMPLATE}.successCondition",
        server=False,
    ),
    "a Pod of another version": Bad({f"{TRIAL}.apiVersion": "v2"}, f"{TRIAL}.apiVersion"),
    "a template with a name": Bad({f"{TRIAL}.metadata": {"name": "mine"}}, f"{TRIAL}.metadata.name"),
    "a Pod that restarts": Bad({f"{TRIAL}.spec.restartPolicy": "Always"}, f"{TRIAL}.spec.restartPolicy"),
    "a Job that retries": Bad(
        {TRIAL: {**JOB, "spec": {**JOB["spec"], "backoffLimit": 3}}},
        f"{TRIAL}.spec.backoffLimit",  # type: ignore[dict-item]
    ),
    "a Job with a deadline that is none": Bad(
        {TRIAL: {**JOB, "spec": {**JOB["spec"], "activeDeadlineSeconds": 0}}},  # type: ignore[dict-item]
        f"{TRIAL}.spec.activeDeadlineSeconds",
        server=False,
    ),
    "a Pod of root that is not root": Bad(
        {f"{TRIAL}.spec.securityContext": {"runAsUser": 0, "runAsNonRoot": True}},
        f"{TRIAL}.spec.securityContext.runAsUser",
        server=False,
    ),
    "a template without a version": Bad({f"{TRIAL}.apiVersion": ABSENT}, f"{TRIAL}.apiVersion"),
    "a Job of another version": Bad({TRIAL: {**JOB, "apiVersion": "v1"}}, f"{TRIAL}.apiVersion"),
    "a template with a namespace": Bad({f"{TRIAL}.metadata": {"namespace": "mine"}}, f"{TRIAL}.metadata.namespace"),
    "a template with a generated name": Bad(
        {f"{TRIAL}.metadata": {"generateName": "mine-"}}, f"{TRIAL}.metadata.generateName"
    ),
    "a container without a name": Bad(
        {f"{TRIAL}.spec.containers[0].name": ABSENT}, f"{TRIAL}.spec.containers[0].name"
    ),
    "too long a container's name": Bad(
        {f"{TRIAL}.spec.containers[0].name": "c" * 64}, f"{TRIAL}.spec.containers[0].name"
    ),
    "no container": Bad({f"{TRIAL}.spec.containers": []}, f"{TRIAL}.spec.containers"),
    "a number among the arguments": Bad(
        {f"{TRIAL}.spec.containers[0].args": [1]}, f"{TRIAL}.spec.containers[0].args[0]"
    ),
    "a placeholder twice": Bad(
        {
            f"{TEMPLATE}.trialParameters": [{"name": "p", "reference": "x"}] * 2,
            f"{TRIAL}.spec.containers[0].args": ["${trialParameters.p}"],
        },
        f"{TEMPLATE}.trialParameters[1]",
    ),
    "no end": Bad({"spec.maxTrialCount": ABSENT}, "spec.maxTrialCount", server=False),
    "no highest value": Bad({SPACE: {"min": 1}}, f"{SPACE}.max", server=False),
    "lowest above highest": Bad({SPACE: {"min": 2, "max": 1}}, f"{SPACE}.max", server=False),
    "a bound that is no number": Bad({f"{SPACE}.max": "large"}, f"{SPACE}.max", server=False),
    "an infinite bound": Bad({f"{SPACE}.max": ".inf"}, f"{SPACE}.max", server=False),
    "hyperband over nothing": Bad(
        _settings("hyperband", r_l="9", resource_name="y"),
        "spec.algorithm.algorithmSettings[1].value",
        server=False,
    ),
    "the logarithm of zero": Bad({f"{SPACE}.distribution": "logUniform"}, f"{SPACE}.min", server=False),
    "half an integer": Bad(_kind("int", min=0.5, max=3), f"{SPACE}.min", server=False),
    "a step of zero": Bad({f"{SPACE}.step": 0}, f"{SPACE}.step", server=False),
    "a list for a range": Bad(_kind("double", min=0, max=1, list=[1]), f"{SPACE}.list", server=False),
    "bounds for a list": Bad(_kind("categorical", list=["a"], min=1), f"{SPACE}.min", server=False),
    "a value twice": Bad(_kind("categorical", list=["a", "a"]), f"{SPACE}.list[1]", server=False),
    "text among numbers": Bad(_kind("discrete", list=[1, "a"]), f"{SPACE}.list[1]", server=False),
    "a condition on nothing": Bad({f"{X}.when": "y > 1"}, f"{X}.when", server=False),
    "a condition that is a program": Bad({f"{X}.when": "__import__('os')"}, f"{X}.when", server=False),
    "a constraint on nothing": Bad({"spec.constraints": ["y < 1"]}, "spec.constraints[0]", server=False),
    "a constraint that cannot hold": Bad({"spec.constraints": ["x > 2"]}, "spec.constraints[0]", server=False),
    "a budget of nothing": Bad({"spec.budget": {"gpuHours": 0}}, "spec.budget.gpuHours", server=False),
    "a duration in words": Bad({"spec.budget": {"wallClock": "soon"}}, "spec.budget.wallClock", server=False),
    "a sampler's unknown setting": Bad(
        _settings("tpe", n_startup=1), "spec.algorithm.algorithmSettings[0].name", server=False
    ),
    "a sampler's setting out of range": Bad(
        _settings("tpe", n_startup_trials=-1), "spec.algorithm.algorithmSettings[0].value", server=False
    ),
    "a pruner's setting out of range": Bad(
        _settings("median", "earlyStopping", n_startup_trials=-1),
        "spec.earlyStopping.algorithmSettings[0].value",
        server=False,
    ),
    "a point outside the space": Bad(
        {"spec.warmStart": {"points": [{"x": 7}]}}, "spec.warmStart.points[0].x", server=False
    ),
    "a filter that is none": Bad(
        {"spec.metricsCollectorSpec": {"source": {"filter": {"metricsFormat": ["("]}}}},
        "spec.metricsCollectorSpec.source.filter.metricsFormat[0]",
        server=False,
    ),
    "a strategy for nothing": Bad(
        {f"{OBJECTIVE}.metricStrategies": [{"name": "other", "value": "min"}]},
        f"{OBJECTIVE}.metricStrategies[0].name",
        server=False,
    ),
    "a primary container that is not there": Bad(
        {f"{TEMPLATE}.primaryContainerName": "main"}, f"{TEMPLATE}.primaryContainerName", server=False
    ),
    "an annotation that is ours": Bad(
        {f"{TRIAL}.metadata": {"annotations": {"kubetuna.dev/trial-timeout-seconds": "soon"}}},
        f"{TRIAL}.metadata.annotations.kubetuna.dev/trial-timeout-seconds",
        server=False,
    ),
    "a label that is ours": Bad(
        {f"{TRIAL}.metadata": {"labels": {"team": "a", "kubetuna.dev/told": "true"}}},
        f"{TRIAL}.metadata.labels.kubetuna.dev/told",
        server=False,
    ),
    "a label of a Job that is ours": Bad(
        {TRIAL: {**JOB, "metadata": {"labels": {"kubetuna.dev/trial": "0"}}}},
        f"{TRIAL}.metadata.labels.kubetuna.dev/trial",
        server=False,
    ),
    "an annotation of a Job's Pod that is ours": Bad(
        {TRIAL: JOB, f"{TRIAL}.spec.template.metadata": {"annotations": {"kubetuna.dev/experiment-uid": "u"}}},
        f"{TRIAL}.spec.template.metadata.annotations.kubetuna.dev/experiment-uid",
        server=False,
    ),
    "labels that are none": Bad({f"{TRIAL}.metadata": {"labels": "team"}}, f"{TRIAL}.metadata.labels"),
    "a placeholder of nothing": Bad(
        {f"{TRIAL}.spec.containers[0].args": ["${trialParameters.y}"]}, f"{TEMPLATE}.trialSpec", server=False
    ),
}


_INTS, _WORDS = _kind("int", min=0, max=9, step=3), _kind("categorical", list=["a", "b"])
EDITS: dict[str, Edit] = {
    "the direction": Edit({f"{OBJECTIVE}.type": "maximize"}, f"{OBJECTIVE}.type", f"{OBJECTIVE}.type"),
    "the metric": Edit(
        {f"{OBJECTIVE}.objectiveMetricName": "cost"},
        f"{OBJECTIVE}.objectiveMetricName",
        f"{OBJECTIVE}.objectiveMetricName",
    ),
    "more metrics": Edit(
        {f"{OBJECTIVE}.additionalMetricNames": ["a"]},
        f"{OBJECTIVE}.additionalMetricNames",
        f"{OBJECTIVE}.additionalMetricNames",
    ),
    "the sampler": Edit({"spec.algorithm.algorithmName": "tpe"}, "spec.algorithm.algorithmName", "spec.algorithm"),
    "the seed": Edit(
        {"spec.algorithm.algorithmSettings[0].value": 2},
        "spec.algorithm.algorithmSettings[0].value",
        "spec.algorithm",
    ),
    "a pruner": Edit(
        {"spec.earlyStopping": {"algorithmName": "none"}}, "spec.earlyStopping.algorithmName", "spec.earlyStopping"
    ),
    "what is pruned on": Edit(
        {"spec.earlyStopping.pruneOn": "loss"},
        "spec.earlyStopping.pruneOn",
        "spec.earlyStopping",
        {"spec.earlyStopping": {"algorithmName": "median"}},
    ),
    "a constraint": Edit({"spec.constraints": ["x < 0.5"]}, "spec.constraints", "spec.constraints"),
    "the program": Edit(
        {f"{TRIAL}.spec.containers[0].args": ["print()"]},
        f"{TRIAL}.spec.containers[0].args[0]",
        "spec.trialTemplate",
    ),
    "the resources": Edit(
        {f"{TRIAL}.spec.containers[0].resources": {"limits": {"cpu": "1"}}},
        f"{TRIAL}.spec.containers[0].resources.limits.cpu",
        "spec.trialTemplate",
    ),
    "a queue": Edit({"spec.queueName": "gpus"}, "spec.queueName", "spec.queueName"),
    "points to try first": Edit(
        {"spec.warmStart": {"points": [{"x": 0.1}]}}, "spec.warmStart.points", "spec.warmStart"
    ),
    "a parameter's name": Edit({f"{X}.name": "y"}, f"{X}.name", "spec.parameters"),
    "one more parameter": Edit({"spec.parameters": [X_, Y]}, "spec.parameters", "spec.parameters"),
    "a parameter's condition": Edit({f"{X}.when": "y > 0"}, f"{X}.when", f"{X}.when", {"spec.parameters": [X_, Y]}),
    "a parameter's type": Edit({f"{X}.parameterType": "int"}, f"{X}.parameterType", f"{X}.parameterType"),
    "the scale": Edit(
        {f"{SPACE}.distribution": "logUniform"},
        f"{SPACE}.distribution",
        f"{SPACE}.distribution",
        {SPACE: {"min": 0.1, "max": 1, "distribution": "uniform"}},
    ),
    "a new scale": Edit(
        {f"{SPACE}.distribution": "logUniform"},
        f"{SPACE}.distribution",
        f"{SPACE}.distribution",
        {SPACE: {"min": 0.1, "max": 1}},
    ),
    "a step": Edit({f"{SPACE}.step": 0.5}, f"{SPACE}.step"),
    "another step": Edit({f"{SPACE}.step": 1}, f"{SPACE}.step", before=_INTS),
    "a range off its steps": Edit({f"{SPACE}.min": 1}, SPACE, before=_INTS),
    "a list for a range": Edit({SPACE: {"list": [1, 2]}}, f"{SPACE}.step", before=_INTS),
    "a grid's list": Edit(
        {f"{SPACE}.list": ["a"]},
        SPACE,
        before={**_WORDS, **_settings("grid"), "spec.maxTrialCount": 1, "spec.parallelTrialCount": 1},
    ),
    "the range of CMA-ES": Edit({f"{SPACE}.max": 2}, SPACE, before=_settings("cmaes")),
    "the range of a population": Edit({f"{SPACE}.max": 2}, SPACE, before=_settings("nsgaii")),
    "a wider range": Edit({f"{SPACE}.max": 2, f"{SPACE}.min": -1}),
    "a narrower range": Edit({f"{SPACE}.max": 0.5}),
    "the same range as text": Edit({f"{SPACE}.max": "1.0"}),
    "a range on its steps": Edit({f"{SPACE}.min": 3, f"{SPACE}.max": 20}, before=_INTS),
    "one more choice": Edit({f"{SPACE}.list": ["a", "b", None]}, before=_WORDS),
    "one choice less": Edit({f"{SPACE}.list": ["b"]}, before=_WORDS),
    "another order of choices": Edit({f"{SPACE}.list": ["b", "a"]}, before=_WORDS),
    "the counts": Edit({"spec.maxTrialCount": 9, "spec.parallelTrialCount": 3, "spec.maxFailedTrialCount": 4}),
    "a mapping for a number of trials at once": Edit({PARALLEL: {"min": 1, "max": 3}}),
    "a number for a mapping of trials at once": Edit({PARALLEL: 2}, before={PARALLEL: {"min": 1, "max": 3}}),
    "the most of trials at once": Edit({f"{PARALLEL}.max": 4}, before={PARALLEL: {"min": 1, "max": 3}}),
    "no word of trials at once": Edit({PARALLEL: ABSENT}, before={PARALLEL: {"min": 1, "max": 3}}),
    "what it may cost": Edit({"spec.budget": {"gpuHours": 2}, "spec.retryPolicy": {"limit": 1}}),
    "when it ends": Edit({"spec.stopWhen": {"noImprovement": 3}, f"{OBJECTIVE}.goal": 0.1}),
    "a pause": Edit({"spec.suspend": True, "spec.suspendPolicy": "stop", "spec.preset": "quick"}),
}
