"""Whole experiments under the operator's own study and transport, with no cluster but one in memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from kubetuna.errors import SpecError
from kubetuna.experiment.kinds import JOB
from kubetuna.parsing.parse import parse_file_text, refuse_on_laptop
from kubetuna.store.database import open_engine
from kubetuna.store.reader import study_names
from kubetuna_operator import FINALIZER, LABEL_TOLD
from kubetuna_operator.experiment import run
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.lab import SMALL, Lab, curve, gone, hangs
from tests.apiserver.programs import Program
from tests.apiserver.resources import PODS, Object
from tests.local.runs import experiment


@pytest.mark.parametrize("kind", ["operator", "threaded"])
def test_an_experiment_goes_from_apply_to_its_best_parameters(lab: Lab, kind: str) -> None:
    getattr(lab, kind)()
    lab.apply(maxTrialCount=4)
    status = lab.ended()
    trials = lab.trials()
    assert (status["state"], status["trials"], status["trialsSucceeded"]) == ("Succeeded", 4, 4)
    lowest = min(trials, key=lambda t: (t.values or (9.0,))[0])
    assert status["currentOptimalTrial"]["number"] == lowest.number
    assert [[step for step, _ in t.steps] for t in trials] == [[1, 2, 3, 4, 5]] * 4
    assert sorted(lab.made) == [f"small-{number}-0-0" for number in range(4)]
    assert lab.api.get(SMALL)["metadata"]["finalizers"] == [FINALIZER]
    assert {name: value for name, (value, _) in lab.conditions().items()} == {
        "Accepted": "True", "Created": "True", "Running": "False", "Succeeded": "True", "Failed": "False",
        "Suspended": "False", "StoreReady": "True", "Stalled": "False", "Restarting": "False",
    }  # fmt: skip
    assert [t["status"]["state"] for t in lab.shown()] == ["COMPLETE"] * 4
    lab.until(lambda: not lab.pods())
    assert {"Succeeded", "NewBest"} <= lab.events().keys()


def test_lines_are_read_while_a_trial_runs_and_a_pruned_one_is_stopped_through_its_deadline(lab: Lab) -> None:
    lab.program = hangs
    pruner = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 0.0}]}
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1, earlyStopping=pruner)
    assert lab.until(lambda: [p["status"]["reason"] for p in lab.pods() if p["status"].get("reason")]) == [
        "DeadlineExceeded"
    ]
    lab.ended()
    (trial,) = lab.trials()
    assert (trial.state, trial.outcome) == ("PRUNED", "Pruned") and trial.steps


def test_another_operator_takes_over_what_runs_and_the_first_one_is_fenced(lab: Lab) -> None:
    lab.program = hangs
    first = lab.operator("first")
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    second = lab.operator("second")
    lab.until(lambda: ("GET", f"{collection('pods', NAMESPACE)}/small-0-0-0/log") in second.asked)
    lab.program = curve
    status = lab.ended()
    assert (status["trialsSucceeded"], sorted(lab.made)) == (2, ["small-0-0-0", "small-1-0-0"])
    assert lab.until(first.fenced.is_set) and not second.fenced.is_set()
    assert {len(t.attempts) for t in lab.trials()} == {1}


def test_an_operator_that_was_killed_is_followed_by_one_that_loses_and_repeats_nothing(lab: Lab) -> None:
    lab.program = hangs
    first = lab.operator("first")
    lab.apply(maxTrialCount=3)
    lab.until(lab.running(2))
    first.kill()
    lab.program = curve
    lab.until(lambda: all(p["status"]["phase"] == "Succeeded" for p in lab.pods()))
    lab.operator("second")
    assert lab.ended()["trialsSucceeded"] == 3
    assert sorted(lab.made) == [f"small-{number}-0-0" for number in range(3)]


def test_a_job_template_makes_one_job_for_every_attempt(lab: Lab) -> None:
    document = json.loads(experiment("", maxTrialCount=3))
    template = document["spec"]["trialTemplate"]
    pod = template["trialSpec"]["spec"]
    template["trialSpec"] = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
    lab.operator()
    lab.put(document)
    jobs: dict[str, Any] = {}

    def watched() -> bool:
        jobs.update({j["metadata"]["name"]: j["spec"] for j in lab.api.get(JOB.collection(NAMESPACE))["items"]})
        return lab.status().get("state") == "Succeeded"

    lab.until(watched)
    assert sorted(jobs) == ["small-0-0-0", "small-1-0-0", "small-2-0-0"]
    assert {spec["backoffLimit"] for spec in jobs.values()} == {0} and len(lab.made) == 3
    assert [len(t.steps) for t in lab.trials()] == [5, 5, 5]
    lab.until(lambda: not lab.pods() and not lab.api.get(JOB.collection(NAMESPACE))["items"])


def test_deleting_an_experiment_stops_its_pods_tells_its_trials_and_keeps_its_study(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    lab.api.delete(SMALL)
    lab.until(lambda: gone(lab) and not lab.pods() and not lab.shown())
    assert [(t.state, len(t.attempts)) for t in lab.trials()] == [("FAIL", 1), ("FAIL", 1)]


def test_an_experiment_made_anew_under_the_same_name_starts_afresh(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.ended()
    lab.api.delete(SMALL)
    lab.until(lambda: gone(lab))
    lab.apply(maxTrialCount=2)
    assert lab.ended()["trials"] == 2
    assert len(study_names(open_engine(lab.store))) == 2


def test_a_spec_that_cannot_be_is_told_with_its_field(lab: Lab) -> None:
    lab.operator()
    lab.apply(parameters=[{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 2, "max": 1}}])
    lab.until(lambda: lab.conditions().get("Accepted", ("", ""))[0] == "False")
    assert lab.conditions()["Accepted"][1].startswith("spec.parameters[0]") and not lab.made
    assert "SpecInvalid" in lab.until(lab.events)


def test_what_is_asked_of_an_experiment_that_was_never_accepted_is_refused_and_taken_away(lab: Lab) -> None:
    lab.operator()
    lab.apply(parameters=[{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 2, "max": 1}}])
    lab.until(lambda: lab.conditions().get("Accepted", ("", ""))[0] == "False")
    for name, line in (("mine", "retry 1"), ("yours", "stop 0")):
        note = f"request.kubetuna.dev/{name}"
        lab.api.merge(SMALL, {"metadata": {"annotations": {note: line}}})
        lab.until(lambda note=note: note not in lab.api.get(SMALL)["metadata"].get("annotations", {}))
    lab.until(lambda: len(lab.status().get("requests", ())) == 2)
    assert [(a["id"], a["accepted"]) for a in lab.status()["requests"]] == [("mine", False), ("yours", False)]
    assert "spec is not accepted" in lab.status()["requests"][0]["message"]
    assert "RequestRefused" in lab.until(lab.events) and lab.conditions()["Accepted"][0] == "False"


def test_what_was_asked_before_the_first_look_at_what_cannot_be_is_refused_too(lab: Lab) -> None:
    document = json.loads(experiment("", maxTrialCount=1, parallelTrialCount=2))
    document["metadata"]["annotations"] = {"request.kubetuna.dev/mine": "retry 1"}
    lab.put(document)
    lab.operator()
    lab.until(lambda: [a["accepted"] for a in lab.status().get("requests", ())] == [False])
    lab.until(lambda: not lab.api.get(SMALL)["metadata"].get("annotations"))


def test_what_was_refused_by_a_process_that_ended_then_is_not_refused_again(lab: Lab) -> None:
    """Its answer is in the status, and its annotation is there yet."""
    document = json.loads(experiment("", maxTrialCount=1, parallelTrialCount=2))
    lab.put(document)
    operator = lab.operator()
    lab.until(lambda: lab.conditions().get("Accepted", ("", ""))[0] == "False")
    for _ in range(2):
        lab.api.merge(SMALL, {"metadata": {"annotations": {"request.kubetuna.dev/mine": "retry 1"}}})
        lab.until(lambda: not lab.api.get(SMALL)["metadata"].get("annotations"))
        lab.until(lambda: not operator.controller._ended[NAMESPACE, "small"].answered)
        lab.until(lambda: len(lab.status().get("requests", ())) == 1)
    events = lab.api.get(collection("events", NAMESPACE))["items"]
    assert [e.get("count", 1) for e in events if e["reason"] == "RequestRefused"] == [1]


def test_a_finished_experiment_goes_on_when_it_is_given_more_trials(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    assert lab.ended()["trials"] == 1
    lab.api.merge(SMALL, {"spec": {"maxTrialCount": 3}})
    lab.until(lambda: lab.status().get("trialsSucceeded") == 3 and lab.status()["state"] == "Succeeded")
    assert "Restarting" in lab.events()


def test_an_edit_of_a_running_experiment_takes_effect_on_what_runs(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    lab.api.merge(SMALL, {"spec": {"shutdown": True}})
    status = lab.ended()
    assert (status["state"], status["observedGeneration"]) == ("Failed", 2)
    assert [(t.state, t.outcome) for t in lab.trials()] == [("PRUNED", "Stopped")] * 2


def test_pods_that_are_rejected_and_deleted_at_once_are_made_ever_later(lab: Lab) -> None:
    """Nobody sees why they were rejected, and so many a second would be too much for any API server."""

    def rejected() -> bool:
        for pod in lab.pods():
            lab.cluster.kubelet.reject(pod["metadata"]["name"], "UnexpectedAdmissionError")
            lab.cluster.server.deletion.delete(PODS, pod, {"gracePeriodSeconds": 0})
        return lab.cluster.clock.now() > began + 60.0

    lab.operator()
    began = lab.cluster.clock.now()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(rejected)
    assert 4 <= len(lab.made) <= 6 and {*lab.made} == {"small-0-0-0"}
    assert lab.ended()["trialsSucceeded"] == 1


def test_a_spec_that_cannot_be_any_more_is_shut_down_all_the_same(lab: Lab) -> None:
    """Whoever made the mistake would else have to find it before anything stops."""
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount={"max": 2})
    lab.until(lab.running(2))
    lab.api.merge(SMALL, {"spec": {"maxTrialCount": 1}})
    lab.until(lambda: lab.conditions().get("Accepted", ("", ""))[0] == "False")
    lab.api.merge(SMALL, {"spec": {"shutdown": True}})
    lab.ended()
    assert [(t.state, t.outcome) for t in lab.trials()] == [("PRUNED", "Stopped")] * 2
    assert lab.conditions()["Accepted"][0] == "False"


def test_the_finalizers_of_others_are_not_lost_even_where_they_come_in_between(lab: Lab) -> None:
    operator = lab.operator()

    def add_another(method: str, path: str) -> None:
        if (method, path) == ("PATCH", SMALL):
            operator.before = lambda *_: None
            lab.api.merge(SMALL, {"metadata": {"finalizers": ["example.com/other"]}})

    operator.before = add_another
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.ended()
    assert set(lab.api.get(SMALL)["metadata"]["finalizers"]) == {"example.com/other", FINALIZER}
    lab.api.delete(SMALL)
    lab.until(lambda: lab.api.get(SMALL)["metadata"]["finalizers"] == ["example.com/other"])


def test_failures_end_an_experiment_and_their_pods_stay_to_be_looked_at(lab: Lab) -> None:
    lab.program = lambda pod: Program(("starting",), 3)
    lab.operator()
    lab.apply(maxTrialCount=4, parallelTrialCount=1, maxFailedTrialCount=2)
    assert lab.ended()["state"] == "Failed"
    assert {t.outcome for t in lab.trials()} == {"Crashed"}
    lab.until(lambda: {LABEL_TOLD in p["metadata"]["labels"] for p in lab.pods()} == {True})
    assert "TrialFailed" in lab.events()


def test_a_lost_pod_is_a_new_attempt_and_costs_nothing(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lab.running(1))
    lab.cluster.kubelet.evict("small-0-0-0")
    lab.program = curve
    assert lab.ended()["trialsSucceeded"] == 1
    (trial,) = lab.trials()
    assert [a.outcome for a in trial.attempts] == ["Infrastructure", "Succeeded"]


def test_an_api_server_that_was_away_costs_nothing(lab: Lab) -> None:
    lab.program = hangs
    operator = lab.operator()
    lab.apply(maxTrialCount=2)
    lab.until(lab.running(2))
    operator.cut_off = True
    lab.cluster.server.cut_watches(ConnectionResetError("reset"))
    lab.program = curve
    lab.until(lambda: all(p["status"]["phase"] == "Succeeded" for p in lab.pods()))
    lab.cluster.server.objects.compact()
    operator.cut_off = False
    assert lab.ended()["trialsSucceeded"] == 2 and len(lab.made) == 2


def test_pods_that_find_no_node_are_said_so_and_waited_for(lab: Lab) -> None:
    lab.program = lambda pod: None
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: lab.pods())
    lab.cluster.kubelet.find_no_node("small-0-0-0")
    lab.until(lambda: lab.conditions().get("Stalled", ("", ""))[0] == "True")
    assert "Insufficient nvidia.com/gpu" in lab.conditions()["Stalled"][1]
    assert "Insufficient nvidia.com/gpu" in lab.status()["message"], "what `kubetuna status` and kubectl show"
    since = {c["type"]: c["lastTransitionTime"] for c in lab.status()["conditions"]}
    assert since["Stalled"] > since["Created"] == since["Accepted"]
    lab.program = curve
    assert lab.ended()["state"] == "Succeeded"
    lab.until(lambda: "NoLongerStalled" in lab.events())


@pytest.fixture
def lab_without_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Its database can be reached once there is a folder for it."""
    monkeypatch.setattr(run, "LONGEST_STORE_WAIT", 0.05)
    made = Lab(tmp_path / "later")
    made.operator()
    made.apply(maxTrialCount=1, parallelTrialCount=1)
    made.until(lambda: made.conditions().get("StoreReady", ("", ""))[0] == "False")
    yield made
    made.close()


