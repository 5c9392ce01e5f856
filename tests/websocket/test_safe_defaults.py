"""Safe by default, compatible by setting: each difference between the two, seen from outside."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub.app import Hub
from hub.store import Tx
from protocol.messages import Command
from protocol.names import CloseCode, UserRole, UserStatus
from tests.waiting import WAIT_S
from tests.websocket.conftest import World, opened, settings_for
from tests.websocket.peer import Frame, Peer
from tests.websocket.tenants import WORLD

COMPATIBLE = {"compat": "devicehive"}

DATA = {
    **WORLD,
    "networks": [{"name": "home"}, {"name": "away"}, {"name": "locked", "key": "n-key"}],
    "accessKeys": [
        *WORLD["accessKeys"],
        {"name": "alices", "owner": "alice", "permissions": [{}]},
        {"name": "manager", "owner": "admin", "permissions": [{"actions": ["RegisterDevice", "ManageNetwork"]}]},
        {"name": "registrar", "owner": "admin", "permissions": [{"actions": ["RegisterDevice"]}]},
    ],
}

CLASS = {"name": "Sensor", "version": "1"}


async def save(peer: Peer, guid: str = "new", **device: Any) -> Frame:
    """Register a device with its own key; returns the response."""
    whole = {"key": "d-key", "name": guid, "deviceClass": CLASS, **device}
    return await peer.ask("device/save", deviceId=guid, deviceKey="d-key", device=whole)


# --- registration by nobody in particular -----------------------------------------------------------------------------

NETWORKS: dict[str, dict[str, Any]] = {
    "no network": {},
    "null": {"network": None},
    "unknown network": {"network": {"name": "nowhere", "key": "n-key"}},
    "network without key": {"network": {"name": "home"}},
    "network without key, some key": {"network": {"name": "home", "key": "n-key"}},
    "missing key": {"network": {"name": "locked"}},
    "wrong key": {"network": {"name": "locked", "key": "wrong"}},
    "right key": {"network": {"name": "locked", "key": "n-key"}},
}

REFUSED = (403, "Incorrect network key value")
FORBIDDEN = (403, "No permissions to create network!")
OFF = (401, "Unauthorized")

REGISTRATION: dict[str, dict[str, tuple[int, str] | None]] = {
    "network-key": {**dict.fromkeys(NETWORKS, REFUSED), "right key": None},
    "off": dict.fromkeys(NETWORKS, OFF),
    "open": {
        **dict.fromkeys(NETWORKS),
        "unknown network": FORBIDDEN,
        "missing key": REFUSED,
        "wrong key": REFUSED,
    },
}


@pytest.mark.parametrize("mode", REGISTRATION)
async def test_strangers_register_devices_as_the_setting_says(start_hub, mode):
    """The default takes only the key of an existing network, and refuses all else in one way: nobody can probe."""
    chosen = {} if mode == "network-key" else {"anonymous_registration": mode}
    world = await start_hub(DATA, **chosen)
    peer = await world.connect("/websocket/device")

    for name, members in NETWORKS.items():
        response = await save(peer, name, **members)
        found = (response["code"], response["error"]) if response["status"] == "error" else None
        assert found == REGISTRATION[mode][name], name
        assert (await world.hub.store.find_device(name) is None) == (found is not None), name


@pytest.mark.parametrize("mode", REGISTRATION)
async def test_strangers_update_a_device_with_its_key_in_every_mode(start_hub, mode):
    """Whoever knows the device's key is as good as the device."""
    world = await start_hub(DATA, anonymous_registration=mode)
    peer = await world.connect("/websocket/device")

    right = await peer.ask("device/save", deviceId="own", deviceKey="own-key", device={"key": "own-key", "status": "s"})
    wrong = await peer.ask("device/save", deviceId="own", deviceKey="x", device={"key": "x", "status": "t"})

    assert right["status"] == "success"
    assert (wrong["code"], wrong["error"]) == (401, "Invalid credentials")
    assert (await world.hub.store.find_device("own")).device.status == "s"


