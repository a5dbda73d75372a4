"""What makes an attempt's Pods: our object of its name, or the Pod itself, as the API server has it now.

A name alone says nothing of whose an object is: nothing of a stranger's is adopted, held or deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kubetuna.experiment.kinds import kind_of
from kubetuna.experiment.kinds.template_kind import Conclusion, TemplateKind
from kubetuna.experiment.model import Experiment
from kubetuna.trials.attempts import AttemptKey, AttemptRequest, attempt_name
from kubetuna_operator import ANNOTATION_EXPERIMENT, ANNOTATION_PARAMS
from kubetuna_operator.context import ExperimentRef, OperatorContext
from kubetuna_operator.kube.api_client import Refused, Unreachable
from kubetuna_operator.kube.objects import Unreadable, mapping, mappings
from kubetuna_operator.pods.kueue import is_suspended
from kubetuna_operator.pods.status import PodView, view
from kubetuna_operator.workloads.collection import Collection
from kubetuna_operator.workloads.manifest import attempt_labels, primary_labels
from kubetuna_operator.workloads.members import Members, grouped
from kubetuna_operator.workloads.ownership import find_pods, is_own, uid_of

# In one look: the engine waits for it.
TRY_SECONDS = 5.0


class Makers:
    """Those of one Experiment. Each look raises ``Refused`` or ``Unreachable`` where nobody can say."""

    def __init__(self, context: OperatorContext, spec: Experiment, ref: ExperimentRef) -> None:
        self._api, self._spec, self._owner = context.api, spec, ref.owner
        self._kind, self._learn = kind_of(spec.template.trial_spec), context.pods.learn
        self.collection = Collection(context.api, self._kind, ref.owner.namespace)
        # The parameters of the trials that this process launched: a trial's never change.
        self._hashes: dict[int, str] = {}

    def expect(self, request: AttemptRequest) -> bool:
        """Note the parameters of an attempt's trial; whether they are news."""
        before = self._hashes.get(request.key.trial)
        self._hashes[request.key.trial] = request.params_hash
        return before != request.params_hash

    def is_own(self, pod: PodView) -> bool:
        """Whether a Pod is one that we, or the object that we made, have created for its attempt."""
        return is_own(pod, self._owner, self._kind, self._hashes.get(pod.key.trial))

    def object_of(self, key: AttemptKey) -> Mapping[str, Any] | None:
        """The object of an attempt, if it is there and ours."""
        found = self.find(attempt_name(self._owner.name, key))
        return found if found is not None and self._is_ours(found) else None

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The object of a name, whoever it belongs to."""
        return self._api.within(TRY_SECONDS).find(f"{self.collection.path()}/{name}")

    def was_made_for(self, found: Mapping[str, Any], request: AttemptRequest) -> bool:
        """Whether it was made for this request, by this Experiment rather than an earlier one of its name."""
        metadata = mapping(found.get("metadata"))
        same = mapping(metadata.get("annotations")).get(ANNOTATION_PARAMS) == request.params_hash
        return self._is_ours(found) and same and not metadata.get("deletionTimestamp")

    def is_going(self, found: Mapping[str, Any]) -> bool:
        """Whether it is ours, and is being deleted."""
        return self._is_ours(found) and bool(mapping(found.get("metadata")).get("deletionTimestamp"))

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        """A Pod has to be ours in every way: it may be a copy. Of another object our UID is enough."""
        if not self._kind.makes_pod:
            with suppress(Unreadable):
                return self.is_own(view(found))
            return False
        owners = mappings(mapping(found.get("metadata")).get("ownerReferences"))
        return any(owner.get("uid") == self._owner.uid for owner in owners)

    def conclusion(self, obj: Mapping[str, Any]) -> Conclusion | None:
        """What an object says of its own end."""
        template = self._spec.template
        own = (
            (template.success_condition or "", template.failure_condition or "") if self._kind.judged else ("", "")
        )
        return self._kind.conclusion(obj, *own)

    def is_suspended(self, key: AttemptKey) -> bool:
        """Whether the object of an attempt is there and its queue holds it."""
        found = self.object_of(key) if self._kind.makes_pod else None
        return found is not None and is_suspended(found)

    def may_be_made(self, key: AttemptKey) -> bool:
        """Whether something of ours is there that makes a Pod for this attempt, or nobody can say."""
        try:
            return self._kind.makes_pod and self._remains(key) is not None
        except (Refused, Unreachable):
            return True

    def members(self, key: AttemptKey) -> Members:
        """An attempt's Pods by a fresh look, taken in: the watch may be behind, and a deletion may rest on it."""
        found = find_pods(self._api, self._owner, self._kind, key, self._hashes.get(key.trial))
        for pod in found:
            self._learn(pod)
        return grouped(map(view, found), primary_labels(self._spec), {}).get(key, Members(None))

    def hold(self, key: AttemptKey) -> None:
        """Let what made an attempt that was told make nothing more, where the kind would do so by itself."""
        found = self.object_of(key) if self._kind.held else None
        if found is not None and self.conclusion(found) is None:
            change = {"metadata": {"uid": uid_of(found)}, "spec": self._kind.held}
            path = f"{self.collection.path()}/{attempt_name(self._owner.name, key)}"
            self._api.merge(path, change, low_priority=True)

    def left(self, key: AttemptKey) -> tuple[PodView, ...] | None:
        """Delete what makes an attempt's Pods; those that are left once it is gone, None until then."""
        if self.remove_made(key) and self._remains(key) is not None:
            return None
        return self.members(key).pods

    def _remains(self, key: AttemptKey) -> tuple[str, TemplateKind, Mapping[str, Any]] | None:
        """Our object of an attempt, else what that has left; with the path of its collection and its kind."""
        if (found := self.object_of(key)) is not None:
            return self.collection.path(), self._kind, found
        kind = self._kind.leaves
        if kind is None or (left := self._left_by(key, kind)) is None:
            return None
        return kind.collection(self._owner.namespace), kind, left

    def _left_by(self, key: AttemptKey, kind: TemplateKind) -> Mapping[str, Any] | None:
        """What the object of an attempt made under its own name and left: it makes Pods until it is collected."""
        name = attempt_name(self._owner.name, key)
        try:
            found = self._api.within(TRY_SECONDS).find(f"{kind.collection(self._owner.namespace)}/{name}")
        except Refused as error:
            if error.code != 403:
                raise
            # The operator may not see these: then nobody can wait for them.
            return None
        return found if found is not None and self._bears_our_pods(kind, found, key) else None

    def _bears_our_pods(self, kind: TemplateKind, found: Mapping[str, Any], key: AttemptKey) -> bool:
        """What it was made by is gone, and a name is no proof: but we have written into its Pods' templates."""
        maker = self._kind.name, attempt_name(self._owner.name, key)
        owners = mappings(mapping(found.get("metadata")).get("ownerReferences"))
        if maker not in [(owner.get("kind"), owner.get("name")) for owner in owners]:
            return False
        wanted = attempt_labels(self._owner, key).items()
        written = (mapping(mapping(one.template).get("metadata")) for one in kind.pod_sets(found))
        return any(
            mapping(metadata.get("annotations")).get(ANNOTATION_EXPERIMENT) == self._owner.uid
            and wanted <= mapping(metadata.get("labels")).items()
            for metadata in written
        )

    def remove_made(self, key: AttemptKey, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Delete what is there of an attempt's name, if it is ours, and if that is still wanted once it is found.

        Whether there was anything.
        """
        found = self._remains(key)
        if found is not None and is_wanted():
            path, kind, obj = found
            self._delete(kind, path, attempt_name(self._owner.name, key), uid_of(obj))
        return found is not None

    def remove(self, name: str, uid: str) -> bool:
        """Delete what we created, and with it its Pods; False where it was gone before."""
        return self._delete(self._kind, self.collection.path(), name, uid)

    def _delete(self, kind: TemplateKind, path: str, name: str, uid: str) -> bool:
        """What makes something that makes its Pods stays until all of it has gone: the rest would make some yet."""
        policy = "Foreground" if kind.goes_last else "Background"
        return self._api.delete(f"{path}/{name}", uid=uid, low_priority=True, propagationPolicy=policy)
