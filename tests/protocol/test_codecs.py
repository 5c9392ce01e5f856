"""Codecs: what is written is read back, what is laid out by hand equals the plain encoding, and nothing breaks them."""

import math
import struct
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codecs import (
    BINARY,
    CODECS,
    INTEGER_MAX,
    INTEGER_MIN,
    JSON,
    MAX_DEPTH,
    MAX_NODES,
    MSGPACK,
    TEXT,
    JsonCodec,
    MsgpackCodec,
    command_members,
    inserted_members,
    load,
    message_members,
)
from protocol.errors import BadRequest
from protocol.messages import Message, Notification
from protocol.names import GUID_MAX, Kind
from protocol.requests import to_json
from protocol.times import MAX_MS
from tests.builders import command, notification

codecs = pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])

# --- what there is to encode ------------------------------------------------------------------------------------------

texts = st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
objects = st.dictionaries(texts, values, max_size=5)
guids = st.text(min_size=1, max_size=GUID_MAX)
subscription_ids = st.uuids().map(str)

stamps = {"id": st.integers(1, 2**53 - 1), "timestamp_ms": st.integers(0, MAX_MS)}
notifications = st.builds(notification, guids, texts, values, **stamps)
commands = st.builds(
    command,
    guids,
    texts,
    values,
    user_id=st.none() | st.integers(1, 2**31),
    lifetime_s=st.none() | st.integers(-(2**31), 2**31 - 1),
    status=st.none() | texts,
    result=values,
    **stamps,
)
messages = notifications | commands


def plainly(codec: Any, members: dict[str, Any]) -> bytes:
    """The same members through the library's own encoder."""
    return orjson.dumps(members) if codec is JSON else msgpack.packb(members)


def nested(depth: int) -> dict[str, Any]:
    """An object with ``depth`` levels of containers, itself included."""
    value: Any = []
    for _ in range(depth - 2):
        value = [value]
    return {"a": value}


def with_nodes(count: int) -> dict[str, Any]:
    """An object with ``count`` values in it."""
    return {"a": [0] * (count - 1)}


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type: 1, 1.0 and true are three values."""
    return repr(one) == repr(other)


# --- there and back ---------------------------------------------------------------------------------------------------


@codecs
@given(members=objects)
def test_what_is_written_is_read_back(codec, members):
    """Every object of the data model survives, types and member order included."""
    assert same(members, codec.decode(codec.encode(members)))


@given(members=objects)
def test_what_one_codec_takes_the_other_can_send(members):
    """A value that came in as MessagePack goes out as JSON, and the reverse, without loss."""
    for this, that in [(JSON, MSGPACK), (MSGPACK, JSON)]:
        received = this.decode(this.encode(members))

        assert same(members, that.decode(that.encode(received)))


@given(value=values)
def test_a_free_value_is_stored_as_it_came(value):
    """Encoding a parameter for the log and decoding it again changes nothing."""
    assert same(value, load(to_json(value)))


@codecs
@pytest.mark.parametrize("integer", [INTEGER_MIN, -1, 0, 2**53, 2**63 - 1, 2**63, INTEGER_MAX])
def test_integers_of_64_bits_keep_all_their_digits(codec, integer):
    """The range is that of signed and of unsigned 64 bits together."""
    assert same({"a": integer}, codec.decode(plainly(codec, {"a": integer})))


def test_codecs_name_the_frames_that_carry_them():
    """JSON goes in text frames, MessagePack in binary ones."""
    assert (JSON.opcode, MSGPACK.opcode) == (TEXT, BINARY)


# --- pushes -----------------------------------------------------------------------------------------------------------


def pushed(message: Message, subscription_id: str) -> dict[str, Any]:
    """The members of a push, written down a second time."""
    if isinstance(message, Notification):
        return {
            "action": "notification/insert",
            "subscriptionId": subscription_id,
            "deviceGuid": message.device_guid,
            "notification": message_members(message),
        }
    return {
        "action": "command/insert",
        "subscriptionId": subscription_id,
        "deviceGuid": message.device_guid,
        "command": message_members(message),
    }


@codecs
@given(message=messages, subscription_id=subscription_ids)
def test_head_and_body_make_one_push(codec, message, subscription_id):
    """The two halves, written apart, are byte for byte the plain encoding of the whole."""
    payload = codec.head(message.kind, subscription_id) + codec.body(message)

    assert plainly(codec, pushed(message, subscription_id)) == payload


@codecs
@given(message=messages, subscription_id=subscription_ids, dropped=st.integers(1, 2**40))
def test_a_head_may_say_what_was_dropped(codec, message, subscription_id, dropped):
    """The count is one member more; the body stays the same."""
    payload = codec.dropped_head(message.kind, subscription_id, dropped) + codec.body(message)

    assert same(
        sorted((pushed(message, subscription_id) | {"dropped": dropped}).items()),
        sorted(codec.decode(payload).items()),
    )


@codecs
@given(message=commands)
def test_an_update_names_the_whole_command_and_no_subscription(codec, message):
    """``command/update`` goes to whoever inserted the command, subscribed or not."""
    assert plainly(codec, {"action": "command/update", "command": message_members(message)}) == codec.update(message)


@codecs
@given(message=commands)
def test_an_update_shows_the_state_to_whoever_asked_for_more(codec, message):
    """Behind all that DeviceHive's has."""
    shown = {**message_members(message), "state": message.state.word}

    assert command_members(message) == shown
    assert plainly(codec, {"action": "command/update", "command": shown}) == codec.update(message, with_state=True)


