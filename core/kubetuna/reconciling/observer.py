"""What the reconciler sees: the study's open trials, their attempts at the executor, and what their logs say.

Looking changes nothing but memory. A log is read when the executor is asked; between two actions of one turn the
same observations are used again, as only the study has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kubetuna.experiment.model import Experiment
from kubetuna.metrics.collector import TrialLog
from kubetuna.study.open_trial import OpenTrial
from kubetuna.study.study import Study
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptPhase, Clock, Executor, LogSource
from kubetuna.trials.end_times import EndTimes
from kubetuna.trials.outcome import Reading
from kubetuna.trials.records import AttemptRecord, outcome_of
from kubetuna.trials.snapshot import AttemptView, Snapshot, TrialView

# Above this many unwritten changes no more log lines are read, so that a lost database bounds our memory.
PENDING_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a snapshot says of an experiment beside its trials: when it started, what an attempt costs a second.

    ``requests`` are what people have written down for its trials, by ID, answered or not.
    """

    started: float
    units: float
    deleted: Callable[[], bool] = lambda: False
    requests: Callable[[], Mapping[str, str]] = dict


class Observer:
    """Looks at one experiment.

    ``stop_sent`` says when the executor was last asked to end an attempt, ``withdrawn`` which must not start.
    """

    def __init__(
        self, spec: Experiment, study: Study, world: tuple[Executor, LogSource, Clock], around: Circumstances
    ) -> None:
        self._spec, self._study, self._around = spec, study, around
        self._executor, self._source, self._clock = world
        self._logs: dict[int, TrialLog] = {}
        self._seen: dict[AttemptKey, AttemptFacts] = {}
        self.stop_sent: dict[AttemptKey, float] = {}
        # What was running and is not seen: whether it is gone, asked once a turn.
        self._missing: dict[AttemptKey, AttemptFacts] = {}
        self.withdrawn: set[AttemptKey] = set()
        # Of these: whether nothing is there that may yet start, likewise.
        self._absent: dict[AttemptKey, bool] = {}
        self._ends = EndTimes(self._clock)
        # Whether some log may hold more than was read of it: then there is no time to wait.
        self.behind = False
        # Whether so much waits to be written that nothing more is read.
        self._full = False
        self._requests: Mapping[str, str] = {}

    def observe(self) -> Snapshot:
        """Observe the attempts and read the logs of what is open."""
        self.behind = False
        self._missing, self._absent = {}, {}
        self._requests = self._around.requests()
        self._study.steering.see(self._requests)
        self._seen = {facts.key: self._ends.dated(facts) for facts in self._executor.observe()}
        self._ends.keep(lambda: {*self._seen, *self._open_keys()})
        self._full = self._study.pending > PENDING_LIMIT
        return self._look(read=True)

    def look_again(self) -> Snapshot:
        """The same world, with what the study has become since."""
        return self._look(read=False)

    def _look(self, read: bool) -> Snapshot:
        seen = self._seen
        views = tuple(self._view(trial, seen, read) for trial in list(self._study.open.values()))
        open_keys, steering = self._open_keys(), self._study.steering
        snapshot = Snapshot(
            spec=self._spec,
            trials=views,
            tally=self._study.tally,
            strays=tuple(key for key in (*seen, *self._executor.headless()) if key not in open_keys),
            resource_seconds=self._study.ended_seconds * self._around.units,
            resource_units=self._around.units,
            started=self._around.started,
            capacity=self._executor.capacity(),
            exhausted=self._study.exhausted,
            unsearchable=self._study.unsearchable,
            retests_due=self._study.retests_due,
            deleted=self._around.deleted(),
            requests=tuple((i, line) for i, line in self._requests.items() if not steering.answered(i, line)),
            answers=steering.answers,
            queued=len(steering.queue),
        )
        return self._study.weighed(snapshot, self._clock.now())

    def _open_keys(self) -> set[AttemptKey]:
        return {a.key(t.number) for t in self._study.open.values() for a in t.attempts}

    def facts(self, key: AttemptKey) -> AttemptFacts | None:
        """What the attempt was last judged by: what its executor shows of it, or that it is gone."""
        return self._seen.get(key) or self._missing.get(key)

    def ended(self, key: AttemptKey) -> float | None:
        """When an attempt ended, or was first missed; None where it has not, or was never seen."""
        facts = self.facts(key)
        return facts.ended if facts is not None else self._ends.first_seen(key)

    def _view(self, trial: OpenTrial, seen: Mapping[AttemptKey, AttemptFacts], read: bool) -> TrialView:
        views = tuple(self._attempt(trial, record, seen) for record in trial.attempts)
        log = self.log(trial)
        if views and views[-1].facts is not None:
            latest = views[-1]
            if read:
                self._read(log, views[-1].facts, trial.verdict == "prune")
            if log.drained:
                views = (*views[:-1], replace(latest, drained=True))
        return TrialView(
            trial.number,
            views,
            self._reading(log),
            trial.verdict,
            log.unreported,
            self._spec.runs(trial.retest_of is not None),
            retest=trial.retest_of is not None,
            halted=trial.halted,
        )

    def _reading(self, log: TrialLog) -> Reading:
        """What a log says, and whether it was judged as the study's other trials are."""
        reading, other = log.reading(), self.other_protocol(log)
        return replace(reading, protocol=other) if other else reading

    def other_protocol(self, log: TrialLog) -> str:
        """The trial's protocol of evaluation where it is not the study's; a trial that names none is trusted."""
        return log.protocol if log.protocol != self._study.protocol else ""

    def _attempt(
        self, trial: OpenTrial, record: AttemptRecord, seen: Mapping[AttemptKey, AttemptFacts]
    ) -> AttemptView:
        key = record.key(trial.number)
        facts = seen.get(key)
        if facts is None and record.started is not None and record.outcome is None:
            facts = self._unseen(key, record)
        if facts is not None and facts.started is not None and record.started is None:
            self._study.update_attempt(trial.number, record.number, started=facts.started, node=facts.node)
        queued, admitted = self._queue(trial, record, facts)
        return AttemptView(
            record.number,
            record.created,
            facts,
            stop=record.stop,
            stop_sent=self.stop_sent.get(key),
            outcome=outcome_of(record.outcome),
            reason=record.reason,
            repeat=record.repeat,
            absent=facts is not None or record.outcome is not None or self._is_absent(key),
            queued=queued,
            admitted=admitted,
        )

    def _queue(
        self, trial: OpenTrial, record: AttemptRecord, facts: AttemptFacts | None
    ) -> tuple[float | None, float | None]:
        """Since when an attempt is in a queue, and since when out of it; kept, as both are seen once only."""
        queued, admitted, now = record.queued, record.admitted, self._clock.now()
        if facts is not None and record.outcome is None:
            if facts.queued and queued is None:
                queued = now if facts.created is None else facts.created
            if facts.queued:
                # The queue may take back what it has admitted before anything of it runs: it waits on.
                admitted = None
            elif queued is not None and admitted is None:
                admitted = now if facts.started is None else facts.started
            if (queued, admitted) != (record.queued, record.admitted):
                self._study.update_attempt(trial.number, record.number, queued=queued, admitted=admitted)
        return queued, admitted

    def _is_absent(self, key: AttemptKey) -> bool:
        if key not in self.withdrawn:
            # Nobody needs to know, and to ask costs a request.
            return False
        if key not in self._absent:
            self._absent[key] = self._executor.absent(key)
        return self._absent[key]

    def _unseen(self, key: AttemptKey, record: AttemptRecord) -> AttemptFacts:
        """An attempt that has run and is not known to its executor: it is gone only where a fresh look says so."""
        if key not in self._missing:
            end = self._executor.gone(key)
            phase: AttemptPhase = "running" if end is None else "ended"
            facts = AttemptFacts(key, phase, record.created, record.started, exit=end, node=record.node)
            self._missing[key] = self._ends.dated(facts)
        return self._missing[key]

    def log(self, trial: OpenTrial) -> TrialLog:
        """What was read of a trial's log."""
        if trial.number not in self._logs:
            self._logs[trial.number] = TrialLog(self._spec, trial.log)
        return self._logs[trial.number]

    def _read(self, log: TrialLog, facts: AttemptFacts, pruned: bool) -> None:
        key, ended = facts.key, facts.phase == "ended"
        if not ended:
            log.reopen()
        # What is printed after a verdict is not known to count before the end, and is left where it is until then.
        if facts.phase == "pending" or (pruned and facts.phase == "running"):
            return
        log.turn_to(key.attempt, key.repeat, facts.uid)
        if not (log.drained or self._full):
            before = log.cursor
            log.take(self._source.read(key, before))
            if not ended:
                # It was asked for when its node was lost, which is back.
                log.reopen()
            self.behind = self.behind or (log.cursor != before and not log.drained)

    def forget(self, number: int) -> None:
        """Drop what is kept of a trial that was told."""
        self._logs.pop(number, None)
        self.withdrawn = {key for key in self.withdrawn if key.trial != number}
        self.stop_sent = {key: at for key, at in self.stop_sent.items() if key.trial != number}
