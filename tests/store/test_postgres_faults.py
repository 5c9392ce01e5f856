"""PostgreSQL when things go wrong: what was acknowledged holds, what failed is told in time, and it works again."""

import asyncio
import gc
import time
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from hub.store import Append, Idempotency, LogQuery, Transact
from hub.store.errors import LaneLost
from hub.store.postgres_session import WORK_LOCK
from protocol.errors import StoreUnavailable
from protocol.messages import LANES
from protocol.names import Kind, UserRole
from tests import postgres as servers
from tests.postgres import name_of
from tests.store.conftest import opened, postgres_at
from tests.store.world import add_device, add_user, append, command, insert_device, notification, read
from tests.waiting import WAIT_S, until

SHORT_S = 0.5
LEASE_MS = 10_000


@pytest.fixture
async def store(database):
    async with opened(postgres_at(database)) as store:
        yield store


@pytest.fixture
async def hasty(database):
    """A store whose callers do not wait long."""
    async with opened(postgres_at(database, wait_s=SHORT_S)) as store:
        yield store


@pytest.fixture
def cut(postgres, database):
    """Ends every connection of the hub."""
    where = f"application_name = 'hub' AND datname = '{name_of(database)}'"
    statement = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {where}"
    return lambda: int(postgres.do(name_of(database), statement))


@asynccontextmanager
async def holding(url, *statements):
    """Somebody else is in the middle of a transaction, which has done this."""
    other = await asyncpg.connect(url)
    try:
        await other.execute("BEGIN")
        for statement in statements:
            await other.execute(statement)
        yield other
        await other.execute("ROLLBACK")
    finally:
        await other.close()


async def again(ask):
    """Ask until the store is available."""

    async def answer():
        try:
            return [await ask()]
        except StoreUnavailable:
            return None

    return (await until(answer))[0]


async def test_what_nobody_waits_for_any_more_fails_quietly():
    """A hub that ends while its database is away does not complain about what it has left."""
    store, complaints = postgres_at("postgresql://hub@127.0.0.1:1/nowhere"), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    given_up = asyncio.create_task(store.reserve(0, 1))
    await until(lambda: asyncio.sleep(0, store._writer._jobs))

    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await until(lambda: asyncio.sleep(0, not store._writer._jobs))
    del given_up
    gc.collect()

    assert complaints == []


# --- connections that break -------------------------------------------------------------------------------------------


