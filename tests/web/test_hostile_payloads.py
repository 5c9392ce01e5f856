"""Payloads meant to hurt: each is an error for whoever sent it, and nothing for anybody else."""

import contextlib
import logging

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.names import Action
from tests.edge_client import BINARY, CLOSE, CONT, PING, TEXT, Wire, frame, message, upgrade

MSGPACK = ("Sec-WebSocket-Protocol", "hub.1.msgpack")


def tracebacks(caplog):
    return [record for record in caplog.records if record.exc_info]


def inserting(parameters):
    """An insert whose parameters are this JSON text."""
    return (
        b'{"action":"notification/insert","deviceGuid":"lamp","notification":{"notification":"n","parameters":%b}}'
        % parameters
    )


# --- JSON -------------------------------------------------------------------------------------------------------------

JSON_BOMBS = {
    "nothing": b"",
    "blank": b"   ",
    "no object": b"[1,2,3]",
    "a number": b"42",
    "half an object": b'{"action":"server/info"',
    "two objects": b'{"action":"server/info"}{"action":"server/info"}',
    "a comma too many": b'{"action":"server/info",}',
    "a byte order mark": b'\xef\xbb\xbf{"action":"server/info"}',
    "a NUL in between": b'{"action":"server/info"}\0',
    "60,000 levels of lists": inserting(b"[" * 60_000),
    "30,000 closed levels": inserting(b"[" * 30_000 + b"]" * 30_000),
    "10,000 levels of objects": inserting(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "1,000 levels": inserting(b"[" * 1_000 + b"]" * 1_000),
    "40 levels": inserting(b"[" * 40 + b"]" * 40),
    "20,000 empty lists": inserting(b"[" + b",".join([b"[]"] * 20_000) + b"]"),
    "32,000 numbers": inserting(b"[" + b",".join([b"1"] * 32_000) + b"]"),
    "5,000 digits": inserting(b"1" * 5_000),
    "60,000 digits": inserting(b"-" + b"9" * 60_000),
    "a number of 65 bits": inserting(b"18446744073709551616"),
    "a negative number of 65 bits": inserting(b"-9223372036854775809"),
    "not a number": inserting(b"NaN"),
    "infinity": inserting(b"-Infinity"),
    "1e400": inserting(b"1e400"),
    "half a surrogate pair": inserting(b'"\\ud800"'),
    "the other half": inserting(b'"\\udc00\\ud800"'),
    "half a pair as the action": b'{"action":"\\ud800"}',
    "a control character": inserting(b'"\x01"'),
    "NUL in a name": b'{"action":"notification/insert","deviceGuid":"lamp\\u0000","notification":{"notification":"n"}}',
}


async def fresh(wires, world, *extra):
    return await wires.dashboard(world, *extra), await wires.open(world)


@pytest.mark.parametrize("payload", JSON_BOMBS.values(), ids=JSON_BOMBS)
async def test_hostile_json_is_an_error_and_no_more(world, wires, payload, caplog):
    """The answer is 400, the connection lives on, and so does everybody else's: T59."""
    wire, other = await fresh(wires, world)

    await wire.write(frame(TEXT, payload))
    assert (await other.ask("server/info"))["status"] == "success"
    answer = await wire.members()

    assert (answer["status"], answer["code"]) == ("error", 400)
    assert (await wire.ask("server/info", requestId=2))["requestId"] == 2
    assert not tracebacks(caplog)


async def test_of_two_equal_keys_the_last_one_counts(world, wires):
    """As every lenient parser does it."""
    wire = await wires.open(world)
    await wire.write(frame(TEXT, b'{"action":"nothing","action":"server/info","requestId":1,"requestId":2}'))

    assert (await wire.members())["requestId"] == 2


async def test_a_nul_is_kept_in_free_json(world, wires):
    """Parameters are the client's own business."""
    wire = await wires.dashboard(world)
    await wire.succeed("notification/subscribe")
    await wire.write(frame(TEXT, inserting(b'{"a\\u0000":"\\u0000"}')))

    assert (await wire.members())["status"] == "success"
    assert (await wire.members())["notification"]["parameters"] == {"a\0": "\0"}


# --- MessagePack ------------------------------------------------------------------------------------------------------

MSGPACK_BOMBS = {
    "nothing": b"",
    "no map": msgpack.packb([1]),
    "4 billion items claimed": b"\xdd\xff\xff\xff\xff",
    "4 billion pairs claimed": b"\xdf\xff\xff\xff\xff",
    "4 billion bytes claimed": b"\xc6\xff\xff\xff\xff",
    "4 billion characters claimed": b"\xdb\xff\xff\xff\xff",
    "60,000 levels of lists": b"\x81\xa1a" + b"\x91" * 60_000,
    "60,000 closed levels": b"\x81\xa1a" + b"\x91" * 60_000 + b"\xc0",
    "400 levels": b"\x81\xa1a" + b"\x91" * 400 + b"\xc0",
    "20,000 levels of maps": b"\x81\xa1a" * 20_000 + b"\xc0",
    "an extension": msgpack.packb({"action": msgpack.ExtType(5, b"x")}),
    "a bad timestamp": b"\x81\xa1a\xc7\x05\xffxxxxx",
    "a timestamp": msgpack.packb({"action": msgpack.Timestamp(1, 2)}),
    "bytes": msgpack.packb({"action": b"server/info"}),
    "an empty binary value": b"\x81\xa1a\xc4\x00",
    "bytes as a key": msgpack.packb({b"action": "server/info"}),
    "a number as a key": msgpack.packb({1: "server/info"}),
    "a list as a key": b"\x81\x91\x01\x01",
    "a map as a key": b"\x81\x80\x01",
    "two equal keys": b"\x82\xa1a\x01\xa1a\x02",
    "not a number": msgpack.packb({"a": float("nan")}),
    "infinity": msgpack.packb({"a": [float("inf")]}),
    "a character that is none": b"\x81\xa1a\xa1\xff",
    "the byte that is never used": b"\x81\xa1a\xc1",
    "something behind": msgpack.packb({"action": "server/info"}) + b"\xc0",
    "20,000 items": msgpack.packb({"a": [0] * 20_000}),
}


@pytest.mark.parametrize("payload", MSGPACK_BOMBS.values(), ids=MSGPACK_BOMBS)
async def test_hostile_messagepack_is_an_error_and_no_more(world, wires, payload, caplog):
    """The answer is 400 `malformed`, the connection lives on, and so does everybody else's: T60."""
    wire, other = await fresh(wires, world, MSGPACK)

    await wire.write(frame(BINARY, payload))
    assert (await other.ask("server/info"))["status"] == "success"
    answer = await wire.members()

    assert (answer["status"], answer["code"], answer["reason"]) == ("error", 400, "malformed")
    await wire.write(frame(BINARY, msgpack.packb({"action": "server/info", "requestId": 2})))
    assert (await wire.members())["requestId"] == 2
    assert not tracebacks(caplog)


# --- whatever ---------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "deviceGuid deviceGuids names timestamp since subscriptionId commandId command overflow notification deviceId "
    "deviceKey device login password accessKey requestId action"
)
members = st.sampled_from(MEMBERS.split())
requests = st.builds(
    lambda action, given: {"action": action, **given},
    st.sampled_from([action.value for action in Action if action is not Action.AUTHENTICATE]) | values,
    st.dictionaries(members, values, max_size=4),
)
frames = st.builds(
    frame,
    st.integers(0, 15),
    st.binary(max_size=200),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 4]),
    masked=st.sampled_from([True, True, True, False]),
    claimed=st.none() | st.integers(0, 2**63 - 1).filter(lambda size: size < 126),
)


