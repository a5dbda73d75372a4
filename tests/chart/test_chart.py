"""The chart as it renders: one source of CRDs, refusals before anything is installed, least privilege."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests.render import CRDS, KATIB_CRDS, crds

from kubetuna.experiment.kinds import KINDS
from kubetuna.parsing.definition import definitions, katib_definitions
from tests.chart.charts import CHART, DEMO, OWN_DATABASE, PROJECT, Object, helm, pod_specs, rendered

CASES = sorted((CHART / "ci").glob("*-values.yaml"))
cluster_marked = pytest.mark.cluster


def test_the_crds_are_what_the_shapes_say() -> None:
    for folder, found in ((CRDS, definitions()), (KATIB_CRDS, katib_definitions())):
        written = {path.name: path.read_text() for path in folder.glob("*.yaml")}
        assert written == crds(found), "run: make manifests"


def test_kustomize_installs_every_crd_of_the_chart() -> None:
    names = yaml.safe_load((CRDS / "kustomization.yml").read_text())["resources"]
    assert sorted(names) == sorted(path.name for path in CRDS.glob("*.yaml"))
    (base,) = yaml.safe_load((PROJECT / "manifests" / "crd" / "kustomization.yml").read_text())["resources"]
    assert (PROJECT / "manifests" / "crd" / base).resolve() == CRDS


def test_the_values_schema_knows_every_value_and_nothing_more() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _paths(values) == _known(schema, schema) - {("global",)}


def _paths(values: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every value's path; a map that is empty by default is for the user to fill."""
    found: set[tuple[str, ...]] = set()
    for name, value in values.items():
        nested = isinstance(value, dict) and value and name != "resources"
        found |= _paths(value, (*above, name)) if nested else {(*above, name)}
    return found


def _known(schema: dict[str, Any], whole: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if "$ref" in schema:
        schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        return {above}
    assert schema["additionalProperties"] is False, above
    parts = [_known(part, whole, (*above, name)) for name, part in schema["properties"].items()]
    return set().union(*parts)


@cluster_marked
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_it_passes_helms_own_checks(values: Path) -> None:
    helm("lint", "--strict", str(CHART), "--values", str(values))
    helm("template", "x", str(CHART), "--values", str(values))


@cluster_marked
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no database: set database.existingSecret"),
        ((*DEMO, *OWN_DATABASE), "exclude each other"),
        ((*DEMO, "--set", "replica=2"), "replica"),
        ((*DEMO, "--set", "replicas=0"), "replicas"),
        ((*DEMO, "--set", "image.digest=0123"), "digest"),
        ((*DEMO, "--set", "postgres.image.tga=17"), "tga"),
        ((*DEMO, "--set", "watchNamespaces={A_B}"), "watchNamespaces"),
        ((*DEMO, "--set", "postgres.storage=much"), "storage"),
        ((*DEMO, "--set", "workloads={pytorchjob}"), "workloads"),
    ],
)
def test_it_refuses_what_it_does_not_know(words: tuple[str, ...], said: str) -> None:
    assert said in helm("template", "x", str(CHART), *words, code=1)


@cluster_marked
@pytest.mark.parametrize(
    ("words", "kinds"),
    [((), {"Role"}), (("--set", "watchNamespaces={a,b}"), {"Role"}), (("--set", "watchAll=true"), {"ClusterRole"})],
)
def test_the_operator_may_do_no_more_than_it_does(words: tuple[str, ...], kinds: set[str]) -> None:
    roles = [o for o in rendered(*words) if o["kind"] in ("Role", "ClusterRole") and not _hook(o)]
    own = [o for o in roles if "aggregate" not in str(o["metadata"].get("labels"))]
    assert {o["kind"] for o in own if "lease" not in o["metadata"]["name"]} == kinds
    for rule in (rule for role in own for rule in role["rules"]):
        assert not {"secrets", "pods/exec", "configmaps", "*"} & {
            *rule["resources"],
            *rule["verbs"],
            *rule["apiGroups"],
        }


