"""The Experiment as the rest of kubetuna sees it: frozen, validated, with every default filled in.

Only the parser (``kubetuna.parsing.parse``) makes these values, so whoever holds an ``Experiment`` need not
check it again. Durations are seconds, counts are ints, numbers are floats unless the parameter is an int.
``raw`` keeps the spec as it was written, for comparison with what a study was started with.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from kubetuna.experiment.expressions import Expression

# What a parameter may be: anything that JSON has.
Value = str | int | float | bool | None | list[Any] | dict[str, Any]
Direction = Literal["minimize", "maximize"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Strategy = Literal["latest", "min", "max"]
ParameterKind = Literal["double", "int", "discrete", "categorical"]

# Of metadata.name: Pods are named after it.
NAME_LIMIT = 40


def object_name(text: str) -> str:
    """The nearest name that an Experiment may have; empty where there is none.

    >>> object_name("Custom_optimization")
    'custom-optimization'
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")
    return name[:NAME_LIMIT].rstrip("-")


def metric_called(text: str, known: Iterable[str]) -> str:
    """The known metric that a person means, or the text itself.

    >>> metric_called("Sharpe Ratio", ["romad", "sharpe_ratio"])
    'sharpe_ratio'
    """
    names = set(known)
    alike = [name for name in names if object_name(name) == object_name(text)]
    return alike[0] if text not in names and len(alike) == 1 else text


# On a Pod, or on what makes Pods.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One dimension of the search space.

    ``low``, ``high``, ``step`` and ``log`` belong to ``double`` and ``int``; ``choices`` to ``discrete``
    (numbers) and ``categorical`` (anything, in its YAML type). ``when`` says where the parameter exists.
    ``normal``: random draws gather around the middle of the range, of its logarithm with ``log``.
    """

    name: str
    kind: ParameterKind
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    when: Expression | None = None
    normal: bool = False


def sign_of(direction: str) -> float:
    """What makes smaller better."""
    return -1.0 if direction == "maximize" else 1.0


def better(direction: str, value: float, than: float) -> bool:
    """Whether a value beats another."""
    return sign_of(direction) * value < sign_of(direction) * than


def better_word(direction: str) -> str:
    """Which way is better, in words."""
    return "higher is better" if direction == "maximize" else "lower is better"


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric to optimise, the direction, and optionally the value at which the experiment is done."""

    metric: str
    direction: Direction
    goal: float | None = None

    @property
    def sign(self) -> float:
        """What makes smaller better."""
        return sign_of(self.direction)

    @property
    def better_word(self) -> str:
        """Which way is better, in words."""
        return better_word(self.direction)

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value beats another; anything beats None."""
        return than is None or better(self.direction, value, than)

    def reaches(self, value: float, goal: float | None) -> bool:
        """Whether a value is at least as good as the goal; never without a goal."""
        return goal is not None and self.sign * value <= self.sign * goal


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A sampler or pruner by kubetuna's canonical name, with its settings in the types Optuna wants.

    ``seed`` is None where the spec gives none: it is then drawn once and stored with the study.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Hard limits. ``gpu_hours`` over all attempts, ``wall_clock`` and ``trial_timeout`` in seconds.

    ``accelerators``: how many a trial holds, where its template does not say it or says something else.
    """

    gpu_hours: float | None = None
    wall_clock: float | None = None
    trial_timeout: float | None = None
    accelerators: int | None = None


@dataclass(frozen=True, slots=True)
class StopWhen:
    """Early ends: ``no_improvement`` ended trials without a better best; ``goal`` like the objective's.

    ``regret``: another trial is expected to gain less than this; text, "auto", where noise says how much.
    """

    goal: float | None = None
    no_improvement: int | None = None
    regret: float | str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """One expression of ``spec.constraints``. ``over`` tells whether it names any metric."""

    text: str
    expression: Expression
    over: Literal["parameters", "metrics"]


