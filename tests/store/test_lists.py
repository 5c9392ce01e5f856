"""Lists of entities: filters, patterns, order, pages, and who may see what."""

from hub.store import Listing, Where
from tests.store.world import add_device


async def test_devices_are_filtered_by_what_they_belong_to(store):
    """By columns of their own, of their network and of their class; all at once."""
    lamp = await add_device(store, "lamp", network="home", status="On")
    await add_device(store, "door", network="home", status="Off")
    await add_device(store, "tree", status="On")
    asked = {
        "name": "Lamp",
        "status": "On",
        "network_id": lamp.network_id,
        "network_name": "home",
        "device_class_id": lamp.device_class.id,
        "device_class_name": "Sensor",
        "device_class_version": "1.0",
    }

    def work(tx):
        return tx.list_devices(Listing(equal=asked, like={"name": "L%"})), tx.list_devices(Listing(like={"name": "l%"}))

    assert ([lamp], []) == await store.transact(work)


async def test_reach_is_any_of_several_conjunctions(store):
    """No conjunction at all reaches nothing, an empty one everything."""
    lamp, door = await add_device(store, "lamp", network="home"), await add_device(store, "door", network="work")

    def seen(tx, *reach):
        return [device.guid for device in tx.list_devices(Listing(), reach)]

    def work(tx):
        home, work = frozenset({lamp.network_id}), frozenset({door.network_id})
        return [
            seen(tx),
            seen(tx, Where()),
            seen(tx, Where(networks=home)),
            seen(tx, Where(networks=home, guids=frozenset({"door"}))),
            seen(tx, Where(guids=frozenset({"door", "\0", "none"})), Where(networks=home | {2**70})),
            seen(tx, Where(networks=work, groups=frozenset({1}))),
            seen(tx, Where(guids=frozenset())),
        ]

    both = ["lamp", "door"]
    assert [[], both, ["lamp"], [], both, [], []] == await store.transact(work)
