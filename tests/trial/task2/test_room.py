"""Memory is known before a weight is loaded: what it counts, what it chooses, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from kubetuna_trial.memory import available
from kubetuna_trial.task2 import room
from kubetuna_trial.task2.cli import main
from kubetuna_trial.task2.loading import load, source_of
from kubetuna_trial.task2.parameters import parse_parameters
from kubetuna_trial.task2.policy import new_policy
from kubetuna_trial.task2.room import Shape, needs, room_for, shape_of
from tests.trial.task2 import families, worlds

# Llama 3.2 of 3 billion weights.
LARGE = Shape(3_212_749_824, 2_818_572_288, 286_720, 28, 3072, 8192, 128_256)
GIB = 2**30


@pytest.fixture
def llama(tmp_path: Path) -> Shape:
    config = transformers.LlamaConfig(
        hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24,
        num_key_value_heads=8, vocab_size=128_256, tie_word_embeddings=True,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    return shape_of(source_of(str(tmp_path), None, False))


def test_the_sizes_of_a_real_model_are_known_without_its_weights(llama: Shape) -> None:
    assert llama == LARGE


def test_the_sizes_of_a_model_are_its_own() -> None:
    model, shape = worlds.loaded().model, shape_of(worlds.tiny())
    assert shape.weights == sum(p.numel() for p in model.parameters())
    tuned = worlds.trial(worlds.plan(lora_r=8)).policy
    assert 8 * shape.adapted == sum(w.numel() for w in tuned.weights.values())


def test_forms_of_weights_take_what_they_take() -> None:
    whole, packed = (needs(LARGE, 16, form, "cuda", 300, 20, 8, False) for form in ("none", "bitsandbytes"))
    assert whole["weights"] / GIB == pytest.approx(5.98, abs=0.01) and packed["weights"] / GIB < 2.3
    assert needs(LARGE, 16, "emulated", "cpu", 300, 20, 8, False)["weights"] == 4 * LARGE.weights
    assert needs(LARGE, 32, "none", "cuda", 300, 20, 8, False)["LoRA"] == 2 * whole["LoRA"]
    assert needs(LARGE, 16, "none", "cuda", 300, 20, 8, True)["a pass of 8"] < whole["a pass of 8"] / 4


@pytest.mark.parametrize("family", ["Llama 2, 3", "Gemma 2", "Phi 3, 4", "Falcon", "Gemma 3 (text and images)"])
def test_a_pass_keeps_about_what_was_counted(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 3, "num_attention_heads": 6}
    monkeypatch.setattr(families, "SIZES", {**families.SIZES, **larger})
    source = source_of(str(families.make(family, tmp_path)), None, False)
    loaded = load(source, None, "cpu")
    params = parse_parameters({"signal_strength": 4})
    asked = new_policy(loaded, source, params, 1, "cpu", 4)
    held = {p.data_ptr() for p in asked.model.parameters()}
    kept: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in held:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    tokens = asked.tokens(["News about A:\n" + "- it rises and falls again\n" * 6 + "Score:"] * 4)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        asked.forward(tokens)
    nodes, shape = len(asked.tree.nodes), shape_of(source)
    counted = needs(shape, params.lora_r, "none", "cpu", len(tokens[0]), nodes, 4, False)["a pass of 4"]
    assert 0.9 <= counted / sum(kept.values()) <= 2


def choose(left: float, monkeypatch: pytest.MonkeyPatch) -> room.Room:
    monkeypatch.setattr(room, "available", lambda device: int(left * GIB))
    monkeypatch.setattr("kubetuna_trial.memory.available", lambda device: int(left * GIB))
    return room_for(LARGE, 16, "none", "cuda", 300, 20, 64)


def test_passes_get_smaller_before_activations_are_computed_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [choose(left, monkeypatch) for left in (140, 79, 24, 12, 8, 6.8)]
    assert [one.recompute for one in found] == sorted(one.recompute for one in found)
    assert found[0].per_pass == 64 and not found[0].recompute and found[-1].recompute
    assert 8 <= found[2].per_pass < found[1].per_pass <= 64, "a card of 24 GiB"
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("memory: weights 6.0 GiB, LoRA 0.1 GiB, a pass of 64 ")
    assert told[0].endswith("; 140.0 GiB left on cuda") and "activations computed twice" in told[-1]


def test_what_does_not_fit_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemoryError, match=r"6\.\d GiB are needed \(weights 6\.0 GiB, LoRA 0\.1 GiB, a pass of 1"):
        choose(4, monkeypatch)


def test_a_trial_without_room_ends_before_it_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loads(*_: Any) -> None:
        pytest.fail("a weight was loaded")

    monkeypatch.setattr("kubetuna_trial.task2.cli.load", loads)
    monkeypatch.setattr(room, "available", lambda device: 1000)
    monkeypatch.setattr("kubetuna_trial.memory.available", lambda device: 1000)
    assert main(["--device", "cpu"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out) == {"outcome": "OutOfMemory"} and "use_4bit: true" in told.err
    assert available(torch.device("cpu")) > 0


def test_a_trial_goes_on_where_there_is_less_room(tmp_path: Path) -> None:
    first = worlds.trial(worlds.plan(), folder=tmp_path)
    first.train(1)
    first.save()
    smaller = room.Room(2, True, {})
    made = worlds.Trial(
        first.plan, worlds.loaded(), first.market, lambda key: worlds.Checkpoints(tmp_path, key), smaller
    )
    assert made.learner.done == first.learner.done > 0 and made.policy.per_pass == 2
