"""Several workers on one address: the process that starts them, replaces those that end, and ends them.

It serves nothing itself. Each worker is a new interpreter with a listening socket of its own, and all of these sockets
have the same address (``SO_REUSEPORT``): the kernel gives each new connection to one of them. With a single socket that
all accept from, whoever wakes first takes all that waits, and one worker has most of the connections. The sockets are
made and kept here: what waits on a dead worker's socket is taken by its successor, and nobody is refused meanwhile.
None listens before its first worker is ready.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from hub.banner import banner, show_secrets
from hub.logs import configure
from hub.settings import Settings
from hub.settings_places import variable
from hub.settings_urls import Url
from hub.starting import CannotStart, FirstStart, Show, bind, bind_shared
from hub.worker import Handed

log = structlog.get_logger("hub.workers")

EXIT_OK, EXIT_COULD_NOT_START = 0, 3

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""How long a place is empty before the next worker is started in it; twice as long each time."""

STEADY_S = 30.0
"""A worker that has served for so long is not blamed for what its predecessors did."""

START_S = 300.0
"""How long a worker may take until it is ready; a new version may have a large database to migrate."""

FAILED_STARTS = 20
"""After so many workers in a row that could not start in one place, over a minute or more, the hub ends."""

DRAIN_LEEWAY_S = 15.0
"""How much longer than its draining a worker may take to end."""


