"""A cable between two programs that can be pulled, stretched, cut, and put in again."""

import asyncio
import random
import socket
import struct
from contextlib import suppress

MOST_PIECES = 1_000
"""So many may be on their way in one direction."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultProxy:
    """Passes TCP connections on to a port of this computer, always on the same port of its own.

    It stands in for packet filters, which not every machine lets a test set: a black hole is silence in both
    directions on old and new connections, a cut is a reset of everything that is there and of everything that comes.

    Args:
        to_port: where connections lead.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.latency_s = 0.0
        """How long everything takes, each way."""
        self.jitter_s = 0.0
        """How much of that is by chance, up or down."""
        self._to_port = to_port
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._wires: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "FaultProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "it was entered"
        self._server.close()
        self._open.set()
        tasks = list(self._wires)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        return len(self._wires)

    def swallow(self) -> None:
        """From now on nothing passes, and nothing is closed."""
        self._open.clear()

    def cut(self) -> None:
        """Reset all connections, and each new one."""
        self._refusing = True
        self.reset_all()

    def mend(self) -> None:
        """Everything passes again, what was swallowed first."""
        self._refusing = False
        self._open.set()

    def reset_all(self) -> None:
        """Reset every connection, at both ends; new ones are taken."""
        for writers in self._wires.values():
            for writer in writers:
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a server runs its connections as tasks"
        self._wires[task] = writers = [writer]
        try:
            if self._refusing:
                _reset(writer)
                return
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            writers.append(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in writers:
                one.close()
                with suppress(OSError, asyncio.CancelledError):
                    await one.wait_closed()
            del self._wires[task]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_PIECES)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, on_its_way))
            group.create_task(self._give(on_its_way, writer))

    async def _take(self, reader: asyncio.StreamReader, on_its_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"not yet ended"
        while data:
            data = await reader.read(1 << 16)
            await self._open.wait()
            late_s = self.latency_s + random.uniform(-self.jitter_s, self.jitter_s)
            await on_its_way.put((asyncio.get_running_loop().time() + late_s, data))

    async def _give(self, on_its_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        """One piece after the other: none overtakes what came before it, however late that is."""
        while True:
            due_s, data = await on_its_way.get()
            if (left_s := due_s - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(left_s)
            if not data:
                raise ConnectionResetError("one side has ended")
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
