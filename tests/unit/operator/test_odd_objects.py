"""Objects of the API server with anything dropped, empty, of a wrong type or absurdly large: no watch may end."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubetuna.errors import SpecError
from kubetuna.experiment.kinds import KINDS
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.shape import KATIB
from kubetuna.trials.attempts import AttemptKey, AttemptRequest, ExitFacts
from kubetuna.trials.outcome import Reading, classify
from kubetuna_operator import (
    ANNOTATION_EXPERIMENT,
    ANNOTATION_FAILURE,
    ANNOTATION_PARAMS,
    ANNOTATION_TIMEOUT,
    LABEL_EXPERIMENT,
)
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.experiment.trial_objects import _status, written
from kubetuna_operator.katib.controller import _migrated
from kubetuna_operator.katib.views import experiment_status, refusal, see
from kubetuna_operator.katib.views import trial as katib_trial
from kubetuna_operator.katib.watches import owners_of
from kubetuna_operator.kube import reflector
from kubetuna_operator.kube.api_client import Api, Refused
from kubetuna_operator.kube.deferred_writes import WORKERS, DeferredWrites
from kubetuna_operator.kube.leader import Leadership
from kubetuna_operator.kube.objects import Owner, Unreadable, experiment, text
from kubetuna_operator.kube.reflector import Reflector
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.status import facts, view
from kubetuna_operator.pods.warnings import latest
from kubetuna_operator.workloads.executor import PodExecutor
from kubetuna_operator.workloads.ownership import age, is_own
from tests.fakes import FakeClock
from tests.odd import ABSURD, mutated
from tests.report.studies import trial
from tests.spec_table import JOB as JOB_TEMPLATE
from tests.spec_table import TRIAL as TEMPLATE
from tests.spec_table import document
from tests.unit.operator.pods import DELETED, RUNNING, STARTED, disruption, ended, pod, waiting
from tests.unit.operator.test_reflector import event, page

OWNER = Owner("lab", "small", "owner")
OWNED = {"ownerReferences": [{"kind": "Experiment", "name": "small", "uid": "owner"}]}
NOTES = {
    ANNOTATION_TIMEOUT: "90",
    ANNOTATION_EXPERIMENT: "owner",
    ANNOTATION_PARAMS: "hash",
    ANNOTATION_FAILURE: json.dumps({"reason": "Deleted", "message": "Pod a"}),
}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
JOB_OWNER = {"ownerReferences": [{"kind": "Job", "name": "small-3-0-1", "uid": "job"}]}

PODS = [
    pod("Running", RUNNING, metadata={"annotations": NOTES}),
    pod("Failed", ended(137, "OOMKilled", "killed"), metadata={**DELETED, **JOB_OWNER}),
    pod("Failed", ended(143), conditions=(disruption("PreemptionByScheduler"),), reason="Evicted", message="disk"),
    pod("Failed", waiting("PodInitializing"), inits={"fetch": ended(7, message="no such dataset")}),
    pod("Pending", waiting("ErrImagePull", "no such image"), conditions=(UNSCHEDULED,)),
]
META = {"namespace": "lab", "name": "small", "uid": "owner", "resourceVersion": "7", "generation": 2}
CONDITION = {"type": "Failed", "status": "True", "reason": "Ended", "message": "", "lastTransitionTime": STARTED}
EXPERIMENT = {
    **document({}),
    "metadata": {**META, "finalizers": ["kubetuna.dev/study"]},
    "status": {"state": "Running", "trials": 3, "conditions": [CONDITION]},
}
TRIAL = {"metadata": {**META, **OWNED}, "status": _status(replace(trial(0), series={"returns": [0.1]}))}
JOB = {"metadata": {**META, **OWNED}, "status": {"conditions": [CONDITION]}}
KATIB_EXPERIMENT = {**EXPERIMENT, "apiVersion": KATIB, "metadata": META}
LEASE = {
    "metadata": META,
    "spec": {"holderIdentity": "kubetuna-operator-1", "renewTime": STARTED, "leaseTransitions": 3},
}

EVENT = {"reason": "FailedMount", "message": 'secret "token" not found', "lastTimestamp": STARTED, "series": {}}
EVENTS = {"items": [EVENT, {**EVENT, "eventTime": STARTED, "series": {"lastObservedTime": STARTED}}]}

WATCHED: dict[str, tuple[list[dict[str, Any]], Callable[[Any], object]]] = {
    "pods": (PODS, view),
    "experiments": ([EXPERIMENT], experiment),
}


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reflector, "FIRST_WAIT", 0.001)
        yield


class Answers(Api):
    """Answers every request for a Lease, or for a Pod, with one object."""

    def __init__(self, lease: Any, holder: Any) -> None:
        self._lease, self._holder = lease, holder

    def get(self, path: str, **query: object) -> Any:
        return copy.deepcopy(self._lease if "/leases/" in path else self._holder)

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return dict(body)


def see_pod(found: Any) -> None:
    """Everything that is made of a Pod, down to what its trial is told."""
    for now in (0.0, 1e12):
        seen = facts(view(found), now)
        classify(seen.exit or ExitFacts(), None, "go", Reading({"loss": 0.5}))
        hash(view(found).key)
        assert isinstance(age(view(found)) < age(view(PODS[0])), bool)
        json.dumps([seen.created, seen.started, seen.ended, seen.node, seen.waiting], allow_nan=False)
    for kind in KINDS.values():
        is_own(view(found), OWNER, kind, "hash")
    index = PodIndex()
    for before, after in ((None, PODS[0]), (PODS[0], found), (None, found), (found, None)):
        index.update(("lab", "pod"), before and view(before), after and view(after))
    assert index.running() == {}


def see_experiment(found: Any) -> None:
    """What the controller and a runner rely on."""
    made = experiment(found)
    metadata, status = made["metadata"], made["status"]
    assert all(text(metadata[name]) for name in ("namespace", "name", "uid", "resourceVersion"))
    assert isinstance(metadata["generation"], int) and all(map(text, metadata["finalizers"]))
    assert all(text(c[name]) for c in status["conditions"] for name in ("type", "status", "lastTransitionTime"))


def see_trial(found: Any) -> None:
    """What an earlier process wrote."""
    assert all(map(text, written(found, OWNER)))


def see_served(found: Any) -> None:
    """What is made of Katib's Experiment, and of the status of ours."""
    made = experiment(found)
    with suppress(SpecError):
        assert _migrated(made).document["spec"]
    shown = [experiment_status(made["status"], []), refusal(made["status"], "SpecInvalid", "no", 0.0)]
    json.dumps([shown, owners_of(made)], allow_nan=False)


