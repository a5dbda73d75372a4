"""Training: every parameter matters, and an interrupted trial ends as an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kubetuna_trial.task2.learning import Learner, Method
from kubetuna_trial.task2.planted import write_contest_files
from kubetuna_trial.task2.training import Trial, scores
from tests.trial.task2 import worlds

OTHERS: dict[str, Any] = {
    "lora_r": 8, "lora_alpha": 8, "lora_dropout": 0.3, "learning_rate": 1e-5, "max_train_steps": 5,
    "signal_strength": 20, "lookahead": 7, "max_env_steps": 200, "reward_scaling": 0.1, "use_4bit": True,
}  # fmt: skip


def outcome(**params: Any) -> list[float]:
    """What a trained model says on a few validation days."""
    trial = worlds.trial(worlds.plan(reports=1, **params))
    trial.train(1)
    start = trial.market.window.start
    found: list[float] = scores(trial.policy, trial.market, range(start, start + 3)).mean.ravel().tolist()
    return found


@pytest.fixture(scope="module")
def base() -> list[float]:
    return outcome()


@pytest.mark.parametrize("name", OTHERS)
def test_every_parameter_changes_what_is_learned(name: str, base: list[float]) -> None:
    assert outcome(**{name: OTHERS[name]}) != base


def test_the_type_of_quantization_matters_where_there_is_one(base: list[float]) -> None:
    nf4, fp4 = (outcome(use_4bit=True, quantization_type=kind) for kind in ("nf4", "fp4"))
    assert nf4 != fp4
    assert outcome(use_4bit=False, quantization_type="fp4") == base


def test_one_seed_gives_one_outcome_and_another_seed_another(base: list[float]) -> None:
    def seeded(seed: int) -> list[float]:
        trial = worlds.trial(worlds.plan(reports=1, seed=seed))
        trial.train(1)
        start = trial.market.window.start
        found: list[float] = scores(trial.policy, trial.market, range(start, start + 3)).mean.ravel().tolist()
        return found

    assert seeded(1) == base and seeded(2) != base


def learner(trial: Trial) -> Learner:
    return trial.learner


def test_training_sees_every_recent_day_once_before_any_twice() -> None:
    trial = worlds.trial(worlds.plan(max_env_steps=200, method=Method(days=4)))
    seen = [day for step in range(50) for day in learner(trial).days(step)]
    assert sorted(seen) == list(trial.market.train)[-200:]
    assert sorted(day for step in range(50, 100) for day in learner(trial).days(step)) == sorted(seen)
    assert [day for step in range(50, 100) for day in learner(trial).days(step)] != seen


def test_the_starter_kits_way_is_another_training_a_day_a_step(base: list[float]) -> None:
    trial = worlds.trial(worlds.plan(reports=1, method=Method(compat=True)))
    assert len(learner(trial).days(0)) == 1
    trial.train(1)
    assert torch.optim.Adam is type(trial.learner._optimizer)
    assert all(bool(torch.isfinite(weight).all()) for weight in trial.policy.weights.values())


@pytest.fixture(scope="module")
def calm() -> list[dict[str, float]]:
    return worlds.reports(worlds.trial(worlds.plan()))


@pytest.mark.parametrize("after", [0, 2, 5, 14])
def test_a_trial_stopped_anywhere_ends_as_if_it_had_not_been(
    after: int, calm: list[dict[str, float]], tmp_path: Path
) -> None:
    told: list[dict[str, float]] = []
    left: Iterator[int] = iter(range(after, -1, -1))
    first = worlds.trial(worlds.plan(), folder=tmp_path)
    assert not first.run(lambda r: told.append(r.metrics()), lambda: next(left) == 0)
    second = worlds.trial(worlds.plan(), folder=tmp_path)
    assert second.learner.done == first.learner.done
    assert second.run(lambda r: told.append(r.metrics()), lambda: False)
    assert told == calm


def test_a_finished_trial_that_is_started_again_says_nothing_twice(tmp_path: Path) -> None:
    worlds.reports(worlds.trial(worlds.plan(), folder=tmp_path))
    assert worlds.reports(worlds.trial(worlds.plan(), folder=tmp_path)) == []


def test_another_model_or_other_parameters_do_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    worlds.reports(worlds.trial(worlds.plan(), folder=tmp_path))
    assert worlds.trial(worlds.plan(lora_alpha=16), folder=tmp_path).reported == 0
    assert worlds.trial(worlds.plan(seed=2), folder=tmp_path).reported == 0
    emulated = worlds.plan(use_4bit=True)
    assert worlds.trial(emulated, folder=tmp_path, model=worlds.loaded("nf4", "emulated")).reported == 0


def test_a_lack_of_memory_shrinks_the_passes_before_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = worlds.trial(worlds.plan())
    policy, whole = trial.policy, type(trial.policy).forward
    sizes: list[int] = []

    def tight(self: Any, encoded: Any) -> Any:
        sizes.append(len(encoded))
        if torch.is_grad_enabled() and len(encoded) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, encoded)

    monkeypatch.setattr(type(policy), "forward", tight)
    trial.learner.advance()
    assert policy.per_pass == 4 and max(sizes) == 14 and trial.learner.done == 1
    assert trial.learner.state()["checkpointing"] is True
    monkeypatch.undo()
    plain = worlds.trial(worlds.plan())
    plain.learner.advance()
    for name, weight in plain.policy.weights.items():
        assert torch.allclose(weight, policy.weights[name], atol=1e-3), name


def test_evaluation_shrinks_its_passes_as_training_does(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = worlds.trial(worlds.plan())
    whole, days = type(trial.policy).forward, trial.protocol.days(3)
    plain = scores(trial.policy, trial.market, days)

    def tight(self: Any, encoded: Any) -> Any:
        if len(encoded) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, encoded)

    monkeypatch.setattr(type(trial.policy), "forward", tight)
    found = scores(trial.policy, trial.market, days)
    assert trial.policy.per_pass <= 4 and np.allclose(found.mean, plain.mean, atol=1e-4)


def test_memory_that_does_not_suffice_for_one_prompt_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = worlds.trial(worlds.plan())

    def none(*_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(type(trial.policy), "forward", none)
    with pytest.raises(RuntimeError, match="allocate"):
        trial.learner.advance()
    assert trial.policy.per_pass == 1


def test_training_that_diverges_says_so() -> None:
    trial = worlds.trial(worlds.plan(learning_rate=1.0, max_train_steps=4))
    with torch.no_grad():
        next(iter(trial.policy.weights.values())).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="diverged"):
        trial.learner.advance()


COMMAND = [sys.executable, "-u", "-m", "kubetuna_trial.task2", "--max-train-steps", "8", "--reports", "4",
           "--days-per-step", "1", "--seed", "5"]  # fmt: skip


def command(folder: Path, data: Path) -> list[str]:
    return [*COMMAND, "--data", str(data), "--checkpoints", str(folder / "saved"), "--out", str(folder / "out")]


def steps(lines: list[str]) -> dict[int, dict[str, float]]:
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return {record["step"]: record for record in found if "step" in record}


def test_the_process_survives_sigterm_and_kill_9_bit_for_bit(tmp_path: Path) -> None:
    write_contest_files(tmp_path, 3, False, 120)
    calm = subprocess.run(command(tmp_path / "calm", tmp_path), capture_output=True, text=True, check=True)
    expected = steps(calm.stdout.splitlines())
    assert sorted(expected) == [1, 2, 3, 4]
    told: dict[int, dict[str, float]] = {}
    for at, number, code in ((1, signal.SIGTERM, 143), (2, signal.SIGKILL, -9), (9, None, 0)):
        process = subprocess.Popen(
            command(tmp_path / "hit", tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
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
    files = [load_file(tmp_path / n / "out/adapter/adapter_model.safetensors") for n in ("calm", "hit")]
    assert files[0].keys() == files[1].keys() and all(torch.equal(files[0][k], files[1][k]) for k in files[0])
    assert json.loads((tmp_path / "hit/out/metrics.json").read_text()) == {
        k: v for k, v in expected[4].items() if k != "step"
    }
