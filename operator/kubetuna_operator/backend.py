"""What the command line sees of a cluster: Experiments, Trials and logs, as the user's kubeconfig allows.

Nothing here needs the database: what it shows are the projections that the operator writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from kubernetes import config

from kubetuna.errors import KubetunaError, StudyNotFound
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.shape import KATIB
from kubetuna.parsing.warm_start import named_point
from kubetuna.planning.status import Moment, render
from kubetuna.study.choosing import with_choice
from kubetuna.study.record import StudyRecord
from kubetuna.trials.progress import Results
from kubetuna.trials.records import from_json
from kubetuna.trials.requests import parse_request
from kubetuna.trials.snapshot import Snapshot
from kubetuna_operator import ANNOTATION_LOOK, ANNOTATION_REQUEST, LABEL_ATTEMPT, LABEL_EXPERIMENT, LABEL_TRIAL
from kubetuna_operator.kube.api_client import Api, Refused, collection
from kubetuna_operator.kube.objects import mapping, mappings, text, whole
from kubetuna_operator.kube.reflector import PAGE
from kubetuna_operator.pods.status import primary_container, view
from kubetuna_operator.workloads.manifest import primary_labels
from kubetuna_operator.workloads.members import grouped

MANAGER = "kubetuna-cli"
KATIB_PATH = f"/apis/{KATIB}/namespaces"
FOLLOW_SECONDS = 3600.0


class ClusterBackend:
    """The cluster of the current kubeconfig context."""

    def __init__(self) -> None:
        self._api = Api.connect()

    def look(self, namespace: str | None, name: str) -> StudyRecord:
        """An experiment with its status and trials."""
        space = namespace or _current_namespace()
        obj = self._experiment(space, name)
        spec = parse_experiment({k: v for k, v in obj.items() if k != "status"})
        # Before the operator has said anything the status is that of an experiment that has just been made.
        status = {**render(Snapshot(spec), None, Results(), Moment(0.0)), **(obj.get("status") or {})}
        spec = replace(spec, claimed=whole(status.get("claimedAccelerators")))
        trials = tuple(sorted((from_json(t["status"]) for t in self._trials(space, name)), key=lambda t: t.number))
        folder = Path("kubetuna-runs") / f"{space}-{name}"
        return StudyRecord(
            spec,
            with_choice(spec, status, trials),
            trials,
            folder,
            seed=spec.algorithm.seed,
            uid=obj["metadata"].get("uid", ""),
        )

    def looks(self, namespace: str | None) -> list[str]:
        """The looks at held-out tests that are written down with the namespace's Experiments."""
        experiments = self._experiments(namespace or _current_namespace())
        notes = (mapping(mapping(obj.get("metadata")).get("annotations")) for obj in experiments)
        return [str(line) for own in notes for name, line in own.items() if name.startswith(ANNOTATION_LOOK)]

    def _experiments(self, namespace: str) -> Iterator[Mapping[str, Any]]:
        """Those of a namespace, as far as they may be listed."""
        token: str | None = None
        while True:
            try:
                page = self._api.get(collection("experiments", namespace), limit=PAGE, **{"continue": token})
            except Refused:
                return
            yield from mappings(page.get("items"))
            token = text(mapping(page.get("metadata")).get("continue"))
            if not token:
                return

    def keep_looks(self, namespace: str | None, name: str, looks: Mapping[str, str]) -> None:
        """Write them into the Experiment's annotations, where everyone finds them who may read it."""
        notes = {ANNOTATION_LOOK + number: line for number, line in looks.items()}
        self._merge(namespace or _current_namespace(), name, {"metadata": {"annotations": notes}})

    def _experiment(self, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self._api.get(f"{collection('experiments', namespace)}/{name}")
        except Refused as error:
            if error.code == 404:
                near = self._near(namespace, name)
                raise StudyNotFound(f"no Experiment {namespace}/{name} in the cluster{near}") from error
            raise KubetunaError(f"the cluster refuses: {error}") from error

    def _near(self, namespace: str, name: str) -> str:
        """The nearest names in the namespace, as far as they may be listed."""
        try:
            found = self._api.get(collection("experiments", namespace), limit=PAGE)["items"]
        except Refused as error:
            return f"; {error.message}"
        names = [str(item["metadata"]["name"]) for item in found]
        near = get_close_matches(name, names, n=3) or names[:5]
        return f"; there is {', '.join(map(repr, near))}" if near else "; the namespace has none"

    def _trials(self, namespace: str, name: str) -> Iterator[Mapping[str, Any]]:
        token: str | None = None
        while True:
            query = {"labelSelector": f"{LABEL_EXPERIMENT}={name}", "limit": PAGE, "continue": token}
            page = self._api.get(collection("trials", namespace), **query)
            yield from (t for t in page["items"] if t.get("status"))
            token = page["metadata"].get("continue")
            if not token:
                return

    def copy_log(
        self, namespace: str | None, name: str, trial: int, attempt: int | None, follow: bool, out: BinaryIO
    ) -> None:
        """Copy what an attempt's Pod printed, while the Pod is there."""
        space = namespace or _current_namespace()
        selector = f"{LABEL_EXPERIMENT}={name},{LABEL_TRIAL}={trial}"
        if attempt is not None:
            selector += f",{LABEL_ATTEMPT}={attempt}"
        pods = self._api.get(collection("pods", space), labelSelector=selector)["items"]
        if not pods:
            raise KubetunaError(
                f"no Pod of trial {trial} is left; trialTemplate.retain: true keeps Pods once they are told"
            )
        pod = self._primary(space, name, pods)
        path = f"{collection('pods', space)}/{pod['metadata']['name']}/log"
        query = {"container": primary_container(pod["spec"]), "follow": "true" if follow else None}
        for piece in self._api.stream(path, query, FOLLOW_SECONDS):
            out.write(piece)
            out.flush()

    def _primary(self, namespace: str, name: str, pods: list[Any]) -> Any:
        """Of the latest attempt's Pods the one whose log counts."""
        spec = parse_experiment({k: v for k, v in self._experiment(namespace, name).items() if k != "status"})
        attempts = grouped(map(view, pods), primary_labels(spec), {})
        latest = attempts[max(attempts, key=lambda key: key.attempt)]
        uid = (latest.primary or latest.others[0]).uid
        return next(pod for pod in pods if pod["metadata"]["uid"] == uid)

    def submit(self, namespace: str | None, document: Mapping[str, Any]) -> str:
        """Server-side apply of an Experiment."""
        metadata = dict(document.get("metadata") or {})
        space = namespace or metadata.get("namespace") or _current_namespace()
        body = {**document, "metadata": {**metadata, "namespace": space}}
        path = f"{collection('experiments', space)}/{metadata['name']}"
        try:
            self._api.apply(path, body, MANAGER)
        except Refused as error:
            raise KubetunaError(f"the cluster refuses: {error.message}") from error
        return f"{space}/{metadata['name']}"

    def request(self, namespace: str | None, name: str, request: str, line: str) -> None:
        """Write a request down in the Experiment's annotations.

        Raises:
            SpecError: it names a point outside the space.
            StudyNotFound: there is no such Experiment.
        """
        space = namespace or _current_namespace()
        obj = self._experiment(space, name)
        asked = parse_request(line)
        if asked.point:
            named_point(parse_experiment({k: v for k, v in obj.items() if k != "status"}), asked.point)
        metadata = {"uid": obj["metadata"]["uid"], "annotations": {ANNOTATION_REQUEST + request: line}}
        self._merge(space, name, {"metadata": metadata})

    def answer(self, namespace: str | None, name: str, request: str) -> Mapping[str, Any] | None:
        """What the status says became of it."""
        status = mapping(self._experiment(namespace or _current_namespace(), name).get("status"))
        return next((a for a in mappings(status.get("requests")) if a.get("id") == request), None)

    def _merge(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        try:
            self._api.merge(f"{collection('experiments', namespace)}/{name}", body)
        except Refused as error:
            raise KubetunaError(f"the cluster refuses: {error.message}") from error

    def config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """A ConfigMap; None where it is not there."""
        try:
            return self._api.get(f"{collection('configmaps', namespace)}/{name}")
        except Refused as error:
            if error.code == 404:
                return None
            raise KubetunaError(f"the cluster refuses: {error}") from error

    def katibs(self, plural: str, namespace: str | None) -> list[Mapping[str, Any]]:
        """What Katib has in a namespace: its ``experiments``, or its ``trials``."""
        space = namespace or _current_namespace()
        found: list[Mapping[str, Any]] = []
        token: str | None = None
        while True:
            try:
                page = self._api.get(f"{KATIB_PATH}/{space}/{plural}", limit=PAGE, **{"continue": token})
            except Refused as error:
                if error.code == 404:
                    raise KubetunaError(f"Katib is not installed in the cluster; {error.message}") from error
                raise KubetunaError(f"the cluster refuses: {error}") from error
            kind = plural.capitalize().removesuffix("s")
            items = mappings(page.get("items"))
            found += ({"apiVersion": KATIB, "kind": kind, **item} for item in items)
            token = text(mapping(page.get("metadata")).get("continue"))
            if not token:
                return found

    def edit(self, namespace: str | None, name: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into the spec."""
        space = namespace or _current_namespace()
        self._experiment(space, name)
        self._merge(space, name, {"spec": dict(changes)})


def _current_namespace() -> str:
    try:
        _, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError):
        return "default"
    return str((active.get("context") or {}).get("namespace") or "default")
