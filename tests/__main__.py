"""`make test`: every test, those that need a Kubernetes cluster too, on one of its own that is gone afterwards.

KUBETUNA_TEST_KUBECONFIG names another cluster to use. Where there is neither, the last lines say what did not run;
with CI=true that is a failure, because there a test that did not run would be taken for one that passed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import project_images
from hack.cluster.controllers import CONTROLLERS, prepare
from hack.cluster.down import down
from hack.cluster.errors import ClusterError, Unsupported
from hack.cluster.install import IMAGES
from hack.cluster.layout import find_layout
from hack.cluster.up import up

from tests.cluster.standing import paused_operators

PROJECT = Path(__file__).resolve().parents[1]
# Not the cluster of `make cluster`: a person's operator there would run the tests' experiments too.
STATE = PROJECT / ".cluster-test"
PLACES = ("tests/cluster", "tests/chart", "tests/chaos", "tests/controllers")
GROUPS = [place.removeprefix("tests/") for place in PLACES]
NOT_RUN = f"""
NOT RUN: the tests that need a Kubernetes cluster, in {", ".join(PLACES)}: {{reason}}
KUBETUNA_TEST_KUBECONFIG=FILE names a cluster to run them on, such as the one of `make kind`."""


def main() -> int:
    """Run both halves, whatever the first one found; the exit status tells of both."""
    parser = argparse.ArgumentParser(prog="python -m tests", description="Pass every test.")
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--cluster-only", action="store_true", help="leave out those that need no cluster")
    half.add_argument("--without-cluster", action="store_true", help="leave out those that need one")
    parser.add_argument("--group", choices=GROUPS, help="of those that need a cluster, only these")
    chosen = parser.parse_args()
    places = [f"tests/{chosen.group}"] if chosen.group else PLACES
    failed = not chosen.cluster_only and _fails("-n", "2", "--dist", "loadfile", "-m", "not cluster")
    return int(failed if chosen.without_cluster else _fails_on_a_cluster(places) or failed)


def _fails_on_a_cluster(places: Sequence[str]) -> bool:
    try:
        with _cluster(places):
            return _fails(*places, "-m", "cluster", "-rs", "--durations", "5")
    except Unsupported as reason:
        print(NOT_RUN.format(reason=reason), flush=True)
        return os.environ.get("CI") == "true"
    except ClusterError as error:
        print(f"the cluster for the tests: {error}", flush=True)
        return True


def _fails(*words: str) -> bool:
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=PROJECT, check=False).returncode != 0


@contextmanager
def _cluster(places: Sequence[str]) -> Iterator[None]:
    """A cluster that no operator but the tests' own works on."""
    given = os.environ.get("KUBETUNA_TEST_KUBECONFIG")
    if given:
        with paused_operators(Path(given)):
            yield
        return
    os.environ["KUBETUNA_CLUSTER_DIR"] = str(STATE)
    layout = find_layout()
    try:
        up(layout)
        for image in IMAGES:
            project_images.build(layout, image)
        # Before the tests, which have no minutes for that.
        for controller in CONTROLLERS.values() if "tests/controllers" in places else ():
            prepare(layout, controller)
        yield
    finally:
        if layout.state.exists():
            down(layout)


if __name__ == "__main__":
    sys.exit(main())