@cluster_marked
@pytest.mark.parametrize("served", [True, False])
def test_katibs_group_is_served_only_where_that_is_asked_for(served: bool) -> None:
    found = rendered("--set", f"katib.enabled={json.dumps(served)}")
    crds = {o["metadata"]["name"] for o in found if o["kind"] == "CustomResourceDefinition"}
    assert ({"experiments.kubeflow.org", "trials.kubeflow.org"} <= crds) is served
    rules = [rule for o in found if o["kind"] == "Role" and not _hook(o) for rule in o["rules"]]
    assert ([r for r in rules if r["apiGroups"] == ["kubeflow.org"]] != []) is served
    assert ("create" in {v for r in rules if r["resources"] == ["experiments"] for v in r["verbs"]}) is served
    (operator,) = [o for o in found if o["kind"] == "Deployment" and o["metadata"]["name"] == "kubetuna-operator"]
    environment = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert ({"name": "KUBETUNA_KATIB", "value": "true"} in environment) is served


@cluster_marked
@pytest.mark.parametrize("way", ["watchAll=true", "watchAll=false"])
def test_the_rights_for_a_workload_are_given_by_its_name_and_to_no_other(way: str) -> None:
    named = [kind for kind in KINDS.values() if kind.judged]
    words = ",".join([*(kind.plural for kind in named), "workflows.argoproj.io"])
    wanted = {(kind.api_version.partition("/")[0], kind.plural) for kind in named} | {("argoproj.io", "workflows")}
    for value, expected in (("", set()), (f"{{{words}}}", wanted)):
        roles = rendered("--set", way, *(("--set", f"workloads={value}") if value else ()))
        rules = [rule for o in roles if o["kind"] in ("Role", "ClusterRole") for rule in o.get("rules") or ()]
        given = {(g, r): rule["verbs"] for rule in rules for g in rule["apiGroups"] for r in rule["resources"]}
        assert {key for key in given if key in wanted} == expected
        patched = {kind.plural for kind in named if kind.held}
        for group, plural in expected:
            verbs = ["get", "create", "delete", *(["patch"] if plural in patched else [])]
            assert given[group, plural] == verbs


@cluster_marked
def test_what_an_object_leaves_may_be_seen_and_deleted_and_not_made() -> None:
    for kind in (kind for kind in KINDS.values() if kind.leaves is not None):
        found = rendered("--set", f"workloads={{{kind.plural}}}")
        rules = [rule for o in found if o["kind"] in ("Role", "ClusterRole") for rule in o.get("rules") or ()]
        (given,) = [rule["verbs"] for rule in rules if rule["resources"] == [kind.leaves.plural]]
        assert given == ["get", "delete"]


def test_the_chart_knows_the_group_of_every_kind() -> None:
    text = (CHART / "templates" / "_names.tpl").read_text().partition('define "kubetuna.workloads" -}}')[2]
    groups = yaml.safe_load(text.partition("{{")[0])
    assert groups == {k.plural: k.api_version.partition("/")[0] for k in KINDS.values() if k.judged}
    schema = json.loads((CHART / "values.schema.json").read_text())
    (pattern,) = {schema["properties"]["workloads"]["items"]["pattern"]}
    assert all(re.match(pattern, plural) for plural in (*groups, "workflows.argoproj.io"))
    assert not re.match(pattern, "pytorchjob")


def _hook(obj: Object) -> bool:
    return "helm.sh/hook" in (obj["metadata"].get("annotations") or {})


@cluster_marked
def test_the_operator_has_rights_in_the_namespaces_that_it_watches_and_no_others() -> None:
    roles = [o for o in rendered("--set", "watchNamespaces={a,b}") if o["kind"] == "Role" and not _hook(o)]
    watching = {o["metadata"].get("namespace") for o in roles if o["metadata"]["name"] == "kubetuna-operator"}
    assert watching == {"a", "b"}


