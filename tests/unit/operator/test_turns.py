"""Experiments as keys of a work queue: what a turn does and costs, and what is never done twice or too early."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kubetuna.errors import StoreUnavailable
from kubetuna.study.study import Study
from kubetuna_operator import LABEL_ATTEMPT
from kubetuna_operator.experiment import controller, opened, run
from kubetuna_operator.experiment.status_renderer import BEHIND
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.failures import Failure, forbidden
from tests.apiserver.lab import SMALL, Lab, curve, gone, hangs
from tests.apiserver.objects import Change
from tests.apiserver.operating import OnDemand
from tests.apiserver.resources import EXPERIMENTS, PODS, Object
from tests.local.runs import experiment


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which Experiments' openings_ were opened."""
    found: list[str] = []
    really = run.open_experiment

    def noted(context: Any, ref: Any, *more: Any) -> Any:
        found.append(ref.owner.name)
        return really(context, ref, *more)

    monkeypatch.setattr(run, "open_experiment", noted)
    return found


def put(lab: Lab, name: str, **spec: Any) -> None:
    document = json.loads(experiment("", **spec))
    document["metadata"]["name"] = name
    lab.api.apply(f"{collection('experiments', NAMESPACE)}/{name}", document, "test")


def statuses(lab: Lab) -> dict[str, dict[str, Any]]:
    items = lab.api.get(collection("experiments", NAMESPACE))["items"]
    return {e["metadata"]["name"]: e.get("status") or {} for e in items}


def test_what_has_ended_is_not_opened_again_and_loses_nothing_while_the_database_is_away(
    lab: Lab, openings: list[str], tmp_path: Path
) -> None:
    lab.operator()
    for number in range(10):
        put(lab, f"e{number}", maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: {s.get("state") for s in statuses(lab).values()} == {"Succeeded"} and not lab.pods())
    lab.operators.pop().kill()
    before = statuses(lab)
    openings.clear()
    (tmp_path / "study.db").rename(tmp_path / "away.db")
    (tmp_path / "study.db").mkdir()
    operator = lab.operator()
    put(lab, "small", maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: openings == ["small"] * 3)
    assert {name: status for name, status in statuses(lab).items() if name != "small"} == before
    (tmp_path / "study.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "study.db")
    lab.api.merge(f"{collection('experiments', NAMESPACE)}/e3", {"spec": {"maxTrialCount": 2}})
    lab.until(lambda: statuses(lab)["e3"].get("trialsSucceeded") == 2 and lab.status().get("state") == "Succeeded")
    assert set(openings) == {"small", "e3"}
    lab.until(lambda: operator.controller.due() is None)


def test_an_experiment_that_ended_is_opened_again_where_a_pod_of_its_was_left(
    lab: Lab, openings: list[str]
) -> None:
    """The process died before it had deleted it."""
    first = lab.operator()
    first.before = lambda method, path: first.__dict__.update(cut_off=method == "DELETE" or first.cut_off)
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: first.cut_off)
    first.kill()
    first.before = lambda *_: None
    lab.operators.clear()
    lab.operator()
    lab.until(lambda: lab.status().get("state") == "Succeeded" and not lab.pods())
    assert len(lab.made) == 1


@pytest.mark.parametrize("retain", [False, True])
def test_a_pod_that_comes_after_its_experiment_has_ended_is_deleted(
    lab: Lab, openings: list[str], retain: bool
) -> None:
    """Its request was sent by a process that was frozen since; it would run to its own end for nobody."""
    sent: list[Object] = []

    def note(change: Change) -> None:
        if change.resource == PODS and change.before is None:
            sent.append(deepcopy(change.last))

    lab.cluster.server.objects.listen(note)
    operator, document = lab.operator(), json.loads(experiment("", maxTrialCount=1, parallelTrialCount=1))
    document["spec"]["trialTemplate"]["retain"] = retain
    lab.put(document)
    lab.ended()
    lab.until(lambda: operator.controller.due() is None and len(lab.pods()) == int(retain))
    metadata, spec = sent[0]["metadata"], {k: v for k, v in sent[0]["spec"].items() if k != "nodeName"}
    late = {k: metadata[k] for k in ("labels", "annotations", "ownerReferences")}
    late = {**late, "name": "small-0-0-1", "labels": {**late["labels"], LABEL_ATTEMPT: "1"}}
    before, lab.program = len(openings), hangs
    lab.api.create(collection("pods", NAMESPACE), {"metadata": late, "spec": spec})
    assert len(lab.pods()) == 1 + retain
    lab.until(lambda: operator.controller.due() is None and len(lab.pods()) == int(retain))
    assert len(openings) == before + 1 and lab.status()["trials"] == 1


