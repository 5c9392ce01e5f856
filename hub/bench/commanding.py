"""Scenarios with commands: round trips alone, and a mixture of everything."""

import asyncio
import itertools

from hub.bench.door import Door, each
from hub.bench.meters import Meters, Published
from hub.bench.pace import Schedule
from hub.bench.parts import Commander
from hub.bench.scenarios import Load
from hub.bench.share import Clock, Share
from hub.bench.speak import Speech
from hub.bench.token import now_us
from protocol.names import Endpoint


class Commands(Load):
    """Dashboards send commands to devices, which carry them out; a round trip ends with the result."""

    def __init__(self, share: Share, meters: Meters, door: Door, speech: Speech) -> None:
        super().__init__(share, meters, door, speech)
        self.commanders: list[Commander] = []
        names, size = share.names, share.plan.payload_bytes
        self._commands = [speech.command(names.guid(number), size) for number in range(share.plan.devices)]

    async def connect(self) -> None:
        async def device(number: int) -> None:
            await self.device(number, commands=True)

        await each(self.share.mine(self.plan.devices), device, at_once=self.at_once)
        await self.bring_commanders()

    async def bring_commanders(self) -> None:
        await each(self.share.mine(self.plan.commanders), self._commander, at_once=self.at_once)

    async def _commander(self, number: int) -> None:
        made = await self.door.enter_at_last(
            lambda upgrade: Commander(upgrade, self.speech, self.meters, number),
            Endpoint.CLIENT,
            lambda: [self.speech.authenticate(accessKey=self.share.key)],
            within_s=self.plan.connect_s,
            refused=self.refused,
        )
        if made is not None:
            self.commanders.append(made)
            self.meters.connections += 1

    def roles(self) -> dict[str, int]:
        return super().roles() | {"dashboards that send commands": len(self.commanders)}

    async def run(self, clock: Clock) -> None:
        if self.plan.rate is not None:
            await self.keep_commanding(clock, self.plan.rate)
            return
        await clock.until(clock.start_us)
        for commander in self.commanders:
            commander.on_result = self._again(commander, clock)
            for _ in range(self.plan.window):
                self._command(commander, now_us())
        await clock.until(clock.end_us)

    def _again(self, commander: Commander, clock: Clock) -> "_Again":
        return _Again(self, commander, clock)

    def _command(self, commander: Commander, at_us: int) -> None:
        """Each commander goes around among the devices, beginning with one of its own."""
        device = (commander.number + commander.sent) % len(self._commands)
        commander.command(self._commands[device], at_us)

    async def keep_commanding(self, clock: Clock, rate: float) -> None:
        """Send commands on schedule until the clock ends."""
        mine = len(self.share.mine(self.plan.commanders))
        if not mine:
            await clock.until(clock.end_us)
            return
        phase_us = round(self.share.number * 1e6 / rate)
        schedule = Schedule(clock.start_us + phase_us, rate * mine / self.plan.commanders)
        await self.on_schedule(schedule, self._command_due, clock)

    def _command_due(self, due: list[tuple[int, int]]) -> None:
        at_us = now_us()
        for number, due_us in due if self.commanders else ():
            self.meters.times["lag"].raw[at_us - due_us] += 1
            self._command(self.commanders[number % len(self.commanders)], due_us)

    def pending(self, published: Published) -> int:
        return super().pending(published) + sum(len(one.outstanding) for one in self.commanders)

    async def drain(self, published: Published) -> None:
        await super().drain(published)
        self.meters.faults.lost += sum(len(one.outstanding) for one in self.commanders)

    def close(self) -> None:
        super().close()
        for one in self.commanders:
            one.close()


class _Again:
    """Sends the next command when a result has come."""

    def __init__(self, load: Commands, commander: Commander, clock: Clock) -> None:
        self._load = load
        self._commander = commander
        self._clock = clock

    def __call__(self) -> None:
        if not self._clock.over:
            self._load._command(self._commander, now_us())


class Mixed(Commands):
    """Devices that publish and carry out commands, dashboards that watch, and some that leave and come again."""

    async def connect(self) -> None:
        await each(self.share.mine(self.plan.dashboards), self.dashboard, at_once=self.at_once)
        await super().connect()

    async def run(self, clock: Clock) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_rate(clock))
            if self.plan.commands_per_s:
                group.create_task(self.keep_commanding(clock, self.plan.commands_per_s))
            if self.plan.churn_per_s:
                group.create_task(self._churn(clock))

    async def _churn(self, clock: Clock) -> None:
        """One dashboard after the other leaves and comes again, and reads on in the middle."""
        mine = self.share.mine(self.plan.dashboards)
        if not mine:
            return
        between_us = 1e6 * self.plan.dashboards / (self.plan.churn_per_s * len(mine))
        async with asyncio.TaskGroup() as group:
            for turn, number in enumerate(itertools.cycle(mine)):
                at_us = clock.start_us + round((turn + 1) * between_us)
                if at_us >= clock.end_us or not await clock.until(at_us):
                    return
                if number in self.dashboards:
                    group.create_task(self._leave_and_come(number, at_us))

    async def _leave_and_come(self, number: int, at_us: int) -> None:
        left = self.dashboards.pop(number)
        left.close()
        if not left.lost:
            self.meters.connections -= 1
        self.meters.retire(left.reader)
        if await self.admit(number, self.reader(number, lenient=True)) is not None:
            self.meters.waited("connect", at_us)
            self.meters.spans["connections"].note(at_us, now_us())
