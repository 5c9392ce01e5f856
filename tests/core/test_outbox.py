"""The outbox: bounded, in order, and final once it has overflowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.outbox import Outbox


def test_everything_leaves_in_one_piece_in_order():
    """One visit writes once, whatever was queued."""
    outbox = Outbox(100)
    outbox.offer_all([b"one", b"two", b"three"])

    assert outbox.take(0) == b"onetwothree"
    assert outbox.take(0) == b""


def test_only_the_first_payload_asks_for_a_visit():
    """A socket is visited once a turn, so the second payload need not ask again."""
    outbox = Outbox(100)

    assert [outbox.offer(b"x") for _ in range(3)] == [True, False, False]


def test_an_emptied_outbox_asks_for_a_visit_again():
    """What comes after a visit needs another one."""
    outbox = Outbox(100)
    outbox.offer(b"x")
    outbox.take(0)

    assert outbox.offer(b"y")


def test_overflowing_asks_for_a_visit():
    """The socket has to learn that it is to close."""
    outbox = Outbox(4)
    outbox.offer(b"1234")

    assert outbox.offer(b"5")
    assert outbox.overflowed


def test_overflowing_gives_everything_up():
    """A peer that is behind gets nothing more; it replays."""
    outbox = Outbox(4)
    outbox.offer_all([b"1234", b"5"])

    assert (len(outbox), outbox.take(0)) == (0, b"")


def test_what_the_transport_holds_counts():
    """The bound is for what a peer costs, wherever it lies."""
    outbox = Outbox(10)
    outbox.offer(b"123456")

    assert outbox.take(unsent=5) == b""
    assert outbox.overflowed


def test_the_limit_itself_is_allowed():
    """At the bound all is well, past it nothing is."""
    outbox = Outbox(10)
    outbox.offer(b"123456")

    assert outbox.take(unsent=4) == b"123456"


def test_a_closed_outbox_takes_nothing():
    """After the end nothing is queued, and nobody needs to visit."""
    outbox = Outbox(10)
    outbox.offer(b"x")
    outbox.close()

    assert not outbox.offer(b"y")
    assert outbox.take(0) == b""


def test_an_outbox_shows_its_state():
    """A failing test prints what it needs to know."""
    outbox = Outbox(10)
    outbox.offer(b"123")

    assert repr(outbox) == "Outbox(size=3, limit=10, overflowed=False)"


steps = st.lists(st.binary(min_size=1, max_size=8) | st.integers(0, 30), max_size=40)


@given(limit=st.integers(1, 40), steps=steps)
def test_an_outbox_is_a_bounded_queue(limit, steps):
    """It never holds more than its limit, gives all bytes once and in order, and an overflow is final."""
    outbox, offered, taken = Outbox(limit), b"", b""

    for step in steps:
        was_over, was_empty = outbox.overflowed, len(outbox) == 0
        if isinstance(step, bytes):
            needs_visit = outbox.offer(step)
            offered += step
            assert needs_visit == (not was_over and (was_empty or outbox.overflowed))
        else:
            fits = len(outbox) + step <= limit or was_empty
            taken += outbox.take(unsent=step)
            assert outbox.overflowed == (was_over or not fits)
        assert len(outbox) <= limit
        assert outbox.overflowed or not was_over
        assert outbox.written == len(taken)
        assert offered.startswith(taken)
        assert len(outbox) == (0 if outbox.overflowed else len(offered) - len(taken))


@pytest.mark.parametrize("unsent", [0, 100])
def test_an_idle_outbox_never_overflows(unsent):
    """A peer to whom nothing is owed is not closed, however much its transport still holds."""
    outbox = Outbox(10)

    assert outbox.take(unsent) == b""
    assert not outbox.overflowed