def test_trial_objects_that_could_not_be_written_by_its_end_are_written_by_the_next_process(
    lab: Lab, openings: list[str]
) -> None:
    def refuse(method: str, path: str) -> None:
        if method != "GET" and "/trials" in path:
            raise Failure(503, "ServiceUnavailable", "etcd has no leader")

    lab.operator().before = refuse
    lab.apply(maxTrialCount=3, parallelTrialCount=1)
    lab.ended()
    lab.until(lambda: not lab.pods())
    assert not lab.shown()
    lab.operators.pop().kill()
    operator = lab.operator()
    lab.until(lambda: [t["status"]["state"] for t in lab.shown()] == ["COMPLETE"] * 3)
    lab.until(lambda: operator.controller.due() is None)
    lab.operators.pop().kill()
    openings.clear()
    operator = lab.operator()
    lab.until(lambda: operator.controller.due() is None)
    assert not openings


def test_trial_objects_that_are_refused_are_not_waited_for_for_ever(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(method: str, path: str) -> None:
        if method != "GET" and "/trials" in path:
            raise Failure(403, "Forbidden", "no")

    monkeypatch.setattr(opened, "SHOWING_SECONDS", 600.0)
    operator = lab.operator()
    operator.before = refuse
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    ended = lab.ended()
    assert ended["study"][BEHIND] is True
    lab.pace = 5.0
    lab.until(lambda: BEHIND not in lab.status()["study"])
    assert lab.status()["completionTime"] == ended["completionTime"]
    lab.until(lambda: operator.controller.due() is None)
    assert sum(method == "POST" and path.endswith("/trials") for method, path in operator.asked) <= 3


def test_what_was_not_shown_of_an_experiment_that_is_gone_never_will_be(lab: Lab) -> None:
    """Another one of its name may show something else."""

    def refuse(method: str, path: str) -> None:
        if method != "GET" and "/trials" in path:
            raise Failure(403, "Forbidden", "no")

    lab.program = hangs
    operator = lab.operator()
    operator.before = refuse
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: lab.status().get("trialsRunning") == 1)
    ((_, run),) = operator.controller._runs.items()
    objects = run._opened._trial_objects if run._opened else None
    lab.until(lambda: objects and objects.behind)
    lab.api.delete(SMALL)
    lab.until(lambda: gone(lab))
    assert objects and not objects.behind


def test_no_trial_is_left_open_where_its_pod_does_not_go_in_time(lab: Lab) -> None:
    """Its node does not answer, say, and never will."""
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: lab.status().get("trialsRunning") == 1)
    lab.cluster.kubelet.silent.add("node-1")
    lab.api.delete(SMALL)
    lab.pace = 5.0
    lab.until(lambda: gone(lab))
    assert [(t.state, t.outcome) for t in lab.trials()] == [("FAIL", "Deleted")]


