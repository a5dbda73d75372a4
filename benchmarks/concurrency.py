"""What the operator's turns hold up, over the API server in memory: threads, and stops beside long proposals.

A proposal here is pure Python that never lets go of the interpreter, which is worse than any sampler.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.lab import Lab, hangs
from tests.apiserver.operating import Operator
from tests.local.runs import experiment

from benchmarks.measure import Row, say
from kubetuna.study.study import Study
from kubetuna_operator.experiment import opened
from kubetuna_operator.kube.api_client import TokenBucket, collection
from kubetuna_operator.kube.threads import share_fairly

PROPOSAL = 0.2
PATIENCE = 300.0


def rows(quick: bool) -> list[Row]:
    """Threads of a large installation, and what a stop waits beside long proposals."""
    many, small, large = (20, 5, 50) if quick else (200, 5, 1000)
    stops = 5 if quick else 30
    share_fairly()
    with patch.object(TokenBucket, "take", lambda self: None):
        threads = _threads(many, small, large)
        alone, beside = _stops(stops, 0), _stops(stops, 4)
    added = statistics.median(beside) - statistics.median(alone)
    note = f"4 experiments propose without a pause, {PROPOSAL * 1e3:.0f} ms each; {stops} stops"
    return [
        Row("concurrency: threads", threads, "", note=f"{many} experiments of {small} Pods and one of {large}"),
        Row(
            "concurrency: from shutdown to the Pod's stop", statistics.median(alone) * 1e3, "ms", note="alone, p50"
        ),
        Row("concurrency: what long proposals add to it", added * 1e3, "ms", note=note),
        Row("concurrency: what they add to the slowest", (max(beside) - max(alone)) * 1e3, "ms"),
    ]


@contextmanager
def _lab() -> Iterator[tuple[Lab, Operator]]:
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        lab.program = hangs
        operator = lab.threaded()
        try:
            yield lab, operator
        finally:
            operator.kill()


def _put(lab: Lab, name: str, pods: int) -> None:
    document = json.loads(experiment("", maxTrialCount=pods, parallelTrialCount=pods))
    document["metadata"]["name"] = name
    lab.api.apply(_path(name), document, "benchmark")


def _path(name: str) -> str:
    return f"{collection('experiments', NAMESPACE)}/{name}"


def _until(lab: Lab, reached: Callable[[], bool], pause: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it did not come about"
        lab.drive()
        time.sleep(pause)


def _threads(many: int, small: int, large: int) -> int:
    before = threading.active_count()
    with _lab() as (lab, _):
        for number in range(many):
            _put(lab, f"e{number}", small)
        _put(lab, "large", large)
        _until(lab, lambda: len(lab.made) == many * small + large, 1.0)
        say(f"  {len(lab.made)} Pods")
        return threading.active_count() - before


def _stops(count: int, proposers: int) -> list[float]:
    """Seconds from a shutdown until the Pod is told to stop."""
    sent: dict[str, float] = {}
    with _lab() as (lab, operator), _slow_proposals():

        def noted(method: str, path: str) -> None:
            if method == "PATCH":
                sent.setdefault(path.rpartition("/")[2], time.monotonic())

        operator.before = noted
        for number in range(proposers):
            _put(lab, f"slow{number}", 1000)
        for number in range(count):
            _put(lab, f"quick{number}", 1)
        names = [f"quick{number}" for number in range(count)]
        _until(lab, lambda: {f"{name}-0-0-0" for name in names} <= _running(lab), 0.5)
        found = []
        for name in names:
            began = time.monotonic()
            lab.api.merge(_path(name), {"spec": {"shutdown": True}})
            pod = f"{name}-0-0-0"
            while pod not in sent:
                time.sleep(0.001)
            found.append(sent[pod] - began)
        return found


def _running(lab: Lab) -> set[str]:
    return {p["metadata"]["name"] for p in lab.pods() if p["status"]["phase"] == "Running"}


@contextmanager
def _slow_proposals() -> Iterator[None]:
    really = Study.ask

    def ask(self: Study, ordinal: int) -> None:
        over = time.perf_counter() + PROPOSAL
        while self.spec.name.startswith("slow") and time.perf_counter() < over:
            pass
        really(self, ordinal)

    slow: Any = property(lambda self: self._reconciler.spec.name.startswith("slow"))
    with patch.object(Study, "ask", ask), patch.object(opened.OpenExperiment, "slow", slow):
        yield
