"""The local backend of the command line: an experiment on this machine, its study in SQLite or PostgreSQL.

The verbs in ``kubetuna.cli.main`` speak to a backend and know nothing of where trials run; the operator's
distribution registers the one for clusters under the entry point group ``kubetuna.backends``.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from kubetuna.errors import ForeignTrials, StoreUnavailable
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import resource_unit, resource_units
from kubetuna.local.executor import ProcessExecutor
from kubetuna.local.logs import FileLogs
from kubetuna.parsing.parse import parse_file, refuse_on_laptop
from kubetuna.planning.status import OVER, Moment, render
from kubetuna.planning.stopping import StopDecision
from kubetuna.reconciling.reconciler import RETRY_SECONDS, Ports, Reconciler
from kubetuna.store.database import open_engine, place
from kubetuna.store.lock import Holder, StudyLock, hold, is_held
from kubetuna.store.reader import other_studies, read_study
from kubetuna.store.requests import StoredRequests
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import Opened, open_study
from kubetuna.study.record import StudyRecord, began_in, folder_of, kept_folder, study_record
from kubetuna.study.study import Study
from kubetuna.trials.attempts import AttemptRequest, SystemClock
from kubetuna.trials.records import EXPERIMENT, FOLDER
from kubetuna.trials.requests import Answer
from kubetuna.trials.snapshot import Snapshot
from kubetuna.trials.substitution import substitute

DEFAULT_STORE = "sqlite:///kubetuna.db"
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished, or interrupted, run leaves: the last status, where its files lie, the study as stored.

    ``study`` is None where the interrupt came before it was read.
    """

    status: dict[str, Any]
    interrupted: bool
    folder: Path
    study: StudyRecord | None = None


def store_url(given: str | None) -> str:
    """The store to use: as given, else ``KUBETUNA_STORE``, else SQLite in the current folder."""
    return given or os.environ.get("KUBETUNA_STORE") or DEFAULT_STORE


@dataclass(frozen=True, slots=True)
class Watchers:
    """Whom a run tells what happens."""

    started: Callable[[Experiment, Path], None]
    changed: Callable[[dict[str, Any], Snapshot], None]
    unavailable: Callable[[str], None]
    noted: Callable[[str], None] = lambda _note: None


def run(
    spec: Experiment, url: str, watchers: Watchers, interrupt: threading.Event, study: str | None = None
) -> RunResult:
    """Run an experiment to its end, or until ``interrupt`` is set; ``study`` is its study's name, if not its own.

    Raises:
        SpecError: a field is set that only a cluster can serve.
    """
    refuse_on_laptop(spec)
    engine = open_engine(url)
    ensure_schema(engine)
    clock = SystemClock()
    who = Holder(host=socket.gethostname(), pid=os.getpid(), since=clock.now())
    name = study or spec.name

    def opening() -> Opened:
        return open_study(engine, spec, name, str(who), clock.now(), lambda: secrets.randbits(31))

    with hold(engine, name, who) as held:
        opened, told = opening(), None
        while told is None:
            try:
                requests = StoredRequests(engine, name, clock.now)
                told = _run_opened(opened, clock, watchers, interrupt, held, requests)
            except ForeignTrials as error:
                # Nothing was done about what could not be written, so the next look plans it again.
                watchers.unavailable(f"{error}; the study is read again")
                opened = _answered(opening, watchers, interrupt) or opening()
    return replace(told, study=_answered(lambda: look_by_name(name, url), watchers, interrupt))


def _answered(ask: Callable[[], Answered], watchers: Watchers, interrupt: threading.Event) -> Answered | None:
    """What a database says that may be away for a while; None where ``interrupt`` is set before it does."""
    failures = 0
    while not interrupt.is_set():
        try:
            return ask()
        except StoreUnavailable as error:
            watchers.unavailable(str(error))
            failures += 1
            interrupt.wait(min(RETRY_SECONDS, float(failures)))
    return None


def _run_opened(
    opened: Opened,
    clock: SystemClock,
    watchers: Watchers,
    interrupt: threading.Event,
    held: StudyLock,
    requests: StoredRequests,
) -> RunResult:
    spec = opened.spec
    folder = _folder(spec, opened)
    home = began_in(folder)
    executor = ProcessExecutor(folder, spec, _render(spec), clock, home=home)
    session = _Session(spec, opened.study, watchers, clock, held)
    ports = Ports(
        executor,
        FileLogs(folder, spec.collector, spec.metric_names),
        clock,
        session.publish,
        session.unavailable,
        requests,
        session.answered,
    )
    runner = Reconciler(spec, opened.study, ports, opened.started, resource_units(spec))
    watchers.started(spec, folder)
    elsewhere = f"the study began in {home}, so its trials run there"
    for note in (*([elsewhere] if home != Path.cwd() else []), *opened.notes):
        watchers.noted(note)
    try:
        end = runner.run(lambda: interrupt.is_set() or session.idle())
    finally:
        executor.close()
    snapshot = runner.observe() if end is None else session.last
    return RunResult(session.status(snapshot, end), end is None, folder)


