"""The mutants are of the product as it is: what each replaces is there, once, and only functions differ."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sim import FIRST, SEEDS
from tests.sim.mutants.__main__ import seeds_of_page
from tests.sim.mutants.error_handling import MISTAKES
from tests.sim.mutants.fixes import FIXES
from tests.sim.mutants.mutant import PROJECT, Mutant

MUTANTS = (*FIXES, *MISTAKES)

# Of all mutants: what the page says was measured may not become less.
CAUGHT = 0.9
# Which fail in most worlds, each by another rule.
OBVIOUS = (
    "nothing is written unless the Lease was just renewed",
    "what is done is stored before",
    "whoever becomes leader lists everything anew",
)


@pytest.mark.sources
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_is_of_the_product_as_it_is(mutant: Mutant) -> None:
    assert mutant.functions() and mutant.lines()


@pytest.mark.sources
def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) > 70


@pytest.mark.sources
def test_the_page_tells_of_these_mutants_and_no_others() -> None:
    assert [*seeds_of_page()] == [mutant.what for mutant in MUTANTS]


@pytest.mark.sources
def test_the_seeds_of_make_test_catch_this_share_of_the_mutants() -> None:
    caught = sum(seed in range(FIRST, FIRST + SEEDS) for seed in seeds_of_page().values())
    assert caught >= CAUGHT * len(MUTANTS), f"{caught} of {len(MUTANTS)}"


@pytest.mark.parametrize("what", OBVIOUS)
def test_a_world_fails_with(what: str) -> None:
    """In a process of its own, which has the mutant from then on. The page's seed is the first that is tried."""
    seeds = [seeds_of_page()[what], *range(FIRST, FIRST + 12)]
    code = f"from tests.sim.mutants.__main__ import caught_by; print(caught_by({what!r}, {seeds}))"
    told = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and told.stdout.strip(), told.stderr
