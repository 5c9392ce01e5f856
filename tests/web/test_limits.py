"""Limits of one connection: each has its code, its words, and a number in the metrics."""

import asyncio
import resource
from contextlib import suppress

import pytest

from hub.settings import Settings
from hub.web.metrics import resident_bytes
from tests.edge_client import CONT, PING, TEXT, frame, message, request, upgrade
from tests.waiting import until
from tests.web.metrics import limits_reached, metric

MIB = 1 << 20
EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")

INFO = message(action="server/info")
FAST_SILENCE = {"ping_interval_s": 0.3, "ping_timeout_s": 0.3}

ENDS = {
    "message-bytes": ({}, "dashboard", frame(TEXT, b"", claimed=65_537), 1009, "at most 65536 bytes", 65_536),
    "message-bytes-anonymous": ({}, "open", frame(TEXT, b"", claimed=8_193), 1009, "at most 8192 bytes", 8_192),
    "fragments": (
        {"fragments": 4},
        "open",
        frame(TEXT, fin=False) + frame(CONT, fin=False) * 4,
        1009,
        "at most 4 fragments",
        4,
    ),
    "anonymous-requests": (
        {"anonymous_requests": 2},
        "open",
        INFO * 3,
        4401,
        "at most 2 requests before authentication",
        2,
    ),
    "authenticate-client-s": ({"authenticate_client_s": 0.3}, "open", b"", 4401, "not authenticated in 0.3 s", 0.3),
    "pings-per-s": ({}, "open", frame(PING) * 50, 1008, "at most 10 pings per second", 10),
    "ping-timeout-s": (FAST_SILENCE, "dashboard", b"", 1011, "no sign of life", 0.3),
    "websocket-ping-timeout-ms": (
        {"websocket_ping_timeout_ms": 1_000},
        "dashboard",
        b"",
        1011,
        "no sign of life",
        1_000,
    ),
}
"""Limit: settings, who, what it sends, and the end that comes of it."""


@pytest.mark.parametrize("name", ENDS)
async def test_an_end_names_its_limit(start, wires, name):
    """In the close frame, in the announcement of extended mode, and in the metrics."""
    chosen, who, sent, code, reason, value = ENDS[name]
    world = await start(**chosen)
    if who == "dashboard":
        wire = await wires.dashboard(world, EXTENDED)
    else:
        wire = await wires.open(world, "/websocket/client", EXTENDED)
    await wire.write(sent)

    while (one := await wire.frame()).opcode != TEXT or one.members()["action"] != "connection/closing":
        pass

    detail = {"limit": name, "value": value}
    assert one.members() == {"action": "connection/closing", "code": code, "reason": reason, "detail": detail}
    closing = await wire.closing()
    assert (closing.code(), closing.reason()) == (code, reason)
    assert await limits_reached(world, wires) == {name: 1}


def test_a_limit_is_named_like_its_setting():
    """Whoever reads a name in an error or a metric knows which setting to look at."""
    assert {name.replace("-", "_") for name in ENDS} <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("chosen", "parameters", "detail"),
    [
        ({"json_depth": 8}, b"[" * 9 + b"]" * 9, {"limit": "json-depth", "value": 8}),
        ({"json_nodes": 300}, b"[" + b"1," * 300 + b"1]", {"limit": "json-nodes", "value": 300}),
    ],
    ids=["depth", "nodes"],
)
async def test_how_deep_and_how_large_json_may_be_is_a_setting(start, wires, chosen, parameters, detail):
    """Past it the answer is 400, counted, and the connection lives."""
    world = await start(**chosen)
    wire = await wires.open(world, "/websocket/client", EXTENDED)

    await wire.write(frame(TEXT, b'{"action":"server/info","x":%b}' % parameters))
    answer = await wire.members()

    assert (answer["code"], answer["reason"], answer["detail"]) == (400, "malformed", detail)
    assert await limits_reached(world, wires) == {detail["limit"]: 1}
    await wire.succeed("server/info")


async def test_pongs_that_were_withheld_are_counted(start, wires):
    """Who does not read gets no pong, and the metrics know."""
    world = await start(pong_backlog_bytes=0, pings_per_s=1_000_000, ping_burst=1_000_000)
    wire = await wires.open(world, receive_bytes=4_096)

    async def withheld():
        await wire.write(frame(PING, b"x" * 125) * 1_000)
        return (await limits_reached(world, wires)).get("pong-backlog-bytes")

    await until(withheld)


async def test_reading_pauses_at_so_many_requests_in_flight(start, wires):
    """Each is answered, and the metrics tell that reading has paused."""
    world = await start(in_flight_requests=4)
    wire = await wires.device(world)
    insert = message(action="notification/insert", deviceGuid="lamp", notification={"notification": "watts"})

    await wire.write(insert * 40)

    for _ in range(40):
        assert (await wire.members())["status"] == "success"
    assert (await limits_reached(world, wires))["in-flight-requests"] > 0


async def test_only_so_many_commands_are_listened_for(start, wires):
    """The oldest one's updates are not pushed any more; the newest one's are."""
    world = await start(listeners_per_connection=2)
    wire, device = await wires.dashboard(world), await wires.device(world)
    ids = [
        (await wire.succeed("command/insert", deviceGuid="lamp", command={"command": "on"}))["command"]["id"]
        for _ in range(3)
    ]

    for command_id in ids:
        await device.succeed("command/update", commandId=command_id, command={"status": "ok"})

    assert [(await wire.members())["command"]["id"] for _ in range(2)] == ids[1:]
    assert await limits_reached(world, wires) == {"listeners-per-connection": 1}


