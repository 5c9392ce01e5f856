"""Bundles as bytes: there and back, and what is none of ours never gets in."""

from dataclasses import replace
from zlib import crc32

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bus import TOPICS, Bundle, Placed, Presence, Section, Updated, topics_of, updates_of
from hub.bus.wire import VERSION, Malformed, decode, encode, sender_mark, sender_of
from protocol.messages import LANES, Command, Notification
from protocol.names import CommandState, Kind
from tests.bus.hearing import ANSWERS, ORDERS, OTHERS, WATTS, bundle, section

ALL = range(TOPICS)

# --- any bundle -------------------------------------------------------------------------------------------------------

ids = st.integers(1, 2**53 - 1)
counts = st.integers(0, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json = st.binary(max_size=40)
notifications = st.builds(Notification, ids, counts, texts, texts, counts, json)
commands = st.builds(
    Command,
    ids,
    counts,
    texts,
    texts,
    counts,
    user_id=st.none() | counts,
    parameters=json,
    lifetime_s=st.none() | st.integers(-(2**31), 2**31),
    status=st.none() | texts,
    result=json,
    updated=st.booleans(),
    state=st.sampled_from(CommandState),
)
groups = st.lists(counts, max_size=3).map(tuple)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
traces = st.none() | st.just(TRACE)


def sections_of(topics, items):
    return st.builds(Section, st.sampled_from(topics), counts, st.lists(items, min_size=1, max_size=4))


sections = st.one_of(
    sections_of(topics_of(Kind.NOTIFICATION), st.builds(Placed, notifications, st.none() | counts, groups, traces)),
    sections_of(topics_of(Kind.COMMAND), st.builds(Placed, commands, st.none() | counts, groups, traces)),
    sections_of(range(updates_of(0), TOPICS), st.builds(Updated, counts, commands)),
)
presences = st.builds(
    Presence,
    st.dictionaries(counts, counts, max_size=3),
    st.dictionaries(counts, groups, max_size=3),
    st.booleans(),
    st.dictionaries(counts, counts, max_size=3),
)
bundles = st.builds(
    Bundle,
    worker=texts,
    lane=st.integers(0, LANES - 1),
    sections=st.lists(sections, max_size=4),
    ends=st.none() | st.dictionaries(st.integers(0, TOPICS - 1), counts, max_size=4),
    floor=counts,
    floor_ms=counts,
    asks_ms=counts,
    revision=st.none() | counts,
    presence=st.none() | presences,
    leaving=st.booleans(),
    cancelled=st.lists(counts, max_size=2).map(tuple),
)


@given(bundles)
def test_a_bundle_comes_back_as_it_was(sent):
    """Every member of every item survives, and nothing is added."""
    assert decode(encode(sent), ALL) == sent


@given(bundles, st.sets(st.integers(0, TOPICS - 1)))
def test_only_wanted_sections_come_back(sent, topics):
    """Sections of other topics are left out, all else stays."""
    wanted = [found for found in sent.sections if found.topic in topics]

    assert decode(encode(sent), topics) == replace(sent, sections=wanted)


@given(bundles)
def test_the_sender_is_known_without_decoding(sent):
    """A worker finds its own bundles by their first bytes."""
    assert sender_of(encode(sent)) == sender_mark(sent.worker)


# --- what is none of ours ---------------------------------------------------------------------------------------------


def sealed(body: object, mark: bytes = b"\x01w") -> bytes:
    """Any body in a sound envelope."""
    rest = mark + msgpack.packb(body)
    return bytes((VERSION,)) + crc32(rest).to_bytes(4, "big") + rest


def with_row(topic: int, *rows: object) -> bytes:
    """One section with these rows in a sound envelope."""
    return sealed([1, None, topic, 0, [msgpack.packb(rows)]])


NOTIFIED = (5, 1, "lamp", "watts", 1_000, b"null", 1, ())
ORDERED = (*NOTIFIED, None, None, None, b"null", False, 1)
ANSWERED = (*NOTIFIED[:6], 9, *ORDERED[8:])


@given(st.binary(max_size=300))
def test_garbage_is_refused(data):
    """Arbitrary bytes are none of ours, and raise nothing else."""
    with pytest.raises(Malformed):
        decode(data, ALL)


@given(bundles, st.data())
def test_a_damaged_bundle_is_refused(sent, data):
    """One changed byte, wherever it is, and nothing of the bundle is delivered."""
    damaged = bytearray(encode(sent))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Malformed):
        decode(bytes(damaged), ALL)


@given(bundles, st.data())
def test_a_cut_bundle_is_refused(sent, data):
    """A part of a bundle is no bundle."""
    whole = encode(sent)

    with pytest.raises(Malformed):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], ALL)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | json,
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=40,
)


@given(values)
def test_a_sound_envelope_with_anything_in_it_raises_nothing_else(body):
    """What passes as one of ours has no sections or sound ones; all else is refused."""
    try:
        found = decode(sealed(body), ALL)
    except Malformed:
        return
    assert decode(encode(found), ALL) == found


