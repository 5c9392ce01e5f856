"""Changes of rights that meet something else in the middle: nothing leaks, and nobody is forgotten."""

import asyncio
import threading

from protocol.names import CloseCode, UserRole, UserStatus
from tests.gateway.inside import Gate, world
from tests.waiting import WAIT_S, until

NOTIFICATION = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}


async def home_with_alice(start_hub):
    """A hub with a client who is a member of the network that every device is in."""
    data = world()
    alice = {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["home"]}
    return await start_hub({**data, "users": [*data["users"], alice]})


def leave(tx):
    tx.remove_member(2, 1)


async def test_a_connection_that_goes_while_rights_are_read_stops_nothing(start_hub, failing):
    """Of several connections of a user one ends in the middle of a change; the others still get what they may."""
    home = await home_with_alice(start_hub)
    admin, peers = await home.key("admin"), [await home.user("alice") for _ in range(3)]
    for peer in peers:
        await peer.succeed("notification/subscribe")
    gate = failing(home).gates["find_user"] = Gate()

    await home.change(lambda tx: tx.update_user(2, data={"seen": True}))
    await gate.reached.wait()
    await peers[2].close()
    await until(lambda: asyncio.sleep(0, len(home.hub.gateway) == 3))
    gate.open()
    del failing(home).gates["find_user"]
    await home.change(lambda tx: tx.update_user(2, data={"seen": "again"}))
    await until(lambda: asyncio.sleep(0, [one.data for one in _clients(home)] == [{"seen": "again"}] * 2))
    await admin.succeed("notification/insert", **NOTIFICATION)

    assert [len(await peer.pushes()) for peer in peers[:2]] == [1, 1]


async def test_a_request_made_while_rights_are_read_waits_for_the_new_ones(start_hub, failing):
    """Nothing is done on rights that are known to be out of date."""
    home = await home_with_alice(start_hub)
    admin, alice = await home.key("admin"), await home.user("alice")
    gate = failing(home).gates["find_user"] = Gate()

    await home.change(leave)
    await gate.reached.wait()
    await alice.send(action="notification/subscribe", requestId=1)
    await admin.succeed("notification/insert", **NOTIFICATION)
    gate.open()
    assert (await alice.receive())["status"] == "success"
    await admin.succeed("notification/insert", **NOTIFICATION)

    assert await alice.pushes() == []


async def test_a_subscribe_that_waits_for_a_device_gets_the_new_rights(start_hub, failing):
    """The rights may change while the subscribe itself looks its devices up."""
    home = await home_with_alice(start_hub)
    admin, alice = await home.key("admin"), await home.user("alice")
    gate = failing(home).gates["find_devices"] = Gate()

    await alice.send(action="notification/subscribe", requestId=1, deviceGuids=["lamp"])
    await gate.reached.wait()
    [connection] = [one for one in home.hub.gateway.connections if one.principal.key is None]
    before = connection.principal
    await home.change(leave)
    await until(lambda: asyncio.sleep(0, connection.principal is not before))
    gate.open()
    del failing(home).gates["find_devices"]
    assert (await alice.receive())["status"] == "success"
    await until(lambda: asyncio.sleep(0, not home.hub.gateway.rights.stale))
    await admin.succeed("notification/insert", **NOTIFICATION)

    assert await alice.pushes() == []


async def test_a_change_during_a_replay_neither_repeats_nor_leaks(start_hub, failing):
    """Rights that are compiled anew before the history is read leave the order of history and live as it was."""
    home = await home_with_alice(start_hub)
    admin, alice = await home.key("admin"), await home.user("alice")
    ids = [(await admin.succeed("notification/insert", **NOTIFICATION))["notification"]["id"] for _ in range(5)]
    gates = {name: Gate() for name in ("pruned_to", "read")}
    failing(home).gates.update(gates)

    await alice.send(action="notification/subscribe", requestId=1, since=0)
    for name in gates:
        await gates[name].reached.wait()
        users = [one.principal for one in home.hub.gateway.connections]
        await home.change(lambda tx, name=name: tx.update_user(2, data={"at": name}))
        await until(
            lambda users=users: asyncio.sleep(
                0, any(one.principal not in users for one in home.hub.gateway.connections)
            )
        )
        ids.append((await admin.succeed("notification/insert", **NOTIFICATION))["notification"]["id"])
        gates[name].open()
    assert (await alice.receive())["recovered"] is True

    assert [(await alice.push())["notification"]["id"] for _ in ids] == ids
    assert await alice.pushes() == []


async def test_a_revocation_stops_a_replay(start_hub, failing):
    """Who loses the network in the middle of a replay gets nothing more of it; who is deleted is closed with 4401."""
    home = await home_with_alice(start_hub)
    admin, alice, leaver = await home.key("admin"), await home.user("alice"), await home.user("alice")
    for _ in range(5):
        await admin.succeed("notification/insert", **NOTIFICATION)
    gate = failing(home).gates["read"] = Gate()

    await leaver.succeed("notification/subscribe", since=0)
    await gate.reached.wait()
    await home.change(leave)
    await until(lambda: asyncio.sleep(0, _sees_nothing(home)))
    gate.open()
    received = await leaver.pushes()
    await home.change(lambda tx: tx.delete_user(2))

    assert received == []
    assert await alice.closed() == 4401
    assert await leaver.closed() == 4401


def _clients(home):
    """The users that are connected with a password."""
    return [one.principal.user for one in home.hub.gateway.connections if one.principal.by_password]


def _sees_nothing(home):
    return not any(user.networks for user in _clients(home))


async def test_expiries_are_remembered_once_a_key_and_hold_no_connection(start_hub):
    """Coming and going with a key that expires leaves one entry behind, however often."""
    home = await start_hub(world())
    await home.change(lambda tx: tx.update_key(1, expires_ms=home.hub.gateway.now_ms() + 3_600_000))

    for _ in range(5):
        peer = await home.key("admin")
        await peer.succeed("notification/subscribe")
        await peer.close()

    assert len(home.hub.gateway.rights._expiries) == 1


async def test_an_administrator_may_lose_the_role(start_hub):
    """A change of role reaches open subscriptions: who is a client now sees the own networks only."""
    home = await start_hub(world())
    admin, other = await home.user("admin"), await home.device("lamp", "lamp-key")
    await admin.succeed("notification/subscribe")

    await home.change(lambda tx: tx.update_user(1, role=UserRole.CLIENT))
    await until(lambda: asyncio.sleep(0, not home.hub.gateway.connections[0].principal.user.is_admin))
    await other.succeed("notification/insert", notification={"notification": "watts"})

    assert await admin.pushes() == []


async def test_a_login_that_overlaps_a_change_of_its_user_is_read_again(start_hub, failing):
    """A password takes long to check; who is disabled meanwhile does not get in for good."""
    home = await home_with_alice(start_hub)
    late = await home.connect()
    pool = home.hub.gateway.logins.passwords._pool
    busy = threading.Event()
    for _ in range(home.hub.gateway.policy.password_workers):
        pool.submit(busy.wait, WAIT_S)

    await late.send(action="authenticate", requestId=1, login="alice", password="alice-pw")
    await until(lambda: asyncio.sleep(0, home.hub.gateway.logins.passwords._queued))
    before = home.hub.gateway.rights.epoch
    await home.change(lambda tx: tx.update_user(2, status=UserStatus.DISABLED))
    await until(lambda: asyncio.sleep(0, home.hub.gateway.rights.epoch > before))
    busy.set()

    assert await late.closed() == CloseCode.UNAUTHENTICATED
