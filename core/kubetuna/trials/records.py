"""What kubetuna keeps with a trial beyond Optuna's own columns, and how it is written and read.

Everything lies in the trial's attributes, so a study needs no table of ours: system attributes under the
prefix ``kubetuna:`` for what the plan needs, one user attribute per metric for people and for the dashboard.
The study store writes these records; the command line and the report read them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import Any, Literal, TypedDict, cast

from kubetuna.trials.attempts import AttemptKey
from kubetuna.trials.masking import masked
from kubetuna.trials.outcome import DISPLACED_REASONS, RUNNER_REASONS, Outcome, StopReason

ORDINAL = "kubetuna:ordinal"
ATTEMPTS = "kubetuna:attempts"
VERDICT = "kubetuna:verdict"
LOG = "kubetuna:log"
OUTCOME = "kubetuna:outcome"
MESSAGE = "kubetuna:message"
SERIES = "kubetuna:series"
METRICS = "kubetuna:metrics"
REPEATS = "kubetuna:repeats"
RETEST = "kubetuna:retest"
# Of a curve that is not the only objective's, in parts of so many points: each report writes only the last part.
CURVE, CURVE_PART = "kubetuna:curve:", 100
RETRY = "kubetuna:retry"
ADDED = "kubetuna:added"
HALTED = "kubetuna:halted"

EXPERIMENT = "kubetuna:experiment"
SEED = "kubetuna:seed"
# What is done where the spec names no algorithm, as it was when the study was made; absent in older ones.
USUAL_ALGORITHM = "kubetuna:usual-algorithm"
STARTED = "kubetuna:started"
RESOURCE = "kubetuna:resource"
PROTOCOL = "kubetuna:protocol"
JSON_CURVES = "kubetuna:json-curves"
FINAL = "kubetuna:final"
FOLDER = "kubetuna:folder"
UNSEARCHABLE = "kubetuna:unsearchable"
EXHAUSTED = "kubetuna:exhausted"
UID = "kubetuna:uid"
WARM_START = "kubetuna:warm-start"
# What people ask of trials: each request a key of its own, what became of them, and the points that wait.
REQUEST = "kubetuna:request:"
ANSWERS = "kubetuna:answers"
QUEUE = "kubetuna:queue"

MESSAGE_LIMIT = 1000
# In Optuna's names.
State = Literal["RUNNING", "WAITING", "COMPLETE", "PRUNED", "FAIL"]
NODES_AVOIDED = 5

_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt as it is kept. Times are seconds since the epoch; ``stop`` our durable intent to end it.

    ``queued`` is since when it was in a queue, and ``admitted`` when it was seen to be out of it for good.
    """

    number: int
    created: float
    params_hash: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    node: str | None = None
    stop: StopReason | None = None
    outcome: str | None = None
    message: str = ""
    repeat: int = 0
    queued: float | None = None
    admitted: float | None = None

    @property
    def in_queue(self) -> bool:
        """Whether it waits in a queue now."""
        return self.queued is not None and self.admitted is None and self.ended is None

    def queue_seconds(self, now: float) -> float:
        """How long it was in a queue."""
        left = next((at for at in (self.admitted, self.ended) if at is not None), now)
        return 0.0 if self.queued is None else max(0.0, left - self.queued)

    def key(self, trial: int) -> AttemptKey:
        """Which attempt this is, of that trial."""
        return AttemptKey(trial, self.number, self.repeat)


class AttemptChanges(TypedDict, total=False):
    """What may become known of an attempt after it was recorded."""

    started: float | None
    ended: float
    exit_code: int | None
    reason: str | None
    node: str | None
    stop: StopReason
    outcome: str
    message: str
    queued: float | None
    admitted: float | None


_FIELDS = frozenset(f.name for f in fields(AttemptRecord))


