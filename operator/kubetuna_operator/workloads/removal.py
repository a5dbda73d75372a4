"""How Pods go: with what made them, and again until that is seen. The latest failures stay to be looked at.

Nothing depends on a Pod whose trial was told; it may linger, and goes with its Experiment at the latest.
"""

from __future__ import annotations

from collections.abc import Callable

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.model import Experiment
from kubetuna.trials.outcome import INFRASTRUCTURE_REASONS, has_started
from kubetuna_operator import LABEL_TOLD
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.failpoints import failpoint
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.work_queue import wait_after
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.telemetry import OUTCOMES
from kubetuna_operator.workloads.makers import Makers
from kubetuna_operator.workloads.ownership import age, is_own

FAILED_KEPT = 3
# A deletion, or a mark, that was taken and is not seen is sent again after this many seconds, then after twice as
# many.
UNSEEN_SECONDS, UNSEEN_LIMIT = 5.0, 300.0


class Removal:
    """Of the Pods of one Experiment."""

    def __init__(self, context: OperatorContext, spec: Experiment, ref: ExperimentRef, makers: Makers) -> None:
        self._api, self._pods, self._background = context.api, context.pods, context.deferred
        self._owner, self._makers = ref.owner, makers
        self._kind, self._retain = kind_of(spec.template.trial_spec), spec.template.retain
        self._path = collection("pods", ref.owner.namespace)
        # The failures that stay, the oldest first; those of earlier processes are looked up with the first new one.
        self._failed: list[PodView] | None = None
        # UIDs of Pods, and of what made them, that the API server says are gone, while a watch still has the Pods.
        self._absent: set[str] = set()

    def take_away(self, pod: PodView, again: bool = False) -> None:
        """Delete a Pod now, or what made it: that would else count its Pod as lost.

        ``again``: that was done and the Pod is not seen to go, so what made it may have gone without it.

        Raises:
            Refused, Unreachable: it was not deleted, as far as is known.
        """
        maker = self._kind.maker(pod.owner_reference)
        if maker is not None:
            if maker[1] not in self._absent and not self._makers.remove(*maker):
                self._note_absent(maker[1])
        elif self._kind.makes_pod:
            self._makers.remove_made(pod.key)
        if again or not self._kind.makes_pod:
            self._delete(pod)

    def let_go(self, pod: PodView) -> None:
        """Delete the primary Pod of an attempt that was told, later, with what made it, or keep it."""
        failed = _failed_by_itself(pod)
        OUTCOMES.labels((pod.exit.reason if pod.exit else None) or ("Failed" if failed else "Ended")).inc()
        if pod.exit is None or not (self._retain or failed):
            self._later(pod, self._remove)
            return
        self._later(pod, self._keep)
        if not self._retain:
            self._keep_failed(pod)

    def _keep_failed(self, pod: PodView) -> None:
        if self._failed is None:
            told = [p for p in self._pods.of(self._owner.uid) if p.told and is_own(p, self._owner, self._kind)]
            self._failed = sorted(told, key=age)
        self._failed.append(pod)
        while len(self._failed) > FAILED_KEPT:
            # A node that starts nothing soon has more failures than these, and none of them has a log.
            least = next((p for p in self._failed if not _has_crashed(p)), self._failed[0])
            self._failed.remove(least)
            self._later(least, self._remove)

    def _later(self, pod: PodView, write: Callable[[PodView], None]) -> None:
        self._background.later(("pod", pod.uid), lambda: write(pod))

    def _again(self, pod: PodView, write: Callable[[PodView, int], None], sent: int) -> None:
        wait = wait_after(sent, UNSEEN_SECONDS, UNSEEN_LIMIT)
        self._background.repeat(("pod", pod.uid), lambda: write(pod, sent), wait)

    def _remove(self, pod: PodView, sent: int = 0) -> None:
        """Delete it, again until it is seen to go; what is refused, the background tries again."""
        if sent and all(p.deleted is not None for p in self._now(pod)):
            return
        self.take_away(pod, again=sent > 0)
        failpoint("deleted")
        self._again(pod, self._remove, sent + 1)

    def _keep(self, pod: PodView, sent: int = 0) -> None:
        """Mark one that stays, until that is seen: whoever comes next would take it for open.

        Before that the others of its attempt go: what is kept to be looked at holds no GPU, and what was marked
        is not looked after any more.
        """
        beside = self._active_beside(pod)
        if sent and not beside and all(p.told for p in self._now(pod)):
            return
        for other in beside:
            self._delete(other)
        self._mark(pod)
        self._makers.hold(pod.key)
        self._again(pod, self._keep, sent + 1)

    def _now(self, pod: PodView) -> list[PodView]:
        """What is known of it by now; nothing once it is gone."""
        return [p for p in self._pods.of(self._owner.uid) if p.uid == pod.uid]

    def _active_beside(self, pod: PodView) -> list[PodView]:
        same = (p for p in self._pods.of(self._owner.uid) if p.key == pod.key and p.uid != pod.uid)
        own = (p for p in same if is_own(p, self._owner, self._kind, pod.params_hash))
        return [p for p in own if p.exit is None and p.deleted is None]

    def _mark(self, pod: PodView) -> None:
        try:
            change = {"metadata": {"uid": pod.uid, "labels": {LABEL_TOLD: "true"}}}
            self._api.merge(self._named(pod), change, low_priority=True)
        except Refused as error:
            passes = error.code == 409 and self._api.has(self._named(pod), pod.uid)
            # Else it is gone, or another's by now.
            if passes or error.code not in (404, 409, 422):
                raise

    def _delete(self, pod: PodView) -> None:
        if pod.uid in self._absent:
            return
        if not self._api.delete(self._named(pod), uid=pod.uid, low_priority=True):
            self._note_absent(pod.uid)

    def _note_absent(self, uid: str) -> None:
        pods = self._pods.of(self._owner.uid)
        makers = (self._kind.maker(p.owner_reference) for p in pods)
        known = {*(p.uid for p in pods), *(maker[1] for maker in makers if maker is not None)}
        self._absent = {one for one in (*self._absent, uid) if one in known}

    def _named(self, pod: PodView) -> str:
        return f"{self._path}/{pod.name}"


def _failed_by_itself(pod: PodView) -> bool:
    """Whether nobody ended it, though it may have been told to end by then."""
    if pod.exit is None or pod.deleted is not None:
        return False
    return pod.exit.exit_code not in (0, None) and pod.exit.reason != "DeadlineExceeded"


def _has_crashed(pod: PodView) -> bool:
    """Whether its command has run and is to blame: such a Pod is the most worth looking at."""
    reason = pod.exit.reason if pod.exit is not None else None
    return has_started(pod.started, reason) and reason not in INFRASTRUCTURE_REASONS
