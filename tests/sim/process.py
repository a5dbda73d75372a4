"""One operator's process in a simulated world: the operator's own parts, each of its threads an actor.

It can be interrupted, frozen and ended in the midst of any step; Kubernetes starts it again.
"""

from __future__ import annotations

import itertools
import json
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy import exc

from kubetuna.store.database import POOL_SECONDS, write_only_while
from kubetuna_operator.context import PROBE_SECONDS, OperatorContext, Store
from kubetuna_operator.experiment.controller import Controller
from kubetuna_operator.katib.controller import KatibController
from kubetuna_operator.kube.api_client import Pace
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.events import Events
from kubetuna_operator.kube.leader import RETRY, Leadership
from kubetuna_operator.kube.reflector import Reflector
from kubetuna_operator.pods.index import PodIndex
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.pool import connect
from tests.apiserver.resources import PODS, Target
from tests.apiserver.server import Response
from tests.apiserver.watches import Stream
from tests.fakes import FakeClock
from tests.sim.actors import NEVER, Actor, Beside, Timer, Watcher
from tests.sim.administration import OWN_NAMESPACE
from tests.sim.bounds import API_SERVER, DATABASE_HOST
from tests.sim.database import Database
from tests.sim.draws import Draws, Fault
from tests.sim.keeping import kept, outdated
from tests.sim.network import FREEZE_SECONDS, SAID_NO, SLOW_SECONDS, Killed, Network, refusal

LOST_AFTER = 30.0
RESTART_SECONDS = 3.0
# How a transaction goes wrong: before its connection, before its commit, after it.
DATABASE = {
    "connect": {"lost": 4.0, "frozen": 0.5, "killed": 0.5, "slow": 2.0, "exhausted": 0.7},
    "commit": {"lost": 3.0, "killed": 0.5},
    "committed": {"lost": 3.0, "frozen": 0.5, "killed": 0.7, "slow": 1.0},
}


class SimulatedWorld(Protocol):
    """What a process needs of its world."""

    clock: FakeClock
    cluster: Cluster
    database: Database
    draws: Draws
    nodes: Any
    fate: Any
    oracles: Any
    katib: bool

    def says(self, who: str, what: str) -> None:
        """A line of the trace."""

    def rest(self, process: object, seconds: float, frozen: bool) -> None:
        """Let the world go on in the midst of a step."""


class Wall:
    """The clock of the process's machine, which may be wrong."""

    def __init__(self, true: FakeClock) -> None:
        self._true, self.shift = true, 0.0

    def now(self) -> float:
        """Seconds since the epoch, as the machine has them."""
        return self._true.time + self.shift


