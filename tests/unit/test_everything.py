"""`make test` where no cluster can be: it names what did not run, and fails where that would pass unseen."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest
from hack.cluster.errors import Unsupported

from tests import __main__ as everything


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_the_last_lines_name_what_did_not_run(
    ci: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_layout: object) -> None:
        raise Unsupported("a cluster cannot run here: it needs root")

    for name, value in {"CI": ci, "KUBETUNA_TEST_KUBECONFIG": "", "KUBETUNA_CLUSTER_DIR": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(everything, "up", refused)
    monkeypatch.setattr(everything, "_fails", lambda *_: False)
    monkeypatch.setattr(sys, "argv", ["tests"])
    assert everything.main() == status
    *_, what, how = capsys.readouterr().out.splitlines()
    assert (
        what.startswith("NOT RUN")
        and "tests/cluster, tests/chart, tests/chaos, tests/controllers" in what
        and "needs root" in what
    )
    assert "KUBETUNA_TEST_KUBECONFIG" in how


@pytest.mark.parametrize(("words", "halves"), [([], 2), (["--cluster-only"], 1), (["--without-cluster"], 1)])
@pytest.mark.parametrize("fails", [False, True])
def test_what_either_half_found_is_in_the_exit_status(
    words: list[str], halves: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(everything, "_cluster", nullcontext)
    monkeypatch.setattr(everything, "_fails", lambda *marks: ran.append(marks) or fails)
    monkeypatch.setattr(sys, "argv", ["tests", *words])
    assert everything.main() == int(fails)
    assert len(ran) == halves
    assert ("--cluster-only" in words) == all("not cluster" not in marks for marks in ran)
