"""What people ask of single trials: annotations of their Experiment, each taken away once it is answered.

``kubectl annotate experiment task1 request.kubetuna.dev/mine='stop 3'`` is all it takes, so it needs no more rights
than a change of the Experiment. The annotation lasts until its answer is stored with the study; which were answered
is remembered for as long as they are seen, so one that could not be taken away is not heeded twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubetuna.study.study import Study
from kubetuna.trials.requests import Answer
from kubetuna_operator import ANNOTATION_REQUEST
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.kube.api_client import Api, Refused, collection
from kubetuna_operator.kube.events import Events
from kubetuna_operator.kube.objects import Owner, mapping, text

# How many are heeded at once; the others follow as these are taken away.
AT_ONCE = 100
# One that is still seen so many seconds later is taken away again.
AGAIN_SECONDS = 5.0
NOT_ACCEPTED = "the Experiment's spec is not accepted, so it has no trials; mend the spec, then ask again"


def requests_of(obj: Mapping[str, Any], most: int | None = AT_ONCE) -> dict[str, str]:
    """An Experiment's requests by ID, in the order of their IDs, no more than so many."""
    found = mapping(mapping(obj.get("metadata")).get("annotations"))
    ours = sorted(name for name in found if name.startswith(ANNOTATION_REQUEST))
    return {name.removeprefix(ANNOTATION_REQUEST): text(found[name]) for name in ours[:most]}


class AnsweredRequests:
    """Says what became of the requests of one Experiment, and takes their annotations away."""

    def __init__(
        self, context: OperatorContext, owner: Owner, study: Study, written: Callable[[], Mapping[str, str]]
    ) -> None:
        self._context, self._owner, self._study = context, owner, study
        self._written, self._now = written, context.monotonic
        # What was last to be taken away, and when.
        self._sent: Mapping[str, str] = {}
        self._sent_at = 0.0

    def announce(self, answer: Answer) -> None:
        """Emit an Event about an answer."""
        _announce(self._context.events, self._owner, answer)

    def stored(self) -> Mapping[str, str]:
        """Those whose answers are stored and that have not just been taken away."""
        if self._study.pending:
            return {}
        steering, now = self._study.steering, self._now()
        done = {i: line for i, line in self._written().items() if steering.answered(i, line)}
        return done if done != self._sent or now >= self._sent_at + AGAIN_SECONDS else {}

    def remove(self) -> None:
        """Take away the annotations whose answers are stored."""
        if done := self.stored():
            self._sent, self._sent_at = done, self._now()
            _take_away_later(self._context, self._owner, done)


def refuse_all(
    context: OperatorContext, owner: Owner, asked: Mapping[str, str], shown: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Answer what is asked of an Experiment that has no study, since its spec was never accepted.

    ``shown`` are the answers in its status; the new ones are returned. Where a process ends before it has taken an
    annotation away, the next one finds its answer there.
    """
    now, known = context.clock.now(), [(row.get("id"), row.get("request")) for row in shown]
    answers = [Answer(request, line, False, NOT_ACCEPTED, now) for request, line in asked.items()]
    new = [answer for answer in answers if (answer.id, answer.as_json()["request"]) not in known]
    for answer in new:
        _announce(context.events, owner, answer)
    if asked:
        _take_away_later(context, owner, dict(asked))
    return [answer.as_json() for answer in new]


def _announce(events: Events, owner: Owner, answer: Answer) -> None:
    reason = "RequestAccepted" if answer.accepted else "RequestRefused"
    events.emit(owner, reason, f"{answer.request}: {answer.message}", not answer.accepted)


def _take_away_later(context: OperatorContext, owner: Owner, done: Mapping[str, str]) -> None:
    context.deferred.later(("status", owner.uid, "requests"), lambda: _take_away(context.api, owner, done))


def _take_away(api: Api, owner: Owner, done: Mapping[str, str]) -> None:
    """Take these very requests away; what somebody writes in the place of one meanwhile is another one."""
    path = f"{collection('experiments', owner.namespace)}/{owner.name}"
    try:
        obj = api.get(path)
        if obj["metadata"]["uid"] != owner.uid:
            return
        left = requests_of(obj, most=None)
        gone = {ANNOTATION_REQUEST + i: None for i, line in done.items() if left.get(i) == line}
        if gone:
            revision = obj["metadata"]["resourceVersion"]
            api.merge(path, {"metadata": {"resourceVersion": revision, "annotations": gone}})
    except Refused as error:
        # Gone with its Experiment. What was changed just now is looked at again, as all that fails here.
        if error.code != 404:
            raise
