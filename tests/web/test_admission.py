"""Admission: how many may come, how often, from where and as whom; and what they are told."""

import asyncio

import pytest

from tests.edge_client import basic, frame, request, upgrade
from tests.waiting import until
from tests.web.metrics import limits_reached, metric

EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")
GOODBYE = frame(0x8, b"\x03\xe8")
LAMP = (("Auth-DeviceID", "lamp"), ("Auth-DeviceKey", "lamp-key"))


def bearer(world, name="dashboard"):
    return "Authorization", f"Bearer {world.secrets[name]}"


async def knock(world, wires, *headers, path="/websocket/client"):
    """Try a handshake; returns its answer."""
    wire = await wires.connect(world)
    await wire.write(upgrade(path, *headers))
    return await wire.response()


async def leave(world, wire, left):
    """Say goodbye, and wait until the hub has noticed."""
    await wire.write(GOODBYE)
    await wire.ended()

    async def gone():
        return len(world.hub.gateway) == left

    await until(gone)


def told(response, text):
    """Whether a refusal has this sentence, and a time to come back at."""
    assert response.status == 503
    assert text in response.body.decode()
    assert 1 <= int(response.headers["retry-after"]) <= 30
    return True


# --- how often --------------------------------------------------------------------------------------------------------


async def test_handshakes_past_the_rate_are_told_when_to_come_back(start, wires):
    """So many at once; the next one gets 503, and later it gets in."""
    world = await start(accepts_per_s=2, accept_burst=3)

    for _ in range(3):
        await wires.open(world)
    assert told(await knock(world, wires), "At most 2 handshakes per second")
    assert await limits_reached(world, wires) == {"accepts-per-s": 1}

    async def in_again():
        return (await knock(world, wires)).status == 101

    await until(in_again)


async def test_questions_of_an_operator_are_no_handshakes(start, wires):
    """Whether the hub is alive can be asked however many knock."""
    world = await start(accepts_per_s=0.01, accept_burst=1)
    await wires.open(world)

    for _ in range(5):
        wire = await wires.connect(world)
        await wire.write(request("/livez", [("Host", "hub")]))
        assert (await wire.response()).status == 200


async def test_a_key_past_its_rate_waits_alone(start, wires):
    """The same key again gets 503; another one, and a password, get in."""
    world = await start(accepts_per_key_per_s=0.01, accept_burst_per_key=2)

    for _ in range(2):
        await wires.dashboard(world)
    response = await knock(world, wires, bearer(world))

    assert told(response, "Too many requests: at most 0.01 authentications per second with one key")
    assert await limits_reached(world, wires) == {"accepts-per-key-per-s": 1}
    assert (await knock(world, wires, bearer(world, "office"))).status == 101
    assert (await knock(world, wires, basic("admin", "admin-pw"))).status == 101


async def test_a_device_past_its_rate_waits_and_a_guesser_does_not_slow_it_down(start, wires):
    """What counts is the id with the key: wrong keys have rates of their own."""
    world = await start(accepts_per_key_per_s=0.01, accept_burst_per_key=2, connections_per_device=0)
    for _ in range(10):
        await knock(world, wires, ("Auth-DeviceID", "lamp"), ("Auth-DeviceKey", "a guess"), path="/websocket/device")

    statuses = [(await knock(world, wires, *LAMP, path="/websocket/device")).status for _ in range(3)]

    assert statuses == [101, 101, 503]


@pytest.mark.parametrize("path", ["client", "device"])
async def test_authenticate_past_the_rate_is_an_error_with_a_time_to_wait(start, wires, path):
    """The connection lives, and the wait that is told is one that helps."""
    world = await start(accepts_per_key_per_s=5, accept_burst_per_key=1)
    credentials = (
        {"accessKey": world.secrets["dashboard"]} if path == "client" else {"deviceId": "lamp", "deviceKey": "lamp-key"}
    )
    wire, late = [await wires.open(world, f"/websocket/{path}", EXTENDED) for _ in range(2)]
    await wire.succeed("authenticate", **credentials)

    answer = await late.ask("authenticate", **credentials)

    assert (answer["code"], answer["reason"]) == (429, "rate")
    assert answer["error"] == "Too many requests: at most 5 authentications per second with one key"
    assert answer["detail"] == {"limit": "accepts-per-key-per-s", "value": 5}
    assert 0 < answer["retryAfter"] <= 0.3
    await asyncio.sleep(answer["retryAfter"])
    await late.succeed("authenticate", **credentials)


async def test_credentials_of_a_first_message_count_as_authentication(start, wires):
    """On an anonymous connection they are one."""
    world = await start(accepts_per_key_per_s=0.01, accept_burst_per_key=1, connections_per_device=0)
    asked = {"deviceId": "lamp", "deviceKey": "lamp-key", "deviceGuid": "lamp"}
    first, second = [await wires.open(world, "/websocket/device") for _ in range(2)]

    await first.succeed("device/get", **asked)

    assert (await second.ask("device/get", **asked))["code"] == 429
    for _ in range(3):
        await first.succeed("device/get", **asked)


