"""Starting a trainer as a process of this machine, outside any experiment, and reading what it prints.

It gets what a trial gets: parameters, seed and folders by the environment. Its words for people are passed
on as they come; what it prints for the tuner is kept in a log and read for the metrics' curve.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubetuna.errors import ResultsError
from kubetuna.experiment.model import Experiment
from kubetuna.local.command import Command, command_of
from kubetuna.metrics.curve import json_speaks_for, without
from kubetuna.metrics.lines import LineReader, MetricLine, Protocol
from kubetuna.trials.attempts import AttemptKey
from kubetuna.trials.environment import CHECKPOINT_DIR, OUT, environment
from kubetuna.trials.masking import masked
from kubetuna.trials.substitution import substitute

TERMINATED = 143
ERROR_LINES = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training: parameters, seed, and the folder that gets the model. ``words`` are added to the command,
    which runs in ``home``. ``protocol`` is the one that it has to be judged by, where that is known.
    """

    spec: Experiment
    trial: int
    params: Mapping[str, Any]
    seed: int
    folder: Path
    words: tuple[str, ...] = ()
    home: Path | None = None
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """The latest value of each metric, every report (its step and metrics), and the protocol that it named."""

    metrics: Mapping[str, float]
    reports: tuple[tuple[int | float | None, Mapping[str, float]], ...]
    protocol: str | None = None


def argv_of(request: TrainingRequest) -> tuple[str, ...]:
    """What is started.

    Raises:
        ResultsError: the template leaves the command to its image, or there is no template.
    """
    return _command(request).argv


def _command(request: TrainingRequest) -> Command:
    spec = request.spec
    if not spec.template.trial_spec:
        raise ResultsError(f"{spec.name}: the study was made by another program; how to train it is unknown")
    if spec.collector.folder:
        where = f"its metrics are in {spec.collector.path}, and only what a trainer prints is read here"
        raise ResultsError(f"{spec.name}: {where}; run it by hand, or have it print them")
    meta = {"name": f"{spec.name}-{request.trial}", "namespace": spec.namespace}
    rendered = substitute(spec.template.trial_spec, spec.template.substitutions, request.params, meta)
    own = {
        **environment(spec.name, request.params, AttemptKey(request.trial, 0), request.seed),
        OUT: str(request.folder.absolute()),
        CHECKPOINT_DIR: str((request.folder / "checkpoints").absolute()),
    }
    command = command_of(rendered, spec.template.primary_container, own, request.home)
    if not command.argv:
        raise ResultsError(f"{spec.name}: its template leaves the command to the image, which is not used here")
    return replace(command, argv=(*command.argv, *request.words))


def run_trainer(request: TrainingRequest, say: Say) -> Curve:
    """Train to the end; ``say`` gets the trainer's words for people.

    Raises:
        ResultsError: it failed; the message holds its last words.
        KeyboardInterrupt: it was stopped; its checkpoint is kept and the same request goes on from it.
    """
    command = _command(request)
    request.folder.mkdir(parents=True, exist_ok=True)
    log = request.folder / "train.log"
    with log.open("ab") as kept, _started(command) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kept.write(line)
                if not line.startswith(b"{"):
                    say(line.decode("utf-8", "replace").rstrip())
                elif other := _other_protocol(request, line):
                    process.terminate()
                    raise ResultsError(other)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        code = process.wait()
    if code == TERMINATED:
        raise KeyboardInterrupt
    if code != 0:
        raise ResultsError(f"the trainer failed with exit code {code}: {_last_words(log)} (see {log})")
    return _curve(request.spec, log)


def _other_protocol(request: TrainingRequest, line: bytes) -> str:
    """What to say where a trainer judges otherwise than the study's trials were judged."""
    found = LineReader((), ()).read(line.rstrip()) if request.protocol else None
    if not isinstance(found, Protocol) or found.digest == request.protocol:
        return ""
    return (
        f"{request.spec.name}: its data, split, costs or trainer have changed since its trials were judged "
        f"(protocol {found.digest} in place of {request.protocol}): what is trained now is not their winner. "
        "Put back what was there, or search again under another name"
    )


def _curve(spec: Experiment, log: Path) -> Curve:
    """What the whole log reports, that of interrupted runs included; of a step said twice, the first counts."""
    reader = LineReader(spec.metric_names, spec.collector.filters)
    found = [reader.read(line) for line in log.read_bytes().split(b"\n")]
    reports = [line for line in found if isinstance(line, MetricLine)]
    given_by_json = {name for report in reports for name in json_speaks_for(report)}
    lines = [without(report, given_by_json) if report.text else report for report in reports]
    lines = [line for line in lines if line.values or line.invalid]
    latest = {name: value for line in lines for name, value in line.values.items()}
    first: dict[int | float | None, Mapping[str, float]] = {}
    for line in lines:
        first.setdefault(line.step if line.position is None else line.position, line.values)
    protocols = [line.digest for line in found if isinstance(line, Protocol)]
    return Curve(latest, tuple(first.items()), protocols[-1] if protocols else None)


def _started(command: Command) -> subprocess.Popen[bytes]:
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    environment, folder = dict(command.environment), command.folder
    try:
        return subprocess.Popen(
            command.argv, env=environment, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, stdin=none
        )
    except OSError as error:
        raise ResultsError(f"{command.argv[0]} cannot be started here: {error.strerror}") from error


def _last_words(log: Path) -> str:
    text = masked(log.read_text("utf-8", "replace"))
    lines = [line for line in text.splitlines() if line and not line.startswith("{")]
    return " / ".join(lines[-ERROR_LINES:])[-500:] or "it said nothing"


def machine() -> str:
    """What a model was trained on."""
    return f"{os.uname().sysname} {os.uname().machine}, {os.cpu_count()} CPU cores"
