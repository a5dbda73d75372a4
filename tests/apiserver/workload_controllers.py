"""Stand-ins for the controllers of workloads: they make Pods as those do, and say of an object how it has ended.

Only what the operator relies on: names, labels and owners of Pods, and conditions. How the controllers themselves
work is a matter for tests with the real ones.
"""

from __future__ import annotations

from typing import Any

from tests.apiserver.failures import Failure
from tests.apiserver.job_controller import make_pod, owns, reference, works
from tests.apiserver.resources import (
    JOBS,
    JOBSETS,
    PODS,
    PYTORCH_JOBS,
    TRAIN_JOBS,
    WORKFLOWS,
    Object,
    Resource,
    Target,
)
from tests.apiserver.server import Server

ROLE, NUMBER = "training.kubeflow.org/replica-type", "training.kubeflow.org/replica-index"


def _of_node(spec: Object) -> Object:
    """The one job of a runtime, as a TrainJob has it."""
    trainer, nodes = spec["trainer"], spec["trainer"].get("numNodes", 1)
    container = {"name": "node", "image": "runtime", **{k: trainer[k] for k in ("command", "env") if k in trainer}}
    (patch,) = spec["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]
    template = {"metadata": pod["metadata"], "spec": {"restartPolicy": "Never", "containers": [container]}}
    if "resourcesPerNode" in trainer:
        container["resources"] = trainer["resourcesPerNode"]
    template["spec"]["volumes"] = pod["spec"]["volumes"]
    work = {"parallelism": nodes, "completions": nodes, "backoffLimit": 0, "template": template}
    return {"name": job["name"], "template": {"spec": work}}


class WorkloadControllers:
    """One round at a time. ``asleep``: no controller runs, as where its CRD alone was installed."""

    def __init__(self, server: Server) -> None:
        self._server, self.asleep = server, False

    def tick(self) -> bool:
        """Carry everything one step on. Whether there was anything to do."""
        if self.asleep:
            return False
        with self._server.changed:
            return any(
                [
                    *self._each(TRAIN_JOBS, self._train_by_runtime),
                    *self._each(PYTORCH_JOBS, self._train),
                    *self._each(JOBSETS, self._set),
                    *self._workflows(),
                ]
            )

    def _each(self, resource: Resource, step: Any) -> list[bool]:
        living = filter(works, self._server.objects.of(resource))
        return [step(obj) for obj in living if not (obj.get("status") or {}).get("conditions")]

    def _pods(self, obj: Object) -> list[Object]:
        return [p for p in self._server.objects.of(PODS, obj["metadata"]["namespace"]) if owns(obj, p)]

    def _say(self, obj: Object, resource: Resource, **status: Any) -> bool:
        self._server.change(obj, lambda o: o.update(status={**(o.get("status") or {}), **status}), resource)
        return True

    def _end(self, obj: Object, resource: Resource, kind: str) -> bool:
        return self._say(obj, resource, conditions=[{"type": kind, "status": "True", "message": f"it is {kind}"}])

    def _train(self, job: Object) -> bool:
        """The first Pod's success is the job's; any failure is too. The others are left where they are."""
        pods, roles = self._pods(job), job["spec"]["pytorchReplicaSpecs"]
        made = {(p["metadata"]["labels"][ROLE], p["metadata"]["labels"][NUMBER]): p for p in pods}
        wanted = [(role, i) for role in reversed(roles) for i in range(roles[role].get("replicas", 1))]
        missing = [(role, i) for role, i in wanted if (role.lower(), str(i)) not in made]
        if any(p["status"]["phase"] == "Failed" for p in pods):
            return self._end(job, PYTORCH_JOBS, "Failed")
        leader = made.get(("master" if "Master" in roles else "worker", "0"))
        if leader is not None and leader["status"]["phase"] == "Succeeded":
            return self._end(job, PYTORCH_JOBS, "Succeeded")
        made = [self._make(job, role, i, roles[role]["template"]) for role, i in missing]
        return any(made)

    def _make(self, job: Object, role: str, index: int, template: Object) -> bool:
        given = (template.get("metadata") or {}).get("labels") or {}
        labels = {**given, ROLE: role.lower(), NUMBER: str(index)}
        return make_pod(
            self._server, job, template, {"name": f"{job['metadata']['name']}-{role.lower()}-{index}"}, labels
        )

    def _train_by_runtime(self, job: Object) -> bool:
        """A JobSet of the runtime's template, patched, with the TrainJob's name; its end is the TrainJob's."""
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        made = [o for o in self._server.objects.of(JOBSETS, namespace) if owns(job, o)]
        if not made:
            spec = {"replicatedJobs": [_of_node(job["spec"])]}
            body = {"metadata": {"name": name, "ownerReferences": [reference(job)]}, "spec": spec}
            return self._create(Target(JOBSETS, namespace), body)
        if job["spec"].get("suspend") and not made[0]["spec"].get("suspend"):
            self._server.change(made[0], lambda o: o["spec"].update(suspend=True), JOBSETS)
        ends = {c["type"] for c in (made[0].get("status") or {}).get("conditions") or ()}
        said = [word for end, word in (("Completed", "Complete"), ("Failed", "Failed")) if end in ends]
        return bool(said) and self._end(job, TRAIN_JOBS, said[0])

    def _set(self, jobset: Object) -> bool:
        """A Job for each replica, of which the Job controller makes Pods."""
        namespace, name = jobset["metadata"]["namespace"], jobset["metadata"]["name"]
        jobs = {j["metadata"]["name"]: j for j in self._server.objects.of(JOBS, namespace) if owns(jobset, j)}
        ends = [c["type"] for j in jobs.values() for c in (j.get("status") or {}).get("conditions") or ()]
        wanted = [
            (f"{name}-{one['name']}-{i}", one, i)
            for one in jobset["spec"]["replicatedJobs"]
            for i in range(one.get("replicas", 1))
        ]
        missing = [found for found in wanted if found[0] not in jobs]
        if "Failed" in ends or (ends and missing):
            return self._end(jobset, JOBSETS, "Failed")
        if len(ends) == len(wanted):
            return self._end(jobset, JOBSETS, "Completed")
        made = [self._make_job(jobset, job, one, index) for job, one, index in missing]
        return any(made)

    def _make_job(self, jobset: Object, name: str, one: Object, index: int) -> bool:
        """Make it; whether the server took it."""
        spec = {"completionMode": "Indexed", **one["template"]["spec"]}
        template = spec["template"]
        given = template.get("metadata") or {}
        own = {"jobset.sigs.k8s.io/replicatedjob-name": one["name"], "jobset.sigs.k8s.io/job-index": str(index)}
        spec["template"] = {**template, "metadata": {**given, "labels": {**(given.get("labels") or {}), **own}}}
        job = {"metadata": {"name": name, "ownerReferences": [reference(jobset)]}, "spec": spec}
        return self._create(Target(JOBS, jobset["metadata"]["namespace"]), job)

    def _create(self, target: Target, body: Object) -> bool:
        """Whether the server took it: its name may be that of one that is not collected yet."""
        try:
            self._server.writes.create(target, body, {})
        except Failure:
            return False
        return True

    def _workflows(self) -> list[bool]:
        """A kind of a phase and no conditions, whose Pods run one after another."""
        living = [o for o in self._server.objects.of(WORKFLOWS) if not o["metadata"].get("deletionTimestamp")]
        return [self._work(o) for o in living if (o.get("status") or {}).get("phase") in (None, "Running")]

    def _work(self, flow: Object) -> bool:
        pods, steps = self._pods(flow), flow["spec"]["steps"]
        phases = [p["status"]["phase"] for p in pods]
        if "Failed" in phases:
            return self._say(flow, WORKFLOWS, phase="Failed", message="a step failed")
        if phases.count("Succeeded") == len(steps):
            return self._say(flow, WORKFLOWS, phase="Succeeded")
        if phases.count("Succeeded") < len(pods):
            return False
        template = steps[len(pods)]
        name = {"name": f"{flow['metadata']['name']}-step-{len(pods)}"}
        labels = (template.get("metadata") or {}).get("labels") or {}
        return make_pod(self._server, flow, template, name, labels)
