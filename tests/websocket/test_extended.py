"""Extended mode: what a client gets that asks for it, and that nobody else gets any of it."""

import asyncio
import socket
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from websockets.exceptions import ConnectionClosedError

from protocol.names import CloseCode, Kind
from tests.waiting import WAIT_S
from tests.websocket.conftest import World
from tests.websocket.peer import Frame, Peer
from tests.websocket.tenants import WORLD

JSON_MODE = {"subprotocols": ["hub.1.json"]}
MSGPACK_MODE = {"subprotocols": ["hub.1.msgpack"]}

DATA = {
    **WORLD,
    "accessKeys": [
        *WORLD["accessKeys"],
        {"name": "alices", "owner": "alice", "permissions": [{}]},
        {"name": "reader", "owner": "alice", "permissions": [{"actions": ["GetDeviceNotification"]}]},
    ],
}


@pytest.fixture
async def world(start_hub) -> World:
    return await start_hub(DATA)


async def insert(publisher: Peer, name: str = "n", parameters: Any = None, guid: str = "own") -> int:
    """Insert a notification; returns its id."""
    inserted = await publisher.succeed(
        "notification/insert", deviceGuid=guid, notification={"notification": name, "parameters": parameters}
    )
    return inserted["notification"]["id"]


def ids(pushes: list[Frame]) -> list[int]:
    return [push["notification"]["id"] for push in pushes]


# --- asking for it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (None, None),
        (["device-hive", "devicehive"], None),
        (["hub.2.json"], None),
        (["HUB.1.JSON"], None),
        (["hub.1.json"], "hub.1.json"),
        (["hub.1.msgpack"], "hub.1.msgpack"),
        (["hub.1.json", "hub.1.msgpack"], "hub.1.json"),
        (["hub.1.msgpack", "hub.1.json"], "hub.1.msgpack"),
        (["device-hive", "hub.1.msgpack"], "hub.1.msgpack"),
    ],
    ids=str,
)
async def test_the_first_known_subprotocol_is_selected(world, offered, selected):
    """Names that the hub does not know are passed over, and the connection works either way."""
    peer = await world.connect(subprotocols=offered)

    assert peer.subprotocol == selected
    await peer.succeed("server/info")


@pytest.mark.parametrize("path", ["/websocket/device", "/api/websocket/client", "/dh/websocket/device"])
async def test_extended_mode_is_there_on_every_path(world, path):
    """Both endpoints, under every context path."""
    peer = await world.connect(path, **MSGPACK_MODE)

    assert peer.subprotocol == "hub.1.msgpack"
    await peer.succeed("server/info")


# --- MessagePack ------------------------------------------------------------------------------------------------------

VALUE = {
    "nil": None,
    "yes": True,
    "least": -(2**63),
    "greatest": 2**64 - 1,
    "float": 0.1,
    "text": "é😀\0",
    "list": [1, 1.0, "1", [], {}],
}


@pytest.mark.parametrize("sender", [JSON_MODE, MSGPACK_MODE, {}], ids=["json", "msgpack", "ordinary"])
async def test_what_goes_in_by_one_codec_comes_out_by_every_other(world, sender):
    """The same members and the same values, numbers and their types included."""
    subscribers = [await world.key("alices", **mode) for mode in (JSON_MODE, MSGPACK_MODE, {})]
    subscriptions = [await one.succeed("notification/subscribe") for one in subscribers]
    publisher = await world.key("publisher", **sender)

    message_id = await insert(publisher, "value", VALUE)

    for one, subscription in zip(subscribers, subscriptions, strict=True):
        push = await one.push()
        timestamp = push["notification"].pop("timestamp")
        assert repr(push["notification"].pop("parameters")) == repr(VALUE)
        assert push == {
            "action": "notification/insert",
            "subscriptionId": subscription["subscriptionId"],
            "deviceGuid": "own",
            "notification": {"id": message_id, "notification": "value", "deviceGuid": "own"},
        }
        assert isinstance(timestamp, str)


