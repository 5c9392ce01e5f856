"""Real Redis servers, each a process in a directory of its own."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.waiting import until

ports = count(14_000 + os.getpid() % 400 * 10)
"""Below the ports that the system gives to clients; a node of a cluster also takes the one 10,000 above."""


def need(program: str) -> str:
    """The path of a program; the test is skipped where there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


class Server:
    """One ``redis-server``, always on the same port.

    Args:
        options: as on its command line: ``"--name", "value"``.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = next(ports)
        self._directory = directory / str(self.port)
        self._directory.mkdir()
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, empty, and wait until it takes connections."""
        command = [need("redis-server"), "--port", str(self.port), "--save", "", "--bind", "127.0.0.1", *self._options]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=self._directory, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await until(self._listens)

    async def _listens(self) -> bool:
        assert self._process is not None, "just started"
        assert self._process.returncode is None, f"redis-server does not start: {self._options}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def pause(self) -> None:
        """Let it do nothing until :meth:`resume`; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ask(self, *command: Any) -> Any:
        """What it answers to an administrator."""
        async with Redis(port=self.port, socket_timeout=5) as redis:
            return await redis.execute_command(*command)


class Cluster:
    """Three masters without replicas."""

    def __init__(self, directory: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.servers = [Server(directory, *options) for _ in range(3)]

    @property
    def url(self) -> str:
        return self.servers[0].url

    async def start(self) -> None:
        for server in self.servers:
            await server.start()
        await self._join()
        for server in self.servers:
            await until(lambda server=server: self._agrees(server))

    async def _join(self) -> None:
        ranges: Sequence[tuple[int, int]] = ((0, 5460), (5461, 10922), (10923, 16383))
        for server, (first, last) in zip(self.servers, ranges, strict=True):
            await server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, server in enumerate(self.servers, 1):
            await server.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
        for server in self.servers[1:]:
            await self.servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port)

    async def _agrees(self, server: Server) -> bool:
        try:
            info = await server.ask("CLUSTER", "INFO")
        except RedisError:
            return False
        lines = info.decode().splitlines()
        return {"cluster_state:ok", "cluster_known_nodes:3"} <= set(lines)

    async def kill(self) -> None:
        for server in self.servers:
            await server.kill()


class Proxy:
    """Between a bus and Redis: it can fall silent without closing anything, as a cable that was pulled."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "it was entered"
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow(self) -> None:
        """From now on nothing passes, of old connections and new ones."""
        self._open.clear()

    def pass_on(self) -> None:
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server runs its connections as tasks"
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            far_writer.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has ended")