@pytest.mark.parametrize("who", ["anonymous", "device"])
@pytest.mark.parametrize(
    ("network", "allowed"),
    [
        ({"name": "home"}, True),
        ({"name": "away"}, False),
        ({"name": "locked", "key": "wrong"}, False),
        ({"name": "locked", "key": "n-key"}, True),
    ],
)
async def test_a_device_moves_only_into_a_network_whose_key_it_has(start_hub, who, network, allowed):
    """By default its own network may be named freely, another one takes that network's key."""
    world = await start_hub(DATA)
    peer = await (world.device("own", "own-key") if who == "device" else world.connect("/websocket/device"))

    response = await peer.ask(
        "device/save", deviceId="own", deviceKey="own-key", device={"key": "own-key", "network": network}
    )

    assert response.get("code") == (None if allowed else 403)
    device = (await world.hub.store.find_device("own")).device
    assert device.network.name == (network["name"] if allowed else "home")


async def test_compatible_registration_takes_anybody(start_hub):
    """New devices and new networks, without any key."""
    world = await start_hub(DATA, **COMPATIBLE)
    peer = await world.connect("/websocket/device")

    assert (await save(peer, "one"))["status"] == "success"
    assert (await save(peer, "two", network={"name": "new"}))["status"] == "success"


# --- networks on demand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "chosen", "allowed"),
    [
        ("admin", {}, True),
        ("key manager", {}, True),
        ("key publisher", {}, True),
        ("key registrar", {}, False),
        ("alice", {}, False),
        ("key alices", {}, False),
        ("alice", {"network_auto_create": True}, True),
        ("key registrar", {"network_auto_create": True}, True),
        ("alice", COMPATIBLE, True),
        ("alice", {**COMPATIBLE, "network_auto_create": False}, False),
    ],
)
async def test_networks_are_made_on_demand_for_those_who_manage_them(start_hub, who, chosen, allowed):
    """Everybody else gets one only where the setting says so; a setting given beside the mode wins over it."""
    world = await start_hub(DATA, **chosen)
    kind, _, name = who.partition(" ")
    peer = await (world.key(name) if kind == "key" else world.user(kind))

    response = await save(peer, network={"name": "made-on-demand"})

    if allowed:
        assert response["status"] == "success"
    else:
        assert (response["code"], response["error"]) == FORBIDDEN
    made = await world.hub.store.transact(lambda tx: tx.network_by_name("made-on-demand"))
    assert (made is not None) == allowed


# --- blocking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "applied"), [({}, False), (COMPATIBLE, True), ({"devices_self_unblock": True}, True)]
)
@pytest.mark.parametrize("who", ["anonymous", "device"])
async def test_a_device_says_nothing_about_being_blocked(start_hub, who, chosen, applied):
    """``blocked`` from devices and strangers is ignored, unless the installation wants what the original did."""
    world = await start_hub(DATA, **chosen)
    peer = await (world.device("own", "own-key") if who == "device" else world.connect("/websocket/device"))

    await peer.succeed("device/save", deviceId="own", deviceKey="own-key", device={"key": "own-key", "blocked": True})

    assert (await world.hub.store.find_device("own")).device.is_blocked == applied


async def test_an_administrator_blocks_a_device(start_hub):
    """The rule is about devices and strangers only."""
    world = await start_hub(DATA)
    peer = await world.user("admin")

    await peer.succeed("device/save", deviceId="own", deviceKey="own-key", device={"blocked": True})

    assert (await world.hub.store.find_device("own")).device.is_blocked


async def test_a_blocked_device_cannot_save_itself(start_hub):
    """Its key is right, and it does not help."""
    world = await start_hub(DATA)
    await world.change(lambda tx: tx.update_device(tx.device("own").id, is_blocked=True))
    peer = await world.connect("/websocket/device")

    response = await peer.ask(
        "device/save", deviceId="own", deviceKey="own-key", device={"key": "own-key", "blocked": False}
    )

    assert (response["code"], response["error"]) == (401, "Invalid credentials")
    assert (await world.hub.store.find_device("own")).device.is_blocked


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "readable"), [({}, False), (COMPATIBLE, True), ({**COMPATIBLE, "access_keys_readable": False}, False)]
)
async def test_keys_can_be_read_again_only_where_the_installation_wants_it(tmp_path: Path, chosen, readable):
    """By default what is left of a key is its start."""
    async with opened(settings_for(tmp_path, **chosen)) as store:
        made = await store.transact(lambda tx: tx.insert_key(user_id=_somebody(tx), label="k", permissions=[]))

        shown = await store.transact(lambda tx: tx.readable_key(made.key.id))

    assert shown == (made.secret if readable else None)
    assert made.secret not in made.key.masked