def see_shown(found: Any) -> None:
    """A Trial of ours as Katib's."""
    seen = see(found, LABEL_EXPERIMENT)
    hash(replace(seen, metrics=())), json.dumps(katib_trial(seen, OWNER, None))


def see_maker(found: Any) -> None:
    """What makes a Pod, and the reference to it on that Pod."""
    for kind in KINDS.values():
        kind.conclusion(found)
        kind.makes(view(found).owner_reference, "small-0-0-0")
        kind.pod_sets(found), kind.pods(found)
        kind.maker(view(found).owner_reference)


def see_warning(found: Any) -> None:
    """What is shown of a Pod that does not start."""
    assert len(latest(found)) <= 300


PROJECTIONS: dict[str, tuple[list[dict[str, Any]], Callable[[Any], object]]] = {
    "pods": (PODS, see_pod),
    "experiments": ([EXPERIMENT], see_experiment),
    "trials": ([TRIAL], see_trial),
    "Katib's view of experiments": ([KATIB_EXPERIMENT], see_served),
    "Katib's view of trials": ([TRIAL], see_shown),
    "what makes Pods": ([JOB, *PODS], see_maker),
    "warnings": ([EVENTS], see_warning),
    "leases": ([LEASE], lambda found: Leadership(Answers(found, PODS[0]), "lab", "me")._try()),
    "holders of leases": (PODS, lambda found: Leadership(Answers(LEASE, found), "lab", "me")._try()),
}


