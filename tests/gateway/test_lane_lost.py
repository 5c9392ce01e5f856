"""A worker that was away from the database for so long that the others have given its lane up."""

from uuid import uuid4

import asyncpg
import pytest

from hub.store import LogQuery
from hub.store.postgres_lanes import LOCKS
from protocol.names import Kind
from tests.gateway.inside import world
from tests.waiting import until

NOTIFICATION = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}


@pytest.fixture
def cluster_place(database, shared_redis):
    """On SQLite a worker that lives keeps its lane."""
    return {"database_url": database, "bus_url": shared_redis.url, "bus_prefix": f"test-{uuid4().hex[:12]}"}


@pytest.fixture
async def operator(database):
    """A connection of somebody else to the database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def give_up(operator, lane, successor):
    """What the worker that leads does about a lane whose worker is gone, and the server about its connection; and if
    there is a successor, it takes the lane."""
    [holder] = await operator.fetch("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1", lane)
    if successor is not None:
        await operator.execute("UPDATE lane SET owner = $2 WHERE number = $1", lane, successor)
    else:
        await operator.execute("UPDATE lane SET owner = NULL, is_open = false WHERE number = $1", lane)
    await operator.execute("SELECT pg_terminate_backend($1)", holder["pid"])
    if successor is not None:
        await operator.execute("SELECT pg_advisory_lock($1, $2)", LOCKS, lane)


@pytest.mark.parametrize("successor", [None, "somebody else"])
async def test_a_worker_whose_lane_was_given_up_takes_another_one(start_cluster, operator, successor):
    """It refuses writes until then, and goes on by itself; everywhere each message that is stored comes once."""
    cluster = await start_cluster(world(), database_wait_s="3")
    home = cluster.worlds[0]
    admin, readers = await home.key("admin"), [await one.key("admin") for one in cluster.worlds]
    for reader in readers:
        await reader.succeed("notification/subscribe")
    for _ in range(3):
        await admin.succeed("notification/insert", **NOTIFICATION)

    before = home.hub.gateway.others.heard.lane
    await give_up(operator, before, successor)

    async def inserts():
        return (await admin.ask("notification/insert", **NOTIFICATION))["status"] == "success"

    await until(inserts)
    stored = await stored_by(home)
    for reader in readers:
        pushed = [(await reader.receive())["notification"]["id"] for _ in stored]
        assert sorted(pushed) == stored
    last = (await admin.succeed("notification/insert", **NOTIFICATION))["notification"]["id"]
    for reader in readers:
        assert (await reader.receive())["notification"]["id"] == last


async def stored_by(home):
    """The ids of all notifications in the log."""
    page = await home.hub.store.read(LogQuery(Kind.NOTIFICATION))
    return [one.message.id for one in page.messages]
