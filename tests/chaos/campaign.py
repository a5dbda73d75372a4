"""A campaign: faults while experiments run, some at once, then quiet, then the verdict."""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetuna.trials.records import TrialRecord
from tests.chaos.faults import FAULTS, PLACES, Fault
from tests.chaos.ledger import TRIAL, Verdict, judge
from tests.chaos.stage import TRIALS, Stage
from tests.local.runs import Runner, experiment

PAUSE_SECONDS = 2.0
BUSY_SECONDS = 1.0

Values = dict[int, tuple[float, ...] | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign found. ``recovered``: by fault, the seconds from its end until the studies grew again."""

    recovered: dict[str, list[float]]
    trials: int
    verdict: Verdict
    other: tuple[str, ...]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, done twice or changed."""
        return not self.other and not any(self.verdict.as_json().values())

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "faults": {name: len(found) for name, found in self.recovered.items()},
            "recovered": self.recovered,
            "trials": self.trials,
            **self.verdict.as_json(),
            "other": list(self.other),
            "seconds": round(self.seconds, 1),
        }


def undisturbed(folder: Path) -> Values:
    """Each trial's values where nothing happens: the same experiment as processes of this machine."""
    document = json.loads(experiment(TRIAL, maxTrialCount=TRIALS, parallelTrialCount=2))
    container = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["containers"][0]
    container |= {"command": [sys.executable, "-c"], "args": [TRIAL, "", "0"]}
    here = Runner(folder, "sqlite:///calm.db")
    here.call("run", str(here.write(json.dumps(document))))
    return {trial["number"]: tuple(trial["values"]) for trial in json.loads(here.call("trials", "small", "--json"))}


class Deck:
    """The faults to come: each kind as often as any other, in an order that the seed gives.

    A place that is hit already is not hit by another one, so that each fault can be undone by itself.
    """

    def __init__(self, kinds: Sequence[Fault], count: int, order: random.Random) -> None:
        rounds = (order.sample(kinds, len(kinds)) for _ in range(0, count, len(kinds)))
        self._left = [fault for of in rounds for fault in of][:count]
        self._busy: set[tuple[str, int]] = set()
        self._changed = threading.Condition()

    def take(self) -> tuple[Fault, int] | None:
        """The next one, and which one of its place to hit, as soon as that is free; None once all are taken."""
        with self._changed:
            while self._left:
                for fault in self._left:
                    free = (n for n in range(PLACES.get(fault.place, 1)) if (fault.place, n) not in self._busy)
                    if (at := next(free, None)) is not None:
                        self._left.remove(fault)
                        self._busy.add((fault.place, at))
                        return fault, at
                self._changed.wait()
        return None

    def free(self, fault: Fault, at: int) -> None:
        """It is over."""
        with self._changed:
            self._busy.discard((fault.place, at))
            self._changed.notify_all()

    def drop(self) -> None:
        """No more are taken."""
        with self._changed:
            self._left.clear()
            self._changed.notify_all()


def run(stage: Stage, faults: int, at_once: int, say: Callable[[str], None]) -> Outcome:
    """Run one. ``say`` is told of each fault. Interrupted, it goes on with quiet and the verdict.

    Raises:
        AssertionError: the experiments did not go on within four minutes of a fault's end.
    """
    began, calm = time.monotonic(), undisturbed(stage.folder)
    kinds = [fault for fault in FAULTS if stage.layout is not None or not fault.ours]
    stage.keep_busy()
    stage.until(stage.progress)
    recovered = _inject_all(stage, Deck(kinds, faults, stage.random), at_once, _numbered(faults, say))
    stage.until(stage.over)
    trials = stage.trials()
    verdict = judge(stage.notes(), trials, stage.hit, stage.forced)
    count = sum(map(len, trials.values()))
    return Outcome(recovered, count, verdict, _other(trials, calm), time.monotonic() - began)


def _numbered(count: int, say: Callable[[str], None]) -> Callable[[str], None]:
    numbers = itertools.count(1)
    return lambda text: say(f"{next(numbers)} of {count}: {text}")


def _inject_all(stage: Stage, deck: Deck, at_once: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Lane beside lane, while the experiments that end are followed by others."""
    recovered: dict[str, list[float]] = defaultdict(list)

    def lane() -> None:
        while (taken := deck.take()) is not None:
            took = _inject(stage, *taken)
            deck.free(*taken)
            recovered[taken[0].name].append(round(took, 2))
            say(f"{taken[0].name}; went on after {took:.1f} s")

    with ThreadPoolExecutor(at_once) as pool:
        lanes = [pool.submit(lane) for _ in range(at_once)]
        try:
            while _go_on(lanes):
                stage.patiently(stage.keep_busy)
        except KeyboardInterrupt:
            say("no more: it was interrupted")
        finally:
            deck.drop()
    for ended in lanes:
        ended.result()
    return dict(recovered)


def _go_on(lanes: Sequence[Future[None]]) -> bool:
    """Whether some are left after a while, and none has failed."""
    found = wait(lanes, BUSY_SECONDS, FIRST_EXCEPTION)
    return bool(found.not_done) and not any(lane.exception() for lane in found.done)


def _inject(stage: Stage, fault: Fault, at: int) -> float:
    """One fault; the seconds from its end until the studies hold more than before."""
    undo = stage.patiently(lambda: fault.begin(stage, at))
    try:
        time.sleep(stage.random.uniform(0.2, 1.0) * fault.longest)
    finally:
        undo()
    began, held = time.monotonic(), stage.patiently(stage.progress)
    stage.until(lambda: stage.progress() > held)
    took = time.monotonic() - began
    time.sleep(stage.random.uniform(0.0, PAUSE_SECONDS))
    return took


def _other(trials: dict[str, list[TrialRecord]], calm: Values) -> tuple[str, ...]:
    """Trials with another result than where nothing happens; all experiments have the same seed."""
    found = {(name, t.number): t.values for name, of in trials.items() for t in of}
    wanted = {(name, number): values for name in trials for number, values in calm.items()}
    return tuple(
        f"{of}: {found.get(of)}, not {wanted.get(of)}"
        for of in sorted({*found, *wanted})
        if found.get(of) != wanted.get(of)
    )
