"""What Katib's objects must show, and must not: held against the database and ours, not against what made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.objects import Change
from tests.apiserver.resources import EXPERIMENTS, KATIB_EXPERIMENTS, KATIB_TRIALS, TRIALS, Object
from tests.sim.katib import MISSPELT
from tests.sim.oracles import OVER, Known, Oracles
from tests.sim.people import Fate
from tests.sim.stored import Trial

LABEL = "katib.kubeflow.org/experiment"
# What an ended trial may be in Katib's words.
SUCCEEDED, OPEN = "Succeeded", ("Created", "Pending", "Running")
NOT_SUCCEEDED = ("Failed", "Killed", "EarlyStopped", "MetricsUnavailable")
ENDED_COUNTS = ("trialsSucceeded", "trialsFailed", "trialsKilled", "trialsEarlyStopped", "trialMetricsUnavailable")
# Fields that ours has in other words, and one that Katib has not: it does nothing.
TRANSLATED = {"objective", "algorithm", "trialTemplate", "parameters", "ttlSecondsAfterFinished"}
UNREADABLE = ("SpecInvalid", "SpecRefused")


@dataclass
class _Shown:
    """What one Experiment of Katib's showed last: of which of ours, in which generation, and how many had ended."""

    ours: tuple[str, int] = ("", 0)
    over: bool = False
    ended: int = 0


