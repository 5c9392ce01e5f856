"""Backlog: how long the oldest byte has waited, and how long nothing has moved."""

from hypothesis import given
from hypothesis import strategies as st

from hub.core.backlog import Backlog


def test_a_first_look_finds_nothing_old():
    """What was not looked at has waited for no time."""
    assert Backlog().look(100, written=10, unsent=10) == (0, 0)


def test_bytes_that_nobody_reads_grow_old():
    """Both times run while nothing moves."""
    backlog = Backlog()
    backlog.look(100, written=10, unsent=10)

    assert backlog.look(107, written=10, unsent=10) == (7, 7)


def test_what_is_written_behind_does_not_make_it_younger():
    """The oldest byte counts; writing more is no progress either."""
    backlog = Backlog()
    backlog.look(100, written=10, unsent=10)
    backlog.look(104, written=30, unsent=30)

    assert backlog.look(107, written=30, unsent=30) == (7, 7)


def test_a_reader_that_moves_slowly_is_not_stuck_but_behind():
    """A byte now and then is progress, and the oldest that is left has waited all the same."""
    backlog = Backlog()
    backlog.look(100, written=100, unsent=100)

    assert backlog.look(104, written=100, unsent=99) == (4, 0)
    assert backlog.look(108, written=100, unsent=98) == (8, 0)


def test_what_has_gone_does_not_count():
    """When everything of the first look is sent, the oldest is what was written after it."""
    backlog = Backlog()
    backlog.look(100, written=10, unsent=10)
    backlog.look(103, written=30, unsent=25)
    assert backlog.look(106, written=30, unsent=20) == (3, 0)

    assert backlog.look(107, written=50, unsent=20) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_oldest_byte_is_found_whatever_comes_and_goes(steps):
    """Against a list of when each byte was first seen."""
    backlog, written, sent, seen = Backlog(), 1, 0, []

    for now_s, (more, share) in enumerate(steps):
        written += more
        seen += [now_s] * (written - len(seen))
        sent = min(written - 1, sent + int((written - sent) * share))
        waited_s, _ = backlog.look(now_s, written=written, unsent=written - sent)
        assert waited_s == now_s - seen[sent]
