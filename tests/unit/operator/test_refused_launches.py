"""Launches that the API server does not take: what a place of Pods, or of Jobs, says of such an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from sqlalchemy import create_engine

from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest
from kubetuna_operator.context import ExperimentRef, OperatorContext, Store
from kubetuna_operator.kube.api_client import Api, Refused
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.events import Events
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.workloads.executor import PodExecutor
from tests.fakes import FakeClock, look
from tests.spec_table import JOB, TRIAL, document

ABOUT = ExperimentRef(Owner("lab", "small", "uid-1"), 1)
ORDER = AttemptRequest(AttemptKey(3, 1), "small-3-0-1", {"x": 0.5}, "hash", {"KUBETUNA_TRIAL": "3"})


class RefusingApi(Api):
    """Refuses every Pod; takes every Job."""

    def __init__(self) -> None:
        """Connects to nothing."""
        self._made: dict[str, dict[str, Any]] = {}

    def get(self, path: str, **query: object) -> dict[str, Any]:
        if path.endswith("/pods"):
            return {"items": []}
        if path not in self._made:
            raise Refused(404, "NotFound", f"{path} not found")
        return self._made[path]

    def delete(self, path: str, uid: str | None = None, low_priority: bool = False, **body: object) -> bool:
        del self._made[path]
        return True

    def create(
        self, path: str, body: Mapping[str, Any], low_priority: bool = False, **query: object
    ) -> dict[str, Any]:
        if body["kind"] == "Pod":
            raise Refused(422, "Invalid", "spec.containers[0].image: must not be empty")
        self._made[f"{path}/{body['metadata']['name']}"] = dict(body)
        return dict(body)


def place(template: dict[str, Any], clock: FakeClock, account: tuple[str, str] = ("", "")) -> PodExecutor:
    api, deferred = RefusingApi(), DeferredWrites()
    context = OperatorContext(
        api, PodIndex(), Store(create_engine("sqlite://")), "me", deferred, Events(api, deferred),
        ThreadPoolExecutor(1), 60.0, clock, account=account,
    )  # fmt: skip
    return PodExecutor(context, parse_experiment(document(template)), ABOUT)


@pytest.mark.parametrize("template", [{}, {TRIAL: JOB}], ids=["Pod", "Job"])
def test_a_template_that_is_refused_for_long_ends_at_no_time_of_the_present(template: dict[str, Any]) -> None:
    """Nobody knows when it ended; the present would move that end on at every look."""
    clock = FakeClock()
    made = place(template, clock)
    made.launch(ORDER)

    def later(seconds: float) -> AttemptFacts:
        clock.time += seconds
        [facts] = look(made)
        return facts

    assert later(6).phase == "pending"
    later(3600)
    first = later(6)
    assert first.exit is not None and first.exit.reason == "StartError"
    assert first.phase == "ended" and later(3600) == first
    assert not cast(Any, made._api)._made, "what may still make its Pod goes first"


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
@pytest.mark.parametrize(
    ("account", "refused"),
    [(("lab", "kubetuna-operator"), True), (("kubetuna", "kubetuna-operator"), False), (("lab", "other"), False)],
)
def test_no_trial_gets_the_operators_own_account(field: str, account: tuple[str, str], refused: bool) -> None:
    """It may read and change the Pods of all namespaces that the operator watches."""
    clock = FakeClock()
    for template, path in (({}, f"{TRIAL}.spec"), ({TRIAL: JOB}, f"{TRIAL}.spec.template.spec")):
        made = place({**template, f"{path}.{field}": "kubetuna-operator"}, clock, account)
        made.launch(ORDER)
        clock.time += 6
        assert ("is the operator's" in made.stalled()) is refused
        [facts] = look(made)
        assert ("is the operator's" in str(facts.waiting)) is refused
        assert ("small-3-0-1" in str(cast(Any, made._api)._made)) is (not refused and path != f"{TRIAL}.spec")


def test_nor_by_the_value_of_a_parameter() -> None:
    clock = FakeClock()
    template = {f"{TRIAL}.spec.serviceAccountName": "kubetuna-${trialParameters.x}"}
    made = place(template, clock, ("lab", "kubetuna-0.5"))
    made.launch(ORDER)
    [facts] = look(made)
    assert "is the operator's" in str(facts.waiting)
