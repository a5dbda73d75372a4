"""The policy: a base model with LoRA weights that gives every score its probability.

The base stays in training mode throughout (its dropout is zero) and LoRA's dropout alone is switched. A forward
pass in evaluation mode would not only switch that: with 4-bit weights on a CPU it makes the library take a path
that passes no gradient back, for good. ``check_gradients`` would notice.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kubetuna_trial.errors import InputError
from kubetuna_trial.memory import is_out_of_memory
from kubetuna_trial.task2.chat import chat_tokens
from kubetuna_trial.task2.loading import Loaded, Source, quiet, told
from kubetuna_trial.task2.lora import lora_targets
from kubetuna_trial.task2.parameters import Parameters
from kubetuna_trial.task2.prompts import Prompting
from kubetuna_trial.task2.scores import forward, one_pass, row_a_node, score_tree
from kubetuna_trial.wire import say

PROBE = ("News about A:\n- none\nScore:", "Score:")
# Of a probability's logarithm: rounding moves it by this much in half precision, and far less in single.
NOTICEABLE = {torch.float32: 1e-3, torch.float64: 1e-3}

Tokens = Sequence[int]


class Policy:
    """Log-probabilities of the scores ``-strength`` … ``strength``, for prompts given as text.

    ``per_pass`` prompts go through the model at once; it may be lowered at any time.
    """

    def __init__(
        self, loaded: Loaded, strength: int, device: str, per_pass: int, prompting: Prompting | None = None
    ) -> None:
        self.model, self.tokenizer, self.strength = loaded.model, loaded.tokenizer, strength
        self.per_pass, self.prompting = per_pass, prompting or Prompting()
        self.tree = score_tree(self.tokenizer, strength)
        self._device = torch.device(device)
        self._known: dict[str, list[int]] = {}
        padding = self.tokenizer.pad_token_id
        self._padding = int(padding if padding is not None else self.tokenizer.eos_token_id or 0)
        self.model.train()
        self._dropouts = [m for name, m in self.model.named_modules() if name.endswith("lora_dropout")]
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._accepted = frozenset(inspect.signature(base.forward).parameters)
        self._lay = one_pass
        if len(self.tree.nodes) > 1 and not self._allows_one_pass():
            self._lay = row_a_node

    def tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Their tokens, each prompt's found once."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        self._known |= zip(new, encode(self.tokenizer, new, self.prompting), strict=True)
        return [self._known[prompt] for prompt in prompts]

    def pieces(self, prompts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Prompts of similar length together, ``per_pass`` at most: their places and tokens."""
        encoded = self.tokens(prompts)
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        for start in range(0, len(order), self.per_pass):
            places = order[start : start + self.per_pass]
            yield places, [encoded[i] for i in places]

    def forward(self, encoded: Sequence[Tokens]) -> Tensor:
        """One pass, [prompts, scores], with gradients where they are enabled."""
        laid = self._lay(encoded, self.tree, self._padding, self._device)
        return forward(self.model, laid, self.tree, self._accepted)

    def _allows_one_pass(self) -> bool:
        """Whether the model heeds a mask of its own for each token, found by comparing with plain passes."""
        # A convolution over the tokens mixes neighbours whatever the mask says.
        if any(isinstance(module, torch.nn.Conv1d) for module in self.model.modules()):
            return False
        window = getattr(self.model.config.get_text_config(), "sliding_window", None)
        if window is not None and window < self.prompting.tokens + len(self.tree.nodes):
            return False
        found = []
        for lay in (row_a_node, one_pass):
            self._lay = lay
            try:
                found.append(self.log_probabilities(PROBE))
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                if is_out_of_memory(error) or lay is row_a_node:
                    raise
                return False
        return bool((found[0] - found[1]).abs().max() < NOTICEABLE.get(self.model.dtype, 0.05))

    @torch.no_grad()
    def log_probabilities(self, prompts: Sequence[str], stopped: Callable[[], bool] = lambda: False) -> Tensor:
        """Without gradients or dropout, [prompts, scores]. Raises Stopped between passes where it is asked to."""
        while True:
            try:
                return self._asked(prompts, stopped)
            except Exception as error:
                if not is_out_of_memory(error) or not self.take_less():
                    raise

    def _asked(self, prompts: Sequence[str], stopped: Callable[[], bool]) -> Tensor:
        found = torch.empty(len(prompts), 2 * self.strength + 1, device=self._device)
        with self.steady():
            for places, encoded in self.pieces(prompts):
                if stopped():
                    raise Stopped
                found[places] = self.forward(encoded)
        return found

    def take_less(self) -> bool:
        """Send fewer prompts through the model at once, in training and in evaluation; False where one is left."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.per_pass == 1:
            return False
        self.per_pass //= 2
        say(f"short of memory: {self.per_pass} prompts a pass")
        return True

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Without LoRA's dropout."""
        self._switch_dropout(False)
        try:
            yield
        finally:
            self._switch_dropout(True)

    def _switch_dropout(self, on: bool) -> None:
        for module in self._dropouts:
            module.train(on)