def examples(strategy, count):
    """So many examples. Hypothesis drives functions, not coroutines: it makes them, the test's own loop plays them."""
    made = []

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def make(example):
        made.append(example)

    make()
    return made


async def provoke(world, *segments):
    """Send this on a connection of its own, and wait until the hub has dealt with it."""
    wire = await Wire.connect(world.hub.port)
    try:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, EOFError):
            for segment in segments:
                await wire.write(segment)
            await wire.write(frame(CLOSE, b"\x03\xe8"))
            await wire.read_some()
    finally:
        wire.abort()


@pytest.mark.slow
async def test_arbitrary_bytes_never_end_anything_but_their_connection(start, wires, caplog):
    """Whatever comes instead of a handshake, or after it, the next one is served: T61."""
    world = await start(handshake_s=0.5)
    patient = await wires.open(world)
    noise = st.lists(st.binary(max_size=300), min_size=1, max_size=4)

    for segments in examples(noise, 100):
        await provoke(world, *segments)
        await provoke(world, upgrade(), *segments)
    for made in examples(st.lists(frames, min_size=1, max_size=5), 200):
        await provoke(world, upgrade(), b"".join(made))

    assert (await patient.ask("server/info"))["status"] == "success"
    assert not tracebacks(caplog)


@pytest.mark.slow
@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
async def test_every_request_is_answered_with_its_own_name(world, wires, caplog, extended):
    """Every action with members of any type: an answer each, the connection lives, and none of it is our failure."""
    extra = [("Sec-WebSocket-Protocol", "hub.1.json")] if extended else []
    wire = await wires.dashboard(world, *extra)

    for number, made in enumerate(examples(requests, 250)):
        with contextlib.suppress(UnicodeEncodeError):
            await wire.write(message(**{**made, "requestId": number}))
            while (answer := await wire.members()).get("requestId", number) != number or "status" not in answer:
                assert "subscriptionId" in answer or "command" in answer, (made, answer)
            assert answer["status"] == "success" or 400 <= answer["code"] < 500, (made, answer)

    assert (await wire.ask("server/info", requestId="last"))["status"] == "success"
    assert not tracebacks(caplog)


async def test_a_flood_of_protocol_errors_is_a_whisper_in_the_log(start, wires, caplog):
    """Ten thousand of them are a few lines, without a traceback among them: T68."""
    caplog.set_level(logging.INFO)
    world = await start(anonymous_requests=0)
    wire = await wires.open(world)
    wrong = frame(TEXT, b"{") * 500

    for _ in range(20):
        await wire.write(wrong)
        for _ in range(500):
            assert (await wire.members())["code"] == 400

    assert len(caplog.records) < 20
    assert not tracebacks(caplog)


async def test_many_connections_that_break_the_protocol_are_a_whisper_too(world, wires, caplog):
    """Each of them ends, and not each of them is worth a line."""
    caplog.set_level(logging.INFO)
    sent = [frame(3), frame(CONT, b"x"), frame(BINARY, b"x"), frame(TEXT, b"\xff"), frame(PING) * 50]

    for number in range(200):
        wire = await Wire.open(world.hub.port)
        await wire.write(sent[number % len(sent)])
        assert await wire.closed() in (1002, 1003, 1007, 1008)
        wire.close()

    assert len(caplog.records) < 60
    assert not tracebacks(caplog)
