"""Fan-out: who gets what, in which bytes, and what is left behind. Routing as a whole: ``test_routing.py``."""

import pytest

from hub.core.access import Clause
from hub.core.fanout import FanOut
from hub.core.index import Index, find_bucket
from protocol.codecs import CODECS, JSON, MSGPACK
from protocol.names import Kind, Overflow
from tests.builders import command, notification
from tests.helpers import (
    connection,
    ids,
    limited,
    placed,
    publish,
    received,
    subscribed,
    subscription,
    unframed,
    values,
)

codecs = pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])


# --- frames -----------------------------------------------------------------------------------------------------------


@codecs
def test_a_push_has_four_members(codec):
    """Old clients index them without looking, and take a ``requestId`` for a sign of a response."""
    fan_out, here, watts = FanOut(), connection(codec), notification("lamp", "watts", {"value": 60})
    ours = subscribed(fan_out, here)

    publish(fan_out, watts)
    fan_out.take_ready()

    (frame,) = received(here)
    assert frame.keys() == {"action", "deviceGuid", "notification", "subscriptionId"}
    assert (frame["action"], frame["subscriptionId"]) == ("notification/insert", ours.id)


@codecs
@pytest.mark.parametrize("length", [0, 125, 126, 1_000, 65_535, 65_536, 200_000])
def test_frames_of_every_length_are_whole(codec, length):
    """A turn's messages are joined into one piece, and each is still a frame of its own."""
    fan_out, here = FanOut(), connection(codec)
    subscribed(fan_out, here)

    publish(fan_out, *(notification("lamp", "log", text) for text in ("x" * length, "short", "y" * length)))
    fan_out.take_ready()

    assert values(here) == ["x" * length, "short", "y" * length]


def test_a_message_is_encoded_once_per_codec():
    """However many subscribers there are, they share the bytes of the body."""
    fan_out = FanOut()
    for codec in [JSON, JSON, MSGPACK, MSGPACK]:
        subscribed(fan_out, connection(codec))
    one = placed(notification())

    fan_out.publish(one)
    fan_out.take_ready()

    assert one.body(0) is one.body(0)
    assert [one.body(number) for number in (0, 1)] == [codec.body(one.message) for codec in CODECS]


def test_two_subscriptions_of_a_connection_get_a_frame_each():
    """Each push names the subscription that it is for."""
    fan_out, here = FanOut(), connection()
    ours = [subscribed(fan_out, here), subscribed(fan_out, here, guids=frozenset({"lamp"}))]

    publish(fan_out, notification("lamp"))
    fan_out.take_ready()

    assert {frame["subscriptionId"] for frame in received(here)} == {one.id for one in ours}


# --- turns ------------------------------------------------------------------------------------------------------------


def test_a_turn_writes_to_a_socket_once():
    """However many messages a turn brings, a connection is visited once."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here)

    publish(fan_out, notification(), notification(), notification())

    assert fan_out.take_ready() == [here]
    assert fan_out.take_ready() == []


def test_a_slow_reader_does_not_delay_the_others():
    """Overflowing one outbox changes nothing for another."""
    fan_out, slow, fast = FanOut(), limited(outbox_bytes=64), connection()
    subscribed(fan_out, slow)
    subscribed(fan_out, fast)

    publish(fan_out, *(notification("lamp", "watts", 60) for _ in range(3)))
    ready = fan_out.take_ready()

    assert slow.outbox.overflowed
    assert slow in ready
    assert values(fast) == [60, 60, 60]


def test_a_subscription_begins_after_what_was_published_before_it():
    """What came earlier in the same turn is history, and its position says where live begins."""
    fan_out, here, earlier, later = FanOut(), connection(), notification(), notification()
    subscribed(fan_out, guids=frozenset({"lamp"}))

    publish(fan_out, earlier)
    ours = subscribed(fan_out, here)
    publish(fan_out, later)
    fan_out.take_ready()

    assert ours.position == earlier.id
    assert ids(here) == [later.id]


def test_an_ended_subscription_gets_nothing_of_the_turn():
    """Also what was collected for it and not yet delivered is dropped."""
    fan_out, here = FanOut(), connection()
    ours = subscribed(fan_out, here)

    publish(fan_out, notification())
    fan_out.unsubscribe(ours)

    assert fan_out.take_ready() == []
    assert ids(here) == []


@pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])
def test_deliveries_are_counted(codec):
    """A delivery is one message at one subscription, however it gets there."""
    fan_out, here = FanOut(), connection(codec)
    subscribed(fan_out, here)
    subscribed(fan_out, here, Clause(networks=frozenset({1, 2})))
    subscribed(fan_out, here, overflow=Overflow.LATEST)

    publish(fan_out, notification("lamp"), notification("fan"))
    fan_out.take_ready()
    here.outbox.offer_all(fan_out.take_deferred(here, 1_000))

    assert fan_out.deliveries == len(received(here)) == 6


# --- what routing has to get right ------------------------------------------------------------------------------------


def test_a_subscription_without_a_name_gets_nothing():
    """A list with nothing in it is a filter that nothing passes, not the absence of one."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here, names=frozenset())

    publish(fan_out, notification())

    assert fan_out.take_ready() == []
    assert fan_out.is_clean()


