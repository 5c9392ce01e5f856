"""When a worker is started again: decided without processes, on a clock that stands still."""

import pytest

from hub.workers.restarts import ATTEMPTS, LONGEST_WAIT_S, WELL_AFTER_S, Restarts


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def restarts(clock):
    return Restarts(clock)


def dies_after(restarts, clock, seconds):
    """A worker serves for so long. Returns how long to wait for the next one."""
    restarts.ready()
    clock.now_s += seconds
    return restarts.died()


def test_each_wait_is_twice_as_long_up_to_a_bound(restarts, clock):
    """A worker that dies again and again costs less and less."""
    waits = [dies_after(restarts, clock, 1) for _ in range(8)]

    assert pytest.approx(waits) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_after_a_long_life_waiting_begins_anew(restarts, clock):
    """One death a day is not a series."""
    for _ in range(5):
        dies_after(restarts, clock, 1)

    assert dies_after(restarts, clock, WELL_AFTER_S) == pytest.approx(0.1)
    assert dies_after(restarts, clock, 1) == pytest.approx(0.2)


def test_a_worker_that_never_starts_is_given_up(restarts):
    """Five in a row, and a sixth would fail, too."""
    for _ in range(ATTEMPTS - 1):
        restarts.failed()
    assert not restarts.hopeless

    restarts.failed()

    assert restarts.hopeless


def test_a_start_that_succeeds_gives_new_hope(restarts):
    """Only failures in a row count."""
    for _ in range(ATTEMPTS - 1):
        restarts.failed()
    restarts.ready()

    restarts.failed()

    assert not restarts.hopeless


def test_workers_that_die_are_never_given_up(restarts, clock):
    """They have served; the others serve."""
    for _ in range(3 * ATTEMPTS):
        dies_after(restarts, clock, 1)

    assert not restarts.hopeless