@pytest.mark.parametrize("kind", PROJECTIONS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_field_of_an_object_can_make_its_projection_raise(kind: str, data: st.DataObject) -> None:
    objects, project = PROJECTIONS[kind]
    found = data.draw(mutated(objects))
    # Unreadable is for the watch, which leaves it out.
    with suppress(Unreadable):
        project(found)


@pytest.mark.parametrize("kind", PROJECTIONS)
@pytest.mark.parametrize("value", ABSURD)
def test_no_part_of_an_object_can_make_its_projection_raise(kind: str, value: Any) -> None:
    with suppress(Unreadable):
        PROJECTIONS[kind][1]({"metadata": value, "spec": value, "status": value})


class OddAnswers(Api):
    """Answers every request with an odd object, or with a list of some; what is created may be there already."""

    def __init__(self, taken: bool, found: dict[str, Any], listed: list[dict[str, Any]]) -> None:
        self._taken, self._found, self._listed = taken, found, listed

    def within(self, seconds: float) -> Api:
        return self

    def get(self, path: str, **query: object) -> dict[str, Any]:
        listing = "labelSelector" in query or "fieldSelector" in query
        return {"items": self._listed} if listing else copy.deepcopy(self._found)

    def create(self, path: str, body: Mapping[str, Any], *_: object, **query: object) -> dict[str, Any]:
        if self._taken:
            raise Refused(409, "AlreadyExists", "there is one")
        return copy.deepcopy(self._found)

    def merge(self, path: str, body: Mapping[str, Any], *_: object, **query: object) -> dict[str, Any]:
        return copy.deepcopy(self._found)

    def delete(self, path: str, *_: object, **query: object) -> bool:
        """Takes every deletion."""
        return True


class AtOnce(DeferredWrites):
    """Does what is deferred at once, unless it is for later."""

    def later(self, key: tuple[str, *tuple[Hashable, ...]], write: Callable[[], None], delay: float = 0.0) -> None:
        assert key[0] in WORKERS
        if not delay:
            write()


@pytest.mark.parametrize("template", [{}, {TEMPLATE: JOB_TEMPLATE}], ids=["Pod", "Job"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_place_outlives_every_answer(template: dict[str, Any], data: st.DataObject) -> None:
    odd = mutated([JOB, *PODS, EVENTS])
    api = OddAnswers(data.draw(st.booleans()), data.draw(odd), data.draw(st.lists(odd, max_size=2)))
    clock, index, nothing = FakeClock(), PodIndex(), cast(Any, None)
    context = OperatorContext(api, index, nothing, "me", AtOnce(), nothing, nothing, 60.0, clock)
    place = PodExecutor(context, parse_experiment(document(template)), ExperimentRef(OWNER, 1))
    key = AttemptKey(3, 1)
    index.update(("lab", "small-9-0-0"), None, view(PODS[0]))
    place.launch(AttemptRequest(key, "small-3-0-1", {"x": 0.5}, "hash", {}))
    for _ in range(3):
        clock.time += 40.0
        place.observe()
        place.gone(key)
        place.stalled()
    place.stop(key, "Stopped")
    place.delete(key)
    place.observe()


class OddWorld(Api):
    """Lists odd objects, then tells of them and of a good one; listed anew, the good one is among them."""

    def __init__(self, odd: list[dict[str, Any]], good: dict[str, Any]) -> None:
        self._odd, self._good = odd, good
        self._listed = self._watched = False
        self.over = threading.Event()

    def get(self, path: str, **query: object) -> dict[str, Any]:
        good, self._listed = [self._good] if self._listed else [], True
        return page(7, *self._odd, *good)

    def stream(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        if self._watched:
            self.over.set()
            threading.Event().wait()
        self._watched = True
        return iter([*(event("MODIFIED", found) for found in self._odd), event("ADDED", self._good)])


@pytest.mark.parametrize("kind", WATCHED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_watch_sees_every_good_object_among_odd_ones(kind: str, data: st.DataObject) -> None:
    objects, project = WATCHED[kind]
    good = copy.deepcopy(objects[0])
    good["metadata"] |= {"name": "good", "resourceVersion": "90"}
    api = OddWorld(data.draw(st.lists(mutated(objects), min_size=1, max_size=4)), good)
    watch: Reflector[object] = Reflector(api, kind, "lab", project, lambda *_: None)
    watch.start()
    assert api.over.wait(10) and watch.get(("lab", "good")) is not None


def test_an_annotation_that_is_no_number_is_no_timeout() -> None:
    """It once ended the watch of all Pods, also after every restart."""
    assert view(pod("Running", RUNNING, metadata={"annotations": {ANNOTATION_TIMEOUT: "soon"}})).timeout is None
    assert view(pod("Running", RUNNING, metadata={"annotations": {ANNOTATION_TIMEOUT: "90.5"}})).timeout == 90.5