def test_nothing_is_started_before_the_database_answers(lab_without_store: Lab, tmp_path: Path) -> None:
    lab = lab_without_store
    lab.until(lambda: "StoreUnavailable" in lab.events())
    assert not lab.made and "later" not in json.dumps([lab.status(), lab.events()]), (
        "where it lies is nobody's business"
    )
    (tmp_path / "later").mkdir()
    assert lab.ended()["trialsSucceeded"] == 1 and lab.conditions()["StoreReady"][0] == "True"


def test_an_experiment_can_be_deleted_though_the_database_never_answers(lab_without_store: Lab) -> None:
    lab = lab_without_store
    lab.api.delete(SMALL)
    # It is counted from when the operator hears of the deletion.

    def much_later() -> bool:
        lab.cluster.advance(run.DELETION_STORE_SECONDS / 10)
        return gone(lab)

    lab.until(much_later)
    lab.until(lambda: "what is RUNNING in that study stays so" in lab.events().get("StudyLeftOpen", ""))


@pytest.mark.parametrize("killed", [False, True], ids=["by the same operator", "by the next one"])
@pytest.mark.parametrize(("program", "state"), [(hangs, "FAIL"), (curve, "COMPLETE")])
def test_a_deletion_waits_for_the_database_and_then_tells_how_its_trials_ended(
    lab: Lab, program: Callable[[Object], Program], state: str, killed: bool
) -> None:
    lab.program, lab.pace = lambda pod: None, 1.0
    lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.until(lab.pods)
    away = [lost_store(lab)]
    lab.program = program
    lab.until(lambda: lab.pods()[0]["status"]["phase"] == ("Running" if state == "FAIL" else "Succeeded"))
    lab.api.delete(SMALL)
    if killed:
        lab.drive()
        lab.operators.pop().kill()
        lab.operator("two")
        away.append(lost_store(lab))
    since = lab.cluster.clock.now()
    lab.until(lambda: lab.cluster.clock.now() > since + 3 * run.DELETION_SECONDS)
    assert not gone(lab)
    for back in away:
        back()
    lab.until(lambda: gone(lab))
    assert [t.state for t in lab.trials()] == [state] and "StudyLeftOpen" not in lab.events()


