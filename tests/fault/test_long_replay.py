"""Long histories: complete, in order, in bounded memory, at the reader's pace and at nobody else's cost (T37)."""

import asyncio
import time
from statistics import median

import pytest

from protocol.messages import Notification
from tests.gateway.inside import DEVICES, world
from tests.waiting import WAIT_S, until
from tests.websocket.conftest import World
from tests.websocket.peer import Peer

pytestmark = pytest.mark.slow

BODY = b'"' + b"x" * 1_000 + b'"'


async def fill_log(home: World, number: int) -> list[int]:
    """Store so many notifications of about a kilobyte, of all devices in turn. Returns their ids."""
    gateway, ids = home.hub.gateway, []
    devices = [await gateway.devices.device(guid) for guid in DEVICES]
    for count in range(number):
        device = devices[count % len(devices)]
        stamp = await gateway.ids.stamp(device.id)
        message = Notification(stamp.id, device.id, device.guid, "watts", stamp.timestamp_ms, BODY)
        commit = gateway.append(message, device)
        ids.append(stamp.id)
    await commit
    return ids


class Watch:
    """Looks, as long as it runs, how full the hub's outboxes are and how long a probe takes through the hub."""

    def __init__(self, home: World, probe: Peer) -> None:
        self.fullest = 0
        self.delays_s: list[float] = []
        self._home = home
        self._probe = probe

    async def __aenter__(self) -> "Watch":
        await self._probe.succeed("notification/subscribe", names=["probe"])
        self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._ask())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            sockets = self._home.hub.gateway._sockets
            for connection, socket in sockets.items():
                unsent = socket.unsent  # type: ignore[attr-defined]
                self.fullest = max(self.fullest, len(connection.outbox) + unsent)
            await asyncio.sleep(0)

    async def _ask(self) -> None:
        """Insert and receive, over and over."""
        while True:
            began_s = time.perf_counter()
            await self._probe.succeed("notification/insert", deviceGuid="lamp", notification={"notification": "probe"})
            await self._probe.push()
            self.delays_s.append(time.perf_counter() - began_s)
            await asyncio.sleep(0.005)


async def history(reader: Peer, number: int) -> list[int]:
    """The ids of the next so many pushes, probes left out."""
    ids = []
    while len(ids) < number:
        message = (await reader.push())["notification"]
        if message["notification"] != "probe":
            ids.append(message["id"])
    return ids


async def test_twenty_thousand_messages_come_back_while_others_go_on(start_hub, record_property):
    """A long replay is complete and in order; outboxes stay within their bound, and others hardly notice."""
    home = await start_hub(world())
    ids = await fill_log(home, 20_000)
    reader = await home.key("admin", subprotocols=["hub.1.json"], close_timeout=0.2)

    async with Watch(home, await home.key("admin", close_timeout=0.2)) as watch:
        answer = await reader.succeed("notification/subscribe", since=0)
        received = await history(reader, len(ids))

    assert answer["recovered"] is True
    assert received == ids
    assert watch.fullest <= home.settings.outbox_bytes
    assert median(watch.delays_s) < WAIT_S / 20
    record_property("fullest outbox", watch.fullest)
    record_property("probe median ms", round(median(watch.delays_s) * 1000, 1))


async def test_a_reader_that_takes_its_time_gets_everything(start_hub):
    """The replay waits for its reader, in bounded memory, and goes on when it reads; nobody else waits."""
    home = await start_hub(world())
    ids = await fill_log(home, 20_000)
    reader = await home.key("admin", max_queue=16, close_timeout=0.2)
    fan_out = home.hub.gateway.fan_out

    async def stands_still() -> bool:
        before = fan_out.deliveries
        await asyncio.sleep(0.05)
        return fan_out.deliveries == before

    received: list[int] = []
    await reader.succeed("notification/subscribe", since=0)
    for _ in range(4):
        await until(stands_still)
        received += await history(reader, 2_000)
    async with Watch(home, await home.key("admin", close_timeout=0.2)) as watch:
        received += await history(reader, len(ids) - len(received))

    assert received == ids
    assert 0 < watch.fullest <= home.settings.outbox_bytes


@pytest.mark.parametrize("outbox_bytes", [1 << 20, 1 << 17])
async def test_many_replays_to_one_socket_take_turns(start_hub, outbox_bytes):
    """Twenty subscriptions that resume at once over one socket do not overflow it, however small its outbox is."""
    home = await start_hub(world(), outbox_bytes=outbox_bytes)
    ids = await fill_log(home, 600)
    reader = await home.key("admin")

    subscriptions: dict[str, list[int]] = {}
    for _ in range(20):
        subscriptions[(await reader.succeed("notification/subscribe", since=0))["subscriptionId"]] = []
    for _ in range(20 * len(ids)):
        push = await reader.push()
        subscriptions[push["subscriptionId"]].append(push["notification"]["id"])

    assert list(subscriptions.values()) == [ids] * 20


async def test_stuck_readers_keep_nobody_from_history(start_hub):
    """Readers that subscribe to everything and do not read cost others no replay, however few may read at a time."""
    home = await start_hub(world(), replays_at_once=2)
    ids = await fill_log(home, 10_000)
    for _ in range(3):
        stuck = await home.key("admin", max_queue=1, close_timeout=0.2)
        for _ in range(3):
            await stuck.send(action="notification/subscribe", requestId=1, since=0)
    await until(lambda: asyncio.sleep(0, len(home.hub.gateway.replays) == 9))

    reader = await home.key("admin")
    await reader.succeed("notification/subscribe", since=ids[-100])

    assert await history(reader, 99) == ids[-99:]