@dataclass(frozen=True, slots=True)
class Template:
    """The trial template. ``trial_spec`` is the raw object, of one of ``kinds``, already parsed YAML.

    ``substitutions`` maps a placeholder name (``${trialParameters.NAME}``) to the parameter it stands for,
    or to a meta reference such as ``${trialSpec.Name}``.
    """

    kind: str
    trial_spec: Mapping[str, Any]
    primary_container: str
    substitutions: Mapping[str, str] = field(default_factory=dict)
    retain: bool = False
    success_condition: str | None = None
    failure_condition: str | None = None
    primary_pod_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collector:
    """How metrics are read: from the log, from the file ``path``, or from the event files in the folder ``path``.

    ``filters`` replace the default ``name=value`` filter.
    """

    filters: tuple[str, ...] = ()
    kind: Literal["StdOut", "File", "TensorFlowEvent"] = "StdOut"
    path: str = ""

    @property
    def folder(self) -> str:
        """Where the trial writes; empty where it prints."""
        return posixpath.dirname(self.path) if self.kind == "File" else self.path


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """A study to start from: this many of its best points are tried first; ``trials`` to learn from all of them."""

    study: str
    points: int = 5
    trials: bool = False


@dataclass(frozen=True, slots=True)
class Retest:
    """Once the search is over its ``top`` best trials are run again, with this many further seeds each.

    ``auto``: only where noise is high, at the cost of trials of the search.
    """

    top: int = 3
    repeats: int = 5
    auto: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """A validated experiment, which the parser makes. For example, ``kubetuna.run(experiment, suspend=True)``.

    ``warnings`` are things a person should know that are no errors. ``prune_on`` is None where pruning is on the
    only objective. ``claimed``: accelerators that a cluster's claim templates give a trial, once it has said so.
    ``parallel`` trials are open at most; with ``parallel_min`` only so many where a queue admits no more.
    """

    name: str
    namespace: str
    parameters: tuple[Parameter, ...]
    objectives: tuple[Objective, ...]
    algorithm: Algorithm
    template: Template
    pruner: Algorithm | None = None
    prune_on: str | None = None
    additional_metrics: tuple[str, ...] = ()
    strategies: Mapping[str, Strategy] = field(default_factory=dict)
    metric_directions: Mapping[str, Direction] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    parallel: int = 3
    parallel_min: int | None = None
    max_trials: int | None = None
    max_failed: int | None = None
    budget: Budget = Budget()
    claimed: int | None = None
    retry_limit: int = 0
    stop_when: StopWhen = StopWhen()
    suspend: bool = False
    suspend_policy: Literal["drain", "stop"] = "drain"
    shutdown: bool = False
    warm_start: tuple[Mapping[str, Value], ...] = ()
    warm_start_studies: tuple[EarlierStudy, ...] = ()
    repeats: int = 1
    retest: Retest | None = None
    collector: Collector = Collector()
    resume_policy: str = "Never"
    preset: str | None = None
    description: str = ""
    queue_name: str | None = None
    checkpoint: Mapping[str, Any] | None = None
    start_timeout: float = 600.0
    warnings: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def multi_objective(self) -> bool:
        """Whether the result is a Pareto front."""
        return len(self.objectives) > 1

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Every metric that is read from a log: objectives first, then the additional ones."""
        return tuple(o.metric for o in self.objectives) + self.additional_metrics

    @property
    def queue(self) -> str | None:
        """The queue that its trials wait in; the template's own word wins."""
        metadata = self.template.trial_spec.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
        return labels.get(QUEUE_LABEL, self.queue_name) if isinstance(labels, Mapping) else self.queue_name

    @property
    def keeps_curves(self) -> bool:
        """Whether trials have a curve; several objectives have none but that of the metric to prune on."""
        return self.prune_on is not None or not self.multi_objective

    @property
    def curve(self) -> Objective:
        """What a trial's curve shows, and which way that is better: the objective, or the metric to prune on."""
        way = None if self.prune_on is None else self.direction(self.prune_on)
        return Objective(self.prune_on, way) if self.prune_on is not None and way else self.objectives[0]

    @property
    def set_aside(self) -> int:
        """Trials that the search makes only once it is known that its noise is low: a re-test would cost them."""
        again = self.retest if self.retest is not None and self.retest.auto else Retest(top=0)
        return -(again.top * again.repeats // -self.repeats)

    def runs(self, retest: bool) -> int:
        """How often one trial runs, one run after another, each with a seed of its own; told is their mean.

        Only the first run's curve goes to the pruner, which so compares like with like; a trial whose first run
        fails or is pruned costs no further one.
        """
        return self.retest.repeats if retest and self.retest is not None else self.repeats

    def direction(self, metric: str) -> Direction | None:
        """Which way a metric is better; None where nobody said."""
        return next(
            (o.direction for o in self.objectives if o.metric == metric), self.metric_directions.get(metric)
        )

    def strategy(self, metric: str) -> Strategy:
        """Which of a curve's values stands for the trial."""
        return self.strategies.get(metric, "latest")