class KatibOracles:
    """Watches Katib's group; what must never be is reported to ``oracles``."""

    def __init__(self, cluster: Cluster, oracles: Oracles, fate: Fate) -> None:
        self._objects, self._oracles, self._fate = cluster.server.objects, oracles, fate
        self._shown: dict[str, _Shown] = {}
        # By the UID of a Trial how it ended.
        self._ends: dict[str, str] = {}
        cluster.server.objects.listen(self._changed)

    def _changed(self, change: Change) -> None:
        if change.after is None:
            return
        if change.resource == KATIB_EXPERIMENTS and change.after.get("status"):
            self._experiment(change.after)
        elif change.resource == KATIB_TRIALS:
            self._trial(change.after)

    # At every change.

    def _experiment(self, theirs: Object) -> None:
        name, status, ours = theirs["metadata"]["name"], theirs["status"], self._ours(theirs)
        shown = self._shown.setdefault(theirs["metadata"]["uid"], _Shown())
        last = _conditions(status)[-1]
        if last["reason"] == "NameTaken" and self._of_an_earlier_one(name):
            self._oracles.report(f"Katib's {name} says that its name is taken, by what an earlier one left")
        if ours is None:
            return
        over, seen = _true(status, *OVER), ours.get("status") or {}
        same = shown.ours == (ours["metadata"]["uid"], ours["metadata"]["generation"])
        settled = seen.get("state") in OVER and not self._was_asked(ours)
        if same and shown.over and settled and not over:
            self._oracles.report(f"Katib's {name} had ended and says {last['type']} again")
        ended = sum(status.get(count, 0) for count in ENDED_COUNTS)
        if shown.ours[0] == ours["metadata"]["uid"] and ended < shown.ended and not self._was_asked(ours):
            self._oracles.report(f"Katib's {name} told of {shown.ended} ended trials and now of {ended}")
        shown.ours = ours["metadata"]["uid"], ours["metadata"]["generation"]
        shown.over = over and settled and seen["observedGeneration"] == shown.ours[1]
        # What is shown may still be of one that was there before.
        shown.ended = min(ended, seen.get("trials", 0))

    def _was_asked(self, ours: Object) -> bool:
        """Whether someone asked for one more trial, or to run one again."""
        return any(asked.uid == ours["metadata"]["uid"] for asked in self._fate.asked)

    def _of_an_earlier_one(self, name: str) -> bool:
        ours = self._objects.get(EXPERIMENTS, (NAMESPACE, self._name_of_ours(name)))
        owners = ours["metadata"].get("ownerReferences") or [] if ours is not None else []
        return any(o["apiVersion"] == KATIB_EXPERIMENTS.api_version and o["name"] == name for o in owners)

    def _name_of_ours(self, theirs: str) -> str:
        return next((ours for ours, name in self._fate.katib.theirs.items() if name == theirs), theirs)

    def _trial(self, theirs: Object) -> None:
        """Told once, with the parameters and the value that are stored."""
        uid, name = theirs["metadata"]["uid"], theirs["metadata"]["name"]
        last = _conditions(theirs["status"])[-1]["type"]
        before = self._ends.get(uid)
        if before is not None and last != before:
            self._oracles.report(f"Katib's Trial {name} was {before} and is {last}")
        if last not in OPEN:
            self._ends[uid] = last
        for what in self._unlike(theirs):
            self._oracles.report(f"Katib's Trial {name} {what}")

    def _unlike(self, theirs: Object) -> Iterator[str]:
        """How a Trial of Katib's differs from what is stored, where its owner is there."""
        stored = self._stored_for(theirs)
        if stored is None:
            return
        given = {p["name"]: float(p["value"]) for p in theirs["spec"]["parameterAssignments"]}
        if given != stored.params:
            yield f"has the parameters {given}, stored are {stored.params}"
        found = _latest(theirs["status"])
        if _conditions(theirs["status"])[-1]["type"] == SUCCEEDED and found != stored.value:
            yield f"has the value {found}, stored is {stored}"

    def _stored_for(self, theirs: Object) -> Trial | None:
        owners = {owner["uid"] for owner in theirs["metadata"]["ownerReferences"]}
        ours = next((o for o in self._objects.of(TRIALS, NAMESPACE) if o["metadata"]["uid"] in owners), None)
        known = self._oracles.known.get(ours["metadata"]["ownerReferences"][0]["uid"]) if ours else None
        if ours is None or known is None:
            return None
        trials = {trial.number: trial for trial in self._oracles.stored.trials(known.study)}
        return trials.get(ours["status"]["number"])

    # At rest.

    def unsettled(self) -> str:
        """What has still to happen; nothing once Katib's objects show what is stored, and nothing else."""
        found = (self._unsettled(theirs) for theirs in self._objects.of(KATIB_EXPERIMENTS))
        return next(filter(None, found), "") or self._unsettled_trials()

    def _ours(self, theirs: Object) -> Object | None:
        uid = theirs["metadata"]["uid"]
        owned = (o for o in self._objects.of(EXPERIMENTS) if _is_owned(o, uid))
        return next(owned, None)

    def _unsettled(self, theirs: Object) -> str:
        name, ours, status = theirs["metadata"]["name"], self._ours(theirs), theirs.get("status") or {}
        if not status:
            return f"Katib's {name} says nothing"
        last = _conditions(status)[-1]
        if ours is None:
            expected = self._without_ours(theirs)
            said = last["type"] == "Failed" and last["status"] == "True" and last["reason"] in expected
            return "" if said else f"Katib's {name} has none of ours and says {last}, not one of {expected}"
        known = self._oracles.known[ours["metadata"]["uid"]]
        for what in (*self._edits(theirs, ours, last), *self._state(ours, status), *self._counts(known, status)):
            return f"Katib's {name} {what}"
        return ""

    def _without_ours(self, theirs: Object) -> tuple[str, ...]:
        """Why there may be none of ours."""
        taken = self._objects.get(EXPERIMENTS, (NAMESPACE, self._name_of_ours(theirs["metadata"]["name"])))
        if taken is not None:
            return ("NameTaken",)
        spec = theirs["spec"]
        return UNREADABLE if spec["algorithm"]["algorithmName"] == MISSPELT or _is_too_parallel(spec) else ()

    def _edits(self, theirs: Object, ours: Object, last: Mapping[str, Any]) -> Iterator[str]:
        """An edit arrives, or it is said that it does not, and why."""
        asked, has = theirs["spec"], ours["spec"]
        names = [spec["objective"].get("additionalMetricNames") for spec in (asked, has)]
        wrong = [("spec.objective", names[0] != names[1])]
        wrong += [("spec.algorithm", asked["algorithm"]["algorithmName"] == MISSPELT)]
        wrong += [("spec.parallelTrialCount", _is_too_parallel(asked))]
        refused = [path for path, so in wrong if so]
        if has["algorithm"]["algorithmName"] == MISSPELT:
            yield "has one of ours that cannot be carried out"
        if refused and not ("changes nothing" in last["message"] and any(p in last["message"] for p in refused)):
            yield f"has an edit of {refused} that is refused, and says {last}"
        if refused:
            return
        if "changes nothing" in str(_conditions(theirs["status"])):
            yield f"says of an edit that is there no more that it is refused: {last}"
        if asked["objective"].get("goal") != has["objective"].get("goal"):
            yield f"has the goal {asked['objective'].get('goal')}, ours {has['objective'].get('goal')}"
        for what in asked.keys() - TRANSLATED:
            if not _covers(has.get(what), asked[what]):
                yield f"wants {what} {asked[what]}, ours has {has.get(what)}"

    def _state(self, ours: Object, status: Mapping[str, Any]) -> Iterator[str]:
        holding = [c["type"] for c in _conditions(status) if c["status"] == "True"]
        state = ours["status"]["state"]
        if holding[-1:] != [state] or set(holding) & {"Running", *OVER} != {state}:
            yield f"says {holding}, ours is {state}"
        if bool(status.get("completionTime")) != bool(ours["status"].get("completionTime")):
            yield f"ended {status.get('completionTime')}, ours {ours['status'].get('completionTime')}"

    def _counts(self, known: Known, status: Mapping[str, Any]) -> Iterator[str]:
        trials, gone = self._oracles.stored.trials(known.study), self._oracles.uncounted(known)
        complete = [t for t in trials if t.state == "COMPLETE"]
        counted = [t for t in trials if t.number not in gone]
        said = {name: status.get(name, 0) for name in ("trials", *ENDED_COUNTS)}
        succeeded = sum(t.state == "COMPLETE" for t in counted)
        if (said["trials"], said["trialsSucceeded"]) != (len(counted), succeeded):
            yield f"counts {said}, stored are {counted}"
        if sum(said.values()) != 2 * len(counted):
            yield f"counts {said}, {len(counted)} have ended"
        names = {name for name in self._names(known) if name not in self._fate.unshown}
        listed = {where: status.get(where, []) for where in status if where.endswith("TrialList")}
        succeeded_names = {f"{known.name}-{t.number}" for t in complete} & names
        if set(listed.get("succeededTrialList", [])) - self._fate.unshown != succeeded_names:
            yield f"lists {listed}, succeeded have {succeeded_names}"
        if sorted({n for found in listed.values() for n in found} - self._fate.unshown) != sorted(names):
            yield f"lists {listed}, there are {names}"
        yield from self._best(known, complete, status)

    def _names(self, known: Known) -> list[str]:
        return [o["metadata"]["name"] for o in self._objects.of(TRIALS, NAMESPACE) if _is_owned(o, known.uid)]

    def _best(self, known: Known, complete: Sequence[Trial], status: Mapping[str, Any]) -> Iterator[str]:
        shown = status.get("currentOptimalTrial")
        if (shown is None) != (not complete):
            yield f"has the best trial {shown}, complete are {complete}"
        if shown is None:
            return
        named = {f"{known.name}-{t.number}": t for t in complete}.get(shown["bestTrialName"])
        given = {p["name"]: float(p["value"]) for p in shown["parameterAssignments"]}
        best = min(t.value for t in complete if t.value is not None)
        if named is None or (named.params, named.value) != (given, best) or _latest(shown) != best:
            yield f"has the best trial {shown}, stored is {named}"

    def _unsettled_trials(self) -> str:
        """Each of Katib's is of one of ours, each of ours has one of Katib's."""
        shown = {o["metadata"]["name"]: o for o in self._objects.of(KATIB_TRIALS, NAMESPACE)}
        wanted: dict[str, tuple[str, Object]] = {}
        for theirs in self._objects.of(KATIB_EXPERIMENTS):
            ours = self._ours(theirs)
            for trial in self._objects.of(TRIALS, NAMESPACE) if ours else ():
                if _is_owned(trial, ours["metadata"]["uid"] if ours else ""):
                    wanted[trial["metadata"]["name"]] = theirs["metadata"]["name"], trial
        missing = wanted.keys() - shown.keys() - self._fate.katib.unshown
        if missing or shown.keys() - wanted.keys():
            return f"Katib's Trials are {sorted(shown)}, ours {sorted(wanted)}"
        for name, found in shown.items():
            owner, trial = wanted[name]
            word = _conditions(found["status"])[-1]["type"]
            right = (SUCCEEDED,) if trial["status"]["state"] == "COMPLETE" else NOT_SUCCEEDED
            if found["metadata"]["labels"] != {LABEL: owner} or not _is_owned(found, trial["metadata"]["uid"]):
                return f"Katib's Trial {name} belongs to {found['metadata']}"
            if word not in right:
                return f"Katib's Trial {name} is {word}, ours {trial['status']['state']}"
            for what in self._unlike(found):
                return f"Katib's Trial {name} {what}"
        return ""


def _is_too_parallel(spec: Mapping[str, Any]) -> bool:
    return bool(spec["parallelTrialCount"] > spec["maxTrialCount"])


def _covers(has: object, asked: object) -> bool:
    """Whether all that is asked for is there; others may have asked for more."""
    if isinstance(has, Mapping) and isinstance(asked, Mapping):
        return all(_covers(has.get(name), value) for name, value in asked.items())
    return has == asked


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(status.get("conditions") or ()) or [{"type": "", "status": "", "reason": "", "message": ""}]


def _true(status: Mapping[str, Any], *types: str) -> bool:
    return any(c["type"] in types and c["status"] == "True" for c in status.get("conditions") or ())


def _latest(holder: Mapping[str, Any]) -> float | None:
    metrics = (holder.get("observation") or {}).get("metrics") or ()
    return next((float(m["latest"]) for m in metrics if m["name"] == "loss"), None)


def _is_owned(obj: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ())
