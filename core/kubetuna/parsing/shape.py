"""The shape of an Experiment, said once: what the parser checks, what the CRD says and which fields may be edited.

Rules of meaning (``min`` is below ``max``, an expression can be read) are the parsers'. A new field is written
here, in ``kubetuna.experiment.model``, where it is read (``parse``) and in ``docs/reference/experiment.md``;
``make manifests`` writes the CRD.

The names of samplers and pruners are those of ``kubetuna.search.catalogue``, which loads Optuna: whoever needs
them here hands them in (``with_algorithms``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kubetuna.experiment.expressions import LENGTH_LIMIT
from kubetuna.experiment.field_errors import not_above
from kubetuna.experiment.model import NAME_LIMIT, NOTHING
from kubetuna.parsing.limits import PARALLEL, PRESETS
from kubetuna.parsing.objective_shape import BESIDE_SEVERAL, METRIC_LIMIT, OBJECTIVE, OBJECTIVES, SEVERAL_RULES
from kubetuna.parsing.schema import (
    Duration,
    Flag,
    Forbidden,
    Free,
    Integer,
    List,
    Named,
    Node,
    Number,
    Object,
    Rule,
    Text,
    editable_paths,
    open_object,
)
from kubetuna.parsing.template_shape import TEMPLATE

_COUNT = 2**31 - 1
_ONE_OBJECTIVE = "!has(self.objectives) || size(self.objectives) < 2"
NEEDS_ONE_OBJECTIVE = "needs one objective: several have a Pareto front and no order of their trials"
PRUNING_NEEDS_ONE_METRIC = "of several objectives none says when to prune; add pruneOn: METRIC"

NAME = Text(
    high=NAME_LIMIT,
    pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$",
    says="lower-case letters, digits and -, first a letter",
)


def _sampler(names: tuple[str, ...] = ()) -> Object:
    return _algorithm(names, "The sampler, with its settings (auto).")


def _pruner(names: tuple[str, ...] = ()) -> Object:
    on = Text(
        low=1,
        high=METRIC_LIMIT,
        description="The metric whose curve the pruner looks at (the objective); one of several, or a further one.",
    )
    return _algorithm(names, "The pruner, with its settings (none).", {"pruneOn": on})


def _algorithm(names: tuple[str, ...], description: str, more: Mapping[str, Node] = NOTHING) -> Object:
    setting = Object(
        {
            "name": Text(low=1, high=128, required=True),
            "value": Free(description="A number, a boolean or text.", required=True),
        }
    )
    settings = "Settings of Optuna's class by name; a seed among them makes the search repeatable."
    return Object(
        {
            "algorithmName": Text(low=1, high=128, words=names, required=True),
            "algorithmSettings": List(setting, high=64, description=settings),
            **more,
        },
        description=description,
    )


PARAMETER = Object(
    {
        "name": Text(
            low=1,
            high=128,
            pattern="^[A-Za-z_][A-Za-z0-9_.-]*$",
            says="letters, digits, _ . -, first a letter or _",
            required=True,
            description="Trials find the value in KUBETUNA_PARAM_NAME, in capitals.",
        ),
        "description": Text(high=1024, description="For people."),
        "parameterType": Text(words=("double", "int", "discrete", "categorical"), required=True),
        "when": Text(
            low=1,
            high=LENGTH_LIMIT,
            description="The parameter exists only where this holds, such as n_ensemble_agents >= 3.",
        ),
        "feasibleSpace": Object(
            {
                "min": Number(editable=True, description="The lowest value."),
                "max": Number(editable=True, description="The highest value."),
                "step": Number(above=0, description="The distance between values."),
                "distribution": Text(
                    words=("uniform", "logUniform", "normal", "logNormal"),
                    description="With normal and logNormal random gathers around the middle; others take the range "
                    "(uniform).",
                ),
                "list": List(Free(), low=1, high=1000, editable=True, description="The values."),
            },
            required=True,
            description="min and max (with step) for double and int; list for discrete and categorical. "
            "Numbers may be text.",
        ),
    }
)

BUDGET = Object(
    {
        "gpuHours": Number(
            above=0,
            description="Hours times accelerators (slots, where a trial asks for none) over all attempts.",
        ),
        "wallClock": Duration(description="Time since the experiment's start, such as 2h."),
        "acceleratorsPerTrial": Integer(
            low=0,
            high=100_000,
            description="How many accelerators a trial counts as, in place of what its template asks for: "
            "for DRA claims of several devices, or of none (0).",
        ),
        "trialTimeout": Duration(description="Time for one attempt from its container's start, such as 30m."),
    },
    editable=True,
    description="Hard limits on what the experiment may spend. When one is exhausted, running trials are stopped.",
)

STOP_WHEN = Object(
    {
        "goal": Number(description="Like the objective's goal."),
        "noImprovement": Integer(low=1, high=_COUNT, description="After that many trials without a better one."),
        "regret": Number(
            above=0,
            words=("auto",),
            description="Once another trial is expected to gain less than this, or with auto less than a tenth of "
            "the noise.",
        ),
        "terminator": Flag(description="Optuna's terminator."),
    },
    editable=True,
    description="Ends the experiment before the counts are reached.",
)

WARM_START = Object(
    {
        "points": List(Object({}, values=Free(), high=200), high=1000),
        "studies": List(
            Named(
                Object(
                    {
                        "study": Text(low=1, required=True, description="The name of a study in the same store."),
                        "points": Integer(low=0, high=1000),
                        "trials": Flag(),
                    }
                ),
                by="study",
            ),
            high=20,
            description="Earlier studies.",
        ),
    },
    description="Points to try first.",
)

CHECKPOINT = Object(
    {
        "volume": Free(
            "object",
            description="As in a Pod's volumes, without the name: {persistentVolumeClaim: {claimName: NAME}}.",
        ),
        "mountPath": Text(high=1024, description="Where it is mounted (/kubetuna/checkpoint)."),
        "keep": Free(description="What is kept of it."),
    },
    attribute="checkpoint",
    cluster="noted",
    description="A volume for the checkpoints of every trial's attempts, each trial in a folder of its own.",
)

METRICS_PATH = Text(
    low=2,
    high=1000,
    pattern=r"^(/[^/:]+)+/?$",
    says="an absolute path, with a folder, without a colon",
    description="The file (/var/log/katib/metrics.log), or the folder of TensorBoard's event files "
    "(/var/log/katib/tfevent).",
)
_PRINT = "print the metrics, or write them into a file and use kind File"
_PUSH = (
    "report_metrics of Katib's SDK sends to Katib's database service, which is not there; print the metrics, as "
    "print('loss=0.1'), and leave metricsCollectorSpec out"
)
COLLECTOR = Object(
    {
        "collector": Object(
            {
                "kind": Text(
                    words=("StdOut", "File", "TensorFlowEvent"),
                    instead={
                        **dict.fromkeys(("Custom", "PrometheusMetric"), _PRINT),
                        "Push": _PUSH,
                    },
                    description="Whether metrics are read from the log (the default), a file, or TensorBoard's "
                    "event files; others are not supported.",
                ),
                "customCollector": Free("object"),
            }
        ),
        "source": Object(
            {
                "filter": Object(
                    {
                        "metricsFormat": List(
                            Text(low=1, high=500),
                            high=20,
                            description="Regular expressions of two groups, name and value, or a library's name "
                            "(keras, lightning and others), in place of NAME=VALUE.",
                        )
                    }
                ),
                "fileSystemPath": Object(
                    {
                        "path": METRICS_PATH,
                        "kind": Text(words=("File", "Directory"), description="As the collector wants it."),
                        "format": Text(words=("TEXT", "JSON"), description="Of a File: lines, or JSON lines."),
                    },
                    description="For File and TensorFlowEvent: where the trial writes.",
                ),
                "httpGet": Forbidden("metrics are not asked for by HTTP; print them", description="Not supported."),
            }
        ),
    },
    description="Katib's: where metrics are read, and how.",
)

SPEC = Object(
    {
        "maxTrialCount": Integer(
            low=1,
            high=_COUNT,
            editable=True,
            description="Trials to make at most. Without it a goal, stopWhen, a budget or a finite search must end "
            "the experiment.",
        ),
        "maxFailedTrialCount": Integer(
            low=0,
            high=_COUNT,
            editable=True,
            description="The experiment fails once that many trials have failed. Without it eight failures in a "
            "row with one and the same message end it.",
        ),
        "parallelTrialCount": PARALLEL,
        "description": Text(
            high=1024, editable=True, attribute="description", description="For people: what this search is for."
        ),
        "preset": Text(
            words=tuple(PRESETS),
            editable=True,
            description="20, 200 or 500 trials where maxTrialCount is not set.",
        ),
        "suspend": Flag(
            editable=True, attribute="suspend", description="Start no trials while true; see suspendPolicy (false)."
        ),
        "suspendPolicy": Text(
            attribute="suspend_policy",
            words=("drain", "stop"),
            editable=True,
            description="What becomes of running trials meanwhile: drain lets them end; stop asks them to "
            "checkpoint and end, and runs them again later (drain).",
        ),
        "shutdown": Flag(
            attribute="shutdown",
            editable=True,
            description="End the experiment now: running trials are stopped, the best so far stands.",
        ),
        "resumePolicy": Text(
            attribute="resume_policy",
            words=("Never", "LongRunning", "FromVolume"),
            description="Accepted from Katib and without effect.",
        ),
        "repeats": Integer(
            attribute="repeats",
            low=1,
            high=100,
            description="Runs of each trial, one after another, each with its own seed; their mean counts (1).",
        ),
        "retest": Named(
            Object(
                {
                    "when": Text(words=("always", "auto"), description="auto: see there (always)."),
                    "top": Integer(low=1, high=50, description="How many of the best trials (3)."),
                    "repeats": Integer(low=2, high=100, description="Seeds for each of them (5)."),
                }
            ),
            by="when",
            description="Run the best trials again with further seeds once the search is over; the best by that "
            "mean wins. auto spends 15 % of maxTrialCount on it where noise is high, and nothing where it is low.",
        ),
        "queueName": Text(
            attribute="queue_name",
            cluster="noted",
            low=1,
            high=63,
            pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
            says="letters, digits, - _ .",
            description="A Kueue queue for every Pod.",
        ),
        "startTimeout": Duration(
            attribute="start_timeout",
            description="How long a template may fail to start before the experiment fails, such as 90s or 10m "
            "(10m). Quota and unschedulable Pods are waited for as long as it takes.",
        ),
        "ttlSecondsAfterFinished": Integer(
            low=0,
            high=_COUNT,
            editable=True,
            cluster="refused",
            description="Delete the Experiment, with its Trials and kept Pods, that long after its end. The study "
            "stays. Without it nothing is deleted.",
        ),
        "objective": OBJECTIVE,
        "objectives": OBJECTIVES,
        **BESIDE_SEVERAL,
        "algorithm": _sampler(),
        "earlyStopping": _pruner(),
        "parameters": List(PARAMETER, low=1, high=200, key="name", required=True, description="The search space."),
        "constraints": List(
            Text(low=1, high=LENGTH_LIMIT),
            high=50,
            description="Expressions over parameters or metrics that a trial must satisfy, such as x + y <= 1.",
        ),
        "budget": BUDGET,
        "retryPolicy": Object(
            {"limit": Integer(low=0, high=100, description="New attempts of a trial (0).")},
            editable=True,
            description="New attempts after a trial's own failures. The infrastructure's are free, up to ten.",
        ),
        "stopWhen": STOP_WHEN,
        "warmStart": WARM_START,
        "checkpoint": CHECKPOINT,
        "metricsCollectorSpec": COLLECTOR,
        "nasConfig": Forbidden(
            "neural architecture search is not supported; write parameters", description="Not supported."
        ),
        "trialTemplate": TEMPLATE,
    },
    one_of=("objective", "objectives"),
    rules=(
        Rule(
            "earlyStopping",
            PRUNING_NEEDS_ONE_METRIC,
            f"{_ONE_OBJECTIVE} || !has(self.earlyStopping) || self.earlyStopping.algorithmName == 'none' || "
            "has(self.earlyStopping.pruneOn)",
            forbidden=True,
        ),
        Rule(
            "maxFailedTrialCount",
            not_above("spec.maxTrialCount"),
            "!has(self.maxTrialCount) || !has(self.maxFailedTrialCount) || "
            "self.maxFailedTrialCount <= self.maxTrialCount",
        ),
        *SEVERAL_RULES,
    ),
    required=True,
    description="What to search, how, and within which limits.",
)


def with_algorithms(samplers: tuple[str, ...], pruners: tuple[str, ...]) -> Object:
    """The spec's shape with the names that a sampler and a pruner may have."""
    return replace(SPEC, fields={**SPEC.fields, "algorithm": _sampler(samplers), "earlyStopping": _pruner(pruners)})


EDITABLE = tuple(editable_paths(SPEC, "spec"))

KATIB = "kubeflow.org/v1beta1"
VERSIONS = ("kubetuna.dev/v1alpha1", KATIB)

# The operator's status and the API server's metadata are not for the parser to judge.
DOCUMENT = Object(
    {
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": open_object({"name": NAME}),
        "spec": SPEC,
        "status": Free(),
    }
)
