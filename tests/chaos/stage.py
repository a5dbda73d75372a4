"""What the faults fall on: two operators behind relays, a database, a ledger, and three experiments at a time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml
from hack.cluster import controlplane
from hack.cluster.layout import Layout

from kubetuna.errors import StoreUnavailable
from kubetuna.store.database import open_engine
from kubetuna.store.reader import read_study, study_names
from kubetuna.store.schema import ensure_schema
from kubetuna.study.decoding import decode_trial
from kubetuna.trials.records import TrialRecord
from kubetuna_operator.kube.api_client import Refused, Unreachable, collection
from tests.chaos import ledger
from tests.chaos.installed import InstalledOperators
from tests.chaos.relay import Relay
from tests.cluster.conftest import Cluster
from tests.cluster.operators import World
from tests.postgres_server import PostgresServer, free_port

AT_ONCE = 3
TRIALS, PARALLEL = 8, 3
STEP_SECONDS = 0.4
PATIENCE = 240.0
LOOK_SECONDS = 0.2
OVER = ("Succeeded", "Failed")
# What a study holds in the end: of each trial five steps, and its value.
MOST = TRIALS * (5 + 1)

T = TypeVar("T")


class Operator:
    """One operator process, its way to the API server and to the database relayed."""

    def __init__(self, stage: Stage, number: int) -> None:
        api = urlsplit(stage.server)
        self.api, self.database = (
            Relay(api.hostname or "", api.port or 443),
            Relay("127.0.0.1", stage.postgres.port),
        )
        self._log = stage.folder / f"operator-{number}.log"
        kubeconfig = stage.kubeconfig_through(self.api.port, stage.folder / f"kubeconfig-{number}")
        self._command = [
            sys.executable, "-m", "kubetuna_operator", "--kubeconfig", str(kubeconfig), "--namespaces",
            stage.world.namespace, "--address", "127.0.0.1",
        ]  # fmt: skip
        store = f"postgresql+psycopg2://kubetuna@127.0.0.1:{self.database.port}/postgres"
        self._environment = {**os.environ, "KUBETUNA_STORE": store, "POD_NAMESPACE": stage.world.namespace}
        self._turn, self._meant_to_run = threading.Lock(), False
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """From now on it runs."""
        self._meant_to_run = True
        self.revive()

    def revive(self) -> None:
        """Start it anew where it has ended by itself, as Kubernetes does."""
        with self._turn, self._log.open("ab") as log:
            if self._meant_to_run and (self._process is None or self._process.poll() is not None):
                command = [*self._command, "--port", str(free_port())]
                self._process = subprocess.Popen(command, env=self._environment, stderr=log)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has just ended by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a word; it is not started again before `start`."""
        with self._turn:
            self._meant_to_run = False
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        """End it."""
        self.kill()
        self.api.close()
        self.database.close()