WAYS = {
    "everything": Clause(),
    "a network": Clause(networks=frozenset({1})),
    "a group": Clause(groups=frozenset({10})),
    "a device": Clause(guids=frozenset({"lamp"})),
    "a device, if in the network": Clause(networks=frozenset({1}), guids=frozenset({"lamp"})),
    "a network, if in the group": Clause(networks=frozenset({1}), groups=frozenset({10})),
}


@pytest.mark.parametrize("names", [None, frozenset({"watts"}), frozenset({"watts", "volts"}), frozenset({"volts"})])
@pytest.mark.parametrize("clause", WAYS.values(), ids=WAYS)
def test_every_way_leads_to_its_devices_and_names(clause, names):
    """Whatever a clause names, and whether a subscription names names, what comes is what both admit."""
    fan_out, here, sent = FanOut(), connection(), []
    ours = subscribed(fan_out, here, clause, names=names)

    for guid, network_id, groups in [("lamp", 1, (10,)), ("lamp", 1, ()), ("lamp", None, ()), ("fan", 2, (20, 10))]:
        sent.append(placed(notification(guid, "watts"), network_id, groups))
        fan_out.publish(sent[-1])
    fan_out.take_ready()

    assert ids(here) == [one.message.id for one in sent if ours.admits(one)]
    fan_out.unsubscribe(ours)
    assert fan_out.is_clean()


def test_a_subscription_to_what_may_not_be_seen_stands_nowhere():
    """It stays, gets nothing, and costs nothing until access comes back."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here, Clause(guids=frozenset({"lamp"})), guids=frozenset({"fan"}))

    publish(fan_out, notification("lamp"), notification("fan"))

    assert fan_out.take_ready() == []
    assert fan_out.is_clean()


def test_a_name_that_goes_leaves_the_others():
    """Subscribers of one device with different names, or none, come and go apart."""
    fan_out, here, one = FanOut(), connection(), notification("lamp", "watts")
    clause = Clause(guids=frozenset({"lamp"}))
    made = [subscribed(fan_out, here, clause, names=names) for names in (None, frozenset({"a"}), frozenset({"watts"}))]

    fan_out.unsubscribe(made[0])
    fan_out.unsubscribe(made[1])
    publish(fan_out, one)
    fan_out.take_ready()

    assert ids(here) == [one.id]


def test_a_message_that_several_ways_lead_to_comes_once():
    """A device that is reached through its network, its group and a link is one device."""
    fan_out, here, one = FanOut(), connection(), notification("lamp")
    ways = Clause(networks=frozenset({1})), Clause(guids=frozenset({"lamp"})), Clause(groups=frozenset({10, 20}))
    subscribed(fan_out, here, *ways)

    publish(fan_out, one, network_id=1, groups=(10, 20))
    fan_out.take_ready()

    assert ids(here) == [one.id]


def test_a_condition_on_one_way_does_not_close_another():
    """A device that is reached without a condition is reached, whatever else is asked of it elsewhere."""
    fan_out, here, one = FanOut(), connection(), notification("lamp")
    strict, open_ = Clause(networks=frozenset({9}), guids=frozenset({"lamp"})), Clause(guids=frozenset({"lamp"}))
    subscribed(fan_out, here, strict, open_, strict)

    publish(fan_out, one, network_id=1)
    fan_out.take_ready()

    assert ids(here) == [one.id]


def test_messages_of_several_devices_come_in_the_order_of_their_ids():
    """What several buckets have collected is one stream again."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here, guids=frozenset({"lamp", "fan", "door"}))
    messages = [notification(guid) for guid in ("lamp", "fan", "lamp", "door", "fan", "lamp")]

    publish(fan_out, *messages)
    fan_out.take_ready()

    assert ids(here) == [message.id for message in messages]


