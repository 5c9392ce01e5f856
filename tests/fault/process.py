"""A hub as a process of its own, which may be killed, starved and started again."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

from tests.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]


_ports = count(20_000 + os.getpid() % 500 * 20)
"""Below the ports that the system gives to clients: a hub comes back to its port, and nobody may take it meanwhile."""


def free_port() -> int:
    for port in _ports:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("there is no end to the ports")


class HubProcess:
    """``python -m hub serve`` in a directory, always on the same port.

    Args:
        module: what is run, with ``serve``.
        environ: settings, as ``HUB_…`` variables.
    """

    def __init__(self, directory: Path, *, module: str = "hub", **environ: str) -> None:
        self.port = free_port()
        self._directory = directory
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        paths = os.pathsep.join(filter(None, [str(ROOT), clean.get("PYTHONPATH", "")]))
        fixed = {"PYTHONPATH": paths, "HUB_PORT": str(self.port), "HUB_LOG_FORMAT": "json"}
        # Clients here come back as fast as they can, with the same few keys.
        hurry = {"HUB_ACCEPTS_PER_S": "0", "HUB_ACCEPTS_PER_KEY_PER_S": "0"}
        self._module = module
        self._environ = {**clean, **fixed, **hurry, **environ}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it and its predecessors have logged."""
        path = self._directory / "hub.log"
        return path.read_text() if path.exists() else ""

    async def start(self) -> None:
        """Start it, and wait until it takes connections."""
        await self.launch()
        await until(self._listens, within_s=3 * WAIT_S)

    async def launch(self, **environ: str) -> None:
        """Start it.

        Args:
            environ: more variables, for this run.
        """
        with (self._directory / "hub.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "serve"),
                cwd=self._directory,
                env={**self._environ, **environ},
                stdout=log,
                stderr=log,
            )

    async def revive(self, *, within_s: float) -> None:
        """Start it as a service manager does: once more, a moment later, when it ends because a database is away."""
        async with asyncio.timeout(within_s):
            while True:
                await self.launch()
                await self.up_or_ended()
                assert self._process is not None, "just launched"
                if self._process.returncode is None:
                    return
                await asyncio.sleep(0.5)

    async def up_or_ended(self) -> None:
        """Wait until it takes connections, or has ended by itself."""
        process = self._process
        assert process is not None, "just launched"

        async def is_one() -> bool:
            return process.returncode is not None or await self._listens()

        await until(is_one, within_s=3 * WAIT_S)

    async def _listens(self) -> bool:
        assert self._process is not None, "just started"
        assert self._process.returncode is None, self.log[-2000:]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def ended(self, *, within_s: float) -> int:
        """Wait until it has ended by itself; returns the exit code."""
        assert self._process is not None, "it was started"
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    async def kill(self) -> None:
        """``kill -9``."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End it in good order; returns the exit code."""
        return await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it do nothing until :meth:`resume`; its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it was started"
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _end(self, number: int) -> int:
        process = self._process
        assert process is not None, "it was started"
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(3 * WAIT_S):
            return await process.wait()

    async def restart(self) -> None:
        await self.kill()
        await self.start()
