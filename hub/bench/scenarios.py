"""What a load process does: who connects, who publishes, and how fast. One class for each scenario."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hub.bench.check import Order, Reader
from hub.bench.door import Door, each
from hub.bench.meters import Meters, Published
from hub.bench.pace import Schedule, keep
from hub.bench.parts import Dashboard, Device, Sender
from hub.bench.share import Clock, Share, ring
from hub.bench.speak import Speech, Template
from hub.bench.token import now_us
from protocol.names import Endpoint, Kind

if TYPE_CHECKING:
    from hub.client.backoff import Backoff

NAMED_GUIDS_MAX = 100
"""Devices that a subscription names; more of them are subscribed to as all that the key may see."""
POLL_S = 0.01
STALLED_S = 5
NOBODY = 1 << 62
"""The floor of a process that waits for nothing."""
HEAR_BYTES = 4096
SHORT_RECEIVE_BYTES = 4096


class Load:
    """The part of one process in a run, from its first socket to its last.

    Called in this order: :meth:`connect`, :meth:`run`, :meth:`published`, :meth:`drain`, :meth:`close`; and
    :meth:`tick` every second of the run.
    """

    def __init__(self, share: Share, meters: Meters, door: Door, speech: Speech) -> None:
        self.share = share
        self.plan = share.plan
        self.meters = meters
        self.door = door
        self.speech = speech
        self.orders: dict[int | None, Order] = {}
        self.dashboards: dict[int, Dashboard] = {}
        self.senders: list[Sender] = []
        self.templates: dict[int, Template] = {}
        self.at_once = max(1, self.plan.handshakes // share.processes)

    # --- coming in

    async def connect(self) -> None:
        """Everybody comes in, or is counted among the errors."""
        await each(self.share.mine(self.plan.dashboards), self.dashboard, at_once=self.at_once)
        await each(self.share.publishers, self.device, at_once=self.at_once)

    async def dashboard(self, number: int) -> None:
        """One dashboard comes in and reads from the first message on."""
        await self.admit(number, self.reader(number))

    def reader(self, number: int, *, lenient: bool = False) -> Reader:
        """A reader of what a dashboard subscribes to."""
        topic = self.share.topic(number)
        if topic not in self.orders:
            self.orders[topic] = Order(self.risen)
        times = self.meters.times["delivery"]
        reader = Reader(self.orders[topic], times, every=self.plan.rate is not None, lenient=lenient)
        self.meters.readers[reader] = topic
        return reader

    async def admit(
        self,
        number: int,
        reader: Reader,
        *,
        since: int | None = None,
        remember: bool = False,
        backoff: "Backoff | None" = None,
    ) -> Dashboard | None:
        """Connect a dashboard that feeds a reader; without success the reader is given up."""
        topic = self.share.topic(number)
        made = await self.door.enter_at_last(
            lambda upgrade: Dashboard(upgrade, reader, self.meters, check=self.plan.check, remember=remember),
            Endpoint.CLIENT,
            lambda: self.requests(topic, since=since),
            within_s=self.plan.connect_s,
            refused=self.refused,
            backoff=backoff,
        )
        if made is None:
            self.meters.retire(reader)
            return None
        self.dashboards[number] = made
        self.meters.connections += 1
        return made

    def requests(self, topic: int | None, *, since: int | None = None) -> list[bytes]:
        """What a dashboard says first."""
        speech, names = self.speech, self.share.names
        guids: list[str] | None = [names.guid(number) for number in self.share.topics] if topic is None else None
        if topic is not None:
            guids = [names.guid(topic)]
        elif len(self.share.topics) > NAMED_GUIDS_MAX:
            guids = None
        subscribe = speech.subscribe(Kind.NOTIFICATION, guids, since=since)
        return [speech.authenticate(accessKey=self.share.key), subscribe]

    async def device(self, number: int, *, commands: bool = False) -> None:
        """One device comes in."""
        guid = self.share.names.guid(number)
        speech = self.speech
        requests = [speech.authenticate(deviceId=guid, deviceKey=self.share.device_key)]
        if commands:
            requests.append(speech.subscribe(Kind.COMMAND, [guid]))
        made = await self.door.enter_at_last(
            lambda upgrade: Device(upgrade, speech, self.meters, number, guid),
            Endpoint.DEVICE,
            lambda: requests,
            within_s=self.plan.connect_s,
            refused=self.refused,
        )
        if made is not None:
            self.senders.append(made)
            self.templates[number] = speech.notification(guid, self.plan.payload_bytes)
            self.meters.connections += 1

    def roles(self) -> dict[str, int]:
        """How many are in."""
        return {"dashboards": len(self.dashboards), "devices": len(self.senders)}

    def refused(self, reason: str) -> None:
        self.meters.errors[reason] += 1

    # --- the load

    async def run(self, clock: Clock) -> None:
        """Load the hub until the clock ends."""
        raise NotImplementedError

    def risen(self, by: int) -> None:
        """All readers of a topic have so many more messages."""

    def publish(self, sender: Sender, times_us: list[int]) -> None:
        sender.publish(self.templates[sender.number], times_us)

    def publish_due(self, due: list[tuple[int, int]]) -> None:
        """Publish what the schedule says; messages go around among the publishers of this process."""
        if not due or not self.senders:
            return
        at_us = now_us()
        for _, due_us in due:
            self.meters.times["lag"].raw[at_us - due_us] += 1
        shares: defaultdict[int, list[int]] = defaultdict(list)
        for number, due_us in due:
            shares[number % len(self.senders)].append(due_us)
        for place, times_us in shares.items():
            self.publish(self.senders[place], times_us)

    async def keep_rate(self, clock: Clock) -> None:
        """Publish on schedule until the clock ends; the hub cannot slow this down."""
        mine = len(self.share.publishers)
        assert self.plan.rate is not None, "asked by who has a rate"
        if mine:
            rate = self.plan.rate * mine / self.plan.publishing
            phase_us = round(self.share.number * 1e6 / self.plan.rate)
            schedule = Schedule(clock.start_us + phase_us, rate)
            await self.on_schedule(schedule, self.publish_due, clock)
        else:
            await clock.until(clock.end_us)

    async def on_schedule(self, schedule: Schedule, act: Callable[[list[tuple[int, int]]], None], clock: Clock) -> None:
        """Act on a schedule until the clock ends, or is stopped."""
        keeping = asyncio.create_task(keep(schedule, act, until_us=clock.end_us))
        stopping = asyncio.create_task(clock.until(clock.end_us))
        try:
            await asyncio.wait((keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
        finally:
            for task in (keeping, stopping):
                task.cancel()
            await asyncio.gather(keeping, stopping, return_exceptions=True)

    def tick(self) -> None:
        """A second has passed."""
        for order in self.orders.values():
            order.tidy()

    # --- the end

    def published(self) -> Published:
        """What has to arrive."""
        return {sender.number: (sender.sent, sender.unheard) for sender in self.senders}

    def pending(self, published: Published) -> int:
        """How much is still on its way."""
        return self.meters.missing(published) + sum(len(sender.waiting) for sender in self.senders)

    async def drain(self, published: Published) -> None:
        """Wait for what is on its way, as long as the plan allows."""
        end_us = now_us() + round(self.plan.drain_s * 1e6)
        while self.pending(published) and now_us() < end_us:  # noqa: ASYNC110 — an event would cost each message
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        """Leave."""
        for one in (*self.dashboards.values(), *self.senders):
            one.close()


class FanOut(Load):
    """Publishers to dashboards; in a closed loop with a window of messages that somebody still waits for."""

    def __init__(self, share: Share, meters: Meters, door: Door, speech: Speech) -> None:
        super().__init__(share, meters, door, speech)
        self._clock: Clock | None = None
        self._floor = 0
        self._count = 0
        self._slack = 0
        self._still_s = 0
        self._seen = 0

    async def run(self, clock: Clock) -> None:
        if self.plan.rate is not None:
            await self.keep_rate(clock)
            return
        await clock.until(clock.start_us)
        self._clock = clock
        hear = self._hear()
        if self.senders:
            self._fill()
        await clock.until(clock.end_us)
        self._clock = None
        if hear is not None:
            asyncio.get_running_loop().remove_reader(hear)

    def _hear(self) -> int | None:
        """Listen to the other processes, where this one publishes; tell them nothing, where it waits for nothing."""
        window = self.share.window
        if window is None:
            return None
        if not self.meters.readers:
            window.floors[self.share.number] = NOBODY
        if self.share.number:
            ring(window.ring)
            return None
        asyncio.get_running_loop().add_reader(window.hear.fileno(), self._heard)
        return window.hear.fileno()

    def _heard(self) -> None:
        window = self.share.window
        assert window is not None, "there is a bell"
        os.read(window.hear.fileno(), HEAR_BYTES)
        self._fill()

    def risen(self, by: int) -> None:
        self._floor += by
        if self.share.window is not None:
            self.share.window.floors[self.share.number] = self._floor
            if self.share.number:
                ring(self.share.window.ring)
                return
        self._fill()

    @property
    def _delivered(self) -> int:
        """How many messages everybody has."""
        window = self.share.window
        return self._floor if window is None else min(window.floors[number] for number in range(len(window.floors)))

    def _fill(self) -> None:
        """Publish as much as the window has room for."""
        clock = self._clock
        if clock is None or clock.over or not self.senders:
            return
        room = self.plan.window + self._slack - (self._count - self._delivered)
        if room <= 0:
            return
        at_us, senders = now_us(), self.senders
        if len(senders) == 1:
            self._count += room
            self.publish(senders[0], [at_us] * room)
            return
        for _ in range(room):
            self._count += 1
            self.publish(senders[self._count % len(senders)], [at_us])

    def tick(self) -> None:
        """A message that is lost must not end a closed loop: what has not come for seconds is not waited for."""
        super().tick()
        if self._clock is None or not self.senders:
            return
        self._still_s = self._still_s + 1 if self._delivered == self._seen else 0
        self._seen = self._delivered
        if self._still_s >= STALLED_S:
            self._still_s = 0
            self._slack += self.plan.window
            self.meters.errors["stalled"] += 1
            self._fill()


class FanIn(Load):
    """Devices to dashboards; in a closed loop each device has a window of messages that are not acknowledged."""

    async def run(self, clock: Clock) -> None:
        if self.plan.rate is not None:
            await self.keep_rate(clock)
            return
        await clock.until(clock.start_us)
        for sender in self.senders:
            sender.on_answer = self._refill(sender, clock)
            self.publish(sender, [now_us()] * self.plan.window)
        await clock.until(clock.end_us)

    def _refill(self, sender: Sender, clock: Clock) -> Callable[[int], None]:
        def refill(count: int) -> None:
            if not clock.over:
                self.publish(sender, [now_us()] * count)

        return refill


class Slow(FanOut):
    """A fan-out, some of whose dashboards stop reading as soon as they are in."""

    def __init__(self, share: Share, meters: Meters, door: Door, speech: Speech) -> None:
        super().__init__(share, meters, door, speech)
        self._asleep: list[Dashboard] = []

    async def dashboard(self, number: int) -> None:
        """The last ones are slow: their readers look at nothing, and nobody waits for them."""
        if number < self.plan.dashboards - self.plan.slow:
            await super().dashboard(number)
            return
        unread = Reader(Order(), self.meters.times["unread"], lenient=True)
        made = await self.door.enter_at_last(
            lambda upgrade: Dashboard(upgrade, unread, self.meters, check=False),
            Endpoint.CLIENT,
            lambda: self.requests(self.share.topic(number)),
            within_s=self.plan.connect_s,
            refused=self.refused,
            receive_bytes=SHORT_RECEIVE_BYTES,
        )
        if made is not None:
            assert made.transport is not None, "it is in"
            made.transport.pause_reading()
            self._asleep.append(made)
            self.meters.connections += 1

    def roles(self) -> dict[str, int]:
        return super().roles() | {"slow dashboards": len(self._asleep)}

    async def drain(self, published: Published) -> None:
        await super().drain(published)
        before = self.meters.errors.copy()
        await self._wake(self._asleep)
        # That the hub closed them is what is measured, and no error.
        self.meters.errors = before
        self.meters.times.pop("unread", None)

    async def _wake(self, asleep: Iterable[Dashboard]) -> None:
        facts = defaultdict[str, float](float)
        for one in asleep:
            if one.transport is not None and not one.lost:
                one.transport.resume_reading()
        for one in asleep:
            facts["slow_sockets"] += 1
            await one.wait_closed(0.5 if one.ended is None else 2.0)
            how = "still open" if one.ended is None else str(one.ended)
            facts[f"slow_{how.replace(' ', '_')}"] += 1
            one.close()
        self.meters.facts.update(facts)
