"""Templates that Katib's Experiments keep in a ConfigMap: put into the spec, where all else looks for them.

In a file the ConfigMap stands beside the Experiment; in a cluster whoever reads the Experiment reads it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import invalid, not_found, required, unsupported
from kubetuna.parsing.shape import KATIB
from kubetuna.parsing.yaml_text import load_documents

CONFIG_MAP = "spec.trialTemplate.configMap"
_FIELDS = ("configMapNamespace", "configMapName", "templatePath")
PUT_BESIDE = "put the ConfigMap into the same file, or write its template under trialSpec"


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The ConfigMap that a template stands in, and its key there."""

    namespace: str
    name: str
    key: str

    def is_in(self, document: object) -> bool:
        """Whether a document is that ConfigMap; one without a namespace is applied to any."""
        found = _mapping(document)
        metadata = _mapping(found.get("metadata"))
        same = found.get("kind") == "ConfigMap" and metadata.get("name") == self.name
        return same and metadata.get("namespace") in (None, self.namespace)


# The ConfigMap that holds a template, or None where it is not there.
Find = Callable[[TemplateSource], Mapping[str, Any] | None]


def template_source(document: object) -> TemplateSource | None:
    """Where the template of one of Katib's Experiments stands, unless in its spec; None for any other document.

    Raises:
        SpecError: the ConfigMap is not fully named.
    """
    template = _template(document)
    reference = template.get("configMap")
    if (
        not isinstance(reference, Mapping)
        or "trialSpec" in template
        or _mapping(document).get("apiVersion") != KATIB
    ):
        return None
    problems = [
        Problem(
            f"{CONFIG_MAP}.{name}",
            required() if reference.get(name) in (None, "") else invalid(value, "must be text"),
        )
        for name in _FIELDS
        if not isinstance(value := reference.get(name), str) or not value
    ]
    if problems:
        raise SpecError(tuple(problems))
    return TemplateSource(*(reference[name] for name in _FIELDS))


def with_template(document: Any, find: Find, hint: str = PUT_BESIDE) -> Any:
    """One of Katib's Experiments with its template in the spec; any other document as it is.

    Raises:
        SpecError: the ConfigMap is not there, with ``hint``, or has no such template.
    """
    source = template_source(document)
    if source is None:
        return document
    config_map = find(source)
    if config_map is None:
        raise SpecError((Problem(f"{CONFIG_MAP}.configMapName", not_found(source.name, hint)),))
    template = {name: value for name, value in _template(document).items() if name != "configMap"}
    template["trialSpec"] = _read(source, _mapping(config_map.get("data")))
    return {**document, "spec": {**document["spec"], "trialTemplate": template}}


def among(documents: Sequence[Any]) -> Find:
    """Where the ConfigMaps of a file are found."""
    return lambda source: next(filter(source.is_in, documents), None)


def with_templates(documents: Sequence[Any]) -> list[Any]:
    """The documents of a file, each with its template; the ConfigMaps that were asked for one are left out.

    Raises:
        SpecError: a ConfigMap is not in the file, or holds no template.
    """
    sources = [source for d in documents if (source := template_source(d)) is not None]
    rest = [d for d in documents if not any(source.is_in(d) for source in sources)]
    return [with_template(document, among(documents)) for document in rest]


def _read(source: TemplateSource, data: Mapping[str, Any]) -> Mapping[str, Any]:
    text = data.get(source.key)
    if not isinstance(text, str):
        raise SpecError(
            (Problem(f"{CONFIG_MAP}.templatePath", unsupported(source.key, sorted(map(str, data))[:20])),)
        )
    where = f"ConfigMap {source.name}, {source.key}"
    try:
        documents = load_documents(text)
    except SpecError as error:
        raise SpecError(tuple(Problem(where, problem.message) for problem in error.problems)) from error
    if len(documents) != 1 or not isinstance(documents[0], Mapping):
        raise SpecError((Problem(where, "must hold one object, the template of a trial"),))
    return documents[0]


def _template(document: object) -> Mapping[str, Any]:
    return _mapping(_mapping(_mapping(document).get("spec")).get("trialTemplate"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
