"""Honest commands: what the hub tells of how far one has come, to whom, and what it keeps from whom."""

from dataclasses import replace

import pytest

from hub.web.metrics import registry, render
from protocol.names import CommandState
from tests.gateway.inside import take_clock
from tests.waiting import until
from tests.websocket.conftest import World
from tests.websocket.peer import Frame, Peer
from tests.websocket.tenants import WORLD

JSON_MODE = {"subprotocols": ["hub.1.json"]}
EARLIER = "2020-01-01T00:00:00.000"

DATA = {
    **WORLD,
    "accessKeys": [
        *WORLD["accessKeys"],
        {"name": "alices", "owner": "alice", "permissions": [{}]},
        {"name": "gateway", "owner": "alice", "permissions": [{"actions": ["UpdateDeviceCommand"]}]},
        {"name": "watcher", "owner": "alice", "permissions": [{"actions": ["GetDeviceCommand"]}]},
    ],
}


@pytest.fixture
async def world(start_hub) -> World:
    return await start_hub(DATA)


async def insert(peer: Peer, guid: str = "own", **members) -> int:
    """Insert a command; returns its id."""
    asked = {"command": {"command": "on", **members.pop("command", {})}, **members}
    return (await peer.succeed("command/insert", deviceGuid=guid, **asked))["command"]["id"]


async def state_of(peer: Peer, command_id: int, guid: str = "own") -> str:
    return (await peer.succeed("command/get", deviceGuid=guid, commandId=command_id))["command"]["state"]


def states(pushes: list[Frame]) -> list[str]:
    return [push["command"]["state"] for push in pushes]


async def becomes(peer: Peer, command_id: int, state: str) -> None:
    """Wait until a command has come so far."""

    async def has_come() -> bool:
        return await state_of(peer, command_id) == state

    await until(has_come)


# --- the way of a command ---------------------------------------------------------------------------------------------


async def test_the_inserter_hears_of_every_state(world):
    """Queued with the answer, sent with the write, received and done by the device's words."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    await lamp.succeed("command/subscribe")

    command_id = await insert(alice)
    sent = await alice.push()
    received = await lamp.succeed("command/receive", commandId=command_id)
    heard = await alice.push()
    await lamp.succeed("command/update", commandId=command_id, command={"result": 7})
    done = await alice.push()

    assert states([sent, heard, done]) == ["sent", "received", "done"]
    assert received["command"] == {"id": command_id, "state": "received"}
    assert (heard["command"]["result"], done["command"]["result"]) == (None, 7)
    assert await state_of(alice, command_id) == "done"


async def test_what_waits_is_sent_with_the_replay(world):
    """Queued while the device is away; a dashboard that got it is not the device."""
    alice, dashboard = await world.user("alice", **JSON_MODE), await world.user("alice")
    await dashboard.succeed("command/subscribe")
    command_id = await insert(alice)
    await dashboard.push()
    before = await state_of(alice, command_id)

    lamp = await world.device("own", "own-key")
    await lamp.succeed("command/subscribe", timestamp=EARLIER)

    assert (await lamp.push())["command"]["id"] == command_id
    assert (before, states([await alice.push()])) == ("queued", ["sent"])


async def test_an_ordinary_connection_sees_nothing_of_states(world):
    """Neither as a member, nor as a push; but it may ask."""
    alice, lamp = await world.user("alice"), await world.device("own", "own-key")
    await lamp.succeed("command/subscribe")

    inserted = await alice.succeed("command/insert", deviceGuid="own", command={"command": "on", "lifetime": 0})
    command_id = inserted["command"]["id"]
    await becomes(alice, command_id, "sent")
    await lamp.succeed("command/receive", commandId=command_id)
    silent = await alice.pushes()
    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})

    assert set(inserted["command"]) == {"id", "timestamp", "userId"}
    assert silent == []
    assert "state" not in (await alice.push())["command"]
    assert await state_of(alice, command_id) == "done"


async def test_a_device_takes_a_command_and_dies(world):
    """What was written is sent, whoever has it now; nothing is claimed beyond that."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    await lamp.succeed("command/subscribe")
    command_id = await insert(alice)
    assert states([await alice.push()]) == ["sent"]

    lamp.abort()

    assert await state_of(alice, command_id) == "sent"


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_what_is_cancelled_is_never_pushed(world):
    """Neither by replay nor to a poll; it can still be read, and cancelling it again is harmless."""
    alice = await world.user("alice", **JSON_MODE)
    off, on = await insert(alice), await insert(alice)

    for _ in range(2):
        answer = await alice.succeed("command/cancel", deviceGuid="own", commandId=off)
        assert answer["command"] == {"id": off, "state": "cancelled"}
    lamp = await world.device("own", "own-key")
    await lamp.succeed("command/subscribe", since=0)

    assert (await lamp.push())["command"]["id"] == on
    assert await lamp.pushes() == []
    assert states(await alice.pushes())[:1] == ["cancelled"]
    assert await state_of(alice, off) == "cancelled"


