"""Experiments on the cluster of ``make cluster`` beside the same Pods, created by hand.

What happens when is read from one watch on the Pods, so both sides are seen by the same clock; they take turns, for
a cluster of two cores is never twice the same.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hack.cluster.base_image import REFERENCE
from hack.cluster.layout import find_layout
from tests.cluster.conftest import Cluster
from tests.cluster.operators import World
from tests.postgres_server import PostgresServer, free_port

from benchmarks.measure import Row, say
from kubetuna.parsing.parse import parse_experiment
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import open_study
from kubetuna.trials.attempts import AttemptKey, AttemptRequest
from kubetuna.trials.outcome import Classified, Outcome
from kubetuna.trials.records import AttemptRecord
from kubetuna_operator.experiment.opened import study_name
from kubetuna_operator.kube.api_client import Api, Refused, Unreachable, collection, split_lines
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.workloads.manifest import attempt_manifest

SCRIPT = "import time; time.sleep(1); print('loss=1', flush=True)"
FINISHED, ROUNDS = 1_000, 3
# Reports once a second; what it reports at its fourth step is to be pruned. Says how long SIGTERM took from there.
PRUNED = """
import json, signal, sys, time
def told(*_):
    open("/dev/termination-log", "w").write(str(time.time() - bad))
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
for step in range(1, 60):
    print(json.dumps({"step": step, "loss": float(step > 3)}), flush=True)
    bad = time.time() if step == 4 else bad if step > 4 else 0.0
    time.sleep(1)
"""


@dataclass
class Watch:
    """When each Pod whose name begins with ``prefix`` was first seen, and first seen ended; monotonic seconds."""

    api: Api
    namespace: str
    made: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    prefix: str = "small-"
    words: dict[str, str] = field(default_factory=dict)
    changed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Watch in a thread until the process ends."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            with suppress(Unreachable, Refused):
                pieces = self.api.stream(collection("pods", self.namespace), {"watch": "true"}, 600)
                for line in split_lines(pieces):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    self._see(event["object"])

    def _see(self, pod: dict[str, Any]) -> None:
        name, now = pod["metadata"].get("name", ""), time.perf_counter()
        if not name.startswith(self.prefix):
            return
        self.made.setdefault(name, now)
        # The container's end comes a second before the Pod's phase says so.
        states = [c.get("state") or {} for c in pod.get("status", {}).get("containerStatuses") or []]
        if states and all("terminated" in state for state in states):
            self.ended.setdefault(name, now)
            self.words[name] = states[0]["terminated"].get("message", "")
        self.changed.set()


def rows(quick: bool) -> list[Row]:
    """Raises RuntimeError where no cluster is up."""
    layout = find_layout()
    if not layout.kubeconfig.exists():
        raise RuntimeError("no cluster is up; make cluster brings one up")
    sizes = [(6, 3)] if quick else [(12, 3), (30, 10)]
    found = [row for trials, parallel in sizes for row in _compare(layout.kubeconfig, trials, parallel, quick)]
    found += _prune(layout.kubeconfig)
    return found if quick else found + _old(layout.kubeconfig)


@dataclass(frozen=True)
class Round:
    """One experiment and the same Pods by hand: seconds, gaps in seconds, requests per trial, cores, MB."""

    bare: float
    own: float
    first: float
    gaps: list[float]
    calls: dict[str, float]
    cores: float
    memory: float


def _compare(kubeconfig: Path, trials: int, parallel: int, quick: bool) -> list[Row]:
    name = f"{trials} one-second trials, {parallel} at a time"
    rounds = []
    for number in range(1 if quick else ROUNDS):
        say(f"  {name}: as bare Pods, then as an experiment; round {number + 1}")
        rounds.append(_round(kubeconfig, trials, parallel))
    gaps = [gap for one in rounds for gap in one.gaps]
    calls = {verb: statistics.median(one.calls[verb] for one in rounds) for verb in rounds[0].calls}
    writes = sum(count for verb, count in calls.items() if verb != "GET")
    ratios = [one.own / one.bare for one in rounds]
    pairs = ", ".join(f"{one.own:.1f} s over {one.bare:.1f} s" for one in rounds)
    return [
        Row(f"cluster: {name}", statistics.median(one.own for one in rounds), "s", note=pairs),
        Row("cluster: … over the same Pods by hand", statistics.median(ratios), "x", note="the bar is 1.1x"),
        Row("cluster: … apply to first Pod", 1e3 * statistics.median(one.first for one in rounds), "ms",
            note="the bar is 300 ms"),
        Row("cluster: … Pod's end to the next one", 1e3 * statistics.median(gaps), "ms",
            note=f"median of {len(gaps)}; largest {1e3 * max(gaps):.0f} ms"),
        Row("cluster: … API writes per trial", writes, "", note="the bar is 6; "
            + ", ".join(f"{verb} {count:.1f}" for verb, count in sorted(calls.items()))),
        Row("cluster: … operator's memory", max(one.memory for one in rounds), "MB", note="resident"),
        Row("cluster: … operator's processor time", statistics.median(one.cores for one in rounds), "cores",
            note="while it ran"),
    ]  # fmt: skip


def _round(kubeconfig: Path, trials: int, parallel: int) -> Round:
    with _world(kubeconfig) as (world, watch, port):
        watch.prefix = "bare-"
        bare = _bare(world, watch, trials, parallel)
        # Their last events come a second later, and are none of the experiment's.
        watch.prefix = "small-"
        watch.made.clear()
        watch.ended.clear()
        pid = world.processes[0].pid
        before, worked = _requests(port), _seconds(pid)
        applied = time.perf_counter()
        world.apply(SCRIPT, maxTrialCount=trials, parallelTrialCount=parallel)
        world.ended()
        own = time.perf_counter() - applied
        time.sleep(1.0)
        cores = (_seconds(pid) - worked) / (time.perf_counter() - applied)
        made, after = sorted(watch.made.values()), _requests(port)
        return Round(
            bare, own, made[0] - applied, _gaps(sorted(watch.ended.values()), made[parallel:]),
            {verb: (after[verb] - before.get(verb, 0)) / trials for verb in after}, cores, _memory(pid),
        )  # fmt: skip


def _prune(kubeconfig: Path) -> list[Row]:
    """From the line that is to be pruned to SIGTERM, by the trial's own clock."""
    with _world(kubeconfig) as (world, watch, _):
        say("  pruning")
        pruner = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.5}]}
        world.apply(PRUNED, maxTrialCount=8, parallelTrialCount=2, earlyStopping=pruner)
        world.ended()
        waits = [float(word) for word in watch.words.values()]
        note = f"median of {len(waits)}; largest {max(waits):.2f} s; one report a second, the bar is two"
        return [Row("cluster: line to prune to SIGTERM", statistics.median(waits), "s", note=note)]


