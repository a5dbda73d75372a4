"""A machine's clock that is wrong, beside the API server's."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from kubetuna_operator.kube.api_client import Pace
from kubetuna_operator.kube.server_time import STEP_SECONDS, ServerTime
from tests.apiserver.cluster import Cluster
from tests.apiserver.pool import connect


class Machine:
    """Whose clock is ``ahead`` of the server's; an answer takes ``delay`` seconds, half of them on the way back."""

    def __init__(self, ahead: float, delay: float = 0.0) -> None:
        self.true, self.ahead, self.delay = 1_800_000_000.4, ahead, delay
        self.time = ServerTime(lambda: self.true + self.ahead)

    def ask(self, wrong: float = 0.0) -> None:
        self.true += 7.3
        sent = self.time.sent()
        self.true += self.delay / 2
        date = formatdate(int(self.true + wrong), usegmt=True)
        self.true += self.delay / 2
        self.time.answered(date, sent)

    @property
    def error(self) -> float:
        return self.time.now() - self.true


@pytest.mark.parametrize("delay", [0.0, 0.2, 4.0])
@pytest.mark.parametrize("ahead", [-3_600.0, -26.0, 26.0, 1e6])
def test_a_clock_that_is_wrong_is_corrected_by_the_second_answer(ahead: float, delay: float) -> None:
    machine = Machine(ahead, delay)
    machine.ask()
    assert machine.error == pytest.approx(ahead, abs=1e-3)
    for _ in range(5):
        machine.ask()
        assert abs(machine.error) <= STEP_SECONDS + delay


@pytest.mark.parametrize("delay", [0.0, 0.2, 30.0])
def test_a_clock_that_is_right_is_left_as_it_is(delay: float) -> None:
    machine = Machine(0.0, delay)
    for _ in range(50):
        machine.ask()
    assert machine.error == 0


def test_a_clock_that_is_set_right_again_is_followed() -> None:
    machine = Machine(26.0)
    machine.ask()
    machine.ask()
    machine.ahead = 0.0
    machine.ask()
    machine.ask()
    assert abs(machine.error) <= STEP_SECONDS


def test_one_answer_with_another_clock_moves_nothing() -> None:
    machine = Machine(0.0)
    for _ in range(5):
        machine.ask(wrong=-3_600.0)
        machine.ask()
    assert machine.error == 0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT", "9" * 1_000])
def test_what_is_no_date_says_nothing(date: str | None) -> None:
    time = ServerTime(lambda: 5.0)
    for _ in range(3):
        time.answered(date, 5.0)
    assert time.now() == 5.0


def test_the_transport_hears_the_servers_time_with_each_answer() -> None:
    cluster = Cluster()
    api = connect(cluster.server.handle, cluster.server.wait, Pace(machine=lambda: cluster.clock.now() + 90.0))
    for _ in range(2):
        api.get("/api/v1/namespaces/lab/pods")
    assert abs(api.within(1.0).time.now() - cluster.clock.now()) <= STEP_SECONDS
