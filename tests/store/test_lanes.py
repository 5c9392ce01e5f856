"""Lanes: who may give out which ids, who is there, and who leads."""

from contextlib import asynccontextmanager

import pytest

from hub.store import LogQuery, Lost
from hub.store.errors import LaneLost, NoLane
from protocol.messages import IDS_BEGIN_US, LANES
from protocol.names import INT64_MAX, Kind
from tests.builders import EARLIER_MS
from tests.postgres import name_of
from tests.store.conftest import opened
from tests.store.world import add_device, amend, append, command, notification

LEASE_MS = 10_000

SOON_US = 4_000_000
"""What the next seconds will bring; nothing here takes so long."""


@pytest.fixture(params=["sqlite", "postgres"])
def database_kind(request):
    return request.param


@pytest.fixture
def open_worker(request, database_kind, clock):
    """Opens the stores of several workers on one database."""
    make = request.getfixturevalue(f"on_{database_kind}")
    options = {"shared": True} if database_kind == "sqlite" else {}

    @asynccontextmanager
    async def worker():
        async with opened(make(now_ms=clock, **options)) as store:
            yield store

    return worker


@pytest.fixture
def let_pass(request, database_kind, clock):
    """Lets time pass: by the clock that the store was given, or by making older what PostgreSQL's own has told."""

    def let_pass_on_postgres(ms):
        server, url = request.getfixturevalue("postgres"), request.getfixturevalue("database")
        for column in ("lane SET seen_us = seen_us", "lead SET until_us = until_us"):
            server.do(name_of(url), f"UPDATE {column} - {ms * 1_000}")

    def let_pass_on_sqlite(ms):
        clock.now_ms += ms

    return let_pass_on_postgres if database_kind == "postgres" else let_pass_on_sqlite


@pytest.fixture
async def two(open_worker):
    """Two workers with a lane each."""
    async with open_worker() as one, open_worker() as other:
        await one.open_lane("one", queued=False)
        await other.open_lane("other", queued=False)
        yield one, other


@pytest.fixture
def only_lanes(monkeypatch):
    """Leaves only so many lanes to choose from."""

    def only_lanes(number):
        for module in ("sqlite_lanes", "postgres_lanes"):
            monkeypatch.setattr(f"hub.store.{module}.LANES", number)

    return only_lanes


# --- alone ------------------------------------------------------------------------------------------------------------


async def test_a_lane_begins_where_the_log_ends(store):
    """The first id after a start is greater than whatever may have been seen."""
    lamp = await add_device(store)
    last = notification(lamp, id=10**15, timestamp_ms=EARLIER_MS)
    earlier = command(lamp, timestamp_ms=EARLIER_MS + 5)
    await append(store, [earlier, last])

    lane = await store.open_lane("run", queued=False)

    assert (lane.last_id, lane.last_timestamp_ms) == (10**15, EARLIER_MS)


async def test_the_greatest_timestamp_may_belong_to_an_earlier_id(store):
    """A busy device's timestamps run ahead of everybody else's."""
    lamp, door = await add_device(store), await add_device(store, "door")
    await append(
        store, [notification(lamp, timestamp_ms=EARLIER_MS + 9_000), notification(door, timestamp_ms=EARLIER_MS)]
    )

    assert (await store.open_lane("run", queued=False)).last_timestamp_ms == EARLIER_MS + 9_000


async def test_a_reserved_mark_survives_a_restart(store, open_store):
    """No id up to it is ever given again, and it never goes back."""
    lane = await store.open_lane("run", queued=False)
    await store.reserve(lane.number, lane.mark + 5_000)
    await store.reserve(lane.number, lane.mark + 4_000)
    await store.close()

    async with open_store() as again:
        assert (await again.open_lane("again", queued=False)).mark >= lane.mark + 5_000


