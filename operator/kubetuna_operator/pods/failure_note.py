"""How an attempt had failed, noted on the Pods of it that are told to end for that.

The API server takes the note and the stop in one request. Whoever comes next would else see only that the Pod was
told to end, as for its timeout; what had failed may be gone by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kubetuna.trials.attempts import ExitFacts
from kubetuna.trials.last_words import LIMIT
from kubetuna.trials.records import bounded
from kubetuna_operator import ANNOTATION_FAILURE
from kubetuna_operator.kube.objects import mapping, text, whole

# A note of ours is shorter, whatever its message is.
_LONGEST = 20 * LIMIT


def written(failure: ExitFacts) -> dict[str, str]:
    """The annotation."""
    return {ANNOTATION_FAILURE: json.dumps(asdict(failure))}


def read(annotations: Mapping[str, Any]) -> ExitFacts | None:
    """What a Pod's annotations say; None where that is nothing, or no note of ours."""
    note = text(annotations.get(ANNOTATION_FAILURE))
    try:
        found = mapping(json.loads(note)) if len(note) <= _LONGEST else {}
    except (ValueError, RecursionError):
        return None
    code, reason = whole(found.get("exit_code")), text(found.get("reason")) or None
    if code is None and reason is None:
        return None
    return ExitFacts(code, whole(found.get("signal")), reason, bounded(text(found.get("message")), LIMIT))
