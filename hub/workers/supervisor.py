"""``hub serve --workers N``: the process above the workers."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack

import structlog

from hub.app import EXIT_COULD_NOT_START, EXIT_OK, CannotStart
from hub.logs import configure
from hub.settings import Settings
from hub.workers.place import bind_slots
from hub.workers.slot import Slot

log = structlog.get_logger("hub.workers")

BEYOND_DRAIN_S = 10.0
"""How much longer than its draining a worker may take to end: answers under way, goodbyes, the last writes."""


def supervise(settings: Settings, command_line: Mapping[str, object]) -> int:
    """Run the workers until told to stop. Returns the process's exit code.

    Args:
        command_line: the settings that were given there; None: not given. The workers read the others themselves, so
            those that SIGHUP starts find what has changed meanwhile.
    """
    configure(level=settings.log_level, form=settings.log_format)
    for warning in settings.warnings():
        log.warning(warning)
    try:
        return asyncio.run(Supervisor(settings, workers_environ(command_line)).run())
    except CannotStart as exc:
        print(f"hub: {exc}", file=sys.stderr)
        return EXIT_COULD_NOT_START


def workers_environ(command_line: Mapping[str, object]) -> dict[str, str]:
    """Our variables, with what the command line says on top: URLs hold passwords, and everybody may read arguments."""
    said = {f"HUB_{name.upper()}": str(value) for name, value in command_line.items() if value is not None}
    return {**os.environ, **said}


class Supervisor:
    """The slots of one hub.

    Args:
        environ: the workers' variables.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = {**environ, "HUB_WORKERS": str(settings.workers)}
        self._slots: list[Slot] = []
        self._stop, self._roll = asyncio.Event(), asyncio.Event()
        self._has_terminal = _is_terminal()

    async def run(self) -> int:
        """Bind, start, watch over all of them, end them.

        Raises:
            CannotStart: the address cannot be had, or a worker fails to start again and again.
        """
        settings = self._settings
        with ExitStack() as sockets:
            for number, one in enumerate(bind_slots(settings.host, settings.port, settings.workers), 1):
                sockets.enter_context(one)
                drain_s = settings.drain_s + BEYOND_DRAIN_S
                self._slots.append(Slot(number, one, environ=self._environ, drain_s=drain_s))
            self._hear_signals()
            await self._watch()
        log.info("all workers have ended")
        return EXIT_OK

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def _interrupted(self) -> None:
        if self._stop.is_set():  # Somebody is in a hurry: a second SIGINT ends a worker's draining early.
            for slot in self._slots:
                slot.signal(signal.SIGINT)
        self._stop.set()

    def _hung_up(self) -> None:
        """Replace the workers; or end, if it is a terminal that has gone away, and not somebody's wish."""
        (self._stop if self._has_terminal and not _is_terminal() else self._roll).set()

    async def _watch(self) -> None:
        jobs = [self._stop.wait(), self._lead(), *(self._keep(slot) for slot in self._slots)]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(slot.end() for slot in self._slots))

    async def _keep(self, slot: Slot) -> None:
        """The first worker starts alone: the database is made or migrated, and the administrator made, by one."""
        first = self._slots[0]
        if slot is not first:
            await first.ready.wait()
        await slot.keep()

    async def _lead(self) -> None:
        """Tell when all serve; then replace them, one after the other, as often as somebody asks."""
        for slot in self._slots:
            await slot.ready.wait()
        print(self._slots[0].banner, flush=True)
        log.info("all workers serve", workers=len(self._slots))
        while True:
            await self._roll.wait()
            self._roll.clear()
            log.info("replacing the workers", workers=len(self._slots))
            for slot in self._slots:
                await slot.replace()
            log.info("all workers were asked to be replaced")


def _is_terminal() -> bool:
    return os.isatty(0)