def test_a_launch_is_not_tried_again_while_nobody_knows_whose_the_study_is(lab: Lab, tmp_path: Path) -> None:
    tried: list[float] = []

    def refuse(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/pods"):
            tried.append(lab.cluster.clock.now())
            raise Failure(403, "Forbidden", 'pods "small-0-0-0" is forbidden: exceeded quota: small')

    operator = lab.operator()
    operator.before = refuse
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: len(tried) == 2)
    (tmp_path / "study.db").rename(tmp_path / "away.db")
    (tmp_path / "study.db").mkdir()
    for _ in range(1_000):
        lab.drive()
    assert len(tried) == 2
    (tmp_path / "study.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "study.db")
    lab.until(lambda: len(tried) > 2)


def test_what_ended_is_deleted_without_its_study(lab: Lab, openings: list[str], tmp_path: Path) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.ended()
    lab.until(lambda: not lab.pods())
    lab.operators.pop().kill()
    (tmp_path / "study.db").unlink()
    openings.clear()
    lab.operator()
    lab.api.delete(SMALL)
    lab.until(lambda: gone(lab))
    assert not openings


def test_an_edit_that_nobody_saw_before_a_deletion_is_none_that_ended(lab: Lab, openings: list[str]) -> None:
    """Its trials may run, and have to be told."""
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.ended()
    lab.operators.pop().kill()
    lab.api.merge(SMALL, {"spec": {"maxTrialCount": 3}})
    lab.api.delete(SMALL)
    openings.clear()
    lab.operator()
    lab.until(lambda: gone(lab))
    assert openings == ["small"]


def test_a_turn_that_fails_for_a_reason_nobody_foresaw_says_so_and_comes_again_later_each_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: list[float] = []
    broken = [True]
    really = opened.OpenExperiment.step

    def step(self: Any) -> Any:
        if broken[0]:
            at.append(lab.cluster.clock.now())
            raise ZeroDivisionError("at postgresql://me:hunter2@db with password=swordfish " + "x" * 999)
        return really(self)

    monkeypatch.setattr(opened.OpenExperiment, "step", step)
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.pace = 0.5
    lab.until(lambda: len(at) == 6)
    waits = [round(later - before) for before, later in pairwise(at)]
    assert waits == [1, 2, 4, 8, 16]
    (stalled,) = (c for c in lab.status()["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "TurnFailed")
    assert "ZeroDivisionError" in stalled["message"] and len(stalled["message"]) < 500
    assert "hunter2" not in stalled["message"] and "swordfish" not in stalled["message"]
    broken[0] = False
    assert lab.ended()["state"] == "Succeeded" and lab.conditions()["Stalled"][0] == "False"


def test_a_database_that_goes_away_is_a_condition_beside_all_that_is_known(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=3, parallelTrialCount=2)
    lab.until(lambda: lab.status().get("trialsRunning") == 2)
    lab.operators.pop().kill()
    at: list[float] = []

    def away(*_: Any) -> None:
        at.append(lab.cluster.clock.now())
        raise StoreUnavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(run, "open_experiment", away)
        lab.operator()
        lab.pace = 0.5
        lab.until(lambda: len(at) == 7)
        assert [round(b - a) for a, b in pairwise(at)] == [1, 2, 4, 8, 10, 10]
        assert lab.conditions()["StoreReady"] == ("False", StoreUnavailable.public)
        assert lab.status()["state"] == "Running" and lab.status()["trialsRunning"] == 2
    lab.program = curve
    assert lab.ended()["trialsSucceeded"] == 3 and len(lab.made) == 3


def test_nothing_is_done_twice_at_once_for_one_experiment(lab: Lab, openings: list[str]) -> None:
    """An edit comes while its study is being opened: it waits for that, and holds up nobody."""
    kept = OnDemand()
    operator = lab.operator(openings=kept)
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: len(kept.kept) == 1)
    lab.api.merge(SMALL, {"spec": {"maxTrialCount": 2}})
    lab.until(
        lambda: (
            operator.controller.watches[NAMESPACE].experiment((NAMESPACE, "small"))["spec"]["maxTrialCount"] == 2
        )
    )
    operator.turns()
    assert len(kept.kept) == 1 and not operator.controller.hanging()
    kept.do()
    operator.turns()
    assert len(kept.kept) == 1, "now the one of the edit"
    assert openings == ["small"]

    def done() -> bool:
        kept.do()
        return lab.status().get("state") == "Succeeded"

    lab.until(done)
    assert lab.status()["trialsSucceeded"] == 2 and openings == ["small"] * 2


def test_a_deletion_ends_in_time_though_the_study_is_still_being_opened(lab: Lab) -> None:
    kept = OnDemand()
    operator = lab.operator(openings=kept)
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: kept.kept)
    lab.api.delete(SMALL)
    lab.pace = 2.0
    lab.until(lambda: gone(lab))
    kept.do()
    operator.turns()
    assert not lab.made


def test_a_refusal_is_said_and_tried_again(lab: Lab) -> None:
    operator = lab.operator()
    refused = forbidden(EXPERIMENTS, "small", "no Role")

    def deny(method: str, path: str) -> None:
        if (method, path) == ("PATCH", SMALL):
            raise refused

    operator.before = deny
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: "no Role" in lab.conditions().get("Stalled", ("", ""))[1])
    operator.before = lambda *_: None
    lab.pace = 2.0
    began = lab.cluster.clock.now()
    assert lab.ended()["state"] == "Succeeded"
    assert lab.cluster.clock.now() - began <= controller.REFUSED_WAIT + 30


def test_who_is_fenced_gives_no_further_turn(lab: Lab) -> None:
    lab.program = hangs
    first = lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    lab.operators.clear()
    lab.operator()
    lab.until(lambda: lab.status().get("trialsRunning") == 2)
    lab.operators.append(first)
    lab.program = curve
    lab.until(first.fenced.is_set)
    assert not first.controller.step()
    lab.operators.remove(first)
    assert lab.ended()["trialsSucceeded"] == 2 and len(lab.made) == 2
    first.kill()


