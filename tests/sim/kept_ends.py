"""What the store keeps of how attempts ended: the word that is counted must be the one that they were judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kubetuna.trials.outcome import INFRASTRUCTURE_REASONS
from kubetuna.trials.records import ATTEMPTS
from tests.sim.database import Database

# How a message begins, and the reason of such an end.
REASONS = {**{reason: reason for reason in INFRASTRUCTURE_REASONS}, "deleted by someone else": "Deleted"}


def misjudged(database: Database) -> Iterator[str]:
    """Ends whose message names another cause than their reason."""
    rows = database.ask("SELECT trial_id, value_json FROM trial_system_attributes WHERE key = ?", ATTEMPTS)
    for trial, kept in rows:
        for attempt in json.loads(kept):
            judged = REASONS.get(attempt.get("message", "").partition(":")[0])
            if judged is not None and attempt.get("reason") != judged:
                yield f"attempt {attempt['number']} of row {trial} is kept as {attempt}"
