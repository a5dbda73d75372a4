"""A cluster with nodes, a store, and operators that come and go: where whole experiments are carried out."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from kubetuna.store.database import open_engine
from kubetuna.store.reader import read_study, study_names
from kubetuna.study.decoding import decode_trial
from kubetuna.trials.records import TrialRecord
from kubetuna_operator.kube.api_client import Refused, collection
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.operating import ByHand, Operator
from tests.apiserver.programs import Nodes, Program, params_of
from tests.apiserver.resources import PODS, Object
from tests.local.runs import experiment

EXPERIMENTS = collection("experiments", NAMESPACE)
SMALL = f"{EXPERIMENTS}/small"


def curve(pod: Object) -> Program:
    """Five steps whose level is the parameter."""
    x = params_of(pod)["x"]
    return Program(tuple(json.dumps({"step": s, "loss": x + 1 / s}) for s in range(1, 6)))


def hangs(pod: Object) -> Program:
    """The same, and then it works on for ever."""
    return Program(curve(pod).lines, None)


class Lab:
    """A cluster with nodes, a store, and operators that come and go. ``pods`` are all that there ever were."""

    def __init__(self, folder: Path) -> None:
        self.cluster, self.store = Cluster(), f"sqlite:///{folder}/study.db"
        self.program: Callable[[Object], Program | None] = curve
        # Seconds that go by at each look.
        self.pace = 0.1
        self.api, self.operators = self.cluster.api(), list[Operator | ByHand]()
        self.made: list[str] = []
        self.cluster.server.objects.listen(
            lambda change: (
                self.made.append(change.key[1]) if change.resource == PODS and change.before is None else None
            )
        )
        self._nodes = Nodes(self.cluster, lambda pod: self.program(pod))

    def operator(self, identity: str = "one", openings: Executor | None = None) -> ByHand:
        """One that takes its turns as time goes by: the clock waits for its work, as it does not for threads'."""
        made = ByHand(self.cluster, self.store, identity, openings)
        self.operators.append(made)
        return made

    def threaded(self, identity: str = "one", namespace: str | None = NAMESPACE) -> Operator:
        """One with threads of its own, for what is said of them. Time goes by while they wait for a processor."""
        made = Operator(self.cluster, self.store, identity, namespace)
        self.operators.append(made)
        return made

    def close(self) -> None:
        """End every operator."""
        for operator in self.operators:
            operator.kill()

    def apply(self, **spec: Any) -> None:
        self.put(json.loads(experiment("", **spec)))

    def put(self, document: dict[str, Any]) -> None:
        self.api.apply(SMALL, document, "test")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(SMALL).get("status") or {}
        return found

    def conditions(self) -> dict[str, tuple[str, str]]:
        return {c["type"]: (c["status"], c["message"]) for c in self.status().get("conditions") or []}

    def until(self, check: Callable[[], Any]) -> Any:
        return self.cluster.until(check, self.drive)

    def drive(self) -> None:
        """Let nodes work and time go by, and operators that have no threads take their turns."""
        self._nodes.drive()
        self.cluster.advance(self.pace)
        for operator in self.operators:
            operator.turns()

    def ended(self) -> dict[str, Any]:
        self.until(lambda: self.status().get("state") in ("Succeeded", "Failed"))
        return self.status()

    def pods(self) -> list[Object]:
        return self.cluster.kubelet.pods()

    def running(self, count: int) -> Callable[[], bool]:
        return lambda: [p["status"]["phase"] for p in self.pods()] == ["Running"] * count

    def shown(self) -> list[Object]:
        found: list[Object] = self.api.get(collection("trials", NAMESPACE))["items"]
        return found

    def trials(self) -> list[TrialRecord]:
        engine = open_engine(self.store)
        (name,) = study_names(engine)
        return [decode_trial(t) for t in read_study(engine, name).trials]

    def events(self) -> dict[str, str]:
        return {e["reason"]: e["message"] for e in self.api.get(collection("events", NAMESPACE))["items"]}


def gone(lab: Lab) -> bool:
    try:
        lab.api.get(SMALL)
    except Refused as error:
        return error.code == 404
    return False
