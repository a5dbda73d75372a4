"""From an Experiment of Katib's to one of ours: what is written in another way, and what has no counterpart.

Katib's file runs as it is on a laptop. This writes the one that a person keeps: with our names, with Katib's
defaults that differ from ours written out, and without what has no effect here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import invalid, unsupported
from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import object_name
from kubetuna.parsing.checking import below, check
from kubetuna.parsing.fields import Faults, Fields
from kubetuna.parsing.goals import parse_goals, usual_strategies
from kubetuna.parsing.limits import not_katibs
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.shape import DOCUMENT, KATIB, NAME, VERSIONS

UNKNOWN = "unknown field"
# What an API server adds to an object that was stored.
_SERVERS = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers", "selfLink")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Change:
    """One field that is another one, with the reason; ``now`` is None where it is left out."""

    path: str
    was: Any
    now: Any
    why: str


@dataclass(slots=True)
class Migration:
    """The new document, what changed in it, and what was left out because nothing here does it."""

    document: dict[str, Any]
    former_name: str = ""
    changes: list[Change] = field(default_factory=list)
    lost: list[Change] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The experiment's new name."""
        metadata = self.document.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    def start_from(self, study: str) -> None:
        """Let the experiment begin with what an earlier study knows."""
        found = {"studies": [{"study": study, "trials": True}]}
        self.document["spec"]["warmStart"] = found
        self.note("spec.warmStart", None, found, "what Katib's trials have found")

    def note(self, path: str, was: Any, now: Any, why: str) -> None:
        """A change that loses nothing."""
        self.changes.append(Change(path, was, now, why))

    def drop(self, path: str, was: Any, why: str) -> None:
        """A field without a counterpart."""
        self.lost.append(Change(path, was, None, why))


def migrate(document: object) -> Migration:
    """Translate one Experiment.

    Raises:
        SpecError: it is none of Katib's, or has what cannot be left out without becoming another search.
    """
    if not isinstance(document, Mapping):
        raise SpecError((Problem("file", invalid(document, "must be an Experiment")),))
    if document.get("apiVersion") != KATIB or document.get("kind") != "Experiment":
        wrong = "kind" if document.get("apiVersion") == KATIB else "apiVersion"
        known = ("Experiment",) if wrong == "kind" else (KATIB,)
        raise SpecError((Problem(wrong, unsupported(document.get(wrong), known)),))
    made = Migration(copy.deepcopy(dict(document)))
    made.former_name = made.name
    made.document["apiVersion"] = VERSIONS[0]
    made.note("apiVersion", KATIB, VERSIONS[0], "the operator's own group")
    _metadata(made)
    _unknown(made)
    spec = made.document.get("spec")
    if isinstance(spec, dict):
        if problems := not_katibs(spec):
            raise SpecError(problems)
        for translate in (_objective, _algorithm, _early_stopping, _parameters, _collector, _template, _resume):
            translate(made, spec)
    parse_experiment(made.document)
    return made


def _metadata(made: Migration) -> None:
    made.document.pop("status", None)
    metadata = made.document.get("metadata")
    if not isinstance(metadata, dict):
        return
    for name in _SERVERS:
        metadata.pop(name, None)
    notes = metadata.get("annotations")
    if isinstance(notes, dict):
        notes.pop(_APPLIED, None)
        if not notes:
            del metadata["annotations"]
    was = metadata.get("name")
    if isinstance(was, str) and name_here(was) != was:
        metadata["name"] = name_here(was)
        made.note("metadata.name", was, metadata["name"], f"{NAME.says}; at most {NAME.high} of them")


def name_here(name: str) -> str:
    """The name of ours: Katib's, unless that may not be."""
    return (object_name(name) or name) if list(check(NAME, name, "")) else name


def _unknown(made: Migration) -> None:
    """Fields of other versions: Katib keeps them without a word."""
    for problem in check(DOCUMENT, made.document, ""):
        if problem.message.startswith(UNKNOWN):
            made.drop(problem.path, _cut(made.document, problem.path), "no field of this name does anything")


def _cut(value: Any, path: str, at: str = "") -> Any:
    """Take out what is at a path, and return it; names may hold what paths are made of."""
    items: list[tuple[Any, Any]] = list(enumerate(value)) if isinstance(value, list) else []
    items += value.items() if isinstance(value, dict) else ()
    for key, child in items:
        here = below(at, key) if isinstance(value, dict) else f"{at}[{key}]"
        if here == path:
            return value.pop(key)
        if path.startswith((f"{here}.", f"{here}[")):
            found = _cut(child, path, here)
            if found is not None:
                return found
    return None


def _objective(made: Migration, spec: dict[str, Any]) -> None:
    """Katib's value of a metric is the best of its curve."""
    objective = spec.get("objective")
    goals, additional, given = parse_goals(Fields(spec, "spec", Faults()))
    if not isinstance(objective, dict) or not goals:
        return
    wanted = {**usual_strategies(goals, additional), **given}
    now = [{"name": name, "value": value} for name, value in wanted.items()]
    was = objective.get("metricStrategies")
    if was != now:
        objective["metricStrategies"] = now
        why = "Katib's default is the best value of a curve; here it is the latest unless this says otherwise"
        made.note("spec.objective.metricStrategies", was, now, why)