def encode_attempts(attempts: Sequence[AttemptRecord]) -> list[dict[str, Any]]:
    """As JSON, without the fields that say nothing."""
    return [
        {k: v for k, v in asdict(a).items() if v not in (None, "") and (k, v) != ("repeat", 0)} for a in attempts
    ]


def decode_attempts(value: object) -> tuple[AttemptRecord, ...]:
    """The records in an attribute; unknown keys of a newer version are passed over."""
    if not isinstance(value, list):
        return ()
    return tuple(AttemptRecord(**{k: v for k, v in a.items() if k in _FIELDS}) for a in value)


def failed_nodes(attempts: Sequence[AttemptRecord]) -> tuple[str, ...]:
    """The latest nodes that failed a trial's attempts, each once."""
    failed = (
        a.node
        for a in reversed(attempts)
        if a.outcome == Outcome.INFRASTRUCTURE and a.node and a.reason not in RUNNER_REASONS | DISPLACED_REASONS
    )
    return tuple(dict.fromkeys(failed))[:NODES_AVOIDED]


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as people see it. ``state`` in Optuna's names; ``steps`` of its curve, in order.

    ``repeats`` are the metrics of each finished repeat, where there are several; ``metrics`` their means.
    ``retest_of`` is the trial whose parameters a re-test runs again. ``space`` holds the parameters that were drawn
    from another feasible space than they have now, after an edit. ``retry_of`` is the failed trial in whose place a
    person had this one run; ``added``: a person named its point.
    Of ``lines_cut`` lines of the latest attempt only the end was read.
    """

    number: int
    state: State
    outcome: str | None
    params: Mapping[str, Any]
    values: tuple[float, ...] | None
    metrics: Mapping[str, float]
    steps: tuple[tuple[int, float], ...]
    attempts: tuple[AttemptRecord, ...]
    started: float | None
    ended: float | None
    message: str
    ordinal: int | None = None
    feasible: bool = True
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    repeats: tuple[Mapping[str, float], ...] = ()
    retest_of: int | None = None
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lines_cut: int = 0
    retry_of: int | None = None
    added: bool = False

    @property
    def own(self) -> bool:
        """Whether this experiment made the trial, rather than another writer of the study."""
        return self.ordinal is not None or self.retest_of is not None

    @property
    def in_queue(self) -> bool:
        """Whether its latest attempt waits in a queue."""
        return self.state == "RUNNING" and bool(self.attempts) and self.attempts[-1].in_queue

    def as_json(self) -> dict[str, Any]:
        """The documented shape of ``kubetuna trials --json``."""
        shown: dict[str, Any] = {
            "number": self.number,
            "state": self.state,
            "outcome": self.outcome,
            "params": dict(self.params),
            "values": None if self.values is None else list(self.values),
            "metrics": dict(self.metrics),
            "steps": [[step, value] for step, value in self.steps],
            "attempts": [_attempt_json(a) for a in self.attempts],
            "started": timestamp(self.started),
            "ended": timestamp(self.ended),
            "message": self.message,
        }
        if self.repeats:
            shown["repeats"] = [dict(r) for r in self.repeats]
        if self.retest_of is not None:
            shown["retestOf"] = self.retest_of
        if self.space:
            shown["space"] = {name: dict(space) for name, space in self.space.items()}
        if self.retry_of is not None:
            shown["retryOf"] = self.retry_of
        if self.added:
            shown["added"] = True
        if self.lines_cut:
            shown["linesCut"] = self.lines_cut
        if self.in_queue:
            shown["queued"] = timestamp(self.attempts[-1].queued)
        return shown


def from_json(shown: Mapping[str, Any]) -> TrialRecord:
    """The record behind the documented shape, as far as that shape tells; absent fields are None."""
    values, moment = shown.get("values"), _moment
    return TrialRecord(
        number=int(shown["number"]),
        state=cast(State, shown["state"]),
        outcome=shown.get("outcome"),
        params=dict(shown.get("params") or {}),
        values=None if values is None else tuple(float(v) for v in values),
        metrics={name: float(v) for name, v in (shown.get("metrics") or {}).items()},
        steps=tuple((int(step), float(value)) for step, value in shown.get("steps") or ()),
        attempts=tuple(_attempt_record(a) for a in shown.get("attempts") or ()),
        started=moment(shown.get("started")),
        ended=moment(shown.get("ended")),
        message=str(shown.get("message") or ""),
        ordinal=shown.get("ordinal", None if "retestOf" in shown else int(shown["number"])),
        feasible=shown.get("feasible", True) is not False,
        series=series_of(shown.get("series")),
        repeats=decode_repeats(shown.get("repeats")),
        retest_of=shown.get("retestOf"),
        space=shown.get("space") or {},
        lines_cut=int(shown.get("linesCut") or 0),
        retry_of=shown.get("retryOf"),
        added=shown.get("added") is True,
    )


def _attempt_record(shown: Mapping[str, Any]) -> AttemptRecord:
    started = _moment(shown.get("started"))
    return AttemptRecord(
        number=int(shown["number"]),
        created=started or 0.0,
        params_hash="",
        started=started,
        ended=_moment(shown.get("ended")),
        exit_code=shown.get("exitCode"),
        node=shown.get("node"),
        outcome=shown.get("outcome"),
        repeat=int(shown.get("repeat") or 0),
        queued=_moment(shown.get("queued")),
        admitted=_moment(shown.get("admitted")),
    )


def _moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _attempt_json(attempt: AttemptRecord) -> dict[str, Any]:
    queue = {"queued": timestamp(attempt.queued), "admitted": timestamp(attempt.admitted)}
    return {
        "number": attempt.number,
        "repeat": attempt.repeat,
        "outcome": attempt.outcome,
        "exitCode": attempt.exit_code,
        "started": timestamp(attempt.started),
        "ended": timestamp(attempt.ended),
        "node": attempt.node,
        **(queue if attempt.queued is not None else {}),
    }


# A status tells the same few times again and again.
@lru_cache(maxsize=4096)
def timestamp(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, or None."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def curve_in(system: Mapping[str, Any]) -> dict[int, float]:
    """The curve that lies in a trial's system attributes, in the order in which it was reported."""
    points: dict[int, float] = {}
    for part in count():
        found = system.get(f"{CURVE}{part}")
        if not isinstance(found, list):
            break
        points |= {int(step): float(value) for step, value in found}
    return points


