"""The loop that carries a plan out: observe, plan, make durable, act, wait.

It is the same for every runner and holds no policy. Each turn first changes the study in memory, then makes
those changes durable in one flush, and only then touches the place where attempts run; a failed flush drops
the turn's effects, and the next turn plans them again. What was read from a log is kept in
``kubetuna.trial_log``; how the state is shown is the caller's ``publish``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from kubetuna.ending import Ending
from kubetuna.errors import StoreUnavailable
from kubetuna.outcome import Classified, Reading
from kubetuna.plan import (
    Action,
    Ask,
    Delete,
    LaunchAttempt,
    Publish,
    Report,
    Stop,
    Tell,
    Wait,
    finished,
    plan,
)
from kubetuna.ports import AttemptFacts, AttemptKey, Clock, ExitFacts, Launch, LogSource, Place
from kubetuna.records import AttemptRecord, bounded, outcome_of
from kubetuna.snapshot import AttemptView, Snapshot, TrialView
from kubetuna.spec.environment import environment
from kubetuna.spec.model import Experiment
from kubetuna.study import OpenTrial, Study
from kubetuna.trial_log import TrialLog

Publisher = Callable[[Snapshot, Ending | None], None]
Effect = Callable[[], None]

# Above this many unwritten changes no more log lines are read, so that a lost database bounds our memory.
PENDING_LIMIT = 50_000

# A lost database is tried again after one second, then two, and so on up to this many.
RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The world as the engine sees it."""

    place: Place
    logs: LogSource
    clock: Clock
    publish: Publisher
    unavailable: Callable[[str], None] = lambda _message: None


