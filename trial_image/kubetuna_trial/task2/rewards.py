"""What the market pays for a score.

A score is judged as a share of the scale it was given on: from 0.3 of it on, it is a trade, beyond 0.6 a confident
one, which doubles what is at stake. Shorts mirror longs. The starter kit's own table for shorts has its sign
inverted; it is kept for comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

THRESHOLD, CONFIDENT = 0.3, 0.6
STRONG_MOVE = 0.02
IDLE = -0.001
_ROUNDING = 1e-9


def rewards(shares: Floats, moves: Floats) -> Floats:
    """The reward of each score (as a share of the scale) given the move that followed; shapes broadcast."""
    shares, moves = np.broadcast_arrays(shares, moves)
    gained = moves * np.sign(shares)
    confident = np.abs(shares) > CONFIDENT + _ROUNDING
    right = np.where(confident, 2.0, 1.0)
    little = np.where(confident, 0.5, 0.1)
    paid = np.where(gained > STRONG_MOVE, right, np.where(gained >= 0, little, -right))
    return np.where(np.abs(shares) >= THRESHOLD - _ROUNDING, paid, IDLE)


def starter_kit_rewards(shares: Floats, moves: Floats) -> Floats:
    """The starter kit's table: shorts lose unless the price rises beyond 2%, and are never confident."""
    shares, moves = np.broadcast_arrays(shares, moves)
    short = np.where(moves < STRONG_MOVE, -1.0, 1.0)
    return np.where(shares <= -THRESHOLD + _ROUNDING, short, rewards(shares, moves))
