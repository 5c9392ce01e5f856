"""Subscriptions and messages on their way: what they say of themselves."""

import pytest

from hub.core.access import Clause
from protocol.names import Kind, Overflow
from tests.builders import command, notification
from tests.helpers import connection, ids, placed, received, subscription


@pytest.mark.parametrize(
    ("members", "admitted"),
    [
        ({}, True),
        ({"kind": Kind.COMMAND}, False),
        ({"names": frozenset({"watts"})}, True),
        ({"names": frozenset({"volts"})}, False),
        ({"names": frozenset()}, False),
        ({"guids": frozenset({"lamp"})}, True),
        ({"guids": frozenset({"fan"})}, False),
        ({"guids": frozenset()}, False),
        ({"clauses": (Clause(networks=frozenset({2})), Clause(networks=frozenset({1})))}, True),
        ({"clauses": (Clause(networks=frozenset({2})),)}, False),
        ({"clauses": ()}, False),
    ],
)
def test_a_subscription_admits_what_it_wants_and_may_see(members, admitted):
    """Kind, names, devices and at least one clause; a list with nothing in it lets nothing pass."""
    ours = subscription(None, **{"clauses": (Clause(),), **members})

    assert ours.admits(placed(notification("lamp", "watts"), 1)) == admitted


@pytest.mark.parametrize(("names", "old"), [(None, True), (frozenset({"watts"}), False)])
def test_a_subscription_without_names_is_in_the_old_format(names, old):
    """Such a one can be ended by the devices that it named."""
    assert subscription(names=names).old_format == old


@pytest.mark.parametrize(("overflow", "plain"), [(Overflow.DISCONNECT, True), (Overflow.LATEST, False)])
def test_an_overflow_policy_is_nothing_plain(overflow, plain):
    """Only a subscription whose bucket decides everything takes the short way."""
    assert subscription(overflow=overflow).is_plain == plain


def test_holding_twice_keeps_what_is_held():
    """Access may change again before it was looked up."""
    ours, one = subscription(), placed(notification())
    ours.hold()
    ours.keep([one], limit=10_000)

    ours.hold()

    assert ours.let_go() == [one]
    assert ours.let_go() == []


def test_a_subscription_shows_what_it_is_for():
    """A failing test prints it."""
    ours = subscription(kind=Kind.COMMAND, guids=frozenset({"lamp"}))

    assert repr(ours) == f"Subscription({ours.id}, COMMAND, guids=frozenset({{'lamp'}}), names=None)"


def test_a_message_on_its_way_shows_itself():
    """A failing test prints the message."""
    on = command("lamp", "on")

    assert repr(placed(on)) == f"Published({on!r})"


def test_no_room_takes_nothing():
    """A reader that has no room at all gets nothing, and loses nothing."""
    here = connection()
    ours = subscription(here, overflow=Overflow.DROP_OLDEST)
    ours.defer([placed(notification())], limit=10_000)

    assert list(ours.take_deferred(0)) == []
    here.outbox.offer_all(frame for _, frame in ours.take_deferred(1))

    assert len(received(here)) == 1
    assert not ours.has_deferred


def test_a_command_that_expires_in_a_slow_readers_queue_is_not_sent():
    """A device must not carry out late what was meant for then."""
    here = connection()
    ours = subscription(here, kind=Kind.COMMAND, overflow=Overflow.DROP_OLDEST)
    short = command("lamp", lifetime_s=1, timestamp_ms=1_000)
    endless = command("lamp", timestamp_ms=1_000)

    ours.defer([placed(short), placed(endless)], 10_000)
    here.outbox.offer_all(frame for _, frame in ours.take_deferred(10_000, now_ms=2_000))

    assert ids(here) == [endless.id]
