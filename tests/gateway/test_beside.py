"""Changes made beside the running hub, as the command line makes them, reach it within a second."""

import asyncio
import time

import pytest

from protocol.names import UserStatus
from tests.gateway.inside import world
from tests.waiting import until

NOTIFICATION = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}
WITHIN_S = 1.0


async def house(start_hub):
    """An administrator's publisher, and alice, a client in the network of all devices."""
    data = world()
    alice = {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["home"]}
    return await start_hub(
        {
            **data,
            "networks": [*data["networks"], {"name": "away"}],
            "users": [*data["users"], alice],
            "accessKeys": [*data["accessKeys"], {"name": "alice", "owner": "alice", "permissions": [{}]}],
        }
    )


ENDS = {
    "the user is locked": ("alice", lambda tx: tx.update_user(2, status=UserStatus.LOCKED_OUT)),
    "the user is deleted": ("alice", lambda tx: tx.delete_user(2)),
    "the password is changed": ("alice", lambda tx: tx.set_password(2, password_hash="x")),
    "the key is deleted": ("key", lambda tx: tx.delete_key(2)),
    "the key expires": ("key", lambda tx: tx.update_key(2, expires_ms=1)),
    "the key's owner is disabled": ("key", lambda tx: tx.update_user(2, status=UserStatus.DISABLED)),
    "the device is blocked": ("device", lambda tx: tx.update_device(1, is_blocked=True)),
    "the device is deleted": ("device", lambda tx: tx.delete_device("lamp")),
    "the device's network is deleted": ("device", lambda tx: tx.delete_network(1)),
}


@pytest.mark.parametrize("change", ENDS)
async def test_who_is_no_longer_valid_is_closed(start_hub, change):
    """The connection ends with 4401 within a second of the change."""
    home = await house(start_hub)
    who, work = ENDS[change]
    connect = {"alice": home.user("alice"), "key": home.key("alice"), "device": home.device("lamp", "lamp-key")}
    peer = await connect.pop(who)
    for other in connect.values():
        other.close()

    await home.change(work)
    changed_s = time.monotonic()

    assert await peer.closed() == 4401
    assert time.monotonic() - changed_s < WITHIN_S


SILENCES = {
    "the membership ends": lambda tx: tx.remove_member(2, 1),
    "the device moves away": lambda tx: tx.update_device(1, network_id=2),
    "the device is deleted": lambda tx: tx.delete_device("lamp"),
}


@pytest.mark.parametrize("change", SILENCES)
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("who", ["user", "key"])
async def test_who_loses_a_device_hears_no_more_of_it(start_hub, change, listed, who):
    """The subscription stays and is silent; the connection is not closed."""
    home = await house(start_hub)
    admin, alice = await home.key("admin"), await (home.user("alice") if who == "user" else home.key("alice"))
    await alice.succeed("notification/subscribe", **({"deviceGuids": ["lamp"]} if listed else {}))
    await admin.succeed("notification/insert", **NOTIFICATION)
    assert len(await alice.pushes()) == 1

    await home.change(SILENCES[change])
    await asyncio.wait_for(home.hub.gateway.rights.poll(), WITHIN_S)
    await until(lambda: asyncio.sleep(0, not home.hub.gateway.rights.stale), within_s=WITHIN_S)
    await admin.ask("notification/insert", **NOTIFICATION)

    assert await alice.pushes() == []


async def test_who_gains_a_device_hears_of_it(start_hub):
    """A new membership reaches a subscription that is open; so does a device that moves in."""
    home = await house(start_hub)
    await home.change(lambda tx: tx.remove_member(2, 1))
    admin, alice = await home.key("admin"), await home.user("alice")
    await alice.succeed("notification/subscribe")

    await home.change(lambda tx: tx.add_member(2, 2))
    await home.change(lambda tx: tx.update_device(1, network_id=2))
    await until(lambda: _member(home, 2), within_s=WITHIN_S)
    await admin.succeed("notification/insert", **NOTIFICATION)

    assert [push["deviceGuid"] for push in await alice.pushes()] == ["lamp"]


async def _member(home, network_id):
    await home.hub.gateway.rights.poll()
    users = [one.principal.user for one in home.hub.gateway.connections if one.principal.by_password]
    return all(network_id in user.networks for user in users)


async def test_a_key_that_is_narrowed_narrows_what_is_open(start_hub):
    """New permissions count for open subscriptions and for the next request, and close nothing."""
    home = await house(start_hub)
    admin, alice = await home.key("admin"), await home.key("alice")
    await alice.succeed("notification/subscribe")

    def narrow(tx):
        key = tx.key(2)
        [permission] = key.permissions
        tx.update_key(2, permissions=[type(permission)(device_guids=("fan",))])

    await home.change(narrow)
    await until(lambda: _refused(alice), within_s=WITHIN_S)
    for guid in ("lamp", "fan"):
        await admin.succeed("notification/insert", **{**NOTIFICATION, "deviceGuid": guid})

    assert [push["deviceGuid"] for push in await alice.pushes()] == ["fan"]


async def _refused(alice):
    answer = await alice.ask("command/insert", deviceGuid="lamp", command={"command": "go"})
    return answer["status"] == "error" and answer["code"] == 404


async def test_what_devices_are_told_of_themselves_is_fresh(start_hub):
    """A network's new name, a class's new data and a device's new status reach the caches."""
    home = await house(start_hub)
    lamp = await home.device("lamp", "lamp-key")
    await lamp.succeed("device/get")

    await home.change(lambda tx: tx.update_network(1, name="house"))
    await home.change(lambda tx: tx.update_class(1, data={"new": True}))
    await home.change(lambda tx: tx.update_device(1, status="Online"))

    async def fresh():
        device = (await lamp.succeed("device/get"))["device"]
        seen = device["network"]["name"], device["deviceClass"]["data"], device["status"]
        return seen == ("house", {"new": True}, "Online")

    await until(fresh, within_s=WITHIN_S)


async def test_a_new_device_key_counts(start_hub):
    """The old key of a device is refused within a second of the change, the new one is taken."""
    home = await house(start_hub)
    await (await home.device("lamp", "lamp-key")).close()

    await home.change(lambda tx: tx.update_device(1, key="other"))
    await asyncio.wait_for(home.hub.gateway.rights.poll(), WITHIN_S)

    await home.device("lamp", "other")
    peer = await home.connect("/websocket/device")
    assert (await peer.ask("authenticate", deviceId="lamp", deviceKey="lamp-key"))["code"] == 401


async def test_listeners_are_bounded_and_go_with_their_connection(start_hub):
    """Whoever inserts without end is a listener of the newest commands only, and leaves nothing behind."""
    home = await house(start_hub)
    admin, lamp = await home.key("admin"), await home.device("lamp", "lamp-key")
    [connection] = [one for one in home.hub.gateway.connections if one.principal.key]
    connection.limits = type(connection.limits)(listeners=5)
    ids = []
    for _ in range(8):
        answer = await admin.succeed("command/insert", deviceGuid="lamp", command={"command": "go"})
        ids.append(answer["command"]["id"])

    for command_id in ids:
        await lamp.succeed("command/update", commandId=command_id, command={"status": "done"})
    pushes = await admin.pushes()
    await admin.close()
    await lamp.close()
    await until(lambda: asyncio.sleep(0, len(home.hub.gateway) == 0))

    assert [push["command"]["id"] for push in pushes] == ids[3:]
    assert home.hub.gateway.fan_out.is_clean()
