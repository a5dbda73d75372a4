"""What every place where attempts run must do, whatever it is."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubetuna.local.executor import ProcessExecutor
from kubetuna.local.folders import EXIT, attempt_folder
from kubetuna.local.logs import FileLogs
from kubetuna.parsing.parse import parse_experiment, parse_file_text
from kubetuna.trials.attempts import (
    AttemptFacts,
    AttemptKey,
    AttemptRequest,
    Executor,
    ExitFacts,
    LogSource,
    SystemClock,
)
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.pod_logs import PodLogs
from tests.apiserver.cluster import Cluster
from tests.apiserver.operating import Process
from tests.apiserver.programs import Nodes, Program, params_of
from tests.apiserver.resources import Object
from tests.fakes import FakeClock, FakeExecutor, FakeLogs, Run
from tests.local.runs import experiment

KEY = AttemptKey(trial=0, attempt=0)


@dataclass
class World:
    """A place with its logs. ``drive`` carries on a world that does not turn by itself."""

    place: Executor
    logs: LogSource
    drive: Callable[[], None] = lambda: None

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "what was waited for did not happen"
            self.drive()
            self.place.wait(0.2)

    def facts(self, key: AttemptKey = KEY) -> AttemptFacts | None:
        return next((f for f in self.place.observe() if f.key == key), None)

    def ended(self, key: AttemptKey = KEY) -> bool:
        facts = self.facts(key)
        return facts is not None and facts.phase == "ended"

    def lines(self, key: AttemptKey = KEY) -> list[bytes]:
        cursor, found = "", list[bytes]()
        while True:
            chunk = self.logs.read(key, cursor)
            found += chunk.lines
            if chunk.drained or chunk.cursor == cursor:
                return found
            cursor = chunk.cursor


PROGRAMS = {
    "talks": ("print('one'); print('two')", Run((b"one", b"two"))),
    "fails": ("print('one'); raise SystemExit(3)", Run((b"one",), ExitFacts(exit_code=3))),
    "stubborn": (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('one', flush=True); time.sleep(600)",
        Run((b"one",), endless=True),
    ),
    "hangs": ("print('one', flush=True); import time; time.sleep(600)", Run((b"one",), endless=True)),
}


def order(program: str, key: AttemptKey = KEY, params_hash: str = "h") -> AttemptRequest:
    """The request for one of the programs above."""
    environment = {"KUBETUNA_TRIAL": "0", "KUBETUNA_PARAMS": json.dumps({"program": program})}
    return AttemptRequest(key, f"small-0-0-{key.attempt}", {"program": program}, params_hash, environment)


POD: Object = {"spec": {"containers": [{"name": "trial", "image": "python"}]}}
PAIR: Object = {"replicas": 2, "template": POD}
ONE: Object = {"replicas": 1, "template": POD}
IN_PHASE = 'status.[@this].#(phase=="{}")#'
# What a trial's template may be in a cluster, beside a Pod.
WORKLOADS: dict[str, Object] = {
    "a Job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": POD}},
    "a Job of two": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"parallelism": 2, "template": POD}},
    "an indexed Job of two": {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"parallelism": 2, "completions": 2, "completionMode": "Indexed", "template": POD},
    },
    "a PyTorchJob": {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "spec": {"pytorchReplicaSpecs": {"Master": ONE, "Worker": PAIR}},
    },
    "a JobSet": {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "spec": {
            "replicatedJobs": [
                {"name": "leader", "template": {"spec": {"template": POD}}},
                {"name": "workers", "template": {"spec": {"parallelism": 2, "completions": 2, "template": POD}}},
            ]
        },
    },
    "a TrainJob": {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "spec": {"runtimeRef": {"name": "torch"}, "trainer": {"numNodes": 2, "command": ["python"]}},
    },
    "a kind of its own": {"apiVersion": "example.org/v1", "kind": "Workflow", "spec": {"steps": [POD]}},
}


@pytest.fixture(params=["local", "fake", "pods", *WORKLOADS])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "fake":
        place = FakeExecutor(lambda launch: PROGRAMS[str(launch.params["program"])][1], FakeClock())
        yield World(place, FakeLogs(place))
        return
    if request.param == "pods" or request.param in WORKLOADS:
        yield from in_cluster(tmp_path, WORKLOADS.get(request.param))
        return
    local = local_executor(tmp_path)
    yield World(local, FileLogs(tmp_path))
    local.close()


def in_cluster(folder: Path, workload: Object | None) -> Iterator[World]:
    """Pods of a cluster in memory, made by a workload's controller. The operator knows what its watch tells."""
    cluster = Cluster()
    process = Process(cluster, f"sqlite:///{folder}/study.db")
    process.watch_pods()
    document = json.loads(experiment(""))
    if workload is not None:
        ends = {"successCondition": IN_PHASE.format("Succeeded"), "failureCondition": IN_PHASE.format("Failed")}
        own = ends if workload["kind"] == "Workflow" else {}
        document["spec"]["trialTemplate"] |= {"trialSpec": workload, **own}
    spec, ref = parse_experiment(document), ExperimentRef(cluster.make_owner(document), 1)
    place = PodExecutor(process.context, spec, ref)
    nodes = Nodes(cluster, pod_program)

    def drive() -> None:
        nodes.drive()
        cluster.advance(1.0)

    yield World(place, PodLogs(process.context, ref, spec.template.primary_container, place), drive)
    process.close()


def pod_program(pod: Object) -> Program:
    run = PROGRAMS[params_of(pod)["program"]][1]
    return Program(tuple(line.decode() for line in run.lines), None if run.endless else run.exit.exit_code)


