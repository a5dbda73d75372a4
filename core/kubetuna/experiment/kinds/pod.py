"""A Pod: the attempt itself, so there is nothing around it to know."""

from __future__ import annotations

from kubetuna.experiment.kinds.template_kind import TemplateKind

POD = TemplateKind(name="Pod", api_version="v1", plural="pods")