def _somebody(tx: Tx) -> int:
    return tx.insert_user(login="somebody", role=UserRole.CLIENT).id


@pytest.mark.parametrize("chosen", [{}, COMPATIBLE], ids=["default", "compatible"])
async def test_no_key_lies_in_the_database(tmp_path: Path, chosen):
    """Neither access keys nor device keys nor passwords can be read out of the file, in no mode."""
    settings = settings_for(tmp_path, **chosen)
    secrets = ["d-key-that-nobody-knows"]
    async with opened(settings) as store:

        def work(tx: Tx) -> str:
            device_class = tx.insert_class(name="c", version="1")
            tx.insert_device(guid="g", key=secrets[0], name="n", class_id=device_class.id)
            return tx.insert_key(user_id=_somebody(tx), label="k", permissions=[]).secret

        secrets.append(await store.transact(work))

    data = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("hub.db"))
    assert not any(secret.encode() in data for secret in secrets)


# --- lifetime ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "replayed"), [({}, False), (COMPATIBLE, True), ({"command_lifetime": "ignore"}, True)]
)
async def test_a_command_whose_time_is_over_is_not_replayed(start_hub, chosen, replayed):
    """The original stored the lifetime and never looked at it."""
    world = await start_hub(DATA, **chosen)
    await world.hub.store.transact(_append_old_command)
    publisher, device = await world.key("publisher"), await world.device("own", "own-key")
    await publisher.succeed("command/insert", deviceGuid="own", command={"command": "fresh", "lifetime": 600})

    await device.succeed("command/subscribe", timestamp="2015-01-01")

    expected = ["old", "fresh"] if replayed else ["fresh"]
    assert [(await device.push())["command"]["command"] for _ in expected] == expected
    assert await device.pushes() == []


def _append_old_command(tx: Tx) -> None:
    """A command that was good for a minute, two minutes ago, with an id below any that this hub gives."""
    device = tx.device("own")
    assert device is not None, "it is in the world"
    inserted_ms = time.time_ns() // 1_000_000 - 120_000
    old = Command(5, device.id, "own", "old", timestamp_ms=inserted_ms, user_id=1, lifetime_s=60)
    tx.append(old, device)


# --- logins -----------------------------------------------------------------------------------------------------------


async def login(peer: Peer, password: str, name: str = "alice") -> bool:
    response = await peer.ask("authenticate", login=name, password=password)
    assert response["status"] == "success" or (response["code"], response["error"]) == (401, "Invalid credentials")
    return bool(response["status"] == "success")


async def test_wrong_passwords_slow_the_guesser_down_and_lock_nobody_out(start_hub):
    """After five from one place even the right one is refused there, in the same words; the account stays as it was."""
    world = await start_hub(DATA)
    guesser = await world.connect()

    assert [await login(guesser, f"guess {number}") for number in range(5)] == [False] * 5

    assert not await login(guesser, "alice-pw")
    assert not await login(await world.connect(), "alice-pw")
    assert await login(await world.connect(), "bob-pw", "bob")
    user = await world.hub.store.find_user(2)
    assert (user.login, user.status) == ("alice", UserStatus.ACTIVE)


async def test_the_right_password_in_time_is_not_slowed_down(start_hub):
    """Four mistakes and then the right one: the owner gets in, and the count begins anew."""
    world = await start_hub(DATA)

    for _ in range(2):
        peer = await world.connect()
        assert [await login(peer, "wrong") for _ in range(4)] == [False] * 4
        assert await login(peer, "alice-pw")


