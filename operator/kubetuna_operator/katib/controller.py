"""Katib's Experiments, carried out: each has an Experiment of ours of the same name, which it owns.

Ours is made from Katib's spec whenever that changes, and whatever ours shows is shown in Katib's as well, its
Trials too. Everything else (pruning, budgets, deletion, faults) is that of ours. Nothing is kept: a turn compares
what is wanted with what was seen, so another process goes on from there. Whoever refuses an edit (the parser, the
API server, or the operator at ours), ours goes on and is shown, with what was refused.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetuna.errors import Problem, SpecError
from kubetuna.experiment.field_errors import forbidden
from kubetuna.experiment.kinds import kind_of
from kubetuna.parsing.katib_config_map import CONFIG_MAP, TemplateSource, with_template
from kubetuna.parsing.katib_migration import Migration, migrate, name_here
from kubetuna.parsing.shape import KATIB
from kubetuna.trials.environment import params_hash
from kubetuna_operator import ANNOTATION_WANTED
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.watches import NamespaceWatches
from kubetuna_operator.katib.views import ShownTrial, by_workloads, experiment_status, refusal, trial
from kubetuna_operator.katib.watches import EXPERIMENTS, KatibWatches, owners_of
from kubetuna_operator.kube.api_client import Refused, collection
from kubetuna_operator.kube.objects import Owner, mapping, mappings, revision_of
from kubetuna_operator.kube.reflector import Key
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.kube.work_queue import WorkQueue, wait_after

log = logging.getLogger(__name__)

MANAGER = "kubetuna-katib"
# What Katib's webhook writes into an Experiment that does not say how many.
PARALLEL = 3
TRIALS = f"{KATIB}/trials"
# Until a name that is taken, or what the API server refused, is looked at again; then twice as long each time.
LATER, LONGEST = 10.0, 300.0
# Of a ConfigMap with the template: others' may hold what this namespace may not see.
FOREIGN = "a template is read in the Experiment's own namespace only; copy the ConfigMap into {}"
ABSENT = "apply the ConfigMap; it is looked for again"
# Until what was changed by others meanwhile, or is going, is looked at again.
SOON = 1.0
# Of all that is wrong with a spec, in a condition.
MESSAGE_LIMIT = 4_000

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Written:
    """A Trial of Katib's: what it shows, and at which revision."""

    shown: ShownTrial
    revision: str


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a spec is not taken: one word, and the words of who refuses it."""

    reason: str
    text: str

    @property
    def message(self) -> str:
        """For a condition."""
        return self.text[:MESSAGE_LIMIT]


@dataclass(slots=True)
class _Done:
    """What was done for an Experiment that is there: its Trials as they were written, what was said of an edit."""

    written: dict[str, _Written] = field(default_factory=dict)
    said: str = ""
    # How often in a row it could not be carried out, for what may pass without an edit; what was refused last, why,
    # and until when: what changes meanwhile is not asked about again.
    tries: int = 0
    refused: tuple[str, _Refusal, float] | None = None
    # Read once, since a template is not edited: by where it stands.
    templates: dict[TemplateSource, Object] = field(default_factory=dict)
    # The spec that was translated last, and into what: a turn comes with every change of a Trial.
    translated: tuple[object, dict[str, Any]] | None = None


class KatibController:
    """Carries out Katib's Experiments in the namespaces that ``ours`` watches."""

    def __init__(self, context: OperatorContext, ours: Mapping[str | None, NamespaceWatches]) -> None:
        self._context, self._api = context, context.api
        self._queue: WorkQueue[Key] = WorkQueue("katib", context.monotonic)
        self.watches = {n: KatibWatches(context, n, watches, self._queue.add) for n, watches in ours.items()}
        # By UID, so that one made anew under the same name starts afresh.
        self._done: dict[Key, tuple[str, _Done]] = {}

    def run(self, stopped: threading.Event) -> None:
        """Give turns in a thread of its own until ``stopped``."""
        self.watch()
        self._queue.work(self._turn, 1)
        supervised("katib-end", self._end, stopped).start()

    def watch(self) -> None:
        """Begin to watch."""
        for watches in self.watches.values():
            for watch in watches.both:
                watch.start()

    def last_event_at(self) -> float:
        """When the quietest watch last heard anything, monotonic seconds."""
        return min(watch.last_event_at for watches in self.watches.values() for watch in watches.both)

    def refusals(self) -> tuple[str, ...]:
        """Which watches are refused, and why."""
        return tuple(why for watches in self.watches.values() for why in watches.refusals)

    def hanging(self) -> float:
        """For how many seconds the oldest turn has been under way."""
        return self._queue.longest_work()

    def _end(self, stopped: threading.Event) -> None:
        stopped.wait()
        self._queue.close()

    def step(self) -> bool:
        """Give the next turn that is due; False where there is none."""
        return self._queue.step(self._turn)

    def _turn(self, key: Key) -> None:
        """One Experiment of Katib's. Raises to be called again later."""
        watches = self.watches.get(key[0]) or self.watches[None]
        theirs = watches.theirs(key)
        if theirs is None or theirs["metadata"].get("deletionTimestamp"):
            self._done.pop(key, None)
        else:
            self._carry_out(key, theirs, watches)

    def _carry_out(self, key: Key, theirs: Object, watches: KatibWatches) -> None:
        owner = Owner(*key, theirs["metadata"]["uid"], KATIB)
        name = name_here(key[1])
        ours = watches.ours((key[0], name))
        if ours is not None and owner not in owners_of(ours):
            self._taken(key, theirs, name, ours)
            return
        refused = self._make(theirs, ours, owner)
        done = self._done_for(owner)
        if refused is not None and refused.text != done.said:
            log.warning("%s", refused.text, extra={"experiment": "/".join(key)})
            self._context.events.emit(owner, refused.reason, refused.message, warning=True)
        done.said = refused.text if refused is not None else ""
        done.tries = done.tries if refused is not None else 0
        if ours is not None:
            self._mirror(theirs, ours, owner, watches.trials_of(ours), refused)
        elif refused is not None:
            self._fail(theirs, refused)

    def _done_for(self, owner: Owner) -> _Done:
        key = (owner.namespace, owner.name)
        uid, done = self._done.get(key, ("", _Done()))
        if uid != owner.uid:
            done = _Done()
            self._done[key] = owner.uid, done
        return done

    def _ask_again(self, owner: Owner) -> float:
        done = self._done_for(owner)
        done.tries += 1
        wait = wait_after(done.tries, LATER, LONGEST)
        self._queue.add((owner.namespace, owner.name), wait)
        return self._context.monotonic() + wait

    def _refused_lately(self, owner: Owner, wanted: str) -> _Refusal | None:
        """Why the same was refused, where it is not yet asked for again."""
        of, refusal, until = self._done_for(owner).refused or ("", None, 0.0)
        left = until - self._context.monotonic()
        if of != wanted or left <= 0:
            return None
        # This turn may have come in the place of the one that was to ask.
        self._queue.add((owner.namespace, owner.name), left)
        return refusal

    def _make(self, theirs: Object, ours: Object | None, owner: Owner) -> _Refusal | None:
        """Ours as the spec wants it, or why that cannot be; the API server leaves alone what is so already."""
        try:
            body = self._translated(theirs, owner)
        except SpecError as error:
            return _Refusal("SpecInvalid", str(error))
        # Katib knows no such field: ours would go, and be made anew for what stays.
        body["spec"].pop("ttlSecondsAfterFinished", None)
        # Of a field that is wanted no more, ours alone tells nothing.
        wanted, done = params_hash(body["spec"]), self._done_for(owner)
        made_from = {"annotations": {ANNOTATION_WANTED: wanted}}
        body["metadata"] |= {"namespace": owner.namespace, "ownerReferences": [owner.reference()], **made_from}
        if ours is not None and _within({"metadata": made_from, "spec": body["spec"]}, ours):
            return None
        if ours is not None:
            if (lately := self._refused_lately(owner, wanted)) is not None:
                return lately
            # Late, it would take what is by then another Experiment's.
            body["metadata"]["resourceVersion"] = ours["metadata"]["resourceVersion"]
        elif not self._api.has(f"{collection(EXPERIMENTS, owner.namespace)}/{owner.name}", owner.uid):
            # A watch may be behind: ours would go with its owner, and be made again at once.
            return None
        path = f"{collection('experiments', owner.namespace)}/{body['metadata']['name']}"
        try:
            self._api.apply(path, body, MANAGER)
        except Refused as error:
            if error.code == 409:
                raise
            refusal = _Refusal("SpecRefused", str(error))
            done.refused = wanted, refusal, self._ask_again(owner)
            return refusal
        return None

    def _translated(self, theirs: Object, owner: Owner) -> dict[str, Any]:
        """In our words; the caller's own down to the fields of its metadata and spec."""
        done, source = self._done_for(owner), self._with_template(theirs, owner)
        spec = source.get("spec")
        if done.translated is None or done.translated[0] != spec:
            done.translated = spec, _migrated(source).document
        _, made = done.translated
        return {**made, "metadata": {**made["metadata"]}, "spec": {**made["spec"]}}

    def _with_template(self, theirs: Object, owner: Owner) -> Object:
        """With what its ConfigMap holds, which may be made, or be readable, later."""
        known = self._done_for(owner).templates
        found: Object = with_template(
            theirs, lambda source: known.get(source) or self._config_map(source, owner), ABSENT
        )
        return found

    def _config_map(self, source: TemplateSource, owner: Owner) -> Object | None:
        if source.namespace != owner.namespace:
            raise SpecError(
                (Problem(f"{CONFIG_MAP}.configMapNamespace", forbidden(FOREIGN.format(owner.namespace))),)
            )
        try:
            found = self._api.get(f"{collection('configmaps', source.namespace)}/{source.name}")
        except Refused as error:
            self._ask_again(owner)
            if error.code == 404:
                return None
            raise SpecError((Problem(f"{CONFIG_MAP}.configMapName", str(error)),)) from error
        self._done_for(owner).templates[source] = found
        return found

    def _mirror(
        self,
        theirs: Object,
        ours: Object,
        owner: Owner,
        trials: list[ShownTrial],
        refused: _Refusal | None,
    ) -> None:
        written = self._done_for(owner).written
        objective = mapping(theirs["spec"]).get("objective")
        if _by_workloads(ours):
            trials = by_workloads(trials)
        for name in written.keys() - {seen.shown for seen in trials}:
            del written[name]
        for seen in trials:
            known = written.get(seen.shown)
            if known is None or known.shown != seen:
                self._show_trial(seen, trial(seen, owner, objective), owner, written)
        why = f"the edit of the spec is refused and changes nothing: {refused.message}" if refused else ""
        self._show(theirs, experiment_status(ours["status"], trials, why))

    def _show_trial(
        self, seen: ShownTrial, body: dict[str, Any], owner: Owner, written: dict[str, _Written]
    ) -> None:
        """Write a Trial over what is known of it, so that a late write, of a frozen operator, changes nothing.

        One that is refused keeps no other from being shown.
        """
        known = written.pop(seen.shown, None)
        try:
            made = self._write_trial(seen, body, known)
            self._forget_former(seen, owner)
            written[seen.shown] = _Written(seen, revision_of(made))
        except Refused as error:
            log.warning("Katib's Trial %s cannot be written now: %s", seen.shown, error)
            self._queue.add((owner.namespace, owner.name), SOON if error.code in (404, 409) else LATER)

    def _forget_former(self, seen: ShownTrial, owner: Owner) -> None:
        """Of a Trial that is named after the workload that runs it, those of the attempts before."""
        for former in seen.attempts[:-1] if seen.shown in seen.attempts else ():
            self._api.delete(f"{collection(TRIALS, owner.namespace)}/{former}", low_priority=True)

    def _write_trial(self, seen: ShownTrial, body: dict[str, Any], known: _Written | None) -> Object:
        where = collection(TRIALS, body["metadata"]["namespace"])
        path = f"{where}/{seen.shown}"
        revision = known.revision if known is not None and known.shown.uid == seen.uid else self._find(path, seen)
        if revision is None:
            return self._api.create(where, body, low_priority=True)
        body["metadata"]["resourceVersion"] = revision
        return self._api.merge(path, body, low_priority=True)

    def _find(self, path: str, seen: ShownTrial) -> str | None:
        """The revision of a Trial that an earlier process wrote; None where there is none."""
        found = self._api.find(path)
        if found is None:
            return None
        owners = mappings(mapping(found.get("metadata")).get("ownerReferences"))
        if seen.uid not in {owner.get("uid") for owner in owners}:
            raise Refused(409, "Conflict", "the one of an earlier Trial of this name is still there")
        return revision_of(found)

    def _show(self, theirs: Object, status: dict[str, Any]) -> None:
        metadata = theirs["metadata"]
        if _without_time(status) == _without_time(theirs["status"]):
            return
        body = {
            "apiVersion": KATIB,
            "kind": "Experiment",
            "metadata": {name: metadata[name] for name in ("name", "namespace", "resourceVersion")},
            "status": status,
        }
        path = f"{collection(EXPERIMENTS, metadata['namespace'])}/{metadata['name']}/status"
        self._api.apply(path, body, MANAGER, low_priority=True)

    def _taken(self, key: Key, theirs: Object, name: str, ours: Object) -> None:
        """One that another made is not touched; one of an earlier Experiment of this name is going."""
        earlier = any(owner.name == key[1] for owner in owners_of(ours))
        if not (earlier or ours["metadata"].get("deletionTimestamp")):
            text = f"an Experiment of kubetuna.dev named {name} is there already; delete it, or choose another name"
            self._fail(theirs, _Refusal("NameTaken", text))
        self._queue.add(key, LATER)

    def _fail(self, theirs: Object, why: _Refusal) -> None:
        self._show(theirs, refusal(theirs["status"], why.reason, why.message, self._context.clock.now()))


def _migrated(theirs: Object) -> Migration:
    """In our words, with what Katib's webhook would have written."""
    fields = {name: theirs.get(name) for name in ("apiVersion", "kind")}
    spec = theirs.get("spec")
    if isinstance(spec, Mapping):
        spec = {"parallelTrialCount": PARALLEL, **spec}
    return migrate({**fields, "metadata": {"name": theirs["metadata"]["name"]}, "spec": spec})


def _by_workloads(ours: Object) -> bool:
    """Whether who reads the Trials looks for what runs them by their names."""
    template = mapping(mapping(ours["spec"]).get("trialTemplate"))
    return bool(kind_of(mapping(template.get("trialSpec"))).node)


def _within(wanted: object, found: object) -> bool:
    """Whether all that is wanted is there; what the API server added is its own."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(name in found and _within(value, found[name]) for name, value in wanted.items())
    return wanted == found


def _without_time(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != "lastReconcileTime"}