async def test_after_its_connections_were_ended_the_store_works_again(store, cut):
    """Whoever asks next may hear that it is not available, and then it is."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(3)]
    await append(store, told[:1])
    assert lamp == (await store.find_device("lamp")).device

    assert cut() >= 2
    assert lamp == (await store.find_device("lamp")).device
    assert told[:1] == await read(store)
    await again(lambda: append(store, told[1:2]))
    cut()
    await again(lambda: store.transact(lambda tx: tx.update_device(lamp.id, status="On")))
    await append(store, told[2:])

    assert told == await read(store)


async def test_after_its_connections_were_ended_the_store_can_be_consulted(store, cut):
    """At once, since reading twice does no harm; and what was made for a connection goes with it."""
    lamp = await add_device(store)

    for _ in range(3):
        assert [lamp] == await store.consult(lambda tx: tx.devices())
        assert cut() >= 1

    assert len(store._consultant._wrapped) == 1


def test_on_a_hubs_own_loop_it_is_no_different(database, cut):
    """There a connection that was ended is found out later, and by other errors."""
    uvloop = pytest.importorskip("uvloop")

    async def end_and_go_on():
        async with opened(postgres_at(database)) as store:
            lamp = await add_device(store)
            told = [notification(lamp) for _ in range(5)]
            for n, one in enumerate(told):
                cut()
                await again(lambda one=one: append(store, [one]))
                cut()
                await again(lambda n=n: store.transact(lambda tx: tx.update_device(lamp.id, status=str(n))))
                assert (await store.find_device("lamp")).device.status == str(n)
            assert told == await read(store)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(end_and_go_on())


async def test_a_write_that_is_cut_is_told_at_once(store, database, cut):
    """Neither acknowledged nor waited for to the end, and nothing of it is there."""
    lamp = await add_device(store)
    told = notification(lamp)
    works = [Append(told), Transact(lambda tx: tx.update_device(lamp.id, status="On")), Append(command(lamp))]

    async with holding(database, "LOCK TABLE command IN ACCESS EXCLUSIVE MODE"):
        writing = asyncio.create_task(store.write(works))
        await _waits_for_a_lock(database)
        began_s = time.monotonic()
        cut()
        with pytest.raises(StoreUnavailable):
            await writing
        assert time.monotonic() - began_s < WAIT_S / 2

    assert await again(lambda: read(store)) == []
    assert [told] == (await store.write(works))[:1]
    assert [told] == await read(store)


async def _waits_for_a_lock(database):
    other = await asyncpg.connect(database)
    statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hub' AND wait_event_type = 'Lock'"
    await until(lambda: other.fetchval(statement))
    await other.close()


async def test_whoever_gives_up_does_not_cut_the_others(store, database):
    """A caller that is cancelled leaves its write to itself; those behind it are done."""
    lamp = await add_device(store)
    told = [notification(lamp), notification(lamp)]

    async with holding(database, "LOCK TABLE notification IN ACCESS EXCLUSIVE MODE"):
        first = asyncio.create_task(append(store, told[:1]))
        second = asyncio.create_task(append(store, told[1:]))
        await _waits_for_a_lock(database)
        first.cancel()

    await second
    assert told == await read(store)


async def test_a_mistake_of_ours_is_not_an_outage(store):
    """It is loud, nothing of it is left, and the connection is as good as before."""
    lamp = await add_device(store)
    told = notification(lamp)

    with pytest.raises(asyncpg.NotNullViolationError):
        await append(store, [notification(lamp), notification(lamp, name=None)])

    await append(store, [told])
    assert [told] == await read(store)


async def test_a_work_that_goes_on_after_an_error_does_not_succeed(store):
    """The server has taken everything back by then; an acknowledgement would be false."""
    await add_user(store, "alice")

    def work(tx):
        tx.insert_network(name="net")
        try:
            tx.insert_user(login="alice", role=UserRole.CLIENT)
        except Exception:
            return "fine"

    with pytest.raises(AssertionError):
        await store.transact(work)

    assert await store.transact(lambda tx: tx.networks()) == []


# --- locks ------------------------------------------------------------------------------------------------------------


async def test_a_lock_held_too_long_is_told(hasty, database):
    """The writer gives up in time, nothing is written, and the next write works."""
    lamp = await add_device(hasty)
    refused, told = notification(lamp), notification(lamp)

    async with holding(database, "LOCK TABLE notification IN EXCLUSIVE MODE"):
        for ask in (
            lambda: append(hasty, [refused]),
            lambda: hasty.write([Append(refused), Append(command(lamp))]),
            lambda: hasty.transact(lambda tx: tx.append(refused, lamp)),
        ):
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await ask()
            assert time.monotonic() - began_s < SHORT_S + 0.4
        assert await read(hasty) == [], "reading goes on"

    await append(hasty, [told])
    assert [told] == await read(hasty)


async def test_pages_that_wait_delay_no_look_up(hasty, database):
    """Long replays have connections of their own, however many there are."""
    lamp = await add_device(hasty)

    async with holding(database, "LOCK TABLE notification IN ACCESS EXCLUSIVE MODE"):
        pages = [asyncio.create_task(hasty.read(LogQuery(Kind.NOTIFICATION))) for _ in range(50)]
        await _waits_for_a_lock(database)
        assert lamp == (await hasty.find_device("lamp")).device
        assert await hasty.transact(lambda tx: len(tx.users())) == 0
        found = await asyncio.gather(*pages, return_exceptions=True)

    assert {StoreUnavailable} == {type(page) for page in found}
    assert await read(hasty) == []


async def test_who_waits_behind_a_stuck_write_hears_so_too(hasty, database):
    """Everybody by their own deadline; those that never began are not done later."""
    lamp = await add_device(hasty)
    told = [notification(lamp) for _ in range(20)]

    async with holding(database, "LOCK TABLE notification IN EXCLUSIVE MODE"):
        found = await asyncio.gather(*(append(hasty, [one]) for one in told), return_exceptions=True)

    assert {StoreUnavailable} == {type(one) for one in found}
    assert await hasty.transact(lambda tx: 1) == 1
    assert await read(hasty) == []


async def test_another_workers_long_change_is_told(hasty, database):
    """Changes of entities take turns, but nobody waits for long."""
    async with holding(database, f"SELECT pg_advisory_xact_lock({WORK_LOCK})"):
        for ask in (lambda: add_user(hasty), lambda: hasty.write([Transact(lambda tx: tx.users())])):
            with pytest.raises(StoreUnavailable):
                await ask()

    await add_user(hasty)
    assert await hasty.find_login("alice")


async def test_a_store_is_closed_in_time_whatever_the_server_does(database, postgres):
    """A worker that ends does not wait for a server that has stopped."""
    store = postgres_at(database)
    await store.open()
    await add_device(store)
    await store.find_device("lamp")
    postgres.pause()
    try:
        began_s = time.monotonic()
        await store.close()
        assert time.monotonic() - began_s < 3
    finally:
        postgres.resume()


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_changes_are_seen_in_their_order(store, database):
    """Whoever has read up to a revision has missed none before it, however many write at once."""
    begin = (await store.changes(-1)).revision

    async with opened(postgres_at(database)) as other:
        async with holding(
            database,
            f"SELECT pg_advisory_xact_lock({WORK_LOCK})",
            "INSERT INTO change (entity, time_ms) VALUES ('configuration', 0)",
        ) as slow:
            works = [asyncio.create_task(add_user(one, f"u{n}")) for n, one in enumerate([store, other] * 3)]
            await _waits_for_a_lock(database)
            assert await store.find_login("u0") is None
            assert (await other.changes(begin)).changes == ()
            await slow.execute("COMMIT; BEGIN")
        await asyncio.gather(*works)

    entities = [change.entity for change in (await store.changes(begin)).changes]
    assert ["configuration", *["user"] * 6] == entities


async def test_messages_wait_for_no_change(store, database):
    """Entities take turns across all workers; the log does not."""
    lamp = await add_device(store)
    told, asked = notification(lamp), command(lamp)

    async with holding(database, f"SELECT pg_advisory_xact_lock({WORK_LOCK})"):
        assert [told, asked] == await append(store, [told, asked])


# --- lanes ------------------------------------------------------------------------------------------------------------


async def test_a_lane_is_kept_when_the_connection_breaks(store, cut):
    """The worker comes back to it before it writes anything."""
    lamp = await add_device(store)
    lane = await store.open_lane("run", queued=False)

    for _ in range(3):
        cut()
        await again(lambda: append(store, [notification(lamp)]))

    heard = await store.renew(lane.number, owner="run", safe=lane.mark, lease_ms=LEASE_MS)
    assert {lane.number} == heard.held


async def test_a_lane_is_not_taken_from_a_worker_that_was_cut_off(store, database, cut):
    """As long as there are others: it comes back, and would find that it may not write."""
    lane = await store.open_lane("run", queued=False)
    cut()

    async with opened(postgres_at(database)) as other:
        own = await other.open_lane("other", queued=False)
        heard = await again(lambda: store.renew(lane.number, owner="run", safe=lane.mark, lease_ms=LEASE_MS))

    assert {lane.number, own.number} == heard.held


async def test_a_lane_that_another_took_is_lost(store, database, cut, postgres):
    """Nothing is written on it any more; on a new one, everything goes on."""
    lamp = await add_device(store)
    lane = await store.open_lane("run", queued=False)
    postgres.do(name_of(database), f"UPDATE lane SET mark = {2 * lane.mark} WHERE number != {lane.number}")
    cut()

    async with opened(postgres_at(database)) as other:
        taken = await other.open_lane("other", queued=False)
        assert taken.number == lane.number
        with pytest.raises(LaneLost):
            await again(lambda: store.renew(lane.number, owner="run", safe=lane.mark, lease_ms=LEASE_MS))
        with pytest.raises(StoreUnavailable):
            await append(store, [notification(lamp)])
        new = await store.open_lane("run again", queued=False)
        told = notification(lamp)
        await append(store, [told])

        assert new.number != taken.number
        assert [told] == await read(store)
        assert {new.number, taken.number} == (
            await other.renew(taken.number, owner="other", safe=taken.mark, lease_ms=LEASE_MS)
        ).held


async def test_a_lane_that_was_given_up_is_lost(store, database, cut, postgres):
    """The others have moved on: what its worker gave out before would come too late for them."""
    lane = await store.open_lane("run", queued=False)
    async with opened(postgres_at(database)) as other:
        own = await other.open_lane("other", queued=False)
        cut()
        postgres.do(name_of(database), "UPDATE lane SET seen_us = 0 WHERE owner = 'run'")
        heard = await again(lambda: other.renew(own.number, owner="other", safe=own.mark, lease_ms=LEASE_MS))

        assert ({own.number}, True) == (heard.held, heard.safe[lane.number] > lane.mark)
        with pytest.raises(LaneLost):
            await again(lambda: store.renew(lane.number, owner="run", safe=lane.mark, lease_ms=LEASE_MS))


async def test_what_a_run_may_have_lost_is_recorded_when_it_is_given_up(store, database, cut, postgres):
    """Also when nobody takes its lane: its readers move on."""
    lamp = await add_device(store)
    lane = await store.open_lane("run", queued=True)
    last = lane.mark - lane.mark % LANES + LANES + lane.number
    await store.reserve(lane.number, lane.mark + 1_000)
    await append(store, [notification(lamp, id=last)])
    async with opened(postgres_at(database)) as other:
        own = await other.open_lane("other", queued=False)
        cut()
        postgres.do(name_of(database), "UPDATE lane SET seen_us = 0 WHERE owner = 'run'")
        await again(lambda: other.renew(own.number, owner="other", safe=own.mark, lease_ms=LEASE_MS))

        assert [(last, lane.mark + 1_001)] == [(lost.after, lost.before) for lost in await other.lost()]


# --- a server that goes away ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server():
    """A server that tests may kill; what it has committed is on disk."""
    with servers.running("-c", "max_connections=30") as server:
        yield server


@pytest.fixture
def own_database(own_server):
    with own_server.database() as url:
        yield url


@pytest.mark.slow
async def test_a_killed_server_loses_nothing_that_was_acknowledged(own_server, own_database):
    """While it is away, everything is told so at once; five seconds after it is back, all is well."""
    async with opened(postgres_at(own_database, wait_s=WAIT_S)) as store:
        lamp = await add_device(store)
        lane = await store.open_lane("run", queued=False)
        told, acknowledged = (notification(lamp) for _ in range(10**6)), []

        async def tell():
            message = next(told)
            await append(store, [message])
            acknowledged.append(message)

        for _ in range(50):
            await tell()
        telling = asyncio.create_task(_until_unavailable(tell))
        own_server.kill()
        await telling
        for ask in (tell, lambda: store.find_device("lamp"), lambda: read(store)):
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await ask()
            assert time.monotonic() - began_s < 1
        await asyncio.to_thread(own_server.start)
        began_s = time.monotonic()
        await again(tell)
        await again(lambda: store.find_device("lamp"))
        assert time.monotonic() - began_s < 5

        assert (await store.renew(lane.number, owner="run", safe=lane.mark, lease_ms=LEASE_MS)).held == {lane.number}
        stored = {message.id for message in await read(store)}
        assert {message.id for message in acknowledged} <= stored


async def _until_unavailable(ask):
    with suppress(StoreUnavailable):
        while True:
            await ask()


@pytest.mark.slow
async def test_after_an_unknown_outcome_a_repetition_makes_nothing_new(own_server, own_database):
    """The server may have written what it could not answer; with the same key there is one message in the end, and
    with the next acknowledgement it is certain which."""
    async with opened(postgres_at(own_database, wait_s=1)) as store:
        lamp = await again(lambda: add_device(store))
        await store.open_lane("run", queued=False)
        once = Idempotency("user:1", "command/insert", "a1")
        first, second, plain, last = (command(lamp) for _ in range(4))

        own_server.pause()
        try:
            for batch in ([Append(first, once)], [Append(plain)]):
                began_s = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await store.write(batch)
                assert time.monotonic() - began_s < 1.5
        finally:
            own_server.resume()
        (outcome,) = await again(lambda: store.write([Append(second, once)]))
        await append(store, [last])
        certain = await read(store, Kind.COMMAND)

        assert outcome in certain
        assert len({first.id, second.id} & {message.id for message in certain}) == 1
        await asyncio.sleep(0.5)  # for what must not come
        assert certain == await read(store, Kind.COMMAND)


@pytest.mark.slow
async def test_a_worker_that_is_paused_in_a_transaction_does_not_stop_the_others(own_server, own_database):
    """Its transaction is ended for it, and it has not happened."""
    async with opened(postgres_at(own_database, wait_s=1)) as paused, opened(postgres_at(own_database)) as other:

        def work(tx):
            tx.insert_network(name="net")
            time.sleep(4)  # the whole loop stands still, as that of a paused process does
            tx.insert_network(name="other")

        with pytest.raises(StoreUnavailable):
            await paused.transact(work)

        assert await again(lambda: other.transact(lambda tx: tx.networks())) == []
        assert await again(lambda: paused.transact(lambda tx: tx.networks())) == []


async def test_two_workers_that_change_the_same_do_not_wait_in_a_circle(store, database):
    """However they cross each other."""
    lamp, fan = await add_device(store), await add_device(store, "fan")

    def work(*devices):
        def change(tx):
            for device in devices:
                tx.update_device(device.id, status="On")
                tx.touch([(device.id, 1_000)])

        return change

    async with opened(postgres_at(database)) as other:
        works = [(store, work(lamp, fan)), (other, work(fan, lamp))] * 10
        await asyncio.gather(*(one.write([Transact(change), Transact(change)]) for one, change in works))


async def test_what_a_work_has_read_is_so_until_it_ends(store, database):
    """Two workers that find no class do not both make it."""
    async with opened(postgres_at(database)) as other:
        asks = [(store, other)[n % 2].transact(lambda tx, n=n: insert_device(tx, f"d{n}")) for n in range(20)]
        devices = await asyncio.gather(*asks)

    assert len({device.device_class.id for device in devices}) == 1
