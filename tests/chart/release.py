"""Experiments in a namespace, and a release of the chart, handled with the programs that a person would use."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubetuna.parsing.shape import KATIB
from tests.chart.charts import CHART, DEMO, call, program
from tests.cluster.conftest import Cluster

SECRET = "kubetuna-database"
OURS = "kubetuna.dev/v1alpha1"


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace of a cluster."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *words: str) -> str:
        return call("kubectl", *words, kubeconfig=self.cluster.kubeconfig)

    def get(self, *words: str) -> dict[str, Any]:
        """An object or a list, in this namespace."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-n", self.namespace, "-o", "json"))
        return found

    def run(self, name: str, script: str, kind: str = "Pod", version: str = OURS, **container_fields: Any) -> None:
        """Apply an experiment of two trials that run a Python script, as Pods or as Jobs.

        One of Katib's keeps its template in a ConfigMap, which takes a right more.
        """
        container = {"name": "trial", "image": self.cluster.image, "command": ["python3", "-u", "-c", script]}
        container |= container_fields
        pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
        spec: dict[str, Any] = {
            "maxTrialCount": 2,
            "parallelTrialCount": 2,
            "objective": {"type": "minimize", "objectiveMetricName": "loss"},
            "algorithm": {"algorithmName": "random"},
            "parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}],
            "trialTemplate": {"trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": pod}},
        }
        if kind == "Job":
            job = {"backoffLimit": 0, "template": {"spec": pod}}
            spec["trialTemplate"] = {"trialSpec": {"apiVersion": "batch/v1", "kind": "Job", "spec": job}}
        objects: list[dict[str, Any]] = []
        if version == KATIB:
            place = {"configMapName": name, "configMapNamespace": self.namespace, "templatePath": "trial"}
            data = {"trial": json.dumps(spec["trialTemplate"]["trialSpec"])}
            objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
            spec["trialTemplate"] = {"configMap": place}
        head = {"apiVersion": version, "kind": "Experiment", "metadata": {"name": name}}
        document = "\n---\n".join(map(json.dumps, [*objects, {**head, "spec": spec}]))
        words = ("apply", "-n", self.namespace, "-f", "-")
        call("kubectl", *words, stdin=document, kubeconfig=self.cluster.kubeconfig)

    def ended(self, name: str) -> dict[str, Any]:
        """Wait for an experiment's success; its status."""
        wait = ("wait", "--for=condition=Succeeded", f"experiment/{name}", "--timeout", "120s")
        self.kubectl("-n", self.namespace, *wait)
        found: dict[str, Any] = self.get("experiment", name)["status"]
        return found

    def condition(self, name: str, kind: str) -> dict[str, str]:
        """Wait until a condition of an experiment holds; the condition."""
        self.kubectl(
            "-n", self.namespace, "wait", f"--for=condition={kind}", f"experiment/{name}", "--timeout", "60s"
        )
        conditions = self.get("experiment", name)["status"]["conditions"]
        found: dict[str, str] = next(c for c in conditions if c["type"] == kind)
        return found

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[int]:
        """The local port at which `kubectl port-forward` makes a Service reachable."""
        command = [program("kubectl"), "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace]
        command += ["port-forward", f"service/{service}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
                assert found, "kubectl port-forward did not say where it listens"
                yield int(found[1])
            finally:
                process.terminate()


@dataclass(frozen=True, slots=True)
class Release(Space):
    """The chart with its demo database, as release `x` in a namespace."""

    def helm(self, *words: str) -> str:
        return call("helm", *words, "-n", self.namespace, kubeconfig=self.cluster.kubeconfig)

    def install(self, *values: str) -> None:
        """Install, or upgrade; CRDs that others brought are taken as they are."""
        theirs = ("--set", "crds.enabled=false") if self.foreign_crds() else ()
        flags = ("--install", "--wait", "--timeout", "4m")
        self.helm("upgrade", "x", str(CHART), *DEMO, *theirs, *flags, *values)

    def foreign_crds(self) -> bool:
        """Whether there are CRDs that are not this release's."""
        crds = [crd for crd in self.get("crd")["items"] if crd["spec"]["group"] == "kubetuna.dev"]
        owner = "meta.helm.sh/release-namespace"
        return any(crd["metadata"].get("annotations", {}).get(owner) != self.namespace for crd in crds)

    def remove(self) -> None:
        """End it and everything in its namespace."""
        self.kubectl("-n", self.namespace, "delete", "experiments", "--all", "--timeout", "60s")
        self.helm("uninstall", "x", "--wait", "--ignore-not-found")
        self.kubectl("delete", "namespace", self.namespace, "--timeout", "120s")

    def secret(self) -> dict[str, str]:
        """The database's Secret, decoded."""
        data = self.get("secret", SECRET)["data"]
        return {name: base64.b64decode(value).decode() for name, value in data.items()}
