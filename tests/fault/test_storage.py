"""A database that is locked or has no room: refusals are honest, and it goes on by itself afterwards."""

import asyncio
import json
import resource

import pytest

from protocol.names import Kind
from tests.fault.conftest import Install, Installation
from tests.fault.ledger import Ledger
from tests.fault.peers import Follower, Producer, running, socket_to, succeed
from tests.fault.test_kill import caught_up, progress
from tests.gateway.inside import DEVICES
from tests.waiting import WAIT_S, until

pytestmark = [pytest.mark.slow]

REFUSAL = (503, "Storage is not available, try again")


async def everybody(here: Installation, book: Ledger, fault, *, refusals: int) -> Producer:
    """Producers and followers at work while ``fault`` is on, until so many inserts were refused, and afterwards."""
    who = {"accessKey": here.key}
    producer = Producer(book, here.hub.port, "notification", DEVICES, **who)
    producer.pause_s = 0.002
    followers = [
        (Follower(book, by, here.hub.port, "notification", by=by, device=device, **who), device)
        for by, device in (("since", None), ("timestamp", "lamp"))
    ]

    async def refused() -> bool:
        return len(producer.refused) >= refusals

    async with running(producer.run, *(one.run for one, _ in followers)) as tasks:
        await progress({"notification": book}, 50)
        with fault():
            await until(refused, within_s=3 * WAIT_S)
        await progress({"notification": book}, 50)
        producer.stop()
        await asyncio.wait_for(tasks[0], 3 * WAIT_S)
        for follower, device in followers:
            await caught_up(book, follower, device)
    for follower, device in followers:
        assert book.check(follower.name, [device] if device else DEVICES).clean, follower.name
    await here.hub.stop()
    assert book.check_log(await here.stored(Kind.NOTIFICATION)).clean
    return producer


async def test_another_writer_costs_refusals_and_nothing_else(install: Install):
    """While somebody else holds the database inserts are refused with 503; nothing acknowledged is lost (T25)."""
    here = await install(HUB_DATABASE_WAIT_S="0.5")

    producer = await everybody(here, Ledger(), here.writing, refusals=3)

    assert {(one["code"], one["error"]) for one in producer.refused} == {REFUSAL}


async def test_a_full_disk_costs_refusals_and_nothing_else(install: Install):
    """Without room on the disk inserts are refused with 503, and go on without a restart when there is room (T8)."""
    here = await install()

    producer = await everybody(here, Ledger(), lambda: NoRoom(here), refusals=20)

    assert {(one["code"], one["error"]) for one in producer.refused} == {REFUSAL}


class NoRoom:
    """No file of the hub's process may grow any more."""

    def __init__(self, here: Installation) -> None:
        self._here = here

    def __enter__(self) -> None:
        self._limit(min(path.stat().st_size for path in self._here.directory.glob("hub.db-wal")))

    def __exit__(self, *_: object) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self._here.hub.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_repetition_after_a_refusal_inserts_once_and_is_seen_once(install: Install):
    """Whoever repeats a refused insert with its key gets it done exactly once, for the log and for subscribers."""
    here = await install(HUB_DATABASE_WAIT_S="0.5")
    ask = {"deviceGuid": "lamp", "notification": {"notification": "once"}, "idempotencyKey": "k"}

    async with socket_to(here.hub.port) as reader, socket_to(here.hub.port) as writer:
        for socket in (reader, writer):
            await succeed(socket, "authenticate", accessKey=here.key)
        await succeed(reader, "notification/subscribe")
        with here.writing():
            refused = await answer(writer, "notification/insert", **ask)
        repeated = await succeed(writer, "notification/insert", **ask)
        last = await succeed(writer, "notification/insert", deviceGuid="lamp", notification={"notification": "last"})
        async with asyncio.timeout(WAIT_S):
            pushes = [json.loads(await reader.recv())["notification"]["id"] for _ in range(2)]
    await here.hub.stop()

    assert (refused["code"], refused["error"]) == REFUSAL
    assert pushes == [repeated["notification"]["id"], last["notification"]["id"]]
    assert await here.stored(Kind.NOTIFICATION) == pushes


async def answer(socket, action: str, **members):
    await socket.send(json.dumps({"action": action, "requestId": 1, **members}))
    return json.loads(await socket.recv())