@cluster_marked
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_every_pod_is_one_that_a_restricted_namespace_admits(values: Path) -> None:
    for name, spec in pod_specs(rendered("--values", str(values), database=())).items():
        context = spec["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


@cluster_marked
def test_passwords_are_in_the_secret_alone_and_the_page_gets_the_readers() -> None:
    objects = rendered(database=DEMO)
    (secret,) = [o for o in objects if o["kind"] == "Secret"]
    made = secret["stringData"]
    drawn = {name: made[name] for name in ("admin-password", "password", "reader-password")}
    assert len(set(drawn.values())) == 3 and all(len(value) == 32 for value in drawn.values())
    assert made["url"] == f"postgresql+psycopg2://kubetuna:{drawn['password']}@kubetuna-postgres/kubetuna"
    assert f"kubetuna_reader:{drawn['reader-password']}@" in made["read-only-url"]
    others = json.dumps([o for o in objects if o["kind"] != "Secret"])
    assert not [name for name, value in drawn.items() if value in others]
    pods = pod_specs(objects)
    assert _keys_of(pods["Deployment/kubetuna-dashboard"]) == {"read-only-url"}
    assert _keys_of(pods["Deployment/kubetuna-operator"]) == {"url"}
    assert pods["Deployment/kubetuna-dashboard"]["automountServiceAccountToken"] is False


def _keys_of(spec: dict[str, Any]) -> set[str]:
    sources = [e.get("valueFrom", {}).get("secretKeyRef") for c in spec["containers"] for e in c["env"]]
    return {source["key"] for source in sources if source}


@cluster_marked
def test_the_database_and_the_page_are_closed_to_other_pods() -> None:
    policies = {o["metadata"]["name"]: o["spec"] for o in rendered(database=DEMO) if o["kind"] == "NetworkPolicy"}
    (entry,) = policies["kubetuna-postgres"]["ingress"]
    admitted = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in entry["from"]]
    assert sorted(admitted) == ["dashboard", "operator"]
    assert "ingress" not in policies["kubetuna-dashboard"]
    off = rendered("--set", "networkPolicy.enabled=false", database=DEMO)
    assert not [o for o in off if o["kind"] == "NetworkPolicy"]


@cluster_marked
def test_trials_of_named_namespaces_reach_names_and_what_is_allowed() -> None:
    allowed = '[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]'
    names = ("--set", "networkPolicy.trials.namespaces={a,b}")
    found = rendered(*names, "--set-json", f"networkPolicy.trials.egress={allowed}")
    closed = [o for o in found if o["metadata"].get("namespace") in ("a", "b")]
    assert [o["metadata"]["namespace"] for o in closed] == ["a", "b"]
    for spec in [o["spec"] for o in closed]:
        (trials,) = spec["podSelector"]["matchExpressions"]
        assert trials == {"key": "kubetuna.dev/experiment", "operator": "Exists"}
        assert [[port["port"] for port in rule.get("ports", [])] for rule in spec["egress"]] == [[53, 53], []]
        assert spec["egress"][1] == json.loads(allowed)[0] and spec["policyTypes"] == ["Egress"]


@cluster_marked
def test_a_digest_wins_over_a_tag_and_the_charts_version_stands_for_none() -> None:
    digest = "sha256:" + "0" * 64
    images = {
        flag: pod_specs(rendered(*flag))["Deployment/kubetuna-operator"]["containers"][0]["image"]
        for flag in [(), ("--set", "image.tag=edge"), ("--set", f"image.tag=edge,image.digest={digest}")]
    }
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert list(images.values()) == [
        f"kubetuna-operator:{version}",
        "kubetuna-operator:edge",
        f"kubetuna-operator@{digest}",
    ]


@cluster_marked
def test_crds_stay_when_the_release_goes() -> None:
    crds = [o for o in rendered() if o["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 2
    assert {o["metadata"]["annotations"]["helm.sh/resource-policy"] for o in crds} == {"keep"}
    assert not [o for o in rendered("--set", "crds.enabled=false") if o["kind"] == "CustomResourceDefinition"]
