"""The rival that needs no network: least squares of the next move on the factors, traded by its sign.

It is fitted on the train rows, as the agents are, and judged by the same protocol. An ensemble that does not beat
it has found nothing that a line through the data does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kubetuna_trial.metrics import Floats
from kubetuna_trial.task1.data import Dataset
from kubetuna_trial.task1.evaluation import Judgement, Policy, judge
from kubetuna_trial.task1.market import MarketData, Observation
from kubetuna_trial.task1.protocol import Protocol

# Of the move that is foretold, from the second at which a decision is carried out.
HORIZON = 10


def fitted(data: Dataset) -> Floats:
    """A weight for each factor and one for the level, f64[F + 1], from the train rows alone."""
    start, stop = data.train.start, data.train.stop - HORIZON - 1
    table = np.column_stack([data.factors[start:stop], np.ones(stop - start, dtype=np.float32)])
    prices = np.log(data.prices[start + 1 : data.train.stop])
    moves = prices[HORIZON : HORIZON + stop - start] - prices[: stop - start]
    return np.asarray(np.linalg.lstsq(table.astype(np.float64), moves, rcond=None)[0])


def linear_policy(weights: Floats, tape: MarketData) -> Policy:
    """Long where a rise is foretold, short where a fall is, whatever is held."""
    slopes, level = torch.from_numpy(weights[:-1]).to(tape.factors), float(weights[-1])

    def decide(now: Observation) -> torch.Tensor:
        wished = torch.sign(tape.factors[now.rows] @ slopes + level)
        return (torch.sign(wished - now.own[:, 0]) + 1).to(torch.int64)

    return decide


def judged(weights: Sequence[float], tape: MarketData, protocol: Protocol) -> Judgement:
    """What it earns, deciding every second."""
    return judge(linear_policy(np.asarray(weights, dtype=np.float64), tape), 1, 1, tape, protocol)
