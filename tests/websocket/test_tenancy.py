"""No message of one tenant reaches another, whatever is asked for, by whomever, live and by replay."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from tests.waiting import until
from tests.websocket.conftest import World
from tests.websocket.peer import Frame, Peer
from tests.websocket.tenants import CALLERS, EVERYBODY, KEY_ACTIONS, NETWORKS, Who, world_of

TARGETS: dict[str, dict[str, Any]] = {
    "own": {"deviceGuids": ["own"]},
    "foreign": {"deviceGuids": ["foreign"]},
    "mixed": {"deviceGuids": ["own", "foreign"]},
    "loose": {"deviceGuid": "loose"},
    "unknown": {"deviceGuids": ["nobody"]},
    "none": {},
    "empty": {"deviceGuids": []},
    "null": {"deviceGuids": None, "deviceGuid": None},
}
"""What a subscription may name."""

REPLAYS: dict[str, dict[str, Any]] = {
    "live": {},
    "by timestamp": {"timestamp": "2015-01-01T00:00:00.000"},
    "by id": {"since": 0},
}

SUBSCRIBE = ("notification/subscribe", "command/subscribe")

pytestmark = pytest.mark.slow

everybody = pytest.mark.parametrize("who", EVERYBODY, ids=str)


@dataclass(frozen=True)
class Wish:
    """One subscription that somebody asks for."""

    action: str
    target: str
    replay: str

    @property
    def guids(self) -> list[str]:
        """The devices that it names; none: all that there are."""
        members = TARGETS[self.target]
        return members.get("deviceGuids") or [guid for guid in [members.get("deviceGuid")] if guid]

    def code(self, who: Who) -> int | None:
        """The error that it must get; None: it must succeed."""
        if not who.may_call(self.action):
            return 401
        if self.action == "command/subscribe" and not all(who.sees(self.action, guid) for guid in self.guids):
            return 403
        return None

    def messages(self, who: Who) -> set[tuple[str, str]]:
        """The messages, as guid and name, that it must get once the past and the present have happened."""
        if self.code(who) is not None:
            return set()
        seen = [guid for guid in self.guids or NETWORKS if who.sees(self.action, guid)]
        names = ["now"] if self.replay == "live" else ["past", "now"]
        return {(guid, name) for guid in seen for name in names}


WISHES = [Wish(action, target, replay) for action in SUBSCRIBE for target in TARGETS for replay in REPLAYS]


async def come_in(world: World, who: Who, **options: Any) -> Peer:
    """A connection of whoever it is; those who cannot authenticate stay anonymous."""
    if who.kind == "device":
        return await world.device(who.guid, f"{who.guid}-key", **options)
    if who.kind in ("admin", "client"):
        return await world.user(who.login, **options)
    if who.kind == "key" and not who.expired:
        return await world.key(who.name, origin=who.origin, **options)
    peer = await world.connect(**options)
    if who.expired:
        refused = await peer.ask("authenticate", accessKey=world.secrets[who.name])
        assert refused["code"] == 401
    return peer


async def publish(publisher: Peer, name: str) -> dict[str, int]:
    """One notification and one command of this name on every device; returns the commands' ids by guid."""
    ids = {}
    for guid, network in NETWORKS.items():
        if network is not None:
            await publisher.succeed("notification/insert", deviceGuid=guid, notification={"notification": name})
        inserted = await publisher.succeed("command/insert", deviceGuid=guid, command={"command": name})
        ids[guid] = inserted["command"]["id"]
    return ids


def told(push: Frame) -> tuple[str, str, str]:
    """Subscription, guid and name of a pushed message."""
    message = push.get("notification") or push["command"]
    assert message["deviceGuid"] == push["deviceGuid"]
    return push["subscriptionId"], push["deviceGuid"], message.get("notification") or message["command"]


def exists(wish: Wish, guid: str) -> bool:
    """Whether there are such messages at all: a device without network takes no notifications."""
    return wish.action == "command/subscribe" or NETWORKS[guid] is not None