async def test_wrong_passwords_past_their_rate_are_counted(start, wires):
    """They are refused like any other, unseen; the metrics tell them apart."""
    world = await start(failed_logins_per_minute=1, password_workers=1)
    wire = await wires.open(world)

    answers = [await wire.ask("authenticate", login="admin", password="wrong") for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert (await limits_reached(world, wires))["failed-logins-per-minute"] >= 2


# --- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_flood_of_subscriptions_costs_bounded_memory(start, wires):
    """256 are made, with 1,000 devices each at most; every other is an error, and memory stays: T50."""
    world = await start(messages_per_s=0, message_bytes_per_s=0)
    wire = await wires.dashboard(world, EXTENDED)
    too_many = message(action="notification/subscribe", deviceGuids=[f"d{number}" for number in range(1_001)])
    ordinary = message(action="notification/subscribe", deviceGuids=["lamp"])

    async def send(data, times):
        answers = []
        for _ in range(times):
            await wire.write(data * 100)
            answers += [await wire.members() for _ in range(100)]
        return answers

    made = await send(ordinary, 3)
    assert [answer["status"] for answer in made] == ["success"] * 256 + ["error"] * 44
    assert made[-1]["error"] == "Limit reached: 256 subscriptions per connection"
    assert made[-1]["detail"] == {"limit": "subscriptions-per-connection", "value": 256}
    before = resident_bytes()
    refused = await send(ordinary, 100)
    large = await send(too_many, 3)

    assert {answer["code"] for answer in refused + large} == {400}
    assert resident_bytes() - before < 5 * MIB + 10_300 * 1_000  # The test's own answers are in there, too.
    assert (await limits_reached(world, wires))["subscriptions-per-connection"] == 10_344


async def test_a_subscription_names_so_many_devices(start, wires):
    """One more is an error that says so; the connection goes on."""
    world = await start()
    wire = await wires.dashboard(world, EXTENDED)

    answer = await wire.ask("notification/subscribe", deviceGuids=[f"d{number}" for number in range(1_001)])

    assert (answer["code"], answer["error"]) == (400, "Limit reached: 1000 devices per subscription")
    assert answer["detail"] == {"limit": "devices-per-subscription", "value": 1_000}
    assert await limits_reached(world, wires) == {"devices-per-subscription": 1}


# --- the handshake ----------------------------------------------------------------------------------------------------


async def drip(wire, data):
    with suppress(ConnectionResetError, BrokenPipeError):
        for byte in data:
            await wire.write(bytes([byte]))
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_slow_handshakes_are_all_gone_after_the_deadline(start, wires):
    """Silent, half a header, a byte now and then: none is open, the metrics count each, others got in: T64."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = min(300, (soft - 200) // 8)
    world = await start(handshake_s=1.0)
    silent = [await wires.connect(world) for _ in range(each)]
    half = [await wires.connect(world) for _ in range(each)]
    dripping = [await wires.connect(world) for _ in range(each)]
    for wire in half:
        await wire.write(upgrade()[:-20])
    drips = [asyncio.create_task(drip(wire, upgrade()[:-2] + b"X-A: b\r\n" * 100)) for wire in dripping]

    for _ in range(5):
        await (await wires.open(world)).succeed("server/info")
    for wire in silent + half + dripping:
        await wire.ended()
    await asyncio.gather(*drips)

    assert len(world.hub.gateway) == len(world.hub.edge.sockets) == 5
    assert (await limits_reached(world, wires))["handshake-s"] == 3 * each


HEADS = {
    "200 headers": (upgrade("/websocket/client", *((f"X-{number}", "x") for number in range(200))), {431}),
    "a line of 64 KiB": (upgrade("/websocket/client", ("X-Long", "x" * 65_536)), {431}),
    "a path of 64 KiB": (upgrade("/" + "x" * 65_536), {431}),
    "10,000 subprotocols": (upgrade("/websocket/client", ("Sec-WebSocket-Protocol", ",".join("a" * 10_000))), {431}),
    "10,000 extensions": (upgrade("/websocket/client", ("Sec-WebSocket-Extensions", ",".join("a" * 10_000))), {431}),
    "a key of 10,000 bytes": (upgrade(sec_websocket_key="A" * 10_000), {400, 431}),
    "a key of 1,000 bytes": (upgrade(sec_websocket_key="A" * 1_000), {400}),
    "a key that is none": (upgrade(sec_websocket_key="\x00\xff"), {400}),
    "no key": (upgrade(sec_websocket_key=None), {400}),
    "4,000 subprotocols that fit": (
        upgrade("/websocket/client", ("Sec-WebSocket-Protocol", ",".join("a" * 4_000))),
        {101},
    ),
    "4,000 extensions that fit": (
        upgrade("/websocket/client", ("Sec-WebSocket-Extensions", ",".join("a" * 4_000))),
        {101},
    ),
    "a header without a name": (request("/websocket/client", [("", "x")]), {400}),
}


@pytest.mark.parametrize("name", HEADS)
async def test_hostile_heads_are_refused_and_the_process_lives(world, wires, name, caplog):
    """431 past the limits, 400 where nothing makes sense; the next handshake succeeds: T65."""
    head, statuses = HEADS[name]
    wire = await wires.connect(world)
    with suppress(BrokenPipeError, ConnectionResetError):
        await wire.write(head)

    assert (await wire.response()).status in statuses

    await (await wires.open(world)).succeed("server/info")
    assert not [record for record in caplog.records if record.exc_info]
    if statuses == {431}:
        assert (await limits_reached(world, wires)).keys() <= {"http-headers", "http-header-bytes"} != set()


async def test_the_levels_of_the_process_are_told(world, wires):
    """How much of its limits is used can be read at any time."""
    await wires.open(world)

    for line in ("hub_connections 1.0", "hub_send_memory_bytes 0.0", "hub_sockets_throttled 0.0"):
        assert line in await metric(world, wires, line.split()[0])