def lost_store(lab: Lab) -> Callable[[], None]:
    """The latest operator's database cannot be reached until what is returned is called."""
    engine = lab.operators[-1].context.store.database

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("connection refused")

    event.listen(engine, "do_connect", refuse)
    return lambda: event.remove(engine, "do_connect", refuse)


def test_an_experiment_goes_that_long_after_its_end_and_its_study_stays(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=2, ttlSecondsAfterFinished=1)
    lab.ended()
    lab.until(lambda: gone(lab) and not lab.shown() and not lab.pods())
    assert [t.state for t in lab.trials()] == ["COMPLETE"] * 2


def test_without_that_time_nothing_is_deleted_and_a_later_edit_counts_from_the_end(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1)
    lab.ended()
    lab.cluster.advance(1_000_000.0)
    assert not gone(lab)
    lab.apply(maxTrialCount=1, ttlSecondsAfterFinished=60)
    lab.until(lambda: gone(lab))


def test_on_one_machine_it_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    spec = parse_file_text(experiment("", ttlSecondsAfterFinished=60))
    with pytest.raises(SpecError, match=r"spec\.ttlSecondsAfterFinished: Forbidden: .*--set ttl"):
        refuse_on_laptop(spec)


def test_another_namespaces_study_and_the_databases_address_stay_unknown(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1, warmStart={"studies": ["other/secret"]})
    lab.until(lambda: lab.conditions().get("Accepted", ("",))[0] == "False")
    shown = json.dumps([lab.status(), lab.events()])
    assert "no study 'other/secret' in namespace 'lab'" in shown and "sqlite" not in shown
