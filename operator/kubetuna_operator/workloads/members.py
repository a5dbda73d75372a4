"""The Pods of one attempt as one: which of them is read, and what their ends together mean.

The primary Pod is the one that the template's labels, or our own mark, name; of several the one with the index 0,
else the oldest, else the first by name. What failed first explains what failed after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kubetuna.experiment.kinds.template_kind import Conclusion, is_primary
from kubetuna.trials.attempts import AttemptFacts, AttemptKey, ExitFacts
from kubetuna_operator.pods.status import PodView
from kubetuna_operator.workloads.ownership import first

# What nothing but the workload's own word explains.
WORKLOAD_FAILED = "WorkloadFailed"
# Where a workload has failed, none of its Pods has, and they are too few: whoever took one away left no trace.
MISSING = ExitFacts(reason="Deleted", message="one of its Pods is gone, and no other has failed")


def is_vague(failure: ExitFacts) -> bool:
    """Whether a workload's word is all that is known of a failure."""
    return failure.reason == WORKLOAD_FAILED or failure == MISSING


@dataclass(frozen=True, slots=True)
class Members:
    """The Pods of an attempt; no ``primary`` while there is none. ``rivals``: how many could be it beside it."""

    primary: PodView | None
    others: tuple[PodView, ...] = ()
    rivals: int = 0

    @property
    def pods(self) -> tuple[PodView, ...]:
        """All of them."""
        return self.others if self.primary is None else (self.primary, *self.others)

    @property
    def active(self) -> tuple[PodView, ...]:
        """Those beside the primary one that have not ended."""
        return tuple(pod for pod in self.others if pod.exit is None)

    @property
    def cause(self) -> PodView | None:
        """The Pod whose failure came first; none that was but taken away with the others."""
        failed = [pod for pod in self.pods if pod.exit is not None and not pod.exit.by_itself]
        own = [pod for pod in failed if pod.disruption is not None or not _follows(pod)]
        latest = float("inf")
        return min(own, key=lambda p: (latest if p.ended is None else p.ended, p is not self.primary), default=None)

    @property
    def failure(self) -> ExitFacts | None:
        """How the attempt had failed when a Pod of it was told to end for that."""
        return next((pod.failure for pod in self.pods if pod.stopping and pod.failure is not None), None)

    @property
    def spoiled(self) -> bool:
        """Whether the primary Pod had ended well before another was told to end, for nothing that had failed."""
        well = self.primary is not None and self.primary.exit is not None and self.primary.exit.by_itself
        told = any(pod.stopping and pod.exit is not None for pod in self.others)
        return well and told and self.failure is None

    @property
    def taken(self) -> PodView | None:
        """One beside the primary Pod that someone deleted before it had ended."""
        return next((pod for pod in self.others if pod.exit is not None and pod.exit.reason == "Deleted"), None)


def _follows(pod: PodView) -> bool:
    """Whether its end says nothing but that someone, such as the workload's controller, took it away."""
    return pod.exit is not None and (pod.exit.reason == "Deleted" or pod.stopping)


def settled(pods: Iterable[PodView], retain: bool = False) -> bool:
    """Whether nothing is to be done for any: each was told, or has ended beside the one of its attempt that was.

    Of an attempt that is kept to be looked at, all Pods that have ended stay, and only the primary one is marked.
    With ``retain`` that is so of all attempts, though someone else may have deleted the primary Pod.
    """
    seen = list(pods)
    told = {(pod.owner, pod.key) for pod in seen if pod.told}
    return all(pod.told or (pod.exit is not None and (retain or (pod.owner, pod.key) in told)) for pod in seen)


def grouped(
    pods: Iterable[PodView], wanted: Mapping[str, str], known: Mapping[AttemptKey, Members]
) -> dict[AttemptKey, Members]:
    """The Pods by attempt; without ``wanted`` labels one for each, which is then all of it.

    Who was primary stays it: another one's log begins anew.
    """
    if not wanted:
        return {key: Members(pod) for key, pod in first(iter(pods)).items()}
    by_key: dict[AttemptKey, list[PodView]] = {}
    for pod in pods:
        by_key.setdefault(pod.key, []).append(pod)
    return {key: _members(own, wanted, known.get(key)) for key, own in by_key.items()}