class Engine:
    """Runs one experiment's plan against a study and its ports."""

    def __init__(
        self,
        spec: Experiment,
        study: Study,
        ports: Ports,
        started: float,
        units: float,
        deleted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.spec, self.study, self.ports = spec, study, ports
        self._started, self._units, self._deleted = started, units, deleted
        self.last = Snapshot(spec)
        self._logs: dict[int, TrialLog] = {}
        self._stopping: set[AttemptKey] = set()
        self._seen: dict[AttemptKey, AttemptFacts] = {}
        self._failures = 0
        # Whether some log may hold more than was read of it: then there is no time to wait.
        self._behind = False

    def run(self, interrupted: Callable[[], bool]) -> Ending | None:
        """Turn until the experiment has ended (its ending) or ``interrupted`` says so (None)."""
        while not interrupted():
            snapshot = self.observe()
            now = self.ports.clock.now()
            end = finished(snapshot, now)
            progressed, until = self.turn(snapshot, now)
            if end is not None and not self.study.pending:
                return end
            if not progressed and not self._behind:
                self.ports.place.wait(max(0.0, min(until - now, 1.0)))
        return None

    def turn(self, snapshot: Snapshot, now: float) -> tuple[bool, float]:
        """Carry out one plan. Returns whether anything was done, and when to look again."""
        self.last = snapshot
        effects, done, actions = self._intend_all(snapshot, now)
        if not self._flush():
            return False, now + min(RETRY_SECONDS, float(self._failures))
        for effect in effects:
            effect()
        self._publish(actions, self.last)
        until = next(a.until for a in actions if isinstance(a, Wait))
        return done, until

    def _intend_all(self, snapshot: Snapshot, now: float) -> tuple[list[Effect], bool, tuple[Action, ...]]:
        """Change the study as the plan says, and plan again on what that made of it, until nothing is new.

        So one flush makes a trial's end, its successor's parameters and that one's launch durable together.
        Launches come first among the effects: a free place costs more than a Pod that lingers.
        """
        effects: dict[object, Effect] = {}
        actions = plan(snapshot, now)
        done: set[object] = set()
        while fresh := [a for a in actions if _changes(a) and _identity(a) not in done]:
            for action in fresh:
                done.add(_identity(action))
                effects.update((_identity(action), effect) for effect in self._intend(action, now))
            self.last = self._look(self._seen, read=False)
            actions = plan(self.last, now)
        ordered = sorted(effects, key=lambda identity: not isinstance(identity, _Launched))
        return [effects[identity] for identity in ordered], bool(done), actions

    def _flush(self) -> bool:
        if not self.study.pending:
            return True
        try:
            self.study.flush()
        except StoreUnavailable as error:
            self._failures += 1
            self.ports.unavailable(str(error))
            return False
        self._failures = 0
        return True

    def _publish(self, actions: tuple[Action, ...], snapshot: Snapshot) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.ports.publish(snapshot, action.ending)

    def observe(self) -> Snapshot:
        """Look at the place and read the logs of what is open."""
        self._behind = False
        self._seen = {facts.key: facts for facts in self.ports.place.observe()}
        return self._look(self._seen, read=True)

    def _look(self, seen: Mapping[AttemptKey, AttemptFacts], read: bool) -> Snapshot:
        views = tuple(self._view(trial, seen, read) for trial in list(self.study.open.values()))
        open_keys = {AttemptKey(t.number, a.number) for t in self.study.open.values() for a in t.attempts}
        return Snapshot(
            spec=self.spec,
            trials=views,
            tally=self.study.tally,
            strays=tuple(key for key in seen if key not in open_keys),
            resource_seconds=self.study.ended_seconds * self._units,
            resource_units=self._units,
            started=self._started,
            capacity=self.ports.place.capacity(),
            exhausted=self.study.exhausted,
            unsearchable=self.study.unsearchable,
            deleted=self._deleted(),
        )

    def _view(self, trial: OpenTrial, seen: Mapping[AttemptKey, AttemptFacts], read: bool) -> TrialView:
        views = tuple(self._attempt(trial, record, seen) for record in trial.attempts)
        log = self._log(trial)
        if views and views[-1].facts is not None:
            if read:
                self._read(log, AttemptKey(trial.number, views[-1].number), views[-1].facts)
            latest = views[-1]
            views = (*views[:-1], _with_drained(latest, log.drained))
        return TrialView(trial.number, views, self._reading(log), trial.verdict, log.unreported)

    def _reading(self, log: TrialLog) -> Reading:
        """What a log says, and whether it was judged as the study's other trials are."""
        return replace(log.reading(), protocol=self._other_protocol(log))

    def _other_protocol(self, log: TrialLog) -> str:
        """The trial's protocol of evaluation where it is not the study's; a trial that names none is trusted."""
        return log.protocol if log.protocol != self.study.protocol else ""

    def _attempt(
        self, trial: OpenTrial, record: AttemptRecord, seen: Mapping[AttemptKey, AttemptFacts]
    ) -> AttemptView:
        key = AttemptKey(trial.number, record.number)
        facts = seen.get(key)
        if facts is None and record.started is not None and record.outcome is None:
            facts = _gone(key, record, self.ports.clock.now())
        if facts is not None and facts.started is not None and record.started is None:
            self.study.update_attempt(trial.number, record.number, started=facts.started, node=facts.node)
        return AttemptView(
            record.number,
            record.created,
            facts,
            stop=record.stop,
            stopping=key in self._stopping,
            outcome=outcome_of(record.outcome),
            reason=record.reason,
        )

    def _log(self, trial: OpenTrial) -> TrialLog:
        if trial.number not in self._logs:
            self._logs[trial.number] = TrialLog(self.spec, trial.log)
        return self._logs[trial.number]

    def _read(self, log: TrialLog, key: AttemptKey, facts: AttemptFacts) -> None:
        if facts.phase == "pending" or self.study.pending > PENDING_LIMIT:
            return
        log.turn_to(key.attempt)
        if not log.drained:
            before = log.cursor
            log.take(self.ports.logs.read(key, before))
            self._behind = self._behind or (log.cursor != before and not log.drained)

    def _intend(self, action: Action, now: float) -> list[Effect]:
        """Change the study as the action says; return what to do once that is durable."""
        place = self.ports.place
        match action:
            case Ask(ordinal):
                self.study.ask(ordinal)
            case LaunchAttempt(key, after):
                return self._launch(key, after, now)
            case Report(number):
                self._report(number)
            case Stop(key, why):
                self.study.update_attempt(key.trial, key.attempt, stop=why)
                return [lambda: self._stop(key, why)]
            case Tell(number, classified):
                self._tell(number, classified, now)
            case Delete(key):
                return [lambda: place.delete(key)]
            case Publish() | Wait():
                pass
            case _:
                assert_never(action)
        return []

    def _stop(self, key: AttemptKey, why: str) -> None:
        self.ports.place.stop(key, why)
        self._stopping.add(key)

    def _launch(self, key: AttemptKey, after: Classified | None, now: float) -> list[Effect]:
        trial = self.study.open[key.trial]
        if after is not None and trial.attempts:
            self._close(trial, after, now)
        digest = params_hash(trial.params)
        self.study.begin_attempt(key.trial, AttemptRecord(key.attempt, now, digest))
        order = Launch(
            key=key,
            name=f"{self.spec.name}-{key.trial}-{key.repeat}-{key.attempt}",
            params=dict(trial.params),
            params_hash=digest,
            environment=environment(
                self.spec.name, trial.params, key.trial, key.attempt, trial_seed(self.study.seed, key.trial)
            ),
            timeout=self.spec.budget.trial_timeout,
        )
        return [lambda: self.ports.place.launch(order)]

    def _report(self, number: int) -> None:
        log, trial = self._logs[number], self.study.open[number]
        if trial.verdict == "prune":
            log.forget_unreported()
            return
        for point in log.records(self.study.known_steps(number)):
            self.study.settle_protocol(log.protocol)
            if self._other_protocol(log):
                continue
            if point is not None and not self.spec.multi_objective:
                self.study.report(number, [(point.step, point.value, point.in_order)])
            if trial.verdict == "prune":
                log.forget_unreported()
                break
        self.study.keep_log_state(number, log.state())
        if log.series_changed:
            self.study.keep_series(number, log.series)
            log.series_changed = False

    def _tell(self, number: int, classified: Classified, now: float) -> None:
        trial = self.study.open.get(number)
        if trial is None:
            return
        if trial.attempts:
            self._close(trial, classified, now)
        log = self._logs.pop(number, None)
        metrics = dict(log.reading().values) if log else {}
        self.study.tell(number, classified, metrics)
        self._stopping = {key for key in self._stopping if key.trial != number}

    def _close(self, trial: OpenTrial, classified: Classified, now: float) -> None:
        """Record the end of the latest attempt."""
        last = trial.attempts[-1]
        key = AttemptKey(trial.number, last.number)
        facts = self._seen.get(key)
        exit_facts = (facts.exit if facts else None) or ExitFacts()
        changes: dict[str, Any] = {
            "ended": (facts.ended if facts else None) or now,
            "exit_code": exit_facts.exit_code,
            "reason": exit_facts.reason,
            "outcome": str(classified.outcome),
            "message": bounded(classified.message),
        }
        if facts is not None and facts.started is not None:
            changes["started"] = facts.started
        self.study.update_attempt(trial.number, last.number, **changes)


@dataclass(frozen=True, slots=True)
class _Launched:
    """What tells one launch from another: the attempt, whatever became of the one before it."""

    key: AttemptKey


def _changes(action: Action) -> bool:
    return not isinstance(action, Publish | Wait)


def _identity(action: Action) -> object:
    return _Launched(action.key) if isinstance(action, LaunchAttempt) else action


def _with_drained(view: AttemptView, drained: bool) -> AttemptView:
    return AttemptView(
        view.number, view.created, view.facts, view.stop, view.stopping, view.outcome, view.reason, drained
    )


def _gone(key: AttemptKey, record: AttemptRecord, now: float) -> AttemptFacts:
    """An attempt that was seen running and is no longer known to its place."""
    facts = ExitFacts(reason="Deleted", message="it was running and is gone")
    return AttemptFacts(key, "ended", record.created, record.started, now, facts, record.node)


def params_hash(params: Mapping[str, Any]) -> str:
    """A short, stable fingerprint of a trial's parameters."""
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_seed(seed: int, number: int) -> int:
    """The seed a trial is given: a function of the experiment's seed and the trial's number, below 2**31."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1
