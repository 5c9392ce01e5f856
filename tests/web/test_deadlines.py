"""Deadlines: who does not authenticate, who falls silent, and what counts as a sign of life."""

import asyncio

import pytest

from tests.edge_client import CLOSE, PING, PONG, TEXT, frame, message

SHORT_S = 0.3
"""A deadline that tests wait for."""
LONG_S = 60.0
"""A deadline that they do not reach."""

QUICK_PINGS = {"ping_interval_s": SHORT_S, "ping_timeout_s": SHORT_S}


def now_s():
    return asyncio.get_running_loop().time()


async def alive_for(wire, seconds, sent):
    """Send this now and then, for a while, and answer nothing; whether the connection lives on."""
    end_s = now_s() + seconds
    while now_s() < end_s:
        await wire.write(sent)
        await asyncio.sleep(SHORT_S / 5)
    await wire.send(action="server/info", requestId="last")
    while (one := await wire.frame()).opcode != CLOSE:
        if one.opcode == TEXT and one.members()["requestId"] == "last":
            return True
    return False


# --- authentication ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["client", "device"])
async def test_who_does_not_authenticate_in_time_is_closed(start, wires, endpoint):
    """Each endpoint has its own deadline, and requests in between do not move it."""
    world = await start(
        **{"authenticate_client_s": LONG_S, "authenticate_device_s": LONG_S, f"authenticate_{endpoint}_s": SHORT_S}
    )
    wire = await wires.open(world, f"/websocket/{endpoint}")
    other = await wires.open(world, f"/websocket/{'device' if endpoint == 'client' else 'client'}")
    await wire.succeed("server/info")

    assert await wire.closed() == 4401
    await other.succeed("server/info")


async def test_authentication_ends_the_deadline(start, wires):
    """Who is somebody by then stays."""
    world = await start(authenticate_client_s=SHORT_S, authenticate_device_s=SHORT_S)
    early, late = await wires.dashboard(world), await wires.open(world)
    await late.succeed("authenticate", accessKey=world.secrets["dashboard"])
    silent = await wires.open(world)

    assert await silent.closed() == 4401
    for wire in (early, late):
        await wire.succeed("server/info")


async def test_a_deadline_of_zero_is_none(start, wires):
    """As DeviceHive had it."""
    world = await start(authenticate_client_s=0, authenticate_device_s=SHORT_S)
    patient, device = await wires.open(world), await wires.open(world, "/websocket/device")

    assert await device.closed() == 4401
    await patient.succeed("server/info")


def saving(number, key="key"):
    device = {"key": key, "name": "a device", "deviceClass": {"name": "Sensor", "version": "1"}}
    return {"deviceId": f"new-{number}", "deviceKey": key, "device": device}


@pytest.mark.slow
async def test_a_gateway_that_enrols_devices_has_its_time_anew(start, wires):
    """Every device that it saves starts the deadline and the count of its requests again."""
    world = await start(authenticate_device_s=4 * SHORT_S, anonymous_requests=3, anonymous_registration="open")
    gateway = await wires.open(world, "/websocket/device")
    begin_s = now_s()

    for number in range(6):
        await gateway.succeed("server/info")
        await gateway.succeed("device/save", **saving(number))
        await asyncio.sleep(SHORT_S)
    assert now_s() - begin_s > 4 * SHORT_S
    await gateway.succeed("server/info")

    assert await gateway.closed() == 4401


async def test_so_many_requests_may_come_before_authentication(world, wires):
    """The twenty-first is not answered: the connection is closed with 4401."""
    wire = await wires.open(world)

    await wire.write(message(action="server/info") * 21)

    for _ in range(20):
        assert (await wire.members())["status"] == "success"
    assert (await wire.frame()).code() == 4401


