"""From a document to a validated ``Experiment``, with every fault of the document at once.

Katib's ``v1beta1`` Experiments are read as they are; ours are the same shape and more. The parts are read in
``parameters``, ``goals``, ``limits`` and ``template``; here they are put together and checked against each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Retest
from kubetuna.parsing.conditions import parse_constraints, warn_of_conditions
from kubetuna.parsing.fields import Fields, shown
from kubetuna.parsing.goals import parse_collector, parse_goals
from kubetuna.parsing.limits import check_ends, parse_limits
from kubetuna.parsing.overrides import with_metric, with_sets
from kubetuna.parsing.parameters import declared_names, parse_parameters
from kubetuna.parsing.template import parse_template
from kubetuna.parsing.warm_start import parse_warm_start
from kubetuna.parsing.yaml_text import load_documents

VERSIONS = ("kubetuna.dev/v1alpha1", "kubeflow.org/v1beta1")
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
NAME_LIMIT = 40
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
GRIDS = ("grid", "bruteforce")
RESUME_POLICIES = ("Never", "LongRunning", "FromVolume")
SPEC_FIELDS = (
    "parameters",
    "nasConfig",
    "objective",
    "objectives",
    "algorithm",
    "earlyStopping",
    "trialTemplate",
    "parallelTrialCount",
    "maxTrialCount",
    "maxFailedTrialCount",
    "metricsCollectorSpec",
    "resumePolicy",
    "constraints",
    "budget",
    "retryPolicy",
    "suspend",
    "suspendPolicy",
    "stopWhen",
    "repeats",
    "retest",
    "warmStart",
    "checkpoint",
    "preset",
    "shutdown",
    "queueName",
    "startTimeout",
)


def parse_file_text(
    text: str, *, preset: str | None = None, metric: str | None = None, sets: Sequence[str] = ()
) -> Experiment:
    """Parse a file that holds exactly one Experiment.

    Raises:
        SpecError: with every problem found.
    """
    documents = load_documents(text)
    if len(documents) != 1:
        raise SpecError((Problem("file", f"holds {len(documents)} documents; one Experiment is needed"),))
    return parse_experiment(documents[0], preset=preset, metric=metric, sets=sets)


def parse_experiment(
    document: object, *, preset: str | None = None, metric: str | None = None, sets: Sequence[str] = ()
) -> Experiment:
    """Parse one Experiment object. ``sets`` are ``PATH=VALUE`` changes made to it beforehand.

    Raises:
        SpecError: with every problem found.
    """
    if not isinstance(document, Mapping):
        raise SpecError((Problem("file", f"{shown(document)} is no Experiment"),))
    problems: list[Problem] = []
    changed = with_metric(with_sets(document, sets, problems), metric, problems)
    experiment = _experiment(Fields(changed, "", problems), preset)
    if problems or experiment is None:
        unique = tuple(dict.fromkeys(problems)) or (Problem("spec", "cannot be read"),)
        raise SpecError(unique)
    return experiment


def _experiment(top: Fields, preset: str | None) -> Experiment | None:
    name, namespace = _identity(top)
    if "spec" not in top:
        top.problem("spec", "is needed")
        return None
    spec = Fields(top.raw("spec"), "spec", top.problems)
    spec.known(SPEC_FIELDS)
    parameters = parse_parameters(spec)
    objectives, additional, strategies = parse_goals(spec)
    limits = parse_limits(spec, preset)
    names = declared_names(spec)
    template = parse_template(spec, names)
    sampler = _algorithm(spec, "algorithm")
    pruner = _algorithm(spec, "earlyStopping")
    metrics = (*(o.metric for o in objectives), *additional)
    constraints = parse_constraints(spec, parameters, names, metrics)
    points, studies = parse_warm_start(spec, parameters, constraints, names)
    _others(spec)
    repeats = spec.count("repeats", 1, 100)
    retest = _retest(spec, objectives)
    collector = parse_collector(spec)
    check_ends(spec, limits, objectives, _may_be_finite(sampler, parameters))
    if template is None or sampler is None or not objectives:
        return None
    experiment = Experiment(
        name=name,
        namespace=namespace,
        parameters=parameters,
        objectives=objectives,
        algorithm=sampler,
        template=template,
        pruner=pruner,
        additional_metrics=additional,
        strategies=strategies,
        constraints=constraints,
        parallel=limits.parallel,
        max_trials=limits.max_trials,
        max_failed=limits.max_failed,
        budget=limits.budget,
        retry_limit=limits.retry_limit,
        stop_when=limits.stop_when,
        suspend=spec.flag("suspend"),
        suspend_policy="stop" if spec.raw("suspendPolicy") == "stop" else "drain",
        shutdown=spec.flag("shutdown"),
        warm_start=points,
        warm_start_studies=studies,
        repeats=repeats or 1,
        retest=retest,
        collector=collector,
        resume_policy=str(spec.raw("resumePolicy") or "Never"),
        preset=limits.preset,
        queue_name=spec.raw("queueName"),
        checkpoint=spec.raw("checkpoint"),
        start_timeout=spec.duration("startTimeout") or 600.0,
        raw=dict(top.raw_all()),
    )
    return _checked(spec, experiment) if len(parameters) == len(names) else None


def _may_be_finite(sampler: Algorithm | None, parameters: Sequence[Parameter]) -> bool:
    """Whether the search itself comes to an end, as a grid does; what is missing there is told for the grid."""
    return sampler is not None and sampler.name in GRIDS and bool(parameters)


def _checked(spec: Fields, experiment: Experiment) -> Experiment:
    """Rules that join several parts, over parameters that are right, whatever else is not."""
    from dataclasses import replace

    from kubetuna.search.combinations import check
    from kubetuna.search.settings import ignored

    for path, message in check(experiment):
        spec.problem(path, message)
    warnings = warn_of_conditions(experiment) + tuple(ignored(_settings(spec.child("algorithm"))))
    return replace(experiment, warnings=warnings + _cluster_only(experiment))


def _cluster_only(experiment: Experiment) -> tuple[str, ...]:
    named = {"spec.queueName": experiment.queue_name, "spec.checkpoint": experiment.checkpoint}
    return tuple(f"{path} has an effect in a cluster only" for path, value in named.items() if value)


def _identity(top: Fields) -> tuple[str, str]:
    top.known(("apiVersion", "kind", "metadata", "spec", "status"))
    version, kind = top.raw("apiVersion"), top.raw("kind")
    if version not in VERSIONS:
        top.problem("apiVersion", f"{shown(version)} is not known; allowed: {', '.join(VERSIONS)}")
    if kind != "Experiment":
        top.problem("kind", f"{shown(kind)} is not allowed; allowed: Experiment")
    metadata = Fields(top.raw("metadata") or {}, "metadata", top.problems)
    name = metadata.text("name")
    rule = f"lower-case letters, digits and -, first a letter, at most {NAME_LIMIT} characters"
    if name is None:
        if "name" not in metadata:
            metadata.problem("name", f"is needed: {rule}")
        return "", "default"
    if not NAME.match(name) or len(name) > NAME_LIMIT:
        metadata.problem("name", f"{shown(name)} is not allowed: {rule}")
    return name, metadata.text("namespace", "default") or "default"


def _settings(fields: Fields) -> list[tuple[str, object]]:
    raw = fields.raw("algorithmSettings")
    items = raw if isinstance(raw, list) else []
    return [(str(i.get("name")), i.get("value")) for i in items if isinstance(i, Mapping)]


def _algorithm(spec: Fields, field: str) -> Algorithm | None:
    """The sampler (``algorithm``) or the pruner (``earlyStopping``)."""
    from kubetuna.search.settings import resolve_pruner, resolve_sampler

    if field not in spec:
        # Katib demands an algorithm; Optuna's default sampler is what a user of neither would expect.
        return Algorithm("tpe") if field == "algorithm" else None
    fields = spec.child(field)
    fields.known(("algorithmName", "algorithmSettings"))
    name = fields.text("algorithmName")
    if name is None and "algorithmName" not in fields:
        fields.problem("algorithmName", "is needed")
    before = len(spec.problems)
    for _index, item, path in fields.items("algorithmSettings"):
        entry = Fields(item, path, spec.problems)
        entry.known(("name", "value"))
        if entry.text("name") is None and "name" not in entry:
            entry.problem("name", "is needed")
        if entry.raw("value") is None:
            entry.problem("value", "is needed")
    if name is None or len(spec.problems) > before:
        return None
    resolve = resolve_sampler if field == "algorithm" else resolve_pruner
    found, faults = resolve(name, _settings(fields))
    for path, message in faults:
        fields.problem(path, message)
    return found


def _retest(spec: Fields, objectives: Sequence[Objective]) -> Retest | None:
    if spec.raw("retest") is None:
        return None
    fields = spec.child("retest")
    fields.known(("top", "repeats"))
    if len(objectives) > 1:
        spec.problem("retest", "needs one objective: several have a Pareto front and no order of their trials")
    top, repeats = fields.count("top", 1, 50), fields.count("repeats", 2, 100)
    usual = Retest()
    return Retest(top or usual.top, repeats or usual.repeats)


def _others(spec: Fields) -> None:
    """Fields that are checked and kept; some have an effect in a cluster only."""
    spec.text("resumePolicy", words=RESUME_POLICIES)
    spec.text("suspendPolicy", words=("drain", "stop"))
    queue = spec.text("queueName")
    if queue is not None and not LABEL.match(queue):
        spec.problem("queueName", f"{shown(queue)} is no queue's name: at most 63 letters, digits, - _ .")
    spec.duration("startTimeout")
    checkpoint = spec.child("checkpoint")
    checkpoint.known(("volume", "mountPath", "keep"))
    if "nasConfig" in spec:
        spec.problem("nasConfig", "neural architecture search is not supported; write parameters")
