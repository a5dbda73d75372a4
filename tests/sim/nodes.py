"""The scheduler and the nodes of a simulated world: GPUs as a capacity, containers that follow their scripts.

``runs`` is the ledger: what really ran, and when, whatever the API server was told of it. On a node that cannot be
reached containers run on, and nobody hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kubetuna_operator import ANNOTATION_EXPERIMENT, ANNOTATION_TIMEOUT
from kubetuna_operator.pods.status import primary_container, view
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure
from tests.apiserver.kubelet import is_new, name_of
from tests.apiserver.objects import Change
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.programs import params_of
from tests.apiserver.resources import EVENTS, EXPERIMENTS, PODS, Object, Target
from tests.sim.draws import Draws
from tests.sim.experiments import GPU, WORKER
from tests.sim.scripts import Script, companion, habit_of, pace, script

SOON, LOOK = 0.05, 1.0
START_TROUBLES = {
    "slow pull": 3.0,
    "slow mount": 1.0,
    "two obstacles": 2.0,
    "pull fails for a while": 2.0,
    "node refuses it": 2.0,
    "out of gpu": 1.0,
}
# For so long one obstacle keeps a container from starting: less than `startTimeout`, of which two are more.
OBSTACLE_SECONDS = 70.0
# And for so long one does that is more than `startTimeout`.
STUCK_SECONDS = 127.0
# What has run for so long has been seen to.
KNOWN_SECONDS = 3.0
# After so long whoever has more right to a GPU takes it.
CONTEST_SECONDS = 2.0
NEVER = float("inf")
TrialId = tuple[str, int, int]


@dataclass
class Run:
    """One container that ran. ``done``: it came to its script's end; ``forced``: its Pod was taken away before."""

    uid: str
    pod: str
    container: str
    trial: TrialId
    attempt: int
    node: str
    script: Script
    started: float
    printed: int = 0
    ended: float | None = None
    done: bool = False
    forced: bool = False
    # Whether it is the one of its attempt that is read.
    primary: bool = True
    # Whether the operator made its Pod.
    bare: bool = False

    @property
    def finished(self) -> bool:
        """Whether it ended by itself, with its objective."""
        return self.done and self.script.code == 0


