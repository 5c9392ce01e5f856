"""A load process: it does its share of a run, and tells the coordinator of it through a pipe."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from hub.bench.arriving import Connect, Reconnect
from hub.bench.commanding import Commands, Mixed
from hub.bench.door import Door, ended, raise_descriptors
from hub.bench.meters import Broken, Connected, Finish, Meters, Progress, Start, Stop, Stopped, Told
from hub.bench.plan import BenchError, Scenario
from hub.bench.scenarios import FanIn, FanOut, Load, Slow
from hub.bench.share import Clock, Share
from hub.bench.speak import Speech
from hub.bench.token import now_us

LOADS: dict[Scenario, type[Load]] = {
    Scenario.CONNECT: Connect,
    Scenario.FANOUT: FanOut,
    Scenario.FANIN: FanIn,
    Scenario.COMMANDS: Commands,
    Scenario.MIXED: Mixed,
    Scenario.RECONNECT: Reconnect,
    Scenario.SLOW: Slow,
}
MAIN = {Scenario.CONNECT: "connect", Scenario.COMMANDS: "result", Scenario.RECONNECT: "recovery"}
"""Which latency a scenario is about; of all others it is ``delivery``."""
TELL_S = 0.1

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    Pipe = Connection[Told, Start | Stop | Finish]


def main(share: Share, pipe: "Pipe") -> None:
    """Run a share; ends with the process. Ctrl-C is for the coordinator, who says what to do then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _settle(share)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(Process(share, pipe).work())
    except (BrokenPipeError, EOFError):
        return  # The coordinator is gone, and with it everybody who could be told.
    except BenchError as exc:
        pipe.send(Broken(str(exc)))
    except Exception as exc:
        pipe.send(Broken(f"{type(exc).__name__}: {exc}"))
        raise


def _settle(share: Share) -> None:
    """What concerns the whole process: its descriptors, its core, the ends of its bell."""
    raise_descriptors(share.sockets)
    if share.plan.pin and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {share.plan.pin[share.number % len(share.plan.pin)]})
    if share.window is not None:
        for bell in (share.window.ring, share.window.hear):
            os.set_blocking(bell.fileno(), False)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Process:
    """The steps of a load process, each begun by a word of the coordinator."""

    def __init__(self, share: Share, pipe: "Pipe") -> None:
        self._share = share
        self._pipe = pipe
        self._meters = Meters(MAIN.get(share.plan.scenario, "delivery"))
        self._inbox: asyncio.Queue[Start | Stop | Finish] = asyncio.Queue(16)
        self._clock: Clock | None = None
        self._second = 1

    async def work(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._receive)
        plan, share = self._share.plan, self._share
        speech = Speech(plan.codec)
        sockets = share.sockets * share.processes
        door = Door(
            share.target,
            speech,
            at_once=max(1, plan.handshakes // share.processes),
            sources=share.target.sources(sockets, plan.sources),
            timeout_s=plan.connect_s,
        )
        load = LOADS[plan.scenario](share, self._meters, door, speech)
        try:
            await self._connect(load)
            await self._run(load)
        finally:
            loop.remove_reader(self._pipe.fileno())
            load.close()
            await asyncio.sleep(0)  # Goodbyes leave with this turn.

    def _receive(self) -> None:
        try:
            word = self._pipe.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            word = Stop()
        if isinstance(word, Stop) and self._clock is not None:
            self._clock.stop()
        else:
            self._inbox.put_nowait(word)

    async def _connect(self, load: Load) -> None:
        async with ended(asyncio.create_task(self._tell_progress())):
            connecting = asyncio.create_task(load.connect())
            async with ended(connecting):
                stopping = asyncio.create_task(self._inbox.get())
                async with ended(stopping):
                    await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
                    if stopping.done():
                        raise EOFError("stopped before it began")
                    connecting.result()
        self._pipe.send(Connected(load.roles(), dict(self._meters.errors)))

    async def _tell_progress(self) -> None:
        told = 0
        while True:
            await asyncio.sleep(TELL_S)
            if (now := self._meters.connections) > told:
                self._pipe.send(Progress(now - told))
                told = now

    async def _run(self, load: Load) -> None:
        start = await self._inbox.get()
        if not isinstance(start, Start):
            return
        clock = self._clock = Clock(self._share.plan, start.at_us)
        gc.collect()
        gc.freeze()  # Ten thousands of sockets need not be looked through again and again.
        async with ended(asyncio.create_task(self._tell_seconds(load, clock))):
            await load.run(clock)
            self._meters.end()
        if (at_s := (min(now_us(), clock.end_us) - clock.measure_us) / 1e6) > 0:
            self._tell_second(at_s)
        self._pipe.send(Stopped(load.published()))
        finish = await self._inbox.get()
        if isinstance(finish, Finish):
            await load.drain(finish.published)
            self._pipe.send(self._meters.finish(finish.published))

    async def _tell_seconds(self, load: Load, clock: Clock) -> None:
        await clock.until(clock.measure_us)
        self._meters.begin()
        clock.measuring.set()
        while await clock.until(at_us := clock.measure_us + self._second * 1_000_000) and at_us < clock.end_us:
            self._tell_second(float(self._second))
            load.tick()

    def _tell_second(self, at_s: float) -> None:
        self._pipe.send(self._meters.second(self._second, at_s))
        self._second += 1
