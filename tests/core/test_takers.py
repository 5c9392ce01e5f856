"""What devices have got: which commands went to connections of their own, and that what is cancelled goes to nobody."""

import pytest

from hub.core.access import device_principal
from hub.core.fanout import FanOut
from protocol.names import Kind, Overflow
from tests.builders import command, device, notification, row
from tests.helpers import connection, ids, placed, publish, received, subscribed, subscription


def taker(fan_out, guid="lamp", **members):
    """A subscription that a device has made for its commands."""
    return subscribed(fan_out, kind=Kind.COMMAND, principal=device_principal(device(guid)), **members)


def taken(fan_out):
    fan_out.take_ready()
    return fan_out.takers.take_taken()


def test_what_a_device_is_given_is_told_once():
    """By the connection and the command; what others get of it is nobody's business here."""
    fan_out, on = FanOut(), command("lamp")
    ours = taker(fan_out)
    subscribed(fan_out, kind=Kind.COMMAND)
    taker(fan_out, "fan")

    publish(fan_out, on, notification("lamp"), command("door"))

    assert taken(fan_out) == [(ours.connection, on)]
    assert taken(fan_out) == []


def test_a_subscription_of_names_takes_those():
    """What it does not get it has not taken."""
    fan_out = FanOut()
    taker(fan_out, names=frozenset({"off"}))

    publish(fan_out, command("lamp", "on"), off := command("lamp", "off"))

    assert [one for _, one in taken(fan_out)] == [off]


def test_what_nobody_wanted_is_not_taken_by_whoever_comes_later():
    """A turn is over when it has brought nobody anything, too."""
    fan_out = FanOut()
    taker(fan_out, names=frozenset({"off"}))
    publish(fan_out, command("lamp", "on"))

    late = taker(fan_out)
    publish(fan_out, off := command("lamp", "dim"))

    assert taken(fan_out) == [(late.connection, off)]


def test_what_nobody_wants_is_not_kept():
    """A device may be told for days what it has not subscribed to."""
    fan_out = FanOut()
    ours = taker(fan_out, names=frozenset({"off"}))

    publish(fan_out, command("lamp", "on"))
    fan_out.take_ready()
    fan_out.unsubscribe(ours)

    assert fan_out.is_clean()


def test_a_dashboard_is_no_device():
    """Nor is a poll, which is never written to, nor whoever hears notifications."""
    fan_out, lamp = FanOut(), device_principal(device("lamp"))
    subscribed(fan_out, kind=Kind.COMMAND)
    subscribed(fan_out, kind=Kind.NOTIFICATION, principal=lamp)
    poll = subscription(kind=Kind.COMMAND, principal=lamp)
    poll.wakes = True
    poll.hold()
    fan_out.subscribe(poll)

    publish(fan_out, command("lamp"), notification("lamp"))

    assert taken(fan_out) == []
    assert not fan_out.takers.of(row("lamp"))


def test_what_is_cancelled_before_it_is_routed_goes_to_nobody():
    """It may have waited for its place among what other workers commit."""
    fan_out, on = FanOut(), command("lamp")
    ours = taker(fan_out)

    fan_out.cancel(on.id)
    publish(fan_out, on)

    assert taken(fan_out) == []
    assert ids(ours.connection) == []


def test_what_is_held_is_taken_when_it_flows():
    """And what came with the replay when it was sent."""
    fan_out = FanOut()
    ours = subscription(kind=Kind.COMMAND, principal=device_principal(device("lamp")))
    ours.hold()
    fan_out.subscribe(ours)
    earlier, on = command("lamp"), command("lamp")

    publish(fan_out, on)
    before = taken(fan_out)
    fan_out.replayed(ours, [placed(earlier)])
    fan_out.release(ours)

    assert before == []
    assert [one for _, one in taken(fan_out)] == [earlier, on]
    assert ids(ours.connection) == [earlier.id, on.id]


def test_what_a_replay_has_sent_is_not_taken_again():
    """It comes live as well, and is left out."""
    fan_out, on = FanOut(), command("lamp")
    ours = taker(fan_out)
    ours.skip = {on.id}
    fan_out.reroute(ours)

    publish(fan_out, on)

    assert taken(fan_out) == []


def test_a_slow_device_takes_what_is_written():
    """What an overflow policy has queued is taken when it goes."""
    fan_out, on = FanOut(), command("lamp")
    ours = taker(fan_out, overflow=Overflow.DROP_OLDEST)

    publish(fan_out, on)
    before = taken(fan_out)
    ours.hold()
    fan_out.release(ours)
    list(fan_out.take_deferred(ours.connection, 10_000))

    assert before == []
    assert taken(fan_out) == [(ours.connection, on)]


