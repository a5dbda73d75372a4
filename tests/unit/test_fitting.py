"""Whatever parameters, objectives, names and texts are: what is shown of an experiment keeps its bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubetuna.trials.fitting import OMITTED, fitted, size
from kubetuna.trials.records import MESSAGE_LIMIT
from kubetuna_operator.experiment import status_writer, trial_objects
from kubetuna_operator.experiment.status_writer import StatusWriter
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.operating import Process
from tests.local.runs import experiment

DIVISIBLE = status_writer.DIVISIBLE
TEXTS = st.text(st.characters(), max_size=40)


def trial(parameters: int, value: str = "v" * 60) -> dict[str, Any]:
    """A trial as ``currentOptimalTrial``."""
    params = {f"parameter_{n}": value for n in range(parameters)}
    return {
        "number": 3,
        "params": params,
        "parameterAssignments": [{"name": k, "value": v} for k, v in params.items()],
        "observation": {"metrics": [{"name": "loss", "latest": "0.5"}]},
    }


def test_what_fits_stays_as_it_is() -> None:
    small = {"state": "Running", "currentOptimalTrial": trial(3)}
    assert fitted(small, 10_000, DIVISIBLE) is small


def test_a_front_of_large_trials_loses_its_last_ones_and_says_so() -> None:
    front = {"state": "Running", "paretoFront": [trial(100) for _ in range(50)]}
    cut = fitted(front, 100_000, DIVISIBLE)
    assert size(cut) <= 100_000 and cut["state"] == "Running" and cut[OMITTED] == ["paretoFront"]
    assert cut["paretoFront"] == front["paretoFront"][: len(cut["paretoFront"])] and len(cut["paretoFront"]) >= 2


def test_of_one_trial_the_first_parameters_are_kept() -> None:
    for document in ({"currentOptimalTrial": trial(2_000)}, {"paretoFront": [trial(2_000)]}):
        cut = fitted(document, 100_000, DIVISIBLE)
        best = cut.get("currentOptimalTrial") or cut["paretoFront"][0]
        assert size(cut) <= 100_000 and best["observation"]["metrics"] and len(best["parameterAssignments"]) > 100
        assert all(path.endswith(("params", "parameterAssignments")) for path in cut[OMITTED])


def test_a_single_value_beyond_the_bound_goes_and_what_is_short_stays() -> None:
    cut = fitted({"message": "m" * 90, "currentOptimalTrial": trial(1, "v" * 200_000)}, 100_000, DIVISIBLE)
    assert size(cut) <= 100_000 and cut["message"] == "m" * 90 and cut["currentOptimalTrial"]["number"] == 3


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        TEXTS | st.integers() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(sorted(DIVISIBLE)) | TEXTS, inner)
        ),
    ),
    st.integers(200, 2_000),
)
def test_whatever_stands_in_what_may_be_cut_it_fits(inner: Any, limit: int) -> None:
    cut = fitted(
        {"state": "Running", "params": {str(n): inner for n in range(9)}, "message": inner}, limit, DIVISIBLE
    )
    whole = isinstance(inner, int) or inner is None
    assert cut["state"] == "Running" and (size(cut) <= limit or whole)
    json.dumps(cut)


def test_a_status_is_cut_where_it_is_sent(tmp_path: Path) -> None:
    cluster = Cluster()
    process = Process(cluster, f"sqlite:///{tmp_path}/study.db")
    owner = cluster.make_owner(json.loads(experiment("")))
    condition = {"type": "Accepted", "status": "False", "reason": "x", "message": "é" * 70_000}
    dated = {**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    front = [trial(200) for _ in range(50)]
    StatusWriter(process.context, owner, {}).write({"state": "Failed", "paretoFront": front, "conditions": [dated]})
    shown = cluster.api().get(f"{collection('experiments', NAMESPACE)}/small")["status"]
    process.close()
    assert size(shown) <= status_writer.BYTES and {"paretoFront", "conditions.message"} == set(shown[OMITTED])
    assert shown["conditions"][0]["type"] == "Accepted" and shown["state"] == "Failed"


def test_an_event_says_no_more_than_its_bytes(tmp_path: Path) -> None:
    cluster = Cluster()
    process = Process(cluster, f"sqlite:///{tmp_path}/study.db")
    owner = cluster.make_owner(json.loads(experiment("")))
    process.context.events.emit(owner, "Stalled", "日" * 5_000)
    events = collection("events", NAMESPACE)
    (event,) = cluster.until(lambda: cluster.api().get(events)["items"])
    process.close()
    assert MESSAGE_LIMIT - 3 < len(event["message"].encode()) <= MESSAGE_LIMIT


def test_a_trial_object_is_cut_as_well() -> None:
    shown = {"number": 1, "series": {f"series_{n}": [0.123456] * 250 for n in range(100)}, "params": {"x": 1}}
    cut = fitted(shown, trial_objects.BYTES, trial_objects.DIVISIBLE)
    assert size(cut) <= trial_objects.BYTES and cut["params"] == {"x": 1} and cut[OMITTED] == ["series"]
