"""The distribution of a model's score, exactly and in one forward pass.

The answers allowed are the whole numbers from ``-strength`` to ``strength``. Their tokens form a tree: a number of
one token is a leaf of the root; longer ones share nodes such as the minus sign. The inner nodes are appended to
the prompt, each seeing the prompt and its ancestors only, so that one pass gives the next-token logits at every
node. At each node the logits are restricted to its children: an invalid answer has no probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from kubetuna_trial.errors import InputError

_FAR_BELOW = -1e30


@dataclass(frozen=True, slots=True)
class Node:
    """An inner node: its token, its parent's index (the root is 0), and its depth below the root."""

    token: int
    parent: int
    depth: int


class ScoreTree:
    """The tokens of the allowed scores."""

    def __init__(self, spellings: Sequence[Sequence[int]], end: int) -> None:
        self.nodes = [Node(-1, -1, 0)]
        self._index: dict[tuple[int, ...], int] = {(): 0}
        closed = [self._closed(tuple(one), spellings, end) for one in spellings]
        for spelling in closed:
            self._grow(spelling)
        children: list[set[int]] = [set() for _ in self.nodes]
        for spelling in closed:
            for length in range(len(spelling)):
                children[self._index[spelling[:length]]].add(spelling[length])
        self.children = [sorted(tokens) for tokens in children]
        offset, self._place = 0, {}
        for node, tokens in enumerate(self.children):
            for token in tokens:
                self._place[node, token] = offset
                offset += 1
        self.edges = offset
        self.paths = [[self._place[self._index[s[:length]], s[length]] for length in range(len(s))] for s in closed]

    @staticmethod
    def _closed(spelling: tuple[int, ...], spellings: Sequence[Sequence[int]], end: int) -> tuple[int, ...]:
        """A number that begins another needs an end of its own: 1 must not be taken for a beginning of 12."""
        begins = any(len(o) > len(spelling) and tuple(o[: len(spelling)]) == spelling for o in spellings)
        return (*spelling, end) if begins else spelling

    def _grow(self, spelling: tuple[int, ...]) -> None:
        for length in range(1, len(spelling)):
            if spelling[:length] not in self._index:
                parent = self._index[spelling[: length - 1]]
                self._index[spelling[:length]] = len(self.nodes)
                self.nodes.append(Node(spelling[length - 1], parent, length))

    @cached_property
    def sees(self) -> Tensor:
        """Which inner node sees which, bool[nodes - 1, nodes - 1]: itself and its ancestors."""
        count = len(self.nodes)
        table = torch.eye(count, dtype=torch.bool)
        for index, node in enumerate(self.nodes[1:], start=1):
            table[index] |= table[node.parent]
        return table[1:, 1:]

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """From logits [prompts, nodes, vocabulary] to log-probabilities of the scores [prompts, scores]."""
        edges = torch.cat(
            [
                torch.log_softmax(logits[:, node, tokens].float(), dim=-1)
                for node, tokens in enumerate(self.children)
            ],
            dim=1,
        )
        longest = max(map(len, self.paths))
        padded = [path + [self.edges] * (longest - len(path)) for path in self.paths]
        edges = torch.cat([edges, edges.new_zeros(len(edges), 1)], dim=1)
        return edges[:, torch.tensor(padded, device=edges.device)].sum(dim=2)


def score_tree(tokenizer: Any, strength: int) -> ScoreTree:
    """The tree of the scores ``-strength`` … ``strength`` in a tokenizer's spelling."""
    spellings = [
        tokenizer.encode(f" {score}", add_special_tokens=False) for score in range(-strength, strength + 1)
    ]
    end = tokenizer.encode("\n", add_special_tokens=False)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if not end or not all(spellings) or (unknown is not None and any(unknown in one for one in spellings)):
        raise InputError("the model's tokenizer cannot spell whole numbers: choose another model")
    return ScoreTree(spellings, end[-1])


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts as the model takes them: left-padded tokens, then the tree's inner nodes."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    kept: int


def batch(prompts: Sequence[Sequence[int]], tree: ScoreTree, padding: int, device: torch.device) -> Batch:
    """Lay out prompts of different lengths for one pass."""
    longest, inner = max(map(len, prompts)), tree.nodes[1:]
    tokens = torch.full((len(prompts), longest + len(inner)), padding, dtype=torch.long)
    real = torch.zeros((len(prompts), longest), dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) : longest] = torch.tensor(prompt)
        real[row, longest - len(prompt) :] = True
    positions = (real.cumsum(1) - 1).clamp(min=0)
    if not inner:
        return Batch(tokens.to(device), positions.to(device), real.long().to(device), 1)
    tokens[:, longest:] = torch.tensor([node.token for node in inner])
    depth = torch.tensor([node.depth for node in inner])
    positions = torch.cat([positions, positions[:, -1:] + depth], dim=1)
    return Batch(tokens.to(device), positions.to(device), _mask(real, tree).to(device), len(inner) + 1)


def _mask(real: Tensor, tree: ScoreTree) -> Tensor:
    """Who sees whom, bool[prompts, 1, length, length]; what is padding sees itself, lest its softmax be empty."""
    count, longest = real.shape
    inner = len(tree.nodes) - 1
    length = longest + inner
    mask = torch.zeros((count, length, length), dtype=torch.bool)
    mask[:, :longest, :longest] = torch.ones(longest, longest, dtype=torch.bool).tril() & real[:, None, :]
    mask[:, longest:, :longest] = real[:, None, :]
    mask[:, longest:, longest:] = tree.sees
    mask |= torch.eye(length, dtype=torch.bool)
    return mask[:, None]


def forward(model: Any, laid: Batch, tree: ScoreTree) -> Tensor:
    """The log-probability of each score for each prompt, [prompts, scores], in float32."""
    mask = laid.mask
    if mask.dim() == 4:
        blocked = torch.zeros(mask.shape, dtype=model.dtype, device=mask.device)
        mask = blocked.masked_fill(~mask, max(_FAR_BELOW, torch.finfo(model.dtype).min))
    out = model(
        input_ids=laid.tokens, position_ids=laid.positions, attention_mask=mask, use_cache=False,
        logits_to_keep=laid.kept,
    )  # fmt: skip
    return tree.log_probabilities(out.logits)
