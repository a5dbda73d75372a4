"""An operator of the test's own beside a real cluster: started, killed and asked about as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubetuna.store.database import open_engine
from kubetuna.store.reader import read_study, study_names
from kubetuna.study.decoding import decode_trial
from kubetuna.trials.records import TrialRecord
from kubetuna_operator.kube.api_client import Api, Refused, Unreachable, collection
from kubetuna_operator.kube.reflector import Reflector
from tests.cluster.conftest import Cluster
from tests.local.runs import experiment
from tests.postgres_server import free_port

PATIENCE = 90.0
CRDS = Path(__file__).parents[2] / "helm" / "kubetuna" / "crds-source"


class Status(dict[str, Any]):
    """An Experiment's status; a count that no status has told yet is none, as kubectl reads it."""

    def __missing__(self, key: str) -> int:
        if key.startswith("trials"):
            return 0
        raise KeyError(key)


@dataclass
class World:
    """A namespace, a database, and operators that watch only this namespace."""

    cluster: Cluster
    namespace: str
    store: str
    logs: Path
    others: tuple[str, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.api = Api.connect(str(self.cluster.kubeconfig))

    def operator(self, *flags: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start an operator; alone, unless flags say otherwise. ``changes`` are made to its environment."""
        self.port = free_port()
        command = [sys.executable, "-m", "kubetuna_operator", "--kubeconfig", str(self.cluster.kubeconfig)]
        command += ["--namespaces", ",".join((self.namespace, *self.others)), "--port", str(self.port)]
        environment = {**os.environ, "KUBETUNA_STORE": self.store, "POD_NAMESPACE": self.namespace, **changes}
        with (self.logs / f"operator-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *(flags or ("--no-leader-election",))], env=environment, stderr=log
            )
        self.processes.append(process)
        return process

    def install_crds(self, folder: Path = CRDS) -> None:
        """Apply the CRDs as they are here, and wait until they are served."""
        for path in sorted(folder.glob("*.yaml")):
            crd = yaml.safe_load(path.read_text())
            where = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
            self.api.apply(where, crd, "test")
            self.until("the CRD", lambda where=where: _established(self.api.get(where)))
        self.until("its collection", self.served)

    def served(self) -> bool:
        """Established is said a moment before the first request is answered."""
        try:
            self.api.get(self.path)
        except Refused:
            return False
        return True

    def close(self) -> None:
        """End every operator, and let go of what they would have let go of."""
        for process in self.processes:
            process.kill()
            process.wait()
        if not self.exists_namespace():
            return
        for obj in self.api.get(self.path)["items"]:
            self.api.merge(f"{self.path}/{obj['metadata']['name']}", {"metadata": {"finalizers": []}})

    def apply(self, script: str, name: str = "small", pod: dict[str, Any] | None = None, **spec: Any) -> None:
        """Apply an experiment whose trials run a Python script, or that ``pod`` changes the Pod of."""
        self.put(json.loads(self.document(script, name, pod, **spec)))

    def document(self, script: str, name: str = "small", pod: dict[str, Any] | None = None, **spec: Any) -> str:
        """The same as a file."""
        document = json.loads(experiment(script, name, **spec))
        body = document["spec"]["trialTemplate"]["trialSpec"]["spec"]
        body["containers"][0] |= {"image": self.cluster.image, "command": ["python3", "-u", "-c"]}
        changes = dict(pod or {})
        body["containers"][0] |= changes.pop("container", {})
        if "sidecar" in changes:
            document["spec"]["trialTemplate"]["primaryContainerName"] = "trial"
            body["containers"].append(changes.pop("sidecar"))
        body |= changes
        return json.dumps(document)

    def put(self, document: dict[str, Any]) -> None:
        """Apply an object as it is."""
        document["metadata"]["namespace"] = self.namespace
        self.api.apply(f"{self.path}/{document['metadata']['name']}", document, "test")

    @property
    def path(self) -> str:
        return collection("experiments", self.namespace)

    def status(self, name: str = "small") -> Status:
        return Status(self.api.get(f"{self.path}/{name}").get("status") or {})

    def condition(self, type_: str, name: str = "small") -> dict[str, Any]:
        conditions = self.status(name).get("conditions") or []
        return next((c for c in conditions if c["type"] == type_), {})

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(collection("pods", self.namespace))["items"]
        return found

    def make_pod(self, pod: dict[str, Any]) -> None:
        """Create a Pod. A new namespace gets its service account a moment later, and refuses Pods until then."""
        self.until(f"the Pod {pod['metadata']['name']} is made", lambda: self._made(pod))

    def _made(self, pod: dict[str, Any]) -> bool:
        try:
            self.api.create(collection("pods", self.namespace), pod)
        except Refused as error:
            return error.code == 409
        return True

    def exists_namespace(self) -> bool:
        try:
            self.api.get(f"/api/v1/namespaces/{self.namespace}")
        except Refused:
            return False
        return True

    def running(self) -> list[str]:
        """Names of the Pods that run now."""
        return [p["metadata"]["name"] for p in self.pods() if p["status"].get("phase") == "Running"]

    def edit(self, **spec: Any) -> None:
        """Merge changes into the spec."""
        self.api.merge(f"{self.path}/small", {"spec": spec})

    def events(self) -> dict[str, str]:
        """The latest message of every reason that the Experiment's Events give."""
        found = self.api.get(collection("events", self.namespace))["items"]
        return {e["reason"]: e["message"] for e in found if e["involvedObject"]["kind"] == "Experiment"}

    def exists(self, name: str = "small") -> bool:
        try:
            self.api.get(f"{self.path}/{name}")
        except Refused:
            return False
        return True

    def ended(self, name: str = "small", within: float = PATIENCE) -> dict[str, Any]:
        """Wait for the experiment's end."""
        return self.until("the end", lambda: self._over(name), within)

    def _over(self, name: str) -> dict[str, Any] | None:
        status = self.status(name)
        return status if status.get("state") in ("Succeeded", "Failed") else None

    def until(self, what: str, check: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait until something holds; it fails with what was waited for and how things stand."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # An API server that is busy for once says nothing of what is waited for.
            with suppress(Unreachable):
                if found := check():
                    return found
            time.sleep(0.1)
        logs = [path.read_text()[-3000:] for path in sorted(self.logs.glob("operator-*.log"))]
        raise AssertionError(f"{what}: not within {seconds:g} s\n{self.api.get(self.path)['items']}\n{logs}")

    def trials(self, name: str = "small") -> list[TrialRecord]:
        """What the experiment's only study holds."""
        engine = open_engine(self.store)
        (study,) = [found for found in study_names(engine) if found.split("/")[1] == name]
        return [decode_trial(t) for t in read_study(engine, study).trials]

    def studies(self) -> list[str]:
        return study_names(open_engine(self.store))


class PodHistory:
    """Every Pod that ever was in a namespace, from a watch: its UIDs and the parameters that it was given."""

    def __init__(self, world: World) -> None:
        self.uids: dict[str, set[str]] = {}
        self.params: dict[str, set[str]] = {}
        self._watch = Reflector(world.api, "pods", world.namespace, self._note, lambda *_: None)
        self._watch.start()
        world.until("the watch", self._watch.synced.is_set)

    def _note(self, pod: Mapping[str, Any]) -> str:
        name = pod["metadata"]["name"]
        self.uids.setdefault(name, set()).add(pod["metadata"]["uid"])
        given = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0].get("env", [])}
        self.params.setdefault(name, set()).add(given.get("KUBETUNA_PARAMS", ""))
        return name

    def once(self) -> bool:
        """Whether every Pod was made once, and none is a second attempt."""
        return all(len(found) == 1 for found in (*self.uids.values(), *self.params.values())) and all(
            name.endswith("-0-0") for name in self.uids
        )


def _established(crd: dict[str, Any]) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Without grace."""
    process.send_signal(signal.SIGKILL)
    process.wait()
