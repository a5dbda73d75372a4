"""Volumes made beforehand: there is no StorageClass, so a claim waits until somebody makes its volume.

Each is a folder of the cluster's state, kept for one claim, and gone with the cluster.
"""

from __future__ import annotations

import os
import shutil

from hack.cluster import api
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

PATH = "/api/v1/persistentvolumes"
# Kubernetes gives no host folder to the group of a Pod that is not root, so it belongs to it beforehand.
POSTGRES_USER = 999
# Of the demo database, as the chart and the manifests call it.
DATABASE = ("kubetuna", "data-kubetuna-postgres-0")


def make(layout: Layout, namespace: str, claim: str, owner: int = POSTGRES_USER) -> None:
    """Make the volume of a claim to be; one whose claim has been deleted is emptied and made anew."""
    name = f"{namespace}-{claim}"
    folder = layout.state / "volumes" / name
    if _phase(layout, name) in ("Released", "Failed"):
        api.call(layout, "DELETE", f"{PATH}/{name}")
        api.wait_until(f"the volume {name} is gone", 30.0, lambda: _phase(layout, name) == "")
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, owner, owner)
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": str(folder), "type": "Directory"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
    }
    manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
    api.apply(layout, f"{PATH}/{name}", manifest)


def _phase(layout: Layout, name: str) -> str:
    """Return Available, Bound, Released or Failed; nothing where there is no such volume."""
    try:
        return str(api.call(layout, "GET", f"{PATH}/{name}")["status"].get("phase", ""))
    except ClusterError:
        return ""
