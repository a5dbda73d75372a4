"""What carries a plan out, step by step: observe, plan, make durable, act, and say when to be called again.

It is the same for every runner and holds no policy. Each turn first changes the study in memory, then makes those
changes durable in one flush, and only then calls the executor; a failed flush drops the turn's effects, and the
next turn plans them again. A turn that has effects and nothing to write asks the store whether the study is still
ours: nothing is done on an epoch that was not seen in that very turn. What was read from a log is kept in
``kubetuna.metrics.collector``, what is seen in ``kubetuna.reconciling.observer``; how the state is shown is the
caller's ``publish``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from kubetuna.errors import StoreUnavailable
from kubetuna.experiment.model import Experiment
from kubetuna.experiment.resources import attempt_timeout
from kubetuna.planning.plan import (
    Action,
    Ask,
    CarryOut,
    Delete,
    LaunchAttempt,
    Publish,
    Report,
    Retest,
    Stop,
    Tell,
    Wait,
    finished,
    plan,
)
from kubetuna.planning.stopping import StopDecision
from kubetuna.reconciling.observer import Circumstances, Observer
from kubetuna.study.open_trial import OpenTrial
from kubetuna.study.study import Study
from kubetuna.trials.attempts import (
    AttemptKey,
    AttemptRequest,
    Clock,
    Executor,
    ExitFacts,
    LogSource,
    attempt_name,
)
from kubetuna.trials.environment import environment, params_hash, trial_seed
from kubetuna.trials.outcome import Classified, StopReason
from kubetuna.trials.records import AttemptChanges, AttemptRecord, bounded, failed_nodes
from kubetuna.trials.requests import Answer
from kubetuna.trials.snapshot import Snapshot

Publisher = Callable[[Snapshot, StopDecision | None], None]
Effect = Callable[[], None]

# A lost database is tried again after one second, then two, and so on up to this many.
RETRY_SECONDS = 10.0
# Between two steps of which the first did nothing new, also where a deadline has passed and its effect is awaited.
SHORTEST_WAIT = 0.1
# After so many seconds of effects a turn ends, since others may wait for theirs. What is left is planned again.
EFFECTS_SECONDS = 1.0
# How long a runner with nothing else to do waits before it looks again.
LONGEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What a reconciler acts on. ``requests`` are people's, by ID; ``answered`` says what became of one."""

    executor: Executor
    logs: LogSource
    clock: Clock
    publish: Publisher
    unavailable: Callable[[StoreUnavailable], None] = lambda _error: None
    requests: Callable[[], Mapping[str, str]] = dict
    answered: Callable[[Answer], None] = lambda _answer: None


@dataclass(frozen=True, slots=True)
class Step:
    """What a step led to: how the experiment ended, or None and when the next step is ``due``.

    ``held``: trials were left to be asked for, since the step was not to ask for more.
    """

    end: StopDecision | None
    due: float
    held: bool = False


