"""What runs in the background: retention, ids, activity, and the copy of a database in use."""

import pytest

from hub.store import Amend, Lost, OpenCommands, Reach
from protocol.messages import CommandPatch
from protocol.names import OFFLINE, Kind
from tests.builders import EARLIER_MS
from tests.store.world import add_device, append, command, notification, read

FOREVER = {"before_ms": 0, "per_device": 10**6}

# --- retention --------------------------------------------------------------------------------------------------------


async def test_retention_by_age_takes_what_is_older(store):
    """Strictly older, oldest first."""
    lamp = await add_device(store)
    told = [notification(lamp, timestamp_ms=EARLIER_MS + at) for at in range(5)]
    await append(store, told)

    gone = await store.prune(Kind.NOTIFICATION, before_ms=EARLIER_MS + 2, per_device=10)

    assert (2, told[2:]) == (gone, await read(store))


async def test_retention_by_number_keeps_the_newest_of_each_device(store):
    """A busy device does not push out another one's messages."""
    lamp, door = await add_device(store), await add_device(store, "door")
    told = [notification(door)] + [notification(lamp) for _ in range(20)]
    await append(store, told)

    gone = await store.prune(Kind.NOTIFICATION, before_ms=0, per_device=3)

    assert (17, [told[0], *told[-3:]]) == (gone, await read(store))


async def test_retention_is_per_kind(store):
    """Notifications go sooner than commands."""
    lamp = await add_device(store)
    asked = command(lamp)
    await append(store, [notification(lamp), asked])

    await store.prune(Kind.NOTIFICATION, before_ms=EARLIER_MS * 2, per_device=10)

    assert ([], [asked]) == (await read(store), await read(store, Kind.COMMAND))


async def test_a_waiting_command_goes_by_age_only(store, clock):
    """What no device has answered yet is not pushed out by number."""
    lamp = await add_device(store)
    done, expired, waiting = command(lamp), command(lamp, lifetime_s=1), command(lamp, lifetime_s=3_600)
    newest = command(lamp)
    await append(store, [done, expired, waiting, newest])
    await store.write([Amend(lamp.id, "lamp", done.id, CommandPatch({}))])
    clock.now_ms = expired.expires_ms()

    gone = await store.prune(Kind.COMMAND, before_ms=0, per_device=1)

    assert (2, [waiting, newest]) == (gone, await read(store, Kind.COMMAND))
    assert await store.prune(Kind.COMMAND, before_ms=EARLIER_MS * 2, per_device=1) == 2


