"""The command line: `python -m hack.cluster up|down|status|kubeconfig|images|image|install|controller|env`."""

from __future__ import annotations

import argparse
import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import controllers, images, install, project_images, room
from hack.cluster.commands import say
from hack.cluster.down import down
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout, find_layout
from hack.cluster.status import print_status, require_up
from hack.cluster.up import up


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = _parser().parse_args(argv)
    layout = find_layout()
    commands: dict[str, Callable[[], int | None]] = {
        "up": lambda: _up(layout),
        "down": lambda: _down(layout),
        "status": lambda: print_status(layout),
        "kubeconfig": lambda: _print_kubeconfig(layout),
        "images": lambda: _images(layout, arguments.tar),
        "image": lambda: _image(layout, arguments.target, arguments.build_arg),
        "install": lambda: _install(layout, arguments.without_trial),
        "controller": lambda: _controller(layout, arguments.name),
        "env": lambda: _print_environment(layout),
    }
    try:
        return commands[arguments.command]() or 0
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return error.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hack.cluster", description="A single-node Kubernetes for tests."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("up", help="bring the cluster up, or repair it")
    commands.add_parser("down", help="end it and remove all of it; the cache stays")
    commands.add_parser("status", help="say what runs; exit status 3 where something is missing")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    loading = commands.add_parser("images", help="load image archives, or list what is loaded")
    loading.add_argument("tar", nargs="*", type=Path, help="an OCI or docker archive")
    building = commands.add_parser("image", help="build the project's images, and load them where it is up")
    building.add_argument(
        "target", nargs="*", default=["operator"], help="operator (the default), trial, dashboard, postgres"
    )
    building.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="for the Dockerfile"
    )
    installing = commands.add_parser("install", help="install kubetuna with helm: operator, database, dashboard")
    installing.add_argument("--without-trial", action="store_true", help="leave out the trial image (6 GB)")
    controlling = commands.add_parser("controller", help="install a controller of others' workloads")
    controlling.add_argument("name", choices=sorted(controllers.CONTROLLERS))
    commands.add_parser("env", help="print shell lines that set KUBECONFIG and PATH")
    return parser


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """One `up` or `down` at a time: tests in several processes may call it together."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _up(layout: Layout) -> None:
    with _locked(layout):
        up(layout)
    say(f"export KUBECONFIG={layout.kubeconfig} PATH={layout.commands}:$PATH")


def _down(layout: Layout) -> None:
    with _locked(layout):
        down(layout)


def _print_kubeconfig(layout: Layout) -> None:
    require_up(layout)
    say(str(layout.kubeconfig))


def _print_environment(layout: Layout) -> None:
    require_up(layout)
    say(f"export KUBECONFIG={layout.kubeconfig}\nexport PATH={layout.commands}:$PATH")


def _images(layout: Layout, tars: list[Path]) -> None:
    require_up(layout)
    for tar in tars:
        say("loaded " + " ".join(images.load_image(layout, tar)))
    if not tars:
        say("\n".join(sorted(images.loaded(layout))))


def _image(layout: Layout, targets: list[str], build_arguments: list[str]) -> None:
    for target in targets:
        with _locked(layout):
            archive = project_images.build(layout, target, build_arguments)
        if room.holder_pid(layout) is not None:
            say("loaded " + " ".join(images.load_image(layout, archive)))


def _install(layout: Layout, without_trial: bool) -> None:
    require_up(layout)
    _image(layout, list(install.IMAGES), [])
    install.install(layout)
    if not without_trial:
        say("now the trial image, 6 GB; the operator works meanwhile, and Ctrl-C leaves just Task 1 out")
        _image(layout, ["trial"], [])
    say(install.NEXT)


def _controller(layout: Layout, name: str) -> None:
    require_up(layout)
    controllers.install(layout, controllers.CONTROLLERS[name])


if __name__ == "__main__":
    sys.exit(main())
