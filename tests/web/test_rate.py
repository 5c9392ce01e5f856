"""How much one peer may send: reading pauses, then its next request is refused, then it has to go."""

import asyncio
from contextlib import suppress

import msgpack
import pytest

from tests.edge_client import BINARY, CLOSE, TEXT, frame, message
from tests.waiting import until
from tests.web.metrics import limits_reached, metric

EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")
SLOW = {"messages_per_s": 100, "message_burst": 200}
QUESTION = message(action="server/info", requestId=1)


async def flood(wire, data):
    """Send this again and again, until the hub has had enough."""
    with suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
        while True:
            await wire.write(data)


async def answers(wire):
    """All that comes until the end: the messages, and the close frame."""
    found = []
    while (one := await wire.frame()).opcode != CLOSE:
        if one.opcode in (TEXT, BINARY):
            found.append(one.members())
    return found, one


def now_s():
    return asyncio.get_running_loop().time()


async def test_a_flood_is_throttled_then_refused_and_others_do_not_notice(start, wires):
    """50,000 messages a second: so many are answered as the rate allows, the next is 429, then 1008: T49."""
    world = await start(**SLOW, throttled_s=1.0)
    wire, other = await wires.dashboard(world, EXTENDED), await wires.open(world)
    begin_s = now_s()
    flooding = asyncio.create_task(flood(wire, QUESTION * 1_000))
    reading = asyncio.create_task(answers(wire))

    for _ in range(15):
        await other.succeed("server/info")
    found, closing = await reading
    elapsed_s = now_s() - begin_s

    flooding.cancel()
    *served, refused, last = found
    assert elapsed_s >= 1.0
    assert {answer["status"] for answer in served} == {"success"}
    assert 200 <= len(served) <= 200 + 100 * elapsed_s
    detail = {"limit": "messages-per-s", "value": 100}
    assert refused["code"] == 429
    assert last == {
        "action": "connection/closing",
        "code": 1008,
        "reason": "at most 100 messages per second",
        "detail": detail,
    }
    assert (closing.code(), closing.reason()) == (1008, "at most 100 messages per second")
    assert (await limits_reached(world, wires)).keys() == {"messages-per-s"}


async def test_the_last_answer_is_429_with_the_request_s_own_name(start, wires):
    """The request that ends it is answered like any other, with its id and a time to wait."""
    world = await start(**SLOW, throttled_s=0.5)
    wire = await wires.dashboard(world, ("Sec-WebSocket-Protocol", "hub.1.msgpack"))
    asked = frame(BINARY, msgpack.packb({"action": "server/info", "requestId": "mine"}))
    flooding = asyncio.create_task(flood(wire, asked * 1_000))

    found, closing = await answers(wire)

    flooding.cancel()
    assert found[-2] == {
        "action": "server/info",
        "requestId": "mine",
        "status": "error",
        "code": 429,
        "error": "Too many requests: at most 100 messages per second",
        "reason": "rate",
        "detail": {"limit": "messages-per-s", "value": 100},
        "retryAfter": 0.5,
    }
    assert closing.code() == 1008


@pytest.mark.parametrize("asked", [b"{", b'{"action":"no/such"}'])
async def test_nonsense_counts_like_any_message(start, wires, asked):
    """And it does not save its sender."""
    world = await start(**SLOW, throttled_s=0.5)
    wire = await wires.dashboard(world)
    flooding = asyncio.create_task(flood(wire, frame(TEXT, asked) * 1_000))

    found, closing = await answers(wire)

    flooding.cancel()
    assert (found[-1]["status"], closing.code()) == ("error", 1008)


async def test_what_waits_for_its_commit_is_answered_before_the_end(start, wires):
    """Inserts that were taken have their answers when the connection ends, in their order."""
    world = await start(**SLOW, throttled_s=0.5)
    wire = await wires.device(world)
    number, sent = 0, []

    def inserts():
        nonlocal number
        for _ in range(100):
            number += 1
            sent.append(
                message(
                    action="notification/insert",
                    requestId=number,
                    deviceGuid="lamp",
                    notification={"notification": "watts"},
                )
            )
        return b"".join(sent[-100:])

    async def flood_inserts():
        with suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
            while True:
                await wire.write(inserts())

    flooding = asyncio.create_task(flood_inserts())
    found, closing = await answers(wire)

    flooding.cancel()
    assert [answer["requestId"] for answer in found] == list(range(1, len(found) + 1))
    assert [answer["status"] for answer in found] == ["success"] * (len(found) - 1) + ["error"]
    assert (found[-1]["code"], closing.code()) == (429, 1008)


async def test_bytes_are_limited_like_messages(start, wires):
    """A few large messages are as much as many small ones."""
    world = await start(message_bytes_per_s=100_000, throttled_s=0.5)
    wire = await wires.dashboard(world, EXTENDED)
    begin_s = now_s()
    asked = message(action="server/info", padding="x" * 30_000)
    flooding = asyncio.create_task(flood(wire, asked))

    found, closing = await answers(wire)
    elapsed_s = now_s() - begin_s

    flooding.cancel()
    assert closing.reason() == "at most 100000 bytes per second"
    assert (len(found) - 2) * 30_000 <= 200_000 + 100_000 * elapsed_s + 300_000  # A chunk is read before it counts.
    assert (await limits_reached(world, wires)).keys() == {"message-bytes-per-s"}


async def test_who_stops_in_time_is_served_to_the_end(start, wires):
    """Three seconds' worth at once is throttled, and every request of it is answered."""
    world = await start(messages_per_s=1_000, message_burst=200)
    wire = await wires.dashboard(world)
    begin_s = now_s()

    await wire.write(QUESTION * 3_000)

    for _ in range(3_000):
        assert (await wire.members())["status"] == "success"
    assert now_s() - begin_s >= 1.0
    assert (await limits_reached(world, wires))["messages-per-s"] == 1

    async def calm():
        return "hub_sockets_throttled 0.0" in await metric(world, wires, "hub_sockets_throttled")

    await until(calm)
    await wire.succeed("server/info")


async def test_who_keeps_to_the_rate_never_notices(start, wires):
    """Just below it, for several bursts' worth of messages: nothing is counted."""
    world = await start(messages_per_s=400, message_burst=50)
    wire = await wires.dashboard(world)
    begin_s = now_s()

    for number in range(300):
        await asyncio.sleep(max(0.0, begin_s + number / 300 - now_s()))
        await wire.succeed("server/info")

    assert await limits_reached(world, wires) == {}


async def test_a_throttled_peer_is_not_taken_for_a_silent_one(start, wires):
    """While nothing is read, nothing can be heard: it is not closed for that."""
    world = await start(
        message_bytes_per_s=20_000, throttled_s=60, ping_interval_s=0.3, ping_timeout_s=0.3, close_wait_s=0.3
    )
    wire = await wires.dashboard(world)

    await wire.write(message(action="server/info", requestId="first", padding="x" * 60_000))
    await wire.write(message(action="server/info", requestId="last"))
    assert (await wire.members())["requestId"] == "first"

    assert (await wire.members())["requestId"] == "last"


async def test_fragments_and_compression_are_no_way_around(start, wires):
    """Messages in two fragments count, too."""
    world = await start(**SLOW, throttled_s=0.5)
    wire = await wires.dashboard(world)
    halves = frame(TEXT, b'{"action":', fin=False) + frame(0, b'"server/info"}')
    flooding = asyncio.create_task(flood(wire, halves * 500))

    _, closing = await answers(wire)

    flooding.cancel()
    assert closing.reason() == "at most 100 messages per second"
