"""The mutants are of the product as it is: what each replaces is there, once, and only functions differ."""

from __future__ import annotations

import pytest

from tests.sim.mutants.error_handling import MISTAKES
from tests.sim.mutants.fixes import FIXES
from tests.sim.mutants.mutant import PROJECT, Mutant

pytestmark = pytest.mark.sources

MUTANTS = (*FIXES, *MISTAKES)
PAGE = PROJECT / "docs" / "explanation" / "mutants.md"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_is_of_the_product_as_it_is(mutant: Mutant) -> None:
    assert mutant.functions() and mutant.lines()


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) > 70


def test_the_page_tells_of_these_mutants_and_no_others() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows if "caught by" not in row] == [
        mutant.what for mutant in MUTANTS
    ]
