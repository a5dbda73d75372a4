"""Loading: what is not whole is refused, 4 bits are real or recorded as emulated, and gradients arrive."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import pytest
import torch
from safetensors.torch import load_file, save_file

from kubetuna_trial.errors import InputError
from kubetuna_trial.task2 import loading, quantization
from kubetuna_trial.task2.cache import cached
from kubetuna_trial.task2.loading import Source, load, source_of
from kubetuna_trial.task2.policy import Policy
from kubetuna_trial.task2.prompts import Prompts
from tests.trial.task2 import worlds


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tiny model in a folder of its own."""
    return Path(shutil.copytree(worlds.tiny().name, tmp_path / "model"))


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as told:
        load(source_of(str(folder), None, False), None, "cpu")
    return str(told.value)


def test_a_folder_without_a_tokenizer_is_refused(copy: Path) -> None:
    for path in copy.glob("tokenizer*"):
        path.unlink()
    assert "its tokenizer cannot be loaded" in refused(copy)


def test_a_model_that_lacks_weights_is_refused_not_filled_with_random_ones(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights.pop("lm_head.weight")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert "lacks 1 of the model's weights, lm_head.weight" in refused(copy)


def test_a_damaged_file_of_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:5000])
    assert "its weights cannot be loaded" in refused(copy)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refused(tmp_path)
    assert "is not a folder" in refused(tmp_path / "absent")


def test_a_hub_id_is_not_downloaded_unless_that_is_allowed() -> None:
    with pytest.raises(InputError, match="nothing is downloaded without --download"):
        load(source_of("nobody/nothing-of-the-kind", None, False), None, "cpu")


def test_the_token_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("a/b", "main", download=True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert loading._where(source) == {"revision": "main", "local_files_only": False, "token": False}
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert loading._where(source)["token"] == "secret"


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_the_emulation_rounds_as_bitsandbytes_does(kind: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(96, 128) * torch.rand(96, 1) * 3
    packed, state = bnb.quantize_4bit(weight, blocksize=quantization.BLOCK, quant_type=kind)
    expected = bnb.dequantize_4bit(packed, state)
    found = quantization.rounded(weight, kind)
    assert torch.allclose(found, expected, atol=1e-6)
    assert 0 < float((found - weight).abs().mean()) < 0.2


def test_zero_weights_stay_zero() -> None:
    assert torch.equal(quantization.rounded(torch.zeros(3, 50), "nf4"), torch.zeros(3, 50))


def test_the_emulated_model_says_what_the_real_one_says() -> None:
    texts = Prompts(worlds.market(), 10).of_day(100)
    real, emulated = worlds.loaded("nf4"), worlds.loaded("nf4", "emulated")
    assert (real.backend, emulated.backend) == ("bitsandbytes nf4", "emulated nf4")
    found = [Policy(one, 10, "cpu", 64).log_probabilities(texts) for one in (real, emulated, worlds.loaded())]
    assert torch.allclose(found[0], found[1], atol=1e-3)
    assert not torch.allclose(found[0], found[2], atol=1e-2)


def test_without_bitsandbytes_4_bits_are_emulated_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "bitsandbytes":
            raise ModuleNotFoundError("No module named 'bitsandbytes'")
        return whole(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert worlds.loaded("fp4").backend == "emulated fp4"
    assert "No module named 'bitsandbytes'" in capsys.readouterr().err
    with pytest.raises(InputError, match="bitsandbytes cannot be used"):
        worlds.loaded("fp4", "bitsandbytes")


@pytest.mark.parametrize("how", ["bitsandbytes", "emulated"])
def test_a_4_bit_model_learns(how: str) -> None:
    trial = worlds.trial(worlds.plan(use_4bit=True), model=worlds.loaded("nf4", how))
    before = trial.policy.state()
    trial.train(2)
    assert all(not torch.equal(before[name], weight) for name, weight in trial.policy.state().items())


def test_gradients_that_a_library_loses_are_noticed() -> None:
    trial = worlds.trial(worlds.plan(use_4bit=True))
    trial.policy.model.eval()
    trial.policy.log_probabilities(Prompts(trial.market, 10).of_day(100))
    trial.policy.model.train()
    with pytest.raises(FloatingPointError, match="no gradient reaches"):
        trial.learner.advance()


def test_a_model_without_the_usual_names_gets_lora_on_all_its_layers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

    tokenizer = AutoTokenizer.from_pretrained(worlds.tiny().name)
    config: Any = GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=4, n_positions=512)
    model: Any = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(source_of(str(tmp_path), None, False), None, "cpu")
    trial = worlds.trial(worlds.plan(), model=loaded)
    trial.learner.advance()
    trial.learner.advance()
    assert {name.split(".")[-4] for name in trial.policy.weights} == {"c_attn", "c_proj", "c_fc"}


def test_two_that_need_the_cache_at_once_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBETUNA_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    assert cached("thing", make) == cached("thing", make) == tmp_path / "cache" / "thing"
    assert len(made) == 1 and (tmp_path / "cache/thing/file").read_text() == "whole"


def test_what_fails_half_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBETUNA_CACHE", str(tmp_path))

    def make(good: bool) -> Callable[[Path], None]:
        def work(folder: Path) -> None:
            (folder / "file").write_text("half")
            if not good:
                raise OSError("disk full")

        return work

    with pytest.raises(OSError, match="disk full"):
        cached("thing", make(False))
    assert not (tmp_path / "thing").exists()
    cached("thing", make(True))
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["thing"]


def test_a_cache_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KUBETUNA_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="KUBETUNA_CACHE"):
        cached("thing", lambda folder: None)


def test_the_help_needs_none_of_the_large_libraries() -> None:
    assert "transformers" in sys.modules  # Loaded by this test file, but not by the command line:
    import subprocess

    told = subprocess.run(
        [sys.executable, "-c", "import sys, kubetuna_trial.task2.cli; print('transformers' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "False"
