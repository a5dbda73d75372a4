"""Where an experiment is looked for: in a store on this machine's word, or in a cluster.

``NAMESPACE/NAME``, or a name with ``-n NAMESPACE``, means a cluster. What speaks to one is registered by the
operator's distribution under the entry point group ``kubetuna.backends``; the core does not know it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from kubetuna.errors import BackendMissing
from kubetuna.local.runner import look, store_url, study_name
from kubetuna.study.record import StudyRecord

GROUP = "kubetuna.backends"
_IN_CLUSTER = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


class Backend(Protocol):
    """Experiments of one cluster, as the user's kubeconfig allows."""

    def look(self, namespace: str | None, name: str) -> StudyRecord:
        """An experiment with its status and trials."""

    def copy_log(
        self, namespace: str | None, name: str, trial: int, attempt: int | None, follow: bool, out: BinaryIO
    ) -> None:
        """Copy what an attempt printed, and with ``follow`` what it goes on to print."""

    def submit(self, namespace: str | None, document: Mapping[str, Any]) -> str:
        """Create or update an Experiment; returns NAMESPACE/NAME."""

    def katibs(self, plural: str, namespace: str | None) -> list[Mapping[str, Any]]:
        """What Katib has in a namespace: its ``experiments``, or its ``trials``."""

    def config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap; None where it is not there."""

    def edit(self, namespace: str | None, name: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into an Experiment's spec."""

    def request(self, namespace: str | None, name: str, request: str, line: str) -> None:
        """Write down what is asked of a trial; refused at once where the point is outside the space."""

    def keep_looks(self, namespace: str | None, name: str, looks: Mapping[str, str]) -> None:
        """Write down with an Experiment who looked at its held-out test: lines of JSON by their numbers."""

    def looks(self, namespace: str | None) -> list[str]:
        """Such lines of every Experiment in a namespace."""

    def answer(self, namespace: str | None, name: str, request: str) -> Mapping[str, Any] | None:
        """What became of it, once that is known."""


def cluster() -> Backend:
    """The backend for clusters.

    Raises:
        BackendMissing: the operator's distribution is not installed.
    """
    found = entry_points(group=GROUP, name="cluster")
    if not found:
        raise BackendMissing(
            "talking to a cluster needs the package kubetuna-operator: pip install kubetuna-operator"
        )
    make = next(iter(found)).load()
    backend: Backend = make()
    return backend


def in_cluster(target: str, namespace: str | None) -> tuple[str | None, str] | None:
    """The namespace (None: the kubeconfig's) and name that a target means in a cluster; None: a local one."""
    if namespace is not None:
        return namespace, study_name(target)
    if _IN_CLUSTER.match(target) and not Path(target).exists():
        space, _, name = target.partition("/")
        return space, name
    return None


def find(target: str, store: str | None, namespace: str | None) -> StudyRecord:
    """The experiment that a target means, wherever it is: in a cluster, a folder of results, or a store."""
    place = in_cluster(target, namespace)
    if place is not None:
        backend = cluster()
        return _with_looks(_with_final(backend.look(*place)), backend.looks(place[0]))
    if Path(target).is_dir():
        from kubetuna.analysis.folder import read_results

        return read_results(Path(target))
    return look(target, store_url(store))


def _with_final(seen: StudyRecord) -> StudyRecord:
    """A cluster's experiment with what ``finalize`` found on this machine, since it writes no results there."""
    from kubetuna.analysis.folder import FINAL
    from kubetuna.files import read_object

    path = seen.folder / FINAL
    return replace(seen, final=read_object(path)) if path.exists() else seen


def _with_looks(seen: StudyRecord, lines: Sequence[str]) -> StudyRecord:
    """A cluster's experiment with who looked at the held-out tests of its namespace."""
    from kubetuna.store.reader import Others

    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return replace(seen, others=Others(finals=({"seen": found},))) if found else seen
