"""Katib's Experiments in a cluster in memory: made, edited, refused, deleted, and shown as Katib shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kubetuna.parsing.shape import KATIB
from kubetuna_operator.experiment import trial_objects
from kubetuna_operator.experiment.watches import NamespaceWatches
from kubetuna_operator.katib.controller import LATER, TRIALS, KatibController
from kubetuna_operator.katib.views import ShownTrial, see
from kubetuna_operator.katib.watches import EXPERIMENTS, TrialIndex
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.failures import Failure
from tests.apiserver.lab import SMALL, Lab, curve, gone, hangs
from tests.apiserver.operating import ByHand
from tests.apiserver.programs import Program
from tests.apiserver.resources import KATIB_TRIALS, TRAIN_JOBS, Resource
from tests.contract.test_executor import WORKLOADS
from tests.local.runs import experiment

THEIRS = f"{collection(EXPERIMENTS, NAMESPACE)}/small"


class KatibLab(Lab):
    """With an operator that serves Katib's group."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.served: list[KatibController] = []
        self.serve()

    def serve(self, before: Callable[[str, str], None] = lambda *_: None) -> ByHand:
        """Start one, by hand but for its watches; ``before`` each request it may be refused."""
        operator = self.operator()
        operator.before = before
        served = KatibController(operator.context, operator.controller.watches)
        served.watch()
        self.served.append(served)
        operator._watches += [watch for watches in served.watches.values() for watch in watches.both]
        turns = operator.turns

        def both() -> None:
            turns()
            while served.step():
                pass

        operator.turns = both  # type: ignore[method-assign]
        return operator

    def submit(self, template: Mapping[str, Any] = MappingProxyType({}), **spec: Any) -> dict[str, Any]:
        """As Katib's SDK creates one."""
        document = json.loads(experiment("", **{"maxTrialCount": 3, "parallelTrialCount": 2, **spec}))
        document["apiVersion"] = KATIB
        document["spec"]["trialTemplate"] |= template
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


Edit = Callable[[KatibLab], dict[str, Any]]


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


def names(objects: list[dict[str, Any]]) -> set[str]:
    return {one["metadata"]["name"] for one in objects}


def test_trials_of_a_runtime_bear_the_names_of_what_runs_them(lab: KatibLab) -> None:
    """Kubeflow's SDK asks for the TrainJob of a Trial's name, and for nothing if one of them is not there."""
    lab.program = hangs
    lab.submit({"trialSpec": WORKLOADS["a TrainJob"], "retain": True})
    lab.until(lambda: names(lab.their_trials()) == {"small-0-0-0", "small-1-0-0"})
    lost = next(pod for pod in lab.pods() if "small-0-0-0" in pod["metadata"]["name"])
    lab.cluster.kubelet.evict(lost["metadata"]["name"])
    lab.until(lambda: names(lab.their_trials()) == {"small-0-0-1", "small-1-0-0"})
    lab.program = curve
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)
    made = names(lab.cluster.server.objects.of(TRAIN_JOBS))
    shown = names(lab.their_trials())
    assert shown <= made and shown == {*lab.shown_status()["succeededTrialList"]}
    assert lab.shown_status()["currentOptimalTrial"]["bestTrialName"] in shown


def test_the_trial_of_an_attempt_before_goes_though_its_deletion_was_refused(lab: KatibLab) -> None:
    """Nothing of the new one's changes any more that would bring it up again."""
    refused: list[str] = []

    def refuse(method: str, path: str) -> None:
        if method == "DELETE" and path == f"{collection(TRIALS, NAMESPACE)}/small-0-0-0" and not refused:
            refused.append(path)
            raise Failure(403, "Forbidden", "a policy says no")

    lab.program = hangs
    lab.operators[-1].before = refuse
    lab.submit({"trialSpec": WORKLOADS["a TrainJob"]}, maxTrialCount=1, parallelTrialCount=1)
    lab.until(lambda: names(lab.their_trials()) == {"small-0-0-0"})
    lost = next(pod for pod in lab.pods() if "small-0-0-0" in pod["metadata"]["name"])
    lab.cluster.kubelet.evict(lost["metadata"]["name"])
    lab.until(lambda: names(lab.their_trials()) == {"small-0-0-1"})
    assert refused


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


