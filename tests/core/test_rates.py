"""Rates: so many a second in the long run, so many at once, and nothing for the one because of the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import rates
from hub.core.rates import UNLIMITED, Intake, Pace

times = st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200).map(sorted)


def granted(pace, *moments, key=None):
    return [not pace.take(key, now_s) for now_s in moments]


# --- so often ---------------------------------------------------------------------------------------------------------


def test_a_burst_is_granted_at_once_and_no_more():
    """Three may come together; the fourth is refused."""
    assert granted(Pace(2, 3), 10, 10, 10, 10) == [True, True, True, False]


def test_the_wait_that_is_told_is_the_wait_that_helps():
    """A moment before it is over one is refused, at its end one is granted."""
    pace = Pace(2, 1)
    pace.take(None, 0)
    wait_s = pace.take(None, 0.1)

    assert wait_s == pytest.approx(0.4)
    assert granted(pace, 0.1 + wait_s - 0.01, 0.1 + wait_s + 0.01) == [False, True]


def test_a_refusal_costs_nothing():
    """Who tries all the time gets in as soon as who waits."""
    pace = Pace(1, 1)

    assert granted(pace, 0, *[number / 100 for number in range(1, 100)]) == [True] + [False] * 99
    assert granted(pace, 1.001) == [True]


def test_keys_do_not_slow_each_other_down():
    """Each has its own rate."""
    pace = Pace(1, 1)

    assert [granted(pace, 0, key=key) for key in ("a", "b", "a")] == [[True], [True], [False]]


def test_no_rate_is_no_limit():
    """0: everything is granted, and nothing remembered."""
    pace = Pace(0, 1)

    assert all(granted(pace, *[0] * 1_000))
    assert len(pace) == 0


def test_only_so_many_keys_are_remembered(monkeypatch):
    """The one that asked longest ago is forgotten first."""
    monkeypatch.setattr(rates, "REMEMBERED", 2)
    pace = Pace(1, 1)

    for key in ("a", "b", "a", "c"):
        pace.take(key, 0)

    assert len(pace) == 2
    assert [granted(pace, 0, key=key) for key in ("a", "c")] == [[False], [False]]
    assert granted(pace, 0, key="b") == [True]


@given(times, st.integers(1, 50), st.integers(1, 20))
def test_never_more_than_the_rate_and_a_burst(moments, per_s, burst):
    """Between any two moments at most the burst and what the rate gives in that time are granted."""
    pace = Pace(per_s, burst)
    passed = [now_s for now_s in moments if not pace.take(None, now_s)]

    for begin in range(len(passed)):
        for end in range(begin, len(passed)):
            assert end - begin + 1 <= burst + (passed[end] - passed[begin]) * per_s + 1e-6


@given(times, st.integers(1, 50), st.integers(1, 20))
def test_who_keeps_to_the_rate_is_never_refused(moments, per_s, burst):
    """Whatever the pauses in between, what comes no closer than the rate is granted."""
    pace, now_s = Pace(per_s, burst), 0.0

    for pause_s in moments:
        now_s += pause_s + 1 / per_s + 1e-9
        assert not pace.take(None, now_s)


# --- so much ----------------------------------------------------------------------------------------------------------


def test_what_was_spent_comes_back_with_time():
    """So many a second, up to the burst."""
    intake = Intake(messages_per_s=10, burst=20, bytes_per_s=100)

    assert (intake.messages, intake.bytes) == (20, 200)
    assert intake.later(0, -50, 0.25) == (2.5, -25)
    assert intake.later(15, 150, 10) == (20, 200)


@pytest.mark.parametrize(("messages", "size"), [(0, 100), (10, 0), (0, 0)])
def test_what_is_not_limited_never_runs_out(messages, size):
    """0 a second means no limit, of either."""
    intake = Intake(messages_per_s=messages, burst=20, bytes_per_s=size)
    left, room = intake.later(-5, -5, 0)

    assert (left == intake.messages == UNLIMITED) is not bool(messages)
    assert (room == intake.bytes == UNLIMITED) is not bool(size)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 100)), max_size=50))
def test_nobody_spends_more_than_the_rate_and_a_burst(steps):
    """However the time is cut into steps, what was spent is bounded by all that has passed."""
    intake = Intake(messages_per_s=10, burst=20, bytes_per_s=0)
    left, spent, elapsed_s = intake.messages, 0, 0.0

    for pause_s, wanted in steps:
        left, _ = intake.later(left, 0, pause_s)
        taken = min(wanted, int(left))
        left, spent, elapsed_s = left - taken, spent + taken, elapsed_s + pause_s

    assert spent <= 20 + 10 * elapsed_s + 1e-6