@codecs
def test_subscribers_of_the_same_networks_share_their_bytes(codec):
    """Whoever stands in several buckets gets what was published in any of them, as others with the same do."""
    fan_out, here, there, other = FanOut(), connection(codec), connection(codec), connection(MSGPACK)
    for reader in (here, there, other):
        subscribed(fan_out, reader, Clause(networks=frozenset({1, 2})))
    first, second = notification("lamp"), notification("fan")

    publish(fan_out, first, network_id=2)
    publish(fan_out, second, network_id=1)
    fan_out.take_ready()

    assert [ids(reader) for reader in (here, there, other)] == [[first.id, second.id]] * 3


# --- updates of commands ----------------------------------------------------------------------------------------------


def test_an_update_goes_to_those_who_listen():
    """The connections that inserted a command hear what became of it, each in its codec, and nobody else does."""
    fan_out, on = FanOut(), command("lamp", "on", status="Done", updated=True)
    listeners, other = [connection(JSON), connection(MSGPACK), connection(JSON)], connection()
    for listener in listeners:
        fan_out.listen(on.id, listener)

    fan_out.update(on)
    ready = fan_out.take_ready()

    assert set(ready) == set(listeners)
    for listener in listeners:
        (frame,) = received(listener)
        assert frame.keys() == {"action", "command"}
        assert (frame["action"], frame["command"]["status"]) == ("command/update", "Done")
    assert received(other) == []


def test_a_second_update_needs_no_second_visit():
    """Both leave with the same write."""
    fan_out, here, on = FanOut(), connection(), command(updated=True)
    fan_out.listen(on.id, here)

    fan_out.update(on)
    fan_out.update(on)

    assert fan_out.take_ready() == [here]
    assert len(received(here)) == 2


def test_who_has_forgotten_a_command_hears_no_more_of_it():
    """Forgetting is per connection, and doing it twice is harmless."""
    fan_out, here, there, on = FanOut(), connection(), connection(), command(updated=True)
    fan_out.listen(on.id, here)
    fan_out.listen(on.id, there)

    fan_out.forget(on.id, here)
    fan_out.forget(on.id, here)
    fan_out.update(on)
    fan_out.take_ready()

    assert (len(received(here)), len(received(there))) == (0, 1)


def test_the_last_to_forget_a_command_leaves_nothing():
    """An update that nobody waits for goes nowhere."""
    fan_out, here, on = FanOut(), connection(), command(updated=True)
    fan_out.listen(on.id, here)

    fan_out.forget(on.id, here)
    fan_out.forget(on.id, here)
    fan_out.update(on)

    assert fan_out.take_ready() == []
    assert fan_out.is_clean()


def test_a_reminder_goes_to_one_connection():
    """A connection that may have missed an update gets the command as it is, whether it listens or not."""
    fan_out, here, on = FanOut(), connection(), command(status="Done", updated=True)
    fan_out.listen(on.id, connection())

    fan_out.remind(here, on)

    assert fan_out.take_ready() == [here]
    assert [frame["command"]["status"] for frame in received(here)] == ["Done"]


# --- holding ----------------------------------------------------------------------------------------------------------


