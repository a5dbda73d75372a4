"""What people ask of trials in a cluster: annotations that are heeded once, whoever dies, then taken away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kubetuna.errors import KubetunaError, RequestRefused, SpecError, StudyNotFound
from kubetuna_operator import ANNOTATION_REQUEST
from kubetuna_operator.backend import ClusterBackend
from kubetuna_operator.experiment.requests import AT_ONCE, AnsweredRequests, requests_of
from kubetuna_operator.experiment.status_writer import follows
from kubetuna_operator.kube.api_client import Refused
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.failures import forbidden
from tests.apiserver.lab import SMALL, Lab, curve, hangs
from tests.apiserver.programs import Program
from tests.apiserver.resources import EXPERIMENTS, Object


def ask(lab: Lab, **lines: str) -> None:
    """As ``kubectl annotate`` does."""
    found = {ANNOTATION_REQUEST + request: line for request, line in lines.items()}
    lab.api.merge(SMALL, {"metadata": {"annotations": found}})


def asked(lab: Lab) -> dict[str, str]:
    """What is still asked."""
    return requests_of(lab.api.get(SMALL))


def answers(lab: Lab) -> dict[str, dict[str, Any]]:
    """What the status says became of requests."""
    return {answer["id"]: answer for answer in lab.status().get("requests") or ()}


def first_hangs(pod: Object) -> Program:
    """Trial 0 ends only when it is ended."""
    return hangs(pod) if pod["metadata"]["name"].startswith("small-0-") else curve(pod)


def first_fails(pod: Object) -> Program:
    """Trial 0 crashes."""
    return Program((), 2) if pod["metadata"]["name"].startswith("small-0-") else curve(pod)


def test_a_trial_is_stopped_and_a_point_added_with_nothing_but_kubectl(lab: Lab) -> None:
    lab.program = first_hangs
    lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount=1)
    lab.until(lab.running(1))
    ask(lab, a="add x=0.25", b="stop 0", c="stop 7")
    lab.until(lambda: not asked(lab))
    status = lab.ended()
    first, second = lab.trials()
    assert (first.outcome, first.message, second.params, second.added) == (
        "Stopped", "stopped by hand", {"x": 0.25}, True,
    )  # fmt: skip
    assert (status["trialsKilled"], status["trialsSucceeded"]) == (1, 1)
    assert {i: a["accepted"] for i, a in answers(lab).items()} == {"a": True, "b": True, "c": False}
    assert "does not exist" in lab.events()["RequestRefused"] and "RequestAccepted" in lab.events()
    lab.until(lambda: [t["status"].get("outcome") for t in lab.shown()] == ["Stopped", "Succeeded"])


def test_what_is_asked_while_the_operator_is_down_is_done_when_it_is_back(lab: Lab) -> None:
    lab.program = first_hangs
    first = lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount=1)
    lab.until(lab.running(1))
    first.kill()
    ask(lab, a="stop 0")
    lab.operator()
    lab.ended()
    lab.until(lambda: not asked(lab))
    assert sorted((t.number, t.outcome) for t in lab.trials())[0] == (0, "Stopped")
    assert len(lab.trials()) == 2


@pytest.mark.parametrize("dies", [False, True])
def test_an_experiment_that_has_ended_goes_on_for_a_failed_trial(lab: Lab, dies: bool) -> None:
    """Also for an operator that finds it ended, and the status shows that it runs again."""
    lab.program = first_fails
    first = lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount=1)
    assert lab.ended()["trialsFailed"] == 1
    states: list[str] = []
    lab.cluster.server.objects.listen(
        lambda change: (
            states.append((change.after or {}).get("status", {}).get("state", ""))
            if change.resource == EXPERIMENTS
            else None
        )
    )
    if dies:
        first.kill()
        lab.operator()
    ask(lab, again="retry 0")
    lab.until(lambda: not asked(lab) and len(lab.trials()) == 3)
    lab.until(lambda: lab.status().get("trialsSucceeded") == 2)
    status = lab.status()
    assert (status["trials"], status["trialsFailed"], status["state"]) == (2, 0, "Succeeded")
    assert lab.trials()[2].retry_of == 0 and "Running" in states
    assert sorted(lab.made) == ["small-0-0-0", "small-1-0-0", "small-2-0-0"]


def test_a_request_that_cannot_be_taken_away_is_heeded_once(lab: Lab) -> None:
    """Whoever may not change the Experiment, or dies just then, and however many come after it."""
    lab.program = first_hangs

    def refuse(method: str, path: str) -> None:
        if method == "PATCH" and path == SMALL:
            raise forbidden(EXPERIMENTS, "small", "not today")

    first = lab.operator()
    lab.apply(maxTrialCount=3, parallelTrialCount=1)
    lab.until(lab.running(1))
    first.before = refuse
    ask(lab, a="add x=0.25", b="stop 0")
    lab.until(lambda: len(lab.trials()) == 2)
    first.kill()
    second = lab.operator()
    second.before = refuse
    lab.until(lambda: lab.status().get("state") == "Succeeded")
    assert asked(lab).keys() == {"a", "b"}
    assert [t.params["x"] for t in lab.trials()].count(0.25) == 1 and len(lab.trials()) == 3
    second.before = lambda method, path: None
    second.kill()
    lab.operator()
    lab.until(lambda: not asked(lab))
    assert len(lab.trials()) == 3


def test_the_same_id_is_a_new_request_once_the_old_one_was_taken_away(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=3, parallelTrialCount=1)
    for number in range(2):
        lab.until(lambda name=f"small-{number}-0-0": name in lab.made and lab.running(1)())
        ask(lab, mine=f"stop {number}")
        lab.until(lambda number=number: lab.trials()[number].outcome == "Stopped")
        lab.until(lambda: not asked(lab))


def test_of_an_ended_experiment_the_same_can_be_asked_again(lab: Lab) -> None:
    """Its process remembers what it answered; what was taken away since is another request."""
    operator = lab.operator()
    lab.apply(maxTrialCount=1, parallelTrialCount=1)
    lab.ended()
    for _ in range(2):
        ask(lab, mine="stop 0")
        lab.until(lambda: not asked(lab))
        lab.until(lambda: not operator.controller._ended[NAMESPACE, "small"].answered)
    assert not lab.status()["requests"][-1]["accepted"]


def test_a_request_stays_written_until_its_answer_is_stored(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that dies before the commit has done nothing, and the next one must find the request."""
    context = lab.operator().context
    lab.apply(maxTrialCount=1)
    ask(lab, mine="stop 0")
    metadata = lab.api.get(SMALL)["metadata"]
    steering = SimpleNamespace(answered=lambda request, line: True)
    study: Any = SimpleNamespace(pending=1, steering=steering)
    owner = Owner(NAMESPACE, "small", metadata["uid"])
    answered = AnsweredRequests(context, owner, study, lambda: {"mine": "stop 0"})
    deferred: list[Any] = []
    monkeypatch.setattr(context.deferred, "later", lambda key, write: deferred.append(write))
    answered.remove()
    assert not deferred
    study.pending = 0
    answered.remove()
    deferred.pop()()
    assert asked(lab) == {}