async def test_a_lane_begins_above_the_present(store, clock):
    """Whoever reads the log can know that nothing from before is still to come."""
    clock.now_ms = 1_800_000_000_000

    lane = await store.open_lane("run", queued=False)

    assert lane.mark >= lane.now_us - IDS_BEGIN_US > 0


@pytest.mark.parametrize(
    ("queued", "complete", "is_lost"), [(True, False, True), (True, True, False), (False, False, False)]
)
async def test_only_a_crash_of_a_queued_run_may_have_lost_ids(store, open_store, queued, complete, is_lost):
    """What it showed and did not store lies between the log's end and the mark."""
    lamp = await add_device(store)
    lane = await store.open_lane("run", queued=queued)
    last = lane.mark - lane.mark % LANES + LANES + lane.number
    await store.reserve(lane.number, lane.mark + 2_000_000)
    await append(store, [notification(lamp, id=last)])
    if complete:
        await store.close_lane(lane.number, owner="run", complete=True)
    await store.close()

    async with open_store() as again:
        await again.open_lane("again", queued=True)
        assert ([Lost(after=last, before=lane.mark + 2_000_001)] if is_lost else []) == await again.lost()


# --- several ----------------------------------------------------------------------------------------------------------


async def test_every_worker_has_a_lane_of_its_own(open_worker):
    """Two of them can never give the same id."""
    async with open_worker() as one, open_worker() as other:
        lanes = [await store.open_lane("run", queued=False) for store in (one, other)]

    assert len({lane.number for lane in lanes}) == 2


async def test_a_lane_is_free_when_its_worker_has_gone(open_worker, only_lanes):
    """It begins above what the one before may have given."""
    only_lanes(1)
    async with open_worker() as one:
        before = await one.open_lane("one", queued=False)
        await one.reserve(before.number, before.mark + 7_000_000)
    async with open_worker() as other:
        after = await other.open_lane("other", queued=False)

    assert (before.number, True) == (after.number, after.mark >= before.mark + 7_000_000)


async def test_a_worker_that_crashes_again_and_again_does_not_lead_the_clock(open_worker, clock):
    """It leaves what it had reserved behind, and begins at the present on another lane."""
    clock.now_ms, leads = 1_800_000_000_000, []
    for run in range(3):
        async with open_worker() as worker:
            lane = await worker.open_lane(f"run {run}", queued=False)
            await worker.reserve(lane.number, lane.mark + SOON_US)
            leads.append(lane.mark - (lane.now_us - IDS_BEGIN_US))

    assert leads == [0, 0, 0]


async def test_of_lanes_that_are_all_ahead_the_least_is_taken(open_worker, only_lanes):
    """Ids that lead the clock are better than none."""
    only_lanes(3)
    async with open_worker() as one, open_worker() as two, open_worker() as three:
        for ahead, worker in zip((3, 1, 2), (one, two, three), strict=True):
            lane = await worker.open_lane("before", queued=False)
            await worker.reserve(lane.number, lane.mark + ahead * SOON_US)
            await worker.close_lane(lane.number, owner="before", complete=True)

    async with open_worker() as worker:
        assert (await worker.open_lane("after", queued=False)).number == 1


async def test_a_lane_that_the_others_still_count_on_is_the_last_to_be_taken(two, open_worker, clock):
    """What its worker left behind has to reach them first; and it may only have lost its connection."""
    one, _ = two
    await one.close()
    clock.now_ms += LEASE_MS

    async with open_worker() as third:
        lane = await third.open_lane("third", queued=False)

    assert lane.number == 2


async def test_a_lane_begins_above_the_log(two, open_worker):
    """A message that is inserted after another was acknowledged has the greater id, though the other's worker leads
    the clock."""
    one, _ = two
    lamp = await add_device(one)
    lane = await one.open_lane("one", queued=False)
    leading = lane.mark - lane.mark % LANES + LANES * SOON_US + lane.number
    await append(one, [notification(lamp, id=leading)])

    async with open_worker() as third:
        assert (await third.open_lane("third", queued=False)).mark >= leading


