"""What must never be, whatever befalls the operator: checked at every change, and when the world has come to rest.

The API server's changes, the nodes' ledger and the database are looked at, never what the operator believes.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.store.fencing import EPOCH
from kubetuna.trials.records import ANSWERS, QUEUE
from kubetuna_operator import LABEL_TOLD
from kubetuna_operator.experiment.opened import study_name
from kubetuna_operator.experiment.requests import requests_of
from kubetuna_operator.experiment.status_renderer import BEHIND
from kubetuna_operator.kube.objects import Owner, mapping
from kubetuna_operator.workloads.removal import FAILED_KEPT
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.objects import Change, key_of
from tests.apiserver.pod_rules import ENDED
from tests.apiserver.resources import EVENTS, EXPERIMENTS, LEASES, NAMESPACES, TRIALS
from tests.sim.attempt_oracles import AttemptOracles
from tests.sim.bounds import SECRETS, leak, overshoot, overtime
from tests.sim.database import Database
from tests.sim.kept_ends import misjudged
from tests.sim.nodes import Nodes, is_worker
from tests.sim.people import Fate
from tests.sim.request_oracles import RequestOracles
from tests.sim.scripts import loss
from tests.sim.stored import StoredStudies, Trial

STATUS_LIMIT = 100_000
OVER = ("Succeeded", "Failed")


@dataclass
class Known:
    """What was seen of one Experiment object."""

    name: str
    uid: str
    specs: list[Mapping[str, Any]] = field(default_factory=list)
    ended_at_generation: int | None = None
    done: int = 0
    # When its spec was last changed.
    edited: float = 0.0
    # Requests that were accepted, as its status tells of them.
    heeded: set[str] = field(default_factory=set)
    # By their IDs the answers that its status told of.
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: bool = False

    @property
    def study(self) -> str:
        """Its study's name."""
        return study_name(Owner(NAMESPACE, self.name, self.uid))

    def heed(self, request: str, verb: str) -> None:
        """What has ended goes on for one more trial; one that is run again counts no more."""
        self.heeded.add(request)
        self.done -= verb == "retry"
        if verb != "stop":
            self.ended_at_generation = None


class OutOfThreads(RuntimeError):
    """What nobody foresees, and befalls an operator all the same."""


