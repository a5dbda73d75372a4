"""What is seen of Katib's Experiments in one namespace, and of ours and their Trials: each change asks for a turn.

Ours are seen by the watch that carries them out. Until all is known nothing is: what was not seen is not taken for
gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from kubetuna.parsing.shape import KATIB
from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.context import OperatorContext
from kubetuna_operator.experiment.watches import NamespaceWatches
from kubetuna_operator.katib.views import ShownTrial, see
from kubetuna_operator.kube.objects import Owner, experiment, mappings, text
from kubetuna_operator.kube.reflector import Key, Reflector

EXPERIMENTS = f"{KATIB}/experiments"

Object = Mapping[str, Any]


class KatibWatches:
    """Katib's Experiments and our Trials of a namespace (None: of all), beside ``ours``.

    ``look`` is told of each Experiment of Katib's to look at.
    """

    def __init__(
        self,
        context: OperatorContext,
        namespace: str | None,
        ours: NamespaceWatches,
        look: Callable[[Key], None],
    ) -> None:
        self._ours, self._look, self._index = ours, look, TrialIndex()
        shared = (None, self._turned, context.monotonic, context.chance)
        self._theirs: Reflector[Object] = Reflector(
            context.api, EXPERIMENTS, namespace, experiment, lambda key, *_: look(key), *shared
        )
        self._trials: Reflector[ShownTrial] = Reflector(
            context.api, "trials", namespace, lambda obj: see(obj, LABEL_EXPERIMENT), self._changed, *shared
        )
        ours.follow(self._look_at_owners, self._turned)

    @property
    def both(self) -> tuple[Reflector[Any], Reflector[Any]]:
        """The two that are beside ours."""
        return self._theirs, self._trials

    @property
    def refusals(self) -> tuple[str, ...]:
        """What of it cannot be read, and why."""
        return tuple(watch.refusal for watch in self.both if watch.refusal)

    def theirs(self, key: Key) -> Object | None:
        """An Experiment of Katib's as it is now; none where that, or what belongs to it, cannot be known."""
        known = self._ours.readable and all(watch.synced.is_set() for watch in self.both)
        return self._theirs.get(key) if known else None

    def ours(self, key: Key) -> Object | None:
        """One of our Experiments."""
        return self._ours.experiment(key)

    def trials_of(self, ours: Object) -> list[ShownTrial]:
        """Those of this very Experiment, by their numbers."""
        return sorted(self._index.of(ours["metadata"]["uid"]), key=lambda seen: seen.number)

    def _changed(self, key: Key, before: ShownTrial | None, after: ShownTrial | None) -> None:
        self._index.update(key, before, after)
        seen = after or before
        if seen is not None and (found := self.ours((key[0], seen.experiment))) is not None:
            self._look_at_owners(found)

    def _look_at_owners(self, ours: Object) -> None:
        for owner in owners_of(ours):
            self._look((owner.namespace, owner.name))

    def _turned(self) -> None:
        for key in self._theirs.items():
            self._look(key)


class TrialIndex:
    """Trials by the UID of their Experiment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, dict[Key, ShownTrial]] = {}

    def update(self, key: Key, before: ShownTrial | None, after: ShownTrial | None) -> None:
        """One came, changed or went."""
        with self._lock:
            if before is not None:
                del self._found[before.owner][key]
                if not self._found[before.owner]:
                    del self._found[before.owner]
            if after is not None:
                self._found.setdefault(after.owner, {})[key] = after

    def of(self, owner: str) -> list[ShownTrial]:
        """Those of one Experiment."""
        with self._lock:
            return list(self._found.get(owner, {}).values())


def owners_of(obj: Object) -> list[Owner]:
    """The Experiments of Katib's that an object belongs to."""
    metadata = obj["metadata"]
    found = [o for o in mappings(metadata.get("ownerReferences")) if o.get("apiVersion") == KATIB]
    return [Owner(metadata["namespace"], text(o.get("name")), text(o.get("uid")), KATIB) for o in found]
