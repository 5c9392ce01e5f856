"""Crowds: who may have one more connection, and whose oldest has to go."""

from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.crowds import Crowds


def entered(crowds, one, user_id=None, device_id=None):
    return crowds.enter(one, user_id=user_id, device_id=device_id)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_an_address_has_so_many(first, second, together):
    """An IPv4 address counts alone, an IPv6 address with its /64."""
    crowds = Crowds(per_address=1)

    assert crowds.arrive(ip_address(first))
    assert crowds.arrive(ip_address(second)) is not together


def test_who_has_gone_makes_room():
    """A refused one was not counted, one that departs is not counted any more."""
    crowds, address = Crowds(per_address=1), ip_address("192.0.2.1")

    assert [crowds.arrive(address) for _ in range(2)] == [True, False]
    crowds.depart(address)
    assert crowds.arrive(address)
    crowds.depart(address)
    assert len(crowds) == 0


def test_an_unknown_address_is_not_counted():
    """Nothing is known of it, so nothing is refused to it."""
    crowds = Crowds(per_address=1)

    assert all(crowds.arrive(None) for _ in range(3))
    crowds.depart(None)
    assert len(crowds) == 0


def test_a_user_has_so_many():
    """There is room until the last one, and again when one has left."""
    crowds = Crowds(per_user=2)
    entered(crowds, "a", user_id=1)

    assert crowds.has_room(1)
    entered(crowds, "b", user_id=1)
    assert not crowds.has_room(1)
    assert crowds.has_room(2)
    crowds.leave("a")
    assert crowds.has_room(1)


def test_of_a_device_the_newest_win():
    """One too many, and the oldest has to go."""
    crowds = Crowds(per_device=2)

    assert [entered(crowds, one, device_id=1) for one in "ab"] == [[], []]
    assert entered(crowds, "other", device_id=2) == []
    assert entered(crowds, "c", device_id=1) == ["a"]
    crowds.leave("a")
    assert entered(crowds, "d", device_id=1) == ["b"]


def test_entering_twice_is_entering_once():
    """Who says again who it is does not take a second place."""
    crowds = Crowds(per_user=2, per_device=1)

    for _ in range(2):
        assert entered(crowds, "a", user_id=1) == []
        assert entered(crowds, "b", device_id=1) == []
    assert crowds.has_room(1)


def test_no_limit_is_no_limit():
    """0: nobody is refused or sent away."""
    crowds, address = Crowds(), ip_address("192.0.2.1")

    for number in range(100):
        assert crowds.arrive(address)
        assert crowds.has_room(1)
        assert entered(crowds, number, user_id=1, device_id=1) == []


moves = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 2), st.none() | st.integers(0, 2)))


@given(moves)
def test_whatever_comes_and_goes_the_counts_are_right(moves):
    """Against a plain list: a user's room, a device's oldest, and nothing left at the end."""
    crowds, there = Crowds(per_user=2, per_device=2), {}

    for one, user_id, device_id in moves:
        if one in there:
            crowds.leave(one)
            del there[one]
            continue
        for gone in entered(crowds, one, user_id, device_id):
            assert next(other for other, (_, device) in there.items() if device == device_id) == gone
            crowds.leave(gone)
            del there[gone]
        there[one] = (user_id, device_id)
        users = Counter(user for user, _ in there.values())
        assert all(crowds.has_room(user) == (users[user] < 2) for user in range(3))
        assert max(Counter(device for _, device in there.values() if device is not None).values(), default=0) <= 2

    for one in there:
        crowds.leave(one)
        crowds.leave(one)
    assert len(crowds) == 0


# --- on other workers -------------------------------------------------------------------------------------------------


def test_a_users_connections_elsewhere_count():
    """A limit per user is one of the whole cluster."""
    crowds = Crowds(per_user=3)
    entered(crowds, "a", user_id=1)

    assert [crowds.has_room(1, elsewhere) for elsewhere in (0, 1, 2)] == [True, True, False]


@pytest.mark.parametrize(
    ("here", "elsewhere", "out"),
    [
        ([1, 4], [], []),
        ([1, 4], [2], ["at 1"]),
        ([3, 4], [1], []),
        ([1, 2], [3, 4], ["at 1", "at 2"]),
        ([4], [1, 2], []),
    ],
)
def test_a_devices_newest_win_wherever_they_are(here, elsewhere, out):
    """Each worker closes of its own what is among the oldest of all."""
    crowds = Crowds(per_device=2)
    for time_us in here:
        crowds.enter(f"at {time_us}", user_id=None, device_id=7, now_us=time_us)

    assert crowds.crowded_out(7, elsewhere) == out


def test_others_can_be_told_who_is_here():
    """Users by how many connections they have, devices by when these came."""
    crowds = Crowds()
    entered(crowds, "a", user_id=1)
    entered(crowds, "b", user_id=1)
    crowds.enter("c", user_id=None, device_id=7, now_us=5)

    assert {user_id: crowds.of_user(user_id) for user_id in [*crowds.users, 2]} == {1: 2, 2: 0}
    assert {device_id: crowds.of_device(device_id) for device_id in [*crowds.devices, 8]} == {7: [5], 8: []}
    assert (crowds.leave("c"), crowds.leave("c")) == ((None, 7), (None, None))
