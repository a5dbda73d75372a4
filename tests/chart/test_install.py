"""A release on a real cluster, as a person would use it: with its database, its page, its test, and its end."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.engine import make_url

from kubetuna.parsing.shape import KATIB
from tests.chart.charts import CHART, call
from tests.chart.release import SECRET, Release

# The first one waits for a whole cluster, and for its images.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# Fails where a trial can see a credential, of the database or of the cluster.
TRIAL = """
import os
assert "postgresql" not in str(dict(os.environ)).lower()
assert not os.path.exists("/var/run/secrets/kubernetes.io")
print("loss=" + os.environ["KUBETUNA_PARAM_X"])
"""


def ask(port: int, path: str, method: str = "GET", body: Any = None) -> Any:
    """The answer of the dashboard's API, or the code with which it refuses."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code


def studies(port: int) -> dict[str, int]:
    return {s["study_name"]: s["study_id"] for s in ask(port, "studies")["study_summaries"]}


def test_trials_see_no_credentials_and_the_page_shows_them_and_changes_nothing(release: Release) -> None:
    release.run("seen", TRIAL)
    assert release.ended("seen")["trialsSucceeded"] == 2
    with release.forwarded("kubetuna-dashboard", 8080) as port:
        (name,) = [name for name in studies(port) if name.startswith(f"{release.namespace}/seen")]
        number = studies(port)[name]
        assert len(ask(port, f"studies/{number}")["trials"]) == 2
        refused = [
            ask(port, f"studies/{number}/note", "PUT", {"body": "mine", "version": 1}),
            ask(port, f"studies/{number}", "DELETE"),
            ask(port, "studies", "POST", {"study_name": "mine", "directions": ["minimize"]}),
        ]
        assert all(isinstance(code, int) and code >= 400 for code in refused), refused
        assert studies(port)[name] == number and "mine" not in studies(port)


def test_the_pages_role_reads_and_cannot_write_and_others_are_refused(release: Release) -> None:
    secret = release.secret()
    with release.forwarded("kubetuna-postgres", 5432) as port:
        reader = sqlalchemy.create_engine(make_url(secret["read-only-url"]).set(host="127.0.0.1", port=port))
        with reader.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM studies")).scalar() is not None
        for statement in ("DELETE FROM studies", "CREATE TABLE mine (x int)", "CREATE ROLE mine"):
            with reader.connect() as connection, pytest.raises(sqlalchemy.exc.ProgrammingError, match="denied"):
                connection.execute(text(statement))
        reader.dispose()
        guessed = make_url(secret["url"]).set(host="127.0.0.1", port=port, password="guessed")
        stranger = sqlalchemy.create_engine(guessed)
        with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
            stranger.connect()


def test_a_template_that_names_the_databases_secret_gets_no_pod(release: Release) -> None:
    """In the operator's own namespace a Pod could read it; the cluster refuses a trial's."""
    source = {"secretKeyRef": {"name": SECRET, "key": "url"}}
    release.run("curious", "print('loss=1')", env=[{"name": "URL", "valueFrom": source}])
    message = release.condition("curious", "Stalled")["message"]
    assert "a trial may not read the Secret of kubetuna's database" in message
    assert not release.get("pods", "-l", "kubetuna.dev/experiment=curious")["items"]
    release.kubectl("-n", release.namespace, "delete", "experiment", "curious", "--timeout", "60s")


def test_a_database_secret_without_the_pages_key_is_refused_before_anything_is_installed(release: Release) -> None:
    release.kubectl("-n", release.namespace, "create", "secret", "generic", "partial", "--from-literal=url=x")
    words = ("install", "y", str(CHART), "--dry-run=server", "-n", release.namespace)
    values = ("--set", "database.existingSecret=partial")
    told = call("helm", *words, *values, code=1, kubeconfig=release.cluster.kubeconfig)
    assert "the Secret partial has no key read-only-url" in told


def test_an_attempt_may_be_a_job_and_what_happens_is_an_event(release: Release) -> None:
    """With the rights that the chart gives the operator, and no others."""
    release.run("batch", TRIAL, kind="Job")
    assert release.ended("batch")["trialsSucceeded"] == 2
    events = release.get("events", "--field-selector", "involvedObject.kind=Experiment,involvedObject.name=batch")
    assert events["items"]


def test_helm_test_runs_an_experiment_again_and_again(release: Release) -> None:
    for _ in range(2):
        assert "Succeeded" in release.helm("test", "x", "--timeout", "3m")
    names = [e["metadata"]["name"] for e in release.get("experiments")["items"]]
    assert "kubetuna-test" not in names


def test_an_upgrade_keeps_the_passwords_and_the_studies(release: Release) -> None:
    release.run("early", TRIAL)
    release.ended("early")
    before = release.secret()
    release.install("--set", "replicas=2")
    assert release.secret() == before
    assert len(release.get("lease")["items"]) == 1
    release.run("later", TRIAL)
    assert release.ended("later")["trialsSucceeded"] == 2
    with release.forwarded("kubetuna-dashboard", 8080) as port:
        assert {name.split("/")[1].split("-")[0] for name in studies(port)} >= {"early", "later"}


def test_what_people_made_survives_the_release(release: Release) -> None:
    """The CRDs, the Experiments, the data and the Secret that opens it; installed again, it goes on."""
    release.run("lasting", TRIAL)
    release.ended("lasting")
    secret = release.secret()
    release.helm("uninstall", "x", "--wait", "--timeout", "2m")
    assert not release.get("deployments")["items"]
    assert release.get("experiment", "lasting")["status"]["trialsSucceeded"] == 2
    assert release.secret() == secret
    release.install()
    assert release.get("secret", SECRET)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    with release.forwarded("kubetuna-dashboard", 8080) as port:
        assert [name for name in studies(port) if name.startswith(f"{release.namespace}/lasting")]


def test_katibs_experiments_are_served_with_the_rights_that_the_chart_gives(release: Release) -> None:
    """And only where Katib itself is not: its definitions are another controller's."""
    crds = [str(path) for path in sorted((CHART / "crds-katib").glob("*.yaml"))]
    for path in crds:
        release.kubectl("create", "-f", path)
    served = ("--set", "katib.enabled=true")
    with pytest.raises(AssertionError, match="two controllers cannot serve one kind"):
        release.install(*served)
    for path in crds:
        release.kubectl("delete", "-f", path)
    try:
        release.install(*served)
        release.run("theirs", TRIAL, version=KATIB)
        theirs = "experiments.kubeflow.org/theirs"
        release.kubectl("-n", release.namespace, "wait", "--for=condition=Succeeded", theirs, "--timeout", "120s")
        assert release.get(theirs)["status"]["trialsSucceeded"] == 2
        assert len(release.get("trials.kubeflow.org")["items"]) == 2
        release.kubectl("-n", release.namespace, "delete", theirs)
    finally:
        for path in crds:
            release.kubectl("delete", "-f", path, "--ignore-not-found")
        release.install()
