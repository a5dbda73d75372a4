"""How an attempt had failed, on its Pods: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import json

import pytest

from kubetuna.trials.attempts import ExitFacts
from kubetuna_operator import ANNOTATION_FAILURE
from kubetuna_operator.pods.failure_note import read, written


@pytest.mark.parametrize("failure", [
    ExitFacts(exit_code=3, message="Pod a: ValueError"),
    ExitFacts(exit_code=143, reason="Deleted", message="Pod a"),
    ExitFacts(reason="WorkloadFailed", message="x" * 300),
])  # fmt: skip
def test_what_is_written_is_read_again(failure: ExitFacts) -> None:
    assert read(written(failure)) == failure


@pytest.mark.parametrize("note", [
    "", "no JSON", "[]", "null", "[" * 5_000, "{}", json.dumps({"exit_code": "3", "reason": 7}),
    json.dumps({"reason": "Deleted", "message": "x" * 100_000}), 7, None,
])  # fmt: skip
def test_what_is_no_note_of_ours_says_nothing(note: object) -> None:
    assert read({ANNOTATION_FAILURE: note}) is None


def test_a_secret_in_a_note_is_masked() -> None:
    found = read(
        {ANNOTATION_FAILURE: json.dumps({"exit_code": 1, "message": "to postgresql://me:hunter2@host/db"})}
    )
    assert found is not None and "hunter2" not in found.message
