"""Trial objects over a real study: written once, bounded, and never worth waiting for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kubetuna_operator.experiment import trial_objects
from kubetuna_operator.experiment.trial_objects import TrialObjects
from kubetuna_operator.kube.api_client import collection
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.objects import Owner
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure, forbidden
from tests.apiserver.operating import Process
from tests.apiserver.resources import Object, Resource
from tests.local.runs import experiment
from tests.report.studies import trial
from tests.world import World, curve

TRIALS = collection("trials", NAMESPACE)
WRITES = ("POST", "PATCH")


class Showcase:
    """A study that a fake place fills, and the Experiment under which it is shown."""

    def __init__(self, folder: Path, trials: int = 5) -> None:
        text = experiment("", maxTrialCount=trials, parallelTrialCount=1)
        self.study_world, self.cluster = World(text, curve), Cluster()
        self.process = Process(self.cluster, f"sqlite:///{folder}/study.db")
        self.owner = self.cluster.make_owner(json.loads(text))

    def projection(self, owner: Owner | None = None) -> TrialObjects:
        return TrialObjects(self.process.context, owner or self.owner, self.study_world.study)

    def shown(self) -> dict[int, Object]:
        items = self.cluster.api().get(TRIALS)["items"]
        return {int(t["metadata"]["labels"]["kubetuna.dev/trial"]): t for t in items}

    def writes(self) -> int:
        return sum(method in WRITES for method, _ in self.process.asked)

    def close(self) -> None:
        self.process.close()
        self.study_world.close()


@pytest.fixture
def showcase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Showcase]:
    monkeypatch.setattr(trial_objects, "SOON", 0.05)
    made = Showcase(tmp_path)
    yield made
    made.close()


def test_trials_are_shown_with_their_parameters_and_go_with_their_experiment(showcase: Showcase) -> None:
    showcase.study_world.finish()
    showcase.projection().refresh(now=True)
    shown, stored = showcase.shown(), showcase.study_world.stored()
    assert [t["status"]["params"] for t in shown.values()] == [dict(t.params) for t in stored]
    assert {t["status"]["state"] for t in shown.values()} == {"COMPLETE"} and len(shown) == 5
    showcase.cluster.api().delete(f"{collection('experiments', NAMESPACE)}/small")
    showcase.cluster.step()
    assert not showcase.shown()


def test_what_is_shown_already_is_not_written_again_also_after_a_restart(showcase: Showcase) -> None:
    showcase.study_world.finish()
    first = showcase.projection()
    first.refresh(now=True)
    first.refresh(now=True)
    showcase.projection().refresh(now=True)
    assert showcase.writes() == 5


def test_an_open_trial_is_shown_as_it_runs(showcase: Showcase) -> None:
    open_one = showcase.projection()
    for _ in range(2):
        showcase.study_world.turn()
    open_one.refresh(now=True)
    before = showcase.shown()[0]["status"]
    for _ in range(2):
        showcase.study_world.turn()
    open_one.refresh(now=True)
    after = showcase.shown()[0]["status"]
    assert before["state"] == after["state"] == "RUNNING" and len(after["steps"]) > len(before["steps"])


def test_a_writer_that_was_frozen_does_not_open_a_told_trial_again(showcase: Showcase) -> None:
    late = showcase.projection()
    for _ in range(2):
        showcase.study_world.turn()
    showcase.process.cut_off = True
    late.refresh(now=True)
    showcase.study_world.finish()
    showcase.process.cut_off = False
    showcase.projection().refresh(now=True)
    late._write_now()
    assert {t["status"]["state"] for t in showcase.shown().values()} == {"COMPLETE"}


def test_a_write_on_old_knowledge_looks_again(showcase: Showcase) -> None:
    """As one that was on its way while its process stood still, and another one took over."""
    late = showcase.projection()
    for _ in range(2):
        showcase.study_world.turn()
    late.refresh(now=True)
    showcase.study_world.turn()
    old = showcase.study_world.study.record(0)
    showcase.study_world.finish()
    showcase.projection().refresh(now=True)
    late._note(old)
    late._write_now()
    assert showcase.shown()[0]["status"]["state"] == "COMPLETE"
    assert not late.behind


def test_who_has_left_writes_nothing_more(showcase: Showcase) -> None:
    late = showcase.projection()
    showcase.process.cut_off = True
    showcase.study_world.finish()
    late.refresh(now=True)
    showcase.process.cut_off = False
    late.close()
    late.refresh(now=True)
    assert not showcase.shown() and not late.behind


@pytest.mark.parametrize("change", ["deleted", "edited", "unreadable"])
def test_what_someone_did_to_a_trial_object_is_put_right_with_the_next_change(
    showcase: Showcase, change: str
) -> None:
    shown, path = showcase.projection(), f"{TRIALS}/small-0"
    for _ in range(2):
        showcase.study_world.turn()
    shown.refresh(now=True)
    api = showcase.cluster.api()
    if change == "deleted":
        api.delete(path)
    else:
        api.merge(path, {"status": None if change == "unreadable" else {"params": {"y": 7}, "odd": {"a": 1}}})
    showcase.study_world.finish()
    shown.refresh(now=True)
    expected = showcase.study_world.stored()[0]
    found = showcase.shown()[0]["status"]
    assert found["params"] == dict(expected.params) and found["state"] == "COMPLETE" and "odd" not in found


def test_only_the_latest_and_the_best_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_objects, "LATEST", 3)
    showcase = Showcase(tmp_path, trials=8)
    shown = showcase.projection()
    told = showcase.study_world.study.told
    while len(told) < 8:
        before = len(told)
        showcase.study_world.turn()
        if len(told) > before:
            shown.refresh(now=True)
    best = showcase.study_world.study.best
    assert best is not None and showcase.shown().keys() == {best.number, 6, 7}
    showcase.close()


def test_of_two_experiments_none_waits_for_all_trials_of_the_other(tmp_path: Path) -> None:
    showcase = Showcase(tmp_path, trials=30)
    showcase.study_world.finish()
    waiting = DeferredWrites(showcase.cluster.clock.now)
    other, made = showcase.cluster.make_owner(json.loads(experiment("", name="other"))), list[str]()
    showcase.cluster.server.objects.listen(lambda change: made.append(change.key[1]))
    for owner in (showcase.owner, other):
        context = replace(showcase.process.context, deferred=waiting)
        TrialObjects(context, owner, showcase.study_world.study).refresh()
    showcase.cluster.clock.time += 10.0
    while waiting.step():
        pass
    assert len(made) == 60 and sum(name.startswith("other-") for name in made[:20]) == 10
    showcase.close()


def test_what_is_refused_holds_up_no_other_and_is_tried_again_later(
    showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(resource: Resource, obj: Object) -> None:
        if obj["metadata"]["name"] == "small-0":
            raise forbidden(resource, "small-0", "no")

    monkeypatch.setattr(trial_objects, "REFUSED_SECONDS", 0.05)
    showcase.study_world.finish()
    showcase.cluster.server.writes.admissions.append(refuse)
    showcase.projection().refresh(now=True)
    assert showcase.shown().keys() == {1, 2, 3, 4}
    showcase.cluster.server.writes.admissions.remove(refuse)
    showcase.cluster.until(lambda: len(showcase.shown()) == 5)


def test_where_all_is_refused_it_is_not_asked_for_all(tmp_path: Path) -> None:
    def refuse(resource: Resource, obj: Object) -> None:
        raise forbidden(resource, obj["metadata"]["name"], "no")

    showcase = Showcase(tmp_path, trials=30)
    showcase.study_world.finish()
    waiting = DeferredWrites(showcase.cluster.clock.now)
    showcase.cluster.server.writes.admissions.append(refuse)
    context = replace(showcase.process.context, deferred=waiting)
    TrialObjects(context, showcase.owner, showcase.study_world.study).refresh()
    for _ in range(100):
        showcase.cluster.clock.time += 1.0
        waiting.step()
    assert showcase.writes() == 2 * trial_objects.BATCH
    showcase.close()


def test_a_trial_of_an_experiment_that_had_this_name_is_made_anew(showcase: Showcase) -> None:
    showcase.study_world.finish()
    stranger = Owner(NAMESPACE, "small", "7e57d004-2b97-0e7a-b45f-5387367791cd")
    showcase.projection(stranger).refresh(now=True)
    before = {t["metadata"]["uid"] for t in showcase.shown().values()}
    showcase.projection().refresh(now=True)
    assert not before & {t["metadata"]["uid"] for t in showcase.shown().values()}
    uids = {o["uid"] for t in showcase.shown().values() for o in t["metadata"]["ownerReferences"]}
    assert uids == {showcase.owner.uid} and len(showcase.shown()) == 5


def test_a_trial_of_an_earlier_experiment_is_deleted_once_however_often_ours_is_refused(showcase: Showcase) -> None:
    def refuse(resource: Resource, obj: Object) -> None:
        raise Failure(429, "TooManyRequests", "the server is busy")

    showcase.study_world.finish()
    showcase.projection(Owner(NAMESPACE, "small", "7e57d004-2b97-0e7a-b45f-5387367791cd")).refresh(now=True)
    showcase.cluster.server.writes.admissions.append(refuse)
    asked = showcase.process.asked
    showcase.projection().refresh(now=True)
    showcase.cluster.until(lambda: asked.count(("POST", TRIALS)) > 8)
    deleted = [path for method, path in asked if method == "DELETE"]
    assert deleted and len(deleted) == len({*deleted})
    showcase.cluster.server.writes.admissions.remove(refuse)
    showcase.cluster.until(lambda: len(showcase.shown()) == 5)


def test_what_could_not_be_written_is_written_once_it_can_be(showcase: Showcase) -> None:
    showcase.study_world.finish()
    showcase.process.cut_off = True
    showcase.projection().refresh(now=True)
    assert not showcase.shown()
    showcase.process.cut_off = False
    showcase.cluster.until(lambda: len(showcase.shown()) == 5)


def test_a_series_of_whole_numbers_is_shown_whole() -> None:
    """By such a one prices are known again; with six digits it would be another."""
    marks, returns = [281474976710655.0, 13460417949.0], [0.123456789]
    one = replace(trial(0, 0.5), series={"market": marks, "returns": returns})
    assert trial_objects._status(one)["series"] == {"market": marks, "returns": [0.123457]}