def is_own(system: Mapping[str, Any]) -> bool:
    """Whether these system attributes are those of a trial that an experiment of ours made."""
    return ORDINAL in system or RETEST in system


def decode_repeats(value: object) -> tuple[Mapping[str, float], ...]:
    """The metrics of each finished repeat."""
    return tuple(metrics_of(one) for one in value) if isinstance(value, list | tuple) else ()


def means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that every run of a trial has; of no runs nothing.

    A metric that one run lacks has no mean: a value made up for it would favour or punish the trial.
    """
    if not runs:
        return {}
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: sum(run[name] for run in runs) / len(runs) for name in shared}


def metrics_of(value: object) -> dict[str, float]:
    """The numbers among named values; another program may have put anything there."""
    named = value.items() if isinstance(value, Mapping) else ()
    return {str(n): v for n, v in named if isinstance(v, int | float) and not isinstance(v, bool)}


def series_of(value: object) -> dict[str, Sequence[float]]:
    return dict(value) if isinstance(value, Mapping) else {}


def bounded(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """A message short enough for an attribute, a status and an event, without control characters and secrets."""
    clean = "".join(c if c.isprintable() or c == " " else " " for c in masked(message))
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def outcome_of(text: str | None) -> Outcome | None:
    """The outcome of that name; None for none, and for one that only a newer version knows."""
    return None if text is None else _OUTCOMES.get(text)


def dumps(value: object) -> str:
    """JSON as we print it: never NaN or Infinity."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