@pytest.mark.parametrize("holds", ["rights", "overflow"])
async def test_what_is_cancelled_while_it_is_held_is_not_pushed(world, holds):
    """By a subscription that waits for its rights, or for a slow reader."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key", **JSON_MODE)
    await lamp.succeed("command/subscribe", **({"overflow": "latest"} if holds == "overflow" else {}))
    gateway = world.hub.gateway
    [ours] = [one for each in gateway.connections for one in each.subscriptions.values()]
    ours.hold()
    gateway.fan_out.reroute(ours)
    off, on = await insert(alice), await insert(alice)

    await alice.succeed("command/cancel", deviceGuid="own", commandId=off)
    gateway.fan_out.release(ours)
    gateway.visit(ours.connection)

    assert (await lamp.push())["command"]["id"] == on
    assert await lamp.pushes() == []


async def test_what_was_received_cannot_be_cancelled(world):
    """The error says how far it has come."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    command_id = await insert(alice)
    await lamp.succeed("command/receive", commandId=command_id)

    refused = await alice.ask("command/cancel", deviceGuid="own", commandId=command_id)

    assert (refused["code"], refused["reason"], refused["detail"]) == (409, "conflict", {"state": "received"})
    assert refused["error"] == f"Command with id = {command_id} is received already"


async def test_a_device_that_carries_out_what_was_cancelled_is_heard(world):
    """It had the command already. What it says is stored and told; the state stays."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    command_id = await insert(alice)
    await alice.succeed("command/cancel", deviceGuid="own", commandId=command_id)
    await alice.pushes()

    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})

    push = await alice.push()
    assert (push["command"]["status"], push["command"]["state"]) == ("ok", "cancelled")


async def test_a_cancelled_command_is_not_open(start_hub):
    """A device that is full takes more when some of it is taken back."""
    world = await start_hub(DATA, open_commands_per_device=1)
    alice = await world.user("alice", **JSON_MODE)
    command_id = await insert(alice)
    full = await alice.ask("command/insert", deviceGuid="own", command={"command": "on"})

    await alice.succeed("command/cancel", deviceGuid="own", commandId=command_id)

    assert full["code"] == 429
    await insert(alice)


# --- the end of a lifetime --------------------------------------------------------------------------------------------


async def test_the_inserter_hears_that_a_command_expires(world):
    """Unless it was received by then; what the device says afterwards is stored and told, and the state stays."""
    clock = take_clock(world.hub.gateway)
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    left, taken = [await insert(alice, command={"lifetime": 5}) for _ in range(2)]
    await lamp.succeed("command/receive", commandId=taken)
    received = await alice.push()

    clock.forward(6)
    expired = await alice.push()
    await lamp.succeed("command/update", commandId=left, command={"status": "late"})
    late = await alice.push()

    assert states([received, expired, late]) == ["received", "expired", "expired"]
    assert [push["command"]["id"] for push in (received, expired, late)] == [taken, left, left]
    assert (expired["command"]["status"], late["command"]["status"]) == (None, "late")
    assert await alice.pushes() == []
    assert len(world.hub.gateway.states) == 0


async def test_what_the_hub_came_to_know_is_counted(world):
    """Each command once for each state that this worker moved it to; and how many ends are waited for."""
    clock = take_clock(world.hub.gateway)
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    cancelled, received, _ = [await insert(alice, command={"lifetime": 5}) for _ in range(3)]
    watched = figures(world, "hub_commands_watched")
    for _ in range(2):
        await alice.succeed("command/cancel", deviceGuid="own", commandId=cancelled)
        await lamp.succeed("command/receive", commandId=received)

    clock.forward(6)
    pushed = [await alice.push() for _ in range(3)]

    assert states(pushed) == ["cancelled", "received", "expired"]
    assert watched == {"hub_commands_watched": 3}
    assert figures(world, "hub_commands_moved_total") == {
        'hub_commands_moved_total{state="cancelled"}': 1,
        'hub_commands_moved_total{state="expired"}': 1,
        'hub_commands_moved_total{state="received"}': 1,
    }


def figures(world: World, name: str) -> dict[str, float]:
    """The lines of one metric."""
    lines = render(registry(world.hub.edge)).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


async def test_what_has_expired_unheard_is_told_to_whoever_asks(world):
    """Nobody was there when its time was over. From then on it cannot be received or cancelled any more."""
    clock = take_clock(world.hub.gateway)
    plain, lamp = await world.user("alice"), await world.device("own", "own-key")
    command_id = await insert(plain, command={"lifetime": 5})
    clock.forward(6)

    cancelled = await plain.ask("command/cancel", deviceGuid="own", commandId=command_id)
    answer = await lamp.succeed("command/receive", commandId=command_id)
    await lamp.succeed("command/subscribe", since=0)

    assert (cancelled["code"], answer["command"]["state"]) == (409, "expired")
    assert await state_of(plain, command_id) == "expired"
    assert await lamp.pushes() == []


async def test_without_enforcement_nothing_expires(start_hub):
    """As under HUB_COMPAT=devicehive: the lifetime is stored and shown, and that is all."""
    world = await start_hub(DATA, command_lifetime="ignore")
    clock = take_clock(world.hub.gateway)
    alice = await world.user("alice", **JSON_MODE)
    command_id, other = [await insert(alice, command={"lifetime": 5}) for _ in range(2)]

    clock.forward(6)
    await alice.succeed("command/cancel", deviceGuid="own", commandId=other)
    lamp = await world.device("own", "own-key")
    await lamp.succeed("command/subscribe", since=0)

    assert (await lamp.push())["command"]["id"] == command_id
    assert await lamp.pushes() == []
    await becomes(alice, command_id, "sent")


@pytest.mark.parametrize("lifetime", [0, -1])
async def test_extended_mode_takes_no_lifetime_that_cannot_be_meant(world, lifetime):
    """With an insert and with an update; an ordinary connection means none by it."""
    alice, plain = await world.user("alice", **JSON_MODE), await world.user("alice")
    command_id = await insert(plain, command={"lifetime": lifetime})

    for action, members in (("command/insert", {}), ("command/update", {"commandId": command_id})):
        command = {"command": "on", "lifetime": lifetime}
        refused = await alice.ask(action, deviceGuid="own", command=command, **members)
        assert (refused["reason"], refused["detail"]) == ("bad-parameter", {"parameter": "lifetime"})
    await plain.succeed("command/update", deviceGuid="own", commandId=command_id, command={"lifetime": lifetime})


async def test_a_command_that_expires_before_it_is_stored_goes_to_nobody(world, monkeypatch):
    """It is in the log, and answered; its device never sees it."""
    clock = take_clock(world.hub.gateway)
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    await lamp.succeed("command/subscribe")
    store = world.hub.gateway.store
    write = store.write

    async def slow(batch):
        outcome = await write(batch)
        clock.forward(6)
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", slow)
        command_id = await insert(alice, command={"lifetime": 5})

    assert await lamp.pushes() == []
    assert await state_of(alice, command_id) == "expired"


# --- only now ---------------------------------------------------------------------------------------------------------


async def test_a_command_that_must_not_wait_needs_a_device_that_takes_it(world):
    """A connection of its own, subscribed, to commands of this name; a dashboard is none."""
    alice, dashboard = await world.user("alice", **JSON_MODE), await world.user("alice")
    await dashboard.succeed("command/subscribe")
    lamp = await world.device("own", "own-key")

    async def asks(**members) -> int | None:
        return (await alice.ask("command/insert", deviceGuid="own", command={"command": "on"}, **members)).get("code")

    connected = await asks(queue=False)
    other = await lamp.succeed("command/subscribe", names=["off"])
    another_name = await asks(queue=False)
    ours = await lamp.succeed("command/subscribe")
    taken = await asks(queue=False, idempotencyKey="k")
    for one in (ours, other):
        await lamp.succeed("command/unsubscribe", subscriptionId=one["subscriptionId"])

    assert (connected, another_name, taken) == (409, 409, None)
    assert await asks(queue=False) == 409
    assert await asks(queue=True) is None
    assert await asks(queue=False, idempotencyKey="k") is None


# --- asking and watching ----------------------------------------------------------------------------------------------


async def test_another_connection_may_watch(world):
    """After a reconnect, say: it hears what the inserter hears."""
    alice, again = await world.user("alice", **JSON_MODE), await world.user("alice", **JSON_MODE)
    lamp = await world.device("own", "own-key")
    clock = take_clock(world.hub.gateway)
    command_id, short = await insert(alice), await insert(alice, command={"lifetime": 5})

    watched = await again.succeed("command/watch", deviceGuid="own", commandId=command_id)
    await again.succeed("command/watch", deviceGuid="own", commandId=short)
    await again.succeed("command/watch", deviceGuid="own", commandId=short)
    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})
    update = await again.push()
    clock.forward(6)

    assert (watched["command"]["state"], watched["command"]["parameters"]) == ("queued", None)
    assert (update["command"]["state"], states([await again.push()])) == ("done", ["expired"])


async def test_a_watch_ends_with_the_sight_of_the_device(world):
    """Whoever may not read its commands any more hears nothing of them."""
    alice, watcher = await world.user("alice", **JSON_MODE), await world.key("watcher", **JSON_MODE)
    command_id = await insert(await world.key("publisher"))
    await watcher.succeed("command/watch", deviceGuid="own", commandId=command_id)
    lamp, named = await world.device("own", "own-key"), world.hub.gateway.rights.named
    assert len(named) == 1

    await world.change(lambda tx: tx.remove_member(tx.user_by_login("alice").id, 1))

    async def forgotten() -> bool:
        return not len(named)

    await until(forgotten)
    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})
    assert await watcher.pushes() == []
    assert watcher.is_open
    assert alice.is_open


async def test_a_connection_that_goes_leaves_no_watch(world):
    """Nor a lifetime that nobody waits for."""
    alice = await world.user("alice", **JSON_MODE)
    command_id = await insert(alice, command={"lifetime": 50})
    await alice.succeed("command/watch", deviceGuid="own", commandId=command_id)
    gateway = world.hub.gateway
    assert (len(gateway.states), len(gateway.rights.named)) == (1, 1)

    await alice.close()

    async def forgotten() -> bool:
        return not (len(gateway.states) or len(gateway.rights.named))

    await until(forgotten)


@pytest.mark.parametrize("action", ["command/get", "command/watch", "command/receive", "command/cancel"])
async def test_a_command_has_to_be_named_and_seen(world, action):
    """In DeviceHive's words; a device names itself by saying nothing."""
    lamp = await world.device("own", "own-key") if action != "command/cancel" else None
    asker = lamp or await world.user("alice")
    stranger = await world.key("gateway") if action == "command/receive" else await world.user("bob")
    command_id = await insert(await world.key("publisher"))
    foreign = await insert(await world.key("publisher"), "foreign")

    async def refusal(peer: Peer, **members) -> tuple[int, str]:
        answer = await peer.ask(action, **members)
        return answer["code"], answer["error"]

    away = "foreign" if action == "command/receive" else "own"
    assert await refusal(asker, deviceGuid="own") == (400, "Command id is required")
    assert await refusal(asker, deviceGuid="own", commandId=7) == (404, "Command with id = 7 not found")
    assert await refusal(asker, deviceGuid="own", commandId=foreign) == (404, f"Command with id = {foreign} not found")
    assert await refusal(stranger, deviceGuid=away, commandId=command_id) == (
        404,
        f"Device with such guid = {away} not found",
    )
    assert await refusal(stranger, commandId=command_id) == (400, "Device guid is wrong or empty")
    if lamp is not None:
        await lamp.succeed(action, commandId=command_id)


