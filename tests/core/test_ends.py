"""Ends and recent numbers: what is due comes once and in order, and nothing is kept for long."""

from hypothesis import given
from hypothesis import strategies as st

from hub.core.ends import Ends
from hub.core.recent import Recent

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5), st.integers(0, 20)),
        st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("due"), st.integers(1, 3), st.integers(0, 20)),
    ),
    max_size=40,
)


@given(steps)
def test_what_is_due_comes_once_and_the_earliest_first(taken):
    """Against a plain dictionary: whatever is added, replaced, removed and asked for."""
    ends, plain = Ends(), {}
    for what, number, at in taken:
        if what == "add":
            ends.add(number, at, (number, at))
            plain[number] = at
        elif what == "remove":
            ends.remove(number)
            plain.pop(number, None)
        else:
            expected = sorted((due, one) for one, due in plain.items() if due <= at)[:number]
            assert ends.due(at, most=number) == [(one, due) for due, one in expected]
            for _, one in expected:
                del plain[one]
        assert len(ends) == len(plain)


def test_what_is_removed_leaves_nothing_for_long():
    """However many come and go."""
    ends = Ends()
    for number in range(10_000):
        ends.add(number, number, None)
        ends.remove(number)

    assert len(ends._heap) <= 64


def test_the_oldest_of_too_many_are_forgotten():
    """A number that comes again is not newer for that."""
    recent = Recent(most=2)
    for number in (1, 2, 1, 3):
        recent.add(number)

    assert [number in recent for number in (1, 2, 3)] == [False, True, True]
    assert len(recent) == 2
