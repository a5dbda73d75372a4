"""What both trainers share: figures, the wire, checkpoints."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kubetuna_trial import checkpoint, memory, wire
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.command import guarded
from kubetuna_trial.errors import InputError
from kubetuna_trial.metrics import performance, simple_returns


def test_the_figures_of_a_known_series() -> None:
    found = performance(np.array([0.1, -0.5, 0.2]))
    assert found.total_return == pytest.approx(-0.34)
    assert found.max_drawdown == pytest.approx(-0.5)
    assert found.romad == pytest.approx(-0.68)
    assert found.sharpe_ratio == pytest.approx(np.mean([0.1, -0.5, 0.2]) / np.std([0.1, -0.5, 0.2]))


def test_never_trading_does_not_win() -> None:
    found = performance(simple_returns(np.full(100, 1e6)))
    assert (found.sharpe_ratio, found.romad, found.total_return, found.max_drawdown) == (0, 0, 0, 0)
    assert found.degenerate


def test_an_equity_that_only_rises_has_a_finite_romad() -> None:
    found = performance(np.array([0.01, 0.02]))
    assert found.max_drawdown == 0 and math.isfinite(found.romad) and not found.degenerate


def test_a_long_series_is_thinned_without_changing_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    values = list(np.random.default_rng(0).normal(size=12_345))
    wire.series("returns", values)
    lines = capsys.readouterr().out.splitlines()
    kept = [value for line in lines for value in json.loads(line)["values"]]
    assert len(kept) <= 1000 and sum(kept) == pytest.approx(sum(values))
    assert max(map(len, lines)) < 4096
    assert [json.loads(line)["start"] for line in lines] == list(range(0, len(kept), 100))


def test_a_value_that_is_not_finite_is_no_report() -> None:
    with pytest.raises(FloatingPointError, match="loss"):
        wire.report(1, 2, {"loss": math.nan})


@pytest.mark.parametrize(
    "environment", [{"KUBETUNA_PARAMS": "[1]"}, {"KUBETUNA_PARAMS": "{"}, {"KUBETUNA_SEED": "x"}]
)
def test_a_broken_environment_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="KUBETUNA_"):
        wire.trial_context(environment)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "a")
    for number in (1, 2, 3):
        kept.save(number, {"number": number, "tensor": torch.ones(3)})
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == ["checkpoint-000002.pt", "checkpoint-000003.pt"]
    files[-1].write_bytes(files[-1].read_bytes()[:-7])
    state = kept.load()
    assert state is not None and state["number"] == 2


def test_large_tensors_are_written_as_they_lie_and_read_as_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 1000)
    ring = torch.arange(6000.0).view(100, 60)
    kinds = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8]
    state: dict[str, Any] = {
        "part": ring[:30], "kinds": [torch.ones(1003).to(kind) for kind in kinds], "turned": ring.T,
        "small": ring[:1], "none": torch.zeros(0), "words": ["a", (1, 2)],
    }  # fmt: skip
    Checkpoints(tmp_path, "a").save(1, state)
    found = Checkpoints(tmp_path, "a").load()
    assert found is not None and found["words"] == ["a", (1, 2)]
    for name in ("part", "turned", "small", "none"):
        assert torch.equal(found[name], state[name]) and found[name].dtype == state[name].dtype
    assert [one.dtype for one in found["kinds"]] == kinds
    assert all(torch.equal(a, b) for a, b in zip(found["kinds"], state["kinds"], strict=True))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < 24_000 * 2.2 + 20_000, "the part of a ring, not the ring"
    before = file.read_bytes()
    found["part"].zero_()
    assert file.read_bytes() == before, "a map is copied where it is written to"


def test_saving_takes_a_bounded_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, saved = [0.0], []
    kept = Checkpoints(tmp_path, "a", lambda: now[0])
    monkeypatch.setattr(checkpoint, "USUAL_SPEED", 1000)
    write = checkpoint._write

    def slow(*words: Any) -> bytes:
        now[0] += 5
        saved.append(now[0])
        return write(*words)

    monkeypatch.setattr(checkpoint, "_write", slow)
    state = {"weights": torch.zeros(1250)}  # 5 seconds at the usual speed
    for number in range(1, 101):
        now[0] += 20
        kept.offer(number, state)
        assert 5 * len(saved) <= 0.02 * now[0] + 1e-9
    assert len(saved) >= 6 and saved[0] <= 275, "and no less than it may"
    kept.save(101, state)
    assert len(saved) >= 7, "what is about to stop is saved all the same"


def test_a_checkpoint_of_an_older_version_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    torch.save({"configuration": "a", "state": {}}, buffer)
    data = buffer.getvalue()
    (tmp_path / "checkpoint-000001.pt").write_bytes(hashlib.sha256(data).digest() + data)
    assert Checkpoints(tmp_path, "a").load() is None
    assert "written by another version" in capsys.readouterr().err


def test_nothing_is_kept_without_a_folder() -> None:
    kept = Checkpoints(None, "a")
    kept.save(1, {})
    assert kept.load() is None


def test_a_checkpoint_of_another_configuration_is_not_used(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a").save(1, {})
    assert Checkpoints(tmp_path, "b").load() is None


def test_what_is_left_is_the_least_of_the_limits(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    assert list(memory._left(tmp_path)) == []
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("300000\n")
    assert list(memory._left(tmp_path)) == [512_000]
    (group / "memory.max").write_text("400000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert list(memory._left(tmp_path)) == [512_000, 150_000]


def test_memory_that_is_not_there_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda _: 3 * 2**30)
    memory.require({"replay memory": 3 * 2**30}, torch.device("cpu"))
    with pytest.raises(MemoryError, match=r"4\.0 GiB are needed \(a 1\.0 GiB, b 3\.0 GiB\), 3\.0 GiB are left"):
        memory.require({"a": 2**30, "b": 3 * 2**30}, torch.device("cpu"))


WRONG = {
    "MemoryError": MemoryError("no room"),
    "the CPU's allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    "the GPU's": torch.OutOfMemoryError("CUDA out of memory"),
}


@pytest.mark.parametrize("cause", WRONG)
def test_a_lack_of_memory_is_an_outcome_wherever_it_is_noticed(
    cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        raise WRONG[cause]

    assert guarded(run, "take less") == 1
    told = capsys.readouterr()
    assert json.loads(told.out) == {"outcome": "OutOfMemory"} and "out of memory; take less" in told.err


def test_another_fault_stays_one() -> None:
    def run() -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        guarded(run, "take less")
