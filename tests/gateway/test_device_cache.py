"""The cache of devices: asked together, dropped one by one, and bounded."""

import asyncio
import contextlib

import pytest

from hub.gateway.devices import Devices
from hub.store import DeviceRecord
from protocol.errors import STORAGE, StoreUnavailable
from tests.builders import device, device_class, network
from tests.gateway.inside import LoopTime, world


class Shelf:
    """A store that knows devices only.

    Attributes:
        asked: the guids of each question, sorted.
        gate: what a question waits for before it is answered.
        meanwhile: called while a question is answered.
        error: what it raises then.
    """

    def __init__(self, *devices):
        self.devices = {one.guid: one for one in devices}
        self.asked = []
        self.gate = None
        self.meanwhile = lambda: None
        self.error = None

    async def find_devices(self, guids):
        self.asked.append(sorted(guids))
        found = [DeviceRecord(self.devices[guid], "hash") for guid in guids if guid in self.devices]
        if self.gate is not None:
            await self.gate.wait()
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return found


def cache(*devices, most=100, **options):
    shelf = Shelf(*devices)
    return Devices(shelf, most=most, **options), shelf


async def test_who_asks_in_one_turn_asks_together():
    """One question for all of them, and none for what is known."""
    devices, shelf = cache(device("a"), device("b"))

    found = await asyncio.gather(*(devices.device(guid) for guid in ("a", "b", "c", "a")))
    again = await devices.devices(["b", "c", "a"])

    assert [one and one.guid for one in found] == ["a", "b", None, "a"]
    assert [one and one.guid for one in again] == ["b", None, "a"]
    assert shelf.asked == [["a", "b", "c"], ["c"]]


async def test_nobody_waits_longer_because_others_have_asked_before():
    """The store may take its time with each question; who waits behind one is refused when his own time is up."""
    time = LoopTime()
    devices, shelf = cache(device("a"), device("b"), patience_s=5)
    shelf.gate = asyncio.Event()
    first = asyncio.ensure_future(devices.device("a"))
    await time.forward(0)
    await time.forward(3)
    second = asyncio.ensure_future(devices.device("b"))
    await time.forward(0)
    await time.forward(3)
    early = first.done(), second.done()
    await time.forward(2)
    shelf.gate.set()

    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    assert early == (True, False)
    assert (await devices.device("a")).guid == "a"


async def test_who_asks_while_others_are_answered_comes_next():
    """A question that is under way is not joined: a change may have come since it was put."""
    devices, shelf = cache(device("a"), device("b"))

    first = asyncio.create_task(devices.device("a"))
    shelf.gate = asyncio.Event()
    while not shelf.asked:
        await asyncio.sleep(0)
    others = [asyncio.create_task(devices.device(guid)) for guid in "ab"]
    await asyncio.sleep(0)
    shelf.gate.set()
    await asyncio.gather(first, *others)

    assert shelf.asked == [["a"], ["a", "b"]]


async def test_very_many_are_asked_a_thousand_at_a_time():
    """No question grows without bound."""
    devices, shelf = cache(*(device(f"d{number}") for number in range(1_500)), most=2_000)

    found = await devices.devices([f"d{number}" for number in range(1_500)])

    assert [one.guid for one in found] == [f"d{number}" for number in range(1_500)]
    assert [len(guids) for guids in shelf.asked] == [1_000, 500]


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        (lambda devices: devices.drop("a"), {"b", "c"}),
        (lambda devices: devices.drop(None), set()),
        (lambda devices: devices.drop_class(1), {"c"}),
        (lambda devices: devices.drop_class(None), set()),
        (lambda devices: devices.drop_network(2), {"a", "c"}),
        (lambda devices: devices.drop_network(None), {"c"}),
        (lambda devices: devices.drop_network(9), {"a", "b", "c"}),
    ],
)
async def test_a_change_drops_only_the_devices_that_it_concerns(drop, left):
    """Those of the class or of the network; what is dropped is still known by its row, and read again."""
    members = {"network_id": None, "device_class": device_class(id=2)}
    devices, shelf = cache(device("a"), device("b", network_id=2), device("c", **members))
    await devices.devices(["a", "b", "c"])

    drop(devices)

    assert {guid for guid in "abc" if devices.cached(guid) is not None} == left
    assert [devices.row_id(guid) for guid in "abc"] == [shelf.devices[guid].id for guid in "abc"]
    assert [one.guid for one in await devices.devices(["a", "b", "c"])] == ["a", "b", "c"]
    assert shelf.asked[1:] == ([sorted({"a", "b", "c"} - left)] if left != {"a", "b", "c"} else [])