@given(st.sampled_from([WATTS, ORDERS, ANSWERS]), st.data())
def test_one_wrong_value_spoils_the_bundle(topic, data):
    """A value of another type than its member's refuses everything, also what was sound beside it."""
    row = list({WATTS: NOTIFIED, ORDERS: ORDERED, ANSWERS: ANSWERED}[topic])
    at = data.draw(st.integers(0, len(row) - 1))
    row[at] = data.draw(st.sampled_from([-1.5, {}, [None], ["x"], 2**60 if at < 6 else 0.5]))

    with pytest.raises(Malformed):
        decode(with_row(topic, tuple({WATTS: NOTIFIED, ORDERS: ORDERED, ANSWERS: ANSWERED}[topic]), row), ALL)


@pytest.mark.parametrize(
    ("topic", "row"),
    [
        (WATTS, NOTIFIED),
        (WATTS, (*NOTIFIED, TRACE)),
        (ORDERS, ORDERED),
        (ORDERS, (*ORDERED, TRACE)),
        (ANSWERS, ANSWERED),
    ],
)
def test_sound_rows_are_taken(topic, row):
    """The rows that the tests above spoil are sound."""
    assert len(decode(with_row(topic, row), ALL).sections[0].items) == 1


@pytest.mark.parametrize(
    ("topic", "row"), [(WATTS, ORDERED), (ORDERS, NOTIFIED), (ORDERS, ANSWERED), (ANSWERS, NOTIFIED), (WATTS, ())]
)
def test_a_topic_has_messages_of_its_kind_only(topic, row):
    """A command on a topic of notifications is none of ours, nor the other way round."""
    with pytest.raises(Malformed):
        decode(with_row(topic, row), ALL)


@pytest.mark.parametrize(("topic", "row"), [(WATTS, NOTIFIED), (ORDERS, ORDERED), (ANSWERS, ANSWERED)])
@pytest.mark.parametrize("behind", [(None,), (b"x",), (TRACE[:-1],), (TRACE.upper(),), (f'{TRACE}"',), (TRACE, TRACE)])
def test_what_stands_behind_a_message_is_its_trace(topic, row, behind):
    """Or nothing: it is written into what subscribers get as it is."""
    with pytest.raises(Malformed):
        decode(with_row(topic, (*row, *behind)), ALL)


def test_an_update_has_no_trace():
    """Nobody is told one."""
    with pytest.raises(Malformed):
        decode(with_row(ANSWERS, (*ANSWERED, TRACE)), ALL)


@pytest.mark.parametrize(
    "body",
    [
        [LANES, None],
        [1, None, TOPICS, 0, [msgpack.packb([NOTIFIED])]],
        [1, None, WATTS, -1, [msgpack.packb([NOTIFIED])]],
        [1, None, WATTS, 0, []],
        [1, None, WATTS, 0, [msgpack.packb([])]],
        [1, None, WATTS, 0, ["text"]],
        [1, None, WATTS, 0],
        [1, None, ORDERS, 0, [msgpack.packb([(*ORDERED[:-1], 6)])]],
        [1, [[TOPICS, 1], 0, 0, 0, None, None, False, []]],
        [1, [None, 0, 0, 0, None, None, 1, []]],
        [1, [None, 0, 0, 0, None, None, False, None]],
        [1, [None, 0, 0, 0, None, None, False, [-1]]],
        [1, [None, 0, 0, 0, None, [True, [1], [], []], False, []]],
        [1, [None, 0, 0, 0, None, [True, [], [1, 5], []], False, []]],
        [1, [None, 0, 0, 0, None, [True, [], [], [1]], False, []]],
    ],
)
def test_values_out_of_range_are_refused(body):
    """Lanes, topics and numbers that do not exist; empty sections; halves of pairs."""
    with pytest.raises(Malformed):
        decode(sealed(body), ALL)


def test_another_version_is_refused():
    """A bundle of a later format is not guessed at."""
    data = encode(bundle(section(WATTS, 1)))

    with pytest.raises(Malformed, match="version"):
        decode(bytes((VERSION + 1,)) + data[1:], ALL)


def test_a_bundle_beyond_the_limit_is_refused():
    """The size is looked at before anything is decoded."""
    data = encode(bundle(section(WATTS, 1)))

    with pytest.raises(Malformed, match="large"):
        decode(data, ALL, limit_bytes=len(data) - 1)


def test_items_of_other_topics_are_not_even_looked_at():
    """Whoever does not follow a topic takes no time over it."""
    data = sealed([1, None, OTHERS, 0, [b"\xc1 no msgpack"], WATTS, 0, [msgpack.packb([NOTIFIED])]])

    assert [found.topic for found in decode(data, {WATTS}).sections] == [WATTS]


def test_arrays_that_only_claim_to_be_long_take_no_memory():
    """A header that promises four thousand million values is refused for what it is."""
    rest = b"\x01w" + b"\xdd\xff\xff\xff\xff"

    with pytest.raises(Malformed):
        decode(bytes((VERSION,)) + crc32(rest).to_bytes(4, "big") + rest, ALL)
