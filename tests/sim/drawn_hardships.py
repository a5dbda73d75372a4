"""Which hardships befall which simulated world, when each begins, and for how long it lasts.

A world without any draws nothing from here: its seed stays the world that it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from tests.sim.draws import Draws, Moment
from tests.sim.experiments import ENDLESS, KINDS

# In which share of all worlds each happens.
SHARE = 0.035
# Of these only a part, since they take the longest.
RARELY = {"contest": 0.5, "agent": 0.5, "crowd": 0.5, "fill quota": 0.5}
# What happens in one, and between which seconds each of it begins; some only makes sense at the beginning.
HARDSHIPS: tuple[dict[str, tuple[float, float]], ...] = (
    {"slow registry": (0.0, 0.0)},
    {"crowd": (0.0, 0.5)},
    {"stuck node": (0.0, 25.0)},
    {"contest": (0.0, 5.0)},
    {"forbid finalizers": (0.0, 0.0)},
    {"forbid labels": (0.0, 20.0)},
    {"no threads": (0.0, 30.0)},
    {
        "fill quota": (0.0, 0.0),
        "forbid deletions": (3.0, 8.0),
        "suspend": (8.0, 15.0),
        "shut down": (10.0, 30.0),
        "kill operator": (15.0, 35.0),
    },
    {"linger": (0.0, 0.0), "delete pod": (2.0, 12.0), "kill operator": (20.0, 40.0)},
    {"slow collector": (0.0, 0.0), "delete": (5.0, 20.0)},
    {"forbid statuses": (3.0, 10.0), "delete": (8.0, 25.0)},
    {"no room": (0.0, 0.0), "shut all down": (4.0, 20.0), "shut the others down": (160.0, 165.0)},
    {"namesake": (0.0, 0.0)},
    {"agent": (3.0, 8.0), "stop database": (8.0, 14.0), "kill operator": (12.0, 18.0)},
    {"odd balancer": (0.0, 40.0)},
    {"split": (5.0, 35.0)},
    {"slow watches": (2.0, 3.0), "edit counts": (4.0, 10.0), "stop database": (15.0, 20.0)},
    {"forbid trials": (3.0, 15.0)},
)
# And what may befall a world beside one of these.
FURTHER: tuple[dict[str, tuple[float, float]], ...] = (
    {"lose writes": (3.0, 25.0)},
    {"lose writes": (10.0, 12.0), "shut all down": (13.0, 14.0)},
    {"relabel": (2.0, 10.0)},
    {"sweep": (2.0, 12.0)},
    {"take study over": (3.0, 20.0)},
)
# In this one there is an Experiment that would go on.
UNSTOPPED = FURTHER[1]
# In this one there is an Experiment whose Pods others make.
STRANDED = HARDSHIPS[7]
# How long each lasts. For all free retries of a trial it has to be contested so long: the waits between them grow.
SECONDS = {
    "slow registry": (20.0, 40.0),
    "stuck node": (100.0, 140.0),
    "contest": (500.0, 560.0),
    "forbid finalizers": (70.0, 150.0),
    "forbid labels": (60.0, 120.0),
    "forbid deletions": (40.0, 90.0),
    "no threads": (5.0, 30.0),
    "linger": (100.0, 120.0),
    "slow collector": (100.0, 130.0),
    "forbid statuses": (40.0, 100.0),
    "namesake": (40.0, 80.0),
    "agent": (40.0, 60.0),
    "odd balancer": (4.0, 12.0),
    "split": (8.0, 20.0),
    "slow watches": (40.0, 60.0),
    "forbid trials": (40.0, 100.0),
    "lose writes": (30.0, 50.0),
    "relabel": (20.0, 40.0),
    "sweep": (10.0, 25.0),
}


def hardship(draws: Draws) -> dict[str, tuple[float, float]]:
    """What befalls this world of it."""
    return {**_one_of(HARDSHIPS, draws, "hardship"), **_one_of(FURTHER, draws, "further hardship")}


def _one_of(
    kinds: Sequence[dict[str, tuple[float, float]]], draws: Draws, stream: str
) -> dict[str, tuple[float, float]]:
    at, drawn = divmod(draws.stream(stream).random() / SHARE, 1.0)
    chosen = kinds[int(at)] if at < len(kinds) else {}
    return {} if drawn >= min((RARELY.get(kind, 1.0) for kind in chosen), default=1.0) else chosen


def shapes(draws: Draws) -> tuple[int, ...]:
    """The Experiments that there are for it."""
    made = [shape for shape, kind in KINDS.items() if kind[0].isupper()]
    stranded = _one_of(HARDSHIPS, draws, "hardship") is STRANDED
    unstopped = _one_of(FURTHER, draws, "further hardship") is UNSTOPPED
    return (
        *([draws.stream("stranded").choice(made)] if stranded else []),
        *([ENDLESS] if unstopped else []),
    )


def drawn_hardships(draws: Draws, begin: float) -> Iterator[tuple[float, Moment, str, random.Random]]:
    """When what begins in this world."""
    for index, (kind, between) in enumerate(hardship(draws).items()):
        chance = draws.stream(f"hardship {kind}")
        yield begin + chance.uniform(*between), Moment("hardship", index), kind, chance
