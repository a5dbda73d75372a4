"""From a document to a validated ``Experiment``, with every fault of the document at once.

Katib's ``v1beta1`` Experiments are read as they are; ours are the same shape and more. The parts are read in
``parameters``, ``goals``, ``limits`` and ``template``; here they are put together and checked against each other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.automatic import AUTO, RETEST_SHARE, retest_within
from kubetuna.experiment.field_errors import forbidden, invalid, printable, required, unsupported
from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import Algorithm, Experiment, Objective, Parameter, Retest
from kubetuna.parsing import left_out
from kubetuna.parsing.conditions import parse_constraints, warn_of_conditions
from kubetuna.parsing.fields import Faults, Fields
from kubetuna.parsing.goals import parse_directions, parse_goals, parse_prune_on, usual_strategies
from kubetuna.parsing.katib_config_map import with_templates
from kubetuna.parsing.katib_hyperband import is_hyperband, parse_hyperband
from kubetuna.parsing.limits import check_ends, not_katibs, parse_limits
from kubetuna.parsing.metrics_source import collector_notes, parse_collector
from kubetuna.parsing.overrides import with_metric, with_sets
from kubetuna.parsing.parameters import declared_names, parse_parameters, warn_of_normal
from kubetuna.parsing.placeholders import unfilled
from kubetuna.parsing.schema import Duration
from kubetuna.parsing.shape import DOCUMENT, KATIB, NAME, NEEDS_ONE_OBJECTIVE, SPEC, VERSIONS
from kubetuna.parsing.template import parse_template
from kubetuna.parsing.warm_start import parse_warm_start
from kubetuna.parsing.workload_notes import workload_notes
from kubetuna.parsing.yaml_text import load_documents

KIND = "Experiment"
GRIDS = ("grid", "bruteforce")
ON_LAPTOP = "has an effect in a cluster only; for a run on this machine leave it out: --set {}=null"

TOGETHER = "a {} runs in a cluster only: its primary Pod's command needs the other Pods"

WITHOUT_EFFECT = {
    "resumePolicy": "an experiment can always be taken up again",
    "metricsCollectorSpec.collector.customCollector": "metrics are read from the log",
}


def parse_file(
    path: Path, *, preset: str | None = None, metric: str | None = None, sets: Sequence[str] = ()
) -> Experiment:
    """Parse a file that holds exactly one Experiment.

    Raises:
        SpecError: the file cannot be read, or with every problem found in it.
    """
    return parse_file_text(read_text(path), preset=preset, metric=metric, sets=sets)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        SpecError: it cannot be read, or holds no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError((Problem(str(path), f"is not UTF-8 text: {error.reason}"),)) from error
    except OSError as error:
        raise SpecError((Problem(str(path), f"cannot be read: {error.strerror}"),)) from error


def parse_file_text(
    text: str, *, preset: str | None = None, metric: str | None = None, sets: Sequence[str] = ()
) -> Experiment:
    """Parse the text of such a file.

    Raises:
        SpecError: with every problem found.
    """
    return parse_experiment(only_document(text), preset=preset, metric=metric, sets=sets)


def only_document(text: str) -> object:
    """The one document of a file, unchecked; ConfigMaps with the template of one of Katib's may stand beside it.

    Raises:
        SpecError: it is not YAML, or does not hold exactly one document.
    """
    documents = with_templates(load_documents(text))
    if len(documents) != 1:
        raise SpecError((Problem("file", f"holds {len(documents)} documents; must hold one Experiment"),))
    return documents[0]


def parse_experiment(
    document: object, *, preset: str | None = None, metric: str | None = None, sets: Sequence[str] = ()
) -> Experiment:
    """Parse one Experiment object. ``sets`` are ``PATH=VALUE`` changes made to it beforehand.

    Raises:
        SpecError: with every problem found.
    """
    if not isinstance(document, Mapping):
        raise SpecError((Problem("file", invalid(document, "must be an Experiment")),))
    if strange := _no_experiment(document):
        raise SpecError((strange,))
    faults = Faults()
    changed = with_metric(with_sets(document, sets, faults.problems), metric, faults.problems)
    top = Fields(changed, "", faults)
    top.check(DOCUMENT)
    experiment = _experiment(top, preset)
    if faults.problems or experiment is None:
        raise SpecError(tuple(dict.fromkeys(faults.problems)) or (Problem("spec", "cannot be read"),))
    return experiment


def _no_experiment(document: Mapping[Any, Any]) -> Problem | None:
    """Why an object is another thing: of such a one no field is worth a word."""
    kind, begins = document.get("kind"), f"apiVersion: {VERSIONS[0]} and kind: {KIND}"
    if kind is None and document.get("apiVersion") is None and "spec" not in document:
        has = f"it has {', '.join(map(str, list(document)[:5]))[:200]}" if document else "it is empty"
        return Problem("file", printable(f"is not an Experiment, which begins with {begins}; {has}"))
    if isinstance(kind, str) and kind != KIND and not difflib.get_close_matches(kind, (KIND,), cutoff=0.8):
        hint = "; take one Experiment out of its items" if kind.endswith("List") else ""
        return Problem("kind", unsupported(kind, (KIND,), hint))
    return None


def _experiment(top: Fields, preset: str | None) -> Experiment | None:
    name, namespace = _identity(top)
    spec = top.child("spec")
    if not spec.present:
        return None
    parameters = parse_parameters(spec)
    objectives, additional, strategies = parse_goals(spec)
    limits = parse_limits(spec, preset)
    katib = top.raw("apiVersion") == KATIB
    top.faults.problems.extend(not_katibs(spec.raw_all()) if katib else ())
    names = declared_names(spec)
    template = parse_template(spec, names)
    sampler, pruner, parameters, notes = _algorithms(spec, katib, parameters)
    metrics = (*(o.metric for o in objectives), *additional)
    constraints = parse_constraints(spec, parameters, names, metrics)
    points, studies = parse_warm_start(spec, parameters, constraints, names)
    retest = _retest(spec, objectives, limits.max_trials)
    directions = parse_directions(spec)
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
        prune_on=parse_prune_on(spec, objectives, additional, directions),
        additional_metrics=additional,
        strategies=usual_strategies(objectives, additional) | strategies if katib else strategies,
        metric_directions=directions,
        constraints=constraints,
        warm_start=points,
        warm_start_studies=studies,
        retest=retest,
        collector=collector,
        raw=dict(top.raw_all()),
        warnings=notes,
        **{field.name: getattr(limits, field.name) for field in fields(limits)},
        **_plain(spec),
    )
    return _checked(spec, experiment) if len(parameters) == len(names) else None


def _algorithms(
    spec: Fields, katib: bool, parameters: tuple[Parameter, ...]
) -> tuple[Algorithm | None, Algorithm | None, tuple[Parameter, ...], tuple[str, ...]]:
    """Sampler, pruner, the parameters as these take them, and what is to be said of that."""
    if not is_hyperband(spec):
        return _algorithm(spec, "algorithm", katib), _algorithm(spec, "earlyStopping"), parameters, ()
    halving = parse_hyperband(spec, _settings(spec.child("algorithm")), parameters)
    if halving is None:
        return None, None, parameters, ()
    return halving.sampler, halving.pruner, halving.parameters, (halving.note,)


def _may_be_finite(sampler: Algorithm | None, parameters: Sequence[Parameter]) -> bool:
    """Whether the search itself comes to an end, as a grid does; what is missing there is told for the grid."""
    return sampler is not None and sampler.name in GRIDS and bool(parameters)


def _checked(spec: Fields, experiment: Experiment) -> Experiment:
    """Rules that join several parts, over parameters that are right, whatever else is not."""
    from dataclasses import replace

    from kubetuna.parsing.combinations import check
    from kubetuna.search.settings import ignored

    for path, message in (*check(experiment), *left_out.check(experiment)):
        spec.problem(path, message)
    if spec.faults.problems:
        # Notes are of what is right; nobody reads them beside what is wrong.
        return experiment
    warnings = (*experiment.warnings, *warn_of_conditions(experiment), *warn_of_normal(experiment))
    warnings += tuple(() if is_hyperband(spec) else ignored(_settings(spec.child("algorithm"))))
    warnings += (*left_out.notes(experiment), *_without_effect(spec), *workload_notes(experiment.template))
    warnings += (*unfilled(experiment), *collector_notes(experiment.collector))
    return replace(experiment, warnings=warnings + _cluster_only(spec))


def _plain(spec: Fields) -> dict[str, Any]:
    """The fields that the model takes as they are; what is absent has the model's default."""
    found = {
        node.attribute: spec.duration(name) if isinstance(node, Duration) else spec.value(name)
        for name, node in SPEC.fields.items()
        if node.attribute
    }
    return {attribute: value for attribute, value in found.items() if value is not None}