def test_a_count_that_katibs_clients_cannot_read_is_refused(lab: KatibLab) -> None:
    lab.submit(parallelTrialCount={"min": 1, "max": 2})
    lab.until(lambda: lab.holds("Failed"))
    assert "spec.parallelTrialCount: " in lab.said() and gone(lab)


def test_metrics_that_are_pushed_are_refused_with_what_to_do(lab: KatibLab) -> None:
    """As `KatibClient.tune` asks for them: nothing would take them, and every trial would be without metrics."""
    lab.submit(metricsCollectorSpec={"collector": {"kind": "Push"}})
    lab.until(lambda: lab.holds("Failed"))
    assert "spec.metricsCollectorSpec.collector.kind" in lab.said() and "print the metrics" in lab.said()
    assert "database service" in lab.said() and gone(lab)


def test_a_watch_that_hears_nothing_and_a_turn_that_hangs_are_seen(lab: KatibLab) -> None:
    served = lab.served[-1]
    quiet = min(watch.last_event_at for watches in served.watches.values() for watch in watches.both)
    assert served.last_event_at() == quiet and served.hanging() == 0.0
    for watches in served.watches.values():
        for one, watch in enumerate(watches.both):
            watch.last_event_at = 5.0 - one
            assert served.last_event_at() == 5.0 - one


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
    assert owners(lab) == {t["metadata"]["uid"] for t in lab.shown()}


def owners(lab: KatibLab) -> set[str]:
    return {t["metadata"]["ownerReferences"][0]["uid"] for t in lab.their_trials()}


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


def no_parser(lab: KatibLab) -> dict[str, Any]:
    return {"algorithm": {"algorithmName": "enas"}}


def no_operator(lab: KatibLab) -> dict[str, Any]:
    return {"objective": {"type": "maximize"}}


def no_server(lab: KatibLab) -> dict[str, Any]:
    def refuse(method: str, path: str) -> None:
        if (method, path) == ("PATCH", SMALL):
            raise Failure(422, "Invalid", "spec.maxTrialCount: a policy says no")

    lab.operators[-1].before = refuse
    return {"maxTrialCount": 5}


REFUSALS = {
    "the parser": (no_parser, "spec.algorithm.algorithmName"),
    "the operator": (no_operator, "spec.objective"),
    "the API server": (no_server, "spec.maxTrialCount"),
}


@pytest.mark.parametrize(("edit", "field"), REFUSALS.values(), ids=REFUSALS)
def test_an_edit_that_is_refused_by(lab: KatibLab, edit: Edit, field: str) -> None:
    """It changes nothing, and is said in the condition that holds; what goes on is shown on."""
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    uid = lab.api.get(SMALL)["metadata"]["uid"]
    lab.api.merge(THEIRS, {"spec": edit(lab)})
    lab.until(lambda: field in lab.said())
    assert lab.holds("Running") and not lab.holds("Failed")
    assert lab.api.get(SMALL)["metadata"]["uid"] == uid and len(lab.pods()) == 2
    lab.until(lambda: any(field in said for said in lab.events().values()))
    lab.program = curve
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown_status().get("succeededTrialList", ())) == 3)


@pytest.mark.parametrize("edit", [no_parser, no_server], ids=["the parser", "the API server"])
def test_an_edit_after_the_end_that_is_refused_by(lab: KatibLab, edit: Edit) -> None:
    """The end stands, and an edit taken back leaves nothing behind."""
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    before = lab.api.get(THEIRS)["spec"]
    lab.api.merge(THEIRS, {"spec": edit(lab)})
    lab.until(lambda: "changes nothing" in lab.said())
    assert lab.holds("Succeeded") and not lab.holds("Failed") and lab.shown_status()["currentOptimalTrial"]
    lab.api.replace(THEIRS, {**lab.api.get(THEIRS), "spec": before})
    lab.until(lambda: "changes nothing" not in lab.said())
    assert lab.holds("Succeeded")