def local_executor(folder: Path) -> ProcessExecutor:
    spec = parse_file_text(experiment("", command=["python"]))

    def render(launch: AttemptRequest) -> dict[str, object]:
        script = PROGRAMS[str(launch.params["program"])][0]
        container = {"name": "trial", "command": ["python", "-u", "-c", script]}
        return {"kind": "Pod", "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}

    return ProcessExecutor(folder, spec, render, SystemClock())


def test_of_what_was_never_ordered_nothing_is_there_that_may_start(world: World) -> None:
    assert world.place.absent(KEY) and world.place.unfinished() is None


def test_an_attempt_runs_to_its_end_and_its_log_reads_back(world: World) -> None:
    world.place.launch(order("talks"))
    world.until(world.ended)
    facts = world.facts()
    assert facts is not None and facts.exit is not None
    assert (facts.exit.exit_code, facts.exit.signal, facts.exit.reason) == (0, None, None)
    assert facts.started is not None and facts.ended is not None
    assert facts.created is not None and facts.created <= facts.started <= facts.ended
    assert world.lines() == [b"one", b"two"]


def test_a_failure_keeps_its_exit_code(world: World) -> None:
    world.place.launch(order("fails"))
    world.until(world.ended)
    facts = world.facts()
    assert facts is not None and facts.exit is not None and facts.exit.exit_code == 3


def test_launching_twice_starts_once(world: World) -> None:
    world.place.launch(order("talks"))
    world.place.launch(order("talks"))
    world.until(world.ended)
    world.place.launch(order("talks"))
    assert world.ended() and world.lines() == [b"one", b"two"]


def test_a_stopped_attempt_ends_and_keeps_log_and_facts(world: World) -> None:
    world.place.launch(order("hangs"))
    world.until(lambda: world.lines() == [b"one"])
    assert not world.logs.read(KEY, "").drained
    world.place.stop(KEY, "Pruned")
    world.place.stop(KEY, "Pruned")
    world.until(world.ended)
    assert (facts := world.facts()) and facts.exit and not facts.exit.by_itself
    assert world.lines() == [b"one"] and world.facts() is not None


def test_deleting_forgets_what_ended_and_unknown_attempts_are_no_error(world: World) -> None:
    world.place.launch(order("talks"))
    world.until(world.ended)
    world.place.delete(KEY)
    world.place.delete(KEY)
    world.place.stop(KEY, "Stopped")
    assert world.facts() is None and world.logs.read(KEY, "").drained


def test_deleting_what_runs_stops_it_first(world: World) -> None:
    world.place.launch(order("hangs"))
    world.until(lambda: world.lines() == [b"one"])
    world.place.delete(KEY)
    # Whether it is still shown while it ends is the place's choice.
    world.until(lambda: world.facts() is None or world.ended())
    world.place.delete(KEY)
    assert world.facts() is None


def test_attempts_are_told_apart(world: World) -> None:
    other = AttemptKey(0, 1)
    world.place.launch(order("talks"))
    world.until(world.ended)
    assert len(world.lines()) == 2
    world.place.launch(order("fails", other))
    world.until(lambda: world.ended(other))
    assert len(world.lines()) == 2 and len(world.lines(other)) == 1


def test_another_runner_sees_what_this_machine_ran(tmp_path: Path) -> None:
    first = local_executor(tmp_path)
    first.launch(order("talks"))
    world = World(first, FileLogs(tmp_path))
    world.until(world.ended)
    first.close()
    again = local_executor(tmp_path)
    assert [f.phase for f in again.observe()] == ["ended"]
    again.launch(order("talks"))
    assert world.lines() == [b"one", b"two"], "an ended attempt must not start again"


def test_a_closed_runner_leaves_no_attempt_behind(tmp_path: Path) -> None:
    first = local_executor(tmp_path)
    first.launch(order("hangs"))
    world = World(first, FileLogs(tmp_path))
    world.until(lambda: world.lines() == [b"one"])
    first.close()
    facts = local_executor(tmp_path).observe()[0]
    assert facts.phase == "ended" and facts.exit is not None and facts.exit.reason == "Interrupted"


def test_a_stop_is_seen_while_the_attempt_still_takes_its_time(tmp_path: Path) -> None:
    place = local_executor(tmp_path)
    place.launch(order("stubborn"))
    world = World(place, FileLogs(tmp_path))
    world.until(lambda: world.lines() == [b"one"])
    assert (facts := world.facts()) and not facts.stopping
    place.stop(KEY, "Pruned")
    world.until(lambda: (facts := world.facts()) is not None and facts.stopping)
    assert not world.ended()
    place.close()


def test_what_a_dead_supervisor_left_running_has_not_ended_before_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill that failed, or is not done yet, frees no device and is tried again."""
    first = local_executor(tmp_path)
    first.launch(order("talks"))
    world = World(first, FileLogs(tmp_path))
    world.until(world.ended)
    first.close()
    (attempt_folder(tmp_path, KEY) / EXIT).unlink()
    mark = {"KUBETUNA_OUT": str(attempt_folder(tmp_path.absolute(), KEY) / "out")}
    with subprocess.Popen(["sleep", "600"], env={**os.environ, **mark}) as left:
        again = World(local_executor(tmp_path), FileLogs(tmp_path))
        # A process is there a moment before its environment is.
        again.until(lambda: b"KUBETUNA_OUT" in Path(f"/proc/{left.pid}/environ").read_bytes())
        with monkeypatch.context() as deaf:
            deaf.setattr("kubetuna.local.executor.os.kill", refused)
            assert not again.ended()
        assert not again.ended()
        left.wait()
        assert again.ended()


def refused(_pid: int, _signal: int) -> None:
    raise PermissionError
