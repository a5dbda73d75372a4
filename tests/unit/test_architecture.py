"""The picture and the tables of the architecture page say what the import contracts and the packages say."""

from __future__ import annotations

import pytest
from hack.docs import architecture

pytestmark = pytest.mark.sources

ROOMS = {f"{part}.{room}" for part in architecture.SOURCES for row in architecture.layers(part) for room in row}


def test_the_picture_and_the_tables_are_up_to_date() -> None:
    remedy = "run: python hack/docs/architecture.py"
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.picture(), remedy
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page(), remedy


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_package_of_the_contracts_has_a_box_and_a_line(room: str) -> None:
    last = room.rpartition(".")[2]
    assert f">{last}</text>" in architecture.PICTURE.read_text(encoding="utf-8")
    assert f"| `{last}` | " in architecture.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("room", sorted({room for _, rooms in architecture.PATH for room in rooms}))
def test_the_path_of_a_trial_leads_through_rooms_that_exist(room: str) -> None:
    assert room in ROOMS
