"""``kubetuna trial``: what a person asks of one trial of an experiment, here or in a cluster.

A request is written down where the experiment's runner finds it, the store or the Experiment's annotations, and so
is neither lost nor done twice. What is known to be refused is refused at once; else the answer is waited for, a few
seconds, since a runner that lives gives it within one or two.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from kubetuna.cli.options import JsonOption, Study, of_study, show
from kubetuna.errors import RequestRefused

LOOK_SECONDS = 0.1
# A runner here looks once a second; an operator shows a status once a second.
LOCAL_SECONDS, CLUSTER_SECONDS = 3.0, 10.0

NumberArgument = Annotated[str, typer.Argument(help="The trial's number.", metavar="N")]
PointArgument = Annotated[
    list[str], typer.Argument(help="The point; the sampler draws what it leaves out.", metavar="NAME=VALUE …")
]

trial = typer.Typer(no_args_is_help=True, help="Stop one trial, run it again, add one or take it back.")


@trial.command()
@of_study
def stop(study: Study, number: NumberArgument, json: JsonOption = False) -> None:
    """End a running trial; it is kept as Stopped, and not retried."""
    _ask(study, json, "stop", number)


@trial.command()
@of_study
def retry(study: Study, number: NumberArgument, json: JsonOption = False) -> None:
    """Run a failed or stopped trial again, as a new trial in its place."""
    _ask(study, json, "retry", number)


@trial.command()
@of_study
def add(study: Study, point: PointArgument, json: JsonOption = False) -> None:
    """Try a point before what the search proposes."""
    _ask(study, json, "add", *point)


@trial.command()
@of_study
def withdraw(study: Study, point: PointArgument, json: JsonOption = False) -> None:
    """Take back a point that waits to be tried."""
    _ask(study, json, "withdraw", *point)


def _ask(study: Study, json: bool, *words: str) -> None:
    from kubetuna.cli.backends import in_cluster
    from kubetuna.trials.requests import line_of, parse_request

    line = line_of(words)
    parse_request(line)
    request = f"{datetime.now(UTC):%Y%m%dt%H%M%S%f}-{secrets.token_hex(2)}"
    place = in_cluster(study.target, study.namespace)
    answer = _ask_cluster(*place, request, line) if place else _ask_here(study, request, line)
    waits = {"id": request, "request": line, "accepted": None, "message": "it is done once the experiment runs"}
    shown: Mapping[str, Any] = answer or waits
    if shown["accepted"] is False:
        raise RequestRefused(shown["message"])
    show(json, shown, f"{line}: {shown['message']}")


def _ask_here(study: Study, request: str, line: str) -> Mapping[str, Any] | None:
    from kubetuna.local.runner import store_url, study_name
    from kubetuna.planning.status import OVER
    from kubetuna.store.database import open_engine
    from kubetuna.store.reader import study_attributes
    from kubetuna.store.requests import write_request
    from kubetuna.study.steering import Steering, decide, known_trials
    from kubetuna.trials.requests import parse_request

    seen = study.read()
    asked = parse_request(line)
    if asked.verb != "withdraw":
        # What waits may itself be a request that nobody has done yet.
        decide(asked, known_trials(seen.spec, seen.trials))
    engine, name = open_engine(store_url(study.store)), study_name(study.target)
    write_request(engine, name, request, line)

    def answer() -> Mapping[str, Any] | None:
        given = Steering(study_attributes(engine, name) or {}).answers
        return next((a.as_json() for a in given if a.id == request), None)

    runs = seen.status["state"] not in OVER and "interrupted" not in seen.status
    return _awaited(answer, LOCAL_SECONDS) if runs else None


def _ask_cluster(namespace: str | None, name: str, request: str, line: str) -> Mapping[str, Any] | None:
    from kubetuna.cli.backends import cluster

    backend = cluster()
    backend.request(namespace, name, request, line)
    return _awaited(lambda: backend.answer(namespace, name, request), CLUSTER_SECONDS)


def _awaited(look: Callable[[], Mapping[str, Any] | None], seconds: float) -> Mapping[str, Any] | None:
    """What a look finds within so many seconds."""
    end = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
    return found
