"""What the plan and the engine add to Optuna's ask and tell, and what a process start costs."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from tests.fakes import Run
from tests.local.runs import KUBETUNA, experiment
from tests.world import World

from benchmarks.measure import Row, medians, seconds, times
from kubetuna.trials.attempts import AttemptRequest

ALGORITHM = {"algorithmName": "tpe", "algorithmSettings": [{"name": "seed", "value": 1}]}


def rows(quick: bool) -> list[Row]:
    """A no-op experiment in memory and with real processes."""
    trials, processes = (100, 10) if quick else (1000, 60)
    found = medians(
        {
            "ask and tell": lambda: _optuna(trials) / trials,
            "engine": lambda: _engine(trials) / trials,
            "bare process": lambda: seconds(lambda: _bare(processes)) / processes,
            "kubetuna run": lambda: _run(processes) / processes,
        },
        1 if not quick else 2,
    )
    bare, whole = found["bare process"][0], found["kubetuna run"][0]
    return [
        Row("control: Optuna ask + tell in memory", found["ask and tell"][0] * 1e3, "ms",
            note=f"TPE, {trials} trials"),
        Row("control: a no-op trial through plan, engine and SQLite", found["engine"][0] * 1e3, "ms",
            note="a fake place; two at a time"),
        Row("control: over ask + tell", found["engine"][0] / found["ask and tell"][0], "x"),
        Row("control: a bare process start", bare * 1e3, "ms", note="sh, one at a time"),
        Row("control: kubetuna run, per trial", whole * 1e3, "ms",
            note=f"{processes} trials of sh, one at a time, start of the program included"),
        Row("control: of which process starts", 100 * bare / whole, "%"),
    ]  # fmt: skip


def _optuna(trials: int) -> float:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))

    def one() -> None:
        trial = study.ask({"x": FloatDistribution(0, 1)})
        study.tell(trial, trial.params["x"])

    return seconds(times(trials, one))


def _engine(trials: int) -> float:
    def program(launch: AttemptRequest) -> Run:
        return Run((f"loss={launch.params['x']}".encode(),))

    world = World(experiment("", maxTrialCount=trials, algorithm=ALGORITHM), program)
    try:
        return seconds(lambda: world.finish())
    finally:
        world.close()


def _bare(count: int) -> None:
    for _ in range(count):
        subprocess.run(["sh", "-c", "echo loss=1"], stdout=subprocess.DEVNULL, check=True)


def _run(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noop.yaml"
        text = experiment("", maxTrialCount=count, parallelTrialCount=1, command=["sh", "-c", "echo loss=1"])
        path.write_text(text)
        words = [str(KUBETUNA), "run", str(path)]
        return seconds(lambda: subprocess.run(words, cwd=folder, check=True, capture_output=True))
