"""Operators in a given cluster: one that watches every namespace would run the tests' experiments too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config

SELECTOR = "app.kubernetes.io/name=kubetuna,app.kubernetes.io/component=operator"
GONE_WITHIN = 90.0


@contextmanager
def paused_operators(kubeconfig: Path) -> Iterator[None]:
    """Take the operators of every namespace down to no replicas, and afterwards back to what they had."""
    connect: Any = config.new_client_from_config
    connection = connect(str(kubeconfig))
    apps, core = client.AppsV1Api(connection), client.CoreV1Api(connection)
    standing = [
        d for d in _items(apps.list_deployment_for_all_namespaces(label_selector=SELECTOR)) if _watches_all(d)
    ]
    try:
        for deployment in standing:
            print(f"pausing the operator of namespace {deployment.metadata.namespace} for the tests", flush=True)
            _scale(apps, deployment, 0)
        _wait_until_gone(core, {deployment.metadata.namespace for deployment in standing})
        yield
    finally:
        for deployment in standing:
            _scale(apps, deployment, deployment.spec.replicas)


def _items(found: Any) -> list[Any]:
    return list(found.items)


def _watches_all(deployment: Any) -> bool:
    entries = [entry for container in deployment.spec.template.spec.containers for entry in container.env or []]
    return any(entry.name == "KUBETUNA_NAMESPACES" and not entry.value for entry in entries)


def _scale(apps: client.AppsV1Api, deployment: Any, replicas: int) -> None:
    metadata, body = deployment.metadata, {"spec": {"replicas": replicas}}
    apps.patch_namespaced_deployment_scale(metadata.name, metadata.namespace, body)


def _wait_until_gone(core: client.CoreV1Api, namespaces: set[str]) -> None:
    deadline = time.monotonic() + GONE_WITHIN
    while any(_items(core.list_namespaced_pod(space, label_selector=SELECTOR)) for space in namespaces):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the operators of {', '.join(sorted(namespaces))} did not end")
        time.sleep(0.5)