def test_what_is_released_to_a_policy_is_not_taken_yet():
    """It is queued first."""
    fan_out = FanOut()
    ours = subscription(kind=Kind.COMMAND, principal=device_principal(device("lamp")), overflow=Overflow.DROP_OLDEST)
    ours.hold()
    fan_out.subscribe(ours)

    publish(fan_out, command("lamp"))
    fan_out.release(ours)

    assert taken(fan_out) == []
    assert len(list(fan_out.take_deferred(ours.connection, 10_000))) == 1
    assert len(taken(fan_out)) == 1


def test_the_last_to_go_leaves_nothing():
    """Also where several took the commands of one device, and twice is harmless."""
    fan_out = FanOut()
    one, other = taker(fan_out), taker(fan_out)

    fan_out.unsubscribe(one)
    fan_out.unsubscribe(one)
    assert list(fan_out.takers.of(row("lamp"))) == [other]
    assert list(fan_out.takers.devices) == [row("lamp")]
    fan_out.unsubscribe(other)

    fan_out.unsubscribe(other)
    assert fan_out.is_clean()


# --- cancelled --------------------------------------------------------------------------------------------------------


def cancelled_while_held(fan_out, ours):
    ours.hold()
    fan_out.reroute(ours)
    publish(fan_out, off := command("lamp"), on := command("lamp"))
    fan_out.settle()
    fan_out.cancel(off.id)
    fan_out.release(ours)
    return on


def cancelled_in_a_replay(fan_out, ours):
    off, on = command("lamp"), command("lamp")
    fan_out.cancel(off.id)
    fan_out.replayed(ours, [placed(off)])
    fan_out.replayed(ours, [placed(off), placed(on)])
    return on


def cancelled_in_the_turn_that_brought_it(fan_out, ours):
    publish(fan_out, off := command("lamp"), on := command("lamp"))
    fan_out.cancel(off.id)
    return on


@pytest.mark.parametrize(
    "how",
    [cancelled_while_held, cancelled_in_a_replay, cancelled_in_the_turn_that_brought_it],
    ids=lambda how: how.__name__,
)
def test_what_is_cancelled_goes_to_nobody(how):
    """Whoever holds it; what came beside it goes as ever."""
    fan_out = FanOut()
    ours = taker(fan_out)

    on = how(fan_out, ours)

    assert [one for _, one in taken(fan_out)] == [on]
    assert ids(ours.connection) == [on.id]


def test_what_is_cancelled_leaves_a_slow_readers_queue():
    """It is passed over when its turn comes."""
    fan_out = FanOut()
    ours = taker(fan_out, overflow=Overflow.DROP_OLDEST)
    publish(fan_out, off := command("lamp"), on := command("lamp"))
    fan_out.take_ready()

    fan_out.cancel(off.id)
    ours.connection.outbox.offer_all(fan_out.take_deferred(ours.connection, 10_000))

    assert ids(ours.connection) == [on.id]


def test_a_turn_of_which_everything_is_cancelled_leaves_nothing():
    """No bucket stays touched."""
    fan_out = FanOut()
    ours = taker(fan_out)
    publish(fan_out, off := command("lamp"))

    fan_out.cancel(off.id)

    assert fan_out.take_ready() == []
    assert taken(fan_out) == []
    fan_out.unsubscribe(ours)
    assert fan_out.is_clean()


# --- who hears of a state ---------------------------------------------------------------------------------------------


def test_a_change_of_state_is_for_extended_connections_only():
    """Until the device has said something; then it is an update for everybody, with and without the state."""
    fan_out, on = FanOut(), command("lamp")
    plain, extended = connection(), connection(extended=True)
    for one in (plain, extended):
        fan_out.listen(on.id, one)

    fan_out.update(on)
    fan_out.take_ready()
    silent, told = received(plain), received(extended)
    fan_out.update(command("lamp", id=on.id, updated=True, status="ok"))
    fan_out.take_ready()

    assert (silent, told[0]["command"]["state"]) == ([], "queued")
    assert "state" not in received(plain)[0]["command"]
    assert received(extended)[0]["command"]["state"] == "queued"
    assert fan_out.is_listened_to(on.id)
    assert not fan_out.is_listened_to(on.id + 1)


def test_a_connection_is_told_something_unasked():
    """In its own codec, in front of what follows."""
    here = connection()

    here.tell({"action": "x"})

    assert received(here) == [{"action": "x"}]
