"""Training: every parameter matters, and an interrupted trial ends as an uninterrupted one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kubetuna_trial import memory
from kubetuna_trial.task1 import training
from kubetuna_trial.task1.cli import main
from kubetuna_trial.task1.training import Trial
from tests.trial.task1 import worlds

OTHERS: dict[str, Any] = {
    "net_dims_0": 128, "net_dims_1": 128, "net_dims_2": 128, "learning_rate": 1e-4, "gamma": 0.999,
    "explore_rate": 0.1, "batch_size": 256, "buffer_size_multiplier": 4, "horizon_len_multiplier": 3,
    "repeat_times": 3, "num_sims": 64, "step_gap": 4, "slippage": 1e-4, "max_position": 3,
    "n_ensemble_agents": 3, "agent_0": "TwinD3QN", "agent_1": "TwinD3QN",
}  # fmt: skip


def outcome(**params: Any) -> list[dict[str, float]]:
    return worlds.reports(worlds.trial(worlds.plan(**params)))


@pytest.fixture(scope="module")
def base() -> list[dict[str, float]]:
    return outcome()


@pytest.mark.parametrize("name", OTHERS)
def test_every_parameter_changes_the_outcome(name: str, base: list[dict[str, float]]) -> None:
    assert outcome(**{name: OTHERS[name]}) != base


@pytest.mark.parametrize("index", [2, 3])
def test_the_later_agents_matter_where_they_exist(index: int) -> None:
    found = [outcome(n_ensemble_agents=4, **{f"agent_{index}": kind}) for kind in ("D3QN", "DoubleDQN", "TwinD3QN")]
    assert found[0] != found[1] != found[2] != found[0]


def test_one_seed_gives_one_outcome_and_another_seed_another(base: list[dict[str, float]]) -> None:
    assert outcome() == base
    assert outcome(seed=2) != base


def test_the_contest_semantics_are_another_training(base: list[dict[str, float]]) -> None:
    assert outcome(compat=True) != base


@pytest.mark.parametrize("sizes", [(4, 3), (4, 4), (5, 4), (16, 1)])
def test_memory_and_horizon_fit_together_in_every_combination(sizes: tuple[int, int]) -> None:
    memory, horizon = sizes
    assert len(outcome(buffer_size_multiplier=memory, horizon_len_multiplier=horizon, updates=20)) == 2


def learned(trial: Trial, step: int) -> set[int]:
    """How often each of its agents has learned by a report."""
    assert trial._train(step, lambda: False)
    return {member.updates for member in trial.members}


def test_every_agent_of_every_trial_learns_equally_often_at_every_report() -> None:
    for params in ({}, {"n_ensemble_agents": 4}, {"batch_size": 512, "repeat_times": 4, "num_sims": 256}):
        trial = worlds.trial(worlds.plan(updates=30, **params))
        assert [learned(trial, step) for step in (1, 2)] == [{15}, {30}]


def test_a_budget_in_samples_is_refused_with_what_to_say_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--budget", "200000"]) == 2
    assert "--updates N" in capsys.readouterr().err


@pytest.mark.parametrize("after", [1, 100, 200, 300])
def test_a_trial_stopped_anywhere_ends_as_if_it_had_not_been(
    after: int, base: list[dict[str, float]], tmp_path: Path
) -> None:
    told: list[dict[str, float]] = []
    left: Iterator[int] = iter(range(after, -1, -1))
    first = worlds.trial(worlds.plan(), folder=tmp_path)
    assert not first.run(lambda r: told.append(r.metrics()), lambda: next(left) == 0)
    second = worlds.trial(worlds.plan(), folder=tmp_path)
    assert [m.updates for m in second.members] == [m.updates for m in first.members]
    assert second.run(lambda r: told.append(r.metrics()), lambda: False)
    assert told == base


COMMAND = [
    sys.executable,
    "-u",
    "-m",
    "kubetuna_trial.task1",
    "--rows",
    "20000",
    "--updates",
    "240",
    "--reports",
    "6",
]


def command(folder: Path) -> list[str]:
    small = [f"--{name.replace('_', '-')}={value}" for name, value in worlds.SMALL.items()]
    return [*COMMAND, *small, "--seed", "5", "--checkpoints", str(folder / "saved"), "--out", str(folder / "out")]


def steps(lines: list[str]) -> dict[int, dict[str, float]]:
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return {record["step"]: record for record in found if "step" in record}


def test_the_process_survives_sigterm_and_kill_9_bit_for_bit(tmp_path: Path) -> None:
    calm = subprocess.run(command(tmp_path / "calm"), capture_output=True, text=True, check=True)
    expected = steps(calm.stdout.splitlines())
    assert sorted(expected) == [1, 2, 3, 4, 5, 6]
    told: dict[int, dict[str, float]] = {}
    for at, number, code in ((2, signal.SIGTERM, 143), (4, signal.SIGKILL, -9), (9, None, 0)):
        process = subprocess.Popen(
            command(tmp_path / "hit"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            told.update(steps([line]))
            if f'"step": {at},' in line and number is not None:
                os.kill(process.pid, number)
                break
        told.update(steps(process.stdout.readlines()))
        assert process.wait() == code
    assert told == expected
    calm_net, hit_net = (load_file(tmp_path / n / "out" / "ensemble.safetensors") for n in ("calm", "hit"))
    assert calm_net.keys() == hit_net.keys() and all(torch.equal(calm_net[k], hit_net[k]) for k in calm_net)
    assert json.loads((tmp_path / "hit/out/metrics.json").read_text()) == {
        k: v for k, v in expected[6].items() if k != "step"
    }


def test_help_says_what_is_reported() -> None:
    told = subprocess.run([sys.executable, "-m", "kubetuna_trial.task1", "--help"], capture_output=True, text=True)
    assert told.returncode == 0
    for word in ("sharpe_ratio", "--learning-rate", "KUBETUNA_PARAMS", "--prices", "replay"):
        assert word in told.stdout


def test_more_memory_than_there_is_is_refused_before_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 2 << 30)
    monkeypatch.setattr(training, "Member", lambda *_: pytest.fail("nothing is taken"))
    assert main(["--rows", "10000", "--profile", "contest", "--num-sims", "65536"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1]) == {"outcome": "OutOfMemory"}
    assert re.search(r"lower num_sims.* GiB are needed \(replay memory .* GiB\), 2\.0 GiB are left", told.err)


def test_the_need_is_what_the_memory_takes() -> None:
    made = worlds.trial(worlds.plan())
    taken = sum(c.nbytes for member in made.members for c in member._memory._columns.values())
    assert training.memory_needs(worlds.plan())["replay memory"] == taken