async def test_retention_stops_at_its_limit(store):
    """Whoever is told as many as the limit asks again."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(450)]
    await append(store, told)

    by_age = [
        await store.prune(Kind.NOTIFICATION, before_ms=EARLIER_MS * 2, per_device=10**6, limit=300) for _ in range(3)
    ]
    await append(store, told)
    by_number = [await store.prune(Kind.NOTIFICATION, before_ms=0, per_device=50, limit=300) for _ in range(3)]

    assert by_age == [300, 150, 0]
    assert by_number == [300, 100, 0]


async def test_the_marks_tell_what_may_be_missing(store):
    """By age for everybody; by number for the device concerned, and for whoever asks about all of them."""
    lamp, door = await add_device(store, network="home"), await add_device(store, "door")
    told = [notification(door, timestamp_ms=1)] + [notification(lamp) for _ in range(3)]
    await append(store, told)

    async def marks():
        reaches = [Reach(frozenset({"lamp"})), Reach(networks=frozenset({lamp.network_id})), Reach(frozenset({"door"}))]
        return [await store.pruned_to(Kind.NOTIFICATION, reach) for reach in [None, *reaches]]

    assert await marks() == [0, 0, 0, 0]
    await store.prune(Kind.NOTIFICATION, before_ms=2, per_device=10)
    assert [told[0].id] * 4 == await marks()
    await store.prune(Kind.NOTIFICATION, before_ms=2, per_device=1)
    assert [told[2].id, told[2].id, told[2].id, told[0].id] == await marks()
    assert await store.pruned_to(Kind.COMMAND, None) == 0


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_of_ids_that_may_be_lost_those_are_recorded_that_the_log_lacks(store):
    """From the first to the last of them; nothing, when all of them are there."""
    lamp = await add_device(store)
    told = [notification(lamp, id=number) for number in (10, 20, 30, 40)]
    await append(store, [told[0], told[3]])

    await store.record_lost([10, 40])
    before = await store.lost()
    await store.record_lost([10, 20, 30, 40])
    await store.record_lost([20, 30])

    assert before == []
    assert await store.lost() == [Lost(19, 31)]


async def test_ranges_of_lost_ids_are_bounded(store, monkeypatch):
    """The oldest go."""
    for module in ("sqlite_lanes", "postgres_lanes"):
        monkeypatch.setattr(f"hub.store.{module}.LOST_RANGES", 2)
    for number in (10, 20, 30):
        await store.record_lost([number])

    assert await store.lost() == [Lost(19, 21), Lost(29, 31)]


# --- activity ---------------------------------------------------------------------------------------------------------


async def silent_since(store, guid, last_active_ms, *, timeout_s=60, **members):
    """A device of a class of its own, last active at this time."""

    def work(tx):
        kind = tx.insert_class(name=guid, version="1", offline_timeout_s=timeout_s)
        device = tx.insert_device(guid=guid, key="k", name=guid, class_id=kind.id, **members)
        tx.touch([(device.id, last_active_ms)])
        return device

    return await store.transact(work)


async def test_a_silent_device_is_overdue_after_its_timeout(store):
    """Each by its class; not those that are Offline already, nor those whose class has no timeout."""
    late = await silent_since(store, "late", 1_000)
    await silent_since(store, "patient", 1_000, timeout_s=61)
    await silent_since(store, "known", 1_000, status=OFFLINE)
    await silent_since(store, "free", 1_000, timeout_s=None)

    assert await store.overdue(61_000) == []
    assert [late] == await store.overdue(61_001)
    assert await store.shortest_offline_timeout() == 60


async def test_nothing_is_overdue_where_nothing_times_out(store):
    """No class with a timeout, no work."""
    await silent_since(store, "free", 0, timeout_s=None)

    assert (await store.shortest_offline_timeout(), await store.overdue(10**13)) == (None, [])


async def test_activity_never_goes_back(store):
    """Touches may arrive out of order, several for a device, some for a device that has gone."""
    late = await silent_since(store, "late", 5_000)
    await store.transact(lambda tx: tx.touch([(late.id, 4_000), (late.id, 3_000), (10**6, 1)]))
    assert await store.overdue(65_000) == []

    await store.transact(lambda tx: tx.touch([(late.id, 6_000), (late.id, 5_500)]))
    assert await store.overdue(66_000) == []
    assert [late] == await store.overdue(66_001)


@pytest.mark.parametrize("answered", [False, True])
async def test_open_commands_are_counted_by_device(store, answered):
    """Answered ones and expired ones do not count; what never expires is no end to wait for."""
    lamp, fan, door = [await add_device(store, guid) for guid in ("lamp", "fan", "door")]
    asked = [command(lamp), command(lamp, lifetime_s=60), command(lamp, lifetime_s=30), command(lamp, lifetime_s=1)]
    await append(store, [*asked, command(fan)])
    if answered:
        await store.write([Amend(lamp.id, "lamp", asked[2].id, CommandPatch({}))])

    at_ms = asked[3].expires_ms()
    counts = await store.open_commands([lamp.id, fan.id, door.id], at_ms=at_ms, most=10)

    ends = [asked[1].expires_ms()] if answered else [asked[2].expires_ms()]
    assert counts == {
        lamp.id: OpenCommands(2 if answered else 3, *ends),
        fan.id: OpenCommands(1),
        door.id: OpenCommands(0),
    }


async def test_counting_open_commands_ends_at_its_limit(store):
    """However many there are, only so many are looked at."""
    lamp = await add_device(store)
    await append(store, [command(lamp) for _ in range(20)])

    assert await store.open_commands([lamp.id], at_ms=0, most=5) == {lamp.id: OpenCommands(5)}


async def test_forgotten_activity_is_not_checked(store):
    """A device that went offline is left alone until it shows itself."""
    late = await silent_since(store, "late", 0)
    await store.transact(lambda tx: tx.forget_activity(late.id))

    assert await store.overdue(10**9) == []


async def test_at_most_so_many_are_told_at_once(store):
    """When a whole site falls silent."""
    for number in range(3):
        await silent_since(store, f"d{number}", 0)

    assert len(await store.overdue(10**9, limit=2)) == 2


# --- the database as a whole ------------------------------------------------------------------------------------------


async def test_a_closed_store_is_not_available(store):
    """It says so at once, and closing it again is harmless."""
    from hub.store import LogQuery
    from protocol.errors import StoreUnavailable

    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.read(LogQuery(Kind.COMMAND))


async def test_a_closed_store_has_finished_what_was_queued(store, open_store):
    """Closing waits for the writes that were asked for before."""
    import asyncio

    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(20)]
    writes = [asyncio.create_task(append(store, [message])) for message in told]
    await asyncio.sleep(0)

    await store.close()

    await asyncio.gather(*writes)
    async with open_store() as again:
        assert told == await read(again)


async def test_the_doctor_learns_what_there_is(store):
    """Kind, version, place, size, schema and integrity."""
    report = await store.check()

    assert report["integrity"] == "ok"
    assert report["schema"] == report["newest_schema"]
    assert report["bytes"] > 0
