"""The server in memory behaves as the scripts say that real ones do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.conformance import SCRIPTS, Subject
from tests.apiserver.programs import Nodes, Program
from tests.apiserver.resources import Object


class InMemory:
    """The server in memory; the program of a Pod is in its container's arguments."""

    def __init__(self) -> None:
        self.cluster, self.namespace = Cluster(), NAMESPACE
        self.api = self.cluster.api()
        self._nodes = Nodes(self.cluster, _program)

    def template(self, program: Program) -> dict[str, Any]:
        container = {"name": "trial", "image": "any", "args": [json.dumps([program.lines, program.code])]}
        return {"restartPolicy": "Never", "containers": [container]}

    def run(self, name: str, program: Program, **metadata: Any) -> None:
        pod = {"metadata": {"name": name, **metadata}, "spec": self.template(program)}
        self.api.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)

    def until(self, check: Callable[[], Any]) -> Any:
        for _ in range(20):
            self._nodes.drive()
            self.cluster.advance(1.0)
            if found := check():
                return found
        raise AssertionError("what was waited for did not happen")


def _program(pod: Object) -> Program:
    lines, code = json.loads(pod["spec"]["containers"][0]["args"][0])
    return Program(tuple(lines), code)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_the_server_in_memory_is_like_a_real_one(script: Callable[[Subject], None]) -> None:
    script(InMemory())
