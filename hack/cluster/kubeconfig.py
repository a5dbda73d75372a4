"""Kubeconfig files: one for a person, by the address that works from outside too, and one for each daemon."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import pki
from hack.cluster.layout import Layout


def write_all(layout: Layout) -> None:
    """Write the person's file and the daemons' ones."""
    layout.config.mkdir(parents=True, exist_ok=True)
    _write(layout, "admin", layout.kubeconfig)
    for user in pki.USERS[1:]:
        _write(layout, user.name, path_for(layout, user.name))


def path_for(layout: Layout, user: str) -> Path:
    return layout.config / f"{user}.kubeconfig"


def _write(layout: Layout, user: str, path: Path) -> None:
    path.write_text(yaml.safe_dump(_document(layout, user), sort_keys=False))
    path.chmod(0o600)


def _document(layout: Layout, user: str) -> dict[str, Any]:
    authority = base64.b64encode(Path(pki.certificate(layout, "ca")).read_bytes()).decode()
    cluster = {"server": layout.api_url, "certificate-authority-data": authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubetuna", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": pki.token(layout, user)}}],
        "contexts": [{"name": "kubetuna", "context": {"cluster": "kubetuna", "user": user}}],
        "current-context": "kubetuna",
    }
