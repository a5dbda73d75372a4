"""Kinds of workload that make several Pods: one row each.

Where their Pods' templates lie and how many come of each is the same for all (``template_kind``): something with a
spec that has containers, times the counts on the way there. The rows hold what differs: whose Pod is read, what
ends the object, and what in it would run Pods again, or delete them with their logs.
"""

from __future__ import annotations

from typing import Any

from kubetuna.experiment.kinds.template_kind import TemplateKind, is_true


def _kubeflow(name: str, plural: str, specs: str, *roles: str, **differing: Any) -> TemplateKind:
    """A kind of Kubeflow's training operator, where a replica's ``restartPolicy`` wins over its template's."""
    policy = "runPolicy"
    overrides: dict[str, Any] = {
        f"{policy}.backoffLimit": 0,
        f"{policy}.cleanPodPolicy": "None",
        f"{specs}.*.restartPolicy": "Never",
    }
    return TemplateKind(
        name=name,
        api_version="kubeflow.org/v1",
        plural=plural,
        roles=roles,
        overrides=overrides,
        dropped=(f"{policy}.ttlSecondsAfterFinished", f"{policy}.activeDeadlineSeconds", "cleanPodPolicy"),
        deadline=f"{policy}.activeDeadlineSeconds",
        success=is_true("Succeeded"),
        failure=is_true("Failed"),
        conditions=("Created", "Running", "Restarting", "Succeeded", "Suspended", "Failed"),
        **differing,
    )


JOBSET = TemplateKind(
    name="JobSet",
    api_version="jobset.x-k8s.io/v1alpha2",
    plural="jobsets",
    overrides={"replicatedJobs.*.template.spec.backoffLimit": 0},
    dropped=(
        "failurePolicy",
        "ttlSecondsAfterFinished",
        "replicatedJobs.*.template.spec.ttlSecondsAfterFinished",
    ),
    success=is_true("Completed"),
    failure=is_true("Failed"),
    made_by=("Job",),
    goes_last=True,
    conditions=("Completed", "Failed", "Suspended", "StartupPolicyInProgress", "StartupPolicyCompleted"),
)

WORKLOADS = (
    JOBSET,
    _kubeflow("PyTorchJob", "pytorchjobs", "pytorchReplicaSpecs", "Master", "Worker", container="pytorch"),
    _kubeflow("TFJob", "tfjobs", "tfReplicaSpecs", "Chief", "Master", "Worker", container="tensorflow"),
    _kubeflow(
        *("MPIJob", "mpijobs", "mpiReplicaSpecs", "Launcher"),
        alone=False,
        # By `kubectl exec` it starts what runs in the workers.
        with_token=("Launcher",),
        role_labels={"Launcher": {"mpi-job-role": "launcher"}},
    ),
    _kubeflow("XGBoostJob", "xgboostjobs", "xgbReplicaSpecs", "Master", "Worker", container="xgboost"),
    TemplateKind(
        name="TrainJob",
        api_version="trainer.kubeflow.org/v1alpha1",
        plural="trainjobs",
        node=("spec", "trainer"),
        fields=(
            *("runtimeRef", "initializer", "trainer", "runtimePatches"),
            *("suspend", "activeDeadlineSeconds", "managedBy"),
        ),
        held={"suspend": True},
        dropped=("activeDeadlineSeconds",),
        deadline="activeDeadlineSeconds",
        success=is_true("Complete"),
        failure=is_true("Failed"),
        made_by=("Job",),
        # Of one that is being deleted it would make the JobSet anew, so it goes first.
        leaves=JOBSET,
        conditions=("Suspended", "Complete", "Failed"),
    ),
    TemplateKind(
        name="RayJob",
        api_version="ray.io/v1",
        plural="rayjobs",
        # The Pod that submits the job prints what the driver prints.
        roles=("submitterPodTemplate", "headGroupSpec"),
        overrides={"backoffLimit": 0, "shutdownAfterJobFinishes": False},
        dropped=("ttlSecondsAfterFinished", "activeDeadlineSeconds"),
        deadline="activeDeadlineSeconds",
        success='status.[@this].#(jobStatus=="SUCCEEDED")#',
        failure='status.[@this].#(jobStatus=="FAILED")#',
        made_by=("Job", "RayCluster"),
        goes_last=True,
        alone=False,
    ),
)