async def test_a_lane_begins_above_what_others_have_promised(two, open_worker):
    """They have told their readers that nothing below is still to come."""
    one, _ = two
    lane = await one.open_lane("one", queued=False)
    promised = lane.mark + SOON_US
    await one.renew(lane.number, owner="one", safe=promised, lease_ms=LEASE_MS)

    async with open_worker() as third:
        assert (await third.open_lane("third", queued=False)).mark >= promised


async def test_there_is_a_last_lane(open_worker, only_lanes):
    """Whoever finds none says so."""
    only_lanes(1)
    async with open_worker() as one, open_worker() as other:
        await one.open_lane("one", queued=False)
        with pytest.raises(NoLane, match="takes no more"):
            await other.open_lane("other", queued=False)


async def test_workers_hear_of_each_other(two):
    """Who is there, and up to which id everything of theirs is in the log."""
    one, other = two

    await other.renew(1, owner="other", safe=10**15, lease_ms=LEASE_MS)
    heard = await one.renew(0, owner="one", safe=2 * 10**15, lease_ms=LEASE_MS)

    assert (frozenset({0, 1}), 2) == (heard.held, heard.workers)
    assert heard.safe[:2] == (2 * 10**15, 10**15)


async def test_one_of_them_leads(two):
    """Until it goes, or has not been heard of for a lease."""
    one, other = two

    first = [(await one.renew(0, owner="one", safe=1, lease_ms=LEASE_MS)).leads]
    first += [(await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)).leads]
    await one.close_lane(0, owner="one", complete=True)

    assert first == [True, False]
    assert (await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)).leads


async def test_a_silent_leader_is_succeeded(two, let_pass):
    """It may be paused, or cut off; when it comes back it does not lead."""
    one, other = two
    await one.renew(0, owner="one", safe=1, lease_ms=LEASE_MS)
    let_pass(LEASE_MS + 1)

    assert (await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)).leads
    assert not (await one.renew(0, owner="one", safe=1, lease_ms=LEASE_MS)).leads


async def test_a_paused_worker_keeps_its_lane(two, open_worker, let_pass):
    """However long it is paused: what it writes when it goes on must not meet another's ids."""
    _, other = two
    let_pass(10 * LEASE_MS)

    heard = await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)
    async with open_worker() as third:
        lane = await third.open_lane("third", queued=False)

    assert (0 in heard.held, lane.number) == (True, 2)


async def test_a_worker_that_died_is_no_longer_there(two, let_pass):
    """The leader finds out, a lease after it was heard of last."""
    one, other = two
    await one.close()

    still = await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)
    let_pass(LEASE_MS + 1)
    heard = await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)

    assert (0 in still.held, 0 in heard.held) == (True, False)


async def test_lanes_that_nobody_has_keep_up_with_the_time(two, clock):
    """Their readers know that nothing older is still to come, and whoever takes one begins above that."""
    one, other = two
    await other.close_lane(1, owner="other", complete=True)
    clock.now_ms = 1_800_000_000_000

    heard = await one.renew(0, owner="one", safe=1, lease_ms=LEASE_MS)

    assert heard.safe[1] == heard.safe[63] == heard.now_us - IDS_BEGIN_US
    assert (await other.open_lane("other", queued=False)).mark >= heard.safe[1]


@pytest.mark.parametrize("notices", ["a newcomer", "the leader"])
async def test_what_a_dead_worker_may_have_lost_is_recorded(two, open_worker, let_pass, notices):
    """Of its own lane: the others' messages went on, and nobody takes the lane."""
    one, other = two
    lamp = await add_device(one)
    await one.close_lane(0, owner="one", complete=True)
    lane = await one.open_lane("one again", queued=True)
    last = lane.mark - lane.mark % LANES + LANES + lane.number
    await one.reserve(lane.number, lane.mark + 2_000)
    await append(one, [notification(lamp, id=last)])
    await one.close()
    await append(other, [notification(lamp, id=last - lane.number + 2 * LANES + 1)])

    if notices == "the leader":
        let_pass(LEASE_MS + 1)
        await other.renew(1, owner="other", safe=1, lease_ms=LEASE_MS)
    else:
        async with open_worker() as third:
            assert (await third.open_lane("third", queued=False)).number != lane.number

    assert await other.lost() == [Lost(after=last, before=lane.mark + 2_001)]