@codecs
@pytest.mark.parametrize("kind", Kind)
@given(one=subscription_ids, other=subscription_ids)
def test_heads_of_a_kind_have_one_length(codec, kind, one, other):
    """The fan-out writes one frame header for all subscribers, so no head may be longer than another."""
    assert len(codec.head(kind, one)) == len(codec.head(kind, other))


def test_a_notification_shows_every_member_of_the_wire():
    """Clients index these without looking, so a value that is not there is null."""
    message = notification("lamp", "watts", id=733_241_907, timestamp_ms=1_443_525_491_004)

    assert message_members(message) == {
        "id": 733_241_907,
        "notification": "watts",
        "deviceGuid": "lamp",
        "timestamp": "2015-09-29T11:18:11.004",
        "parameters": None,
    }


def test_a_command_shows_every_member_of_the_wire():
    """Nothing of the hub's own knowledge, such as whether it was updated, is among them."""
    message = command("lamp", "set", {"led": 1}, id=1_203_948_571, timestamp_ms=1_443_525_490_123, user_id=2)

    assert message_members(message) == {
        "id": 1_203_948_571,
        "command": "set",
        "timestamp": "2015-09-29T11:18:10.123",
        "userId": 2,
        "deviceGuid": "lamp",
        "parameters": {"led": 1},
        "lifetime": None,
        "status": None,
        "result": None,
    }


# --- hostile input ----------------------------------------------------------------------------------------------------

jsonish = st.text(alphabet='{}[]":,0123456789.eE+-\\u truefalsn\t', max_size=60).map(str.encode)
damaged = st.builds(
    lambda payload, at, patch: payload[: at % (len(payload) + 1)] + patch + payload[at % (len(payload) + 1) :],
    st.sampled_from(CODECS).flatmap(lambda codec: objects.map(codec.encode)),
    st.integers(0, 1_000),
    st.binary(max_size=4),
)


@codecs
@given(payload=st.binary(max_size=200) | jsonish | damaged)
def test_any_bytes_are_an_object_or_a_bad_request(codec, payload):
    """No input raises anything but BadRequest, and what passes can be encoded by either codec."""
    try:
        members = codec.decode(payload)
    except BadRequest:
        return

    for other in CODECS:
        assert same(members, other.decode(other.encode(members)))


@given(value=scalars | st.lists(values, max_size=3))
def test_only_an_object_is_a_message(value):
    """A scalar or an array is refused by both."""
    for codec, payload in [(JSON, orjson.dumps(value)), (MSGPACK, msgpack.packb(value))]:
        with pytest.raises(BadRequest):
            codec.decode(payload)


@codecs
@pytest.mark.parametrize("depth", [2, MAX_DEPTH - 1, MAX_DEPTH])
def test_nesting_up_to_the_limit_passes(codec, depth):
    """The limit counts the message itself as the first level."""
    members = nested(depth)

    assert members == codec.decode(plainly(codec, members))


@codecs
def test_nesting_beyond_the_limit_is_refused_by_name(codec):
    """One level more is one too many, and the error says which limit it was."""
    with pytest.raises(BadRequest) as refused:
        codec.decode(plainly(codec, nested(MAX_DEPTH + 1)))

    assert refused.value.detail == {"limit": "json-depth", "value": MAX_DEPTH}


def test_brackets_inside_text_are_not_depth():
    """Only containers count, whatever the quick look at the bytes suggests."""
    members = {"a": "[{" * 100}

    assert members == JSON.decode(orjson.dumps(members))


def test_many_shallow_containers_are_not_depth():
    """A hundred empty arrays side by side are two levels deep."""
    members = {"a": [[] for _ in range(100)]}

    assert members == JSON.decode(orjson.dumps(members))


@codecs
def test_as_many_values_as_the_limit_pass(codec):
    """The last value that is allowed is allowed."""
    members = with_nodes(MAX_NODES)

    assert members == codec.decode(plainly(codec, members))


