"""Reading entities beside the writer."""

import asyncio
import threading

import pytest
from sqlalchemy.util import await_only

from hub.store import Listing
from hub.store.errors import MayOnlyRead
from hub.store.sqlite import SqliteStore
from protocol.entities import EquipmentState
from protocol.errors import NOT_FOUND, NotFound, StoreUnavailable
from tests.store.world import add_device, append, notification
from tests.waiting import WAIT_S


async def test_what_is_committed_is_seen(store):
    """By the next consultation."""
    for guid in "ab":
        made = await add_device(store, guid)

        assert made == (await store.consult(lambda tx: tx.list_devices(Listing())))[-1]


async def test_a_consultation_sees_one_state_and_delays_nobody(store):
    """However long it takes: others write and look up, and it does not see it; the next does."""
    lamp = await add_device(store)
    begun, written = threading.Event(), threading.Event()

    def work(tx):
        before = tx.networks(), tx.device("lamp")
        begun.set()
        _wait(store, written)
        return before, (tx.networks(), tx.list_devices(Listing())[0])

    consulting = asyncio.create_task(store.consult(work))
    assert await asyncio.to_thread(begun.wait, WAIT_S)
    home = await store.transact(lambda tx: tx.insert_network(name="home"))
    await store.transact(lambda tx: tx.update_device(lamp.id, status="On"))
    await append(store, [notification(lamp)])
    assert (await store.find_device("lamp")).device.status == "On"
    written.set()

    assert (([], lamp), ([], lamp)) == await consulting
    assert [home] == await store.consult(lambda tx: tx.networks())


def _wait(store, event):
    """Wait inside a piece of work: on PostgreSQL it is the event loop's."""
    in_a_thread = isinstance(store, SqliteStore)
    assert event.wait(WAIT_S) if in_a_thread else await_only(asyncio.to_thread(event.wait, WAIT_S))


async def test_what_the_work_raises_is_raised(store):
    """And the next that asks does not notice."""

    def work(tx):
        raise NOT_FOUND.error()

    with pytest.raises(NotFound):
        await store.consult(work)

    assert await store.consult(lambda tx: tx.networks()) == []


async def test_a_closed_store_cannot_be_consulted(store):
    """It says that it is not available."""
    await store.consult(lambda tx: tx.networks())
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.consult(lambda tx: tx.networks())


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
    """Whatever it is, and nothing of it is there."""
    lamp = await add_device(store)

    with pytest.raises(MayOnlyRead):
        await store.consult(lambda tx: write(tx, lamp))

    assert [lamp] == await store.consult(lambda tx: tx.devices())
    assert await store.consult(lambda tx: tx.networks()) == []
