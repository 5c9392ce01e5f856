"""What waits to be sent: joined into few messages, in order, within bounds."""

from hub.bus import TOPICS, Presence, topics_of
from hub.bus.redis_pending import MESSAGE_BYTES, TAKE_BYTES, WIDE_TOPICS, Parcel, Pending
from hub.bus.wire import decode
from protocol.names import Kind
from tests.bus.hearing import WATTS, bundle, section

ALL = range(TOPICS)


def pending(*bundles, limit_bytes=1 << 30):
    made = Pending(limit_bytes)
    for each in bundles:
        assert made.offer(each)
    return made


def ids(parcels: list[Parcel], topic: int) -> list[int]:
    sections = [found for parcel in parcels for found in decode(parcel.data, ALL).sections if found.topic == topic]
    return [item.message.id for found in sections for item in found.items]


def test_what_came_meanwhile_is_joined():
    """A hundred bundles of one topic become one message with one section."""
    waiting = pending(*(bundle(section(WATTS, number, before=number - 1)) for number in range(1, 101)))

    (parcel,) = waiting.take()

    (found,) = decode(parcel.data, ALL).sections
    assert (found.before, len(found.items), parcel.items) == (0, 100, 100)
    assert not waiting


def test_a_gap_is_not_joined_away():
    """Sections that do not follow each other stay apart, each with what came before it."""
    waiting = pending(bundle(section(WATTS, 1)), bundle(section(WATTS, 5, before=3)))

    (parcel,) = waiting.take()

    assert [found.before for found in decode(parcel.data, ALL).sections] == [0, 3]


def test_many_small_topics_share_a_message():
    """More than a few topics travel together, to everybody."""
    topics = topics_of(Kind.NOTIFICATION)[: WIDE_TOPICS + 1]

    (parcel,) = pending(bundle(*(section(topic, 1) for topic in topics))).take()

    assert parcel.topic is None


def test_few_topics_go_to_those_who_follow_them():
    """A message goes on its topic's own channel when there are few."""
    topics = topics_of(Kind.NOTIFICATION)[:WIDE_TOPICS]

    parcels = pending(bundle(*(section(topic, 1) for topic in topics))).take()

    assert [parcel.topic for parcel in parcels] == list(topics)


def test_a_large_section_is_not_sent_to_everybody():
    """Those who do not follow a topic need not receive much of it."""
    topics = topics_of(Kind.NOTIFICATION)[:10]
    large = section(topics[3], *range(1, 200), parameters="x" * 200)

    parcels = pending(bundle(*(section(topic, 1) for topic in topics if topic != topics[3]), large)).take()

    assert [parcel.topic for parcel in parcels] == [topics[3], None]


def test_on_a_cluster_no_topic_uses_two_channels():
    """Without the wide channel each topic keeps to its own, however many there are."""
    waiting = pending(bundle(*(section(topic, 1) for topic in range(64)), revision=1))
    waiting.wide = False

    assert [parcel.topic for parcel in waiting.take()] == [*range(64), None]


def test_much_is_sent_in_portions():
    """Neither a message nor what is taken at once grows without bounds; the order stays."""
    sent = (bundle(section(WATTS, number, before=number - 1, parameters="x" * 100_000)) for number in range(1, 101))
    waiting = pending(*sent)

    first = waiting.take()
    rest = first + waiting.take() + waiting.take()

    assert sum(len(parcel.data) for parcel in first) < TAKE_BYTES + MESSAGE_BYTES
    assert max(len(parcel.data) for parcel in rest) < MESSAGE_BYTES + 200_000
    assert ids(rest, WATTS) == list(range(1, 101))
    assert waiting.size_bytes == 0


def test_ends_are_told_after_what_they_are_the_ends_of():
    """While sections of the sender wait, so do its ends."""
    sent = [bundle(section(WATTS, number, parameters="x" * 1_000_000)) for number in range(1, 9)]
    waiting = pending(*sent, bundle(ends={WATTS: 8}))

    first, second = waiting.take(), waiting.take()

    assert not any(decode(parcel.data, ALL).ends for parcel in first)
    assert decode(second[-1].data, ALL).ends == {WATTS: 8}


def test_at_the_bound_a_bundle_is_refused_whole():
    """What does not fit leaves nothing behind, and there is room again when something was taken."""
    waiting = pending(bundle(section(WATTS, 1, parameters="x" * 800)), limit_bytes=1_000)

    assert not waiting.offer(bundle(section(WATTS, 2, parameters="x" * 800)))
    assert ids(waiting.take(), WATTS) == [1]
    assert waiting.offer(bundle(section(WATTS, 3, parameters="x" * 800)))


def test_what_cannot_be_encoded_is_refused():
    """A value without a place on the wire raises nothing, and harms nothing beside it."""
    waiting = pending(bundle(section(WATTS, 1)))

    assert not waiting.offer(bundle(section(WATTS, 2, name="\ud800")))
    assert not waiting.offer(bundle(section(WATTS, 2**70)))
    assert not waiting.offer(bundle(section(WATTS)))
    assert not waiting.offer(bundle(worker="w" * 300, leaving=True))
    assert ids(waiting.take(), WATTS) == [1]


def test_presence_adds_up():
    """Changes after a whole are taken into it; what is gone is left out."""
    whole = Presence({1: 1, 2: 1}, {7: (10,), 8: (11,)}, whole=True)
    change = Presence({2: 0, 3: 2}, {8: (), 9: (12, 13)})

    (parcel,) = pending(bundle(presence=whole), bundle(presence=change)).take()

    assert decode(parcel.data, ALL).presence == Presence({1: 1, 3: 2}, {7: (10,), 9: (12, 13)}, whole=True)


def test_the_last_word_counts():
    """Of ends, floors and revisions told at once the greatest is left; a farewell stays one."""
    words = (
        bundle(ends={1: 5, 2: 6}, floor=4, floor_ms=40, revision=9),
        bundle(asks_ms=60),
        bundle(asks_ms=50),
        bundle(ends={2: 7}, floor=5, floor_ms=50, leaving=True),
    )

    (parcel,) = pending(*words).take()

    found = decode(parcel.data, ALL)
    assert (found.ends, found.floor, found.revision, found.leaving) == ({1: 5, 2: 7}, 5, 9, True)
    assert (found.floor_ms, found.asks_ms) == (50, 60)


def test_what_is_told_does_not_change_while_it_waits():
    """The caller may go on with what he has given."""
    users = {1: 1}
    waiting = pending(bundle(presence=Presence(users)))

    users[2] = 1

    assert decode(waiting.take()[0].data, ALL).presence == Presence({1: 1})


def test_what_is_cancelled_and_who_takes_commands_adds_up():
    """No word of it is lost when several bundles are told at once; who takes none any more is left out of a whole."""
    first = bundle(cancelled=(1, 2), presence=Presence(takers={7: 1, 8: 1}, whole=True))
    second = bundle(cancelled=(3,), presence=Presence(takers={7: 0}))

    (parcel,) = pending(first, second).take()

    found = decode(parcel.data, ALL)
    assert found.cancelled == (1, 2, 3)
    assert found.presence == Presence(takers={8: 1}, whole=True)
