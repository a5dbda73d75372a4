"""The studies as the database has them, asked with plain SQL: nothing of the product reads them for the oracles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.trials.records import ORDINAL, RETRY
from tests.sim.database import Database


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as the database has it."""

    number: int
    state: str
    value: float | None
    params: Mapping[str, float]


class StoredStudies:
    """By their names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def trials(self, study: str) -> list[Trial]:
        """Those of a study; what someone else added aside."""
        rows = self._database.ask(
            "SELECT t.trial_id, t.number, t.state, v.value FROM trials t JOIN studies s USING (study_id) "
            "JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = ? "
            "LEFT JOIN trial_values v ON v.trial_id = t.trial_id WHERE s.study_name = ? ORDER BY t.number",
            ORDINAL, study,
        )  # fmt: skip
        return [Trial(number, state, value, self._params(trial)) for trial, number, state, value in rows]

    def _params(self, trial: int) -> dict[str, float]:
        return dict(
            self._database.ask("SELECT param_name, param_value FROM trial_params WHERE trial_id = ?", trial)
        )

    def retries(self, study: str) -> dict[int, int]:
        """The numbers of trials that run another one again by hand, each with that one's."""
        rows = self._database.ask(
            "SELECT t.number, a.value_json FROM trial_system_attributes a JOIN trials t USING (trial_id) "
            "JOIN studies s USING (study_id) WHERE a.key = ? AND s.study_name = ?",
            RETRY, study,
        )  # fmt: skip
        return {number: int(json.loads(again)) for number, again in rows}

    def listed(self, study: str, key: str) -> list[Mapping[str, Any]]:
        """A list among a study's attributes."""
        return list(json.loads(self.attribute(study, key) or "[]"))

    def attribute(self, study: str, key: str) -> str | None:
        """One of a study's attributes, as JSON; None where it has none of that name."""
        rows = self._database.ask(
            "SELECT a.value_json FROM study_system_attributes a JOIN studies s USING (study_id) "
            "WHERE a.key = ? AND s.study_name = ?",
            key, study,
        )  # fmt: skip
        return next((found for (found,) in rows), None)
