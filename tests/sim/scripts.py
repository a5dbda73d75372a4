"""What trials do, as pure functions of time: when they print which line, how they end, what they make of SIGTERM.

The value that a trial reaches follows from its parameters alone, so that an experiment's result does not depend on
what befell it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.apiserver.kubelet import Heed
from tests.sim.draws import number
from tests.sim.experiments import ENDLESS, study_of

STEPS = 4
# What a trial says as it crashes, for its log and its termination message.
PASSWORD = "hunter2"
LAST_WORDS = f"cannot connect to postgresql://trainer:{PASSWORD}@rewards.example/scores"
SIGTERM = Heed()
# A habit and its share. What crashes, crashes in every attempt.
HABITS = {
    "good": 0.40, "slow": 0.10, "silent": 0.10, "chatty": 0.10, "crashing": 0.08, "out of memory": 0.04,
    "hanging": 0.06, "deaf": 0.06, "resuming": 0.06,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Script:
    """One attempt's life from its container's start. ``ends`` None: never by itself."""

    habit: str
    lines: tuple[tuple[float, str], ...]
    ends: float | None
    code: int = 0
    reason: str = ""
    heed: Heed = SIGTERM
    last_words: str = ""


def loss(params: Mapping[str, Any]) -> float:
    """The objective that a trial of these parameters reaches."""
    return round((float(params["x"]) - 0.3) ** 2 + 0.01 * int(params.get("n", 1)), 6)


def habit_of(study: str, trial: int, may_hang: bool) -> str:
    """How a trial behaves, in all its attempts."""
    if study == study_of(ENDLESS):
        return "hanging"
    left = number(f"habit {study} {trial}")
    for habit, share in HABITS.items():
        left -= share
        if left < 0:
            return "good" if habit == "hanging" and not may_hang else habit
    return "good"


def pace(study: str, trial: int) -> float:
    """Seconds that a trial takes for a step."""
    return 1.0 + 3.0 * number(f"pace {study} {trial}")


def script(habit: str, params: Mapping[str, Any], resumed: int, pace: float) -> Script:
    """An attempt of a trial that ``resumed`` after this many steps, one each ``pace`` seconds."""
    pace *= 3.0 if habit == "slow" else 1.0
    final = loss(params)
    first = resumed if habit == "resuming" else 0
    steps = range(first + 1, STEPS + 1)
    reports = tuple(((step - first) * pace, _report(step, final)) for step in steps)
    end = (STEPS - first) * pace + 0.5
    if habit == "silent":
        return Script(habit, (reports[-1],), end)
    if habit == "chatty":
        noise = tuple((pace * i / 5, f"batch {i} done") for i in range(5 * STEPS))
        return Script(habit, tuple(sorted((*noise, *reports))), end)
    if habit == "crashing":
        return Script(habit, (*reports[:1], (pace + 0.4, LAST_WORDS)), pace + 0.5, 1, last_words=LAST_WORDS)
    if habit == "out of memory":
        return Script(habit, reports[:1], pace + 0.5, 137, "OOMKilled")
    if habit == "hanging":
        return Script(habit, reports[:2], None)
    if habit == "deaf":
        return Script(habit, reports, end, heed=Heed(None))
    return Script(habit, reports, end)


def companion(main: Script) -> Script:
    """What runs beside it in another Pod of its attempt: it ends once that has ended well, and else never."""
    ends = main.ends + 0.3 if main.ends is not None and main.code == 0 else None
    return Script("worker", (), ends)


def _report(step: int, final: float) -> str:
    return json.dumps({"step": step, "loss": round(final + 0.1 * (STEPS - step), 6)})