def test_an_edit_that_was_refused_for_a_moment_is_taken_though_its_turn_failed_as_well(lab: KatibLab) -> None:
    """The turn that is tried again at once comes in the place of the one that was to ask again."""
    refused: list[str] = []

    def refuse(method: str, path: str) -> None:
        if path in {SMALL, f"{THEIRS}/status"} - {*refused} and method == "PATCH":
            refused.append(path)
            raise Failure(403, "Forbidden", "not yet ready to handle request")

    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    lab.operators[-1].before = refuse
    lab.api.merge(THEIRS, {"spec": {"maxTrialCount": 5}})
    lab.until(lambda: lab.shown_status().get("trialsSucceeded") == 5)
    assert refused == [SMALL, f"{THEIRS}/status"]


def test_a_field_that_is_wanted_no_more_goes_from_ours(lab: KatibLab) -> None:
    lab.program = hangs
    made = lab.submit(maxFailedTrialCount=2)
    lab.until(lab.running(2))
    assert lab.api.get(SMALL)["spec"]["maxFailedTrialCount"] == 2
    del made["spec"]["maxFailedTrialCount"]
    lab.api.replace(THEIRS, {**lab.api.get(THEIRS), "spec": made["spec"]})
    lab.until(lambda: "maxFailedTrialCount" not in lab.api.get(SMALL)["spec"])


LATE = {"its status": f"{THEIRS}/status", "a Trial": f"{collection(TRIALS, NAMESPACE)}/small-0"}


@pytest.mark.parametrize("path", LATE.values(), ids=LATE)
def test_what_a_frozen_operator_sends_after_another_one_changes_nothing_of(lab: KatibLab, path: str) -> None:
    lab.program = hangs
    operator, newer = lab.operators[-1], {"conditions": [{"type": "Succeeded", "status": "True"}]}

    def freeze(method: str, asked: str) -> None:
        if (method, asked) == ("PATCH", path):
            lab.api.merge(path, {"status": newer})
            operator.cut_off = True

    operator.before = freeze
    lab.submit()
    lab.until(lambda: operator.cut_off)
    assert lab.api.get(path.removesuffix("/status"))["status"]["conditions"] == newer["conditions"]


