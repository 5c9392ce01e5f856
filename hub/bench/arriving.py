"""Scenarios about coming in: for the first time, and all again after all were dropped."""

import asyncio

from hub.bench.check import Order, Reader
from hub.bench.door import each
from hub.bench.pace import Schedule, keep
from hub.bench.parts import Dashboard
from hub.bench.plan import Arrival, Backoff
from hub.bench.scenarios import Load
from hub.bench.share import Clock
from hub.bench.token import now_us
from hub.bench.wire import Refused
from protocol.names import Endpoint

DROP_AFTER_US = 1_000_000
"""How long a reconnect run is quiet before everybody is dropped; less when it is short."""


class Connect(Load):
    """Sockets connect, authenticate and subscribe: as many at once as the plan allows, or so many a second.

    Who is refused does not come again: refusals are counted.
    """

    async def connect(self) -> None:
        """What others do first is what is measured here."""

    async def run(self, clock: Clock) -> None:
        await clock.measuring.wait()
        numbers = self.share.mine(self.plan.dashboards)
        if self.plan.arrival is Arrival.STORM:
            await each(numbers, self._come_now, at_once=self.at_once)
        else:
            await self._one_by_one(numbers, clock)
        await clock.until(now_us() + round(self.plan.duration_s * 1e6))

    async def _one_by_one(self, numbers: range, clock: Clock) -> None:
        assert self.plan.rate is not None, "the plan was checked"
        if not numbers:
            return
        rate = self.plan.rate * len(numbers) / self.plan.dashboards
        schedule = Schedule(clock.start_us + round(self.share.number * 1e6 / self.plan.rate), rate)
        end_us = schedule.next_us + round(len(numbers) * 1e6 / rate)
        async with asyncio.TaskGroup() as group:

            def come(due: list[tuple[int, int]]) -> None:
                for place, due_us in due[: len(numbers) - (due[0][0] if due else 0)]:
                    group.create_task(self._come(numbers[place], due_us))

            keeping = group.create_task(keep(schedule, come, until_us=end_us))
            await clock.until(end_us)
            if clock.stopped:
                keeping.cancel()

    async def _come_now(self, number: int) -> None:
        await self._come(number, now_us())

    async def _come(self, number: int, begin_us: int) -> None:
        reader = Reader(Order(), self.meters.times["delivery"], lenient=True)
        try:
            made = await self.door.enter(
                lambda upgrade: Dashboard(upgrade, reader, self.meters, check=False),
                Endpoint.CLIENT,
                self.requests(0),
            )
        except Refused as refusal:
            self.refused(refusal.reason)
            return
        self.dashboards[number] = made
        self.meters.connections += 1
        self.meters.waited("connect", begin_us)
        self.meters.spans["connections"].note(begin_us, now_us())


class Reconnect(Load):
    """Publishing goes on while all dashboards are dropped at once; they come back and ask for what they missed."""

    async def dashboard(self, number: int) -> None:
        await self.admit(number, self.reader(number), remember=self.plan.recover)

    async def run(self, clock: Clock) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish(clock))
            drop_us = clock.measure_us + min(DROP_AFTER_US, (clock.end_us - clock.measure_us) // 4)
            if await clock.until(drop_us):
                await self._drop(clock)

    async def _publish(self, clock: Clock) -> None:
        """Publish on schedule. Coming back may take longer; then nothing is published any more, and no rate counts."""
        await self.keep_rate(clock)
        self.meters.end()

    async def _drop(self, clock: Clock) -> None:
        dropped = list(self.dashboards.items())
        for _, one in dropped:
            one.abort()
        self.meters.connections -= len(dropped)
        back_us = now_us() + round(self.plan.outage_s * 1e6)
        await clock.until(back_us)

        async def come_back(item: tuple[int, Dashboard]) -> None:
            await self._come_back(*item, begin_us=back_us)

        await each(dropped, come_back, at_once=self.at_once)

    async def _come_back(self, number: int, left: Dashboard, *, begin_us: int) -> None:
        backoff = None
        if self.plan.backoff is Backoff.JITTER:
            from hub.client import backoff as client  # late: it costs each load process as much as all of its own

            backoff = client.Backoff()
            await asyncio.sleep(backoff.delay_s())
        reader, since = left.reader, None
        if self.plan.recover:
            since = self.speech.message_id(left.last) or 0
        else:
            self.meters.retire(left.reader)
            reader = self.reader(number, lenient=True)
        if await self.admit(number, reader, since=since, remember=self.plan.recover, backoff=backoff) is not None:
            self.meters.waited("recovery", begin_us)
            self.meters.spans["recovery"].note(begin_us, now_us())
