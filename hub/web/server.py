"""The server: uvicorn's, with a shutdown that drains, flushes and ends with exit code 0."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from hub.web.edge import Edge
from hub.web.http import HttpProtocol
from protocol.names import CloseCode

log = logging.getLogger("hub")

BATCHES_A_SECOND = 5
MOST_A_SECOND = 0.2
"""Of all sockets, at most this share is closed within one second, so that they do not all come back at once."""


RECONNECTS_A_SECOND = 200
"""How fast clients in extended mode are told to come back."""


class Server(uvicorn.Server):
    """One listening port.

    Args:
        app: answers every request that is no WebSocket.
        options: more of uvicorn's, such as ``ssl_certfile``.
        drain_s: seconds over which a shutdown closes its sockets.
        flush: called when the last socket is closed: write what is left to write.
    """

    def __init__(
        self,
        app: ASGIApp,
        edge: Edge,
        *,
        drain_s: float,
        flush: Callable[[], Awaitable[None]],
        **options: Any,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=partial(HttpProtocol, edge),  # type: ignore[arg-type]
            ws="none",  # HttpProtocol hands upgrades to our own sockets.
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            **options,
        )
        config.load()
        super().__init__(config)
        self._edge = edge
        self._drain_s = drain_s
        self._flush = flush

    async def run_quietly(self, sockets: list[socket.socket]) -> None:
        """Serve until ``should_exit`` is set; signals are somebody else's."""
        await self._serve(sockets)

    async def run_until_stopped(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; a second SIGINT ends the draining early."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, partial(self.handle_exit, number, None))
        try:
            await self._serve(sockets)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, close the sockets in batches, let their goodbyes out, and flush."""
        self._edge.draining = True
        for server in self.servers:
            server.close()
        await self._drain()
        await super().shutdown(sockets)
        await self._flush()

    async def _drain(self) -> None:
        gateway = self._edge.gateway
        total = len(gateway)
        if total:
            log.info("draining", extra={"connections": total, "seconds": self._drain_s})
        pause_s = 1 / BATCHES_A_SECOND
        batches = max(1, int(self._drain_s * BATCHES_A_SECOND))
        # Few sockets need no minutes: the drain takes as long as the share per second asks for, and no longer than set.
        batches = min(batches, int(BATCHES_A_SECOND / MOST_A_SECOND))
        size = -(-total // batches) or 1
        told = 0
        while len(gateway) and not self.force_exit:
            closing = [one for one in gateway.connections if one.closing is None][:size]
            for connection in closing:
                # A slot of its own for each, at a pace that the next process can take.
                slot_s = round(1.0 + told / RECONNECTS_A_SECOND, 2)
                gateway.close(connection, CloseCode.RESTART, "the hub restarts", reconnectAfter=slot_s)
                told += 1
            await asyncio.sleep(pause_s if len(gateway) > len(closing) else 0.02)
            if not closing and not gateway.connections:
                break