def _old(kubeconfig: Path) -> list[Row]:
    """The gap between two Pods in an experiment that has long been running."""
    with _world(kubeconfig, start=False) as (world, watch, port):
        say(f"  an experiment with {FINISHED} finished trials")
        world.apply(
            SCRIPT, maxTrialCount=FINISHED + 30, parallelTrialCount=3, algorithm={"algorithmName": "tpe"}
        )  # fmt: skip
        _fill(world)
        started = time.perf_counter()
        world.operator("--no-leader-election", "--port", str(port))
        world.until("the end", lambda: world.status().get("state") == "Succeeded", 300)
        made = sorted(watch.made.values())
        gaps = _gaps(sorted(watch.ended.values()), made[3:])
        memory = _memory(world.processes[0].pid)
        return [
            Row(f"cluster: {FINISHED} finished trials, Pod's end to next", 1e3 * statistics.median(gaps), "ms",
                note=f"median of {len(gaps)}; largest {1e3 * max(gaps):.0f} ms; the bars are 50 and 500 ms"),
            Row("cluster: … operator's start to its first Pod", made[0] - started, "s"),
            Row("cluster: … operator's memory", memory, "MB", note="resident"),
        ]  # fmt: skip


def _fill(world: World) -> None:
    """Give the study trials that ended, as if they had run."""
    obj = world.api.get(f"{world.path}/small")
    metadata = obj["metadata"]
    owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
    spec = parse_experiment(
        {**{k: obj[k] for k in ("apiVersion", "kind", "spec")}, "metadata": {"name": owner.name}}
    )
    database = open_engine(world.store)
    ensure_schema(database)
    study = open_study(database, spec, study_name(owner), "benchmark", time.time(), lambda: 7).study
    for number in range(FINISHED):
        study.ask(number)
        study.begin_attempt(number, AttemptRecord(0, time.time()))
        study.tell(number, Classified(Outcome.SUCCEEDED, ""), {"loss": 2.0 + number})
    study.flush()
    database.dispose()


def _gaps(ends: list[float], starts: list[float]) -> list[float]:
    """The i-th Pod beyond the first ones takes the place of the i-th that ended."""
    return [start - end for end, start in zip(ends, starts, strict=False)] or [0.0]


def _bare(world: World, watch: Watch, count: int, parallel: int) -> float:
    """The Pods that the operator would make, without an owner: the same volumes and security, nothing to read."""
    spec = parse_experiment(json.loads(world.document(SCRIPT)))
    owner = Owner(world.namespace, "bare", "none")
    path, started = collection("pods", world.namespace), time.perf_counter()
    for number in range(count):
        while number - len(watch.ended) >= parallel:
            watch.changed.wait(5)
            watch.changed.clear()
        order = AttemptRequest(AttemptKey(number, 0), f"bare-{number}", {"x": 0.5}, "", {"KUBETUNA_PARAM_X": "0.5"})
        body = attempt_manifest(spec, owner, order)
        del body["metadata"]["ownerReferences"]
        world.until("the service account", partial(_created, world.api, path, body))
    while len(watch.ended) < count:
        watch.changed.wait(5)
        watch.changed.clear()
    return time.perf_counter() - started


def _created(api: Api, path: str, body: dict[str, Any]) -> bool:
    try:
        api.create(path, body)
    except Refused as error:
        return error.code == 409
    return True


@contextmanager
def _world(kubeconfig: Path, start: bool = True) -> Iterator[tuple[World, Watch, int]]:
    server, api, name = PostgresServer(), Api.connect(str(kubeconfig)), f"bench-{uuid.uuid4().hex[:6]}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    folder = tempfile.TemporaryDirectory()
    world = World(Cluster(kubeconfig, REFERENCE, ours=True), name, server.url("postgres"), Path(folder.name))
    watch, port = Watch(api, name), free_port()
    try:
        watch.start()
        world.install_crds()
        if start:
            world.operator("--no-leader-election", "--port", str(port))
            world.until("the operator is ready", lambda: _ready(port))
        yield world, watch, port
    finally:
        world.close()
        api.delete(f"/api/v1/namespaces/{name}")
        server.close()
        folder.cleanup()


def _ready(port: int) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).status == 200)
    return False


def _requests(port: int) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("rest_client_requests_total{"):
            verb = line.split('method="')[1].split('"')[0]
            found[verb] = found.get(verb, 0.0) + float(line.rsplit(" ", 1)[1])
    return found


def _seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