class Reconciler:
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
        self.last = Snapshot(spec)
        around = Circumstances(started, units, deleted, ports.requests)
        self._world = Observer(spec, study, (ports.executor, ports.logs, ports.clock), around)
        self._failures = 0
        self._before: set[object] = set()
        self._held = False

    def run(self, interrupted: Callable[[], bool]) -> StopDecision | None:
        """Step until the experiment has ended (its stop decision) or ``interrupted`` says so (None)."""
        while not interrupted():
            step = self.step()
            if step.end is not None:
                return step.end
            wait = step.due - self.ports.clock.now()
            if wait > 0:
                self.ports.executor.wait(min(wait, LONGEST_WAIT))
        return None

    def step(self, asks: int | None = None) -> Step:
        """Observe and carry out one plan, of which at most ``asks`` new proposals (None: all)."""
        snapshot = self.observe()
        now = self.ports.clock.now()
        end = finished(snapshot, now)
        progressed, until = self.turn(snapshot, now, asks)
        if end is not None and not self.study.pending:
            return Step(end, now)
        soon = progressed or self._world.behind
        return Step(None, now if soon else max(until, now + SHORTEST_WAIT), self._held)

    def turn(self, snapshot: Snapshot, now: float, asks: int | None = None) -> tuple[bool, float]:
        """Carry out one plan. Returns whether anything new was done, and when to look again.

        What only repeats the turn before has yet to show an effect, and gets the time for it.
        """
        self.last = snapshot
        effects, done, actions = self._intend_all(snapshot, now, asks)
        if (again := self.ports.executor.unfinished()) is not None:
            effects.append(again)
        if not self._make_durable(bool(effects)):
            return False, now + min(RETRY_SECONDS, float(self._failures))
        acted = self._act(effects)
        self._publish(actions, self.last)
        until = next(a.until for a in actions if isinstance(a, Wait))
        new, self._before = bool(done - self._before) or not acted, done
        return new, until

    def _act(self, effects: list[Effect]) -> bool:
        """Carry effects out; whether there was time for all of them."""
        over = self.ports.clock.now() + EFFECTS_SECONDS
        for effect in effects:
            if self.ports.clock.now() >= over:
                return False
            effect()
        return True

    def _intend_all(
        self, snapshot: Snapshot, now: float, asks: int | None
    ) -> tuple[list[Effect], set[object], tuple[Action, ...]]:
        """Change the study as the plan says, and plan again on what that made of it, until nothing is new.

        So one flush makes a trial's end, its successor's parameters and that one's launch durable together.
        Stops come first among the effects, then launches: a free slot costs more than a Pod that lingers.
        """
        effects: dict[object, Effect] = {}
        actions = plan(snapshot, now)
        done: set[object] = set()
        self._held = False
        while fresh := self._fresh(actions, done, asks):
            for action in fresh:
                if isinstance(action, Ask) and not self._may_ask():
                    asks = _asked(done)
                    continue
                done.add(_identity(action))
                effects.update((_identity(action), effect) for effect in self._intend(action, now))
            self.last = self._world.look_again()
            actions = plan(self.last, now)
        ordered = sorted(effects, key=lambda i: (not isinstance(i, Stop), not isinstance(i, _Launched)))
        return [effects[identity] for identity in ordered], done, actions

    def _fresh(self, actions: tuple[Action, ...], done: set[object], asks: int | None) -> list[Action]:
        """What this turn has not done yet, without the proposals beyond so many."""
        fresh = [a for a in actions if _changes(a) and _identity(a) not in done]
        if asks is None:
            return fresh
        proposals = [a for a in fresh if isinstance(a, Ask)]
        held = proposals[max(0, asks - _asked(done)) :]
        self._held = bool(held)
        return [a for a in fresh if a not in held]

    def _may_ask(self) -> bool:
        """Whether there is time in this turn for one more proposal."""
        return True

    def _make_durable(self, acts: bool) -> bool:
        """Write what is pending; where nothing is and the turn ``acts``, make sure that the study is still ours."""
        try:
            if self.study.pending:
                self.study.flush()
            elif acts:
                self.study.confirm()
            else:
                return True
        except StoreUnavailable as error:
            self._failures += 1
            self.ports.unavailable(error)
            return False
        self._failures = 0
        return True

    def _publish(self, actions: tuple[Action, ...], snapshot: Snapshot) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.ports.publish(snapshot, action.decision)

    def observe(self) -> Snapshot:
        """Observe the attempts and read the logs of what is open."""
        return self._world.observe()

    def _intend(self, action: Action, now: float) -> list[Effect]:
        """Change the study as the action says; return what to do once that is durable."""
        executor = self.ports.executor
        match action:
            case CarryOut(request, line):
                answer = self.study.carry_out(request, line, now)
                return [lambda: self.ports.answered(answer)]
            case Ask(ordinal):
                self.study.ask(ordinal)
            case Retest(of):
                self.study.retest(of)
            case LaunchAttempt(key, after):
                return self._launch(key, after, now)
            case Report(number, finished):
                self._report(number, finished)
            case Stop(key, why):
                self.study.update_attempt(key.trial, key.attempt, stop=why)
                return [lambda: self._stop(key, why, now)]
            case Tell(number, classified):
                self._tell(number, classified, now)
            case Delete(key):
                if key.trial in self.study.open:
                    self._world.withdrawn.add(key)
                return [lambda: executor.delete(key)]
            case Publish() | Wait():
                pass
            case _:
                assert_never(action)
        return []

    def _stop(self, key: AttemptKey, why: StopReason, now: float) -> None:
        self._world.stop_sent[key] = now
        self.ports.executor.stop(key, why)

    def _launch(self, key: AttemptKey, after: Classified | None, now: float) -> list[Effect]:
        trial = self.study.open[key.trial]
        if after is not None and trial.attempts:
            self._close(trial, after, now)
            if key.repeat != trial.attempts[-1].repeat:
                self.study.open[key.trial].keep_repeat(self._world.log(trial).reading().values)
        digest = params_hash(trial.params)
        self.study.begin_attempt(key.trial, AttemptRecord(key.attempt, now, digest, repeat=key.repeat))
        request = AttemptRequest(
            key=key,
            name=attempt_name(self.spec.name, key),
            params=dict(trial.params),
            params_hash=digest,
            environment=environment(
                self.spec.name, trial.params, key, trial_seed(self.study.seed, key.trial, key.repeat)
            ),
            timeout=attempt_timeout(self.spec),
            avoid=failed_nodes(trial.attempts),
        )
        return [lambda: self.ports.executor.launch(request)]

    def _report(self, number: int, finished: bool) -> None:
        trial = self.study.open[number]
        log = self._world.log(trial)
        if trial.verdict == "prune" and not finished:
            log.forget_unreported()
            return
        first = log.repeat == 0
        for point in log.records(self.study.known_steps(number) if first else {}):
            self.study.settle_protocol(log.protocol)
            if self._world.other_protocol(log):
                continue
            if point is not None and first and self.spec.keeps_curves:
                if point.void_below:
                    self.study.withdraw_steps(number, point.void_below)
                if not (point.text or point.summary):
                    self.study.settle_json_curves()
                chance = point.text and self.study.json_curves
                prunable = point.in_order and trial.retest_of is None and not chance
                self.study.report(number, [(point.step, point.value, prunable)], finished)
            if trial.verdict == "prune" and not finished:
                break
        trial.keep_log(log.state())
        if log.series_changed and first:
            self.study.open[number].keep_series(log.series)
            log.series_changed = False

    def _tell(self, number: int, classified: Classified, now: float) -> None:
        trial = self.study.open.get(number)
        if trial is None:
            return
        if trial.attempts:
            self._close(trial, classified, now)
        log = self._world.log(trial)
        log.forget_unreported()
        trial.keep_log(log.state())
        self.study.tell(number, classified, log.reading().values)
        self._world.forget(number)

    def abandon(self, why: Classified) -> None:
        """Tell whatever is open, since nobody will look at it any more.

        Raises:
            StoreError: that is not stored.
        """
        for number in list(self.study.open):
            self._tell(number, why, self.ports.clock.now())
        self.study.flush()

    def _close(self, trial: OpenTrial, classified: Classified, now: float) -> None:
        """Record the end of the latest attempt."""
        last = trial.attempts[-1]
        key = last.key(trial.number)
        facts = self._world.facts(key)
        exit_facts = (facts.exit if facts else None) or ExitFacts()
        changes: AttemptChanges = {
            "ended": self._world.ended(key) or now,
            "exit_code": exit_facts.exit_code,
            "reason": exit_facts.reason,
            "outcome": str(classified.outcome),
            "message": bounded(classified.message),
        }
        if facts is not None and facts.started is not None:
            changes["started"] = facts.started
        if facts is not None and facts.node is not None:
            changes["node"] = facts.node
        self.study.update_attempt(trial.number, last.number, **changes)


@dataclass(frozen=True, slots=True)
class _Launched:
    """What tells one launch from another: the attempt, whatever became of the one before it."""

    key: AttemptKey


def _asked(done: set[object]) -> int:
    """How many proposals a turn has made."""
    return sum(isinstance(identity, Ask) for identity in done)


def _changes(action: Action) -> bool:
    return not isinstance(action, Publish | Wait)


def _identity(action: Action) -> object:
    return _Launched(action.key) if isinstance(action, LaunchAttempt) else action
