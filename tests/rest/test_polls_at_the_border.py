"""T41: many pollers, each going on from the last time that it got, while messages come at any moment: no gap, and no
repetition. At one hub, and at two that take turns with every request."""

import asyncio
import random
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from hub.app import Hub
from protocol.times import parse_ms
from tests.gateway.cluster import clusters
from tests.rest.conftest import WORLD
from tests.rest.http import Client, Who, key
from tests.rest.polling import clean, messages, notify, waiting
from tests.waiting import until

DEVICES = [f"device-{number}" for number in range(10)]
FREE = {"rest_requests_per_s": 0.0, "polls_per_key": 0}

pytestmark = pytest.mark.slow


def world():
    """Ten devices in one network."""
    like = WORLD["devices"][0]
    return {**WORLD, "devices": [{**like, "guid": guid, "key": f"{guid}-key"} for guid in DEVICES]}


@dataclass
class Poller:
    """Asks one hub after the other, on connections that it keeps.

    Attributes:
        guids: what it asks for; None: everything.
        got: time and id of each message, in the order in which they came.
    """

    guids: Sequence[str] | None
    wait_s: int
    border: str
    got: list[tuple[int, int]] = field(default_factory=list)
    answers: int = 0
    silent: int = 0
    """Answers without a message since the last one with."""

    def path(self) -> str:
        asked = f"timestamp={self.border}&waitTimeout={self.wait_s}"
        if self.guids is not None and len(self.guids) == 1:
            return f"/device/{self.guids[0]}/notification/poll?{asked}"
        return f"/device/notification/poll?{asked}&deviceGuids={','.join(self.guids or ())}"

    async def run(self, clients: Sequence[Client], over: asyncio.Event) -> None:
        while not (over.is_set() and self.silent >= 2):
            answer = await clients[self.answers % len(clients)].get(self.path())
            self.answers += 1
            self.take(messages(answer))

    def take(self, shown: list[dict]) -> None:
        self.silent = 0 if shown else self.silent + 1
        self.got += [(parse_ms(one["timestamp"]), one["id"]) for one in shown]
        if shown:
            self.border = shown[-1]["timestamp"]


async def exercise(hubs: Sequence[Hub], who: Who, *, pollers: int, number: int) -> None:
    """Poll while messages come, and compare what everybody got with what there was."""
    chance = random.Random(pollers)
    info = (await Client(hubs[0].port, who).get("/info")).json()
    kinds = [[guid] for guid in DEVICES] * 8 + [DEVICES[:4], DEVICES[3:], None]
    crowd = [Poller(kinds[n % len(kinds)], 1 + n % 3, info["serverTimestamp"]) for n in range(pollers)]
    over = asyncio.Event()
    threads = threading.active_count()

    async def poll(one: Poller) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(hub.port, who).kept()) for hub in hubs]
            await one.run(clients, over)

    runs = [asyncio.create_task(poll(one)) for one in crowd]
    await until(lambda: asyncio.sleep(0, sum(len(hub.gateway.polls) for hub in hubs) == pollers))
    told = []
    for _ in range(number // 4):
        # A few at a time, of several devices, so that milliseconds are shared.
        some = [notify(chance.choice(hubs), chance.choice(DEVICES)) for _ in range(4)]
        told += await asyncio.gather(*some)
        await asyncio.sleep(chance.choice([0, 0.001, 0.01, 0.05]))
    assert threading.active_count() == threads
    over.set()
    await asyncio.gather(*runs)

    for one in crowd:
        wanted = [(m.timestamp_ms, m.id) for m in told if one.guids is None or m.device_guid in one.guids]
        assert sorted(one.got) == sorted(wanted), one.guids
        assert one.got == sorted(one.got), one.guids
    for hub in hubs:
        await clean(hub)


async def test_five_hundred_miss_nothing_and_repeat_nothing(start_site):
    """Of one device, of several, and of all, with waits of 1 to 3 seconds."""
    site = await start_site(world(), **FREE)

    await exercise([site.hub], key(site.secrets["everything"]), pollers=500, number=200)


@pytest.mark.parametrize("turn", range(2))
async def test_turns_between_two_hubs_miss_nothing_and_repeat_nothing(tmp_path, monkeypatch, turn):
    """Messages are taken at both, each request is answered by the other one."""
    async with clusters(tmp_path, monkeypatch) as start:
        cluster = await start(world(), **FREE)
        hubs = [one.hub for one in cluster.worlds]

        await exercise(hubs, key(cluster.worlds[0].secrets["everything"]), pollers=60, number=240)


async def test_who_waits_for_the_same_message_is_woken_a_few_at_a_time(start_site):
    """Each of them once; the loop has turns for others in between."""
    site = await start_site(world(), **FREE)
    client = site.by_key("everything")
    polls = [asyncio.create_task(client.get("/device/device-1/notification/poll")) for _ in range(100)]
    await waiting(site.hub, 100)
    left, watching = [], True

    async def watch() -> None:
        while watching:
            left.append(len(site.hub.gateway.polls))
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    told = await notify(site.hub, "device-1")
    answers = await asyncio.gather(*polls)
    watching = False
    await watcher

    assert [[one["id"] for one in answer.json()] for answer in answers] == [[told.id]] * 100
    assert max(one - other for one, other in pairwise(left)) <= 32
