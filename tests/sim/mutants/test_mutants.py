"""The mutants are of the product as it is: what each replaces is there, once, and only functions differ."""

from __future__ import annotations

import pytest

from tests.sim.mutants.error_handling import MISTAKES
from tests.sim.mutants.fixes import FIXES
from tests.sim.mutants.mutant import Mutant

MUTANTS = (*FIXES, *MISTAKES)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_is_of_the_product_as_it_is(mutant: Mutant) -> None:
    assert mutant.functions() and mutant.lines()


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) > 70
