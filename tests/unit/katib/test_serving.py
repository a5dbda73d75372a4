"""Katib's Experiments in a cluster in memory: made, edited, refused, deleted, and shown as Katib shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubetuna.parsing.parse import KATIB
from kubetuna_operator.katib.controller import EXPERIMENTS, TRIALS, KatibController
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.lab import SMALL, Lab, curve, gone, hangs
from tests.apiserver.operating import ByHand
from tests.apiserver.programs import Program
from tests.local.runs import experiment

THEIRS = f"{collection(EXPERIMENTS, NAMESPACE)}/small"
ENDED = ("Succeeded", "Failed")


class KatibLab(Lab):
    """With an operator that serves Katib's group."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.serve()

    def serve(self) -> ByHand:
        """Start one, by hand but for its watches."""
        operator = self.operator()
        served = KatibController(operator.context, (NAMESPACE,))
        for watches in served._watches:
            for watch in watches.all:
                watch.start()
                operator._watches.append(watch)
        turns = operator.turns

        def both() -> None:
            turns()
            while served.step():
                pass

        operator.turns = both  # type: ignore[method-assign]
        return operator

    def submit(self, **spec: Any) -> dict[str, Any]:
        """As Katib's SDK creates one."""
        document = json.loads(experiment("", maxTrialCount=3, parallelTrialCount=2, **spec))
        document["apiVersion"] = KATIB
        return self.api.create(collection(EXPERIMENTS, NAMESPACE), document)

    def shown_status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(THEIRS).get("status") or {}
        return found

    def holds(self, condition: str) -> bool:
        """What Katib's SDK asks."""
        found = self.shown_status().get("conditions") or ()
        return any(c["type"] == condition and c["status"] == "True" for c in found)

    def said(self) -> str:
        """What the condition says that stands for the state."""
        return str((self.shown_status().get("conditions") or [{}])[-1].get("message", ""))

    def their_trials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(collection(TRIALS, NAMESPACE))["items"]
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[KatibLab]:
    made = KatibLab(tmp_path)
    yield made
    made.close()


def test_an_experiment_of_katibs_is_carried_out_and_shown_as_katib_shows_it(lab: KatibLab) -> None:
    theirs = lab.submit()
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)
    status, ours = lab.shown_status(), lab.api.get(SMALL)
    assert ours["metadata"]["ownerReferences"][0]["uid"] == theirs["metadata"]["uid"]
    assert (status["trials"], status["trialsSucceeded"]) == (3, 3) and not lab.holds("Running")
    assert status["conditions"][-1]["type"] == "Succeeded" and status["startTime"] and status["completionTime"]
    best = status["currentOptimalTrial"]
    assert best["bestTrialName"] == ours["status"]["currentOptimalTrial"]["bestTrialName"]
    assert [p["name"] for p in best["parameterAssignments"]] == ["x"]
    assert {"name", "latest", "min", "max"} == best["observation"]["metrics"][0].keys()


def test_its_trials_are_katibs_and_say_lowest_highest_and_latest(lab: KatibLab) -> None:
    lab.program = lambda pod: Program(tuple(json.dumps({"step": s, "loss": v}) for s, v in enumerate((3, 1, 2), 1)))
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)
    for trial in lab.their_trials():
        assert trial["metadata"]["labels"] == {"katib.kubeflow.org/experiment": "small"}
        assert trial["status"]["observation"]["metrics"] == [
            {"name": "loss", "latest": "2.0", "min": "1.0", "max": "3.0"}
        ]
        assert [(c["type"], c["status"]) for c in trial["status"]["conditions"]] == [
            ("Created", "True"), ("Running", "False"), ("Succeeded", "True"),
        ]  # fmt: skip
        assert trial["spec"]["parameterAssignments"][0]["name"] == "x"


def test_a_failed_trial_and_a_failed_experiment_are_failed_in_katibs_words(lab: KatibLab) -> None:
    lab.program = lambda pod: Program(("starting",), 3)
    lab.submit(maxFailedTrialCount=1)
    lab.until(lambda: lab.holds("Failed") and lab.shown_status().get("failedTrialList"))
    assert not lab.holds("Succeeded")


def test_a_budget_is_edited_through_katibs_object(lab: KatibLab) -> None:
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    lab.api.merge(THEIRS, {"spec": {"maxTrialCount": 5}})
    lab.until(lambda: lab.holds("Succeeded") and lab.shown_status().get("trialsSucceeded") == 5)


def test_what_cannot_be_is_said_in_katibs_status_with_its_field(lab: KatibLab) -> None:
    lab.submit(algorithm={"algorithmName": "enas"})
    lab.until(lambda: lab.holds("Failed"))
    assert "spec.algorithm.algorithmName" in lab.said()
    assert gone(lab) and not lab.made


def test_deleting_it_deletes_ours_and_its_trials(lab: KatibLab) -> None:
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    lab.api.delete(THEIRS)
    lab.until(lambda: gone(lab) and not lab.pods() and not lab.their_trials())


def test_one_made_anew_under_the_same_name_starts_afresh(lab: KatibLab) -> None:
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    lab.api.delete(THEIRS)
    again = lab.submit()
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)
    assert lab.api.get(SMALL)["metadata"]["ownerReferences"][0]["uid"] == again["metadata"]["uid"]
    assert {t["metadata"]["ownerReferences"][0]["uid"] for t in lab.their_trials()} == {again["metadata"]["uid"]}


def test_an_experiment_of_ours_by_that_name_is_not_touched(lab: KatibLab) -> None:
    lab.program = hangs
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    before = lab.api.get(SMALL)["spec"]
    lab.submit()
    lab.until(lambda: lab.holds("Failed"))
    assert "is there already" in lab.said()
    assert lab.api.get(SMALL)["spec"] == before


def test_an_operator_that_was_killed_is_followed_by_one_that_shows_the_same(lab: KatibLab) -> None:
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    lab.operators[0].kill()
    lab.program = curve
    lab.serve()
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)
    assert len(lab.made) == 3


def test_an_edit_that_may_not_be_changes_nothing_and_is_said(lab: KatibLab) -> None:
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    uid = lab.api.get(SMALL)["metadata"]["uid"]
    lab.api.merge(THEIRS, {"spec": {"objective": {"type": "maximize"}}})
    lab.until(lambda: "spec.objective" in lab.said())
    assert lab.api.get(SMALL)["metadata"]["uid"] == uid and len(lab.pods()) == 2