# --- how many ---------------------------------------------------------------------------------------------------------


async def test_an_address_has_so_many_connections(start, wires):
    """One more gets 503; another address gets in, and so does the first when one has gone."""
    world = await start(connections_per_address=2, trusted_proxies=["127.0.0.1"])
    here, elsewhere = ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")
    first, _ = [await wires.open(world, "/websocket/client", here) for _ in range(2)]

    assert told(await knock(world, wires, here), "Too many connections: at most 2 per address")
    assert await limits_reached(world, wires) == {"connections-per-address": 1}
    await wires.open(world, "/websocket/client", elsewhere)
    await leave(world, first, 2)
    await wires.open(world, "/websocket/client", here)


async def test_failed_handshakes_take_no_place(start, wires):
    """Refused, wrong, or gone in the middle: nothing of them is counted afterwards."""
    world = await start(connections_per_address=1)
    for header in (("Authorization", "Bearer wrong"), basic("admin", "wrong")):
        assert (await knock(world, wires, header)).status == 401
    gone = await wires.connect(world)
    await gone.write(upgrade("/websocket/client", basic("admin", "admin-pw")))

    async def checking():
        return len(world.hub.gateway.admission)

    await until(checking)
    gone.abort()

    async def nobody():
        return not len(world.hub.gateway.admission)

    await until(nobody)
    await wires.open(world)


async def test_a_user_has_so_many_connections(start, wires):
    """By whichever of its keys: a handshake gets 503, `authenticate` an error, and the connection lives."""
    world = await start(connections_per_user=2)
    first, _ = await wires.dashboard(world), await wires.open(world, "/websocket/client", bearer(world, "office"))
    late = await wires.open(world, "/websocket/client", EXTENDED)

    text = "Too many connections: at most 2 per user"
    assert told(await knock(world, wires, bearer(world)), text)
    assert told(await knock(world, wires, basic("admin", "admin-pw")), text)
    answer = await late.ask("authenticate", accessKey=world.secrets["dashboard"])
    assert (answer["code"], answer["error"], answer["reason"]) == (503, text, "limit")
    assert answer["detail"] == {"limit": "connections-per-user", "value": 2}
    assert 1 <= answer["retryAfter"] <= 30
    assert await limits_reached(world, wires) == {"connections-per-user": 3}

    await leave(world, first, 2)
    await late.succeed("authenticate", accessKey=world.secrets["dashboard"])
    await late.succeed("authenticate", accessKey=world.secrets["dashboard"])


async def test_of_a_device_the_newest_connections_win(start, wires):
    """The third closes the first with 4409, and says why; the others go on."""
    world = await start()
    oldest = await wires.device(world, "lamp", EXTENDED)
    others = [await wires.device(world), await wires.device(world, "door"), await wires.device(world)]

    closing = await oldest.members()
    assert closing == {
        "action": "connection/closing",
        "code": 4409,
        "reason": "replaced by a newer connection: at most 2 per device",
        "detail": {"limit": "connections-per-device", "value": 2},
    }
    assert await oldest.closed() == 4409
    for wire in others:
        await wire.succeed("server/info")
    assert await limits_reached(world, wires) == {"connections-per-device": 1}


async def test_a_device_may_replace_its_connection_however_it_authenticates(start, wires):
    """In band as in the handshake; who says again who it is replaces nobody."""
    world = await start(connections_per_device=1)
    credentials = {"deviceId": "lamp", "deviceKey": "lamp-key"}
    first, second = [await wires.open(world, "/websocket/device") for _ in range(2)]
    for _ in range(2):
        await first.succeed("authenticate", **credentials)

    await second.succeed("authenticate", **credentials)

    assert await first.closed() == 4409
    await second.succeed("server/info")


async def test_devicehive_s_devices_may_have_many(start, wires):
    """HUB_COMPAT=devicehive: no limit of connections, and none of handshakes, per device."""
    world = await start(compat="devicehive", accepts_per_key_per_s=0.0)
    many = [await wires.device(world) for _ in range(15)]

    for wire in many:
        await wire.succeed("server/info")


async def test_a_full_process_says_so(start, wires):
    """Past its connections a handshake gets 503, and the metric counts it."""
    world = await start(connections=1)
    await wires.open(world)

    assert told(await knock(world, wires), "At most 1 connections")
    assert await limits_reached(world, wires) == {"connections": 1}


# --- profiles ---------------------------------------------------------------------------------------------------------


async def test_a_benchmark_can_see_what_it_measures(start, wires):
    """The metrics tell version, limits and durability."""
    world = await start(limits="bench", durability="queued")

    assert 'hub_info{durability="queued",limits="bench",version="' in await metric(world, wires, "hub_info")


async def test_bench_lifts_what_would_hold_a_benchmark_back(start, wires):
    """Neither keys nor devices nor users nor rates: 40 connections of one device come at once."""
    world = await start(limits="bench", accepts_per_key_per_s=0.0)
    many = [await wires.device(world) for _ in range(40)]

    for wire in many:
        await wire.succeed("server/info")
    assert await limits_reached(world, wires) == {}
