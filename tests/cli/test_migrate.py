"""Katib's Experiments as ours: the same search, and everything that is not is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from kubetuna.cli.main import _guarded, app
from kubetuna.errors import KubetunaError, SpecError
from kubetuna.parsing.katib_migration import as_yaml, migrate
from kubetuna.parsing.parse import parse_experiment, parse_file_text
from kubetuna.parsing.yaml_text import load_documents
from kubetuna.store.database import open_engine
from kubetuna.study.warm_start import take_over
from kubetuna_operator.backend import ClusterBackend
from kubetuna_operator.kube.api_client import Refused

OWN = Path(__file__).parents[1] / "corpus" / "katib"
ACCEPTED = [file for file in sorted(OWN.glob("*.yaml")) if file.read_text().startswith("# accepted")]


def read(name: str) -> Any:
    (document,) = load_documents((OWN / f"{name}.yaml").read_text())
    return document


def call(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = _guarded(lambda: app(list(words)))
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize("file", ACCEPTED, ids=lambda file: file.stem)
def test_what_is_printed_is_the_same_search(file: Path) -> None:
    (document,) = load_documents(file.read_text())
    before, made = parse_experiment(document), migrate(document)
    after = parse_file_text(as_yaml(made.document))
    for name in (
        "parameters",
        "objectives",
        "algorithm",
        "pruner",
        "strategies",
        "parallel",
        "max_trials",
        "collector",
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert (after.template.kind, after.template.substitutions) == (
        before.template.kind,
        before.template.substitutions,
    )
    assert made.document["apiVersion"] == "kubetuna.dev/v1alpha1" and made.changes
    assert not any("has no effect" in warning for warning in after.warnings)


def test_the_exit_code_tells_whether_something_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in (("random", 0), ("cmaes", 1), ("custom-collector", 2), ("other-version", 2)):
        found, text, said = call("migrate", str(OWN / f"{name}.yaml"), capsys=capsys)
        assert found == code and said, name
        assert bool(text) == (code < 2)
    assert (
        "no counterpart for spec.algorithm.algorithmSettings.restart_strategy"
        in call("migrate", str(OWN / "cmaes.yaml"), capsys=capsys)[2]
    )


def test_json_has_what_changed_and_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, said = call("migrate", str(OWN / "tpe.yaml"), "--json", capsys=capsys)
    (one,) = json.loads(text)["experiments"]
    assert {"path": "spec.algorithm.algorithmSettings.random_state", "was": "random_state", "now": "seed",
            "why": "its name in Optuna"} in one["changed"] and not said  # fmt: skip
    assert [lost["path"] for lost in one["withoutCounterpart"]] == ["spec.algorithm.algorithmSettings.gamma"]
    code, text, _ = call("migrate", str(OWN / "pbt.yaml"), "--json", capsys=capsys)
    (refused,) = json.loads(text)["refused"]
    assert code == 2 and refused["name"] == "pbt"
    assert refused["problems"][0]["path"] == "spec.algorithm.algorithmName"


def test_an_object_as_the_api_server_has_it_becomes_one_that_can_be_applied() -> None:
    """With what Katib's webhook and the server have put into it."""
    document = read("random")
    document["metadata"] |= {
        "uid": "u", "resourceVersion": "5", "managedFields": [{}], "finalizers": ["update-prometheus-metrics"],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "a"},
    }  # fmt: skip
    document["status"] = {"trials": 3}
    document["spec"] |= {"resumePolicy": "Never", "metricsCollectorSpec": {"collector": {"kind": "StdOut"}}}
    document["spec"]["parameters"].append(
        {"name": "o", "parameterType": "categorical", "feasibleSpace": {"list": ["a"], "distribution": "uniform"}}
    )
    template = document["spec"]["trialTemplate"]
    template["trialParameters"].append({"name": "o", "reference": "o"})
    container = template["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    container["command"].append("${trialParameters.o}")
    template |= {"successCondition": 'status.conditions.#(type=="Complete")#', "failureCondition": "status.x"}
    made = migrate(document)
    assert made.document["metadata"] == {"namespace": "kubeflow", "name": "random", "annotations": {"team": "a"}}
    assert "status" not in made.document and not made.lost
    assert not {"resumePolicy", "metricsCollectorSpec"} & {*made.document["spec"]}
    assert made.document["spec"]["parameters"][2]["feasibleSpace"] == {"list": ["a"]}
    assert "successCondition" not in made.document["spec"]["trialTemplate"]


def test_a_file_without_an_algorithm_keeps_the_one_that_it_had() -> None:
    document = read("random")
    del document["spec"]["algorithm"]
    made = migrate(document)
    assert parse_experiment(made.document).algorithm == parse_experiment(document).algorithm


def test_a_jobs_own_retries_become_those_of_the_experiment() -> None:
    document = read("random")
    job = document["spec"]["trialTemplate"]["trialSpec"]["spec"]
    job["backoffLimit"] = 4
    job["template"]["spec"]["restartPolicy"] = "OnFailure"
    made = migrate(document)
    assert made.document["spec"]["retryPolicy"] == {"limit": 4} and not made.lost
    assert parse_experiment(made.document).retry_limit == 4


def test_fields_of_other_versions_are_left_out_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = read("random")
    document["spec"]["trialTemplate"]["goTemplate"] = {"rawTemplate": "x"}
    document["spec"]["parameters"][0]["feasible"] = {"min": "1"}
    document["spec"] |= {"a.b[0]": 1, "a": {"b": None}, "\x1b": 2, "empty": ""}
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump(document))
    code, text, said = call("migrate", str(file), capsys=capsys)
    assert code == 1 and "goTemplate" not in text and "feasible:" not in text
    assert "spec.trialTemplate.goTemplate" in said and "spec.parameters[0].feasible" in said
    assert "a.b[0]" not in text and "\x1b" not in text + said