def test_the_name_that_an_earlier_one_leaves_is_waited_for(lab: KatibLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    with monkeypatch.context() as slow:
        slow.setattr(lab.cluster.server.deletion, "collect", lambda: False)
        lab.api.delete(THEIRS)
        again = lab.submit()
        at = lab.cluster.clock.now()
        lab.until(lambda: lab.cluster.clock.now() > at + 3 * LATER)
        assert not lab.shown_status()
    lab.until(lambda: lab.holds("Succeeded"))
    assert lab.api.get(SMALL)["metadata"]["ownerReferences"][0]["uid"] == again["metadata"]["uid"]


def test_trials_that_are_refused_keep_nothing_else_from_being_shown(lab: KatibLab) -> None:
    def refuse(resource: Resource, obj: dict[str, Any]) -> None:
        if resource == KATIB_TRIALS and obj["metadata"]["name"] == "small-0":
            raise Failure(403, "Forbidden", "a policy says no")

    lab.cluster.server.writes.admissions.append(refuse)
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded") and len(lab.their_trials()) == 2)
    lab.cluster.server.writes.admissions.remove(refuse)
    lab.until(lambda: len(lab.their_trials()) == 3)


def test_what_has_ended_is_not_made_anew_by_a_field_that_katib_has_not(lab: KatibLab) -> None:
    lab.submit(ttlSecondsAfterFinished=1)
    lab.until(lambda: lab.holds("Succeeded"))
    at, uid = lab.cluster.clock.now(), lab.api.get(SMALL)["metadata"]["uid"]
    lab.until(lambda: lab.cluster.clock.now() > at + 30.0)
    assert lab.api.get(SMALL)["metadata"]["uid"] == uid


def test_a_refusal_is_told_once_and_ever_more_rarely_asked_for(lab: KatibLab) -> None:
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    lab.api.merge(THEIRS, {"spec": no_server(lab)})
    lab.until(lambda: "changes nothing" in lab.said())
    asked = lab.operators[-1].asked
    # What a watch tells meanwhile may bring a turn of its own; the wait alone counts.
    before = asked.count(("PATCH", SMALL))
    for _ in range(60):
        lab.cluster.advance(LATER)
        lab.until(lambda: True)
    assert asked.count(("PATCH", SMALL)) - before < 8, "it is asked for ever more rarely"
    told = [e for e in lab.api.get(collection("events", NAMESPACE))["items"] if e["reason"] == "SpecRefused"]
    assert [e["count"] for e in told] == [1]


def test_ours_is_not_made_again_for_one_whose_deletion_the_watch_has_not_told(
    lab: KatibLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.program = hangs
    lab.submit()
    lab.until(lab.running(2))
    (watches,) = lab.served[-1].watches.values()
    old, made = watches.theirs((NAMESPACE, "small")), list[str]()
    monkeypatch.setattr(watches, "theirs", lambda _: old)
    lab.api.delete(THEIRS)
    lab.until(lambda: gone(lab) and not lab.pods())
    lab.operators[-1].before = lambda method, asked: made.append(asked) if method in ("PATCH", "POST") else None
    at = lab.cluster.clock.now()
    lab.until(lambda: lab.cluster.clock.now() > at + 3 * LATER)
    assert gone(lab) and SMALL not in made


def test_trials_are_forgotten_with_ours(lab: KatibLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_objects, "LATEST", 2)
    lab.submit(maxTrialCount=6)
    lab.until(lambda: lab.holds("Succeeded") and len(lab.shown()) <= 3)
    ours = {t["metadata"]["uid"] for t in lab.shown()}
    lab.until(lambda: owners(lab) == ours and len(lab.their_trials()) == len(ours))
    assert lab.shown_status()["trialsSucceeded"] == 6


def test_one_that_came_before_ours_could_be_read_is_carried_out_once_they_can(
    lab: KatibLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watches begin one after the other, and the first may have told of it already."""
    with monkeypatch.context() as unread:
        unread.setattr(NamespaceWatches, "readable", False)
        lab.submit()
        at = lab.cluster.clock.now()
        lab.until(lambda: lab.cluster.clock.now() > at + 3 * LATER)
    assert not lab.api.get(collection("experiments", NAMESPACE))["items"]
    for watches in lab.operators[-1].controller.watches.values():
        watches._turned()
    lab.until(lambda: lab.holds("Succeeded"))


def test_a_watch_that_is_refused_is_named(lab: KatibLab) -> None:
    def refuse(method: str, path: str) -> None:
        if path == collection(EXPERIMENTS, NAMESPACE):
            raise Failure(403, "Forbidden", "experiments.kubeflow.org is forbidden: no rights")

    assert lab.served[-1].refusals() == ()
    lab.serve(refuse)
    lab.until(lambda: "no rights" in "".join(lab.served[-1].refusals()))


def test_ours_are_watched_once(lab: KatibLab) -> None:
    lab.submit()
    lab.until(lambda: lab.holds("Succeeded"))
    asked = [path for method, path in lab.operators[-1].asked if method == "GET"]
    shared, alone = collection("experiments", NAMESPACE), collection(EXPERIMENTS, NAMESPACE)
    assert asked.count(shared) == asked.count(alone) == 2


def test_the_index_of_trials_holds_what_there_is_and_nothing_else() -> None:
    def seen(name: str, owner: str, number: int = 0) -> ShownTrial:
        metadata = {"name": name, "uid": f"u-{name}", "ownerReferences": [{"uid": owner}]}
        return see({"metadata": metadata, "status": {"number": number}}, "label")

    index = TrialIndex()
    first, moved, changed = seen("a-0", "one"), seen("a-0", "two"), seen("b-0", "two", 1)
    index.update(("n", "a-0"), None, first)
    index.update(("n", "b-0"), None, seen("b-0", "two"))
    index.update(("n", "b-0"), seen("b-0", "two"), changed)
    assert (index.of("one"), index.of("two")) == ([first], [changed])
    index.update(("n", "a-0"), first, moved)
    assert (index.of("one"), index.of("two")) == ([], [changed, moved])
    index.update(("n", "a-0"), moved, None)
    index.update(("n", "b-0"), changed, None)
    assert not index._found
