"""One place for a worker: always a process in it, and never two for longer than a replacement takes."""

import asyncio
import socket
import time
from collections.abc import Mapping

import structlog

from hub.app import CannotStart
from hub.workers.process import NotReady, Refused, WorkerProcess
from hub.workers.restarts import ATTEMPTS, Restarts

log = structlog.get_logger("hub.workers")


class Slot:
    """Keeps a worker on a socket.

    Args:
        number: from 1 on.
        environ: the workers' variables.
        drain_s: how long a worker may take to end before it is killed.

    Attributes:
        ready: set once the slot's first worker serves.
        banner: what that worker would show.
    """

    def __init__(self, number: int, listening: socket.socket, *, environ: Mapping[str, str], drain_s: float) -> None:
        self.ready = asyncio.Event()
        self.banner = ""
        self._number = number
        self._listening = listening
        self._environ = environ
        self._drain_s = drain_s
        self._restarts = Restarts(time.monotonic)
        self._processes: set[WorkerProcess] = set()
        self._asked, self._answered = asyncio.Event(), asyncio.Event()

    async def keep(self) -> None:
        """Start a worker, and another one when it ends or when :meth:`replace` asks for it; until cancelled.

        Raises:
            CannotStart: the very first says that it cannot start, or one after the other has failed to.
        """
        worker = await self._bring_up()
        while True:
            if await self._ends_unasked(worker):
                await self._mourn(worker)
                worker = await self._bring_up()
            else:
                worker = await self._succeed(worker)
                self._asked.clear()
                self._answered.set()

    async def replace(self) -> None:
        """Have the worker replaced; returns when its successor serves and it has ended, or when that has failed."""
        self._answered.clear()
        self._asked.set()
        await self._answered.wait()

    def signal(self, number: int) -> None:
        for worker in self._processes:
            worker.signal(number)

    async def end(self) -> None:
        """End what runs here. :meth:`keep` was cancelled before."""
        await asyncio.gather(*(self._end(worker) for worker in list(self._processes)))

    async def _bring_up(self) -> WorkerProcess:
        while True:
            try:
                return await self._start()
            except NotReady as exc:
                if isinstance(exc, Refused) and not self.ready.is_set():
                    raise CannotStart(f"worker {self._number}: {exc}") from exc
                wait_s = self._restarts.failed()
                if self._restarts.hopeless:
                    text = f"worker {self._number} did not start, {ATTEMPTS} times in a row: {exc}"
                    raise CannotStart(text) from exc
                log.warning("a worker did not start", worker=self._number, reason=str(exc), again_in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _start(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._number, self._listening, self._environ)
        self._processes.add(worker)
        try:
            banner = await worker.until_ready()
        except NotReady:
            await self._end(worker)
            raise
        self._restarts.ready()
        self.banner = self.banner or banner
        self.ready.set()
        return worker

    async def _ends_unasked(self, worker: WorkerProcess) -> bool:
        """Wait for whatever happens first. Whether the worker has ended; if not, it is to be replaced."""
        ended = asyncio.create_task(worker.ended())
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            return ended.done()
        finally:
            ended.cancel()
            asked.cancel()

    async def _mourn(self, worker: WorkerProcess) -> None:
        how = await worker.ended()
        await self._end(worker)
        wait_s = self._restarts.died()
        log.error("a worker ended", worker=self._number, pid=worker.pid, how=how, again_in_s=wait_s)
        await asyncio.sleep(wait_s)

    async def _succeed(self, worker: WorkerProcess) -> WorkerProcess:
        """Put a successor beside a worker, and end the worker when that serves. Returns who serves now."""
        try:
            successor = await self._start()
        except NotReady as exc:
            log.error("a worker was not replaced", worker=self._number, reason=str(exc))
            return worker
        await self._end(worker)
        log.info("a worker was replaced", worker=self._number, pid=worker.pid, by=successor.pid)
        return successor

    async def _end(self, worker: WorkerProcess) -> None:
        if await worker.end(within_s=self._drain_s):
            log.error(
                "a worker was killed: it did not end", worker=self._number, pid=worker.pid, within_s=self._drain_s
            )
        self._processes.discard(worker)
