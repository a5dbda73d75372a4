"""What the parts of the operator share: connections, the watched Pods, deferred writes, log readers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import text

from kubetuna.errors import StoreError
from kubetuna.store.database import reading
from kubetuna.store.schema import ensure_schema
from kubetuna.trials.attempts import AttemptKey, Clock, SystemClock
from kubetuna_operator.kube.api_client import Api
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.events import Events
from kubetuna_operator.kube.objects import Owner
from kubetuna_operator.kube.threads import supervised
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.read_budget import READERS, ReadBudget
from kubetuna_operator.pods.withdrawals import Withdrawals
from kubetuna_operator.telemetry import STORE_ERRORS

# Each opening holds a connection to the database. A second proposal at the same time would take the interpreter, of
# which there is one, from everything else.
OPENINGS, PROPOSALS = 2, 1
PROBE_SECONDS = 5.0


class Store:
    """The database: its tables made once by whoever needs them first, and whether it answers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._problem = ""
        self._lock, self._made = threading.Lock(), False

    @property
    def problem(self) -> str:
        """What is wrong with it, for anyone to read; empty while it answers."""
        return self._problem

    def failed(self, error: StoreError) -> None:
        """Note that it did not do what was asked."""
        self._problem = error.public

    def answered(self) -> None:
        """Note that it works."""
        self._problem = ""

    def ensure(self) -> None:
        """Make the tables.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with self._lock:
            if not self._made:
                ensure_schema(self.database)
                self._made = True

    def probe(self) -> None:
        """Ask whether it answers: an experiment whose trials are silent writes nothing for hours."""
        try:
            self.ensure()
            with reading(self.database) as connection:
                connection.execute(text("SELECT 1"))
            self.answered()
        except StoreError as error:
            STORE_ERRORS.inc()
            self.failed(error)

    def watch(self) -> None:
        """Ask again and again, in a thread."""
        supervised("store", self._watch).start()

    def _watch(self) -> None:
        while True:
            self.probe()
            time.sleep(PROBE_SECONDS)


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """What all experiments share. ``lost_after``: seconds after which a node that does not answer has lost a Pod.

    ``clock`` tells the time of day, ``monotonic`` measures. ``readers`` read logs, ``openings`` open studies and
    ``proposals`` ask slow samplers, so that none of this holds one of the few workers. ``account`` is the
    operator's own service account, namespace and name: no trial may have it.
    """

    api: Api
    pods: PodIndex
    store: Store
    identity: str
    deferred: DeferredWrites
    events: Events
    readers: Executor
    lost_after: float
    clock: Clock = field(default_factory=SystemClock)
    openings: Executor = field(default_factory=lambda: ThreadPoolExecutor(OPENINGS, "opening"))
    proposals: Executor = field(default_factory=lambda: ThreadPoolExecutor(PROPOSALS, "proposal"))
    monotonic: Callable[[], float] = time.monotonic
    chance: random.Random = field(default_factory=random.Random)
    read_budget: ReadBudget = field(default_factory=ReadBudget)
    account: tuple[str, str] = ("", "")
    withdrawals: Withdrawals = field(init=False)

    def __post_init__(self) -> None:
        # Frozen: it is of the same deferred writes.
        object.__setattr__(self, "withdrawals", Withdrawals(self.deferred))

    @staticmethod
    def make(
        api: Api, database: Database, identity: str, lost_after: float, account: tuple[str, str] = ("", "")
    ) -> OperatorContext:
        """All of it around one connection and one database."""
        deferred = DeferredWrites()
        readers = ThreadPoolExecutor(READERS, "log-reader")
        events = Events(api, deferred, wall=api.time.now)
        store, pods = Store(database), PodIndex()
        return OperatorContext(
            api, pods, store, identity, deferred, events, readers, lost_after, api.time, account=account
        )


@dataclass(frozen=True, slots=True)
class ExperimentRef:
    """Which Experiment is carried out: its object, its spec's generation, whether it had ended before."""

    owner: Owner
    generation: int
    ended_before: bool = False

    @property
    def extra(self) -> Mapping[str, Any]:
        """For the log."""
        return {"experiment": f"{self.owner.namespace}/{self.owner.name}"}

    def attempt(self, key: AttemptKey) -> dict[str, Any]:
        """For the log, of one attempt."""
        return {**self.extra, "trial": key.trial, "attempt": key.attempt}
