"""Loading a causal language model and its tokenizer, by hub id or folder, offline unless told otherwise.

A model that is not whole is refused: the library would fill what is missing with random numbers and go on.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kubetuna_trial.errors import InputError
from kubetuna_trial.memory import is_out_of_memory
from kubetuna_trial.task2.cache import cached
from kubetuna_trial.task2.quantization import BITSANDBYTES, EMULATED, NONE, bitsandbytes_fault, emulate
from kubetuna_trial.wire import say

TINY = "tiny"
TOKEN = "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a base model is: a folder or a hub id, at a revision; may it be downloaded; did we make it."""

    name: str
    revision: str | None = None
    download: bool = False
    made: bool = False

    @property
    def identity(self) -> str:
        """What it is called wherever it lies."""
        return Path(self.name).name if self.made else f"{self.name}@{self.revision}" if self.revision else self.name

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine under its own name."""
        return Path(self.name).is_dir()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A base model, its tokenizer, and how its weights are held: a backend of quantization, or none."""

    model: Any
    tokenizer: Any
    backend: str


def source_of(name: str | None, revision: str | None, download: bool) -> Source:
    """What a person names: nothing or ``tiny`` is the tiny model. Raises InputError for what cannot be one."""
    if name in (None, TINY):
        from kubetuna_trial.task2.tiny import make_tiny_model, recipe_digest

        return Source(str(cached(f"tiny-{recipe_digest()}", make_tiny_model)), made=True)
    assert name is not None
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: holds no config.json: it is not a model's folder")
        return Source(str(path.absolute()))
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise InputError(f"{name}: is not a folder")
    return Source(name, revision, download)


def load(source: Source, quantization: str | None, device: str, how: str = "auto") -> Loaded:
    """Load model and tokenizer in float32 on a CPU, bfloat16 on a GPU; ``quantization`` is None, nf4 or fp4.

    ``how``: ``bitsandbytes`` refuses to emulate, ``emulated`` does nothing else, ``auto`` prefers the former.
    """
    quiet()
    tokenizer, config, remedy = load_tokenizer(source), load_config(source), _remedy(source)
    backend = backend_of(quantization, device, how)
    with told(source.name, "its weights", remedy):
        model = _weights(source, config, quantization if backend == BITSANDBYTES else None, device)
    if quantization and backend == EMULATED:
        emulate(model, quantization)
    return Loaded(model, tokenizer, f"{backend} {quantization}" if quantization else NONE)


def load_config(source: Source) -> Any:
    """The configuration alone. Raises InputError."""
    quiet()
    from transformers import AutoConfig

    with told(source.name, "its configuration", _remedy(source)):
        config = AutoConfig.from_pretrained(source.name, **_where(source))
    _refuse_unknown_form(source, config)
    _without_dropout(config)
    return config


def _refuse_unknown_form(source: Source, config: Any) -> None:
    """The library would pass over a form of weights that it does not know, and take them for numbers."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as known

    packed = getattr(config, "quantization_config", None)
    method = packed.get("quant_method") if isinstance(packed, dict) else getattr(packed, "quant_method", None)
    if packed is not None and str(getattr(method, "value", method)) not in known:
        raise InputError(
            f"{source.name}: its weights are held as {str(method)[:40]!r}, which transformers does not know; take "
            "the same model in bf16, with use_4bit"
        )


def load_tokenizer(source: Source) -> Any:
    """The tokenizer alone. Raises InputError."""
    quiet()
    from transformers import AutoTokenizer

    with told(source.name, "its tokenizer", _remedy(source)):
        return AutoTokenizer.from_pretrained(source.name, **_where(source))


def quiet() -> None:
    """What the libraries say on their own would bury what a trial says."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Threads of its own, where a process may not grow, end it in a way that nothing can catch.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _where(source: Source) -> dict[str, Any]:
    return {
        "revision": source.revision,
        "local_files_only": not source.download,
        "token": os.environ.get(TOKEN) or False,
    }


def backend_of(quantization: str | None, device: str, how: str) -> str:
    """How weights will be held. Raises InputError where they cannot be held as they must."""
    if quantization is None:
        return NONE
    fault = "" if how == EMULATED else bitsandbytes_fault(device)
    if how == BITSANDBYTES and fault:
        raise InputError(f"use_4bit: bitsandbytes cannot be used on {device}: {fault}")
    if fault:
        say(f"bitsandbytes cannot be used on {device} ({fault}); emulating {quantization}")
    return EMULATED if fault or how == EMULATED else BITSANDBYTES


def _weights(source: Source, config: Any, quantization: str | None, device: str) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    kind: Any = AutoModelForCausalLM
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    packed: dict[str, Any] = {}
    if quantization:
        packed["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=quantization, bnb_4bit_compute_dtype=dtype
        )
    model, found = kind.from_pretrained(
        source.name, config=config, dtype=dtype, device_map={"": device}, output_loading_info=True,
        **packed, **_where(source),
    )  # fmt: skip
    lacking = sorted([*found["missing_keys"], *(str(key[0]) for key in found["mismatched_keys"])])
    if lacking:
        raise InputError(f"{source.name}: lacks {len(lacking)} of the model's weights, {lacking[0]} among them")
    return model


def _without_dropout(config: Any) -> None:
    """The base model is frozen; the only dropout is LoRA's own."""
    for name, value in vars(config).items():
        if name.endswith(("dropout", "pdrop", "dropout_rate", "dropout_prob")) and isinstance(value, float):
            setattr(config, name, 0.0)


@contextmanager
def told(name: str, what: str, remedy: str = "") -> Iterator[None]:
    """The libraries fail in many ways, none of them the user's: one line, and what to do."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        cause = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"{name}: {what} cannot be loaded: {cause}{remedy}") from None


def _remedy(source: Source) -> str:
    if source.is_folder:
        return ""
    if source.download:
        return f" (a model that needs a login takes its token from {TOKEN})"
    return " (nothing is downloaded without --download)"