def test_a_held_subscription_gets_everything_when_it_is_released():
    """Nothing is lost while access is looked up, and nothing comes before it."""
    fan_out, here, one, two = FanOut(), connection(), notification(), notification()
    ours = subscribed(fan_out, here)
    ours.hold()
    fan_out.reroute(ours)

    publish(fan_out, one)
    fan_out.take_ready()
    early = ids(here)
    fan_out.release(ours)
    publish(fan_out, two)
    fan_out.take_ready()

    assert early == []
    assert ids(here) == [one.id, two.id]


def test_what_may_no_longer_be_seen_is_not_released():
    """What was held is asked again by the access that is then in force."""
    fan_out, here = FanOut(), connection()
    ours = subscribed(fan_out, here)
    ours.hold()
    fan_out.reroute(ours)
    publish(fan_out, notification("lamp"))

    ours.clauses = (Clause(guids=frozenset({"fan"})),)
    fan_out.release(ours)
    publish(fan_out, notification("lamp"))

    assert fan_out.take_ready() == []


@pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.LATEST])
def test_what_may_no_longer_be_seen_does_not_wait_for_a_slow_reader(overflow):
    """What an overflow policy has queued is asked again as well, however long its reader takes."""
    fan_out, here = FanOut(), connection()
    ours = subscribed(fan_out, here, overflow=overflow)
    publish(fan_out, notification("lamp"), fan := notification("fan"))
    fan_out.take_ready()

    ours.hold()
    fan_out.reroute(ours)
    ours.clauses = (Clause(guids=frozenset({"fan"})),)
    fan_out.release(ours)

    here.outbox.offer_all(fan_out.take_deferred(here, 10_000))
    assert ids(here) == [fan.id]


def test_what_wakes_is_visited_when_it_has_something_to_hold():
    """Once in a turn; what it holds is taken from it, and it holds on."""
    fan_out, here, one, two = FanOut(), connection(), notification("lamp"), notification("lamp")
    ours = subscription(here, Clause(guids=frozenset({"lamp"})))
    ours.wakes = True
    ours.hold()
    fan_out.subscribe(ours)

    publish(fan_out, one, two)
    ready = fan_out.take_ready()
    held = [published.message for published in ours.take_held()]
    publish(fan_out, notification("fan"))

    assert (ready, held) == ([here], [one, two])
    assert fan_out.take_ready() == []
    assert (ours.held, ours.held_size) == ([], 0)


def test_too_much_to_hold_is_dropped_and_said():
    """Holding is bounded; the log has what was dropped."""
    fan_out, here = FanOut(hold_bytes=400), connection()
    ours = subscribed(fan_out, here)
    ours.hold()
    fan_out.reroute(ours)

    publish(fan_out, *(notification() for _ in range(10)))
    fan_out.take_ready()
    fan_out.release(ours)

    assert ours.overrun
    assert fan_out.take_ready() == []


# --- overflow policies ------------------------------------------------------------------------------------------------


def test_the_oldest_go_when_a_reader_is_slow():
    """``drop-oldest`` keeps the newest that fit, and says how many went."""
    fan_out, here = FanOut(hold_bytes=1_000), connection()
    subscribed(fan_out, here, overflow=Overflow.DROP_OLDEST)

    publish(fan_out, *(notification("lamp", "watts", value) for value in range(100)))
    fan_out.take_ready()
    here.outbox.offer_all(fan_out.take_deferred(here, 10_000))

    first, *others = received(here)
    kept = [frame["notification"]["parameters"] for frame in (first, *others)]
    assert kept == list(range(100 - len(kept), 100))
    assert 1 < len(kept) < 10
    assert first["dropped"] == 100 - len(kept)
    assert not any("dropped" in frame for frame in others)


def test_the_newest_stays_however_large_it_is():
    """A message beyond the bound replaces all before it, and is not dropped itself."""
    fan_out, here = FanOut(hold_bytes=100), connection()
    subscribed(fan_out, here, overflow=Overflow.DROP_OLDEST)

    publish(fan_out, notification("lamp", "log", "small"), notification("lamp", "log", "x" * 1_000))
    fan_out.take_ready()
    here.outbox.offer_all(fan_out.take_deferred(here, 10_000))

    assert values(here) == ["x" * 1_000]