async def test_only_devices_and_their_keys_receive(world):
    """A user in person is no device."""
    alice, gateway = await world.user("alice"), await world.key("gateway")
    command_id = await insert(alice)

    refused = await alice.ask("command/receive", deviceGuid="own", commandId=command_id)
    await gateway.succeed("command/receive", deviceGuid="own", commandId=command_id)

    assert refused["code"] == 401
    assert await state_of(alice, command_id) == "received"


async def test_a_repeated_insert_tells_how_far_it_has_come(world):
    """Whoever asks again after a broken connection learns the state, and hears what follows."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    command_id = await insert(alice, idempotencyKey="k")
    await lamp.succeed("command/receive", commandId=command_id)
    again = await world.user("alice", **JSON_MODE)

    answer = await again.succeed("command/insert", deviceGuid="own", command={"command": "on"}, idempotencyKey="k")
    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})

    assert (answer["command"]["id"], answer["command"]["state"]) == (command_id, "received")
    assert (await again.push())["command"]["status"] == "ok"


@pytest.mark.parametrize(
    ("ending", "told"),
    [(["cancel"], ("cancelled", None)), (["expire"], ("expired", None)), (["expire", "update"], ("expired", "late"))],
)
async def test_what_ended_meanwhile_comes_behind_the_answer_to_a_repeated_insert(world, ending, told):
    """Nothing else would tell it any more; on the old wire there is no such thing."""
    clock = take_clock(world.hub.gateway)
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    command = {"command": "on", "lifetime": 5}
    command_id = await insert(alice, command=command, idempotencyKey="k")
    for what in ending:
        if what == "cancel":
            await alice.succeed("command/cancel", deviceGuid="own", commandId=command_id)
        elif what == "expire":
            clock.forward(6)
        else:
            await lamp.succeed("command/update", commandId=command_id, command={"status": "late"})
    again, old = await world.user("alice", **JSON_MODE), await world.user("alice")

    for peer in (again, old):
        await peer.succeed("command/insert", deviceGuid="own", command=command, idempotencyKey="k")

    push = (await again.push())["command"]
    assert (push["id"], push["state"], push["status"]) == (command_id, *told)
    assert await again.pushes() == []
    assert [update["command"]["status"] for update in await old.pushes()] == ([told[1]] if told[1] else [])


async def test_that_a_command_was_sent_is_not_told_while_it_cannot_be_stored(world, monkeypatch):
    """It stays queued for everybody: less than is true, and never more."""
    alice, lamp = await world.user("alice", **JSON_MODE), await world.device("own", "own-key")
    await lamp.succeed("command/subscribe")
    gateway = world.hub.gateway
    command_id = await insert(alice)
    await alice.push()
    [connection] = [one for one in gateway.connections if one.principal.device is not None]
    command = replace(await gateway.store.command(connection.principal.device.id, command_id), state=CommandState(0))

    with monkeypatch.context() as patch:
        patch.setattr(gateway.commits, "away", True)
        gateway.states.sent([(connection, command)])
    connection.closing = (1000, "gone")
    gateway.states.sent([(connection, command)])
    connection.closing = None

    assert await alice.pushes() == []
