"""A real API server behaves as the scripts say, by which the one in memory is measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from kubetuna_operator.kube.api_client import collection
from tests.apiserver.conformance import SCRIPTS, Subject
from tests.apiserver.programs import Program
from tests.cluster.operators import World

pytestmark = pytest.mark.cluster

SCRIPT = """
import json, sys, time
lines, code = json.loads(sys.argv[1])
for line in lines:
    print(line, flush=True)
if code is None:
    time.sleep(600)
sys.exit(code)
"""
# As restricted as the namespace asks for.
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}


class Real:
    """A namespace of a real cluster."""

    def __init__(self, world: World) -> None:
        self._world, self.api, self.namespace = world, world.api, world.namespace

    def template(self, program: Program) -> dict[str, Any]:
        container = {
            "name": "trial", "image": self._world.cluster.image, "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-u", "-c", SCRIPT, json.dumps([program.lines, program.code])],
            "securityContext": SECURITY,
        }  # fmt: skip
        return {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "securityContext": POD_SECURITY,
            "containers": [container],
        }  # fmt: skip

    def run(self, name: str, program: Program, **metadata: Any) -> None:
        body = {"metadata": {"name": name, **metadata}, "spec": self.template(program)}
        self.api.create(collection("pods", self.namespace), body)

    def until(self, check: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 60
        while not (found := check()):
            assert time.monotonic() < deadline, "what was waited for did not happen"
            time.sleep(0.1)
        return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_real_server_does_what_the_one_in_memory_is_measured_by(
    world: World, script: Callable[[Subject], None]
) -> None:
    world.until("the service account", lambda: _accounts(world))
    script(Real(world))


def _accounts(world: World) -> list[Any]:
    found: list[Any] = world.api.get(collection("serviceaccounts", world.namespace))["items"]
    return found
