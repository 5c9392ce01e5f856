"""``kill -9`` under open event streams: whoever comes back with the last id misses and repeats nothing."""

import asyncio
from typing import Any

import pytest

from tests.fault.conftest import Install, Installation
from tests.fault.ledger import Fact, Ledger
from tests.fault.peers import GONE, MEMBER, Producer, running
from tests.gateway.inside import DEVICES
from tests.rest.http import Client, key
from tests.rest.streaming import last, stream
from tests.waiting import WAIT_S, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KILLS = 10


class Reader:
    """Follows a stream, and after each end of it goes on from the last id."""

    def __init__(self, ledger: Ledger, here: Installation, kind: str) -> None:
        self.begun: list[dict[str, Any]] = []
        self._ledger = ledger
        self._client = Client(here.hub.port, key(here.key))
        self._kind = kind
        self._last = 0

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except GONE:
                await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        async with stream(self._client, f"/device/{self._kind}/stream", last(self._last)) as events:
            self.begun.append(events.begun.data)
            while (event := await events.event()).name == "message":
                shown = event.data
                fact = Fact(shown["id"], shown["deviceGuid"], shown["timestamp"], shown[MEMBER[self._kind]])
                self._ledger.receive(self._kind, fact)
                self._last = event.id


@pytest.mark.parametrize("kind", ["notification", "command"])
async def test_kills_lose_and_repeat_nothing_on_a_stream(install: Install, record_property, kind: str):
    """Each acknowledged message reaches it exactly once, and in order (T1, T2)."""
    here = await install()
    book = Ledger()
    producer = Producer(book, here.hub.port, kind, DEVICES, accessKey=here.key)
    producer.pause_s = 0.003
    reader = Reader(book, here, kind)

    async with running(producer.run, reader.run) as tasks:
        for _ in range(KILLS):
            await progress(book, 60)
            await here.hub.restart()
        await progress(book, 50)
        producer.stop()
        await asyncio.wait_for(tasks[0], 3 * WAIT_S)
        await until(lambda: complete(book, kind), within_s=3 * WAIT_S)

    assert book.check(kind, DEVICES).clean
    assert all(begun["recovered"] for begun in reader.begun)
    assert len(reader.begun) > KILLS // 2
    record_property(f"acknowledged {kind}s", len(book.acknowledged))


async def progress(book: Ledger, messages: int) -> None:
    goal = len(book.acknowledged) + messages

    async def reached() -> bool:
        return len(book.acknowledged) >= goal

    await until(reached, within_s=3 * WAIT_S)


async def complete(book: Ledger, name: str) -> bool:
    return not book.missing(name, DEVICES)