def test_before_anything_was_listed_anew_a_leader_does_nothing(lab: Lab, openings: list[str]) -> None:
    """A watch may have been silent: what it does not know must not be taken for gone."""
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    lab.operators.pop().kill()
    openings.clear()
    second = lab.operator()
    lab.until(lambda: openings)
    openings.clear()
    before = second.asked.count(("GET", collection("pods", NAMESPACE)))
    silent = threading.Event()
    second.before = lambda method, path: silent.wait(10) and None if path == collection("pods", NAMESPACE) else None
    second.controller.lead()
    second.controller.watch()
    second.controller._queue.add((NAMESPACE, "small"))
    second.turns()
    assert not second.controller.ready().good and not openings
    silent.set()
    lab.until(lambda: openings)
    assert second.asked.count(("GET", collection("pods", NAMESPACE))) > before
    lab.program = curve
    assert lab.ended()["trialsSucceeded"] == 2 and len(lab.made) == 2


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """All but the first proposal for an experiment called slow-N take until this is set."""
    over = threading.Event()
    really = Study.ask

    def ask(self: Study, ordinal: int) -> None:
        if self.spec.name.startswith("slow") and ordinal:
            assert over.wait(60)
        really(self, ordinal)

    monkeypatch.setattr(Study, "ask", ask)
    monkeypatch.setattr(opened, "FEW_TRIALS", 1)
    yield over
    over.set()


def test_however_many_long_proposals_hold_up_no_other_experiment(lab: Lab, slow: threading.Event) -> None:
    """Neither its start nor its stop nor its end, and whatever was known of them before."""
    lab.program = lambda pod: (curve if pod["metadata"]["name"].startswith("slow") else hangs)(pod)
    lab.threaded()
    put(lab, "stopped", maxTrialCount=1, parallelTrialCount=1)
    count = controller.WORKERS + 2
    for number in range(count):
        put(lab, f"slow-{number}", maxTrialCount=2, parallelTrialCount=1)
    lab.until(lambda: sum(status.get("trialsSucceeded", 0) for status in statuses(lab).values()) == count)
    lab.api.merge(f"{collection('experiments', NAMESPACE)}/stopped", {"spec": {"shutdown": True}})
    lab.until(lambda: statuses(lab)["stopped"].get("state") == "Failed")
    lab.program = curve
    put(lab, "quick", maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: statuses(lab)["quick"].get("state") == "Succeeded")
    assert len(lab.made) == count + 2
    slow.set()
    lab.until(lambda: len(lab.made) == 2 * count + 2)


def test_a_worker_makes_no_further_proposal_once_one_took_long(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = [[]]
    really = Study.ask

    def ask(self: Study, ordinal: int) -> None:
        lab.cluster.clock.time += 2 * opened.SLOW_SECONDS
        made[-1].append("asked")
        really(self, ordinal)

    def noted(how: str) -> None:
        step = getattr(opened.OpenExperiment, how)

        def one(self: opened.OpenExperiment) -> Any:
            made.append([how])
            return step(self)

        monkeypatch.setattr(opened.OpenExperiment, how, one)

    monkeypatch.setattr(Study, "ask", ask)
    noted("step")
    noted("slow_step")
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=5, parallelTrialCount=5)
    lab.until(lab.running(5))
    assert [turn for turn in made if "asked" in turn] == [["step", "asked"], *[["slow_step", "asked"]] * 4]


def test_a_namespace_whose_requests_hang_holds_up_no_other(lab: Lab) -> None:
    """Such as one with a webhook that does not answer."""
    over, other = threading.Event(), collection("experiments", "other")
    lab.api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    operator = lab.threaded("one", None)

    def hang(method: str, path: str) -> None:
        if method == "PATCH" and path.startswith(f"{other}/"):
            assert over.wait(60)

    operator.before = hang
    for number in range(controller.WORKERS + 2):
        document = json.loads(experiment(""))
        document["metadata"] = {"name": f"e{number}", "namespace": "other"}
        lab.api.create(other, document)
    lab.until(lambda: operator.controller.hanging() > 0)
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    assert lab.ended()["state"] == "Succeeded"
    over.set()


def test_the_number_of_threads_does_not_grow_with_that_of_experiments(lab: Lab) -> None:
    lab.program = hangs
    before = threading.active_count()
    lab.threaded()
    for number in range(45):
        put(lab, f"e{number}", maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: len(lab.made) == 45)
    assert threading.active_count() - before <= 40
