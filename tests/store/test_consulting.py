"""Reading entities beside the writer."""

import pytest

from hub.store import Listing
from hub.store.errors import MayOnlyRead
from protocol.entities import EquipmentState
from tests.store.world import add_device, notification


async def test_what_is_committed_is_seen(store):
    """By the next consultation, for all of its length."""
    lamp = await add_device(store)

    assert [lamp] == await store.consult(lambda tx: tx.list_devices(Listing()))


@pytest.mark.parametrize(
    "write",
    [
        lambda tx, lamp: tx.insert_network(name="home"),
        lambda tx, lamp: tx.update_device(lamp.id, name="x"),
        lambda tx, lamp: tx.delete_device("lamp"),
        lambda tx, lamp: tx.put_equipment_state(lamp.id, EquipmentState("a", 1, None)),
        lambda tx, lamp: tx.append(notification(lamp), lamp),
        lambda tx, lamp: tx.touch([(lamp.id, 1)]),
    ],
)
async def test_who_consults_cannot_write(store, write):
    """Whatever it is; and the next that asks does not notice."""
    lamp = await add_device(store)

    with pytest.raises(MayOnlyRead):
        await store.consult(lambda tx: write(tx, lamp))

    assert [lamp] == await store.consult(lambda tx: tx.devices())
    assert await store.consult(lambda tx: tx.networks()) == []