def encode(tokenizer: Any, prompts: Sequence[str], how: Prompting) -> list[list[int]]:
    """The tokens of prompts; of one that is too long, the beginning is cut off."""
    if how.chat:
        return [chat_tokens(tokenizer, prompt, how) for prompt in prompts]
    found = tokenizer(list(prompts))["input_ids"] if prompts else []
    return [tokens[-how.tokens :] for tokens in found]


class Stopped(Exception):
    """The process was asked to stop, in the middle of something that may be done again."""


class Tuned(Policy):
    """A policy with LoRA weights, new or loaded."""

    def __init__(
        self, loaded: Loaded, strength: int, device: str, per_pass: int, prompting: Prompting | None = None
    ) -> None:
        super().__init__(loaded, strength, device, per_pass, prompting)
        self.weights: dict[str, Tensor] = {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """As the base model is."""
        with self.model.disable_adapter():
            yield

    def checkpoint_gradients(self) -> None:
        """Trade time for memory: recompute activations in the backward pass."""
        self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def state(self) -> dict[str, Tensor]:
        """The LoRA weights."""
        return {name: weight.detach().cpu().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Put them back."""
        for name, weight in self.weights.items():
            weight.copy_(state[name])


def new_policy(
    loaded: Loaded,
    source: Source,
    params: Parameters,
    seed: int,
    device: str,
    per_pass: int,
    prompting: Prompting | None = None,
) -> Tuned:
    """A base model with new LoRA weights."""
    quiet()
    from peft import LoraConfig, get_peft_model

    targets = lora_targets(loaded.model, loaded.tokenizer)
    config = LoraConfig(
        r=params.lora_r, lora_alpha=params.lora_alpha, lora_dropout=params.lora_dropout, target_modules=targets,
        bias="none", task_type="CAUSAL_LM", revision=source.revision,
    )  # fmt: skip
    torch.manual_seed(derived(seed, "lora"))
    try:
        model = get_peft_model(loaded.model, config)
    except ValueError as error:
        raise InputError(f"{source.name}: LoRA cannot be applied: {error}") from None
    tuned = Loaded(model, loaded.tokenizer, loaded.backend)
    return Tuned(tuned, params.signal_strength, device, per_pass, prompting)


def saved_policy(
    loaded: Loaded,
    adapter: Path | None,
    strength: int,
    device: str,
    per_pass: int,
    prompting: Prompting | None = None,
) -> Tuned | Policy:
    """A policy as it was saved, not to be trained; without an adapter the base model's."""
    if adapter is None:
        return Policy(loaded, strength, device, per_pass, prompting)
    quiet()
    from peft import PeftModel

    with told(str(adapter), "the adapter"):
        model = PeftModel.from_pretrained(loaded.model, str(adapter))
    return Tuned(Loaded(model, loaded.tokenizer, loaded.backend), strength, device, per_pass, prompting)


def derived(seed: int, *what: object) -> int:
    """A seed for one purpose: what is random in one step does not depend on the steps before it."""
    text = "/".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def check_gradients(weights: dict[str, Tensor], wanted: Callable[[str], bool]) -> None:
    """Raise FloatingPointError where a weight has no gradient, not a finite one, or (where wanted) a zero one."""
    for name, weight in weights.items():
        if weight.grad is None:
            raise FloatingPointError(f"no gradient reaches {name}: training would change nothing there")
        if not bool(torch.isfinite(weight.grad).all()):
            raise FloatingPointError(f"training diverged: the gradient of {name} is not finite")
        if wanted(name) and not bool(weight.grad.any()):
            raise FloatingPointError(f"the gradient of {name} is zero: training would change nothing there")