class Child:
    """A worker that was started here.

    Args:
        show: called with the secrets that a first start has made, as soon as they are in the database.
    """

    def __init__(self, number: int, process: asyncio.subprocess.Process, link: socket.socket, *, show: Show) -> None:
        self.number = number
        self.process = process
        self.reason = ""
        self.since_s = asyncio.get_running_loop().time()
        self._link = link
        self._said = b""
        self._show = show

    async def is_ready(self) -> bool:
        """Wait until it takes connections, or has ended; then ``reason`` says why."""
        try:
            async with asyncio.timeout(START_S):
                told = await self._told()
        except TimeoutError:
            told = {"reason": f"worker {self.number} was not ready within {START_S:.0f} s"}
            self.signal(signal.SIGKILL)
        if "ready" in told:
            return True
        code = await self.ended()
        self.reason = told.get("reason") or f"worker {self.number} ended with {_shown(code)}"
        return False

    async def _told(self) -> dict[str, Any]:
        """What a worker says of its start; nothing: it ended without a word."""
        while "first" in (told := await self._line()):
            self._show(FirstStart(**told["first"]))
        return told

    async def _line(self) -> dict[str, Any]:
        while b"\n" not in self._said:
            try:
                data = await asyncio.get_running_loop().sock_recv(self._link, 65_536)
            except OSError:
                data = b""
            if not data:
                return {}
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    async def ended(self) -> int:
        """Wait for its end."""
        code = await self.process.wait()
        self._link.close()
        return code

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def end(self, *, within_s: float) -> int:
        """Let it drain and end; longer than ``within_s`` it may not take."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                return await self.ended()
        except TimeoutError:
            log.error("a worker did not end, and was killed", worker=self.number, pid=self.process.pid)
            self.signal(signal.SIGKILL)
            return await self.ended()


@dataclass(slots=True)
class Place:
    """Where one worker after the other serves.

    Attributes:
        pause_s: how long it stays empty the next time.
        roll: set to have the worker replaced.
        rolled: set when that has been done, or has failed.
    """

    number: int
    listening: socket.socket
    aside: socket.socket | None
    pause_s: float = FIRST_PAUSE_S
    roll: asyncio.Event = field(default_factory=asyncio.Event)
    rolled: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """All workers of a hub on this host.

    Raises:
        CannotStart: the address cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        sockets = bind_shared(settings.host, settings.port, count=settings.workers)
        self.port = int(sockets[0].getsockname()[1])
        self._places = [
            Place(number, one, aside_socket(settings, number)) for number, one in enumerate(sockets, start=1)
        ]
        self._end_s = settings.drain_s + DRAIN_LEEWAY_S
        self._environ = environment(settings)
        self._children: set[Child] = set()
        self._stopping = asyncio.Event()
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rolling: asyncio.Task[None] | None = None
        self._had_terminal = has_terminal()

    async def run(self) -> int:
        """Start them, keep them running, and end them when told to. Returns the exit code.

        Raises:
            CannotStart: a worker could not start, for a reason that it has told.
        """
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._interrupt, signal.SIGHUP: self._hang_up}
        loop = asyncio.get_running_loop()
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        stopping = self._spawn(self._stopping.wait())
        work = self._spawn(self._start())
        try:
            await asyncio.wait({stopping, work, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not work.cancelled():
                work.result()
                await asyncio.wait({stopping, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                raise CannotStart(self._failed.result())
        finally:
            await self._end()
            for number in handlers:
                loop.remove_signal_handler(number)
        log.info("all workers have ended")
        return EXIT_OK

    # --- starting

    async def _start(self) -> None:
        """The first worker alone: it brings the database up to date and makes what a first start makes. Then the
        others, and when all take connections, one banner."""
        first, *others = self._places
        one = await self._first(first)
        rest = await asyncio.gather(*map(self._first, others))
        print(banner(self._settings, self.port), flush=True)
        for place, child in zip(self._places, [one, *rest], strict=True):
            self._spawn(self._keep(place, child))
        log.info("started", workers=len(self._places), port=self.port)

    async def _first(self, place: Place) -> Child:
        child = await self._new(place)
        if not await child.is_ready():
            self._children.discard(child)
            raise CannotStart(child.reason)
        return child

    async def _new(self, place: Place) -> Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            handed = Handed(place.number, place.listening, theirs, place.aside)
            process = await asyncio.create_subprocess_exec(
                *command(),
                handed.words(),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=handed.descriptors(),
            )
        child = Child(place.number, process, ours, show=partial(show_secrets, self._settings))
        self._children.add(child)
        if self._stopping.is_set():
            child.signal(signal.SIGTERM)
        return child

    # --- keeping

    async def _keep(self, place: Place, child: Child) -> None:
        """Keep somebody serving in a place."""
        while True:
            if await self._ends_or_rolls(place, child):
                child = await self._succeed(place, child)
            else:
                child = await self._replace(place, child)

    async def _ends_or_rolls(self, place: Place, child: Child) -> bool:
        """Wait until the worker has ended (true), or is to be replaced."""
        ended, rolls = asyncio.create_task(child.ended()), asyncio.create_task(place.roll.wait())
        try:
            await asyncio.wait({ended, rolls}, return_when=asyncio.FIRST_COMPLETED)
            return ended.done()
        finally:
            ended.cancel()
            rolls.cancel()

    async def _succeed(self, place: Place, child: Child) -> Child:
        """Start a successor of a worker that has ended, again and again until one serves."""
        self._children.discard(child)
        log.error("a worker has ended", worker=place.number, end=_shown(child.process.returncode))
        if asyncio.get_running_loop().time() - child.since_s > STEADY_S:
            place.pause_s = FIRST_PAUSE_S
        for _ in range(FAILED_STARTS):
            await asyncio.sleep(place.pause_s)
            place.pause_s = min(2 * place.pause_s, LONGEST_PAUSE_S)
            child = await self._new(place)
            if await child.is_ready():
                log.info("a worker was started again", worker=place.number)
                return child
            self._children.discard(child)
            log.error("a worker could not start", worker=place.number, reason=child.reason, again_in_s=place.pause_s)
        if not self._failed.done():
            self._failed.set_result(child.reason)
        forever: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        return await forever  # _end() cancels this.

    async def _replace(self, place: Place, old: Child) -> Child:
        """Start a new worker beside the old one, on the same socket, and only then let the old one drain."""
        new = await self._new(place)
        place.roll.clear()
        if not await new.is_ready():
            self._children.discard(new)
            log.error("a worker could not be replaced and stays", worker=place.number, reason=new.reason)
            place.rolled.set()
            return old
        self._spawn(self._retire(place, old))
        return new

    async def _retire(self, place: Place, old: Child) -> None:
        await old.end(within_s=self._end_s)
        self._children.discard(old)
        log.info("a worker was replaced", worker=place.number)
        place.rolled.set()

    async def _roll(self) -> None:
        """Replace all workers, one after the other."""
        for place in self._places:
            place.rolled.clear()
            place.roll.set()
            await place.rolled.wait()
        log.info("all workers were replaced")

    # --- ending

    def _stop(self) -> None:
        self._stopping.set()

    def _interrupt(self) -> None:
        if self._stopping.is_set():
            # The second Ctrl-C: who sent it to us alone means the workers as well.
            for child in list(self._children):
                child.signal(signal.SIGINT)
        self._stop()

    def _hang_up(self) -> None:
        """The order to replace the workers; but where there was a terminal and it has gone, the order to end."""
        if self._had_terminal and not has_terminal():
            self._stop()
        elif self._rolling is None or self._rolling.done():
            self._rolling = self._spawn(self._roll())

    async def _end(self) -> None:
        self._stopping.set()
        for place in self._places:
            place.listening.close()  # Whoever connects from now on is refused, as by a single hub.
            if place.aside is not None:
                place.aside.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        children = list(self._children)
        codes = await asyncio.gather(*(child.end(within_s=self._end_s) for child in children))
        for child, code in zip(children, codes, strict=True):
            if code:
                log.warning("a worker did not end in good order", worker=child.number, end=_shown(code))
        self._failed.cancel()

    def _spawn(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, CannotStart) and not self._failed.done():
            log.error("looking after the workers has failed", exc_info=error)
            self._failed.set_result(f"looking after the workers has failed: {error}")


def run(settings: Settings) -> int:
    """Run a hub of several workers until it is told to stop. Returns the process's exit code."""
    configure(level=settings.log_level, form=settings.log_format)
    for warning in settings.warnings():
        log.warning(warning)
    try:
        return asyncio.run(_run(settings))
    except CannotStart as exc:
        print(f"hub: {exc}", file=sys.stderr)
        return EXIT_COULD_NOT_START


async def _run(settings: Settings) -> int:
    return await Workers(settings).run()


def aside_socket(settings: Settings, number: int) -> socket.socket | None:
    """Where one worker alone answers."""
    port = settings.worker_metrics_port
    return None if port is None else bind(settings.host, port + number)


def command() -> list[str]:
    """How a worker is started; what it is handed follows."""
    # A folder that happens to be called hub is none of ours, unless it was for this process.
    elsewhere = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
    return [sys.executable, *elsewhere, "-m", "hub", "serve", "--as-worker"]


def environment(settings: Settings) -> Mapping[str, str]:
    """The environment of a worker: what was said on our command line it hears there, where no other user can read it.
    Everything else it reads from where we have read it; so new settings count for whoever is started later."""
    said = {name for name in type(settings).model_fields if settings.source_of(name) == "command line"}
    return {**os.environ, **{variable(name): _text(getattr(settings, name)) for name in sorted(said)}}


def _text(value: Any) -> str:
    return value.text if isinstance(value, Url) else str(value)


def has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def _shown(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