async def test_whoever_has_lost_its_lane_hears_of_it(two):
    """It must give no more ids of it."""
    one, _ = two

    with pytest.raises(LaneLost):
        await one.renew(0, owner="somebody else", safe=1, lease_ms=LEASE_MS)


# --- reading what others have written ---------------------------------------------------------------------------------


async def test_each_lane_is_read_from_where_it_was_left(store):
    """Of some nothing, of some all that is newer."""
    lamp = await add_device(store)
    told = [notification(lamp, id=lane + LANES * turn) for turn in (1, 2, 3) for lane in (0, 1, 2)]
    await append(store, told)
    beyond = [INT64_MAX] * LANES
    beyond[0], beyond[1] = LANES, 1 + 2 * LANES

    page = await store.read(LogQuery(Kind.NOTIFICATION, beyond=tuple(beyond)))

    assert [logged.message.id for logged in page.messages] == [2 * LANES, 3 * LANES, 3 * LANES + 1]
    assert page.complete


async def test_a_page_of_several_lanes_goes_on_where_it_ended(store):
    """Nothing is left out between two pages."""
    lamp = await add_device(store)
    await append(store, [notification(lamp, id=number) for number in range(1, 200)])
    beyond = tuple(100 if lane % 2 else 50 for lane in range(LANES))
    found, after, complete = [], 0, False

    while not complete:
        page = await store.read(LogQuery(Kind.NOTIFICATION, after=after, beyond=beyond, limit=7))
        found += [logged.message.id for logged in page.messages]
        after, complete = page.read_to, page.complete

    assert found == [number for number in range(51, 200) if number > beyond[number % LANES]]


async def test_updates_are_found_by_their_ids(store):
    """In their order; the newest update of a command stands for those before it."""
    lamp = await add_device(store)
    asked = [command(lamp) for _ in range(3)]
    await append(store, asked)
    for update_id, place in ((10, 0), (20, 1), (30, 0)):
        await amend(store, lamp, asked[place], {"status": f"at {update_id}"}, update_id=update_id)

    page = await store.read_updates(after=0)

    assert [(20, asked[1].id, "at 20"), (30, asked[0].id, "at 30")] == [
        (one.update_id, one.command.id, one.command.status) for one in page.updates
    ]
    assert (page.read_to, page.complete) == (30, True)


async def test_updates_are_read_page_by_page(store):
    """From where the last page ended, and of each lane from where it was left."""
    lamp = await add_device(store)
    asked = [command(lamp) for _ in range(4)]
    await append(store, asked)
    for update_id, one in zip((64, 65, 128, 129), asked, strict=True):
        await amend(store, lamp, one, {"status": "done"}, update_id=update_id)

    first = await store.read_updates(after=0, limit=2)
    rest = await store.read_updates(after=first.read_to, limit=2)
    lane_1 = await store.read_updates(after=0, beyond=(INT64_MAX, 65, *[0] * (LANES - 2)))

    assert [one.update_id for one in [*first.updates, *rest.updates]] == [64, 65, 128, 129]
    assert [one.update_id for one in lane_1.updates] == [129]


async def test_an_update_without_an_id_is_nobody_elses_business(store):
    """A hub that is alone keeps none."""
    lamp = await add_device(store)
    asked = command(lamp)
    await append(store, [asked])
    await amend(store, lamp, asked, {"status": "done"})

    assert (await store.read_updates(after=0)).updates == []
