"""Images on the node: loaded from tar files, since there is no registry.

An image needs a tag other than `latest`, else Kubernetes insists on pulling it. What is loaded already, by name
and content, is not loaded again.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from hack.cluster import room
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

CTR = ("ctr", "--namespace", "k8s.io", "images")


def load_image(layout: Layout, tar: Path) -> list[str]:
    """Load the images of an OCI or docker archive; return their names."""
    wanted = _archived(tar)
    known = loaded(layout)
    if not wanted or any(known.get(name) != digest for name, digest in wanted.items()):
        before = set(known)
        room.run_inside(layout, [*CTR, "import", "--snapshotter", "overlayfs", str(tar.absolute())])
        return sorted(wanted or set(loaded(layout)) - before)
    return sorted(wanted)


def _archived(tar: Path) -> dict[str, str]:
    """Return names and digests that an OCI archive declares; nothing for a docker archive."""
    try:
        with tarfile.open(tar) as archive:
            index = archive.extractfile("index.json")
            manifests = json.loads(index.read())["manifests"] if index else []
    except KeyError:
        return {}
    except (OSError, tarfile.TarError) as error:
        raise ClusterError(f"{tar} is not an image archive: {error}") from None
    names = {m.get("annotations", {}).get("io.containerd.image.name"): m["digest"] for m in manifests}
    return {name: digest for name, digest in names.items() if name}


def loaded(layout: Layout) -> dict[str, str]:
    """Return the images on the node with their digests."""
    lines = room.run_inside(layout, [*CTR, "list"]).splitlines()[1:]
    rows = [line.split() for line in lines]
    return {row[0]: row[2] for row in rows if len(row) > 2 and not row[0].startswith("sha256:")}