def _cluster_only(spec: Fields) -> tuple[str, ...]:
    fields = (name for name, node in SPEC.fields.items() if node.cluster == "noted" and spec.value(name))
    return tuple(f"spec.{name} has an effect in a cluster only" for name in fields)


def _without_effect(spec: Fields) -> Iterator[str]:
    """Katib's fields that are accepted, and do nothing here."""
    for path, why in WITHOUT_EFFECT.items():
        *outer, name = path.split(".")
        fields = spec
        for field in outer:
            fields = fields.child(field)
        if fields.raw(name) not in (None, {}, "Never"):
            yield f"spec.{path} has no effect: {why}"


def refuse_on_laptop(experiment: Experiment) -> None:
    """Refuse what a person who writes it would miss on one machine.

    Raises:
        SpecError: such fields are set.
    """
    spec = experiment.raw.get("spec") or {}
    fields = [
        name for name, node in SPEC.fields.items() if node.cluster == "refused" and spec.get(name) is not None
    ]
    problems = [Problem(f"spec.{name}", forbidden(ON_LAPTOP.format(name))) for name in fields]
    kind = kind_of(experiment.template.trial_spec)
    if not kind.alone:
        problems.append(Problem("spec.trialTemplate.trialSpec.kind", forbidden(TOGETHER.format(kind.name))))
    if problems:
        raise SpecError(tuple(problems))


