"""What one turn of an experiment costs by the number of its running Pods: observe, plan, act, in one process."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from statistics import median
from typing import Any, cast

from tests.local.runs import experiment

from benchmarks.measure import Row, seconds
from kubetuna.parsing.parse import parse_file_text
from kubetuna.reconciling.reconciler import Ports, Reconciler
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import open_study
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.kube.api_client import Api
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.status import view
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.pod_logs import PodLogs

SIZES, QUICK = (100, 1_000, 3_000), (10, 100)
TURNS = 21
OWNER = Owner("lab", "small", "uid-1")


class SilentApi(Api):
    """Takes every Pod, runs it at once, and has nothing to read."""

    def __init__(self, index: PodIndex) -> None:
        self._index = index

    def create(
        self, path: str, body: Mapping[str, Any], low_priority: bool = False, **query: object
    ) -> dict[str, Any]:
        name = body["metadata"]["name"]
        started = {"name": "trial", "state": {"running": {"startedAt": "2026-11-24T10:00:02Z"}}}
        pod = {
            **body,
            "metadata": {**body["metadata"], "uid": name},
            "spec": {**body["spec"], "nodeName": "node-1"},
            "status": {"phase": "Running", "containerStatuses": [started]},
        }
        self._index.update((OWNER.namespace, name), None, view(pod))
        return pod

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        return iter(())


class Here(Executor):
    """Reads in the thread that asks."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def rows(quick: bool) -> list[Row]:
    """A turn at each size, and how much more it costs than one at the smallest, by Pod."""
    sizes = QUICK if quick else SIZES
    found = {size: turn(size) for size in sizes}
    least = found[sizes[0]] / sizes[0]
    return [
        row
        for size in sizes
        for row in (
            Row(f"turns: with {size:,} running Pods", found[size] * 1e3, "ms", note="nothing new to read or do"),
            Row(f"turns: … by Pod, over {sizes[0]}", found[size] / size / least, "x", note="1 is linear"),
        )
    ]


def turn(pods: int) -> float:
    """Median seconds of a turn in which nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        engine = made(pods, f"sqlite:///{folder}/study.db")
        spend(engine)
        spend(engine)
        return median(seconds(lambda: spend(engine)) for _ in range(TURNS))


def spend(engine: Reconciler) -> None:
    """One turn."""
    engine.turn(engine.observe(), time.time())


def made(pods: int, store: str) -> Reconciler:
    """An experiment with that many trials at a time."""
    algorithm = {"algorithmName": "random", "algorithmSettings": [{"name": "seed", "value": 1}]}
    text = experiment("", maxTrialCount=pods, parallelTrialCount=pods, algorithm=algorithm)
    spec = parse_file_text(json.dumps({**json.loads(text), "metadata": {"name": OWNER.name}}))
    database, index = open_engine(store), PodIndex()
    ensure_schema(database)
    nothing = cast(Any, None)
    context = OperatorContext(SilentApi(index), index, nothing, "me", nothing, nothing, Here(), 60.0)
    ref = ExperimentRef(OWNER, 1)
    place = PodExecutor(context, spec, ref)
    opened = open_study(database, spec, spec.name, "me", time.time(), lambda: 7)
    logs = PodLogs(context, ref, spec.template.primary_container, place)
    return Reconciler(spec, opened.study, Ports(place, logs, context.clock, lambda *_: None), opened.started, 1.0)