@pytest.mark.parametrize("sent", [b"{", b'{"action":"nothing"}', b'{"action":"authenticate","login":"a"}'])
async def test_failed_requests_count_too(start, wires, sent):
    """Whatever came of them."""
    world = await start(anonymous_requests=3)
    wire = await wires.open(world)
    await wire.write(frame(TEXT, sent) * 4)

    for _ in range(3):
        assert (await wire.members())["status"] == "error"
    assert (await wire.frame()).code() == 4401


async def test_authentication_ends_the_count(start, wires):
    """Requests of somebody are not counted."""
    world = await start(anonymous_requests=3)
    wire = await wires.open(world)
    await wire.succeed("authenticate", accessKey=world.secrets["dashboard"])

    for _ in range(10):
        await wire.succeed("server/info")


# --- silence ----------------------------------------------------------------------------------------------------------


async def test_a_silent_peer_is_pinged_then_closed(start, wires):
    """First the ping, with DeviceHive's payload; then, when nothing comes, 1011."""
    world = await start(**QUICK_PINGS)
    wire = await wires.dashboard(world)
    begin_s = now_s()

    ping = await wire.frame()
    assert (ping.opcode, ping.payload) == (PING, b"devicehive-ping")
    assert (await wire.closing()).code() == 1011
    assert now_s() - begin_s >= SHORT_S


@pytest.mark.parametrize(
    "sent",
    [frame(PONG, b"devicehive-ping"), frame(PONG, b"another payload"), message(action="server/info", requestId=1)],
    ids=["pong", "any pong", "a request"],
)
async def test_whoever_sends_anything_lives(start, wires, sent):
    """A pong, whatever is in it, or a message."""
    world = await start(**QUICK_PINGS)
    wire = await wires.dashboard(world)

    assert await alive_for(wire, 4 * SHORT_S, sent)


async def test_every_byte_is_a_sign_of_life(start, wires):
    """Also a piece of a message that is not complete for a long time."""
    world = await start(**QUICK_PINGS)
    wire = await wires.dashboard(world)
    slowly = message(action="server/info", requestId=1)

    for byte in slowly:
        await wire.write(bytes([byte]))
        await asyncio.sleep(4 * SHORT_S / len(slowly))

    assert (await wire.members())["requestId"] == 1


async def test_pings_of_the_peer_are_signs_of_life(start, wires):
    """A client that pings by itself need not answer ours."""
    world = await start(**QUICK_PINGS, pings_per_s=1_000)
    wire = await wires.dashboard(world)

    assert await alive_for(wire, 4 * SHORT_S, frame(PING, b"devicehive-client-ping"))


async def test_the_longest_silence_can_be_set_outright(start, wires):
    """DeviceHive's setting: then pings do not decide."""
    world = await start(websocket_ping_timeout_ms=1_000, ping_interval_s=SHORT_S, ping_timeout_s=SHORT_S / 10)
    wire = await wires.dashboard(world)
    begin_s = now_s()

    assert await wire.closed() == 1011
    assert now_s() - begin_s >= 0.9  # The hub's clock is as exact as its wheel.


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [True, False])
async def test_a_peer_that_does_not_say_goodbye_is_cut_off(start, wires, reads):
    """After our close frame there is so much time for theirs; then the connection ends anyway."""
    world = await start(close_wait_s=SHORT_S, anonymous_requests=1)
    wire = await wires.open(world)
    await wire.write(message(action="server/info") * 2)
    if reads:
        assert await wire.closed() == 4401

    async with asyncio.timeout(10 * SHORT_S):
        await wire.ended()


async def test_a_peer_that_says_goodbye_is_let_go_at_once(start, wires):
    """Its close frame ends the connection, also behind requests that were never looked at."""
    world = await start(close_wait_s=LONG_S, anonymous_requests=1)
    wire = await wires.open(world)
    await wire.write(message(action="server/info") * 40 + frame(CLOSE, b"\x11\x31"))

    assert await wire.closed() == 4401
    assert await wire.ended() == b""
