"""Limits in general: what is counted, and who has to go."""

from hypothesis import given
from hypothesis import strategies as st

from hub.core.limits import Tally, heaviest
from protocol.errors import BAD_CREDENTIALS, limit_reached


def test_a_limit_is_counted_by_its_name():
    """Whether it made an error or a close; what has another reason counts for nothing."""
    tally = Tally()

    tally.refused(limit_reached(256, "subscriptions per connection", name="subscriptions-per-connection"))
    tally.refused(BAD_CREDENTIALS.error())
    tally.note({"limit": "outbox-bytes", "value": 1})
    tally.note({"parameter": "names"})
    tally.note(None)

    assert tally == {"subscriptions-per-connection": 1, "outbox-bytes": 1}


def test_the_largest_go_first_and_no_more_of_them_than_needed():
    """Two of these are enough, so the third stays."""
    assert heaviest([("a", 1), ("b", 5), ("c", 3)], 6) == ["b", "c"]


def test_nobody_goes_where_nothing_is_too_much():
    """Nor where there is just no room left."""
    assert heaviest([("a", 1)], 0) == []


@given(st.lists(st.integers(1, 100)), st.integers(-10, 300))
def test_who_goes_is_enough_and_not_one_too_many(sizes, excess):
    """Together they have the excess, unless all together do not; without the smallest of them they have not."""
    gone = [sizes[index] for index in heaviest(enumerate(sizes), excess)]

    assert sum(gone) >= min(excess, sum(sizes))
    assert not gone or sum(gone[:-1]) < excess
    assert gone == sorted(sizes, reverse=True)[: len(gone)]
