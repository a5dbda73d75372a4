"""The images of the project, built by buildah on the Debian base: no Docker and no registry.

Three are targets of the project's Dockerfile. The fourth stands in for the official `postgres` image, under the
name that the chart gives it: Debian's PostgreSQL, which takes the same environment variables.

buildah keeps its layers in the cache, so that a build after an edit installs nothing again. It runs in a mount
namespace of its own: what it mounts goes away with it, also when it is interrupted.
Names are written out (`docker.io/library/...`) because that is how Kubernetes reads `kubetuna-operator:0.1.0`.
"""

from __future__ import annotations

import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import yaml

from hack.cluster import base_image, ocitar
from hack.cluster.binaries import install_packages
from hack.cluster.commands import run, say
from hack.cluster.errors import ClusterError
from hack.cluster.layout import PROJECT, SOURCE, Layout

TARGETS = ("operator", "trial", "dashboard")
POSTGRES = "postgres"

CHART = PROJECT / "helm" / "kubetuna"
# The first that exists is shown to the build, for machines whose own certificates pip must trust.
CERTIFICATES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
CERTIFICATE_PLACE = "/etc/ssl/kubetuna-build.crt"
# A build with torch downloads 3 GB.
BUILD_WITHIN = 3600.0


def reference(target: str) -> str:
    """Return the full name of a target's image, with the project's version as its tag."""
    if target == POSTGRES:
        image = yaml.safe_load((CHART / "values.yaml").read_text())["postgres"]["image"]
        return f"docker.io/library/{image['repository']}:{image['tag']}"
    version = tomllib.loads((PROJECT / "core" / "pyproject.toml").read_text())["project"]["version"]
    return f"docker.io/library/kubetuna-{target}:{version}"


def build(layout: Layout, target: str, arguments: Sequence[str] = ()) -> Path:
    """Build one image and return its OCI archive.

    Args:
        layout: the cluster, for the folders of the cache.
        target: one of TARGETS, or POSTGRES.
        arguments: `NAME=VALUE` for the Dockerfile's ARGs.
    """
    if target not in (*TARGETS, POSTGRES):
        raise ClusterError(f"there is no image {target}; there are {', '.join((*TARGETS, POSTGRES))}")
    install_packages()
    _bring_base(layout)
    say(f"building {reference(target)} (seconds after an edit; the trial image takes minutes the first time)")
    began = time.monotonic()
    image = _build(layout, target, arguments)
    archive = _packed(layout, target, image)
    say(f"built {archive}, {archive.stat().st_size / 1e6:.0f} MB, in {time.monotonic() - began:.0f} s")
    return archive


def _buildah(layout: Layout, *argv: str) -> str:
    """Run buildah with its own store, so that a person's images and ours never mix."""
    store = ["--root", str(layout.cache / "buildah"), "--runroot", str(layout.cache / "buildah-run")]
    command = ["unshare", "--mount", "buildah", *store, "--storage-driver", "overlay", *argv]
    return run(command, cwd=PROJECT, timeout=BUILD_WITHIN)


def _bring_base(layout: Layout) -> None:
    archive = base_image.archive(layout)
    key = base_image.build_reference()
    if key in _buildah(layout, "images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        return
    image = _buildah(layout, "pull", "--quiet", f"oci-archive:{archive}").strip().splitlines()[-1]
    _buildah(layout, "tag", image, key)


def _build(layout: Layout, target: str, arguments: Sequence[str]) -> str:
    """Return the id of the image, the same for the same content."""
    values = [f"BASE={base_image.build_reference()}", *arguments]
    options = [word for value in values for word in ("--build-arg", value)]
    with tempfile.NamedTemporaryFile() as file:
        options += ["--iidfile", file.name, "--tag", reference(target)]
        options += [str(SOURCE / POSTGRES)] if target == POSTGRES else ["--target", target, str(PROJECT)]
        isolation = ["--isolation", "chroot", "--layers", "--pull-never", "--format", "oci"]
        _buildah(layout, "build", "--quiet", *isolation, *_certificates(), *options)
        return Path(file.name).read_text().strip()


def _certificates() -> list[str]:
    found = next((path for path in CERTIFICATES if path.exists()), None)
    if found is None:
        return []
    return ["--volume", f"{found}:{CERTIFICATE_PLACE}:ro", "--env", f"PIP_CERT={CERTIFICATE_PLACE}"]


def _packed(layout: Layout, target: str, image: str) -> Path:
    """Return the archive of an image, written unless the one that is there holds the same."""
    archive = layout.images / f"kubetuna-{target}.tar"
    packed_id = archive.with_suffix(".id")
    if archive.exists() and packed_id.exists() and packed_id.read_text() == image:
        return archive
    packed_id.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.images, prefix="image-") as folder:
        # Into a folder, because for an archive of OCI's kind buildah compresses whatever it is told.
        raw = ["--disable-compression", "--format", "oci"]
        _buildah(layout, "push", "--quiet", *raw, image, f"dir:{folder}")
        ocitar.repack(Path(folder), reference(target), archive)
    packed_id.write_text(image)
    return archive
