"""A worker's own side: an ordinary hub on the socket of its slot, which ends with its supervisor."""

import asyncio
import json
import signal
import socket
from contextlib import suppress

import structlog

from hub.app import EXIT_COULD_NOT_START, EXIT_OK, CannotStart, Hub, banner, loop_factory, run_started, tune
from hub.logs import configure
from hub.settings import Settings
from hub.store.errors import CannotOpen
from hub.workers.place import Place

log = structlog.get_logger("hub")


def work(settings: Settings, place: Place) -> int:
    """Run one worker until it is told to stop. Returns the process's exit code."""
    configure(level=settings.log_level, form=settings.log_format, worker=place.slot)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # It is for the supervisor, who may not be the only one to get it.
    tune()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_work(settings, place))


async def _work(settings: Settings, place: Place) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=place.line))
    try:
        hub = Hub(settings, listening=socket.socket(fileno=place.listening))
        await hub.start(signals=True)
    except (CannotStart, CannotOpen) as exc:
        await _tell(writer, failed=str(exc))
        return EXIT_COULD_NOT_START
    # What the first start has made is shown once, by the supervisor: it goes to nobody else.
    await _tell(writer, banner=banner(hub))
    leaving = asyncio.create_task(_leave_with(reader, hub), name="supervisor")
    try:
        await run_started(hub)
    finally:
        leaving.cancel()
        writer.close()
    return EXIT_OK


async def _tell(writer: asyncio.StreamWriter, **message: str) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    with suppress(ConnectionError):  # The supervisor has gone; we hear of it in a moment.
        await writer.drain()


async def _leave_with(reader: asyncio.StreamReader, hub: Hub) -> None:
    """Stop the hub when the supervisor's end of the line is closed, also by ``kill -9``: nobody would ever stop it."""
    with suppress(ConnectionError):
        await reader.read()
    log.warning("the supervisor has ended")
    await hub.stop()
