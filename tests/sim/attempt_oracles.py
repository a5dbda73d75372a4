"""Of which trials Pods may be made and may run: one attempt after the other, of what is stored and not told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kubetuna_operator import ANNOTATION_EXPERIMENT, LABEL_ATTEMPT, LABEL_REPEAT, LABEL_TRIAL
from kubetuna_operator.pods.status import seconds, view
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.programs import params_of
from tests.apiserver.resources import EXPERIMENTS, PODS, Object, Resource
from tests.sim.bounds import HEEDED
from tests.sim.experiments import most_at_once
from tests.sim.nodes import Nodes, Run, is_bare, is_worker
from tests.sim.people import Fate
from tests.sim.pod_deeds import COPY
from tests.sim.stored import StoredStudies

if TYPE_CHECKING:
    from tests.sim.oracles import Known


class AttemptOracles:
    """Watches what is made and what runs. ``known`` are the Experiments by UID; ``report`` takes what is wrong."""

    def __init__(
        self,
        cluster: Cluster,
        stored: StoredStudies,
        nodes: Nodes,
        fate: Fate,
        known: Mapping[str, Known],
        report: Callable[[str], None],
    ) -> None:
        self._cluster, self._stored, self._nodes, self._fate = cluster, stored, nodes, fate
        self._known, self._report = known, report
        # While a request is carried out whose sender was frozen since it sent it, or does not lead any more:
        # nothing can call that back.
        self.too_late = False
        # The UIDs of what such requests made, and of the Experiments for which they did.
        self.late: set[str] = set()
        self.belated: set[str] = set()
        self._attempts: set[tuple[Any, ...]] = set()

    def made(self, resource: Resource, obj: Object) -> None:
        """Something is there that was not."""
        self._attempt_made(obj)
        made_by = {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}
        if resource != EXPERIMENTS and (self.too_late or made_by & self.late):
            self.late.add(obj["metadata"]["uid"])
            self.belated.add((obj["metadata"].get("annotations") or {}).get(ANNOTATION_EXPERIMENT, ""))
        elif resource == PODS:
            self._pod_made(obj)

    def _attempt_made(self, obj: Object) -> None:
        """A Pod, or what makes one: an attempt comes after the one before it."""
        labels, notes = (obj["metadata"].get(part) or {} for part in ("labels", "annotations"))
        if LABEL_ATTEMPT not in labels or obj["metadata"]["name"].startswith(COPY):
            return
        of = (notes.get(ANNOTATION_EXPERIMENT), *(labels[n] for n in (LABEL_TRIAL, LABEL_REPEAT)))
        number = int(labels[LABEL_ATTEMPT])
        if number and (*of, number - 1) not in self._attempts:
            self._report(f"{obj['metadata']['name']} is made although there was no attempt {number - 1}")
        self._attempts.add((*of, number))

    def _pod_made(self, pod: Object) -> None:
        owner = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_EXPERIMENT)
        if owner not in self._known or pod["metadata"]["name"].startswith(COPY):
            return
        known, key = self._known[owner], view(pod).key
        stored = {t.number: t for t in self._stored.trials(known.study)}.get(key.trial)
        if stored is None or stored.params != {n: float(v) for n, v in params_of(pod).items()}:
            self._report(f"Pod {pod['metadata']['name']} was made before its parameters were stored: {stored}")
        trial, runs = (owner, key.trial, key.repeat), self._nodes.runs.values()
        # What is taken away of an attempt its workload may make once more, before that can be deleted.
        taken = {(r.trial, r.attempt) for r in runs if r.uid in self._fate.taken} | self._fate.taken_attempts
        told = stored is not None and stored.state != "RUNNING" and not is_worker(pod)
        if stored is not None and told and (is_bare(pod) or (trial, key.attempt) not in taken):
            self._report(f"Pod {pod['metadata']['name']} was made for a trial that is {stored.state}")
        # What came of it nobody can read any more, or nobody asked for it.
        unread = self._fate.lost_ends | self._fate.copies
        for run in runs if not is_worker(pod) else ():
            again = run.trial == trial and run.primary and run.finished
            if again and (run.trial, run.attempt) not in taken and run.uid not in unread:
                self._report(f"Pod {pod['metadata']['name']} trains again what {run.pod} had finished")
        self._check_parallel(known, owner)

    def _check_parallel(self, known: Known, owner: str) -> None:
        pods = [p for p in self._cluster.kubelet.pods() if p["status"]["phase"] not in ENDED and not is_worker(p)]
        own = [p for p in pods if (p["metadata"].get("annotations") or {}).get(ANNOTATION_EXPERIMENT) == owner]
        trials = {view(p).key.trial for p in own if p["metadata"]["uid"] not in self._fate.copies | self.late}
        most = max(map(most_at_once, known.specs))
        if len(trials) > most:
            self._report(f"{known.name} has Pods of {len(trials)} trials at once, parallelTrialCount is {most}")

    def check_runs(self) -> None:
        """Whether two attempts of one trial run at once, where that may not be."""
        running = self._nodes.live()
        if len(running) < 2:
            return
        live: dict[Any, list[Run]] = defaultdict(list)
        for run in running:
            if run.uid not in self._fate.copies | self.late:
                live[run.trial].append(run)
        for runs in live.values():
            free = [r for r in runs if not r.forced and self._nodes.reachable(r.node)]
            if _overlap(free) and _overlap([r for r in free if not self._is_overdue(r)]):
                self._report(f"{' and '.join(r.pod for r in runs)} run at the same time")

    def _is_overdue(self, run: Run) -> bool:
        """Whether its Pod should have been gone: its node was away then, and has only just come back."""
        pod = self._cluster.server.objects.get(PODS, (NAMESPACE, run.pod))
        due = seconds(pod["metadata"].get("deletionTimestamp")) if pod is not None else None
        return due is not None and due + HEEDED < self._cluster.clock.now()


def _overlap(runs: Sequence[Run]) -> bool:
    return sum(run.primary for run in runs) > 1 or len({run.attempt for run in runs}) > 1
