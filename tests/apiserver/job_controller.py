"""The Job controller, one round at a time: a Job's Pods, and what their ends make of the Job."""

from __future__ import annotations

from tests.apiserver.failures import Failure
from tests.apiserver.resources import JOBS, PODS, Object, Target
from tests.apiserver.server import Server

INDEX = "batch.kubernetes.io/job-completion-index"
# By this finalizer a Pod stays until it was counted.
TRACKED = "batch.kubernetes.io/job-tracking"


class JobController:
    """Makes the Pods of every Job, each once, as ``backoffLimit: 0`` wants it. One that fails ends the others."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def tick(self) -> bool:
        """Carry every Job one step on. Whether there was anything to do."""
        with self._server.changed:
            open_jobs = [j for j in self._server.objects.of(JOBS) if not (j.get("status") or {}).get("conditions")]
            steps = [self._step(job) for job in open_jobs if works(job)]
            going = [job for job in self._server.objects.of(JOBS) if job["metadata"].get("deletionTimestamp")]
            return any([*steps, *map(self._release, going)])

    def _release(self, job: Object) -> bool:
        """Nobody counts the Pods of a Job that is being deleted any more."""
        namespace = job["metadata"]["namespace"]
        held = [p for p in self._server.objects.of(PODS, namespace) if owns(job, p) and TRACKED in _finalizers(p)]
        for pod in held:
            self._server.change(pod, lambda p: p["metadata"]["finalizers"].remove(TRACKED), PODS)
        return bool(held)

    def _step(self, job: Object) -> bool:
        pods = [p for p in self._server.objects.of(PODS, job["metadata"]["namespace"]) if owns(job, p)]
        phases = [pod["status"]["phase"] for pod in pods]
        made, spec = (job.get("status") or {}).get("active", 0), job["spec"]
        parallel = spec.get("parallelism", 1)
        wanted = spec.get("completions") or parallel
        if "Failed" in phases or len(pods) < made:
            for pod in pods:
                if pod["status"]["phase"] not in ("Succeeded", "Failed"):
                    self._server.deletion.delete(PODS, pod, {})
            return self._end(job, "Failed")
        if phases.count("Succeeded") >= wanted:
            return self._end(job, "Complete")
        return made < wanted and len(phases) - phases.count("Succeeded") < parallel and self._make_pod(job, made)

    def _end(self, job: Object, ended: str) -> bool:
        status = {"conditions": [{"type": ended, "status": "True"}]}
        self._server.change(job, lambda j: j.update(status=status), JOBS)
        return True

    def _make_pod(self, job: Object, index: int) -> bool:
        template = job["spec"]["template"]
        given = template.get("metadata") or {}
        labels = {"job-name": job["metadata"]["name"], **(given.get("labels") or {})}
        if job["spec"].get("completionMode") == "Indexed":
            labels[INDEX] = str(index)
        if not make_pod(self._server, job, template, {"generateName": f"{job['metadata']['name']}-"}, labels):
            return False
        self._server.change(job, lambda j: j.update(status={"active": index + 1}), JOBS)
        return True


def _finalizers(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def works(obj: Object) -> bool:
    """Whether its controller makes Pods of it: it neither goes nor is suspended."""
    spec = obj["spec"]
    suspended = spec.get("suspend") or (spec.get("runPolicy") or {}).get("suspend")
    return not suspended and not obj["metadata"].get("deletionTimestamp")


def reference(obj: Object) -> Object:
    """An owner reference to what a controller works for."""
    metadata = obj["metadata"]
    named = {"name": metadata["name"], "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **named}


def owns(obj: Object, other: Object) -> bool:
    """Whether something was made for an object."""
    return any(o["uid"] == obj["metadata"]["uid"] for o in other["metadata"].get("ownerReferences") or [])


def make_pod(server: Server, owner: Object, template: Object, name: Object, labels: Object) -> bool:
    """A Pod of a template. Where it is not taken, only Events would tell, as in a cluster: it is tried again."""
    metadata = {**(template.get("metadata") or {}), **name, "labels": labels, "ownerReferences": [reference(owner)]}
    try:
        pod = {"metadata": metadata, "spec": template["spec"]}
        server.writes.create(Target(PODS, owner["metadata"]["namespace"]), pod, {})
    except Failure:
        return False
    return True