def _identity(top: Fields) -> tuple[str, str]:
    for field, supported in (("apiVersion", VERSIONS), ("kind", (KIND,))):
        if field not in top:
            top.problem(field, required(f"one of {', '.join(supported)}"))
        elif top.raw(field) not in supported:
            top.problem(field, unsupported(top.raw(field), supported))
    metadata = top.child("metadata")
    metadata.need("name", NAME.says)
    return metadata.text("name") or "", metadata.text("namespace") or "default"


def _settings(fields: Fields) -> list[tuple[str, object]]:
    raw = fields.raw("algorithmSettings")
    items = raw if isinstance(raw, list) else []
    return [(str(i.get("name")), i.get("value")) for i in items if isinstance(i, Mapping)]


def _algorithm(spec: Fields, field: str, katib: bool = False) -> Algorithm | None:
    """The sampler (``algorithm``) or the pruner (``earlyStopping``)."""
    from kubetuna.search.settings import resolve_pruner, resolve_sampler

    if field not in spec:
        # Katib demands an algorithm: what a file of its kind without one got stays as it is.
        usual = "tpe" if katib else AUTO
        return Algorithm(usual) if field == "algorithm" else None
    fields = spec.child(field)
    name = fields.text("algorithmName")
    if name is None or not fields.sound():
        return None
    resolve = resolve_sampler if field == "algorithm" else resolve_pruner
    found, faults = resolve(name, _settings(fields))
    for path, message in faults:
        fields.problem(path, message)
    return found


def _retest(spec: Fields, objectives: Sequence[Objective], trials: int | None) -> Retest | None:
    if "retest" not in spec:
        return None
    fields, usual = spec.named("retest", "when"), Retest()
    if len(objectives) > 1:
        spec.problem("retest", forbidden(NEEDS_ONE_OBJECTIVE))
    if fields.text("when") != AUTO:
        return Retest(fields.count("top") or usual.top, fields.count("repeats") or usual.repeats)
    for field in ("top", "repeats"):
        if field in fields:
            fields.problem(field, forbidden("auto sets it by maxTrialCount"))
    if trials is None:
        spec.problem("maxTrialCount", required(f"retest: auto spends {RETEST_SHARE} % of it"))
    return retest_within((trials or 0) * (spec.count("repeats") or 1))