def test_only_the_latest_of_a_device_and_name_waits():
    """``latest`` keeps one message of each, in the order of their ids."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here, overflow=Overflow.LATEST)

    publish(
        fan_out,
        *(notification(guid, name) for guid in ("lamp", "fan") for name in ("watts", "volts")),
        *(last := [notification("fan", "watts"), notification("lamp", "watts")]),
    )
    fan_out.take_ready()
    here.outbox.offer_all(fan_out.take_deferred(here, 10_000))

    frames = received(here)
    assert [(one["deviceGuid"], one["notification"]["notification"]) for one in frames] == [
        ("lamp", "volts"),
        ("fan", "volts"),
        ("fan", "watts"),
        ("lamp", "watts"),
    ]
    assert [one["notification"]["id"] for one in frames[2:]] == [message.id for message in last]
    assert sum(one.get("dropped", 0) for one in frames) == 2


@codecs
def test_a_reader_gets_what_it_has_room_for(codec):
    """The rest waits; at least one message comes while there is any room."""
    fan_out, here = FanOut(), connection(codec)
    subscribed(fan_out, here, overflow=Overflow.DROP_OLDEST)
    messages = [notification() for _ in range(5)]
    publish(fan_out, *messages)
    fan_out.take_ready()

    visits = []
    while fan_out.deferred_to(here):
        here.outbox.offer_all(fan_out.take_deferred(here, 250))
        visits.append(ids(here))

    assert visits == [[one.id for one in messages[:2]], [one.id for one in messages[2:4]], [messages[4].id]]


def test_room_is_shared_among_subscriptions():
    """One that has much to send does not starve the other ones of its connection."""
    fan_out, here = FanOut(), connection()
    for guid in ("lamp", "fan"):
        subscribed(fan_out, here, guids=frozenset({guid}), overflow=Overflow.DROP_OLDEST)
    publish(fan_out, *(notification("lamp") for _ in range(9)), notification("fan"))
    fan_out.take_ready()

    here.outbox.offer_all(fan_out.take_deferred(here, 500))

    assert {frame["deviceGuid"] for frame in received(here)} == {"lamp", "fan"}
    assert fan_out.deferred_to(here)


def test_what_was_queued_goes_with_its_subscription():
    """An ended subscription gets nothing more, and those beside it lose nothing."""
    fan_out, here, one = FanOut(), connection(), notification("fan")
    ended, _ = (
        subscribed(fan_out, here, guids=frozenset({guid}), overflow=Overflow.DROP_OLDEST) for guid in ("lamp", "fan")
    )
    publish(fan_out, notification("lamp"), one)
    fan_out.take_ready()

    fan_out.unsubscribe(ended)

    here.outbox.offer_all(fan_out.take_deferred(here, 10_000))
    assert ids(here) == [one.id]


def test_the_last_to_go_leaves_nothing_queued():
    """A connection without subscriptions has nothing to wait for."""
    fan_out, here = FanOut(), connection()
    ours = subscribed(fan_out, here, overflow=Overflow.LATEST)
    publish(fan_out, notification())
    fan_out.take_ready()

    fan_out.unsubscribe(ours)

    assert not fan_out.deferred_to(here)
    assert fan_out.is_clean()


def test_a_reader_that_keeps_up_loses_nothing_however_long_it_goes_on():
    """What is queued is measured the same when it comes and when it goes: readers share messages in two codecs."""
    fan_out = FanOut(hold_bytes=2_000)
    readers = [connection(MSGPACK), connection(MSGPACK), connection(JSON)]
    for reader in readers:
        subscribed(fan_out, reader, overflow=Overflow.DROP_OLDEST)

    for value in range(300):
        publish(fan_out, notification("lamp", "watts", value), notification("lamp", "watts", value))
        for reader in fan_out.take_ready():
            reader.outbox.offer_all(fan_out.take_deferred(reader, 10_000))

    assert [len(ids(reader)) for reader in readers] == [600, 600, 600]


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_nothing_is_left_when_everybody_is_gone():
    """Topics, buckets and listeners go with the last who needs them."""
    fan_out, here, on = FanOut(), connection(), command()
    clauses = Clause(networks=frozenset({1})), Clause(groups=frozenset({10}))
    made = [subscribed(fan_out, here, *clauses, names=names) for names in (None, frozenset({"a"}), frozenset({"a"}))]
    made.append(subscribed(fan_out, here, kind=Kind.COMMAND, guids=frozenset({"lamp", "fan"})))
    fan_out.listen(on.id, here)

    states = []
    for ours in made:
        states.append(fan_out.is_clean())
        fan_out.unsubscribe(ours)
    states.append(fan_out.is_clean())
    fan_out.forget(on.id, here)

    assert states == [False] * 5
    assert fan_out.is_clean()


def test_a_bucket_shows_where_it_stands():
    """A failing test prints topic and name."""
    assert repr(find_bucket(Index().devices, "lamp", "watts")) == "Bucket('lamp', name='watts', special=0)"


def test_nothing_of_a_replays_page_means_nothing_to_do():
    """A page in which the subscription may see nothing is no delivery."""
    fan_out, ours = FanOut(), subscription()

    fan_out.replayed(ours, [])

    assert fan_out.take_ready() == []


def test_what_leaves_is_framed():
    """The reader of these tests finds the frames that the fan-out has written."""
    fan_out, here = FanOut(), connection(MSGPACK)
    subscribed(fan_out, here)

    publish(fan_out, notification(), notification())
    fan_out.take_ready()

    assert [opcode for opcode, _ in unframed(here.outbox.take(0))] == [2, 2]


def test_one_visit_never_takes_much_more_than_its_room():
    """With many subscriptions the rest wait for the next visit; otherwise they would overflow the outbox together."""
    fan_out, here, one = FanOut(), connection(), notification("lamp")
    for _ in range(3):
        subscribed(fan_out, here, overflow=Overflow.DROP_OLDEST)
    publish(fan_out, one)
    fan_out.take_ready()

    visits = []
    while fan_out.deferred_to(here):
        here.outbox.offer_all(fan_out.take_deferred(here, 10))
        visits.append(ids(here))

    assert visits == [[one.id]] * 3


def test_a_great_many_names_are_sifted_not_indexed():
    """A bucket for each of a thousand names of each of a hundred devices would cost more than all the rest."""
    fan_out = FanOut()
    guids = frozenset(f"lamp-{number}" for number in range(100))
    names = frozenset(f"name-{number}" for number in range(1_000))
    ours = subscribed(fan_out, guids=guids, names=names)
    wanted, others = notification("lamp-7", "name-7"), [notification("lamp-7", "else"), notification("fan", "name-7")]

    publish(fan_out, *others, wanted)
    fan_out.take_ready()

    assert ids(ours.connection) == [wanted.id]
    assert len(ours.buckets) == len(guids)
    fan_out.unsubscribe(ours)
    assert fan_out.is_clean()


def test_sifting_looks_at_conditions_too():
    """A key that names networks and devices gets what both admit, by the names that it asked for."""
    fan_out = FanOut()
    clause = Clause(networks=frozenset({1}), guids=frozenset({"lamp"}))
    names = frozenset(f"name-{number}" for number in range(300))
    ours = subscribed(fan_out, None, clause, names=names)
    here, there = notification("lamp", "name-1"), notification("lamp", "name-1")

    publish(fan_out, here, network_id=1)
    publish(fan_out, there, network_id=2)
    fan_out.take_ready()

    assert ids(ours.connection) == [here.id]


# --- the same conditions ----------------------------------------------------------------------------------------------


@codecs
def test_subscribers_under_the_same_conditions_get_the_same_and_others_what_they_may(codec):
    """Who shares bucket and conditions shares bytes; who has other conditions there is asked apart."""
    fan_out, one, two, other = FanOut(), connection(codec), connection(codec), connection(codec)
    for to, network in ((one, 1), (two, 1), (other, 2)):
        subscribed(fan_out, to, Clause(networks=frozenset((network,))), guids=frozenset(("lamp",)))
    watts = notification("lamp"), notification("lamp")

    publish(fan_out, *watts, network_id=1)
    ready = fan_out.take_ready()

    assert set(ready) == {one, two}
    assert ids(one) == ids(two) == [message.id for message in watts]
    assert ids(other) == []


def test_whether_anything_is_deferred_is_known_without_asking_for_each_connection():
    """An overflow policy that has queued something shows, until it is taken."""
    fan_out, here = FanOut(), connection()
    subscribed(fan_out, here, overflow=Overflow.LATEST)
    assert not fan_out.has_deferred

    publish(fan_out, notification())
    fan_out.take_ready()
    assert fan_out.has_deferred

    list(fan_out.take_deferred(here, 10_000))
    assert not fan_out.has_deferred


# --- audiences: what is written to many sockets at once ---------------------------------------------------------------


def audience(fan_out: FanOut, count: int, **limits) -> list:
    """Subscriptions, each the only one of a connection that can be written to together with others."""
    made = []
    for line in range(count):
        here = limited(**limits)
        here.line = line
        made.append(subscribed(fan_out, here))
    return made


def test_what_an_audience_gets_is_handed_out_once():
    """One share stands for all of them; no outbox is touched."""
    fan_out = FanOut(together_from=3)
    made = audience(fan_out, 3)
    publish(fan_out, notification(), notification())

    [share] = fan_out.take_shares()

    assert fan_out.take_ready() == []
    assert [len(one.connection.outbox) for one in made] == [0, 0, 0]
    assert list(share.audience.lines) == [0, 1, 2]
    assert {len(unframed(share.payload(seat))) for seat in range(share.seats)} == {2}
    assert fan_out.deliveries == 6


def test_a_small_audience_is_served_one_by_one():
    """What they share is not worth preparing for a few."""
    fan_out = FanOut(together_from=3)
    first, second = audience(fan_out, 2)
    publish(fan_out, notification())

    assert fan_out.take_shares() == []
    assert fan_out.take_ready() == [first.connection, second.connection]


def test_what_no_outbox_would_hold_is_not_shared():
    """A turn's messages that are more than may wait for a socket close it, as they do one by one."""
    fan_out = FanOut(together_from=1)
    [one] = audience(fan_out, 1, outbox_bytes=100)
    publish(fan_out, notification())

    assert fan_out.take_shares() == []
    assert one.connection.outbox.overflowed