@pytest.mark.parametrize(
    ("edits", "path"),
    [
        ({"apiVersion": "kubeflow.org/v1alpha3"}, "apiVersion"),
        ({"apiVersion": "kubetuna.dev/v1alpha1"}, "apiVersion"),
        ({"kind": "Trial"}, "kind"),
        ({"spec": None}, "spec"),
        ({"spec": "none"}, "spec"),
    ],
)
def test_what_is_no_experiment_of_katibs_is_refused(edits: Mapping[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        migrate({**read("random"), **edits})
    assert caught.value.problems[0].path == path


def test_a_name_that_katib_takes_and_nobody_else_is_another_one() -> None:
    document = read("random")
    document["metadata"]["name"] = "a.b_c"
    made = migrate(document)
    assert made.name == "a-b-c" and [c.was for c in made.changes if c.path == "metadata.name"] == ["a.b_c"]


def test_other_documents_of_a_file_are_passed_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    both = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}, read("random"), read("grid")]
    file.write_text(yaml.safe_dump_all(both))
    code, text, _ = call("migrate", str(file), capsys=capsys)
    assert code == 0 and [d["metadata"]["name"] for d in load_documents(text)] == ["random", "grid"]


def test_a_file_or_a_cluster_is_needed_and_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), (str(OWN / "random.yaml"), "--cluster")):
        assert call("migrate", *words, capsys=capsys)[0] == 2


class Pages:
    """An API server with Katib's Experiments, one a page."""

    def __init__(self, items: list[Any], refusal: Refused | None = None) -> None:
        self.items, self.refusal, self.asked = items, refusal, list[str]()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.asked.append(path)
        if self.refusal is not None:
            raise self.refusal
        at = int(query["continue"] or 0)
        more = str(at + 1) if at + 1 < len(self.items) else ""
        return {"items": self.items[at : at + 1], "metadata": {"continue": more}}


def backend(pages: Pages) -> ClusterBackend:
    made = ClusterBackend.__new__(ClusterBackend)
    made._api = pages  # type: ignore[assignment]
    return made


def test_all_experiments_of_a_namespace_are_read_page_by_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [{k: v for k, v in read(name).items() if k not in ("apiVersion", "kind")} for name in ("random", "pbt")]
    pages = Pages(items)
    monkeypatch.setattr("kubetuna.cli.backends.cluster", lambda: backend(pages))
    code, text, said = call("migrate", "--cluster", "-n", "team", capsys=capsys)
    assert code == 2 and "name: random" in text and "pbt: spec.algorithm.algorithmName" in said
    assert pages.asked == ["/apis/kubeflow.org/v1beta1/namespaces/team/experiments"] * 2


