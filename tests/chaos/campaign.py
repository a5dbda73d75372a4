"""A campaign: fault after fault while experiments run, then quiet, then the verdict."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetuna.trials.records import TrialRecord
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ledger import TRIAL, Verdict, judge
from tests.chaos.stage import TRIALS, Stage
from tests.local.runs import Runner, experiment

PAUSE_SECONDS = 2.0

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


def run(stage: Stage, faults: int, say: Callable[[str], None]) -> Outcome:
    """Run one. ``say`` is told of each fault.

    Raises:
        AssertionError: the experiments did not go on within four minutes of a fault's end.
    """
    began, calm = time.monotonic(), undisturbed(stage.folder)
    recovered: dict[str, list[float]] = defaultdict(list)
    kinds = [fault for fault in FAULTS if stage.layout is not None or not fault.ours]
    stage.keep_busy()
    stage.until(stage.progress)
    for number in range(faults):
        # Each kind as often as any other, in an order that the seed gives.
        if number % len(kinds) == 0:
            stage.random.shuffle(kinds)
        fault = kinds[number % len(kinds)]
        took = _inject(stage, fault)
        recovered[fault.name].append(round(took, 2))
        say(f"{number + 1} of {faults}: {fault.name}; went on after {took:.1f} s")
    stage.until(lambda: set(stage.states().values()) <= {"Succeeded", "Failed"})
    trials = stage.trials()
    verdict = judge(stage.notes(), trials, stage.hit, stage.forced)
    count = sum(map(len, trials.values()))
    return Outcome(dict(recovered), count, verdict, _other(trials, calm), time.monotonic() - began)


def _inject(stage: Stage, fault: Fault) -> float:
    """One fault; the seconds from its end until the studies hold more than before."""
    undo = fault.begin(stage)
    try:
        time.sleep(stage.random.uniform(0.2, 1.0) * fault.longest)
    finally:
        undo()
    began, held = time.monotonic(), stage.progress()

    def grew() -> bool:
        stage.keep_busy()
        return stage.progress() > held

    stage.until(grew)
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
