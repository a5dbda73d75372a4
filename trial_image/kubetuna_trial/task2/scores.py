"""The distribution of a model's score, exactly, in one forward pass where the model's attention allows it.

The answers allowed are the whole numbers from ``-strength`` to ``strength``. Their tokens form a tree: a number of
one token is a leaf of the root; longer ones share nodes such as the minus sign. The inner nodes are appended to
the prompt, each seeing the prompt and its ancestors only, so that one pass gives the next-token logits at every
node. At each node the logits are restricted to its children: an invalid answer has no probability.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

    def way(self, index: int) -> list[int]:
        """The tokens from the prompt's end to an inner node."""
        node = self.nodes[index]
        return [*self.way(node.parent), node.token] if index else []

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
    """Prompts as the model takes them: left-padded tokens, and ``kept`` last positions whose logits are wanted.

    ``mask`` is i64[rows, length] (1 where a token is real) or bool[rows, 1, length, length] (who sees whom).
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    kept: int


def one_pass(prompts: Sequence[Sequence[int]], tree: ScoreTree, padding: int, device: torch.device) -> Batch:
    """A row a prompt, the tree's inner nodes appended to each."""
    inner = tree.nodes[1:]
    tokens, real, positions = _padded(prompts, padding)
    if not inner:
        return Batch(tokens.to(device), positions.to(device), real.long().to(device), 1)
    appended = torch.tensor([node.token for node in inner]).expand(len(prompts), -1)
    depth = torch.tensor([node.depth for node in inner])
    tokens = torch.cat([tokens, appended], dim=1)
    positions = torch.cat([positions, positions[:, -1:] + depth], dim=1)
    return Batch(tokens.to(device), positions.to(device), _mask(real, tree).to(device), len(inner) + 1)


def row_a_node(prompts: Sequence[Sequence[int]], tree: ScoreTree, padding: int, device: torch.device) -> Batch:
    """A row for each prompt and node: for models whose attention cannot be told who sees whom."""
    rows = [[*prompt, *tree.way(node)] for prompt in prompts for node in range(len(tree.nodes))]
    tokens, real, positions = _padded(rows, padding)
    return Batch(tokens.to(device), positions.to(device), real.long().to(device), 1)


def _padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, which of them are real, and their positions, each [rows, longest]."""
    longest = max(map(len, rows))
    tokens = torch.full((len(rows), longest), padding, dtype=torch.long)
    real = torch.zeros((len(rows), longest), dtype=torch.bool)
    for index, row in enumerate(rows):
        tokens[index, longest - len(row) :] = torch.tensor(row)
        real[index, longest - len(row) :] = True
    return tokens, real, (real.cumsum(1) - 1).clamp(min=0)


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


def forward(model: Any, laid: Batch, tree: ScoreTree, accepted: Collection[str]) -> Tensor:
    """The log-probability of each score for each prompt, [prompts, scores], in float32.

    ``accepted``: the names of the arguments that the model takes.
    """
    mask = laid.mask
    if mask.dim() == 4:
        blocked = torch.zeros(mask.shape, dtype=model.dtype, device=mask.device)
        mask = blocked.masked_fill(~mask, max(_FAR_BELOW, torch.finfo(model.dtype).min))
    wanted = {"position_ids": laid.positions, "use_cache": False, "logits_to_keep": laid.kept}
    given = {name: value for name, value in wanted.items() if name in accepted}
    logits = model(input_ids=laid.tokens, attention_mask=mask, **given).logits[:, -laid.kept :]
    return tree.log_probabilities(logits.reshape(-1, len(tree.nodes), logits.shape[-1]))