def _members(pods: Sequence[PodView], wanted: Mapping[str, str], known: Members | None) -> Members:
    before = known.primary.uid if known is not None and known.primary is not None else ""
    able = sorted((p for p in pods if is_primary(p.labels, wanted)), key=lambda p: (p.uid != before, *_rank(p)))
    if not able:
        return Members(None, tuple(pods))
    return Members(able[0], tuple(pod for pod in pods if pod is not able[0]), len(able) - 1)


def headless(pods: Iterable[PodView], wanted: Mapping[str, str], retain: bool = False) -> set[AttemptKey]:
    """Attempts with Pods that are to go, and none that could be read, be it told already.

    Those that have ended hold no GPU, but what made them would stay for good; with ``retain`` it is to.
    """
    every = list(pods)
    left = {pod.key for pod in every if pod.deleted is None and not (retain and pod.exit is not None)}
    return left - {pod.key for pod in every if is_primary(pod.labels, wanted)}


def silent(members: Members, pod: PodView, seen: AttemptFacts, maker: tuple[str, str] | None, wanted: int) -> str:
    """The UID of what may not go on and says so in Events alone: a Pod on a node, or what makes too few of them."""
    if seen.phase == "pending" and pod.node is not None:
        return pod.uid
    few = seen.phase != "ended" and len(members.pods) < wanted
    return maker[1] if few and maker is not None else ""


def _rank(pod: PodView) -> tuple[float, str]:
    return float("inf") if pod.created is None else pod.created, pod.name


def together(
    members: Members,
    seen: AttemptFacts,
    conclusion: Conclusion | None,
    falls_with_one: bool,
    patient: bool,
    taken: ExitFacts | None = None,
) -> AttemptFacts:
    """The attempt, of which ``seen`` is what the primary Pod alone says.

    What has ended well waits for the conclusion on the whole, as long as one is ``patient``; a failure waits only
    where another Pod may be made in its place. ``taken`` is how another Pod was taken away: to its controller that
    is a failure like any other.
    """
    cause, ended = members.cause, seen.phase == "ended"
    stopped = members.primary is not None and members.primary.stopping
    failed = conclusion is not None and not conclusion.succeeded
    if cause is not None and cause is not members.primary and (falls_with_one or failed):
        return replace(seen, phase="ended", exit=exit_of(cause), ended=seen.ended or cause.ended)
    if failed and cause is None:
        if ended and seen.exit is not None and seen.exit.reason == "Deleted":
            return seen
        if taken is not None and falls_with_one:
            return replace(seen, phase="ended", exit=taken)
        if ended and members.spoiled:
            return seen
    well = ended and seen.exit is not None and seen.exit.by_itself
    if failed and well and members.active and patient:
        # What it failed of has not been seen yet.
        return _running_on(members, seen)
    if failed and not (ended and cause is members.primary):
        said = ExitFacts(reason=WORKLOAD_FAILED, message=conclusion.message if conclusion is not None else "")
        return replace(seen, phase="ended", exit=said)
    if not ended or stopped or conclusion is not None or not patient or not (well or not falls_with_one):
        return _with_waiting(seen, members.others)
    return _running_on(members, seen)


def _running_on(members: Members, seen: AttemptFacts) -> AttemptFacts:
    """The attempt as it goes on though its primary Pod has ended."""
    stopping = bool(members.active) and all(pod.stopping for pod in members.active)
    return replace(seen, phase="running", exit=None, ended=None, stopping=stopping)


def exit_of(pod: PodView) -> ExitFacts:
    """How another Pod than the primary one has ended, with its name."""
    found = pod.exit or ExitFacts()
    return replace(found, message=f"Pod {pod.name}: {found.message}"[:300].removesuffix(": "))


def _with_waiting(seen: AttemptFacts, others: Sequence[PodView]) -> AttemptFacts:
    """With why another Pod does not start, where the primary one has nothing to say."""
    why = next((f"Pod {pod.name}: {pod.waiting}" for pod in others if pod.waiting), None)
    return seen if seen.waiting or why is None or seen.phase == "ended" else replace(seen, waiting=why[:300])
