"""Pack a folder as an OCI image in a tar file, as `ctr images import` and `buildah pull oci-archive:` read it.

One uncompressed layer: the images never travel over a network, and unpacking is what takes the time.
Files belong to root whoever packed them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
MEDIA = "application/vnd.oci.image"
BLOB = re.compile(r"[0-9a-f]{64}")


def pack(
    folder: Path, reference: str, config: Mapping[str, Any], target: Path, *, keep_owners: bool = False
) -> None:
    """Write the image `reference` with the content of a folder and a run configuration."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with tempfile.TemporaryFile(dir=target.parent) as layer, tarfile.open(partial, "w") as archive:
        layer_digest, size = _write_layer(folder, layer, keep_owners)
        image = {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            # buildah builds on no image whose history counts other layers than there are.
            "history": [{"created_by": "kubetuna cluster"}],
        }
        config_entry = _add_blob(archive, f"{MEDIA}.config.v1+json", image)
        _add_stream(archive, layer_digest, layer, size)
        layer_entry = {"mediaType": f"{MEDIA}.layer.v1.tar", "digest": layer_digest, "size": size}
        manifest = {"schemaVersion": 2, "config": config_entry, "layers": [layer_entry]}
        _add_index(archive, _add_blob(archive, f"{MEDIA}.manifest.v1+json", manifest), reference)
    partial.replace(target)


def repack(folder: Path, reference: str, target: Path) -> None:
    """Write the image `reference` from its parts, as buildah leaves them in a folder: manifest.json, and blobs."""
    manifest = (folder / "manifest.json").read_bytes()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        entry = {"mediaType": f"{MEDIA}.manifest.v1+json", "digest": digest, "size": len(manifest)}
        _add_index(archive, entry, reference)
        _add_bytes(archive, _blob_path(digest), manifest)
        for blob in sorted(path for path in folder.iterdir() if BLOB.fullmatch(path.name)):
            archive.add(blob, arcname=_blob_path(f"sha256:{blob.name}"))
    partial.replace(target)


def _write_layer(folder: Path, layer: IO[bytes], keep_owners: bool) -> tuple[str, int]:
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, arcname=".", filter=None if keep_owners else _owned_by_root)
    size = layer.tell()
    layer.seek(0)
    digest = hashlib.sha256()
    while chunk := layer.read(CHUNK):
        digest.update(chunk)
    layer.seek(0)
    return f"sha256:{digest.hexdigest()}", size


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def _add_index(archive: tarfile.TarFile, manifest: dict[str, Any], reference: str) -> None:
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": names}]}
    _add_bytes(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    _add_bytes(archive, "index.json", json.dumps(index).encode())


def _add_blob(archive: tarfile.TarFile, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _add_bytes(archive, _blob_path(digest), content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _add_stream(archive: tarfile.TarFile, digest: str, stream: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(_blob_path(digest))
    entry.size = size
    archive.addfile(entry, stream)


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