@everybody
async def test_a_subscription_carries_what_its_owner_may_see_and_nothing_else(start_hub, who):
    """Every kind × device list × replay: exactly the visible messages arrive, each of them once."""
    world = await start_hub(world_of(who), anonymous_requests=0)
    publisher, peer = await world.key("publisher"), await come_in(world, who)
    await publish(publisher, "past")

    expected: Counter[tuple[str, str, str]] = Counter()
    for wish in WISHES:
        response = await peer.ask(wish.action, **TARGETS[wish.target], **REPLAYS[wish.replay])
        assert response.get("code") == wish.code(who), (wish, response)
        messages = wish.messages(who)
        expected.update((response["subscriptionId"], *message) for message in messages if exists(wish, message[0]))
    await publish(publisher, "now")
    await replays_are_over(world)
    received: Counter[tuple[str, str, str]] = Counter()

    async def all_there() -> bool:
        received.update(told(push) for push in await peer.pushes())
        return received.total() >= expected.total()

    await until(all_there)
    await all_there()
    assert received == expected


async def replays_are_over(world: World) -> None:
    """Wait for a replay that was asked for after all others: pages of the log are read in the order of the asking."""
    late = await world.key("publisher")
    for action in SUBSCRIBE:
        await late.succeed(action, timestamp="2015-01-01", names=["now"])
        await late.push()


@dataclass(frozen=True)
class Attempt:
    """One try to write to a device."""

    action: str
    guid: str | None

    def code(self, who: Who) -> int | None:
        """The error that it must get; None: it must succeed."""
        if not who.may_call(self.action):
            return 401
        guid = self.guid or (who.guid if who.kind == "device" else None)
        if guid is None:
            return 403 if self.action == "notification/insert" else 400
        if not who.sees(self.action, guid):
            return 403 if self.action == "notification/insert" else 404
        if self.action == "notification/insert" and NETWORKS[guid] is None:
            return 403
        return None

    def members(self, commands: dict[str, int], who: Who) -> Frame:
        """What to send: an update goes to the device's own command."""
        named = {} if self.guid is None else {"deviceGuid": self.guid}
        if self.action == "notification/insert":
            return {**named, "notification": {"notification": "tried"}}
        if self.action == "command/insert":
            return {**named, "command": {"command": "tried"}}
        return {**named, "commandId": commands.get(self.guid or who.guid, 1), "command": {"status": "tried"}}


ATTEMPTS = [
    Attempt(action, guid)
    for action in ("notification/insert", "command/insert", "command/update")
    for guid in (*NETWORKS, "nobody", None)
]


@everybody
async def test_an_insert_or_update_reaches_only_devices_that_the_caller_sees(start_hub, who):
    """Every writing action × device: what is refused leaves no trace, neither a message nor an update."""
    world = await start_hub(world_of(who), anonymous_requests=0)
    publisher, peer = await world.key("publisher"), await come_in(world, who)
    commands = await publish(publisher, "past")
    for action in SUBSCRIBE:
        await publisher.succeed(action)

    allowed = []
    for attempt in ATTEMPTS:
        response = await peer.ask(attempt.action, **attempt.members(commands, who))
        assert response.get("code") == attempt.code(who), (attempt, response)
        if attempt.code(who) is None:
            allowed.append((attempt.action, attempt.guid or who.guid))

    # The publisher inserted the commands, so it hears of updates as well.
    seen = [(push["action"], _device_of(push)) for push in await publisher.pushes()]
    assert Counter(seen) == Counter(allowed)


def _device_of(push: Frame) -> str:
    return (push.get("notification") or push["command"])["deviceGuid"]


async def test_a_registration_changes_only_devices_that_the_caller_sees(start_hub):
    """``device/save`` on an existing device needs sight of it, and for a key the right to register."""
    world = await start_hub(world_of(*EVERYBODY), anonymous_requests=0)

    for who in EVERYBODY:
        peer = await come_in(world, who)
        for guid in ("own", "own-2", "foreign"):
            response = await peer.ask("device/save", deviceId=guid, deviceKey="x", device={"status": who.name})
            allowed = who.may_call("device/save") and who.sees("device/save", guid)
            assert response.get("code") == (None if allowed else 401), (who, guid, response)
            saved = await world.hub.store.find_device(guid)
            assert (saved.device.status == who.name) == allowed, (who, guid)


async def test_only_a_device_gets_a_device_and_only_itself(start_hub):
    """``device/get`` shows nothing to anybody else."""
    world = await start_hub(world_of(*EVERYBODY))

    for who in EVERYBODY:
        peer = await come_in(world, who)
        response = await peer.ask("device/get", deviceGuid="foreign")
        assert response.get("code") == (None if who.kind == "device" else 401), (who, response)
        assert response.get("device", {}).get("id") == (who.guid or None), (who, response)


