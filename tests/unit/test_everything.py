"""`make test` where no cluster can be: it names what did not run, and fails where that would pass unseen."""

from __future__ import annotations

import sys

import pytest
from cluster.errors import Unsupported

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
    assert what.startswith("NOT RUN") and "tests/cluster and tests/chart" in what and "needs root" in what
    assert "KUBETUNA_TEST_KUBECONFIG" in how