def test_what_is_written_over_an_answered_request_is_another_one(lab: Lab) -> None:
    """Also where it is written between the answer and the moment at which the first would be taken away."""
    lab.program = hangs
    operator = lab.operator()
    lab.apply(maxTrialCount=3, parallelTrialCount=2)
    lab.until(lab.running(2))
    over: list[str] = []

    def overwrite(method: str, path: str) -> None:
        if method == "PATCH" and path == SMALL and not over:
            over.append(path)
            ask(lab, mine="stop 1")

    operator.before = overwrite
    ask(lab, mine="stop 0")
    lab.until(lambda: over and not asked(lab))
    lab.until(lambda: [t.outcome for t in lab.trials()][:2] == ["Stopped", "Stopped"])


@pytest.mark.parametrize("shut_down", [False, True])
def test_a_request_is_taken_away_once_the_status_has_its_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, shut_down: bool
) -> None:
    """Whoever leads next opens nothing that is over by its status, unless something is asked of it."""
    remove, shown = AnsweredRequests.remove, list[bool]()

    def looked(requests: AnsweredRequests) -> None:
        if asked(lab) and requests._study.steering.answered("a", "retry 0"):
            shown.append("a" in answers(lab))
        remove(requests)

    lab.program = first_fails
    lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount=1, retryPolicy={"limit": 0})
    lab.ended()
    lab.api.merge(SMALL, {"spec": {"shutdown": shut_down}})
    monkeypatch.setattr(AnsweredRequests, "remove", looked)
    ask(lab, a="retry 0")
    lab.until(lambda: not asked(lab))
    assert answers(lab)["a"]["accepted"] and all(shown) and shown


