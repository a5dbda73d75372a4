"""The operator's own parts over the cluster in memory, as one process of it has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kubetuna.store.database import open_engine
from kubetuna_operator import LABEL_EXPERIMENT
from kubetuna_operator.context import OPENINGS, PROPOSALS, OperatorContext, Store
from kubetuna_operator.experiment.controller import Controller
from kubetuna_operator.kube.deferred_writes import DeferredWrites
from kubetuna_operator.kube.events import Events
from kubetuna_operator.kube.reflector import Reflector
from kubetuna_operator.pods.index import PodIndex
from kubetuna_operator.pods.read_budget import READERS
from kubetuna_operator.pods.status import PodView, view
from tests.apiserver.cluster import NAMESPACE, Cluster
from tests.apiserver.failures import Failure
from tests.apiserver.server import Query, Response

LOST_AFTER = 60.0


class Here(Executor):
    """Does what it is given at once, in the thread that asks."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class OnDemand(Executor):
    """Keeps what it is given until it is told to do it."""

    def __init__(self) -> None:
        self.kept: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep it."""
        self.kept.append((Future(), lambda: fn(*args, **kwargs)))
        return self.kept[-1][0]

    def do(self) -> None:
        """Do all of it."""
        kept, self.kept = self.kept, []
        for future, work in kept:
            future.set_result(work())


class Process:
    """What one operator process shares among its parts. It can be cut off, or lose answers to writes."""

    def __init__(
        self,
        cluster: Cluster,
        store: str,
        identity: str = "one",
        readers: Executor | None = None,
        openings: Executor | None = None,
    ) -> None:
        self._cluster = cluster
        self.cut_off, self.lost = False, 0
        self.asked: list[tuple[str, str]] = []
        self.queries: list[Query] = []
        # Called before each request: what others do at just that moment, or a refusal that it raises.
        self.before: Callable[[str, str], None] = lambda method, path: None
        self._watches: list[Reflector[Any]] = []
        api, deferred = cluster.api(self._handle), DeferredWrites()
        self.context = OperatorContext(
            api, PodIndex(), Store(open_engine(store)), identity, deferred, Events(api, deferred),
            readers or Here(), LOST_AFTER, cluster.clock, openings or Here(), Here(),
        )  # fmt: skip
        deferred.start()

    def _handle(self, method: str, path: str, query: Query, body: bytes, headers: Mapping[str, str]) -> Response:
        if self.cut_off:
            raise ConnectionRefusedError("connection refused")
        self.asked.append((method, path))
        self.queries.append(query)
        try:
            self.before(method, path)
        except Failure as refusal:
            return Response(refusal.code, json.dumps(refusal.body()).encode())
        answer = self._cluster.server.handle(method, path, query, body, headers)
        if method != "GET" and self.lost:
            self.lost -= 1
            raise ConnectionResetError("connection reset by peer")
        return answer

    def watch_pods(self) -> Reflector[PodView]:
        """Keep the index of Pods fed, as the controller does."""
        index = self.context.pods
        watch = Reflector(self.context.api, "pods", NAMESPACE, view, index.update, LABEL_EXPERIMENT)
        index.learn_with(NAMESPACE, watch.learn)
        watch.start()
        assert watch.synced.wait(10)
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        """End its threads."""
        for watch in self._watches:
            watch.stop()
        self._cluster.server.cut_watches()
        # A real process has no need to: its background ends with it.
        self.context.deferred.close()
        self.context.readers.shutdown(wait=False)
        self.context.openings.shutdown(wait=False)
        self.context.proposals.shutdown(wait=False)
        self.context.store.database.dispose()


class ByHand(Process):
    """An operator whose turns the test gives, one after the other and in its own thread, on the cluster's clock."""

    def __init__(
        self, cluster: Cluster, store: str, identity: str = "one", openings: Executor | None = None
    ) -> None:
        super().__init__(cluster, store, identity, openings=openings)
        self.context = replace(self.context, monotonic=cluster.clock.now)
        self.fenced = threading.Event()
        self.controller = Controller(self.context, (NAMESPACE,), self.fenced.set)
        self._watches += [watch for both in self.controller.watches.values() for watch in both.both]
        self.controller.lead()
        self.controller.watch()

    def turns(self) -> None:
        """All that are due."""
        while self.controller.step():
            pass

    def kill(self) -> None:
        """Nothing of it goes on."""
        self.cut_off = True
        self.close()


class Operator(Process):
    """A whole operator but for its leader election: watches, work queues and turns for every Experiment."""

    def __init__(
        self, cluster: Cluster, store: str, identity: str = "one", namespace: str | None = NAMESPACE
    ) -> None:
        super().__init__(cluster, store, identity, ThreadPoolExecutor(READERS), ThreadPoolExecutor(OPENINGS))
        self.context = replace(self.context, proposals=ThreadPoolExecutor(PROPOSALS))
        self.fenced, self._stopped = threading.Event(), threading.Event()
        self.controller = Controller(self.context, (namespace,) if namespace else (), self.fenced.set)
        self._watches += [watch for both in self.controller.watches.values() for watch in both.both]
        self.controller.watch()
        self._thread = threading.Thread(target=self.controller.run, args=(self._stopped,), daemon=True)
        self._thread.start()

    def turns(self) -> None:
        """Its own threads give them."""

    def stop(self) -> None:
        """As on SIGTERM: what runs goes on running."""
        self._stopped.set()
        self._thread.join(10)
        self.close()

    def kill(self) -> None:
        """Nothing of it reaches the API server any more, whatever its threads try."""
        self.cut_off = True
        self.stop()
