"""Katib's Experiments, carried out: each has an Experiment of ours of the same name, which it owns.

Ours is made from Katib's spec whenever that changes, and whatever ours shows is shown in Katib's as well, its
Trials too. Everything else (pruning, budgets, deletion, faults) is that of ours. Nothing is kept: a turn compares
what is wanted with what was seen, so another process goes on from there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from kubetuna.errors import SpecError
from kubetuna.parsing.katib_migration import Migration, migrate
from kubetuna.parsing.parse import KATIB
from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.katib.views import ShownTrial, experiment_status, refusal, see, trial
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.objects import Owner, experiment, mapping, mappings, text
from kubetuna_operator.kube.reflector import Key, Reflector
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.kube.work_queue import WorkQueue

log = logging.getLogger(__name__)

MANAGER = "kubetuna-katib"
# What Katib's webhook writes into an Experiment that does not say how many.
PARALLEL = 3
EXPERIMENTS, TRIALS = f"{KATIB}/experiments", f"{KATIB}/trials"
# Until a name that is taken, or what the API server refused, is looked at again.
LATER = 10.0

Object = Mapping[str, Any]


class KatibController:
    """Watches namespaces (none: all) for Katib's Experiments, for ours, and for our Trials."""

    def __init__(self, context: OperatorContext, namespaces: tuple[str, ...]) -> None:
        self._context, self._api = context, context.api
        self._queue: WorkQueue[Key] = WorkQueue("katib", context.monotonic)
        self._watches = [_Watches(context, namespace, self._queue) for namespace in namespaces or (None,)]
        # What was written of each Trial of an Experiment that is there, so that it is written once.
        self._written: dict[Key, dict[str, tuple[str, ShownTrial]]] = {}

    def run(self, stopped: threading.Event) -> None:
        """Give turns in a thread of its own until ``stopped``."""
        for watches in self._watches:
            for watch in watches.all:
                watch.start()
        self._queue.work(self._turn, 1)
        supervised("katib-end", self._end, stopped).start()

    def _end(self, stopped: threading.Event) -> None:
        stopped.wait()
        self._queue.close()

    def step(self) -> bool:
        """Give the next turn that is due; False where there is none."""
        return self._queue.step(self._turn)

    def _turn(self, key: Key) -> None:
        """One Experiment of Katib's. Raises to be called again later."""
        known = (w for w in self._watches if all(watch.synced.is_set() for watch in w.all))
        watches, found = next(((w, obj) for w in known if (obj := w.theirs.get(key))), (None, None))
        if watches is None or found is None or found["metadata"].get("deletionTimestamp"):
            self._written.pop(key, None)
        else:
            self._carry_out(key, found, watches)

    def _carry_out(self, key: Key, theirs: Object, watches: _Watches) -> None:
        owner = Owner(*key, theirs["metadata"]["uid"], KATIB)
        try:
            made = _migrated(theirs)
        except SpecError as error:
            self._show(theirs, refusal(theirs["status"], "SpecInvalid", str(error), self._context.clock.now()))
            return
        ours = watches.ours.get((key[0], made.name))
        if ours is not None and owner not in owners_of(ours):
            self._taken(key, theirs, made.name, ours)
            return
        try:
            self._make(ours, made, owner)
        except Refused as error:
            self._refused(key, theirs, ours, error)
            return
        if ours is not None:
            self._mirror(theirs, ours, owner, watches)

    def _make(self, ours: Object | None, made: Migration, owner: Owner) -> None:
        """Ours as the spec wants it; the API server leaves alone what is so already."""
        body = made.document
        body["metadata"] |= {"namespace": owner.namespace, "ownerReferences": [owner.reference()]}
        if ours is None or not _within(body["spec"], ours["spec"]):
            self._api.apply(f"{collection('experiments', owner.namespace)}/{made.name}", body, MANAGER)

    def _mirror(self, theirs: Object, ours: Object, owner: Owner, watches: _Watches) -> None:
        trials = sorted(watches.trials_of(ours), key=lambda t: t.number)
        written = self._written.setdefault((owner.namespace, owner.name), {})
        for seen in trials:
            if written.get(seen.name) != (owner.uid, seen):
                path = f"{collection(TRIALS, owner.namespace)}/{seen.name}"
                objective = mapping(theirs["spec"]).get("objective")
                self._api.apply(path, trial(seen, owner, objective), MANAGER, low_priority=True)
                written[seen.name] = (owner.uid, seen)
        self._show(theirs, experiment_status(ours["status"], trials))

    def _show(self, theirs: Object, status: dict[str, Any]) -> None:
        metadata = theirs["metadata"]
        if _without_time(status) == _without_time(theirs["status"]):
            return
        body = {
            "apiVersion": KATIB,
            "kind": "Experiment",
            "metadata": {name: metadata[name] for name in ("name", "namespace", "uid")},
            "status": status,
        }
        path = f"{collection(EXPERIMENTS, metadata['namespace'])}/{metadata['name']}/status"
        self._api.apply(path, body, MANAGER, low_priority=True)

    def _taken(self, key: Key, theirs: Object, name: str, ours: Object) -> None:
        """One that another made is not touched; one of an earlier Experiment of this name is going."""
        if not ours["metadata"].get("deletionTimestamp"):
            text = f"an Experiment of kubetuna.dev named {name} is there already; delete it, or choose another name"
            self._show(theirs, refusal(theirs["status"], "NameTaken", text, self._context.clock.now()))
        self._queue.add(key, LATER)

    def _refused(self, key: Key, theirs: Object, ours: Object | None, error: Refused) -> None:
        """An edit that cannot be is said and changes nothing; so is what the API server refuses to make."""
        if error.code == 409:
            raise error
        log.warning("%s", error, extra={"experiment": "/".join(key)})
        owner = Owner(*key, theirs["metadata"]["uid"], KATIB)
        self._context.events.emit(owner, "SpecRefused", error.message, warning=True)
        if ours is None:
            self._show(theirs, refusal(theirs["status"], "SpecRefused", str(error), self._context.clock.now()))
        self._queue.add(key, LATER)