async def test_commands_and_their_updates_travel_as_msgpack(world):
    """The whole conversation of a device and a dashboard, without a text frame."""
    dashboard = await world.key("publisher", **MSGPACK_MODE)
    device = await world.device("own", "own-key", **MSGPACK_MODE)
    await device.succeed("command/subscribe")

    inserted = await dashboard.succeed("command/insert", deviceGuid="own", command={"command": "on"})
    command = (await device.push())["command"]
    await device.succeed("command/update", commandId=command["id"], command={"status": "ok", "result": [1]})
    sent, update = await dashboard.push(), await dashboard.push()

    assert command["id"] == inserted["command"]["id"] == sent["command"]["id"]
    assert (sent["command"]["state"], update["command"]["state"]) == ("sent", "done")
    assert (update["action"], update["command"]["status"], update["command"]["result"]) == ("command/update", "ok", [1])


@pytest.mark.parametrize(
    ("mode", "frame"),
    [(MSGPACK_MODE, "{}"), (JSON_MODE, b"{}"), ({}, b"{}"), ({}, msgpack.packb({"action": "server/info"}))],
    ids=["text on msgpack", "binary on json", "binary on ordinary", "msgpack on ordinary"],
)
async def test_a_frame_of_the_other_kind_ends_the_connection(world, mode, frame):
    """Close code 1003."""
    peer = await world.connect(**mode)

    await peer.send_raw(frame)

    assert await peer.closed() == CloseCode.WRONG_FRAME


@pytest.mark.parametrize(
    ("mode", "frame"),
    [
        (JSON_MODE, "{"),
        (JSON_MODE, "[]"),
        (JSON_MODE, '{"action":' + "[" * 5_000),
        (JSON_MODE, '{"action":"server/info","requestId":18446744073709551616}'),
        (MSGPACK_MODE, b""),
        (MSGPACK_MODE, b"\x90"),
        (MSGPACK_MODE, b"\xdd\xff\xff\xff\xff"),
        (MSGPACK_MODE, b"\x81\xa1a\xc4\x01x"),
        (MSGPACK_MODE, b"\x81\xa1a" + msgpack.packb(float("nan"))),
        (MSGPACK_MODE, b"\x82\xa1a\x01\xa1a\x02"),
        (MSGPACK_MODE, b"\x81\xa1a" + b"\x91" * 40 + b"\xc0"),
    ],
)
async def test_a_malformed_message_is_answered_and_the_connection_lives(world, mode, frame):
    """There is nothing to echo, but the reason is told."""
    peer = await world.connect(**mode)

    await peer.send_raw(frame)
    answer = await peer.receive()

    detail = answer.pop("detail", {})
    assert answer == {"status": "error", "code": 400, "error": "Incorrect JSON syntax", "reason": "malformed"}
    assert detail.keys() <= {"limit", "value"}
    await peer.succeed("server/info")


# --- errors -----------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "unknown action": ("anonymous", "no/such", {}, {"reason": "unknown-action"}),
    "action that is no text": (
        "anonymous",
        "server/info",
        {"action": None},
        {"reason": "bad-parameter", "detail": {"parameter": "action"}},
    ),
    "parameter of the wrong type": (
        "anonymous",
        "command/subscribe",
        {"deviceGuids": "own"},
        {"reason": "bad-parameter", "detail": {"parameter": "deviceGuids"}},
    ),
    "nobody": ("anonymous", "command/subscribe", {}, {"reason": "not-authenticated"}),
    "wrong credentials": (
        "anonymous",
        "authenticate",
        {"accessKey": "wrong"},
        {"reason": "bad-credentials"},
    ),
    "key without the right": (
        "reader",
        "command/insert",
        {"deviceGuid": "own", "command": {"command": "on"}},
        {"reason": "not-permitted", "detail": {"permission": "CreateDeviceCommand"}},
    ),
    "role without the right": ("alices", "device/get", {}, {"reason": "not-permitted"}),
    "device that there is not": (
        "alices",
        "command/insert",
        {"deviceGuid": "nobody", "command": {"command": "on"}},
        {"reason": "not-found"},
    ),
    "device that one must not see": (
        "alices",
        "command/insert",
        {"deviceGuid": "foreign", "command": {"command": "on"}},
        {"reason": "not-found"},
    ),
    "no names": (
        "alices",
        "notification/subscribe",
        {"names": []},
        {"reason": "bad-parameter", "detail": {"parameter": "names"}},
    ),
    "one device and several": (
        "alices",
        "notification/subscribe",
        {"deviceGuid": "own", "deviceGuids": ["own"]},
        {"reason": "bad-parameter", "detail": {"parameter": "deviceGuid"}},
    ),
    "two cursors": (
        "alices",
        "notification/subscribe",
        {"since": 900, "timestamp": "2026-01-01T00:00:00.000"},
        {"reason": "bad-parameter", "detail": {"parameter": "timestamp"}},
    ),
    "overflow policy that there is not": (
        "alices",
        "notification/subscribe",
        {"overflow": "whatever"},
        {"reason": "bad-parameter", "detail": {"parameter": "overflow"}},
    ),
    "cursor below zero": (
        "alices",
        "command/subscribe",
        {"since": -1},
        {"reason": "bad-parameter", "detail": {"parameter": "since"}},
    ),
}


