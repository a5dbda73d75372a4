"""Files with anything dropped, empty, of a wrong type or absurdly large: refused with a path, never a traceback."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from kubetuna.errors import SpecError
from kubetuna.parsing.katib_migration import migrate
from kubetuna.parsing.parse import parse_experiment
from kubetuna.parsing.shape import KATIB
from tests.odd import ABSURD, DROPPED, mutated, places
from tests.spec_table import GOOD, document

FILES = [document(edits) for edits in GOOD.values()]
READERS: dict[str, Callable[[Any], object]] = {
    "ours": parse_experiment,
    "Katib's": lambda found: migrate({**found, "apiVersion": KATIB}),
}


def read(reader: str, found: Any) -> None:
    with suppress(SpecError):
        READERS[reader](found)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=400, deadline=None)
@given(found=mutated(FILES))
def test_a_file_is_read_or_refused(reader: str, found: dict[str, Any]) -> None:
    read(reader, found)


@pytest.mark.parametrize("reader", READERS)
def test_no_single_field_of_a_file_can_make_its_reading_raise(reader: str) -> None:
    """Every field of the plainest file, with every odd value."""
    for index, _ in enumerate(list(places(document({})))):
        for value in (DROPPED, *ABSURD):
            found = document({})
            holder, key = list(places(found))[index]
            if value is DROPPED:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(value)
            read(reader, found)