class _Watches:
    """The three kinds in one namespace; each change asks for a turn of Katib's Experiment."""

    def __init__(self, context: OperatorContext, namespace: str | None, queue: WorkQueue[Key]) -> None:
        def look(key: Key, *_: object) -> None:
            queue.add(key)

        def look_at_owner(_key: Key, before: Object | None, after: Object | None) -> None:
            for one in filter(None, (before, after)):
                for owner in owners_of(one):
                    queue.add((one["metadata"]["namespace"], owner.name))

        def look_at_experiment(key: Key, before: ShownTrial | None, after: ShownTrial | None) -> None:
            seen = after or before
            ours = self.ours.get((key[0], seen.experiment)) if seen is not None else None
            if ours is not None:
                look_at_owner(key, None, ours)

        def turned() -> None:
            for key in self.theirs.items():
                queue.add(key)

        api, more = context.api, (turned, context.monotonic, context.chance)
        self.theirs: Reflector[Object] = Reflector(api, EXPERIMENTS, namespace, experiment, look, None, *more)
        self.ours: Reflector[Object] = Reflector(
            api, "experiments", namespace, experiment, look_at_owner, None, *more
        )
        self.trials: Reflector[ShownTrial] = Reflector(
            api, "trials", namespace, lambda obj: see(obj, LABEL_EXPERIMENT), look_at_experiment, None, *more
        )

    @property
    def all(self) -> tuple[Reflector[Any], ...]:
        return self.theirs, self.ours, self.trials

    def trials_of(self, ours: Object) -> list[ShownTrial]:
        """Those of this very Experiment."""
        return [t for t in self.trials.items().values() if t.owner == ours["metadata"]["uid"]]


def _migrated(theirs: Object) -> Migration:
    """In our words, with what Katib's webhook would have written."""
    fields = {name: theirs.get(name) for name in ("apiVersion", "kind")}
    spec = theirs.get("spec")
    if isinstance(spec, Mapping):
        spec = {"parallelTrialCount": PARALLEL, **spec}
    return migrate({**fields, "metadata": {"name": theirs["metadata"]["name"]}, "spec": spec})


def owners_of(obj: Object) -> list[Owner]:
    """The Experiments of Katib's that an object belongs to."""
    metadata = obj["metadata"]
    found = [o for o in mappings(metadata.get("ownerReferences")) if o.get("apiVersion") == KATIB]
    return [Owner(metadata["namespace"], text(o.get("name")), text(o.get("uid")), KATIB) for o in found]


def _within(wanted: object, found: object) -> bool:
    """Whether all that is wanted is there; what the API server added is its own."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(name in found and _within(value, found[name]) for name, value in wanted.items())
    return wanted == found


def _without_time(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != "lastReconcileTime"}