async def test_an_attempt_that_is_refused_unseen_costs_nothing(start_hub):
    """While it has to wait the password is not looked at: hundreds of guesses take no hundreds of hashes."""
    world = await start_hub(DATA)
    guesser = await world.connect()
    for _ in range(5):
        await login(guesser, "wrong")

    async with asyncio.timeout(WAIT_S / 2):
        for _ in range(14):
            assert not await login(guesser, "wrong")
    assert (await world.hub.store.find_login("alice")).login_attempts == 5


async def test_compatible_logins_are_locked_after_ten_mistakes(start_hub):
    """As in the original: nine are forgiven, the tenth is for good, and nobody is slowed down before."""
    world = await start_hub(DATA, **COMPATIBLE)
    peer = await world.connect()

    assert [await login(peer, "wrong") for _ in range(9)] == [False] * 9
    assert await login(peer, "alice-pw")
    guesser = await world.connect()
    assert [await login(guesser, "wrong") for _ in range(10)] == [False] * 10

    assert not await login(await world.connect(), "alice-pw")
    user = await world.hub.store.find_user(2)
    assert (user.login, user.status) == ("alice", UserStatus.LOCKED_OUT)


# --- connections of nobody in particular ------------------------------------------------------------------------------

KIB = 1024


def message(size: int) -> str:
    """A server/info request of exactly this many bytes."""
    empty = '{"action":"server/info","fill":""}'
    return empty.replace('""', f'"{"x" * (size - len(empty))}"')


@pytest.mark.parametrize(("chosen", "limit"), [({}, 8 * KIB), (COMPATIBLE, 64 * KIB)], ids=["default", "compatible"])
async def test_strangers_send_small_messages(start_hub, chosen, limit):
    """The last byte that is allowed is allowed; one more ends the connection with 1009."""
    world = await start_hub(DATA, close_wait_s=0.2, **chosen)
    peer = await world.connect()

    await peer.send_raw(message(limit))
    assert (await peer.receive())["status"] == "success"
    await peer.send_raw(message(limit + 1))

    assert await peer.closed() == CloseCode.TOO_BIG


async def test_whoever_has_authenticated_may_send_large_messages(start_hub):
    """64 KiB, and not a byte more."""
    world = await start_hub(DATA, close_wait_s=0.2)
    peer = await world.key("alices")

    await peer.send_raw(message(64 * KIB))
    assert (await peer.receive())["status"] == "success"
    await peer.send_raw(message(64 * KIB + 1))

    assert await peer.closed() == CloseCode.TOO_BIG


async def test_strangers_ask_twenty_times(start_hub):
    """The twentieth request is answered, the next one ends the connection with 4401."""
    world = await start_hub(DATA)
    peer = await world.connect()

    for _ in range(20):
        await peer.succeed("server/info")
    await peer.send(action="server/info")

    assert await peer.closed() == CloseCode.UNAUTHENTICATED


async def test_requests_before_authentication_are_not_held_against_anybody(start_hub):
    """Whoever authenticates within the twenty may ask on."""
    world = await start_hub(DATA)
    peer = await world.connect()

    for _ in range(19):
        await peer.succeed("server/info")
    await peer.succeed("authenticate", accessKey=world.secrets["alices"])

    for _ in range(30):
        await peer.succeed("server/info")


async def test_a_gateway_that_enrols_its_devices_may_go_on(start_hub):
    """Every device that is saved starts the count anew."""
    world = await start_hub(DATA)
    peer = await world.connect("/websocket/device")

    for number in range(3):
        for _ in range(19):
            await peer.succeed("server/info")
        response = await save(peer, f"enrolled-{number}", network={"name": "locked", "key": "n-key"})
        assert response["status"] == "success"


async def test_compatible_strangers_ask_as_often_as_they_like(start_hub):
    """As in the original."""
    world = await start_hub(DATA, **COMPATIBLE)
    peer = await world.connect()

    for _ in range(50):
        await peer.succeed("server/info")


