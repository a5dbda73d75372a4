"""What a trial's claims give is read in the cluster, and every number of an experiment rests on the same count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubetuna.analysis.report.cost import section
from kubetuna.analysis.report.view import view_of
from kubetuna.experiment.units import SECONDS_PER_HOUR, duration
from kubetuna.store.database import open_engine
from kubetuna.store.reader import read_study, study_names
from kubetuna.study.record import StudyRecord, study_record
from kubetuna_operator.backend import ClusterBackend
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.lab import Lab, hangs
from tests.local.runs import experiment

TEMPLATES = f"/apis/resource.k8s.io/v1beta2/namespaces/{NAMESPACE}/resourceclaimtemplates"
GPUS = {"name": "gpus", "deviceClassName": "gpu.nvidia.com", "count": 4}
CARD = {"name": "card", "deviceClassName": "rdma.example.com", "count": 8}


def put(lab: Lab, **spec: Any) -> None:
    found = json.loads(experiment("", parallelTrialCount=1, **spec))
    pod = found["spec"]["trialTemplate"]["trialSpec"]["spec"]
    pod["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "four"}]
    lab.put(found)


def give(lab: Lab, *requests: dict[str, Any]) -> None:
    body = {"spec": {"spec": {"devices": {"requests": list(requests)}}}}
    kind = {"apiVersion": "resource.k8s.io/v1beta2", "kind": "ResourceClaimTemplate", "metadata": {"name": "four"}}
    lab.api.create(TEMPLATES, {**kind, **body})


def looked(lab: Lab) -> StudyRecord:
    backend = object.__new__(ClusterBackend)
    backend._api = lab.api
    return backend.look(NAMESPACE, "small")


def stored(lab: Lab) -> StudyRecord:
    engine = open_engine(lab.store)
    return study_record(read_study(engine, study_names(engine)[0]), "")


def test_status_forecast_report_and_store_count_the_devices_of_a_claim(lab: Lab) -> None:
    give(lab, GPUS, CARD)
    lab.pace = 30.0
    lab.operator()
    put(lab, maxTrialCount=2)
    status = lab.ended()
    seconds = sum(a.ended - a.started for t in lab.trials() for a in t.attempts if a.ended and a.started)
    hours = pytest.approx(4 * seconds / SECONDS_PER_HOUR, abs=1e-5)
    assert status["claimedAccelerators"] == 4 and seconds > 0
    for seen in (looked(lab), stored(lab)):
        assert seen.status["spent"]["gpuHours"] == hours and seen.status["forecast"]["gpuHours"] == hours
        page = str(section(view_of(seen.spec, seen.status, seen.trials, 0.0)).blocks)
        assert "GPU time" in page and duration(4 * seconds) in page
        assert seen.spec.claimed == 4


def test_a_budget_ends_by_the_devices_of_a_claim(lab: Lab) -> None:
    give(lab, GPUS)
    lab.program, lab.pace = hangs, 1.0
    lab.operator()
    put(lab, budget={"gpuHours": 4 * 60 / SECONDS_PER_HOUR})
    lab.ended()
    seconds = sum(a.ended - a.started for t in lab.trials() for a in t.attempts if a.ended and a.started)
    assert 60 <= seconds <= 90


def test_a_network_card_alone_is_no_accelerator(lab: Lab) -> None:
    give(lab, CARD)
    lab.operator()
    put(lab, maxTrialCount=1)
    assert "slotHours" in lab.ended()["spent"] and lab.status()["claimedAccelerators"] == 0


def test_a_template_that_cannot_be_read_is_said_and_counts_as_one(lab: Lab) -> None:
    lab.operator()
    put(lab, maxTrialCount=1)
    assert "gpuHours" in lab.ended()["spent"] and "claimedAccelerators" not in lab.status()
    lab.until(lambda: "ClaimNotRead" in lab.events())
    assert "set budget.acceleratorsPerTrial" in lab.events()["ClaimNotRead"]


def test_what_was_read_once_holds_where_it_can_be_read_no_more(lab: Lab) -> None:
    give(lab, GPUS)
    lab.program = hangs
    first = lab.operator()
    put(lab, maxTrialCount=1)
    lab.until(lab.running(1))
    first.kill()
    lab.api.delete(f"{TEMPLATES}/four")
    lab.operator("two")
    put(lab, maxTrialCount=1, shutdown=True)
    lab.ended()
    assert lab.status()["claimedAccelerators"] == 4 and stored(lab).spec.claimed == 4