@pytest.mark.parametrize("drop", [("drop", "a"), ("drop_class", 1), ("drop_network", 1), ("drop", None)])
async def test_what_changes_while_it_is_read_is_not_kept(drop):
    """The answer may be older than the change, so the next one asks again."""
    devices, shelf = cache(device("a"))
    name, which = drop
    shelf.meanwhile = lambda: getattr(devices, name)(which)

    assert (await devices.device("a")).guid == "a"
    shelf.meanwhile = lambda: None

    assert devices.cached("a") is None
    await devices.device("a")
    assert devices.cached("a") is not None


async def test_devices_share_the_objects_of_their_class_and_network():
    """Also those that are read one after the other: much equipment is kept once."""
    devices, _ = cache(device("a"), device("b", device_class=device_class(), network=network()))

    a, b = [await devices.device(guid) for guid in "ab"]

    assert a.device_class is b.device_class
    assert a.network is b.network


async def test_a_class_that_is_found_changed_makes_the_others_stale():
    """Before anybody has told of the change."""
    devices, _ = cache(device("a"), device("b", device_class=device_class(offline_timeout_s=5)))
    await devices.device("a")

    await devices.device("b")

    assert devices.cached("a") is None
    assert devices.cached("b") is not None


async def test_a_device_that_is_gone_is_forgotten():
    """Nothing is left of it, not even its row."""
    devices, shelf = cache(device("a"))
    await devices.device("a")
    shelf.devices.clear()
    devices.drop("a")

    assert await devices.device("a") is None
    assert devices.row_id("a") is None


async def test_the_cache_is_bounded_and_the_oldest_go():
    """However many devices there are."""
    devices, _ = cache(*(device(f"d{number}") for number in range(100)), most=10)

    for number in range(100):
        await devices.device(f"d{number}")

    assert len(devices) == 10
    assert devices.cached("d99") is not None
    assert devices.cached("d80") is None


async def test_a_store_that_fails_is_told_to_all_who_asked():
    """And the next question is put to it again."""
    devices, shelf = cache(device("a"), device("b"))
    shelf.error = STORAGE.error()

    outcomes = await asyncio.gather(*(devices.device(guid) for guid in "ab"), return_exceptions=True)
    shelf.error = None

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert (await devices.device("a")).guid == "a"


async def test_a_mistake_of_ours_keeps_nobody_waiting():
    """Whatever goes wrong, everybody is answered."""
    devices, shelf = cache(device("a"))
    shelf.error = ZeroDivisionError()

    (outcome,) = await asyncio.gather(devices.device("a"), return_exceptions=True)

    assert outcome.code == 500


async def test_who_gives_up_waiting_takes_nothing_from_the_others():
    """A look-up that is cancelled is not the others'."""
    devices, _ = cache(device("a"))
    first, second = asyncio.create_task(devices.device("a")), asyncio.create_task(devices.device("a"))
    await asyncio.sleep(0)

    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first

    assert (await second).guid == "a"


# --- in a whole hub ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["command", "notification"])
async def test_a_subscribe_to_many_devices_looks_them_up_together(failing, start_hub, kind):
    """One question, however many guids it names."""
    guids = [f"d{number}" for number in range(200)]
    home = await start_hub(world(guids))
    admin, asked = await home.key("admin"), []
    failing(home).fails = lambda name: bool(asked.append(name))

    await admin.succeed(f"{kind}/subscribe", deviceGuids=guids)

    assert asked.count("find_devices") == 1
    [connection] = home.hub.gateway.connections
    [subscription] = connection.subscriptions.values()
    assert subscription.guids == frozenset(guids)
