"""Templates in a ConfigMap: found beside the Experiment in a file, and in its own namespace in a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubetuna.cli.main import _guarded, app
from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_experiment, parse_file_text
from kubetuna.parsing.shape import KATIB
from kubetuna.parsing.yaml_text import load_documents
from kubetuna_operator.katib.watches import EXPERIMENTS
from kubetuna_operator.kube.api_client import collection
from tests.apiserver.cluster import NAMESPACE
from tests.apiserver.failures import Failure
from tests.local.runs import experiment
from tests.unit.katib.test_serving import THEIRS, KatibLab

EXPERIMENT = (Path(__file__).parents[2] / "corpus" / "katib" / "config-map.yaml").read_text()
TEMPLATE = """
    apiVersion: batch/v1
    kind: Job
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: training
            image: i
            command: [train, "--lr=${trialParameters.learningRate}", "--m=${trialParameters.momentum}"]
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}}}\ndata:\n  {}: |{}"


def beside(name: str = "templates", key: str = "job.yaml", text: str = TEMPLATE) -> str:
    return f"{CONFIG_MAP.format(name, key, text)}\n---\n{EXPERIMENT}"


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_may_hold_the_config_map_beside_the_experiment(order: int) -> None:
    found = parse_file_text("\n---\n".join(beside().split("\n---\n")[::order]))
    (experiment_, template) = (load_documents(text)[0] for text in (EXPERIMENT, TEMPLATE))
    written = {**experiment_["spec"]["trialTemplate"], "trialSpec": template}
    del written["configMap"]
    expected = parse_experiment({**experiment_, "spec": {**experiment_["spec"], "trialTemplate": written}})
    assert found.template == expected.template and "learningRate" in json.dumps(found.raw)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EXPERIMENT, {}),
        (beside(name="others"), {"spec.trialTemplate.configMap.configMapName": 'Not found: "templates"'}),
        (
            beside(key="job.yml"),
            {"spec.trialTemplate.configMap.templatePath": 'supported values: "job.yml"; did you mean "job.yml"?'},
        ),
        (beside(text="\n    a: [1"), {"ConfigMap templates, job.yaml": "line"}),
        (beside(text="\n    training"), {"ConfigMap templates, job.yaml": "must hold one object"}),
        (
            beside(text="\n    {apiVersion: batch/v1, kind: Job, spec: {}}"),
            {"spec.trialTemplate.trialSpec.spec.template.spec.containers": "Required value"},
        ),
        (
            beside().replace("configMapName: templates", "configMapName: 3"),
            {"spec.trialTemplate.configMap.configMapName": "Invalid value: 3: must be text"},
        ),
        (
            beside().replace(", templatePath: job.yaml", ""),
            {"spec.trialTemplate.configMap.templatePath": "Required value"},
        ),
        (f"{beside()}\n---\n{EXPERIMENT}", {"file": "holds 2 documents; must hold one Experiment"}),
        (beside().replace("kubeflow.org/v1beta1", "kubetuna.dev/v1alpha1"), {"file": "holds 2 documents"}),
    ],
)
def test_what_cannot_be_read_is_said_with_its_field(text: str, said: dict[str, str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_file_text(text)
    found = {problem.path: problem.message for problem in caught.value.problems}
    said = said or {"spec.trialTemplate.configMap.configMapName": "put the ConfigMap into the same file"}
    for path, message in said.items():
        assert message in found.get(path, ""), found


def test_migrate_writes_the_template_into_the_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(beside())
    assert _guarded(lambda: app(["migrate", str(tmp_path / "a.yaml")])) == 0
    assert parse_file_text(capsys.readouterr().out).template == parse_file_text(beside()).template


class ConfigMapLab(KatibLab):
    """Where a template is kept in a ConfigMap."""

    def submit(self, namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
        reference = {"configMapName": "templates", "configMapNamespace": namespace, "templatePath": "pod"}
        document = json.loads(experiment("", maxTrialCount=3, **spec))
        document["apiVersion"] = KATIB
        document["spec"]["trialTemplate"] = {"configMap": reference}
        return self.api.create(collection(EXPERIMENTS, NAMESPACE), document)

    def keep_template(self) -> None:
        template = json.loads(experiment(""))["spec"]["trialTemplate"]["trialSpec"]
        body = {"metadata": {"name": "templates"}, "data": {"pod": json.dumps(template)}}
        self.api.create(collection("configmaps", NAMESPACE), body)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[ConfigMapLab]:
    made = ConfigMapLab(tmp_path)
    yield made
    made.close()


def refuse(method: str, path: str) -> None:
    if "configmaps" in path:
        raise Failure(403, "Forbidden", "configmaps is forbidden: no rights")


def succeeded(lab: ConfigMapLab) -> None:
    lab.until(lambda: lab.holds("Succeeded") and lab.shown_status().get("trialsSucceeded") == 3)


def test_a_template_is_read_from_the_config_map_of_its_namespace(lab: ConfigMapLab) -> None:
    lab.keep_template()
    lab.submit()
    succeeded(lab)


def test_one_that_is_made_later_is_found_then(lab: ConfigMapLab) -> None:
    lab.submit()
    lab.until(lambda: lab.holds("Failed"))
    assert 'configMapName: Not found: "templates"' in lab.said()
    lab.keep_template()
    succeeded(lab)
    assert not lab.holds("Failed")


def test_one_that_may_not_be_read_is_read_once_it_may(lab: ConfigMapLab) -> None:
    lab.keep_template()
    lab.operators[-1].before = refuse
    lab.submit()
    lab.until(lambda: lab.holds("Failed"))
    assert "forbidden" in lab.said()
    lab.operators[-1].before = lambda method, path: None
    succeeded(lab)


def test_one_of_another_namespace_is_refused(lab: ConfigMapLab) -> None:
    lab.submit("kube-system")
    lab.until(lambda: lab.holds("Failed"))
    assert f"copy the ConfigMap into {NAMESPACE}" in lab.said() and not lab.made


def test_a_config_map_that_goes_costs_a_running_experiment_nothing(lab: ConfigMapLab) -> None:
    lab.keep_template()
    lab.submit()
    succeeded(lab)
    lab.api.delete(f"{collection('configmaps', NAMESPACE)}/templates")
    lab.operators[0].kill()
    lab.serve()
    lab.api.merge(THEIRS, {"spec": {"maxTrialCount": 4}})
    lab.until(lambda: "Not found" in lab.said())
    assert lab.holds("Succeeded")
    lab.keep_template()
    lab.until(lambda: lab.holds("Succeeded") and lab.shown_status().get("trialsSucceeded") == 4)