def _folder(spec: Experiment, opened: Opened) -> Path:
    """The study keeps where its runs lie, so that a run from another folder finds checkpoints and logs."""
    storage = opened.storage
    kept = storage.get_study_system_attrs(storage.study_id).get(FOLDER)
    folder = kept_folder(kept, folder_of(spec.name, opened.uid))
    if kept != str(folder.absolute()):
        storage.set_study_system_attr(storage.study_id, FOLDER, str(folder.absolute()))
    return folder


def _render(spec: Experiment) -> Callable[[AttemptRequest], dict[str, Any]]:
    def rendered(request: AttemptRequest) -> dict[str, Any]:
        meta = {"name": f"{spec.name}-{request.key.trial}", "namespace": spec.namespace}
        return substitute(spec.template.trial_spec, spec.template.substitutions, request.params, meta)

    return rendered


class _Session:
    """Turns snapshots into statuses and shows them."""

    def __init__(
        self,
        spec: Experiment,
        study: Study,
        watchers: Watchers,
        clock: SystemClock,
        held: StudyLock,
    ) -> None:
        self._spec, self._study, self._watchers, self._clock = spec, study, watchers, clock
        self._held, self._lost = held, False
        self._ended = (-1, -1)
        self._shown = 0.0
        self.last = Snapshot(spec)

    def unavailable(self, error: StoreUnavailable) -> None:
        """Say that the database is away; the hold on the study may be lost with it."""
        self._lost = True
        self._watchers.unavailable(str(error))

    def answered(self, answer: Answer) -> None:
        """Say what became of a request."""
        self._watchers.noted(f"{answer.request}: {answer.message}")

    def idle(self) -> bool:
        """Whether the experiment is suspended and nothing of it runs any more, so that only an edit goes on."""
        attempts = [trial.latest for trial in self.last.trials]
        running = any(a and a.facts and not (a.facts.phase == "ended" and a.drained) for a in attempts)
        return self._spec.suspend and self._shown > 0 and not running

    def publish(self, snapshot: Snapshot, end: StopDecision | None) -> None:
        """Show the state at most ten times a second."""
        self.last = snapshot
        if self._lost:
            with suppress(StoreUnavailable):
                self._held.renew()
                self._lost = False
        now = self._clock.now()
        if now - self._shown >= 0.1 or _ended(snapshot) != self._ended:
            self._shown, self._ended = now, _ended(snapshot)
            self._watchers.changed(self.status(snapshot, end), snapshot)

    def status(self, snapshot: Snapshot, end: StopDecision | None) -> dict[str, Any]:
        """The status of a snapshot."""
        moment = Moment(self._clock.now(), unit=resource_unit(self._spec))
        return render(snapshot, end, self._study.results(), moment)


def _ended(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.tally.ended, snapshot.tally.retested


def study_name(target: str) -> str:
    """The study that a FILE or a NAME on the command line means."""
    path = Path(target)
    if path.suffix in (".yaml", ".yml", ".json") or path.is_file():
        return parse_file(path).name
    return target


def look(target: str, url: str) -> StudyRecord:
    """Read a study while it runs or after, without disturbing it."""
    return look_by_name(study_name(target), url, target if Path(target).is_file() else "FILE")


def look_by_name(name: str, url: str, file: str = "FILE") -> StudyRecord:
    """Read the study of that name; ``file`` is what it would be run from."""
    engine = open_engine(url)
    found = read_study(engine, name)
    seen = study_record(found, place(engine.url), other_studies(engine, found))
    # An operator has a Lease instead; the name of its studies says that they are its.
    here = EXPERIMENT in found.system_attrs and "/" not in found.name
    if not here or seen.status["state"] in OVER or is_held(engine, found.name):
        return seen
    with_store = "" if url == store_url(None) else f" --store '{seen.store}'"
    then = " --set suspend=false" if seen.spec.suspend else ""
    words = f"nothing runs it now; go on with: kubetuna run {shlex.quote(file)}{then}{with_store}"
    message = "; ".join(filter(None, (seen.status.get("message"), words)))
    return replace(seen, status={**seen.status, "interrupted": True, "message": message})


def install_interrupt(second: Any = signal.SIG_DFL) -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets; ``second`` handles the next one, and by default ends at once."""
    event = threading.Event()

    def first(signum: int, _frame: object) -> None:
        event.set()
        signal.signal(signum, second)

    signal.signal(signal.SIGINT, first)
    signal.signal(signal.SIGTERM, first)
    return event


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The same within another program, whose own handlers come back; outside the main thread it is never set.

    Raises:
        KeyboardInterrupt: it was set; what the block was doing has been stopped in good order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    event = install_interrupt(signal.default_int_handler)
    try:
        yield event
        if event.is_set():
            raise KeyboardInterrupt("no work is lost: the same call resumes")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
