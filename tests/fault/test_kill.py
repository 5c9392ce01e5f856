"""``kill -9`` while everybody talks: nothing that was acknowledged is lost, repeated, or turned round."""

import asyncio
import json
import random

import pytest

from protocol.names import Kind
from tests.fault.conftest import Install, Installation
from tests.fault.ledger import Ledger, Verdict, repeated
from tests.fault.peers import Follower, Producer, running, socket_to, succeed
from tests.gateway.inside import DEVICES
from tests.waiting import WAIT_S, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KILLS = 20


async def test_twenty_kills_lose_and_repeat_nothing(install: Install, record_property):
    """Each acknowledged message is in the log once, and reaches each subscriber exactly once and in order (T1)."""
    here = await install()
    port, who = here.hub.port, {"accessKey": here.key}
    books = {kind: Ledger() for kind in ("notification", "command")}
    producers = [
        Producer(books["notification"], port, "notification", DEVICES, **who),
        Producer(books["notification"], port, "notification", ["lamp"], **who),
        Producer(books["command"], port, "command", DEVICES, **who),
    ]
    for producer in producers:
        producer.pause_s = 0.003  # Enough to fill every batch, and leave the processor to the restarts.
    followers = [
        (Follower(books[kind], f"{kind} by {by}", port, kind, by=by, device=device, **who), kind, device)
        for kind in books
        for by, device in (("since", None), ("timestamp", "lamp"))
    ]

    async with running(*(one.run for one in producers), *(one.run for one, _, _ in followers)) as tasks:
        for _ in range(KILLS):
            await progress(books, random.randint(30, 150))
            await here.hub.restart()
        await progress(books, 50)
        for producer in producers:
            producer.stop()
        await asyncio.wait_for(asyncio.gather(*tasks[: len(producers)]), 3 * WAIT_S)
        for follower, kind, device in followers:
            await caught_up(books[kind], follower, device)
    await here.hub.stop()

    for follower, kind, device in followers:
        assert books[kind].check(follower.name, [device] if device else DEVICES).clean, follower.name
        assert all(answer.get("recovered", True) for answer in follower.answers)
        assert follower.connections > KILLS // 2
    assert books["notification"].check_log(await here.stored(Kind.NOTIFICATION)).clean
    assert books["command"].check_log(await here.stored(Kind.COMMAND)).clean
    for kind, book in books.items():
        record_property(f"acknowledged {kind}s", len(book.acknowledged))


async def progress(books: dict[str, Ledger], messages: int) -> None:
    """Wait until so many more messages of each kind are acknowledged."""
    goals = {kind: len(book.acknowledged) + messages for kind, book in books.items()}

    async def reached() -> bool:
        return all(len(books[kind].acknowledged) >= goal for kind, goal in goals.items())

    await until(reached, within_s=3 * WAIT_S)


async def caught_up(book: Ledger, follower: Follower, device: str | None) -> None:
    async def complete() -> bool:
        return not book.missing(follower.name, [device] if device else DEVICES)

    await until(complete, within_s=3 * WAIT_S)


async def test_an_id_that_was_seen_is_never_given_again(install: Install):
    """With HUB_DURABILITY=queued a crash loses notifications, but never reissues an id, and a resume says so (G17)."""
    here = await install(HUB_DURABILITY="queued")

    with here.writing():
        lost = await seen_without_being_stored(here)
        await here.hub.kill()
    await here.hub.start()
    async with socket_to(here.hub.port, extended=True) as socket:
        await succeed(socket, "authenticate", accessKey=here.key)
        answer = await succeed(socket, "notification/subscribe", since=lost[2])
        fresh = await inserted(here, 5)

    assert answer["recovered"] is False
    assert answer["missed"]["reason"] == "unknown-position"
    assert answer["missed"]["after"] == lost[2]
    assert lost[-1] < answer["missed"]["before"] <= fresh[0]
    assert not repeated(lost + fresh)
    assert min(fresh) > max(lost)


async def seen_without_being_stored(here: Installation) -> list[int]:
    """Ids that a subscriber sees while the database is locked."""
    async with socket_to(here.hub.port) as socket:
        await succeed(socket, "authenticate", accessKey=here.key)
        await succeed(socket, "notification/subscribe")
        await inserted(here, 20)
        async with asyncio.timeout(WAIT_S):
            return [json.loads(await socket.recv())["notification"]["id"] for _ in range(20)]


async def inserted(here: Installation, number: int) -> list[int]:
    async with socket_to(here.hub.port) as socket:
        await succeed(socket, "authenticate", accessKey=here.key)
        members = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}
        answers = [await succeed(socket, "notification/insert", **members) for _ in range(number)]
        return [answer["notification"]["id"] for answer in answers]


async def test_kills_with_queued_notifications_reissue_nothing(install: Install):
    """Over several crashes under load, no id stands for two messages, and what came back came once and in order."""
    here = await install(HUB_DURABILITY="queued")
    book = Ledger()
    producer = Producer(book, here.hub.port, "notification", DEVICES, accessKey=here.key)
    producer.pause_s = 0.002
    follower = Follower(book, "since", here.hub.port, "notification", by="since", accessKey=here.key)

    async with running(producer.run, follower.run):
        for _ in range(4):
            await progress({"notification": book}, 200)
            await here.hub.restart()
        await progress({"notification": book}, 100)

    verdict = book.check("since", DEVICES)
    assert Verdict(lost=verdict.lost) == verdict  # What was answered before its commit may be lost, nothing else.
    assert not repeated(fact.id for fact in book.acknowledged)


@pytest.mark.parametrize("kind", ["notification", "command"])
async def test_a_repetition_is_recognised_after_a_crash(install: Install, kind: str):
    """The same idempotency key gives the first answer and inserts nothing, also when the hub was killed between."""
    here = await install()
    ask = {"deviceGuid": "lamp", kind: {kind: "once"}, "idempotencyKey": f"a-{kind}"}

    answers = []
    for _ in range(2):
        async with socket_to(here.hub.port) as socket:
            await succeed(socket, "authenticate", accessKey=here.key)
            answers += [await succeed(socket, f"{kind}/insert", **ask) for _ in range(2)]
        await here.hub.restart()
    await here.hub.stop()

    assert all(answer[kind] == answers[0][kind] for answer in answers)
    assert await here.stored(Kind[kind.upper()]) == [answers[0][kind]["id"]]
