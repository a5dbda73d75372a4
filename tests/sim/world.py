"""A simulated world: two operators, a cluster, a database and people, one thing after the other on one clock."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.apiserver.cluster import Cluster
from tests.apiserver.resources import NAMESPACES, Target
from tests.fakes import FakeClock
from tests.sim.actors import NEVER, Actor
from tests.sim.administration import OWN_NAMESPACE, Administration
from tests.sim.bounds import PROMPT, RECOVERED
from tests.sim.database import Database
from tests.sim.drawn_hardships import shapes as hardship_shapes
from tests.sim.draws import Draws, Fault, Moment
from tests.sim.experiments import ENDLESS, TRAIN_JOBS, TRAIN_JOBS_EVERY, drawn, experiment, study_of
from tests.sim.katib import NAMES, SHARE
from tests.sim.katib_oracles import KatibOracles
from tests.sim.nodes import Nodes
from tests.sim.oracles import Errors, Oracles
from tests.sim.people import Fate
from tests.sim.postgres import Postgres
from tests.sim.process import Process
from tests.sim.stored import Trial

BEGIN = 1_800_000_000.0
# How long things go wrong; within how much longer all must have come to rest; how often that is looked at.
TROUBLE_SECONDS, PATIENCE, LOOK_SECONDS = 90.0, 1_200.0, 5.0
# In one of so many worlds it is looked at what an operator keeps, so long after all had come to rest; in as many
# others at what new processes do with what has ended.
IDLE_EVERY, IDLE_SECONDS = 12, 150.0
# The share of worlds with two Experiments of ours.
TWO = 0.1
# Steps without time going by.
STORM = 5_000
DEEDS = 4
FAULT_RATE = 0.03
# A step within a step within a step: deeper than this nobody is interrupted.
DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """How much goes wrong: faults per moment, deeds per world, operators; ``postgres``: where no SQLite is used."""

    rate: float = FAULT_RATE
    deeds: int = DEEDS
    operators: int = 2
    postgres: str = ""


CALM = Profile(rate=0.0, deeds=0, operators=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed. ``wrong`` is empty where every oracle held."""

    seed: int
    wrong: tuple[str, ...]
    met: Mapping[Moment, Fault]
    deeds: tuple[Moment, ...]
    seconds: float
    steps: int
    trace: tuple[str, ...] = field(repr=False, default=())