def test_more_requests_than_are_heeded_at_once_are_all_answered(lab: Lab) -> None:
    lab.operator()
    lab.apply(maxTrialCount=1)
    lab.ended()
    ask(lab, **{f"r{number:03}": "stop 9" for number in range(AT_ONCE + 20)})
    lab.until(lambda: not asked(lab))
    assert len(answers(lab)) == 10 and len(lab.trials()) == 1


@pytest.mark.parametrize("annotations", [None, [], "x", {ANNOTATION_REQUEST + "a": 7}, {ANNOTATION_REQUEST: "x"}])
def test_whatever_stands_among_the_annotations_is_read(annotations: object) -> None:
    assert all(isinstance(line, str) for line in requests_of({"metadata": {"annotations": annotations}}).values())


def test_an_end_gives_way_to_whoever_took_the_study_up_later_and_to_nobody_else() -> None:
    study = {"uid": "u", "epoch": 3}
    ended = {"state": "Succeeded", "completionTime": "x", "observedGeneration": 1, "study": study}
    for epoch, may in ((2, False), (3, False), (4, True)):
        running = {"state": "Running", "observedGeneration": 1, "study": {**study, "epoch": epoch}}
        assert follows(running, ended) is may


# The command line.


@pytest.fixture
def backend(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> ClusterBackend:
    """The command line's way into the cluster in memory."""
    monkeypatch.setattr("kubetuna_operator.backend.Api.connect", lambda: lab.api)
    lab.apply(maxTrialCount=1)
    return ClusterBackend()


def test_the_command_line_writes_the_annotation_and_reads_the_answer(lab: Lab, backend: ClusterBackend) -> None:
    backend.request(NAMESPACE, "small", "mine", "add x=0.25")
    assert asked(lab) == {"mine": "add x=0.25"} and backend.answer(NAMESPACE, "small", "mine") is None
    lab.operator()
    lab.ended()
    found = lab.until(lambda: backend.answer(NAMESPACE, "small", "mine"))
    assert found["accepted"] is True and [t.params for t in lab.trials()] == [{"x": 0.25}]


def test_the_command_line_refuses_at_once_what_it_knows_to_be_wrong(lab: Lab, backend: ClusterBackend) -> None:
    with pytest.raises(SpecError, match=r"x: Invalid value.*from 0 to 1"):
        backend.request(NAMESPACE, "small", "mine", "add x=7")
    with pytest.raises(RequestRefused, match="must be 'stop N'"):
        backend.request(NAMESPACE, "small", "mine", "stop all")
    with pytest.raises(StudyNotFound, match=r"no Experiment .*smal in the cluster; there is 'small'"):
        backend.request(NAMESPACE, "smal", "mine", "stop 0")
    assert asked(lab) == {}


def test_who_may_not_change_the_experiment_is_told_so(
    lab: Lab, backend: ClusterBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(403, "Forbidden", "you may not patch experiments")

    monkeypatch.setattr(lab.api, "merge", refuse)
    with pytest.raises(KubetunaError, match="the cluster refuses: you may not patch experiments"):
        backend.request(NAMESPACE, "small", "mine", "stop 0")


def test_who_looked_at_a_held_out_test_is_told_to_all_of_the_namespace(lab: Lab, backend: ClusterBackend) -> None:
    lab.apply()
    assert backend.looks(NAMESPACE) == []
    backend.keep_looks(NAMESPACE, "small", {"1": '{"by": "ada"}'})
    backend.keep_looks(NAMESPACE, "small", {"1": '{"by": "ada"}', "2": '{"by": "bob"}'})
    assert backend.looks(NAMESPACE) == ['{"by": "ada"}', '{"by": "bob"}']
    assert asked(lab) == {}, "they are no requests"