@pytest.mark.parametrize(("code", "said"), [(404, "Katib is not installed"), (403, "the cluster refuses")])
def test_a_cluster_without_katib_or_rights_is_said(code: int, said: str) -> None:
    with pytest.raises(KubetunaError, match=said):
        backend(Pages([], Refused(code, "No", "no"))).katibs("experiments", "team")


def trial(number: int, end: str, value: str | None, experiment: str = "random", **params: str) -> dict[str, Any]:
    """As ``kubectl get trials -o yaml`` shows one of Katib's."""
    assigned = {"lr": "0.02", "momentum": "0.6", **params}
    metrics = [] if value is None else [{"name": "loss", "min": value, "max": "9", "latest": "5"}]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Trial",
        "metadata": {
            "name": f"{experiment}-{number}",
            "labels": {"katib.kubeflow.org/experiment": experiment},
            "creationTimestamp": f"2026-01-0{number + 1}T00:00:00Z",
        },
        "spec": {"parameterAssignments": [{"name": n, "value": v} for n, v in assigned.items()]},
        "status": {
            "startTime": "2026-01-01T00:00:00Z",
            "completionTime": "2026-01-01T00:05:00Z",
            "conditions": [{"type": "Created", "status": "True"}, {"type": end, "status": "True"}],
            "observation": {"metrics": metrics},
        },
    }


HISTORY = [
    trial(1, "Succeeded", "0.5", lr="0.03"),
    trial(0, "Succeeded", "0.25"),
    trial(2, "Failed", None),
    trial(3, "EarlyStopped", "0.7"),
    trial(4, "MetricsUnavailable", "unavailable"),
    trial(5, "Succeeded", "unavailable"),
    trial(6, "Running", "0.1"),
    trial(7, "Succeeded", "0.1", lr="7"),
    trial(8, "Succeeded", "0.1", experiment="another"),
    {"kind": "Trial", "metadata": {"labels": "none"}, "status": []},
]


def test_katibs_ended_trials_become_a_study_that_an_experiment_starts_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, store = tmp_path / "all.yaml", f"sqlite:///{tmp_path}/study.db"
    file.write_text(yaml.safe_dump_all([read("random"), {"kind": "List", "items": HISTORY}]))
    words = ("migrate", str(file), "--history", "--store", store)
    code, text, said = call(*words, capsys=capsys)
    assert code == 0 and "6 trials are in the store as study random-katib, 2 were left out" in said
    assert yaml.safe_load(text)["spec"]["warmStart"] == {"studies": [{"study": "random-katib", "trials": True}]}
    study = optuna.load_study(study_name="random-katib", storage=store)
    states = [(t.state.name, t.value, t.params["lr"]) for t in study.trials]
    assert states[:2] == [("COMPLETE", 0.25, 0.02), ("COMPLETE", 0.5, 0.03)]
    assert [state for state, *_ in states[2:]] == ["FAIL", "PRUNED", "FAIL", "FAIL"]
    assert study.direction.name == "MINIMIZE" and study.trials[0].duration.total_seconds() == 300
    earlier = take_over(open_engine(store), parse_file_text(text), "random")
    assert earlier.points[0] == {"lr": 0.02, "momentum": 0.6} and len(earlier.trials) == 2
    code, _, said = call(*words, capsys=capsys)
    assert code == 2 and "its history was copied before" in said


def test_of_a_cluster_the_study_lies_in_the_experiments_namespace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    experiment = {**read("random"), "metadata": {"name": "random", "namespace": "team"}}

    class Both(Pages):
        def get(self, path: str, **query: Any) -> dict[str, Any]:
            return {"items": HISTORY if path.endswith("/trials") else [experiment], "metadata": {}}

    monkeypatch.setattr("kubetuna.cli.backends.cluster", lambda: backend(Both([])))
    store = f"sqlite:///{tmp_path}/study.db"
    code, text, _ = call("migrate", "--cluster", "--history", "--store", store, "--json", capsys=capsys)
    assert code == 0 and json.loads(text)["history"][0]["study"] == "team/random-katib/katib"
    spec = parse_experiment(json.loads(text)["experiments"][0]["document"])
    assert len(take_over(open_engine(store), spec, "team/random/0123").trials) == 2