def _algorithm(made: Migration, spec: dict[str, Any]) -> None:
    from kubetuna.search.catalogue import SAMPLER_ALIASES, SAMPLERS

    algorithm = spec.get("algorithm")
    if algorithm is None:
        spec["algorithm"] = {"algorithmName": "tpe"}
        made.note("spec.algorithm", None, spec["algorithm"], "what a file of Katib's without one gets here")
    if not isinstance(algorithm, dict) or algorithm.get("algorithmName") == "hyperband":
        return
    name, preset = SAMPLER_ALIASES.get(str(algorithm.get("algorithmName")), (algorithm.get("algorithmName"), {}))
    entry = SAMPLERS.get(str(name))
    _rename(made, algorithm, "spec.algorithm", str(name), preset, entry.renamed if entry else {})


def _early_stopping(made: Migration, spec: dict[str, Any]) -> None:
    from kubetuna.search.catalogue import PRUNER_ALIASES, PRUNERS

    stopping = spec.get("earlyStopping")
    if not isinstance(stopping, dict):
        return
    name, preset = PRUNER_ALIASES.get(str(stopping.get("algorithmName")), (stopping.get("algorithmName"), {}))
    entry = PRUNERS.get(str(name))
    _rename(made, stopping, "spec.earlyStopping", str(name), preset, entry.renamed if entry else {})


def _rename(
    made: Migration,
    algorithm: dict[str, Any],
    path: str,
    name: str,
    preset: Mapping[str, Any],
    renamed: Mapping[str, str],
) -> None:
    """The algorithm and its settings by Optuna's names, which is whose they are."""
    from kubetuna.search.catalogue import WITHOUT_COUNTERPART

    was = algorithm.get("algorithmName")
    if was != name:
        algorithm["algorithmName"] = name
        made.note(f"{path}.algorithmName", was, name, "its name here")
    given = algorithm.get("algorithmSettings")
    items = [dict(item) for item in given or () if isinstance(item, Mapping)] if isinstance(given, list) else []
    kept: list[dict[str, Any]] = []
    for item in items:
        setting = str(item.get("name"))
        if setting in WITHOUT_COUNTERPART:
            made.drop(f"{path}.algorithmSettings.{setting}", item.get("value"), WITHOUT_COUNTERPART[setting])
            continue
        item["name"] = renamed.get(setting, item.get("name"))
        if item["name"] != setting:
            made.note(f"{path}.algorithmSettings.{setting}", setting, item["name"], "its name in Optuna")
        kept.append(item)
    there = {str(item["name"]) for item in kept}
    for setting, value in preset.items():
        if setting not in there:
            kept.append({"name": setting, "value": value})
            made.note(f"{path}.algorithmSettings.{setting}", None, value, f"what {was!r} means in Katib")
    _put(algorithm, "algorithmSettings", kept)


def _parameters(made: Migration, spec: dict[str, Any]) -> None:
    """Katib's webhook gives every parameter a distribution, also a list."""
    parameters = spec.get("parameters")
    for index, parameter in enumerate(parameters if isinstance(parameters, list) else ()):
        space = parameter.get("feasibleSpace") if isinstance(parameter, dict) else None
        if not isinstance(space, dict):
            continue
        if space.get("distribution") == "unknown" or ("list" in space and "distribution" in space):
            was = space.pop("distribution")
            path = f"spec.parameters[{index}].feasibleSpace.distribution"
            made.note(path, was, None, "a default of Katib's that says nothing")


def _collector(made: Migration, spec: dict[str, Any]) -> None:
    collector = spec.get("metricsCollectorSpec")
    if collector in ({}, {"collector": {"kind": "StdOut"}}):
        del spec["metricsCollectorSpec"]
        made.note("spec.metricsCollectorSpec", collector, None, "metrics are read from the log anyway")


def _template(made: Migration, spec: dict[str, Any]) -> None:
    template = spec.get("trialTemplate")
    trial = template.get("trialSpec") if isinstance(template, dict) else None
    if not isinstance(template, dict) or not isinstance(trial, dict):
        return
    kind = kind_of(trial)
    if not kind.judged:
        for name in ("successCondition", "failureCondition", "primaryPodLabels"):
            if name in template and (name != "primaryPodLabels" or kind.pods(trial) == 1):
                made.note(f"spec.trialTemplate.{name}", template.pop(name), None, "a trial is judged by its Pod")
    body = trial.get("spec")
    if isinstance(body, dict):
        _retries(made, spec, kind.fixed, body)
    for one in kind.pod_sets(trial):
        pod = one.template.get("spec") if isinstance(one.template, dict) else None
        if isinstance(pod, dict) and pod.get("restartPolicy") not in (None, "Never"):
            made.note("restartPolicy", pod["restartPolicy"], "Never", "retries are kubetuna's: spec.retryPolicy")
            pod["restartPolicy"] = "Never"


def _retries(made: Migration, spec: dict[str, Any], fixed: Mapping[str, int], body: dict[str, Any]) -> None:
    """A Job's own retries would run an attempt a second time."""
    for name, value in fixed.items():
        was = body.get(name)
        if type(was) is int and was != value:
            del body[name]
            limit = min(max(was, 0), 100)
            spec.setdefault("retryPolicy", {"limit": limit})
            why = f"retries are kubetuna's: spec.retryPolicy.limit is {limit}, and the infrastructure's are free"
            made.note(f"spec.trialTemplate.trialSpec.spec.{name}", was, None, why)


def _resume(made: Migration, spec: dict[str, Any]) -> None:
    if "resumePolicy" in spec:
        was = spec.pop("resumePolicy")
        made.note("spec.resumePolicy", was, None, "an experiment can always be taken up again")


def _put(holder: dict[str, Any], name: str, items: list[Any]) -> None:
    if items:
        holder[name] = items
    else:
        holder.pop(name, None)


def as_yaml(document: Mapping[str, Any]) -> str:
    """The document as a file, its fields in their order."""
    return yaml.safe_dump(dict(document), sort_keys=False, width=116, allow_unicode=True)
