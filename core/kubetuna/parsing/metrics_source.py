"""``spec.metricsCollectorSpec``: where metrics are read, and the filters that read them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Literal

from kubetuna.experiment.field_errors import forbidden, invalid
from kubetuna.experiment.model import Collector
from kubetuna.metrics.filters import compile_filter
from kubetuna.parsing.fields import Fields
from kubetuna.trials.environment import METRICS_FILE

Kind = Literal["StdOut", "File", "TensorFlowEvent"]
# By the collector's kind: what its path is if none is given, and what it is called.
DEFAULTS: dict[Kind, tuple[str, str]] = {
    "File": ("/var/log/katib/metrics.log", "File"),
    "TensorFlowEvent": ("/var/log/katib/tfevent", "Directory"),
}


def parse_collector(spec: Fields) -> Collector:
    """Where the metrics are, and how they are read."""
    fields = spec.child("metricsCollectorSpec")
    source, kind = fields.child("source"), fields.child("collector").raw("kind")
    filters = tuple(_filters(source.child("filter")))
    for known in DEFAULTS:
        if kind == known:
            return Collector(filters, known, _path(source, known))
    if source.raw("fileSystemPath") is not None:
        source.problem("fileSystemPath", forbidden("not for collector kind StdOut; set collector.kind to File"))
    return Collector(filters)


def _filters(fields: Fields) -> Iterator[str]:
    for index, text, _path in fields.items("metricsFormat"):
        try:
            compile_filter(text)
            yield text
        except ValueError as error:
            fields.problem(f"metricsFormat[{index}]", invalid(text, str(error)))


def _path(source: Fields, kind: Kind) -> str:
    """Where the trial writes, without a slash at its end; and whatever does not go with that."""
    place, (usual, what) = source.child("fileSystemPath"), DEFAULTS[kind]
    if place.raw("kind") not in (None, what):
        place.problem("kind", invalid(place.raw("kind"), f"must be {what} for collector kind {kind}"))
    if place.raw("format") is not None and kind != "File":
        place.problem("format", forbidden(f"not for collector kind {kind}"))
    if source.raw("filter") and (kind != "File" or place.raw("format") == "JSON"):
        source.problem("filter", forbidden("what is read is not text; leave the filter out"))
    path = place.text("path") or usual
    if kind == "File" and (posixpath.dirname(path) == "/" or path.endswith("/")):
        place.problem("path", invalid(path, "must be a file in a folder of its own, such as /metrics/log"))
    elif posixpath.normpath(path) != path.rstrip("/"):
        place.problem("path", invalid(path, "must be without . and .. as parts"))
    return path.rstrip("/")


def collector_notes(collector: Collector) -> Iterator[str]:
    """What a person should know of a trial that writes its metrics."""
    if collector.folder:
        yield (
            f"metrics are read from {collector.path}, which every attempt begins anew, and not from the log; it is "
            f"{METRICS_FILE} in the environment. In a cluster an empty volume is mounted at {collector.folder}, "
            "unless the template mounts one there; on this machine the attempt's own folder stands in for it, "
            "wherever command and environment name it"
        )
