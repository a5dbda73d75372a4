"""Reading Pods' logs over a kubelet that gives whole seconds, equal times, new files, and sometimes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kubetuna.trials.attempts import GONE, LINE_LIMIT, AttemptKey, ExitFacts, LogChunk
from kubetuna_operator.context import ExperimentRef
from kubetuna_operator.kube.api_client import collection
from kubetuna_operator.pods.read_budget import READERS
from kubetuna_operator.pods.status import PodView, view
from kubetuna_operator.workloads import pod_logs
from kubetuna_operator.workloads.pod_logs import PodLogs
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import no_such_pod_on_its_node
from tests.apiserver.objects import timestamp
from tests.apiserver.operating import Process
from tests.fakes import FakeClock
from tests.local.runs import experiment
from tests.sim.actors import NEVER, Beside

NAME, KEY = "small-0-0-0", AttemptKey(0, 0)


class OnePod:
    """The Pods whose logs are read: one, as it is now. ``kept``: as it was when it was last seen."""

    def __init__(self, process: Process, cluster: Cluster) -> None:
        self.changed = process.context.pods.changes("owner")
        self._cluster = cluster
        self.kept: PodView | None = None
        self.absent = False

    def find(self, key: AttemptKey) -> PodView | None:
        return None if self.absent else self.kept or view(self._cluster.kubelet.pod(NAME))

    def gone(self, key: AttemptKey) -> ExitFacts | None:
        return GONE if self.absent else None

    def over(self, pod: PodView) -> bool:
        return pod.exit is not None

    def read_interval(self) -> float:
        return 0.0


@dataclass
class Reading:
    """A Pod that prints, and who reads it. The clock that paces the reads is never early."""

    cluster: Cluster
    process: Process
    pods: OnePod
    logs: PodLogs
    time: FakeClock
    cursor: str = ""

    @property
    def kubelet(self) -> Any:
        return self.cluster.kubelet

    def chunk(self) -> LogChunk:
        found = self.logs.read(KEY, self.cursor)
        self.cursor = found.cursor
        return found

    def lines(self) -> list[str]:
        return [line.decode() for line in self.chunk().lines]

    def events(self) -> dict[str, str]:
        found = self.cluster.api().get(collection("events", NAMESPACE))["items"]
        return {e["reason"]: e["message"] for e in found}


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    monkeypatch.setattr(pod_logs, "FASTEST", 0.0)
    monkeypatch.setattr(pod_logs, "SLOWEST", 0.0)
    cluster = Cluster()
    process = Process(cluster, f"sqlite:///{tmp_path}/study.db")
    ref = ExperimentRef(cluster.make_owner(json.loads(experiment(""))), 1)
    containers = [{"name": "sidecar"}, {"name": "trial", "env": [{"name": "KUBETUNA_TRIAL", "value": "0"}]}]
    labels = {"kubetuna.dev/trial": "0", "kubetuna.dev/attempt": "0"}
    body = {"metadata": {"name": NAME, "labels": labels}, "spec": {"containers": containers}}
    cluster.api().create(collection("pods", NAMESPACE), body)
    pods = OnePod(process, cluster)
    clock = FakeClock()
    yield Reading(cluster, process, pods, PodLogs(process.context, ref, "trial", pods, clock.now), clock)
    process.close()


def start(reading: Reading) -> None:
    reading.kubelet.schedule(NAME)
    reading.kubelet.start(NAME)


def say(reading: Reading, *lines: str) -> None:
    reading.kubelet.print(NAME, *lines, container="trial")


def test_every_line_comes_once_though_the_server_repeats_whole_seconds(reading: Reading) -> None:
    start(reading)
    said, read = [], []
    for number in range(40):
        # Some lines have the very same time as the one before, some fall into another second.
        reading.cluster.clock.time += (0.0, 0.3, 0.0, 1.1)[number % 4]
        say(reading, f"line {number}")
        said.append(f"line {number}")
        if number % 3 == 0:
            read += reading.lines()
    reading.kubelet.exit(NAME)
    last = reading.chunk()
    assert read + [line.decode() for line in last.lines] == said and last.drained and not last.gap


def test_what_a_metrics_container_was_kept_from_saying_is_lost(reading: Reading) -> None:
    """It was killed in the middle of a line, and what was cut off was the value that counts."""
    start(reading)
    say(reading, "loss=2")
    uid, now = reading.kubelet.pod(NAME)["metadata"]["uid"], reading.cluster.clock.now()
    reading.cluster.server.logs.add(uid, "trial", now, b"loss=1")
    reading.kubelet.exit(NAME)
    reading.pods.kept = replace(view(reading.kubelet.pod(NAME)), torn=True)
    first = reading.chunk()
    assert first.lines == (b"loss=2",) and not first.drained
    last = reading.chunk()
    assert last == LogChunk((), reading.cursor, drained=True, gap=True, lost=True)


def test_what_was_read_is_not_asked_for_again_but_for_its_last_second(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    reading.chunk()
    reading.chunk()
    first, second = (query.get("sinceTime") for query in reading.process.queries[-2:])
    assert first is None and second == timestamp(reading.cluster.clock.now() - 1)


def test_a_reader_that_starts_anew_goes_on_from_its_cursor(reading: Reading) -> None:
    start(reading)
    say(reading, "one", "two")
    assert reading.lines() == ["one", "two"]
    say(reading, "three")
    again = PodLogs(reading.process.context, reading.logs._about, "trial", reading.pods)
    assert [line.decode() for line in again.read(KEY, reading.cursor).lines] == ["three"]


def test_only_the_primary_containers_lines_count(reading: Reading) -> None:
    start(reading)
    reading.kubelet.print(NAME, "of no interest", container="sidecar")
    say(reading, "loss=1")
    assert reading.lines() == ["loss=1"]


def test_a_line_is_taken_once_it_is_whole_and_what_has_no_end_at_the_end(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    reading.kubelet.write(NAME, b"loss=", "trial")
    assert reading.lines() == ["one"]
    reading.kubelet.exit(NAME)
    assert reading.lines() == ["loss="]


def test_what_a_pod_leaves_as_its_last_word_comes_last(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    reading.kubelet.exit(NAME, message="loss=2\nromad=3")
    chunk = reading.chunk()
    assert chunk.lines == (b"one", b"loss=2", b"romad=3") and chunk.drained


def test_after_a_failure_the_last_word_is_only_the_logs_tail(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    reading.kubelet.exit(NAME, 1, message="one")
    assert reading.lines() == ["one"]


def test_a_pod_that_has_not_started_has_said_nothing_yet(reading: Reading) -> None:
    assert reading.chunk() == LogChunk()
    reading.kubelet.schedule(NAME)
    assert reading.chunk() == LogChunk()


def test_much_comes_in_pages_that_go_on_where_the_last_one_ended(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "MOST_BYTES", 1_000)
    start(reading)
    said = [f"{number:0100}" for number in range(55)]
    say(reading, *said)
    reading.kubelet.exit(NAME)
    read, pages = [], 0
    while True:
        chunk = reading.chunk()
        read += [line.decode() for line in chunk.lines]
        pages += 1
        if chunk.drained:
            break
        assert len(chunk.lines) == 10
    assert read == said and pages == 6


def test_a_new_file_of_the_kubelet_is_a_gap_that_is_told(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    assert reading.lines() == ["one"]
    reading.cluster.clock.time += 5
    say(reading, "lost")
    reading.kubelet.rotate(NAME)
    reading.cluster.clock.time += 5
    say(reading, "three")
    chunk = reading.chunk()
    assert chunk.lines == (b"three",) and chunk.gap
    assert "may be lost" in reading.cluster.until(lambda: reading.events().get("LogGap"))


def test_a_line_of_which_only_the_end_is_read_is_told(reading: Reading) -> None:
    start(reading)
    say(reading, f"{'x' * 2 * LINE_LIMIT} loss=0.5")
    (line,) = reading.chunk().lines
    assert len(line) == LINE_LIMIT + 1 and line.endswith(b"x loss=0.5")
    assert "1 lines of Pod" in reading.cluster.until(lambda: reading.events().get("LogLineCut"))


def test_a_log_that_went_with_its_pod_is_a_gap_and_the_end(reading: Reading) -> None:
    start(reading)
    reading.kubelet.exit(NAME)
    reading.pods.kept = reading.pods.find(KEY)
    reading.kubelet.lose(NAME)
    chunk = reading.chunk()
    assert chunk.drained and chunk.gap and chunk.lost and not chunk.lines


MINUTE = 60.0


def break_log(reading: Reading, how: str) -> None:
    def begun_just_now(_pod: object, _query: object) -> bytes:
        raise no_such_pod_on_its_node(NAME)

    if how == "away":
        reading.process.cut_off = True
    elif how == "a kubelet that has just begun":
        reading.cluster.server.logs.read = begun_just_now  # type: ignore[method-assign]
    else:
        answer = b"unable to retrieve container logs for containerd://4d1f"
        reading.cluster.server.logs.read = lambda pod, query: answer  # type: ignore[method-assign]


@pytest.mark.parametrize("how", ["away", "said in place of the log", "a kubelet that has just begun"])
def test_the_end_of_a_log_is_asked_for_for_minutes_from_the_end_on(reading: Reading, how: str) -> None:
    """A Pod that ended holds no GPU, and its last lines have the value that it is judged by."""
    read = reading.cluster.server.logs.read
    start(reading)
    say(reading, "loss=2")
    assert reading.lines() == ["loss=2"]
    break_log(reading, how)
    for _ in range(30):
        assert not reading.chunk().lines
        reading.time.time += MINUTE
    reading.kubelet.exit(NAME)
    for _ in range(10):
        assert reading.chunk() == LogChunk((), reading.cursor)
        reading.time.time += MINUTE - 1
    reading.process.cut_off = False
    reading.cluster.server.logs.read = read  # type: ignore[method-assign]
    say(reading, "loss=1")
    chunk = reading.chunk()
    assert chunk.lines == (b"loss=1",) and chunk.drained and not (chunk.gap or chunk.lost)


@pytest.mark.parametrize(("code", "patience"), [(0, 10 * MINUTE), (1, 30.0)])
def test_an_end_that_stays_unreadable_is_said_to_be_so(reading: Reading, code: int, patience: float) -> None:
    start(reading)
    reading.kubelet.exit(NAME, code, message="loss=3")
    reading.process.cut_off = True
    reading.pods.kept = reading.pods.find(KEY)
    assert not reading.chunk().drained
    reading.time.time += patience
    assert not reading.chunk().drained
    reading.time.time += 1
    words = (b"loss=3",) if code == 0 else ()
    assert reading.chunk() == LogChunk(words, "", drained=True, gap=True, lost=True)


def test_a_read_waits_for_its_turn_and_gives_it_back(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    budget = reading.process.context.read_budget
    others = [(f"other-{n}", f"node-{n}") for n in range(READERS)]
    taken = [pair for pair in others if budget.take(*pair, True)]
    assert reading.lines() == [] and len(taken) == READERS
    for pair in taken:
        budget.give_back(*pair)
    assert reading.lines() == ["one"]
    assert not budget._nodes and not budget._experiments


def test_a_read_that_cannot_begin_gives_its_place_back(reading: Reading) -> None:
    start(reading)
    say(reading, "one")

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    readers = Beside(reading.cluster.clock, refuse)
    context = replace(reading.process.context, readers=readers)
    reading.logs = PodLogs(context, reading.logs._about, "trial", reading.pods, reading.time.now)
    with pytest.raises(RuntimeError):
        reading.chunk()
    budget = reading.process.context.read_budget
    assert not budget._nodes and not budget._experiments


def beside(reading: Reading) -> Beside:
    """Reads take until their next step."""
    readers = Beside(reading.cluster.clock)
    context = replace(reading.process.context, readers=readers)
    reading.logs = PodLogs(context, reading.logs._about, "trial", reading.pods, reading.time.now)
    return readers


def test_only_a_read_that_found_something_asks_for_a_turn(reading: Reading) -> None:
    start(reading)
    readers, turn = beside(reading), reading.pods.changed
    turn.clear()
    reading.chunk()
    readers.step()
    assert not turn.is_set()
    # In the next turn that read is over, and another one begins.
    say(reading, "one")
    assert reading.lines() == []
    readers.step()
    assert turn.is_set() and reading.lines() == ["one"]


def test_a_quiet_log_is_looked_at_from_when_the_read_was_over(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "SLOWEST", 5.0)
    start(reading)
    readers = beside(reading)
    reading.chunk()
    readers.step()
    reading.time.time += 1.0
    reading.chunk()
    assert readers.due() < NEVER


def test_a_pod_whose_node_is_back_is_read_as_rarely_as_others(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as lost while the node was away, and its log was to be read to the end."""
    monkeypatch.setattr(pod_logs, "SLOWEST", 5.0)
    monkeypatch.setattr(pod_logs, "FASTEST", 0.25)
    start(reading)
    readers = beside(reading)
    with monkeypatch.context() as away:
        away.setattr(reading.pods, "over", lambda _: True)
        reading.process.cut_off = True
        reading.chunk()
        readers.step()
        reading.chunk()
    reading.process.cut_off = False
    reading.time.time += 5.0
    before = len(reading.process.asked)
    for _ in range(10):
        reading.chunk()
        if readers.due() < NEVER:
            readers.step()
    assert len(reading.process.asked) == before + 1


def test_whoever_waits_for_a_reader_and_what_has_ended_get_a_turn_at_once(reading: Reading) -> None:
    start(reading)
    readers, turn = beside(reading), reading.pods.changed
    reading.chunk()
    reading.kubelet.exit(NAME)
    reading.chunk()
    turn.clear()
    readers.step()
    assert turn.is_set()
    reading.chunk()
    reading.logs._crowded = True
    turn.clear()
    readers.step()
    assert turn.is_set() and not reading.logs._crowded


def test_a_server_that_is_away_ends_nothing(reading: Reading) -> None:
    start(reading)
    say(reading, "one")
    reading.process.cut_off = True
    assert reading.chunk() == LogChunk()
    reading.kubelet.exit(NAME)
    assert not reading.chunk().drained
    reading.process.cut_off = False
    chunk = reading.chunk()
    assert chunk.lines == (b"one",) and chunk.drained


def test_a_pod_that_is_not_there_has_nothing_more_to_say(reading: Reading) -> None:
    reading.pods.absent = True
    assert reading.chunk() == LogChunk(drained=True, lost=True)
