"""Lines of which only the end was read are counted wherever a person looks, while a trial runs and after."""

from __future__ import annotations

from kubetuna.analysis.report.checks import checks
from kubetuna.analysis.report.view import view_of
from kubetuna.planning.status import Moment, render
from kubetuna.store.reader import read_study
from kubetuna.study.record import study_record
from kubetuna.terminal.tables import status_rows
from kubetuna.trials.attempts import LINE_LIMIT, AttemptRequest
from kubetuna.trials.records import from_json
from tests.fakes import Run
from tests.local.runs import experiment
from tests.world import World

LONG = b"x" * (LINE_LIMIT + 1)


def printing(launch: AttemptRequest) -> Run:
    """Each trial prints as many long lines as its number says, one of them after its last report."""
    return Run((*[LONG] * max(0, launch.key.trial - 1), b"loss=1", *[LONG] * min(1, launch.key.trial)))


def test_every_long_line_is_counted() -> None:
    world = World(experiment("", maxTrialCount=4, parallelTrialCount=1), printing)
    world.finish()
    seen = study_record(read_study(world.database, "small"), "")
    assert [t.lines_cut for t in seen.trials] == [0, 1, 2, 3] and seen.status["linesCut"] == 6
    assert (
        "6 lines of more than 65,536 bytes: only the end was read"
        in dict(status_rows(seen.spec, seen.status))["long lines"]
    )
    told = [c.text for c in checks(view_of(seen.spec, seen.status, seen.trials, 0.0))]
    assert any(text.startswith("The logs have 6 lines of more than 65,536 bytes") for text in told)
    shown = seen.trials[3].as_json()
    assert (shown["linesCut"], from_json(shown).lines_cut) == (3, 3) and "linesCut" not in seen.trials[0].as_json()


def test_those_of_a_running_trial_are_in_the_status_that_a_runner_and_a_reader_show() -> None:
    lines = (LONG, LONG, b"loss=1", LONG, b"loss=2")
    world = World(experiment("", maxTrialCount=1), lambda _: Run(lines, endless=True))
    for _ in range(8):
        world.turn()
    own = render(world.engine.last, None, world.study.results(), Moment(world.clock.now()))
    stored = study_record(read_study(world.database, "small"), "").status
    assert own["linesCut"] == stored["linesCut"] == 3


def test_without_any_nothing_is_said() -> None:
    world = World(experiment("", maxTrialCount=1), lambda _: Run((b"loss=1",)))
    world.finish()
    status = study_record(read_study(world.database, "small"), "").status
    assert "linesCut" not in status and "long lines" not in dict(status_rows(world.spec, status))
