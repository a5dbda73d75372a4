"""Both trainers on a GPU: speed, memory, agreement with the CPU, and memory that ends as an outcome.

Needs no network; the language model is a random Llama of three billion weights. Without a GPU everything runs small
on the CPU: that shows that it runs, and says nothing of a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Row, medians, say, seconds, times
from kubetuna_trial.checkpoint import Checkpoints
from kubetuna_trial.task1.book import Rules, holding_limit
from kubetuna_trial.task1.data import Dataset, planted_dataset
from kubetuna_trial.task1.market import Market, MarketData
from kubetuna_trial.task1.member import Member, Scale
from kubetuna_trial.task1.parameters import parse_parameters
from kubetuna_trial.task1.planted import SNR
from kubetuna_trial.task2.data import planted_market
from kubetuna_trial.task2.learning import Method
from kubetuna_trial.task2.loading import Loaded, Source, load, source_of
from kubetuna_trial.task2.parameters import parse_parameters as parse_task2
from kubetuna_trial.task2.training import Plan, Trial

SCALE = Scale(240, 16, 32)
UPDATES_COMPARED = 8
OF_GPU = "on the GPU"
# Rounded differently by another device; after eight updates they are still this close, relative to the largest.
NETS_AGREE, SCORES_AGREE = 1e-3, 0.05
# The shape of Llama 3.2 3B, and one that a CPU reads in a moment.
LARGE = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
         "num_key_value_heads": 8, "vocab_size": 128_256}  # fmt: skip
SMALL = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 2048}  # fmt: skip
# A trial that needs tens of gigabytes, and what is left for it: KiB of addresses on a CPU, bytes on a GPU.
TOO_LARGE = "--rows 20000 --profile contest --num-sims 65536"
ADDRESSES_LEFT, LEFT = 12_000_000, 2**30


def rows(quick: bool) -> list[Row]:
    """Every figure, of the GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = quick or device.type == "cpu"
    name = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: the CPU, small"
    say(f"on {name}")
    found = [*_task1(device, name, small), *_task2(device, name, small), *_memory_ends(device, name)]
    # A CPU that is compared with itself, or asked for a GPU's memory, has nothing to say.
    return [row for row in found if device.type == "cuda" or row.unit != OF_GPU]


def _task1(device: torch.device, name: str, small: bool) -> list[Row]:
    sims, steps = (256, 50) if small else (4096, 500)
    data = planted_dataset(20_000, 7, SNR)
    tape = MarketData.of(data, device)
    random = torch.Generator().manual_seed(1)
    actions = torch.randint(0, 3, (steps, sims), generator=random).to(device)
    market = Market(tape, data.train, Rules(7e-7, 1, holding_limit(2)), 2, sims, 240)
    learner = _member(tape, data, sims)

    def environment() -> float:
        return sims * steps / seconds(lambda: _finished([market.step(action) for action in actions], device))

    def learning() -> float:
        return steps / seconds(lambda: _finished(times(steps, learner.advance)(), device))

    found = medians({"environment": environment, "learner": learning}, 3)
    note = f"{sims} simulations; {name}"
    return [
        Row("task 1: environment steps a second", *found["environment"][:1], "1/s", found["environment"][1], note),
        Row("task 1: updates a second, decisions included", found["learner"][0], "1/s", found["learner"][1], note),
        Row("task 1: waits for the device, per environment step", _waits(market, actions), OF_GPU, note=note),
        Row("task 1: largest difference from the CPU's networks", _nets_differ(data, tape), OF_GPU,
            note=f"after {UPDATES_COMPARED} updates, relative; at most {NETS_AGREE:g}"),
    ]  # fmt: skip


def _member(tape: MarketData, data: Dataset, sims: int) -> Member:
    params = parse_parameters({"num_sims": sims})
    return Member("D3QN", params, SCALE, tape, data.train, 1, False)