class Nodes:
    """Schedules and runs the Pods of a cluster. ``gpus`` by node; ``study`` names the experiment of a UID."""

    def __init__(self, cluster: Cluster, draws: Draws, gpus: dict[str, int], study: Callable[[str], str]) -> None:
        self._cluster, self._draws, self._gpus, self._study = cluster, draws, gpus, study
        self._random = draws.stream("nodes")
        self._starts: dict[str, float] = {}
        # When what keeps a Pod from starting is followed by something else.
        self._next_obstacle: dict[str, float] = {}
        self.runs: dict[str, Run] = {}
        # Whether others hold all GPUs, and the Pods that waited for that; nodes that refuse whatever comes.
        self.crowded = False
        self._crowd: set[str] = set()
        self.broken: set[str] = set()
        # By node what befalls whatever comes up there.
        self.troubles: dict[str, str] = {}
        # Whether each Pod is preempted soon after it has begun; ``take`` is told of it before.
        self.contested = False
        self.take: Callable[[Object], None] = lambda _: None
        # Who does something to the Pods again and again: when next, after how many seconds again, and what.
        self._meddlers: dict[str, tuple[float, float, Callable[[], None]]] = {}
        self.checkpoints: dict[TrialId, int] = {}
        self.due = cluster.clock.now()
        cluster.server.objects.listen(self._changed)

    @property
    def _now(self) -> float:
        return self._cluster.clock.now()

    def reachable(self, node: str | None) -> bool:
        """Whether the control plane hears of this node."""
        return node not in self._cluster.kubelet.silent

    def _changed(self, change: Change) -> None:
        if change.resource != PODS:
            return
        self.due = min(self.due, self._now + SOON)
        run = self.runs.get(change.last["metadata"]["uid"])
        if run is None or run.ended is not None:
            return
        if change.after is None:
            # The kubelet still has it to end.
            run.forced = True
        elif change.after["status"].get("phase") in ENDED:
            self._ended(run)

    def _ended(self, run: Run, done: bool = False) -> None:
        run.ended, run.done = self._now, done
        self.checkpoints[run.trial] = max(self.checkpoints.get(run.trial, 0), min(run.printed, 3))

    def step(self) -> None:
        """Do what is due on all nodes, and find out when something is next."""
        self.due = self._now + 3600.0
        for run in [r for r in self.runs.values() if r.ended is None]:
            self._advance(run)
        if self.contested:
            self._preempt()
        self._meddle()
        for pod in self._cluster.kubelet.pods():
            if pod["status"]["phase"] == "Pending" and not pod["metadata"].get("deletionTimestamp"):
                self._bring_up(pod)
        if self._cluster.kubelet.tick():
            self._look_at(self._now + SOON)
        if any(_is_ending(pod) for pod in self._cluster.kubelet.pods()):
            self._look_at(self._now + LOOK)

    def meddle(self, who: str, do: Callable[[], None] | None, every: float) -> None:
        """From now on someone does this to the Pods, again after so many seconds; with None no more."""
        self._meddlers.pop(who, None)
        if do is not None:
            self._meddlers[who] = (self._now, every, do)
        self.due = self._now

    def _meddle(self) -> None:
        for who, (due, every, do) in self._meddlers.items():
            if self._now >= due:
                self._meddlers[who] = (self._now + every, every, do)
                do()
            self._look_at(self._meddlers[who][0])

    def _preempt(self) -> None:
        self._look_at(self._now + LOOK)
        late = [run for run in self.live() if run.primary and self._now > run.started + CONTEST_SECONDS]
        for run in late:
            pod = self._cluster.server.objects.get(PODS, (NAMESPACE, run.pod))
            if pod is None or pod["metadata"]["uid"] != run.uid or not self._may_preempt(pod):
                continue
            self.take(pod)
            self._cluster.kubelet.disrupt(run.pod, "PreemptionByScheduler", "others come first")
            self._cluster.server.deletion.delete(PODS, self._cluster.kubelet.pod(run.pod), {})

    def _may_preempt(self, pod: Object) -> bool:
        """A Pod that a controller made would be made again for ever, told or not."""
        return (
            is_bare(pod) and "deletionTimestamp" not in pod["metadata"] and self.reachable(pod["spec"]["nodeName"])
        )

    def _look_at(self, when: float) -> None:
        self.due = min(self.due, when)

    def _bring_up(self, pod: Object) -> None:
        """One step of a Pod on its way to run."""
        uid = pod["metadata"]["uid"]
        if is_new(pod):
            self._schedule(pod)
        elif uid not in self._starts:
            if self.reachable(pod["spec"]["nodeName"]):
                self._starts[uid] = self._now + self._trouble(pod) + self._random.uniform(0.1, 0.5)
        elif self._now >= self._next_obstacle.get(uid, NEVER):
            del self._next_obstacle[uid]
            self._cluster.kubelet.hold_up(name_of(pod), "ErrImagePull", "registry.example: 503")
        elif self._now >= self._starts[uid] and self.reachable(pod["spec"]["nodeName"]) and uid not in self.runs:
            self._start(pod)
        upcoming = self._next_obstacle.get(uid, self._starts.get(uid, self._now + LOOK))
        # What is due on a node that is away waits for it.
        waits = not is_new(pod) and not self.reachable(pod["spec"]["nodeName"])
        self._look_at(self._now + LOOK if waits or upcoming <= self._now else upcoming)

    def _schedule(self, pod: Object) -> None:
        needs = _gpus(pod)
        if self.crowded:
            self._crowd.add(pod["metadata"]["uid"])
        for node, has in self._gpus.items() if not self.crowded else ():
            if self.reachable(node) and self._used(node) + needs <= has:
                self._cluster.kubelet.schedule(name_of(pod), node)
                return
        self._cluster.kubelet.find_no_node(name_of(pod))

    def _used(self, node: str) -> int:
        bound = [p for p in self._cluster.kubelet.pods() if p["spec"].get("nodeName") == node]
        return sum(_gpus(p) for p in bound if p["status"]["phase"] not in ENDED)

    def _trouble(self, pod: Object) -> float:
        """What may go wrong before a container starts; for how many seconds it is held up."""
        fault = self._draws.fault("kubelet start", START_TROUBLES)
        kubelet, name = self._cluster.kubelet, name_of(pod)
        if pod["spec"]["nodeName"] in self.broken:
            kubelet.reject(name, "UnexpectedAdmissionError", "Allocate failed due to device plugin")
            return 0.0
        if pod["metadata"]["uid"] in self._crowd:
            # All that waited ask the registry at once.
            kubelet.hold_up(name, "ErrImagePull", "registry.example: 503")
            return self._random.uniform(15.0, 40.0)
        trouble = self._trouble_of_node(pod) or (fault.kind if fault else "")
        match trouble:
            case "no image":
                kubelet.hold_up(name, "ErrImagePull", "registry.example: 503")
                return STUCK_SECONDS
            case "start error":
                kubelet.exit(name, 128, "StartError", "failed to create containerd task: no such device")
            case "slow pull":
                return 20.0 * fault.share if fault else 0.0
            case "slow mount":
                self._warn(pod, "FailedMount", "MountVolume.SetUp failed: secret not found")
                return 30.0 + 90.0 * fault.share if fault else 0.0
            case "two obstacles":
                kubelet.hold_up(name, "CreateContainerConfigError", "secret not found")
                self._next_obstacle[pod["metadata"]["uid"]] = self._now + OBSTACLE_SECONDS
                return 2 * OBSTACLE_SECONDS
            case "pull fails for a while":
                kubelet.hold_up(name, "ErrImagePull", "registry.example: 503")
                return 30.0 * fault.share if fault else 0.0
            case "node refuses it":
                kubelet.reject(name, "UnexpectedAdmissionError", "Allocate failed due to device plugin")
            case "out of gpu":
                kubelet.reject(name, "OutOfnvidia.com/gpu", "Node didn't have enough resource")
        return 0.0

    def _trouble_of_node(self, pod: Object) -> str:
        """What befalls all on its node; what ends a start only where that is no sign of a fault of its own."""
        trouble = self.troubles.get(pod["spec"]["nodeName"], "")
        owner = pod["metadata"]["annotations"][ANNOTATION_EXPERIMENT]
        begun = any(run.trial[0] == owner and self._now > run.started + KNOWN_SECONDS for run in self.runs.values())
        return trouble if begun or trouble == "two obstacles" else ""

    def _warn(self, pod: Object, reason: str, message: str) -> None:
        """What a kubelet says in Events alone."""
        about = {"kind": "Pod", "uid": pod["metadata"]["uid"], "name": name_of(pod)}
        told = {"involvedObject": about, "type": "Warning", "reason": reason, "message": message}
        target = Target(EVENTS, pod["metadata"]["namespace"])
        with suppress(Failure):
            self._cluster.server.writes.create(target, {"metadata": {"name": f"{name_of(pod)}.mount"}, **told}, {})

    def _start(self, pod: Object) -> None:
        seen, name = view(pod), name_of(pod)
        owner = pod["metadata"]["annotations"][ANNOTATION_EXPERIMENT]
        trial = (owner, seen.key.trial, seen.key.repeat)
        may_hang = ANNOTATION_TIMEOUT in pod["metadata"]["annotations"]
        study = self._study(owner)
        habit = habit_of(study, seen.key.trial, may_hang)
        made = script(habit, params_of(pod), self.checkpoints.get(trial, 0), pace(study, seen.key.trial))
        container, node, primary = primary_container(pod["spec"]), pod["spec"]["nodeName"], not is_worker(pod)
        made = made if primary else companion(made)
        self.runs[seen.uid] = Run(
            seen.uid, name, container, trial, seen.key.attempt, node, made, self._now, primary=primary
        )
        self.runs[seen.uid].bare = is_bare(pod)
        self._cluster.kubelet.start(name)
        self._cluster.kubelet.heed(name, made.heed.code, *made.heed.lines)
        self._advance(self.runs[seen.uid])

    def _advance(self, run: Run) -> None:
        """Print what is due, and end where that is due."""
        if run.forced:
            if self.reachable(run.node):
                self._ended(run)
            return
        lines, over = run.script.lines, run.script.ends
        while run.printed < len(lines) and self._now >= run.started + lines[run.printed][0]:
            self._cluster.kubelet.print(run.pod, lines[run.printed][1], container=run.container)
            run.printed += 1
        if over is not None and self._now >= run.started + over:
            if not self._has_company(run):
                self._look_at(self._now + LOOK)
            elif self.reachable(run.node):
                self._ended(run, done=True)
                self._cluster.kubelet.exit(run.pod, run.script.code, run.script.reason, run.script.last_words)
            return
        upcoming = [lines[run.printed][0]] if run.printed < len(lines) else []
        for at in [*upcoming, *([over] if over is not None else [])]:
            self._look_at(run.started + at)

    def _has_company(self, run: Run) -> bool:
        """Training in several Pods does not end where one of them never began; a copy is none of them."""
        owned = [pod for pod in self._cluster.kubelet.pods() if pod["metadata"].get("ownerReferences")]
        workers = [pod for pod in owned if run.primary and is_worker(pod)]
        attempt = (*run.trial[:2], run.attempt)
        same = [pod for pod in map(view, workers) if (pod.owner, pod.key.trial, pod.key.attempt) == attempt]
        return all(pod.uid in self.runs for pod in same)

    def live(self) -> list[Run]:
        """What really runs now."""
        return [run for run in self.runs.values() if run.ended is None]


def is_worker(pod: Object) -> bool:
    """Whether it is another Pod of its attempt than the one that is read."""
    return any(WORKER in (c.get("env") or []) for c in pod["spec"]["containers"])


def is_bare(pod: Object) -> bool:
    """Whether the operator made it itself, rather than a workload's controller."""
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return bool(owners[0].get("kind") == EXPERIMENTS.kind)


def _is_ending(pod: Object) -> bool:
    if pod["status"]["phase"] in ENDED:
        return "deletionTimestamp" in pod["metadata"]
    return "deletionTimestamp" in pod["metadata"] or "activeDeadlineSeconds" in pod["spec"]


def _gpus(pod: Object) -> int:
    limits: list[Any] = [(c.get("resources") or {}).get("limits") or {} for c in pod["spec"]["containers"]]
    return sum(int(limit.get(GPU, 0)) for limit in limits)