class Stage:
    """All of it. ``layout`` is the cluster's own, where its daemons may be stopped too."""

    def __init__(self, cluster: Cluster, layout: Layout | None, seed: int) -> None:
        self.layout, self.random = layout, random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="kubetuna-chaos-"))
        self.postgres = PostgresServer()
        self.world = World(cluster, f"chaos-{os.getpid()}", self.postgres.url("postgres"), self.folder)
        try:
            self._installed = InstalledOperators(self.world)
        except BaseException:
            self.world.close()
            self.postgres.close()
            raise
        self._engine = open_engine(self.world.store)
        ensure_schema(self._engine)
        self.config = yaml.safe_load(cluster.kubeconfig.read_text())
        self.server: str = self.config["clusters"][0]["cluster"]["server"]
        self.hit: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.forced: dict[tuple[str, int], set[int]] = defaultdict(set)
        # By experiment: whether it has ended, and how much the study of one that has ended holds.
        self._ended: dict[str, bool] = {}
        self._held: dict[str, int] = {}
        self._turn, self._starting = threading.Lock(), threading.Lock()
        self.world.api.create("/api/v1/namespaces", {"metadata": {"name": self.world.namespace}})
        self.world.install_crds()
        self.ledger = self._start_ledger()
        self.operators = [Operator(self, number) for number in range(2)]

    def kubeconfig_through(self, port: int, path: Path) -> Path:
        """The cluster's kubeconfig, its server reached through a relay; the certificate names 127.0.0.1 or else."""
        found = json.loads(json.dumps(self.config))
        host = urlsplit(self.server).hostname
        found["clusters"][0]["cluster"] |= {"server": f"https://127.0.0.1:{port}", "tls-server-name": host}
        path.write_text(yaml.safe_dump(found))
        return path

    def _start_ledger(self) -> str:
        container = {
            "name": "ledger",
            "image": self.world.cluster.image,
            "command": ["python3", "-c", ledger.SERVER],
        }
        pod = {"metadata": {"name": ledger.NAME}, "spec": {"containers": [container]}}
        self.world.make_pod(pod)
        path = f"{collection('pods', self.world.namespace)}/{ledger.NAME}"
        return str(self.world.until("the ledger", lambda: self._running_address(path)))

    def _running_address(self, path: str) -> str:
        status = self.world.api.get(path)["status"]
        return str(status.get("podIP", "")) if status.get("phase") == "Running" else ""

    def notes(self) -> list[ledger.Note]:
        """What the ledger has."""
        path = f"{collection('pods', self.world.namespace)}/{ledger.NAME}:{ledger.PORT}/proxy/"
        return ledger.read(self.world.api.get(path))

    def _apply_one(self) -> None:
        """Begin another experiment; every other one runs its attempts as Jobs."""
        number = len(self._ended)
        document = json.loads(
            self.world.document(ledger.TRIAL, f"e{number}", maxTrialCount=TRIALS, parallelTrialCount=PARALLEL)
        )
        template = document["spec"]["trialTemplate"]
        pod = template["trialSpec"]["spec"]
        pod["containers"][0]["args"] += [f"http://{self.ledger}:{ledger.PORT}/", str(STEP_SECONDS)]
        if number % 2:
            template["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
        self.world.put(document)
        self._ended[f"e{number}"] = False

    def keep_busy(self) -> None:
        """Begin experiments until as many as wanted are under way."""
        with self._turn:
            for _ in range(AT_ONCE - len(self._under_way())):
                self._apply_one()

    def start_control_plane(self) -> None:
        """Start what was stopped of it."""
        assert self.layout is not None
        with self._starting:
            controlplane.start(self.layout)

    def _revive(self) -> None:
        """Start anew what ended by itself."""
        for operator in self.operators:
            operator.revive()
        if self.layout is not None and self._starting.acquire(blocking=False):
            try:
                controlplane.keep_controllers(self.layout)
            finally:
                self._starting.release()

    def _under_way(self) -> list[str]:
        """The experiments that have not ended yet."""
        for name in [name for name, ended in self._ended.items() if not ended]:
            self._ended[name] = self.world.status(name).get("state") in OVER
        return [name for name, ended in self._ended.items() if not ended]

    def over(self) -> bool:
        """Whether every experiment has ended, of which none looks unfinished again."""
        found = self.world.api.get(self.world.path)["items"]
        return all((obj.get("status") or {}).get("state") in OVER for obj in found)

    def trial_pods(self) -> list[dict[str, Any]]:
        """The Pods of attempts, but those that have ended."""
        pods = [p for p in self.world.pods() if "kubetuna.dev/trial" in p["metadata"].get("labels", {})]
        return [p for p in pods if p["status"].get("phase") not in ("Succeeded", "Failed")]

    def note_hit(self, pod: dict[str, Any], force: bool = False) -> None:
        """Remember that this Pod was taken away."""
        labels = pod["metadata"]["labels"]
        of = (labels["kubetuna.dev/experiment"], int(labels["kubetuna.dev/trial"]))
        attempt = int(labels["kubetuna.dev/attempt"])
        self.hit[of].add(attempt)
        if force:
            self.forced[of].add(attempt)

    def progress(self) -> int:
        """How much the studies hold: it only grows."""
        names = [name for name in study_names(self._engine) if name not in self._held]
        growing = {name: _amount(self._trials(name)) for name in names}
        self._held |= {name: amount for name, amount in growing.items() if amount == MOST}
        return sum({**self._held, **growing}.values())

    def trials(self) -> dict[str, list[TrialRecord]]:
        """What the store holds of each experiment."""
        return {study.split("/")[1]: self._trials(study) for study in study_names(self._engine)}

    def _trials(self, study: str) -> list[TrialRecord]:
        return [decode_trial(t) for t in read_study(self._engine, study).trials]

    def patiently(self, do: Callable[[], T]) -> T:
        """Do something that can be done twice, until nothing that it needs is away."""
        done: list[T] = []

        def do_it() -> bool:
            done.append(do())
            return True

        self.until(do_it)
        return done[0]

    def until(self, check: Callable[[], Any], seconds: float = PATIENCE) -> float:
        """Wait until something holds, whatever cannot be asked meanwhile; the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            self._revive()
            try:
                if check():
                    return time.monotonic() - began
            except (Refused, Unreachable, StoreUnavailable):
                # The API server and the database come back in their own time.
                pass
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"not within {seconds:g} s; the operators' logs are in {self.folder}; {self._ended}")

    def close(self) -> None:
        """End what was begun; the logs stay."""
        for operator in self.operators:
            operator.close()
        self.world.close()
        self.world.api.delete(f"/api/v1/namespaces/{self.world.namespace}")
        self._installed.go_on()
        self._engine.dispose()
        self.postgres.close()


def _amount(trials: list[TrialRecord]) -> int:
    return sum(len(t.steps) + (t.state == "COMPLETE") for t in trials)
