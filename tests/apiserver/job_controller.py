"""The Job controller, one round at a time: a Job's Pod, and what its end makes of the Job."""

from __future__ import annotations

from tests.apiserver.failures import Failure
from tests.apiserver.resources import JOBS, PODS, Object, Target
from tests.apiserver.server import Server


class JobController:
    """Makes one Pod for every Job, and never another one: all that ``backoffLimit: 0`` allows."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def tick(self) -> bool:
        """Carry every Job one step on. Whether there was anything to do."""
        with self._server.changed:
            open_jobs = [j for j in self._server.objects.of(JOBS) if not (j.get("status") or {}).get("conditions")]
            steps = [self._step(job) for job in open_jobs if not job["metadata"].get("deletionTimestamp")]
            return any(steps)

    def _step(self, job: Object) -> bool:
        pod = next((p for p in self._server.objects.of(PODS, job["metadata"]["namespace"]) if _owns(job, p)), None)
        made = (job.get("status") or {}).get("active", 0)
        if pod is None and not made:
            return self._make_pod(job)
        if pod is not None and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            return False
        ended = "Complete" if pod is not None and pod["status"]["phase"] == "Succeeded" else "Failed"
        status = {"conditions": [{"type": ended, "status": "True"}]}
        self._server.change(job, lambda j: j.update(status=status), JOBS)
        return True

    def _make_pod(self, job: Object) -> bool:
        metadata, template = job["metadata"], job["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        owned = {"generateName": f"{metadata['name']}-", "ownerReferences": [{**owner, "controller": True}]}
        given = template.get("metadata") or {}
        labels = {"job-name": metadata["name"], **(given.get("labels") or {})}
        pod = {"metadata": {**given, **owned, "labels": labels}, "spec": template["spec"]}
        try:
            self._server.writes.create(Target(PODS, metadata["namespace"]), pod, {})
        except Failure:
            # As in a cluster, only Events would tell; it is tried again.
            return False
        self._server.change(job, lambda j: j.update(status={"active": 1}), JOBS)
        return True


def _owns(job: Object, pod: Object) -> bool:
    return any(o["uid"] == job["metadata"]["uid"] for o in pod["metadata"].get("ownerReferences") or [])