async def come_in(world: World, who: str, **mode: Any) -> Peer:
    return await world.connect(**mode) if who == "anonymous" else await world.key(who, **mode)


@pytest.mark.parametrize(("who", "action", "members", "more"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_extended_errors_say_what_refused(world, who, action, members, more):
    """A stable reason, what it was by name, and beside them exactly what an ordinary connection gets."""
    ordinary, extended = await come_in(world, who), await come_in(world, who, **JSON_MODE)

    plain = await refusal(ordinary, {"action": action, **members})
    full = await refusal(extended, {"action": action, **members})

    assert plain.keys() == {"action", "requestId", "status", "code", "error"}
    assert full == plain | more


async def refusal(peer: Peer, members: dict[str, Any]) -> Frame:
    await peer.send(**members, requestId=1)
    return await peer.receive()


@pytest.mark.parametrize("action", ["notification/subscribe", "command/subscribe"])
async def test_limits_are_told_by_name_and_value(start_hub, action):
    """Subscriptions of a connection, and devices of a subscription."""
    world = await start_hub(DATA, subscriptions_per_connection=2, devices_per_subscription=3)
    peer = await world.key("alices", **JSON_MODE)

    too_long = await peer.ask(action, deviceGuids=["a", "b", "c", "d"])
    for _ in range(2):
        await peer.succeed(action)
    too_many = await peer.ask(action)

    assert (too_long["error"], too_long["reason"], too_long["detail"]) == (
        "Limit reached: 3 devices per subscription",
        "limit",
        {"limit": "devices-per-subscription", "value": 3},
    )
    assert (too_many["error"], too_many["reason"], too_many["detail"]) == (
        "Limit reached: 2 subscriptions per connection",
        "limit",
        {"limit": "subscriptions-per-connection", "value": 2},
    )


# --- announced ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [JSON_MODE, MSGPACK_MODE], ids=["json", "msgpack"])
async def test_an_end_is_announced(world, mode):
    """The last frame says why, and then the socket closes with the same code."""
    peer = await world.key("alices", **mode)

    await world.change(lambda tx: [tx.delete_key(key.id) for key in tx.keys(user_id=None) if key.label == "alices"])
    last = await peer.receive()

    assert (last["action"], last["code"]) == ("connection/closing", CloseCode.UNAUTHENTICATED)
    assert last["reason"]
    assert await peer.closed() == CloseCode.UNAUTHENTICATED


async def test_a_restart_tells_when_to_come_back(world):
    """Each client is given a time of its own, in seconds."""
    peer, ordinary = await world.connect(**JSON_MODE), await world.connect()

    stopping = asyncio.create_task(world.hub.stop())
    last = await peer.receive()

    assert (last["action"], last["code"]) == ("connection/closing", CloseCode.RESTART)
    assert last["reconnectAfter"] >= 0
    assert await peer.closed() == CloseCode.RESTART
    # Nothing but the close itself reaches a connection that did not ask for more.
    assert await ordinary.closed() == CloseCode.RESTART
    await stopping


# --- resume -----------------------------------------------------------------------------------------------------------


async def test_a_position_is_where_a_subscription_goes_live(world):
    """Sent back as ``since``, it brings what came after it and nothing from before."""
    publisher, peer = await world.key("publisher"), await world.key("alices", **JSON_MODE)
    await insert(publisher, "before")
    position = (await peer.succeed("notification/subscribe"))["position"]
    await peer.close()
    missed = [await insert(publisher, "after") for _ in range(3)]

    again = await world.key("alices", **JSON_MODE)
    answer = await again.succeed("notification/subscribe", since=position)

    assert [(await again.push())["notification"]["id"] for _ in missed] == missed
    assert answer["recovered"] is True
    assert "missed" not in answer
    assert answer["position"] >= missed[-1]


async def test_a_resumed_subscription_continues_with_what_comes_live(world):
    """History in order, oldest first, then live messages: no gap and no repeat while messages keep coming."""
    publisher, peer = await world.key("publisher"), await world.key("alices", **JSON_MODE)
    inserted = [await insert(publisher) for _ in range(20)]

    async with asyncio.TaskGroup() as tasks:
        more = [tasks.create_task(insert_many(await world.key("publisher"), 20)) for _ in range(2)]
        await peer.succeed("notification/subscribe", since=inserted[9])
    live = [message_id for task in more for message_id in task.result()]

    received = [(await peer.push())["notification"]["id"] for _ in range(10 + 40)]
    assert received == inserted[10:] + sorted(live)
    assert await peer.pushes() == []


async def insert_many(publisher: Peer, count: int) -> list[int]:
    return [await insert(publisher) for _ in range(count)]


async def test_commands_are_resumed_without_those_that_were_answered(world):
    """What the device has updated need not be done again."""
    publisher, device = await world.key("publisher"), await world.device("own", "own-key", **JSON_MODE)
    made = [
        (await publisher.succeed("command/insert", deviceGuid="own", command={"command": name}))["command"]["id"]
        for name in "abc"
    ]
    await device.succeed("command/update", commandId=made[1], command={"status": "done"})

    answer = await device.succeed("command/subscribe", since=made[0] - 1)

    assert answer["recovered"] is True
    assert [(await device.push())["command"]["id"] for _ in range(2)] == [made[0], made[2]]
    assert await device.pushes() == []


async def test_a_timestamp_says_whether_it_recovered_everything_too(world):
    """``recovered`` is there whenever something was to be replayed, and only then."""
    peer = await world.key("alices", **JSON_MODE)

    replayed = await peer.succeed("notification/subscribe", timestamp="2026-01-01T00:00:00.000")
    live = await peer.succeed("notification/subscribe")

    assert replayed["recovered"] is True
    assert live.keys() == {"action", "requestId", "status", "subscriptionId", "position"}


async def test_what_retention_has_removed_is_said(world):
    """The answer names the range that is missing, and the rest is replayed."""
    publisher = await world.key("publisher")
    made = [await insert(publisher) for _ in range(10)]
    removed = await world.hub.store.prune(Kind.NOTIFICATION, before_ms=0, per_device=4)
    peer = await world.key("alices", **JSON_MODE)

    answer = await peer.succeed("notification/subscribe", since=made[2])

    assert removed == 6
    assert answer["recovered"] is False
    assert answer["missed"]["reason"] == "retention"
    assert answer["missed"]["after"] == made[2]
    assert made[5] < answer["missed"]["before"] <= made[6]
    assert [(await peer.push())["notification"]["id"] for _ in range(4)] == made[6:]


async def test_a_cursor_beyond_what_was_removed_misses_nothing(world):
    """Retention elsewhere does not concern who has already seen it."""
    publisher = await world.key("publisher")
    made = [await insert(publisher) for _ in range(10)]
    await world.hub.store.prune(Kind.NOTIFICATION, before_ms=0, per_device=4)
    peer = await world.key("alices", **JSON_MODE)

    answer = await peer.succeed("notification/subscribe", since=made[6])

    assert answer["recovered"] is True
    assert [(await peer.push())["notification"]["id"] for _ in range(3)] == made[7:]


async def test_an_id_that_was_never_given_is_no_position(world):
    """A cursor from another hub, or from the future, is told as such."""
    peer = await world.key("alices", **JSON_MODE)

    answer = await peer.succeed("notification/subscribe", since=2**53 - 1)

    assert answer["recovered"] is False
    assert answer["missed"]["reason"] == "unknown-position"


async def test_an_ordinary_subscription_shows_nothing_of_this(world):
    """Whoever does not ask gets DeviceHive's answer, member for member, with and without a replay."""
    peer = await world.key("alices")

    for members in ({}, {"timestamp": "2026-01-01T00:00:00.000"}):
        for action in ("notification/subscribe", "command/subscribe"):
            answer = await peer.succeed(action, **members)
            assert answer.keys() == {"action", "requestId", "status", "subscriptionId"}


# --- readers that are too slow ----------------------------------------------------------------------------------------

FLOOD = 600
"""Messages of 48 KiB: far more than an outbox and the kernel's buffers hold."""


async def connect_slowly(world: World) -> Peer:
    """An extended connection that reads nothing unless the test does; its socket holds next to nothing."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", world.hub.port))
    # A small queue: the client stops reading its socket as soon as nobody takes its messages.
    return await world.key("alices", sock=plain, max_queue=1, close_timeout=0.1, **JSON_MODE)


async def flooded(world: World, overflow: str) -> tuple[Peer, str, list[int]]:
    """A subscriber that does not read while far too much comes; returns it, its subscription and all ids."""
    publisher, slow = await world.key("publisher"), await connect_slowly(world)
    answer = await slow.succeed("notification/subscribe", overflow=overflow, deviceGuid="own")
    filling = "x" * 48_000
    made = [await insert(publisher, "n", {"number": number, "filling": filling}) for number in range(FLOOD)]
    return slow, answer["subscriptionId"], made


@pytest.fixture
async def small_world(start_hub) -> World:
    """A hub with small outboxes that waits long before it gives a reader up."""
    patient = {"outbox_wait_s": WAIT_S * 6, "write_wait_s": WAIT_S * 6}
    return await start_hub(DATA, outbox_bytes=256 * 1024, message_bytes_per_s=0, **patient)


@pytest.mark.slow
async def test_a_slow_reader_is_disconnected_unless_it_asked_for_something_else(small_world):
    """Close code 4008; what it has not got it replays from its last id, without a gap."""
    slow, _, made = await flooded(small_world, "disconnect")

    received = await rest_of(slow)

    assert received == made[: len(received)]
    assert len(received) < FLOOD
    again = await small_world.key("alices", **JSON_MODE)
    answer = await again.succeed("notification/subscribe", deviceGuid="own", since=received[-1] if received else 0)
    assert answer["recovered"] is True
    assert [(await again.push())["notification"]["id"] for _ in made[len(received) :]] == made[len(received) :]


async def rest_of(slow: Peer) -> list[int]:
    """Ids of everything that still comes until the hub closes, with or without an announcement."""
    received = []
    with suppress(ConnectionClosedError):
        while True:
            frame = await slow.receive()
            received += [frame["notification"]["id"]] if "notification" in frame else []
    assert await slow.closed() == CloseCode.SLOW_READER
    return received


@pytest.mark.slow
@pytest.mark.parametrize("overflow", ["drop-oldest", "latest"])
async def test_a_slow_reader_may_ask_to_lose_the_oldest_instead(small_world, overflow):
    """It stays connected, gets the newest, in order, and every gap is counted on the push behind it."""
    slow, subscription_id, made = await flooded(small_world, overflow)

    pushes = [await slow.push()]
    while pushes[-1]["notification"]["id"] != made[-1]:
        pushes.append(await slow.push())

    expected = iter(made)
    for push in pushes:
        assert push["subscriptionId"] == subscription_id
        skipped = 0
        while next(expected) != push["notification"]["id"]:
            skipped += 1
        assert push.get("dropped", 0) == skipped
    assert sum(push.get("dropped", 0) for push in pushes) == FLOOD - len(pushes) > 0
    assert slow.is_open


@pytest.mark.slow
async def test_a_slow_reader_delays_nobody(small_world):
    """Another subscriber of the same messages gets them all while the slow one gets none."""
    fast = await small_world.key("alices", **JSON_MODE)
    await fast.succeed("notification/subscribe", deviceGuid="own")
    reading = asyncio.create_task(take(fast, FLOOD))

    _, _, made = await flooded(small_world, "drop-oldest")

    assert await reading == made


async def take(peer: Peer, count: int) -> list[int]:
    return [(await peer.push())["notification"]["id"] for _ in range(count)]
