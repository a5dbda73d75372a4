"""What people, kubelets and schedulers do to single Pods and their logs in a simulated world."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubetuna_operator import ANNOTATION_EXPERIMENT, ANNOTATION_TIMEOUT, LABEL_TRIAL
from kubetuna_operator.kube.objects import Unreadable
from kubetuna_operator.pods.status import view
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.kubelet import is_new, name_of
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import PODS, Object, Target
from tests.sim.administration import Deed
from tests.sim.nodes import Nodes, TrialId
from tests.sim.strangers import AWAY

COPY = "copy-of-"
# By these the Pods of one trial are told from others.
_ATTEMPT = (("annotations", ANNOTATION_EXPERIMENT), ("labels", LABEL_TRIAL))


class PodDeeds:
    """``taken``: UIDs of Pods that someone took away, ``attempts``: those that they were of, by trial and number.

    ``copies``: UIDs of copies that are no attempts; ``lost_ends``: of Pods whose last line was lost before it could
    be read, perhaps.
    """

    def __init__(self, cluster: Cluster, nodes: Nodes) -> None:
        self._cluster, self._nodes = cluster, nodes
        self.taken: set[str] = set()
        self.attempts: set[tuple[TrialId, int]] = set()
        self.copies: set[str] = set()
        self.lost_ends: set[str] = set()

    def _pod(self, chance: random.Random, open_only: bool = True) -> Object | None:
        pods = [p for p in self._cluster.kubelet.pods() if p["spec"].get("nodeName") != AWAY]
        found = [p for p in pods if not open_only or p["status"]["phase"] not in ENDED]
        return chance.choice(found) if found else None

    def take(self, pod: Object) -> None:
        """A Pod is taken away, and with it its whole attempt."""
        owner, trial = ((pod["metadata"].get(part) or {}).get(key) for part, key in _ATTEMPT)
        for other in self._cluster.kubelet.pods():
            if [(other["metadata"].get(part) or {}).get(key) for part, key in _ATTEMPT] == [owner, trial]:
                self.taken.add(other["metadata"]["uid"])
                with suppress(Unreadable):
                    key = view(other).key
                    self.attempts.add(((owner, key.trial, key.repeat), key.attempt))

    def _take_pod(self, chance: random.Random, **options: Any) -> Deed:
        def begin() -> str:
            pod = self._pod(chance, open_only=False)
            if pod is None:
                return "there is none"
            self.take(pod)
            return self._remove(name_of(pod), **options)

        return begin, None

    def delete_pod(self, chance: random.Random) -> Deed:
        return self._take_pod(chance)

    def force_pod(self, chance: random.Random) -> Deed:
        return self._take_pod(chance, gracePeriodSeconds=0)

    def copy_pod(self, chance: random.Random) -> Deed:
        def begin() -> str:
            pod = self._pod(chance)
            if pod is None:
                return "there is none"
            made = copy.deepcopy({k: v for k, v in pod.items() if k != "status"})
            made["metadata"] = {n: made["metadata"].get(n, {}) for n in ("labels", "annotations")}
            made["metadata"]["name"] = f"{COPY}{name_of(pod)}"
            made["spec"].pop("nodeName", None)
            stored = self._cluster.server.writes.create(Target(PODS, NAMESPACE), made, {})
            self.copies.add(stored["metadata"]["uid"])
            return name_of(pod)

        return begin, None

    def evict(self, chance: random.Random) -> Deed:
        end = chance.choice([self._cluster.kubelet.evict, self._cluster.kubelet.shut_down])
        return self._disrupt(chance, lambda name: end(name))

    def preempt(self, chance: random.Random) -> Deed:
        def preempt(name: str) -> None:
            self._cluster.kubelet.disrupt(
                name, "PreemptionByScheduler", "preempting to accommodate a higher priority"
            )
            self._remove(name)

        return self._disrupt(chance, preempt)

    def _disrupt(self, chance: random.Random, how: Callable[[str], None]) -> Deed:
        def begin() -> str:
            pod = self._pod(chance)
            if pod is None or is_new(pod) or not self._nodes.reachable(pod["spec"]["nodeName"]):
                return "there is none"
            self.take(pod)
            how(name_of(pod))
            return name_of(pod)

        return begin, None

    def rotate_log(self, chance: random.Random) -> Deed:
        """A kubelet does so where a container printed much; what was not read before is lost."""

        def begin() -> str:
            running = [run for run in self._nodes.live() if run.primary and self._nodes.reachable(run.node)]
            if not running:
                return "there is none"
            run = chance.choice(running)
            self._cluster.kubelet.rotate(run.pod)
            if run.printed == len(run.script.lines):
                self.lost_ends.add(run.uid)
            return run.pod

        return begin, None

    def lose_log(self, chance: random.Random) -> Deed:
        """A node's disk fails: nobody can read what a container printed."""

        def begin() -> str:
            running = [run for run in self._nodes.live() if run.primary]
            if not running:
                return "there is none"
            run = chance.choice(running)
            self._cluster.server.logs.lost.add(run.uid)
            self.taken.add(run.uid)
            return run.pod

        return begin, None

    def scribble(self, chance: random.Random) -> Deed:
        """Someone writes an annotation of ours on a Pod that has none."""

        def begin() -> str:
            pod = self._pod(chance)
            # What a trial does is decided as its Pod starts.
            if pod is None or pod["metadata"]["uid"] not in self._nodes.runs or _has_timeout(pod):
                return "there is none"
            noted = {"metadata": {"annotations": {ANNOTATION_TIMEOUT: chance.choice(["soon", "nan", "-1e400"])}}}
            self._cluster.server.writes.merge(Target(PODS, NAMESPACE, name_of(pod)), noted, {})
            return name_of(pod)

        return begin, None

    def _remove(self, name: str, **options: Any) -> str:
        found = self._cluster.server.objects.get(PODS, (NAMESPACE, name))
        if found is None:
            return f"{name} is gone"
        self._cluster.server.deletion.delete(PODS, found, options)
        return name


def _has_timeout(pod: Object) -> bool:
    return ANNOTATION_TIMEOUT in (pod["metadata"].get("annotations") or {})
