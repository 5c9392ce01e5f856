"""A worker as the supervisor sees it: a process, and a line on which it says that it is ready."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from hub.workers.place import Place

START_S = 300.0
"""How long a worker may take until it is ready; a new version may have a large database to migrate."""


class NotReady(Exception):
    """A worker has not become ready; the text says why."""


class Refused(NotReady):
    """It has said so itself: with these settings, or in this place, it cannot start."""


class WorkerProcess:
    """A worker's process. Made by :meth:`start`, it has to be ended by :meth:`end`, whatever becomes of it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, slot: int, listening: socket.socket, environ: Mapping[str, str]) -> Self:
        """Start a fresh interpreter on the slot's socket."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        place = Place(slot, listening.fileno(), theirs.fileno())
        # With -m Python looks into the current directory first, unless told not to: the worker looks where we did.
        where = [] if sys.path[0] == os.getcwd() else ["-P"]
        words = [sys.executable, *where, "-m", "hub", "serve", "--worker", str(place)]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(place.listening, place.line),
                start_new_session=True,  # Ctrl-C is for the supervisor, who tells the workers.
            )
        except BaseException:
            writer.close()
            raise
        finally:
            theirs.close()
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def until_ready(self) -> str:
        """Wait until it serves; returns its banner.

        Raises:
            NotReady: it does not.
        """
        try:
            async with asyncio.timeout(START_S):
                line = await self._reader.readline()
        except TimeoutError:
            raise NotReady(f"it was not ready within {START_S:.0f} s") from None
        if not line:
            raise NotReady(f"it ended ({await self.ended()}) before it was ready; the log may say why")
        told = json.loads(line)
        if "failed" in told:
            raise Refused(told["failed"])
        return str(told["banner"])

    async def ended(self) -> str:
        """Wait until it has ended; returns how."""
        code = await self._process.wait()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, *, within_s: float) -> bool:
        """Let it drain and end; kill it after ``within_s``. Returns whether it had to be killed."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()
            return True
        finally:
            self._writer.close()
        return False
