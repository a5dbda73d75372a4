"""The image of the Pods: what two threads tell of one Pod, in every order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.status import PodView, view
from tests.unit.operator.pods import RUNNING, pod

KEY = ("lab", "small-3-0-1")


def seen(phase: str, revision: str, uid: str = "u1", **metadata: Any) -> PodView:
    state = RUNNING if phase == "Running" else None
    return view(pod(phase, state, metadata={"uid": uid, "resourceVersion": revision, **metadata}))


PENDING, STARTED = seen("Pending", "9"), seen("Running", "10")


def known(index: PodIndex) -> list[tuple[str, str]]:
    return [(p.uid, p.phase) for p in index.of("owner")]


def test_an_answer_to_a_write_that_comes_late_makes_nothing_older() -> None:
    index = PodIndex()
    index.update(KEY, PENDING, STARTED)
    index.update(KEY, None, PENDING)
    assert known(index) == [("u1", "Running")] and index.running() == {"owner": 1}


def test_a_pod_that_was_deleted_stays_away_however_late_its_creation_is_told() -> None:
    index = PodIndex()
    index.update(KEY, STARTED, None)
    for late in (PENDING, STARTED):
        index.update(KEY, None, late)
    assert known(index) == [] and index.running() == {} and index.version("owner") == 0


def test_whatever_the_order_the_latest_of_two_pods_of_one_name_is_known_at_last() -> None:
    other = seen("Pending", "12", "u2")
    told = [(None, PENDING), (PENDING, STARTED), (STARTED, None), (None, other)]
    watch = told[1:]
    for order in permutations(range(4)):
        if [n for n in order if n] != [1, 2, 3]:
            continue
        index = PodIndex()
        for number in order:
            index.update(KEY, *told[number])
        assert known(index) == [("u2", "Pending")], (order, watch)


def test_a_watch_that_lists_anew_may_go_back_since_it_says_what_it_knew() -> None:
    """As after a restored backup of the cluster: its revisions begin again."""
    index = PodIndex()
    index.update(KEY, None, STARTED)
    index.update(KEY, STARTED, seen("Pending", "3"))
    assert known(index) == [("u1", "Pending")]


def test_the_deletion_of_a_pod_takes_no_other_of_its_name_along() -> None:
    index = PodIndex()
    index.update(KEY, None, seen("Pending", "12", "u2"))
    index.update(KEY, STARTED, None)
    assert known(index) == [("u2", "Pending")]


@pytest.mark.parametrize("revision", ["", "soon", "9" * 400])
def test_without_a_readable_revision_the_last_word_counts(revision: str) -> None:
    index = PodIndex()
    index.update(KEY, None, STARTED)
    index.update(KEY, None, seen("Pending", revision))
    assert known(index) == [("u1", "Pending")]


def test_a_pod_that_changes_hands_wakes_both_and_is_one_ones() -> None:
    index = PodIndex()
    events = [index.changes(owner) for owner in ("owner", "other")]
    index.update(KEY, None, STARTED)
    for event in events:
        event.clear()
    theirs = [{"kind": "Experiment", "uid": "other", "controller": True}]
    index.update(KEY, STARTED, seen("Running", "11", ownerReferences=theirs))
    assert index.of("owner") == [] and len(index.of("other")) == 1
    assert all(event.is_set() for event in events)


def test_nothing_is_kept_of_experiments_that_are_over() -> None:
    index = PodIndex()
    for number in range(100):
        index.changes(str(number))
        index.update(KEY, None, STARTED)
        index.update(KEY, STARTED, None)
        index.leave(str(number))
    assert not index._changes and not index._owners and not index._pods


def test_a_pod_that_lost_our_label_for_a_moment_is_known_again() -> None:
    """To a watch with a selector it was deleted, and is added later; what was said before that stays past."""
    index = PodIndex()
    index.update(KEY, None, STARTED)
    index.update(KEY, STARTED, None)
    index.update(KEY, None, PENDING)
    assert known(index) == []
    index.update(KEY, None, seen("Running", "12"))
    assert known(index) == [("u1", "Running")] and index.running() == {"owner": 1}