class Oracles:
    """Watches a world; ``found`` is what was seen that must never be."""

    def __init__(self, cluster: Cluster, database: Database, nodes: Nodes, fate: Fate) -> None:
        self._cluster, self._database, self._nodes, self._fate = cluster, database, nodes, fate
        self.found: list[str] = []
        self.known: dict[str, Known] = {}
        self.stored = StoredStudies(database)
        self.requests = RequestOracles(cluster, self.stored, fate, self.known, self.report)
        self.attempts = AttemptOracles(cluster, self.stored, nodes, fate, self.known, self.report)
        # How many errors that nobody foresaw have befallen an operator, less those that it told of.
        self._untold = 0
        # By the UID of a study that of its Experiment.
        self._studies: dict[str, str] = {}
        # By the UID of a study the latest of its writers whose status was shown.
        self._shown_epochs: dict[str, int] = {}
        self._started: set[str] = set()
        cluster.server.objects.listen(self._changed)

    def report(self, what: str) -> None:
        """Note what must never be."""
        self.found.append(what)

    def unforeseen(self) -> OutOfThreads:
        """An error that befalls an operator now; it is to be logged, with what led to it."""
        self._untold += 1
        return OutOfThreads("can't start new thread")

    def logged(self, message: str, error: BaseException) -> None:
        """An operator logged an error that it did not expect."""
        if isinstance(error, OutOfThreads):
            self._untold -= 1
        else:
            self.report(f"the operator logged: {message}: {error!r}")

    def _changed(self, change: Change) -> None:
        shown = change.after if change.resource in (EVENTS, TRIALS, EXPERIMENTS) else None
        if shown is not None and (found := leak(json.dumps({**shown, "spec": None}))):
            self.report(f"{change.resource.kind} {change.key[1]} shows {found!r}")
        if change.resource == LEASES and change.after is None:
            self.requests.lease_deleted()
        if change.before is None and change.after is not None and change.resource not in (TRIALS, EVENTS):
            self.attempts.made(change.resource, change.after)
        if change.resource == EXPERIMENTS:
            self._experiment(change)

    # At every change.

    def _experiment(self, change: Change) -> None:
        metadata = change.last["metadata"]
        known = self.known.setdefault(metadata["uid"], Known(metadata["name"], metadata["uid"]))
        known.gone = change.after is None
        if change.after is None:
            if known.ended_at_generation is None and known.name not in self._fate.cut_short:
                self.report(f"{known.name} is gone before it ended, and nobody deleted it")
            return
        if not known.specs or known.specs[-1] != change.after["spec"]:
            known.specs.append(change.after["spec"])
            known.edited = self._cluster.clock.now()
        status = change.after.get("status") or {}
        if status and status != (change.before or {}).get("status"):
            self._status(known, status)

    def _status(self, known: Known, status: Mapping[str, Any]) -> None:
        size = len(json.dumps(status))
        if size > STATUS_LIMIT:
            self.report(f"the status of {known.name} has {size} bytes")
        told = mapping(status.get("study")).get("uid")
        if told is not None and self._studies.setdefault(told, known.uid) != known.uid:
            self.report(f"the status of {known.name} is of the study of another object of that name")
        if told is not None:
            epoch, shown = status["study"].get("epoch") or 0, self._shown_epochs.get(told, 0)
            if epoch < shown:
                self.report(f"the status of {known.name} was of its study's writer {shown} and is of {epoch}")
            self._shown_epochs[told] = max(epoch, shown)
        over, generation = status.get("state") in OVER, status.get("observedGeneration")
        for answer in status.get("requests") or ():
            if answer["accepted"] and answer["id"] not in known.heeded:
                known.heed(answer["id"], answer["request"].split()[0])
        if known.ended_at_generation == generation and not over:
            self.report(f"{known.name} had ended and its status says {status.get('state')} again")
        if over:
            known.ended_at_generation = generation
        known.answers |= {answer["id"]: answer for answer in status.get("requests") or ()}
        done = status.get("trials", 0) - status.get("trialsRunning", 0) - status.get("trialsPending", 0)
        if done < known.done:
            self.report(f"the status of {known.name} told of {known.done} ended trials and now of {done}")
        known.done = max(known.done, done)

    # At rest.

    def unsettled(self) -> str:
        """What has still to happen; nothing once every Experiment has ended and the world is clean."""
        for space in self._cluster.server.objects.of(NAMESPACES):
            if space["metadata"].get("deletionTimestamp"):
                return f"namespace {space['metadata']['name']} is being deleted"
        for obj in self._cluster.server.objects.of(EXPERIMENTS):
            status = obj.get("status") or {}
            if obj["metadata"].get("deletionTimestamp"):
                return f"{obj['metadata']['name']} is being deleted"
            if requests := requests_of(obj):
                return f"{obj['metadata']['name']} is asked for {requests}"
            if status.get("state") not in OVER or status.get("observedGeneration") != obj["metadata"]["generation"]:
                return f"{obj['metadata']['name']} is {status.get('state')}"
            if mapping(status.get("study")).get(BEHIND):
                return f"the Trials of {obj['metadata']['name']} are behind"
        # A copy is its owner's to look after.
        for run in self._nodes.live():
            if run.uid not in self._fate.copies:
                return f"{run.pod} runs"
        for pod in self._cluster.kubelet.pods():
            if pod["metadata"]["uid"] in self._fate.copies:
                continue
            told = LABEL_TOLD in (pod["metadata"].get("labels") or {}) or is_worker(pod)
            if pod["metadata"].get("deletionTimestamp") or pod["status"]["phase"] not in ENDED or not told:
                return f"Pod {pod['metadata']['name']} is there: {pod['status']['phase']}"
        return self._unsettled_trials()

    def _unsettled_trials(self) -> str:
        """Whether the Trial objects are those of the study."""
        shown = {key_of(o)[1]: o["status"].get("state") for o in self._cluster.server.objects.of(TRIALS)}
        living = [known for known in self.known.values() if not known.gone]
        stored = {f"{known.name}-{t.number}": t.state for known in living for t in self.stored.trials(known.study)}
        for name in self._fate.unshown - shown.keys():
            stored.pop(name, None)
        return "" if shown == stored else f"Trial objects: {shown}, stored: {stored}"

    def check_limits(self, since: float, allowed: float) -> None:
        """What ran beyond a hard limit after ``since``, by more than is ``allowed`` for each attempt."""
        for known in self.known.values():
            runs = [r for r in self._nodes.runs.values() if r.trial[0] == known.uid and r.ended is not None]
            runs = [r for r in runs if r.primary and r.uid not in self._fate.copies | self.attempts.late]
            asked = (known.specs[-1], runs, max(since, known.edited), allowed)
            for what in (*overtime(*asked), *overshoot(*asked)):
                self.report(f"{known.name}: {what}")

    def check_kept(self, name: str, kept: Mapping[str, int]) -> None:
        """What a process still keeps although all is over."""
        for what, count in kept.items():
            if count:
                self.report(f"all is over and {name} keeps {count} {what}")

    def check_outdated(self, name: str, outdated: list[str]) -> None:
        """What a process believes of Pods is so."""
        if outdated:
            self.report(f"all is over and {name} has Pods that are otherwise, or not there: {outdated}")

    def openings(self) -> dict[str, int]:
        """How often the study of each Experiment was opened, by its UID.

        Of none where Pods were copied, or where something was made too late: that has to go.
        """
        there = [known for known in self.known.values() if not known.gone and not self._fate.copies]
        there = [known for known in there if known.uid not in self.attempts.belated]
        rows = {known.uid: self.stored.attribute(known.study, EPOCH) for known in there}
        return {uid: json.loads(found)["number"] for uid, found in rows.items() if found is not None}

    def check_openings(self, before: Mapping[str, int]) -> None:
        """Whether any was opened since."""
        for uid, count in self.openings().items():
            if count != before.get(uid, count):
                self.report(f"{self.known[uid].name} had ended and was opened again")

    def check_rest(self, expected: Any) -> None:
        """The world has come to rest: every study is whole, every status equals it."""
        if self._untold:
            self.report(f"{self._untold} errors that nobody foresaw were not logged")
        for what in self._database.noted():
            self.report(what)
        for what in misjudged(self._database):
            self.report(what)
        for name in self._fate.hardships.strangers.robbed:
            self.report(f"{name} was someone else's and is gone")
        for known in self.known.values():
            trials = self.stored.trials(known.study)
            if stuck := [t.number for t in trials if t.state == "RUNNING"]:
                self.report(f"the trials {stuck} of {known.name} were never told")
            foreign = known.uid in self._fate.admin.foreign
            if not foreign and [t.number for t in trials] != list(range(len(trials))):
                self.report(f"trials of {known.name} are missing: {[t.number for t in trials]}")
            lost = self._lost_ends()
            for trial in trials:
                if (
                    trial.state == "COMPLETE"
                    and trial.value != loss(trial.params)
                    and (known.uid, trial.number) not in lost
                ):
                    self.report(f"trial {trial.number} of {known.name} reached {loss(trial.params)}: {trial}")
            most = max(spec["maxTrialCount"] for spec in known.specs)
            if len(trials) - len(self.uncounted(known)) > most:
                self.report(f"{known.name} made {len(trials)} trials, maxTrialCount was {most} at most")
            if not known.gone:
                self._check_failures(known)
                self._check_status(known, trials)
                self._check_requests(known, trials)
            if not known.gone and not foreign:
                self._check_result(known, trials, expected(known.name))

    def _check_failures(self, known: Known) -> None:
        """Some Pod of what crashed by itself is there to be looked at."""
        ours = [run for run in self._nodes.runs.values() if run.trial[0] == known.uid and run.bare and run.done]
        crashed = {run.uid for run in ours if run.script.code and run.uid not in self._fate.copies}
        left = crashed & {pod["metadata"]["uid"] for pod in self._cluster.kubelet.pods()}
        if not left and len(crashed & self._fate.taken) < min(FAILED_KEPT, len(crashed)):
            self.report(f"of {known.name} {len(crashed)} attempts crashed, and none of their Pods is left")

    def _check_status(self, known: Known, trials: list[Trial]) -> None:
        obj = self._cluster.server.objects.get(EXPERIMENTS, (NAMESPACE, known.name))
        assert obj is not None
        if obj["metadata"]["uid"] != known.uid:
            return
        best = min((t.value for t in trials if t.state == "COMPLETE" and t.value is not None), default=None)
        shown = next(iter((obj["status"].get("currentOptimalTrial") or {}).get("values") or ()), None)
        if (best is None) != (shown is None) or (best is not None and abs(float(shown) - best) > 1e-9):
            self.report(f"the best of {known.name} is {best}, its status says {shown}")
        counted = len(trials) - len(self.uncounted(known))
        if known.done != counted:
            self.report(f"{known.name} has {counted} ended trials, its status says {known.done}")

    def _lost_ends(self) -> set[tuple[str, int]]:
        """Trials of whose logs someone took the end away: their values are of what could be read."""
        return {run.trial[:2] for run in self._nodes.runs.values() if run.uid in self._fate.lost_ends}

    def uncounted(self, known: Known) -> set[int]:
        """The trials that were run again by hand, or wait for it: these count no more."""
        waiting = {point["retry_of"] for point in self.stored.listed(known.study, QUEUE)}
        return {*self.stored.retries(known.study).values(), *waiting} - {None}

    def _check_requests(self, known: Known, trials: list[Trial]) -> None:
        """What was asked of a trial has one answer, in words, and took effect once where it was accepted."""
        # What was never accepted has no study, and its status says it.
        answers = {**known.answers, **{answer["id"]: answer for answer in self.stored.listed(known.study, ANSWERS)}}
        waiting = [point["request"] for point in self.stored.listed(known.study, QUEUE)]
        retries, asked = self.stored.retries(known.study), [a for a in self._fate.asked if a.uid == known.uid]
        for one in asked:
            answer, (verb, *words) = answers.get(one.key), one.line.split()
            if answer is None or answer["request"] != one.line or not answer["message"]:
                self.report(f"{known.name} was asked to {one.line}, the answer is {answer}")
                continue
            same = [a.key for a in asked if a.line == one.line]
            if verb == "retry":
                made = [*retries.values()].count(int(words[0]))
            elif verb == "add":
                # What was added may be asked for again in its turn.
                own = (trial for trial in trials if trial.number not in retries)
                made = sum(trial.params.get("x") == float(words[0].removeprefix("x=")) for trial in own)
            else:
                continue
            made += sum(key in waiting for key in same)
            accepted = sum(answers[key]["accepted"] for key in same if key in answers)
            if made != accepted:
                self.report(f"{known.name} was asked to {one.line}: accepted {accepted} times, done {made} times")

    def _check_result(self, known: Known, trials: list[Trial], expected: Mapping[int, Trial]) -> None:
        """What nobody changed on purpose ends as it would have undisturbed."""
        if any(asked.uid == known.uid for asked in self._fate.asked):
            # Then trials have other numbers.
            return
        cut = known.name in self._fate.cut_short
        lost = self._lost_ends()
        if not cut and known.name not in self._fate.edited and len(trials) != len(expected):
            self.report(f"{known.name} made {len(trials)} trials, undisturbed {len(expected)}")
        for trial in trials:
            wanted = expected.get(trial.number)
            if (known.uid, trial.number) in lost and (wanted is None or trial.params == wanted.params):
                continue
            if wanted is None or trial == wanted or (cut and trial.state != "COMPLETE"):
                continue
            self.report(f"trial {trial.number} of {known.name} ended as {trial}, undisturbed as {wanted}")


class Errors(logging.Handler):
    """Whatever the operator logs with a traceback it did not expect, and secrets."""

    def __init__(self, oracles: Oracles) -> None:
        super().__init__(logging.INFO)
        self._oracles, self._thread = oracles, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Note it. A world has one thread: what others log is not of it."""
        if record.thread != self._thread:
            return
        if found := leak(record.getMessage(), SECRETS):
            self._oracles.report(f"the log shows {found!r}: {record.getMessage()}")
        error = record.exc_info[1] if record.exc_info and record.levelno >= logging.ERROR else None
        if error is not None:
            self._oracles.logged(record.getMessage(), error)