@codecs
@pytest.mark.parametrize(
    "members",
    [with_nodes(MAX_NODES + 1), {"a": [[0] * 99 for _ in range(MAX_NODES // 99)]}],
    ids=["one array", "many arrays"],
)
def test_more_values_than_the_limit_are_refused_by_name(codec, members):
    """However they are spread, and although no single array is large."""
    with pytest.raises(BadRequest) as refused:
        codec.decode(plainly(codec, members))

    assert refused.value.detail == {"limit": "json-nodes", "value": MAX_NODES}


DIGITS_5000 = "9" * 5_000

JSON_REFUSED = {
    "nothing": "",
    "blank": " \n",
    "cut short": '{"a":',
    "two objects": "{}{}",
    "trailing comma": '{"a":1,}',
    "comment": '{"a":1 /* one */}',
    "single quotes": "{'a':1}",
    "unquoted name": "{a:1}",
    "raw newline in text": '{"a":"\n"}',
    "raw NUL": '{"a":"\0"}',
    "NaN": '{"a":NaN}',
    "Infinity": '{"a":-Infinity}',
    "1e400": '{"a":1e400}',
    "-1e400": '{"a":-1e400}',
    "leading zero": '{"a":01}',
    "lone high surrogate": r'{"a":"\ud800"}',
    "lone low surrogate": r'{"a":"\udc00"}',
    "surrogates in the wrong order": r'{"a":"\udc00\ud800"}',
    "lone surrogate as a name": r'{"\ud800":1}',
    "depth 100,000, arrays": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "depth 100,000, objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "depth 100,000, never closed": '{"a":' + "[" * 100_000,
    "depth 1,000 and a long number": '{"n":1234567890123456789,"a":' + "[" * 1_000 + "]" * 1_000 + "}",
    "64 KiB of empty arrays": '{"a":[' + "[]," * 21_840 + "[]]}",
    "integer of 5,000 digits": f'{{"a":{DIGITS_5000}}}',
    "negative integer of 5,000 digits": f'{{"a":-{DIGITS_5000}}}',
    "2**64": '{"a":18446744073709551616}',
    "20 nines": '{"a":99999999999999999999}',
    "21 digits": '{"a":100000000000000000000}',
    "below -2**63": '{"a":-9223372036854775809}',
    "-2**64": '{"a":-18446744073709551615}',
    "too long among good ones": '{"a":[1,2.5,"18446744073709551616",18446744073709551616]}',
    "too long, nested": '{"a":{"b":[{"c":18446744073709551616}]}}',
}


@pytest.mark.parametrize("text", JSON_REFUSED.values(), ids=JSON_REFUSED.keys())
def test_hostile_json_is_a_bad_request(text):
    """Bombs and near misses are refused with one error, and at no greater cost than that."""
    with pytest.raises(BadRequest, match="Incorrect JSON syntax"):
        JSON.decode(text.encode())


def test_an_integer_beyond_64_bits_is_refused_by_name():
    """It would silently become a float, and the id that it was would be another."""
    with pytest.raises(BadRequest) as refused:
        JSON.decode(b'{"a":18446744073709551616}')

    assert refused.value.detail == {"limit": "integer-bits", "value": 64}


JSON_ACCEPTED = {
    "greatest": ('{"a":18446744073709551615}', {"a": INTEGER_MAX}),
    "least": ('{"a":-9223372036854775808}', {"a": INTEGER_MIN}),
    "19 digits": ('{"a":1000000000000000000}', {"a": 10**18}),
    "digits in text": (f'{{"a":"{DIGITS_5000}"}}', {"a": DIGITS_5000}),
    "digits in a name": ('{"99999999999999999999":1}', {"99999999999999999999": 1}),
    "digits after an escaped quote": (r'{"a":"\"99999999999999999999"}', {"a": '"99999999999999999999'}),
    "long fraction": ('{"a":0.12345678901234567890123}', {"a": 0.12345678901234568}),
    "long whole part of a fraction": ('{"a":99999999999999999999.5}', {"a": 1e20}),
    "long whole part of an exponent": ('{"a":99999999999999999999e0}', {"a": 1e20}),
    "long exponent": ('{"a":0e00000000000000000000}', {"a": 0.0}),
    "duplicate names": ('{"a":1,"a":2}', {"a": 2}),
    "duplicate names, nested": ('{"a":{"b":1,"b":[]}}', {"a": {"b": []}}),
    "U+0000": (r'{"a":"\u0000"}', {"a": "\0"}),
    "surrogate pair": (r'{"a":"\ud83d\ude00"}', {"a": "😀"}),
    "white space": (' {\t"a" :\r\n1 } ', {"a": 1}),
}


@pytest.mark.parametrize(("text", "members"), JSON_ACCEPTED.values(), ids=JSON_ACCEPTED.keys())
def test_unusual_json_is_read_for_what_it_is(text, members):
    """The border of 64 bits, digits that are no integer, the last of two equal names, and U+0000 in free text."""
    assert same(members, JSON.decode(text.encode()))


def test_json_in_other_encodings_is_refused():
    """Text frames are UTF-8."""
    for payload in ['{"a":1}'.encode("utf-16"), b'\xef\xbb\xbf{"a":1}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}']:
        with pytest.raises(BadRequest):
            JSON.decode(payload)


A = b"\x81\xa1a"
"""A map of one pair whose key is ``a``; the value follows."""

MSGPACK_REFUSED = {
    "nothing": b"",
    "cut short": A,
    "two objects": b"\x80\x80",
    "not a map": b"\x90",
    "reserved byte": A + b"\xc1",
    "array32 of 2**32 - 1": A + b"\xdd\xff\xff\xff\xff",
    "map32 of 2**32 - 1": b"\xdf\xff\xff\xff\xff",
    "str32 of 2**32 - 1": A + b"\xdb\xff\xff\xff\xff",
    "bin32 of 2**32 - 1": A + b"\xc6\xff\xff\xff\xff",
    "ext32 of 2**32 - 1": A + b"\xc9\xff\xff\xff\xff\x01",
    "depth 100,000, arrays": A + b"\x91" * 100_000 + b"\xc0",
    "depth 100,000, maps": A * 100_000 + b"\xc0",
    "depth 100,000, never closed": A + b"\x91" * 100_000,
    "64 KiB of empty arrays": A + b"\xdd" + struct.pack(">I", 65_000) + b"\x90" * 65_000,
    "binary": A + msgpack.packb(b"x"),
    "empty binary": A + msgpack.packb(b""),
    "binary in an array": A + b"\x91\xc4\x00",
    "extension": A + msgpack.packb(msgpack.ExtType(1, b"x")),
    "empty extension": A + b"\xc7\x00\x01",
    "timestamp": A + msgpack.packb(msgpack.Timestamp(0)),
    "empty timestamp": A + b"\xc7\x00\xff",
    "NaN": A + msgpack.packb(math.nan),
    "infinity": A + msgpack.packb(math.inf),
    "minus infinity as float32": A + b"\xca\xff\x80\x00\x00",
    "NaN in an array in a map": A + b"\x91\x81\xa1b" + msgpack.packb(math.nan),
    "key that is an integer": b"\x81\x01\x01",
    "key that is nil": b"\x81\xc0\x01",
    "key that is binary": b"\x81\xc4\x01a\x01",
    "key that is an array": b"\x81\x90\x01",
    "key that is a map": b"\x81\x80\x01",
    "duplicate keys": b"\x82\xa1a\x01\xa1a\x02",
    "duplicate keys, nested": A + b"\x82\xa1a\x01\xa1a\x02",
    "invalid UTF-8": A + b"\xa1\xff",
    "surrogate in UTF-8": A + b"\xa3\xed\xa0\x80",
    "invalid UTF-8 as a key": b"\x81\xa1\xff\x01",
}


@pytest.mark.parametrize("payload", MSGPACK_REFUSED.values(), ids=MSGPACK_REFUSED.keys())
def test_hostile_msgpack_is_a_bad_request(payload):
    """Lengths that lie, what JSON has no word for, and bombs are refused with one error."""
    with pytest.raises(BadRequest, match="Incorrect JSON syntax"):
        MSGPACK.decode(payload)


def test_msgpack_may_be_written_wastefully():
    """Longer forms of a length or of a number mean the same value."""
    wasteful = b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01a\xd3" + struct.pack(">q", 5)

    assert same({"a": 5}, MSGPACK.decode(wasteful))


def test_msgpack_keeps_zero_characters_in_free_text():
    """U+0000 is a character like any other where the value is free."""
    assert MSGPACK.decode(msgpack.packb({"a": "\0"})) == {"a": "\0"}


def test_encoded_json_is_compact_and_plain():
    """No blanks, nulls written out, no letters escaped that need not be."""
    assert '{"a":null,"b":["é",1.0]}'.encode() == JSON.encode({"a": None, "b": ["é", 1.0]})


def test_a_codec_s_number_is_its_place():
    """Whatever it takes in: subscriptions share what was encoded for a number."""
    assert [codec.number for codec in CODECS] == [0, 1]
    assert (JsonCodec(depth=4).number, MsgpackCodec(depth=4).number) == (0, 1)


@codecs
@given(request_id=values, message=notifications)
def test_the_answer_to_an_insert_is_what_encoding_its_members_makes(codec, request_id, message):
    """It is laid out by hand, once for every message, and reads like any other answer."""
    assert codec.decode(codec.inserted(request_id, message)) == codec.decode(
        codec.encode(inserted_members(request_id, message))
    )
