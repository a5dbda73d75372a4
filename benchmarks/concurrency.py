"""What the operator's turns hold up, over the API server in memory: threads, and stops beside long proposals.

The longest proposals are those of TPE after 10,000 trials and of Gaussian processes; pure Python that never lets go
of the interpreter is worse than any sampler.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.lab import Lab, hangs
from tests.apiserver.operating import Operator
from tests.local.runs import experiment

from benchmarks.measure import Row, say
from kubetuna.study.study import Study
from kubetuna_operator.experiment import opened
from kubetuna_operator.kube.api_client import TokenBucket, collection
from kubetuna_operator.kube.threads import share_fairly

BUSY_SECONDS = 0.2
SPACE = {f"x{i}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(5)}
STOPS = "concurrency: from shutdown to the Pod's stop"
Proposal = Callable[[], None]
PATIENCE = 300.0


def rows(quick: bool) -> list[Row]:
    """Threads of a large installation, and what a stop waits beside long proposals."""
    many, small, large = (20, 5, 50) if quick else (200, 5, 1000)
    stops = 5 if quick else 30
    share_fairly()
    with patch.object(TokenBucket, "take", lambda self: None):
        threads = _threads(many, small, large)
        alone = _stops(stops, 0, _busy)
        beside = {name: _stops(stops, count, proposal) for name, count, proposal in _proposals(quick)}
    note = f"{many} experiments of {small} Pods and one of {large}"
    return [
        Row("concurrency: threads", threads, "", note=note),
        *_told(f"{STOPS}, alone", alone),
        *(row for name, found in beside.items() for row in _told(f"{STOPS}, beside {name}", found)),
    ]


def _told(name: str, seconds: list[float]) -> list[Row]:
    note = f"of {len(seconds)}"
    return [
        Row(f"{name}, median", statistics.median(seconds) * 1e3, "ms", note=note),
        Row(f"{name}, slowest", max(seconds) * 1e3, "ms", note=note),
    ]


def _proposals(quick: bool) -> Iterator[tuple[str, int, Proposal]]:
    """Each by its name, and how many experiments propose so without a pause."""
    many, few = (200, 50) if quick else (10_000, 300)
    yield f"four that compute {BUSY_SECONDS * 1e3:.0f} ms in pure Python", 4, _busy
    yield f"one of TPE after {many} trials", 1, _asking(optuna.samplers.TPESampler(seed=1, multivariate=True), many)
    yield f"one of Gaussian processes after {few} trials", 1, _asking(optuna.samplers.GPSampler(seed=1), few)


def _busy() -> None:
    over = time.perf_counter() + BUSY_SECONDS
    while time.perf_counter() < over:
        pass


def _asking(sampler: optuna.samplers.BaseSampler, trials: int) -> Proposal:
    """One more point of a study with so many, that are at random."""
    study, rng = optuna.create_study(sampler=sampler), random.Random(1)
    for _ in range(trials):
        params = {name: rng.random() for name in SPACE}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(SPACE), value=rng.random()))

    def ask() -> None:
        study.tell(study.ask(dict(SPACE)), 0.5)

    # What it loads is loaded once in a process.
    ask()
    return ask


@contextmanager
def _lab() -> Iterator[tuple[Lab, Operator]]:
    # A proposal that is under way as the operator is ended still writes there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
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


def _stops(count: int, proposers: int, proposal: Proposal) -> list[float]:
    """Seconds from a shutdown until the Pod is told to stop."""
    sent: dict[str, float] = {}
    with _lab() as (lab, operator), _slow_proposals(proposal):

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
def _slow_proposals(proposal: Proposal) -> Iterator[None]:
    really = Study.ask

    def ask(self: Study, ordinal: int) -> None:
        if self.spec.name.startswith("slow"):
            proposal()
        really(self, ordinal)

    slow: Any = property(lambda self: self._reconciler.spec.name.startswith("slow"))
    with patch.object(Study, "ask", ask), patch.object(opened.OpenExperiment, "slow", slow):
        yield
