"""Attempts between their order and their Pod: launches that are not taken, and Pods that do not come.

A launch that the API server does not take is kept as a pending attempt with the reason, and tried again, so that a
full quota or an absent server is waited for and a template that is refused shows as such. Where a controller makes
the Pod from our object, that object is looked at until the Pod is there: one that has ended or gone without a Pod
is made again. It says nowhere but in Events why it makes none, so the API server is asked what it would say to such
a Pod.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.kinds.template_kind import Conclusion
from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, AttemptRequest, ExitFacts
from kubetuna.trials.records import bounded
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Api, Refused, Unreachable, collection
from kubetuna_operator.pods.kueue import is_suspended
from kubetuna_operator.pods.status import facts
from kubetuna_operator.pods.warnings import warning
from kubetuna_operator.workloads.awaited import RETRY_LIMIT, RETRY_SECONDS, Awaited, Gate, Made, stuck_until
from kubetuna_operator.workloads.failing import START_ERROR
from kubetuna_operator.workloads.makers import TRY_SECONDS, Makers
from kubetuna_operator.workloads.manifest import accounts, attempt_manifest, primary_labels
from kubetuna_operator.workloads.members import Members
from kubetuna_operator.workloads.ownership import is_own, uid_of
from kubetuna_operator.workloads.remains import left_over, taken_away

log = logging.getLogger(__name__)
_Object = Mapping[str, Any]

# In one look: the engine waits for it.
TRIES_AT_ONCE = 5
# After so many looks a controller that makes no Pod is worth a word.
SLOW_TRIES = 3

# What passes by itself, as the API server words it: after whose object it is, which may have any name.
_PASSING = re.compile(
    r'\S+ "[^"]*" is forbidden: '
    r"(exceeded quota: |status unknown for quota: |unable to create new content in namespace )"
)


class Launches:
    """The launches of one Experiment whose Pods have not been seen."""

    def __init__(self, context: OperatorContext, spec: Experiment, ref: ExperimentRef, makers: Makers) -> None:
        self._api, self._pods, self._clock = context.api, context.pods, context.clock
        self._background, self._lost_after = context.deferred, context.lost_after
        # Refused here and nowhere else: only the operator knows its own.
        self._own_account = context.account[1] if context.account[0] == ref.owner.namespace else None
        self._spec, self._about, self._owner = spec, ref, ref.owner
        self._kind = kind_of(spec.template.trial_spec)
        self._makers, self._collection = makers, makers.collection
        self._pod_path = collection("pods", ref.owner.namespace)
        self._open: dict[AttemptKey, Awaited] = {}
        # A trial that was suspended goes on with the attempt that was taken back.
        self._withdrawals = context.withdrawals
        self._gate, self._made = Gate(), Made()

    def launch(self, request: AttemptRequest) -> None:
        """Create the object; one that exists already is ours only with our UID and these parameters."""
        now = self._clock.now()
        self._withdrawals.end(self._owner.uid, request.key)
        if now < self._gate.due and request.key not in self._open:
            self._open[request.key] = Awaited(request, now, now, 1, self._gate.why, gated=True)
        elif (waits := self._made.too_soon(request, now)) is not None:
            self._open.setdefault(request.key, waits)
        else:
            self._try(request, self._api)

    def _try(self, request: AttemptRequest, api: Api) -> None:
        if why := self._why_not_yet(request):
            self._refuse(request, why)
            return
        failpoint("launching")
        try:
            self._create(request, api)
        except Refused as error:
            self._refuse(request, self._collection.explained(error), final=not _passes(error), gated=True)
        except Unreachable as error:
            self._refuse(request, error.public, gated=True, unsure=True)
        else:
            known = self._open.get(request.key)
            if known is None or not known.why:
                self._gate.open()
        failpoint("launched")

    def _why_not_yet(self, request: AttemptRequest) -> str:
        """What of an earlier attempt may run beside this one. A Pod that nothing made is not made anew."""
        if not self._kind.makes_pod or not request.key.attempt:
            return ""
        key, wanted = request.key, primary_labels(self._spec)
        own = [p for p in self._pods.of(self._owner.uid) if is_own(p, self._owner, self._kind)]
        left = left_over(own, key, wanted, self._clock.now(), self._lost_after) if wanted else None
        if left is None:
            before = taken_away(own, key, wanted)
            return self._clear(before) if before is not None else ""
        path = f"{self._pod_path}/{left.name}"
        self._background.later(("pod", left.uid), partial(self._api.delete, path, left.uid, low_priority=True))
        return f"Pod {left.name} of an earlier attempt has not ended yet"

    def _clear(self, key: AttemptKey) -> str:
        """Remove what may make the Pods of an attempt anew that were taken away; why that is not done yet."""
        now = self._clock.now()
        try:
            left = self._makers.left(key)
            gone = left is not None and all(facts(p, now, self._lost_after).phase == "ended" for p in left)
        except (Refused, Unreachable) as error:
            log.warning("what an attempt may leave is not removed yet: %s", error, extra=self._about.attempt(key))
            gone = False
        return "" if gone else f"the {self._kind.name} of the attempt before has not gone yet"

    def _create(self, request: AttemptRequest, api: Api) -> None:
        manifest = attempt_manifest(self._spec, self._owner, request)
        if self._own_account in accounts(manifest):
            why = f"the service account {self._own_account!r} is the operator's own: name another"
            raise Refused(403, "Forbidden", why)
        try:
            made = self._collection.create(api, manifest)
        except Refused as error:
            if error.code != 409 or error.reason != "AlreadyExists":
                raise
            self._adopt(request)
        else:
            self._accept(request, made)
            log.info("attempt started", extra=self._about.attempt(request.key))

    def _accept(self, request: AttemptRequest, made: Mapping[str, Any]) -> None:
        now, known, queued = self._clock.now(), self._open.get(request.key), is_suspended(made)
        if not self._kind.makes_pod:
            self._open.pop(request.key, None)
            self._made.add(request.key, now)
            self._pods.learn(made)
        elif known is None or known.maker != uid_of(made):
            broken = known.broken if known is not None else None
            self._open[request.key] = Awaited(request, now, now, broken=broken, maker=uid_of(made), queued=queued)
        else:
            self._open[request.key] = replace(known, queued=queued)

    def _adopt(self, request: AttemptRequest) -> None:
        """Look at the object of this name: whether it is ours, and whether its Pod is there or may still come."""
        found = self._makers.find(request.name)
        if found is not None and not self._makers.was_made_for(found, request):
            going = self._makers.is_going(found)
            why = "of an earlier order is being deleted" if going else "is there and is not ours"
            self._refuse(request, f"{self._kind.name} {request.name!r} {why}")
            return
        conclusion = self._makers.conclusion(found) if found is not None else None
        over = found is None or conclusion is not None
        members = self._makers.members(request.key) if over else Members(None)
        if over and members.primary is None:
            self._make_again(request, found, conclusion, members)
        elif found is not None:
            self._accept(request, found)

    def _make_again(
        self, request: AttemptRequest, found: _Object | None, conclusion: Conclusion | None, members: Members
    ) -> None:
        """It came to its end, or went, without a Pod that could be read."""
        kind, end, template = self._kind.name, None, self._spec.template
        well = conclusion is not None and conclusion.succeeded
        # Our own mark is on a Pod of each kind that we know: then it was there, and someone took it away.
        if members.others and (template.success_condition or template.primary_pod_labels):
            labels = ", ".join(f"{name}={value}" for name, value in primary_labels(self._spec).items())
            text = f"none of the {len(members.others)} Pods of its {kind} has the labels {labels} and the index 0"
            end = ExitFacts(reason=START_ERROR, message=text)
        elif members.others or well:
            way = "succeeded" if well else "ended"
            end = ExitFacts(reason="Deleted", message=f"its {kind} {way}, and its Pod was gone before it was read")
        if end is not None:
            now, maker = self._clock.now(), uid_of(found) if found is not None else None
            self._open[request.key] = Awaited(request, now, now, why=end.message, end=end, maker=maker)
            return
        if found is not None:
            self._makers.remove(request.name, uid_of(found))
        said = f": {conclusion.message}" if conclusion is not None and conclusion.message else ""
        self._refuse(request, f"its {kind} ended or went too early, and is made again{said}")
        again = self._open[request.key]
        if said and again.broken is None:
            self._open[request.key] = replace(again, broken=(again.tried, again.why))

    def _refuse(
        self, request: AttemptRequest, why: str, final: bool = False, gated: bool = False, unsure: bool = False
    ) -> None:
        now, before, why = self._clock.now(), self._open.get(request.key), bounded(why, 300)
        since, tries = (before.since, before.tries + 1) if before else (now, 1)
        stuck, unsure = (
            stuck_until(now, before) if final else None,
            unsure or (before is not None and before.unsure),
        )
        broken = before.broken if before is not None else None
        self._open[request.key] = Awaited(request, since, now, tries, why, stuck, gated, unsure, broken=broken)
        if gated:
            # What is refused may be this attempt's own parameters.
            self._gate.shut(why, now, RETRY_SECONDS if final else RETRY_LIMIT)

    def forget(self, keys: Iterable[AttemptKey]) -> None:
        """The Pods of these have been seen: their launches are over."""
        for key in keys:
            self._open.pop(key, None)

    def note_active(self, keys: Iterable[AttemptKey]) -> None:
        """The Pods of these are not on their way out: what was taken back has come, and is looked for no more."""
        self._withdrawals.seen(self._owner.uid, keys)

    def hurry(self) -> None:
        """Something of ours has ended, so there may be room."""
        self._gate.due = 0.0

    def waiting(self, now: float) -> list[AttemptFacts]:
        """The attempts that have no Pod yet."""
        return [self._facts(launch, now) for launch in self._open.values()]

    def any_due(self, now: float) -> bool:
        """Whether some are to be tried again."""
        return any(self._is_due(launch, now) for launch in self._open.values())

    def try_again(self) -> None:
        """Try some again, those first that have waited longest."""
        now = self._clock.now()
        due = [launch for launch in self._open.values() if self._is_due(launch, now)]
        for launch in sorted(due, key=lambda launch: launch.tried)[:TRIES_AT_ONCE]:
            # The one before it may have met what all would meet.
            if self._is_due(launch, now):
                self._try_again(replace(launch, tried=now))

    def _is_due(self, launch: Awaited, now: float) -> bool:
        if launch.recalled is not None or self._end(launch, now) is not None:
            return False
        if launch.is_given_up(now, self._spec.start_timeout):
            return not launch.tried <= now < launch.tried + RETRY_SECONDS
        return now >= (self._gate.due if launch.gated else launch.due)

    def _end(self, launch: Awaited, now: float) -> ExitFacts | None:
        """How it ended without a Pod. What may still make one has to go first."""
        if launch.end is not None or launch.may_come or not launch.is_given_up(now, self._spec.start_timeout):
            return launch.end
        return ExitFacts(reason=START_ERROR, message=launch.why or (launch.broken[1] if launch.broken else ""))

    def _facts(self, launch: Awaited, now: float) -> AttemptFacts:
        key, end = launch.request.key, self._end(launch, now)
        if end is not None:
            return AttemptFacts(key, "ended", launch.since, exit=end, waiting=launch.why)
        return AttemptFacts(key, "pending", launch.since, waiting=launch.why or None, queued=launch.queued)

    def _give_up(self, launch: Awaited) -> None:
        """The next attempt would run beside a Pod that comes after all."""
        with suppress(Refused, Unreachable):
            if self._makers.left(launch.request.key) == ():
                self._open[launch.request.key] = replace(launch, maker=None, unsure=False)

    def _try_again(self, launch: Awaited) -> None:
        self._open[launch.request.key] = launch
        if launch.is_given_up(launch.tried, self._spec.start_timeout):
            self._give_up(launch)
            return
        if launch.maker is None:
            self._try(launch.request, self._api.within(TRY_SECONDS))
            return
        with suppress(Refused, Unreachable):
            # Neither says anything of the Pod: it is asked for again.
            self._adopt(launch.request)
        known = self._open[launch.request.key]
        if (known.maker, known.end) == (launch.maker, launch.end):
            self._open[launch.request.key] = replace(self._ask(known), tries=known.tries + 1)

    def _ask(self, launch: Awaited) -> Awaited:
        """Why the Pod does not come. What a runtime makes of its Pods cannot be put to the API server."""
        if launch.queued:
            return replace(launch, why="", stuck=None)
        if not self._kind.node and (refused := self._would_be_refused(launch)) is not None:
            return refused
        slow = self._kind.judged and launch.tries >= SLOW_TRIES
        text = f"its {self._kind.name} has made no Pod yet: it waits in a queue, or its controller does not run"
        return replace(launch, why=self._warning(launch) or (text if slow else ""), stuck=None)

    def _warning(self, launch: Awaited) -> str:
        """What its controller says of the Pods that it would make: it may put into them what is refused."""
        with suppress(Unreachable):
            return warning(self._api.within(TRY_SECONDS), self._owner.namespace, launch.maker or "") or ""
        return ""

    def _would_be_refused(self, launch: Awaited) -> Awaited | None:
        made = attempt_manifest(self._spec, self._owner, launch.request)
        template = self._kind.template_in(made, self._spec.template.primary_container)
        pod = {**template, "apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] = {**pod["metadata"], "name": launch.request.name}
        try:
            self._api.create(self._pod_path, pod, low_priority=True, dryRun="All")
        except Refused as error:
            stuck = None if _passes(error) else stuck_until(self._clock.now(), launch)
            return replace(launch, why=bounded(error.message, 300), stuck=stuck)
        except Unreachable:
            # It says nothing of the Pod, which is asked for again.
            pass
        return None

    def reasons(self) -> list[str]:
        """Why Pods do not come, as far as it is known."""
        return [launch.why for launch in self._open.values()]

    def may_come(self, key: AttemptKey) -> bool:
        """Whether its Pod may be there, or come: all but those that were refused."""
        launch = self._open.get(key)
        return launch is None or launch.may_come

    def recall(self, key: AttemptKey) -> None:
        """Take a launch back. What would make its Pod is deleted; the API server has to have taken that."""
        launch, now = self._open.get(key), self._clock.now()
        self._made.forget(key)
        if launch is None or launch.maker is None:
            self._open.pop(key, None)
            if launch is None or launch.unsure:
                self.withdraw(key)
        elif launch.recalled is None or now >= launch.recalled + RETRY_SECONDS:
            self._open[key] = replace(launch, recalled=now)
            try:
                self._makers.remove(launch.request.name, launch.maker)
                del self._open[key]
            except (Refused, Unreachable) as error:
                extra = self._about.attempt(key)
                log.warning("the %s of an attempt is not deleted yet: %s", self._kind.name, error, extra=extra)

    def withdraw(self, key: AttemptKey) -> None:
        """What an earlier process, or a request without an answer, may have made must not start."""
        self._withdrawals.add(self._owner.uid, key, partial(self._makers.remove_made, key))

    def is_withdrawn(self, key: AttemptKey) -> bool:
        """Whether it was taken back, and not ordered again since."""
        return self._withdrawals.holds(self._owner.uid, key)


def _passes(error: Refused) -> bool:
    """Whether the refusal may pass by itself: a full quota, a namespace that is being made or goes."""
    return error.code in (404, 409) or (error.code == 403 and _PASSING.match(error.message) is not None)
