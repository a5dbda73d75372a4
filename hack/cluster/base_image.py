"""A small Debian with Python for Pods, made by debootstrap: there is no registry that it could be pulled from.

It is also what the project's Dockerfile can build on where no registry is reached (`buildah pull oci-archive:...`).
Made once, kept in the cache under a key of this recipe. The build runs in a mount namespace of its own, so that
what debootstrap mounts goes away with it, also when it is interrupted.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import time
from pathlib import Path

from hack.cluster import images, ocitar
from hack.cluster.commands import run, say
from hack.cluster.layout import Layout

SUITE = "bookworm"
REFERENCE = "localhost/kubetuna/python:3.11"
# `python3-minimal` would lack json and more; venv brings the pip that the Dockerfile installs with.
PACKAGES = ("python3", "python3-venv")
MIRROR = "http://deb.debian.org/debian"
CONFIG = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["python3"]}
# The user that Pods run as where root is forbidden; a name makes `getpwuid` work.
ACCOUNT = "nonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n"
GROUP = "nonroot:x:65532:\n"
EMPTIED = ("dev", "proc", "sys", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log")
DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/debconf")


def load(layout: Layout) -> None:
    """Put the image on the node, making it first where the cache lacks it."""
    images.load_image(layout, archive(layout))


def archive(layout: Layout) -> Path:
    """Return the archive of the image, made where the cache lacks it."""
    target = layout.images / f"python-3.11-{_key()}.tar"
    if not target.exists():
        layout.images.mkdir(parents=True, exist_ok=True)
        say(f"making the image {REFERENCE} from Debian {SUITE} (about a minute the first time)")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=layout.images, prefix="debian-") as folder:
            _make(Path(folder), target)
        say(f"made {target.name}, {target.stat().st_size / 1e6:.0f} MB, in {time.monotonic() - began:.0f} s")
    return target


def build_reference() -> str:
    """Return the name that builds know the image by: another recipe has another name, so none is stale."""
    return f"localhost/kubetuna/build-base:{_key()}"


def _key() -> str:
    recipe = (SUITE, REFERENCE, PACKAGES, CONFIG, ACCOUNT, EMPTIED, DROPPED, platform.machine())
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]


def _make(folder: Path, target: Path) -> None:
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    run(["unshare", "--mount", "debootstrap", *options, SUITE, str(folder), MIRROR])
    _slim(folder)
    _add_account(folder)
    folder.chmod(0o755)
    ocitar.pack(folder, REFERENCE, CONFIG, target, keep_owners=True)


def _slim(folder: Path) -> None:
    """Empty what holds only traces of the installation, and drop what no Pod reads."""
    for name in EMPTIED:
        for entry in (folder / name).iterdir():
            _remove(entry)
    for name in DROPPED:
        _remove(folder / name)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _add_account(folder: Path) -> None:
    for name, line in (("passwd", ACCOUNT), ("group", GROUP)):
        with (folder / "etc" / name).open("a") as file:
            file.write(line)
