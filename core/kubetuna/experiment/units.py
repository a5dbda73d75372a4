"""How durations, hours of accelerators and counts of things are spelled, the same in every text.

``1h30m`` is what a person may write in a spec (``kubetuna.experiment.quantities``); what kubetuna says reads
``1 h 30 min``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Unit:
    """What a trial's time is counted in: its name in JSON, its hours' field in the status, its noun in texts."""

    name: str
    hours: str
    noun: str

    def amount(self, hours: float) -> str:
        """``1.5 GPU-hours``."""
        return f"{hours:,.0f} {self.noun}-hours" if abs(hours) >= 10_000 else f"{hours:.4g} {self.noun}-hours"


GPU = Unit("gpu", "gpuHours", "GPU")
SLOT = Unit("slot", "slotHours", "slot")


def unit_of(amounts: Mapping[str, Any]) -> Unit:
    """The unit of the hours in a part of a status."""
    return GPU if GPU.hours in amounts else SLOT


def duration(seconds: float) -> str:
    """``4.2 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < SECONDS_PER_HOUR:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def count(amount: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"