@pytest.mark.parametrize("endpoint", ["client", "device"])
async def test_strangers_authenticate_in_time(start_hub, endpoint):
    """A connection that nobody has claimed is closed with 4401, however busy it is."""
    world = await start_hub(DATA, **{f"authenticate_{endpoint}_s": 0.3}, anonymous_requests=0)
    peer, claimed = await world.connect(f"/websocket/{endpoint}"), await world.connect(f"/websocket/{endpoint}")
    await claimed.succeed("authenticate", **credentials(world, endpoint))

    assert await peer.closed() == CloseCode.UNAUTHENTICATED

    await claimed.succeed("server/info")


def credentials(world: World, endpoint: str) -> dict[str, str]:
    if endpoint == "client":
        return {"accessKey": world.secrets["alices"]}
    return {"deviceId": "own", "deviceKey": "own-key"}


async def test_the_deadline_of_one_endpoint_is_not_that_of_the_other(start_hub):
    """Devices get more time; here a client's is over while the device's is not."""
    world = await start_hub(DATA, authenticate_client_s=0.3, authenticate_device_s=600)
    device, client = await world.connect("/websocket/device"), await world.connect("/websocket/client")

    assert await client.closed() == CloseCode.UNAUTHENTICATED

    await device.succeed("server/info")


async def test_compatible_strangers_may_stay(start_hub):
    """No deadline is kept under the compatible mode, unless one is set."""
    loose = await start_hub(DATA, **COMPATIBLE, authenticate_device_s=0.3)
    client, device = await loose.connect("/websocket/client"), await loose.connect("/websocket/device")

    assert await device.closed() == CloseCode.UNAUTHENTICATED

    await client.succeed("server/info")


# --- silence ----------------------------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_answer_pings_is_closed(start_hub):
    """1011 when nothing has come for the ping's timeout; one that answers stays."""
    world = await start_hub(DATA, ping_interval_s=0.3, ping_timeout_s=0.3)
    alive = await world.key("alices")
    silent = await Silent.connect(world.hub.port)

    pings, code = await silent.listen()

    assert pings
    assert set(pings) == {b"devicehive-ping"}
    assert code == CloseCode.NO_SIGN_OF_LIFE
    await alive.succeed("server/info")


async def test_the_compatible_silence_is_a_setting_of_its_own(start_hub):
    """``websocket.ping.timeout`` is the longest silence, whatever the pings' own timeout."""
    world = await start_hub(DATA, websocket_ping_timeout_ms=1_000, ping_interval_s=60, ping_timeout_s=60)
    silent = await Silent.connect(world.hub.port)

    _, code = await silent.listen()

    assert code == CloseCode.NO_SIGN_OF_LIFE


class Silent:
    """A peer that opens a connection and then only listens: no library answers pings for it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Silent":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /websocket/client HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        return cls(reader, writer)

    async def listen(self) -> tuple[list[bytes], int]:
        """Payloads of the pings, and the code that the hub closed with."""
        pings = []
        async with asyncio.timeout(WAIT_S):
            while True:
                opcode, length = await self._reader.readexactly(2)
                payload = await self._reader.readexactly(length)
                if opcode == 0x88:
                    self._writer.close()
                    return pings, int.from_bytes(payload[:2])
                assert opcode == 0x89, "nothing but pings was owed"
                pings.append(payload)


# --- in no mode -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [{}, COMPATIBLE], ids=["default", "compatible"])
@pytest.mark.parametrize("header", ["Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Basic %%%", "Digest x", "Bearer"])
async def test_wrong_credentials_in_the_handshake_open_nothing(start_hub, chosen, header):
    """401 before there is a connection, whatever the mode."""
    world = await start_hub(DATA, **chosen)

    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"ws://127.0.0.1:{world.hub.port}/websocket/client",
            additional_headers={"Authorization": header},
            proxy=None,
        )

    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("chosen", [{}, COMPATIBLE], ids=["default", "compatible"])
async def test_the_first_start_ships_no_secret(tmp_path: Path, chosen):
    """Every installation makes a password and a key of its own."""
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        hub = Hub(settings_for(tmp_path / name, **chosen))
        await hub.start()
        made.append(hub.first_start)
        await hub.stop()

    assert made[0].login == made[1].login == "dhadmin"
    assert len({made[0].password, made[1].password, made[0].access_key, made[1].access_key}) == 4
    assert all(len(first.password) >= 16 for first in made)