async def test_nobody_ends_the_subscription_of_somebody_else(start_hub):
    """Neither by its id nor by its devices: a subscription belongs to its connection."""
    world = await start_hub(world_of(*EVERYBODY), anonymous_requests=0)
    publisher = await world.key("publisher")
    made = [await publisher.succeed(action) for action in SUBSCRIBE]

    for who in EVERYBODY:
        peer = await come_in(world, who)
        for action, victim in zip(("notification/unsubscribe", "command/unsubscribe"), made, strict=True):
            for members in ({"subscriptionId": victim["subscriptionId"]}, {}, {"deviceGuids": []}):
                response = await peer.ask(action, **members)
                assert response.get("code") == (None if who.may_call(action) else 401), (who, response)
    await publish(publisher, "now")

    assert len(await publisher.pushes()) == 3 + 4


# --- why not ----------------------------------------------------------------------------------------------------------

Link = dict[str, Any]


def failing(who: Who, entry: dict[str, Any], key_action: str, guid: str) -> str | None:
    """The first condition of a key's permission that keeps it from a device, as the specification has them; of a device
    that it sees for nothing only the guid counts."""
    at = Who("", "key", who.login, permissions=[entry], origin=who.origin)
    for condition, narrower in (
        ("owner", {"actions": [key_action]}),
        ("actions", {"actions": entry.get("actions")}),
        ("subnets", {"subnets": entry.get("subnets")}),
        ("domains", {"domains": entry.get("domains")}),
    ):
        if not at._applies(narrower, key_action):
            return condition
    network = NETWORKS.get(guid) if any(who.reaches(guid, action) for action in KEY_ACTIONS.values()) else None
    if entry.get("networkIds") == [] or (entry.get("deviceGuids") != [] and _lacks(entry, "networkIds", network)):
        return "networkIds"
    if _lacks(entry, "deviceGuids", guid):
        return "deviceGuids"
    return None if who.login == "admin" and guid in NETWORKS else "visible"


def _lacks(entry: dict[str, Any], member: str, value: object) -> bool:
    return entry.get(member) is not None and value not in entry[member]


def reasons(who: Who, action: str, guid: str) -> list[str | None]:
    """The conditions that a refusal has to name, one for each permission of a key."""
    if who.kind not in CALLERS[action]:
        return ["role"]
    if who.kind != "key":
        sees_all = who.kind == "admin" and guid not in NETWORKS
        return ["exists" if sees_all else "visible"]
    return [failing(who, entry, KEY_ACTIONS[action], guid) for entry in who.permissions] or ["permissions"]


@pytest.mark.parametrize("mode", [{}, {"subprotocols": ["hub.1.json"]}], ids=["ordinary", "extended"])
async def test_every_refusal_is_explained_and_every_permission_too(start_hub, mode):
    """Everybody × action × device: what is refused has its reason, what is let through its way; they never disagree."""
    world = await start_hub(world_of(*EVERYBODY), anonymous_requests=0)
    actions = [action for action in KEY_ACTIONS if action in CALLERS]

    for who in EVERYBODY:
        if who.expired:
            continue
        peer = await come_in(world, who, **mode)
        for action in actions:
            for guid in (*NETWORKS, "nobody"):
                told = await peer.succeed("access/explain", actionName=action, deviceGuid=guid)
                by_right = await peer.succeed("access/explain", actionName=KEY_ACTIONS[action], deviceGuid=guid)
                allowed = who.may_call(action) and who.sees(action, guid)
                assert told["allowed"] == allowed, (who, action, guid, told)
                conditions = [link["condition"] for link in told["because"] if "condition" in link]
                if allowed:
                    assert told["because"], (who, action, guid)
                    assert not conditions, (who, action, guid, told)
                    assert by_right == {**told, "requestId": by_right["requestId"]}
                elif conditions != ["exists"]:
                    assert conditions == reasons(who, action, guid), (who, action, guid, told)


async def test_an_administrator_hears_why_a_key_does_not_get_in_at_all(start_hub):
    """Its holder is nobody, and can only be told that."""
    world = await start_hub(world_of(*EVERYBODY))
    boss = await world.user("admin")
    labels = {who.name: who for who in EVERYBODY if who.kind == "key"}
    keys = await world.hub.store.transact(lambda tx: tx.keys(None))

    for key in keys:
        if key.label in labels:
            told = await boss.succeed("access/explain", actionName="GetDevice", accessKeyId=key.id, deviceGuid="own")
            expired = [{"key": key.id, "condition": "expired"}]
            assert (told["because"] == expired) == labels[key.label].expired