class World:
    """One seed's world. ``shapes``: the Experiments in it, ``katib``: Katib's; drawn where none are given."""

    def __init__(
        self,
        seed: int,
        profile: Profile,
        only: frozenset[Moment] | None = None,
        shapes: tuple[int, ...] = (),
        katib: tuple[int, ...] = (),
    ) -> None:
        self.seed, self.clock, self.trace = seed, FakeClock(BEGIN), list[str]()
        self.draws = Draws(seed, profile.rate, only)
        self._random = self.draws.stream("next")
        self.cluster = Cluster(seed, self.clock)
        self.cluster.server.writes.create(Target(NAMESPACES), {"metadata": {"name": OWN_NAMESPACE}}, {})
        self.database = Postgres(profile.postgres) if profile.postgres else Database()
        self.nodes = Nodes(self.cluster, self.draws, {"node-1": 2, "node-2": 2}, self._study)
        self.processes = [Process(self, f"kubetuna-operator-{i}") for i in range(profile.operators)]
        admin = Administration(self.cluster, self.database)
        self.fate = Fate(self.cluster, self.nodes, self.draws, self.processes, self._experiment, admin)
        self.oracles = Oracles(self.cluster, self.database, self.nodes, self.fate)
        self._katib_oracles = KatibOracles(self.cluster, self.oracles, self.fate)
        self.steps = self._depth = self._still = 0
        # Whether anybody has done something since it was last asked who is due; else only time has gone by.
        self._moved = True
        # Processes in the midst of a step, down the stack: wholly stopped, or but for what needs no lock of theirs.
        self._frozen: list[object] = []
        self._interrupted: list[object] = []
        self._shapes: dict[str, int] = {}
        self._begin(shapes, katib, profile)

    def _begin(self, shapes: tuple[int, ...], katib: tuple[int, ...], profile: Profile) -> None:
        draw = self.draws.stream("experiments")
        chosen = shapes or tuple(drawn(draw) for _ in range(1 + (draw.random() < TWO)))
        if not shapes and self.draws.stream("train job").random() * TRAIN_JOBS_EVERY < 1:
            chosen = (TRAIN_JOBS, *chosen[1:])
        chosen += hardship_shapes(self.draws) if profile.deeds else ()
        for index, shape in enumerate(chosen):
            name = f"exp{index}"
            self._shapes[name] = shape
            self.fate.names.append(name)
            self.fate.katib.create(name)
            if shape == ENDLESS:
                self.fate.cut_short.add(name)
        self._begin_katib(katib if shapes or katib else self._drawn_for_katib())
        self.fate.draw(profile.deeds, TROUBLE_SECONDS)
        self._actors = [
            Actor("nodes", lambda: self.nodes.due, self.nodes.step, foreign=True),
            Actor("fate", lambda: self.fate.due, lambda: self.says("FATE", self.fate.step()), foreign=True),
            Actor("controllers", self._controllers_due, self._control, foreign=True),
        ]
        self._dirty = self.clock.time
        self.cluster.server.objects.listen(lambda _: setattr(self, "_dirty", self.clock.time + 0.1))

    def _drawn_for_katib(self) -> tuple[int, ...]:
        draw = self.draws.stream("katib")
        return (drawn(draw),) if draw.random() < SHARE else ()

    def _begin_katib(self, shapes: tuple[int, ...]) -> None:
        """The operators serve Katib's group where there is to be an Experiment of it."""
        named = random.Random(self.seed).choice(NAMES)
        for shape in shapes:
            name = self.fate.katib.add(named)
            self._shapes[name] = shape
            self.fate.names.append(name)

    @property
    def katib(self) -> bool:
        """Whether the operators serve Katib's group."""
        return bool(self.fate.katib.theirs)

    def _experiment(self, name: str) -> dict[str, Any]:
        return experiment(name, self._shapes[name])

    def _study(self, uid: str) -> str:
        return study_of(self._shapes[self.oracles.known[uid].name])

    def says(self, who: str, what: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.clock.time - BEGIN:9.3f} {who}: {what}")

    # What happens next.

    def _controllers_due(self) -> float:
        return self._dirty

    def _control(self) -> None:
        """The Job controller, the garbage collector, the server's own timers."""
        self._dirty = self.clock.time + 10.0
        self.cluster.server.tick()
        cluster = self.cluster
        collected = not self.fate.hardships.uncollected and cluster.server.deletion.collect()
        if cluster.workloads.tick() | cluster.jobs.tick() | collected:
            self._dirty = self.clock.time + 0.1

    def _all(self) -> list[Actor]:
        found = [*self._actors]
        for process in self.processes:
            found += process.actors
        return found

    def _may(self, actor: Actor) -> bool:
        if actor.busy or actor.process in self._frozen:
            return False
        return not (actor.alone and actor.process in self._interrupted)

    def run_until(self, until: float) -> None:
        """Let things happen."""
        self._moved = True
        while not self.oracles.found:
            now, moved, ready, soonest = self.clock.time, self._moved, [], NEVER
            for actor in self._all():
                if not self._depth or self._may(actor):
                    due = actor.known
                    if due is None or due <= now or (moved and actor.foreign):
                        due = actor.known = actor.due()
                    if due < soonest:
                        soonest = due
                    if due <= now:
                        ready.append(actor)
            if ready:
                self._do(self._random.choice(ready))
            elif soonest > until:
                self.clock.time = max(now, until)
                return
            else:
                self.clock.time, self._still, self._moved = soonest, 0, False

    def _do(self, actor: Actor) -> None:
        self.steps += 1
        self._still += 1
        if self._still > STORM:
            self.oracles.report(f"{STORM} steps without any time going by; the last one: {actor.name}")
        actor.busy = True
        try:
            actor.step()
        finally:
            actor.busy, self._moved = False, True
            _ask_anew(actor.process)
        self.oracles.attempts.check_runs()

    def rest(self, process: object, seconds: float, frozen: bool) -> None:
        """A process is interrupted in the midst of a step: time goes by, and the rest of the world goes on."""
        if self._depth >= DEEPEST:
            return
        self._depth += 1
        _ask_anew(process)
        stopped = self._frozen if frozen else self._interrupted
        stopped.append(process)
        try:
            self.run_until(self.clock.time + seconds)
        finally:
            self._depth -= 1
            stopped.remove(process)

    # From the beginning to the end.

    def run(self, expected: Callable[[str], Mapping[int, Trial]]) -> Verdict:
        """Let things go wrong, then let the world come to rest; ``expected`` are the trials of an Experiment."""
        with self._listening():
            for process in self.processes:
                process.start()
            self.run_until(self.fate.quiet_at)
            self.draws.quiet = True
            self.says("WORLD", "falls quiet")
            self.fate.fell_quiet = quiet = self.clock.time
            self._settle(quiet)
            if not self.oracles.found:
                self.oracles.check_rest(expected)
                self._check_limits(quiet)
            if not self.oracles.found and self.seed % IDLE_EVERY == 0:
                self._check_idle()
            if not self.oracles.found and self.seed % IDLE_EVERY == IDLE_EVERY // 2:
                self._check_restart()
        wrong = tuple(self.oracles.found[:1])
        for what in wrong:
            self.says("ORACLE", what)
        return Verdict(
            self.seed, wrong, self.draws.met, self.fate.done, self.clock.time - BEGIN, self.steps, tuple(self.trace)
        )

    def _settle(self, quiet: float) -> None:
        """Let things go on until nothing is left to happen."""
        while not self.oracles.found and (left := self._unsettled()):
            if self.clock.time > quiet + PATIENCE:
                self.oracles.report(f"{PATIENCE:.0f} s after the last fault: {left}")
            self.run_until(self.clock.time + LOOK_SECONDS)

    def _idle(self) -> None:
        """Let time go by in which nothing begins: what waits for a name does once the time of its owner is over."""
        known, began = 0, self.clock.time
        while not self.oracles.found and known < len(self.oracles.known):
            known = len(self.oracles.known)
            self._settle(began)
            self.run_until(self.clock.time + IDLE_SECONDS)

    def _unsettled(self) -> str:
        return self.oracles.unsettled() or self._katib_oracles.unsettled()

    def _check_limits(self, quiet: float) -> None:
        """A limit is as hard as the design says where nothing goes wrong; else from the end of the faults on."""
        calm = not self.draws.met and not self.fate.disturbed
        self.oracles.check_limits(*((BEGIN, PROMPT) if calm else (quiet, RECOVERED)))

    def _check_idle(self) -> None:
        """Once nothing is left to do an operator keeps nothing."""
        self._idle()
        for process in self.processes:
            self.oracles.check_kept(process.name, process.kept())
            self.oracles.check_outdated(process.name, process.outdated())

    def _check_restart(self) -> None:
        """New processes open nothing that has ended: there may be hundreds of them."""
        before = self.oracles.openings()
        for process in self.processes:
            process.die("restarted once all is over")
        self._idle()
        self.oracles.check_openings(before)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        handler, log = Errors(self.oracles), logging.getLogger("kubetuna_operator")
        log.addHandler(handler)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = True

    def close(self) -> None:
        """End everything."""
        for process in self.processes:
            process.close()
        self.database.close()

    def shape(self, name: str) -> int:
        """Which Experiment has this name here."""
        return self._shapes[name]

    def stored(self, name: str) -> Mapping[int, Trial]:
        """The trials of an Experiment."""
        known = next(k for k in self.oracles.known.values() if k.name == name)
        return {trial.number: trial for trial in self.oracles.stored.trials(known.study)}


def _ask_anew(process: Any) -> None:
    """What a process did may change when its actors are due."""
    for actor in process.actors if process is not None else ():
        actor.known = None


def simulate(seed: int, profile: Profile, only: frozenset[Moment] | None = None) -> Verdict:
    """One seed's world from its beginning to its end; ``only``: with no other faults and deeds than these."""
    with closing(World(seed, profile, only)) as world:
        return world.run(lambda name: undisturbed(world.shape(name)))


# By shape; processes that judge many seeds are given them.
UNDISTURBED: dict[int, Mapping[int, Trial]] = {}


def undisturbed(shape: int) -> Mapping[int, Trial]:
    """What becomes of an Experiment where nothing goes wrong."""
    if shape not in UNDISTURBED:
        UNDISTURBED[shape] = _undisturbed(shape)
    return UNDISTURBED[shape]


def _undisturbed(shape: int) -> Mapping[int, Trial]:
    with closing(World(0, CALM, shapes=(shape,))) as world:
        verdict = world.run(world.stored)
        assert not verdict.wrong, verdict.wrong
        return world.stored("exp0")