class Process:
    """An operator that runs, waits to be started again, or is frozen."""

    def __init__(self, world: SimulatedWorld, name: str) -> None:
        self.name, self._world = name, world
        self.alive = self.cut_off = self.leading = self.threadless = self.leaseless = False
        self.behind, self._freezes = 0.0, 0
        # How many requests for the Lease in a row were answered as they should be.
        self._heard = 0
        # Since when an Experiment has its turn, if one has.
        self._turn_began: float | None = None
        self.actors: list[Actor] = []
        self._wall = Wall(world.clock)
        self._lives = itertools.count()

    # What befalls it.

    def says(self, what: str) -> None:
        """A line of the trace."""
        self._world.says(self.name, what)

    def rest(self, seconds: float, frozen: bool) -> None:
        """Be interrupted in the midst of a step; dead afterwards, perhaps."""
        life = self._network
        self._freezes += frozen
        self._world.rest(self, seconds, frozen)
        if life is not self._network:
            raise Killed

    def standing(self) -> tuple[int, bool]:
        """How often it was frozen, and whether another one has the Lease."""
        return self._freezes, self._world.oracles.requests.leader() not in (None, self.name)

    def too_late(self, late: bool) -> None:
        """Whether what is carried out now was sent before the process was frozen, or another one came to lead."""
        self._world.oracles.attempts.too_late = late

    def heeds_not(self, what: str) -> None:
        """It asks again although a 429 told it to wait."""
        self._world.oracles.report(f"{self.name} asks for {what} again before the time that Retry-After gave")

    def _may_start(self) -> None:
        if self.threadless:
            raise self._world.oracles.unforeseen()

    def shift_clock(self, seconds: float) -> None:
        """Set the machine's clock to another time."""
        self._wall.shift = seconds

    def die(self, why: str) -> None:
        """End at once; the kubelet starts the container again."""
        if self.alive:
            self.says(f"ends: {why}")
            self.close()
            self._show({"waiting": {"reason": "CrashLoopBackOff"}})
            again = self._world.clock.time + RESTART_SECONDS
            self.actors = [Actor(f"{self.name} restart", lambda: again, self.start)]

    def vanish(self) -> None:
        """End for good, with its machine: nobody says so, and nobody starts it again."""
        if self.alive:
            self.says("is gone with its machine")
            self.close()
            self.actors = []

    def close(self) -> None:
        """Its end, without a word."""
        if self.alive:
            self.alive = self.leading = False
            self._network.close()
            self._context.deferred.close()
            self._context.store.database.dispose()

    def outdated(self) -> list[str]:
        """Of which Pods it believes something else than the API server does."""
        return outdated(self._context.pods, self._world.cluster) if self.alive else []

    def kept(self) -> dict[str, int]:
        """How much there is of what it must not keep once all is over."""
        if not (self.alive and self.leading):
            return {}
        queues = [] if self._katib is None else [self._katib._queue]
        return kept(self._context, self._controller, queues, self._network)

    def _show(self, state: dict[str, Any]) -> None:
        """Its own Pod, which others look at."""
        server = self._world.cluster.server
        status = {"phase": "Running", "containerStatuses": [{"name": "operator", "state": state}]}
        found = server.objects.get(PODS, (OWN_NAMESPACE, self.name))
        if found is None:
            body = {"metadata": {"name": self.name}, "spec": {"containers": [{"name": "operator"}]}}
            found = server.writes.create(Target(PODS, OWN_NAMESPACE), body, {})
        server.change(found, lambda pod: pod.update(status=status))

    # What it consists of.

    def start(self) -> None:
        """A new process with empty memory."""
        world, life = self._world, next(self._lives)
        self.says(f"starts, life {life}")
        self._show({"running": {}})
        self.alive = True
        self._network = Network(self, world.cluster.server, world.draws, self._answers)
        pace = Pace(self._monotonic, self._sleep, self._wall.now)
        api = connect(self._handle(self._network, life), _no_wait, pace)
        self._leadership = Leadership(api, OWN_NAMESPACE, self.name, self._monotonic, self._wall.now)
        self._api = api.while_leading(self._leadership.holds)
        self._context = self._make_context(world.draws.stream(f"{self.name} {life}"))
        self._controller = Controller(self._context, (NAMESPACE,), lambda: self._fenced())
        self._katib: KatibController | None = None
        self.actors = self._make_actors()

    def _monotonic(self) -> float:
        return self._world.clock.time

    def _sleep(self, seconds: float) -> None:
        self.rest(seconds, frozen=False)

    def _handle(self, network: Network, life: int) -> Callable[..., Response]:
        def handle(*request: Any) -> Response:
            if network is not self._network or not self.alive:
                raise Killed
            method, path, _, body, _ = request
            heard, self._heard = self._heard, 0 if "/leases" in path else self._heard
            self._world.oracles.requests.requested(self.name, method, path)
            made = json.loads(body)["metadata"] if method == "POST" else None
            if made is not None:
                kind = path.rpartition("/")[2]
                self._world.oracles.requests.wanted(f"{self.name}, life {life},", kind, made["name"])
            if method != "GET" and self._turn_began is not None:
                self._world.oracles.requests.acted(self.name, path, made, self._turn_began)
            if self.leaseless and "/leases" in path:
                raise ConnectionRefusedError(f"{API_SERVER}: connection refused")
            if self._world.fate.admin.down:
                raise ConnectionRefusedError(f"{API_SERVER}: connection refused")
            if self._world.fate.admin.forbidden and f"/namespaces/{NAMESPACE}/" in path:
                return refusal(403, "Forbidden", f"user {self.name} cannot do that in the namespace {NAMESPACE}")
            if self._world.fate.admin.overload and method == "POST" and f"/namespaces/{NAMESPACE}/" in path:
                return refusal(*SAID_NO[self._world.fate.admin.overload])
            fate = self._world.fate
            if (refused := fate.katib.answer(path) or fate.hardships.answer(method, path)) is not None:
                return refused
            try:
                answer = network.handle(*request)
                if "/leases" in path and answer.status < 300 and isinstance(answer.body, bytes):
                    self._heard = 0 if network.paused("/leases") else heard + 1
                if method == "DELETE" and answer.status == 404:
                    self._world.oracles.requests.deleted_in_vain(f"{self.name}, life {life},", path)
                return answer
            except (OSError, Killed):
                raise
            except Exception:
                # Else the operator would take it for an answer of the server's.
                self._world.oracles.report(f"the simulator itself failed: {traceback.format_exc()}")
                raise

        return handle

    def _answers(self, pod: str) -> bool:
        found = self._world.cluster.server.objects.get(PODS, (NAMESPACE, pod))
        return found is None or self._world.nodes.reachable(found["spec"].get("nodeName"))

    def _make_context(self, chance: Any) -> OperatorContext:
        deferred = DeferredWrites(self._monotonic)
        self._readers, self._openings, self._proposals = (
            Beside(self._world.clock, self._may_start) for _ in range(3)
        )
        database = self._world.database.engine(self._transaction(self._network), self.name)
        write_only_while(database, self._leadership.holds)
        store = Store(database)
        events = Events(self._api, deferred, self._monotonic, self._api.time.now)
        return OperatorContext(
            self._api,
            PodIndex(),
            store,
            self.name,
            deferred,
            events,
            self._readers,
            LOST_AFTER,
            self._api.time,
            openings=self._openings,
            proposals=self._proposals,
            monotonic=self._monotonic,
            chance=chance,
        )

    def _transaction(self, network: Network) -> Callable[[str], None]:
        """What befalls this process's connections to the database."""

        def passing(moment: str) -> None:
            if network is not self._network or not self.alive:
                raise Killed
            if self._world.fate.admin.database_down:
                raise self._world.database.lost(f"connection to server at {DATABASE_HOST} was refused")
            fault = self._world.draws.fault(f"{self.name} db {moment}", DATABASE[moment])
            if fault is not None:
                self.says(f"FAULT database {moment}: {fault.kind}")
                self._disturb(fault)

        return passing

    def _disturb(self, fault: Fault) -> None:
        match fault.kind:
            case "frozen":
                self.rest(1.0 + FREEZE_SECONDS * fault.share, frozen=True)
            case "killed":
                self.die("killed at a transaction")
                raise Killed
            case "slow":
                self.rest(SLOW_SECONDS * fault.share, frozen=False)
            case "exhausted":
                self.rest(POOL_SECONDS, frozen=False)
                raise exc.TimeoutError(f"QueuePool limit reached, connection timed out, timeout {POOL_SECONDS}")
            case "lost":
                raise self._world.database.lost(f"server {DATABASE_HOST} closed the connection unexpectedly")

    # Its threads.

    def _make_actors(self) -> list[Actor]:
        context, clock = self._context, self._world.clock
        (watches,) = self._controller.watches.values()
        pods, experiments = watches.both
        lease, probe = Timer(clock, RETRY, self._look), Timer(clock, PROBE_SECONDS, self._probe)
        return [
            self._actor("lease", lease.due, lease.step),
            self._actor("store", probe.due, probe.step, alone=True),
            self._watcher("pods", pods),
            self._watcher("experiments", experiments),
            self._actor("log readers", self._readers.due, self._readers.step),
            self._actor("openings", self._openings.due, self._open, alone=True),
            self._actor("proposals", self._proposals.due, self._proposals.step, alone=True),
            self._actor("writers", self._when(context.deferred.due), context.deferred.step, alone=True),
            self._actor("experiments", self._when(self._controller.due), self._turn, alone=True),
            self._actor("network", self._network.due, self._network.deliver),
        ]

    def _serve_katib(self) -> list[Actor]:
        """Only who leads does."""
        self._katib = KatibController(self._context, self._controller.watches)
        ((theirs, trials),) = (watches.both for watches in self._katib.watches.values())
        return [
            self._watcher("katib-experiments", theirs),
            self._watcher("trials", trials),
            self._actor("katib", self._when(self._katib._queue.due), self._katib.step),
        ]

    def _when(self, waits: Callable[[], float | None]) -> Callable[[], float]:
        def due() -> float:
            wait = waits() if self.leading else None
            return NEVER if wait is None else self._world.clock.time + wait

        return due

    def _watcher(self, kind: str, reflector: Reflector[Any]) -> Actor:
        streams = self._network.streams
        watcher = Watcher(reflector, lambda: streams.get(kind), self._world.clock)
        return self._actor(f"watch of {kind}", watcher.due, watcher.step)

    def _actor(self, name: str, due: Callable[[], float], step: Callable[[], object], alone: bool = False) -> Actor:
        def guarded() -> None:
            # Whatever it was doing, it is dead.
            with suppress(Killed):
                step()

        # What a watch delivers comes from the server.
        return Actor(f"{self.name} {name}", due, guarded, self, alone, foreign=name == "network")

    def _look(self) -> None:
        """Try for the lease, or keep it."""
        if self._leadership.look():
            if not self.leading:
                self.leading = True
                self.says("leads")
                if self._world.katib:
                    self.actors += self._serve_katib()
                self._controller.lead()
        elif self._leadership.lost:
            self._world.oracles.requests.lost_lease(self.name, self._heard)
            self.die("the lease was lost")

    def _open(self) -> None:
        try:
            self._openings.step()
        finally:
            self._world.oracles.requests.opened(self.name)

    def _turn(self) -> None:
        self._turn_began, planned = self._world.clock.time, self._planned()
        try:
            self._controller.step()
        finally:
            self._turn_began = None
        now = self._context.monotonic()
        for key, due in self._planned().items():
            if due != planned.get(key):
                self._world.oracles.requests.planned_turn(self.name, key[1], due - now)

    def _planned(self) -> dict[tuple[str, str], float]:
        return dict(self._controller._queue._due)

    def _probe(self) -> None:
        if self.leading:
            self._context.store.probe()

    def _fenced(self) -> None:
        self.die("another operator took a study over")
        raise Killed


def _no_wait(stream: Stream, _silence: float) -> None:
    """In one thread nothing can be waited for: what is not there has been waited for long enough."""
    if not stream.ready:
        raise TimeoutError("timed out")