def test_a_connection_with_two_subscriptions_is_in_no_audience():
    """Both go through its outbox, so that it is written to once; alone again, the one left is shared again."""
    fan_out = FanOut(together_from=1)
    [one] = audience(fan_out, 1)
    other = subscribed(fan_out, one.connection, kind=Kind.COMMAND)
    publish(fan_out, notification(), command())

    assert fan_out.take_shares() == []
    assert len(ids(one.connection)) == 2

    fan_out.take_ready()
    del one.connection.subscriptions[one.id]
    fan_out.unsubscribe(one)
    publish(fan_out, notification(), command())
    [share] = fan_out.take_shares()
    assert share.audience.subscriptions == [other]


def test_whoever_leaves_an_audience_leaves_the_others_their_heads():
    """The last one takes the seat of the one that left."""
    fan_out = FanOut(together_from=1)
    first, *others = audience(fan_out, 4)
    del first.connection.subscriptions[first.id]
    fan_out.unsubscribe(first)
    publish(fan_out, notification())

    [share] = fan_out.take_shares()

    shared = {share.audience.lines[seat]: share.payload(seat) for seat in range(share.seats)}
    size = len(first.head)
    heads = [bytes(share.audience.heads[seat * size : (seat + 1) * size]) for seat in range(share.seats)]
    assert {one.connection.line: one.head in shared[one.connection.line] for one in others} == {
        1: True,
        2: True,
        3: True,
    }
    assert heads == [one.head for one in share.audience.subscriptions]
