"""The container that prints what a trial writes into files: where it is put, what it sees, when it has said all."""

from __future__ import annotations

from typing import Any

import pytest

from kubetuna.parsing.parse import parse_experiment
from kubetuna.trials.attempts import AttemptKey, AttemptRequest
from kubetuna_operator import METRICS_CONTAINER
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.pods.status import FOLLOWING_SECONDS, facts, view
from kubetuna_operator.workloads.manifest import attempt_manifest
from kubetuna_operator.workloads.metrics_container import PROGRAM
from tests.spec_table import COLLECTOR, JOB, TRIAL, document
from tests.unit.operator.pods import RUNNING, ended, pod

OWNER = Owner("lab", "small", "uid-1")
REQUEST = AttemptRequest(AttemptKey(3, 1), "small-3-0-1", {"x": 0.5}, "hash", {"KUBETUNA_TRIAL": "3"})
FILE = {COLLECTOR: {"collector": {"kind": "File"}, "source": {"fileSystemPath": {"path": "/logs/metrics$x"}}}}
CONTAINER = f"{TRIAL}.spec.containers[0]"


def made(**edits: Any) -> dict[str, Any]:
    found: dict[str, Any] = attempt_manifest(parse_experiment(document({**FILE, **edits})), OWNER, REQUEST)
    return found


def both(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics container and the trial's."""
    return spec["initContainers"][-1], spec["containers"][0]


def test_it_stands_beside_the_trial_with_its_image_its_files_and_no_rights() -> None:
    spec = made(**{f"{TRIAL}.spec.initContainers": [{"name": "fetch", "image": "i"}]})["spec"]
    own, trial = both(spec)
    assert [c["name"] for c in spec["initContainers"]] == ["fetch", METRICS_CONTAINER]
    assert own["restartPolicy"] == "Always" and own["image"] == trial["image"]
    assert own["command"] == ["python3", "-I", "-S", "-c", PROGRAM, "file", "/logs/metrics$$x"]
    mount = {"name": "kubetuna-metrics", "mountPath": "/logs"}
    assert mount in trial["volumeMounts"] and own["volumeMounts"] == [{**mount, "readOnly": True}]
    assert {"name": "kubetuna-metrics", "emptyDir": {}} in spec["volumes"]
    security = own["securityContext"]
    assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    assert own["resources"]["limits"] == own["resources"]["requests"] and "env" not in own
    assert {"name": "KUBETUNA_METRICS", "value": "/logs/metrics$x"} in trial["env"]


def test_the_program_is_handed_over_as_it_is() -> None:
    """Kubernetes puts variables in the place of their names in a command."""
    assert "$(" not in PROGRAM and "$$" not in PROGRAM


def test_it_is_told_of_the_metrics_in_event_files() -> None:
    own, _ = both(made(**{COLLECTOR: {"collector": {"kind": "TensorFlowEvent"}}})["spec"])
    assert own["command"][5:] == ["events", "/var/log/katib/tfevent", "loss"]


def test_it_is_who_the_trial_is() -> None:
    own, _ = both(made(**{f"{CONTAINER}.securityContext": {"runAsUser": 0}})["spec"])
    assert (own["securityContext"]["runAsUser"], own["securityContext"]["runAsNonRoot"]) == (0, False)


MOUNTS = {
    "the folder itself": [{"name": "v", "mountPath": "/logs/"}],
    "a folder around it": [{"name": "v", "mountPath": "/logs"}],
    "the nearest": [{"name": "w", "mountPath": "/"}, {"name": "v", "mountPath": "/logs", "subPath": "a"}],
}


@pytest.mark.parametrize("mounts", MOUNTS.values(), ids=MOUNTS)
def test_what_the_template_mounts_there_is_read(mounts: list[dict[str, Any]]) -> None:
    place = {
        "fileSystemPath": {"path": "/logs/metrics" if mounts[0]["mountPath"] != "/logs" else "/logs/deep/metrics"}
    }
    edits = {COLLECTOR: {"collector": {"kind": "File"}, "source": place}, f"{CONTAINER}.volumeMounts": mounts}
    spec = made(**edits, **{f"{TRIAL}.spec.volumes": [{"name": n, "emptyDir": {}} for n in ("v", "w")]})["spec"]
    own, _ = both(spec)
    assert own["volumeMounts"] == [{**mounts[-1], "readOnly": True}]
    assert all(v["name"] != "kubetuna-metrics" for v in spec["volumes"])


def test_a_folder_that_is_named_by_variables_has_them() -> None:
    mounts = [{"name": "v", "mountPath": "/logs", "subPathExpr": "$(KUBETUNA_TRIAL)"}]
    own, trial = both(made(**{f"{CONTAINER}.volumeMounts": mounts})["spec"])
    assert own["env"] == trial["env"]


def test_it_is_in_the_pods_that_a_job_makes() -> None:
    edits = {TRIAL: JOB}
    own, _ = both(made(**edits)["spec"]["template"]["spec"])
    assert own["name"] == METRICS_CONTAINER


def phase(found: dict[str, Any], after: float) -> str:
    seen = view(found)
    return facts(seen, (seen.ended or 0.0) + after).phase


def test_a_trial_has_ended_once_all_that_it_wrote_is_said() -> None:
    """Whoever keeps the Pod beside it keeps its container too, which is not waited for for ever."""
    follows, left = pod("Running", ended(0), inits={METRICS_CONTAINER: RUNNING}), {METRICS_CONTAINER: ended(0)}
    assert phase(follows, 1.0) == "running"
    assert phase(follows, FOLLOWING_SECONDS) == "ended"
    assert phase(pod("Running", ended(0), inits=left), 1.0) == "ended"
    assert phase(pod("Succeeded", ended(0), inits={METRICS_CONTAINER: RUNNING}), 1.0) == "ended"
    assert phase(pod("Running", ended(0), inits={"proxy": RUNNING}), 1.0) == "ended"


@pytest.mark.parametrize(
    ("inits", "torn"),
    [({METRICS_CONTAINER: ended(137)}, True), ({METRICS_CONTAINER: ended(0)}, False),
     ({METRICS_CONTAINER: RUNNING}, False), ({"proxy": ended(137)}, False), ({}, False)],
)  # fmt: skip
def test_one_that_was_killed_has_not_said_all(inits: dict[str, Any], torn: bool) -> None:
    assert view(pod("Succeeded", ended(0), inits=inits)).torn is torn