def _finished(_: object, device: torch.device) -> None:
    """A GPU works on after it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _waits(market: Market, actions: torch.Tensor) -> float:
    """How often the program waits for the device in a step; none on a CPU."""
    if actions.device.type != "cuda":
        return 0.0
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for action in actions[:20]:
                market.step(action)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return len(told) / 20


def _nets_differ(data: Dataset, tape: MarketData) -> float:
    """All randomness is drawn on the CPU, so that both train the same."""
    members = [_member(one, data, 64) for one in (tape, MarketData.of(data, torch.device("cpu")))]
    for member in members:
        times(UPDATES_COMPARED, member.advance)()
    pairs = zip(*(member.net.parameters() for member in members), strict=True)
    return _checked(max(_difference(here.detach().cpu(), there.detach()) for here, there in pairs), NETS_AGREE)


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))


def _checked(found: float, most: float) -> float:
    if found > most:
        raise AssertionError(f"the devices differ by {found:g}; at most {most:g} is rounding")
    return found


def _task2(device: torch.device, name: str, small: bool) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        say("making a random language model")
        source = _random_model(Path(folder) / "model", SMALL if small else LARGE, device)
        for quantization in (None, "nf4"):
            found += _language(source, quantization, device, name, 3 if small else 10)
    return [*found, Row("task 2: largest difference from the CPU's probabilities", _scores_differ(device), OF_GPU,
                        note=f"tiny model; at most {SCORES_AGREE:g}")]  # fmt: skip


def _random_model(folder: Path, shape: dict[str, int], device: torch.device) -> Source:
    from transformers import LlamaConfig, LlamaForCausalLM

    loaded = load(source_of(None, None, False), None, "cpu")
    before = torch.get_default_dtype()
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        with device:
            model = LlamaForCausalLM(LlamaConfig.from_dict({**shape, "max_position_embeddings": 2048}))
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return Source(str(folder), made=True)


def _language(source: Source, quantization: str | None, device: torch.device, name: str, steps: int) -> list[Row]:
    say(f"language model, {quantization or 'whole'}")
    with _peak(device) as peak:
        loaded = load(source, quantization, device.type)
        trial = _trial(loaded, source, device)
        prompts = [text for day in trial.learner.days(0) for text in trial.learner._prompts.of_day(day)]
        tokens = sum(map(len, trial.learner.policy.tokens(prompts)))
        trial.learner.advance()
        spent = seconds(lambda: _finished(times(steps, trial.learner.advance)(), device)) / steps
    note = f"a random Llama; {name}"
    what = quantization or "whole weights"
    return [
        Row(f"task 2, {what}: prompt tokens learned from a second", tokens / spent, "1/s", note=note),
        Row(f"task 2, {what}: peak memory", peak[0], OF_GPU, note=f"GiB; {note}"),
    ]


def _trial(loaded: Loaded, source: Source, device: torch.device) -> Trial:
    plan = Plan(parse_task2({}), 1, source, device.type, per_pass=16, method=Method(days=1))
    return Trial(plan, loaded, planted_market(7), lambda key: Checkpoints(None, key))


@contextmanager
def _peak(device: torch.device) -> Iterator[list[float]]:
    """What a GPU held at most meanwhile, in GiB, as the only item once it is over; 0 without one."""
    found: list[float] = []
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield found
    found.append(torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0)


def _scores_differ(device: torch.device) -> float:
    """A GPU computes in bfloat16, which keeps three digits."""
    source, found = source_of(None, None, False), []
    for where in (device, torch.device("cpu")):
        policy = _trial(load(source, None, where.type), source, where).learner.policy
        found.append(policy.log_probabilities(["News about A:\n- profits rise\nScore:"]).exp().float().cpu())
    return _checked(float((found[0] - found[1]).abs().max()), SCORES_AGREE)


def _memory_ends(device: torch.device, name: str) -> list[Row]:
    """A trial that asks for more than there is says so, by the word that a tuner counts."""
    trial = f"{sys.executable} -m kubetuna_trial.task1 {TOO_LARGE} --device {device.type}"
    with _little_left(device):
        told = subprocess.run(
            ["sh", "-c", f"ulimit -v {ADDRESSES_LEFT}; exec {trial}" if device.type == "cpu" else trial],
            capture_output=True,
            text=True,
            check=False,
        )
    outcomes = [_outcome(line) for line in told.stdout.splitlines()]
    if "OutOfMemory" not in outcomes:
        raise AssertionError(f"a trial without room was not told as such: {(told.stdout + told.stderr)[-500:]}")
    return [Row("task 1: a trial without room says OutOfMemory", 1.0, "", note=name)]


@contextmanager
def _little_left(device: torch.device) -> Iterator[None]:
    """Fill a GPU, as another program would."""
    free = torch.cuda.mem_get_info()[0] if device.type == "cuda" else 0
    held = torch.empty(max(0, free - LEFT), dtype=torch.uint8, device=device)
    yield
    del held


def _outcome(line: str) -> Any:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("outcome") if isinstance(found, dict) else None
