"""A right that is taken away is gone from open connections within a second, whoever took it away.

Every change is made beside the running hub, through a store of its own on the same file, as the command line makes it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from hub.passwords import hash_password
from hub.store import Tx
from protocol.names import CloseCode, UserRole, UserStatus
from tests.builders import permission
from tests.waiting import WAIT_S, until
from tests.websocket.conftest import World
from tests.websocket.peer import Peer
from tests.websocket.tenants import WORLD

REVOKED_WITHIN_S = WAIT_S / 10
"""The promise is a second; a slow computer gets more of it, as of all waiting."""

DATA = {
    **WORLD,
    "users": [
        *WORLD["users"],
        {"login": "boss", "password": "boss-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []},
    ],
    "accessKeys": [
        *WORLD["accessKeys"],
        {"name": "alices", "owner": "alice", "permissions": [{}]},
        {"name": "admins", "owner": "admin", "permissions": [{}]},
        {"name": "speaker", "owner": "boss", "permissions": [{}]},
    ],
}

Change = Callable[[Tx], Any]

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(start_hub) -> World:
    return await start_hub(DATA)


async def come_in(world: World, who: str) -> Peer:
    """A connection by what it authenticates with: a login, ``key alices``, ``device own``."""
    kind, _, name = who.partition(" ")
    if kind == "key":
        return await world.key(name)
    return await world.device(name, f"{name}-key") if kind == "device" else await world.user(kind)


def user_id(tx: Tx, login: str) -> int:
    found = tx.user_by_login(login)
    assert found is not None, f"{login} is in the world"
    return found.id


def key_id(tx: Tx, name: str) -> int:
    return next(key.id for key in tx.keys(user_id=None) if key.label == name)


def device_id(tx: Tx, guid: str) -> int:
    found = tx.device(guid)
    assert found is not None, f"{guid} is in the world"
    return found.id


# --- who has to go ----------------------------------------------------------------------------------------------------

ENDS: dict[str, tuple[str, Change]] = {
    "key deleted": ("key alices", lambda tx: tx.delete_key(key_id(tx, "alices"))),
    "key expired": ("key alices", lambda tx: tx.update_key(key_id(tx, "alices"), expires_ms=1)),
    "owner of the key locked": (
        "key alices",
        lambda tx: tx.update_user(user_id(tx, "alice"), status=UserStatus.LOCKED_OUT),
    ),
    "owner of the key deleted": ("key alices", lambda tx: tx.delete_user(user_id(tx, "alice"))),
    "user locked": ("alice", lambda tx: tx.update_user(user_id(tx, "alice"), status=UserStatus.LOCKED_OUT)),
    "user disabled": ("alice", lambda tx: tx.update_user(user_id(tx, "alice"), status=UserStatus.DISABLED)),
    "user marked deleted": ("alice", lambda tx: tx.update_user(user_id(tx, "alice"), status=UserStatus.DELETED)),
    "user deleted": ("alice", lambda tx: tx.delete_user(user_id(tx, "alice"))),
    "password changed": (
        "alice",
        lambda tx: tx.set_password(user_id(tx, "alice"), password_hash=hash_password("another")),
    ),
    "administrator locked": ("admin", lambda tx: tx.update_user(user_id(tx, "admin"), status=UserStatus.DISABLED)),
    "device blocked": ("device own", lambda tx: tx.update_device(device_id(tx, "own"), is_blocked=True)),
    "device deleted": ("device own", lambda tx: tx.delete_device("own")),
    "network of the device deleted": ("device own", lambda tx: tx.delete_network(1)),
    "device made anew": (
        "device own",
        lambda tx: (
            tx.delete_device("own"),
            tx.insert_device(guid="own", key="own-key", name="own", class_id=1, network_id=1),
        ),
    ),
}


@pytest.mark.parametrize(("who", "change"), ENDS.values(), ids=ENDS.keys())
async def test_a_connection_ends_with_what_it_authenticated_by(world, who, change):
    """Key, user or device gone, locked, blocked or expired: close code 4401, within a second."""
    peer = await come_in(world, who)
    await peer.succeed("command/subscribe")

    await world.change(change)

    async with asyncio.timeout(REVOKED_WITHIN_S):
        assert await peer.closed() == CloseCode.UNAUTHENTICATED


async def test_a_key_ends_by_the_clock(world):
    """Nobody has to do anything for it: when its time comes, the connection goes."""
    ends_ms = time.time_ns() // 1_000_000 + 1_000
    await world.change(lambda tx: tx.update_key(key_id(tx, "alices"), expires_ms=ends_ms))
    peer = await world.key("alices")

    async with asyncio.timeout(1 + REVOKED_WITHIN_S):
        assert await peer.closed() == CloseCode.UNAUTHENTICATED
    assert time.time_ns() // 1_000_000 >= ends_ms


STAYS: dict[str, tuple[str, Change]] = {
    "key of somebody whose password changes": (
        "key alices",
        lambda tx: tx.set_password(user_id(tx, "alice"), password_hash=hash_password("another")),
    ),
    "password only hashed anew": (
        "alice",
        lambda tx: tx.set_password(user_id(tx, "alice"), password_hash=hash_password("alice-pw"), ends_sessions=False),
    ),
    "user beside a locked one": (
        "alice",
        lambda tx: tx.update_user(user_id(tx, "bob"), status=UserStatus.LOCKED_OUT),
    ),
    "login beside a deleted key": ("alice", lambda tx: tx.delete_key(key_id(tx, "alices"))),
    "key beside another": ("key alices", lambda tx: tx.delete_key(key_id(tx, "admins"))),
    "device with a new key": ("device own", lambda tx: tx.update_device(device_id(tx, "own"), key="another")),
    "device beside a blocked one": (
        "device own",
        lambda tx: tx.update_device(device_id(tx, "own-2"), is_blocked=True),
    ),
}


@pytest.mark.parametrize(("who", "change"), STAYS.values(), ids=STAYS.keys())
async def test_a_connection_outlives_changes_that_do_not_concern_it(world, who, change):
    """Another change, made later, has closed its own connection by now: this one was looked at and left alone."""
    peer, marker = await come_in(world, who), await world.device("foreign", "foreign-key")
    await peer.succeed("command/subscribe")

    await world.change(change)
    await world.change(lambda tx: tx.delete_device("foreign"))

    assert await marker.closed() == CloseCode.UNAUTHENTICATED
    await peer.succeed("command/subscribe")


# --- what is no longer seen -------------------------------------------------------------------------------------------

NARROWED: dict[str, tuple[str, Change]] = {
    "membership removed": ("alice", lambda tx: tx.remove_member(user_id(tx, "alice"), 1)),
    "membership of the key's owner removed": ("key alices", lambda tx: tx.remove_member(user_id(tx, "alice"), 1)),
    "device moved": ("alice", lambda tx: tx.update_device(device_id(tx, "own"), network_id=2)),
    "device moved under a key": ("key alices", lambda tx: tx.update_device(device_id(tx, "own"), network_id=2)),
    "device taken out of its network": ("alice", lambda tx: tx.update_device(device_id(tx, "own"), network_id=None)),
    "administrator made a client": ("admin", lambda tx: tx.update_user(user_id(tx, "admin"), role=UserRole.CLIENT)),
    "owner of the key made a client": (
        "key admins",
        lambda tx: tx.update_user(user_id(tx, "admin"), role=UserRole.CLIENT),
    ),
    **{
        f"key narrowed to {name}": (
            "key alices",
            lambda tx, given=given: tx.update_key(key_id(tx, "alices"), permissions=[permission(**given)]),
        )
        for name, given in {
            "no actions": {"actions": []},
            "another action": {"actions": ["GetDevice"]},
            "another device": {"device_guids": ["own-2"]},
            "another network": {"network_ids": [2]},
            "another subnet": {"subnets": ["10.0.0.0/8"]},
            "no devices": {"device_guids": []},
        }.items()
    },
    "key left without permissions": (
        "key alices",
        lambda tx: tx.update_key(key_id(tx, "alices"), permissions=[]),
    ),
}


async def speaker(world: World) -> Peer:
    """Somebody whose own rights none of the changes touch."""
    return await world.key("speaker")


async def tell(publisher: Peer, guid: str = "own") -> None:
    await publisher.succeed("command/insert", deviceGuid=guid, command={"command": "told"})


@pytest.mark.parametrize("named", [{}, {"deviceGuids": ["own"]}], ids=["all devices", "the device by name"])
@pytest.mark.parametrize(("who", "change"), NARROWED.values(), ids=NARROWED.keys())
async def test_a_device_that_is_out_of_reach_falls_silent(world, who, change, named):
    """The connection stays, the subscription stays, and within a second no message comes any more."""
    peer, publisher = await come_in(world, who), await speaker(world)
    await peer.succeed("command/subscribe", **named)
    await tell(publisher)
    assert len(await peer.pushes()) == 1

    await world.change(change)

    async def silent() -> bool:
        await tell(publisher)
        return not await peer.pushes()

    await until(silent, within_s=REVOKED_WITHIN_S)
    for _ in range(3):
        await tell(publisher)
    assert await peer.pushes() == []
    assert peer.is_open


async def test_what_was_taken_away_can_be_given_back(world):
    """A subscription that lost its device gets its messages again, without asking anew."""
    peer, publisher = await world.user("alice"), await speaker(world)
    await peer.succeed("command/subscribe", deviceGuids=["own"])
    await world.change(lambda tx: tx.remove_member(user_id(tx, "alice"), 1))

    async def heard() -> bool:
        await tell(publisher)
        return bool(await peer.pushes())

    async def not_heard() -> bool:
        return not await heard()

    await until(not_heard, within_s=REVOKED_WITHIN_S)
    await world.change(lambda tx: tx.add_member(user_id(tx, "alice"), 1))

    await until(heard, within_s=REVOKED_WITHIN_S)


async def test_a_narrower_key_acts_on_the_next_request_too(world):
    """What is not pushed any more cannot be asked for, or written, either."""
    peer = await world.key("alices")
    await world.change(
        lambda tx: tx.update_key(key_id(tx, "alices"), permissions=[permission(actions=["GetDeviceNotification"])])
    )

    async def refused() -> bool:
        response = await peer.ask("command/insert", deviceGuid="own", command={"command": "on"})
        return bool(response.get("code") == 401)

    await until(refused, within_s=REVOKED_WITHIN_S)
    await peer.succeed("notification/subscribe")


async def test_a_gateway_loses_one_device_and_keeps_the_others(world):
    """A subscription made as another device ends alone when that device is blocked."""
    gateway, publisher = await world.device("own", "own-key"), await speaker(world)
    await gateway.succeed("command/subscribe")
    await gateway.succeed("command/subscribe", deviceId="own-2", deviceKey="own-2-key")

    await world.change(lambda tx: tx.update_device(device_id(tx, "own-2"), is_blocked=True))

    async def heard_of() -> list[str]:
        for guid in ("own", "own-2"):
            await tell(publisher, guid)
        return [push["deviceGuid"] for push in await gateway.pushes()]

    async def only_itself() -> bool:
        return await heard_of() == ["own"]

    await until(only_itself, within_s=REVOKED_WITHIN_S)
    assert await heard_of() == ["own"]


async def test_rights_change_a_hundred_times_during_traffic(world):
    """No message is delivered more than a second after the right to it is gone, however often it comes and goes."""
    peer, publisher = await world.user("alice"), await speaker(world)
    await peer.succeed("command/subscribe")
    told = 0

    async def tell_on() -> None:
        nonlocal told
        while True:
            await tell(publisher)
            told += 1

    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(tell_on())
        for _ in range(50):
            await world.change(lambda tx: tx.remove_member(user_id(tx, "alice"), 1))
            await world.change(lambda tx: tx.add_member(user_id(tx, "alice"), 1))
        await world.change(lambda tx: tx.remove_member(user_id(tx, "alice"), 1))
        await asyncio.sleep(REVOKED_WITHIN_S)  # What comes until then is allowed to.
        await peer.pushes()
        before = told
        await until(lambda: asyncio.sleep(0, told >= before + 10))
        assert await peer.pushes() == []
        telling.cancel()
    assert peer.is_open


# --- extended mode is told --------------------------------------------------------------------------------------------

JSON_MODE = {"subprotocols": ["hub.1.json"]}


@pytest.mark.parametrize(("who", "change"), NARROWED.values(), ids=NARROWED.keys())
async def test_a_subscription_that_has_lost_its_last_device_is_closed(world, who, change):
    """In extended mode only: the others fall silent, and hear the device again when access returns."""
    kind, _, name = who.partition(" ")
    peer = await (world.key(name, **JSON_MODE) if name else world.user(kind, **JSON_MODE))
    everything = await peer.succeed("command/subscribe")
    subscribed = await peer.succeed("command/subscribe", deviceGuids=["own"])

    await world.change(change)

    assert await peer.push() == {
        "action": "subscription/closed",
        "subscriptionId": subscribed["subscriptionId"],
        "reason": "not-permitted",
        "detail": {"deviceGuid": "own"},
    }
    assert await peer.pushes() == []
    [connection] = [one for one in world.hub.gateway.connections if one.extended]
    assert list(connection.subscriptions) == [everything["subscriptionId"]]


async def test_a_subscription_that_keeps_one_of_its_devices_stays(world):
    """It is closed with the last one; all of them are named then, for none says which."""
    alice = await world.user("alice", **JSON_MODE)
    subscribed = await alice.succeed("notification/subscribe", deviceGuids=["own", "own-2"])
    await world.change(lambda tx: tx.update_device(device_id(tx, "own"), network_id=2))
    named = world.hub.gateway.rights.named

    async def looked() -> bool:
        device = world.hub.gateway.devices.cached("own")
        return device is not None and device.network_id == 2 and not named._pending

    await until(looked)
    before = await alice.pushes()
    await world.change(lambda tx: tx.delete_device("own-2"))

    told = await alice.push()
    assert before == []
    assert (told["subscriptionId"], told["detail"]) == (
        subscribed["subscriptionId"],
        {"deviceGuids": ["own", "own-2"]},
    )
    assert len(named) == 0


async def test_a_gateway_is_told_which_device_it_lost(world):
    """A subscription made as another device ends when that one is blocked."""
    gateway = await world.device("own", "own-key", **JSON_MODE)
    lost = await gateway.succeed("command/subscribe", deviceId="own-2", deviceKey="own-2-key")

    await world.change(lambda tx: tx.update_device(device_id(tx, "own-2"), is_blocked=True))

    told = await gateway.push()
    assert (told["subscriptionId"], told["detail"]) == (lost["subscriptionId"], {"deviceGuid": "own-2"})
