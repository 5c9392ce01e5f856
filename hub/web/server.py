"""The server: uvicorn's, with a shutdown that drains, flushes and ends with exit code 0."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from hub.web.edge import Edge
from hub.web.http import HttpProtocol
from protocol.names import CloseCode

log = logging.getLogger("hub")

BATCHES_A_SECOND = 5

RECONNECTS_A_SECOND = 200
"""How fast clients in extended mode are told to come back, where the accept rate is not limited."""


SMALL_BATCH = 50
"""So few sockets may be closed at once in any case: they are no herd."""

TICK_S = 1.0
NEWCOMERS_S = 0.5
"""How long a shutdown waits for the requests of connections that were accepted just before it."""
ANSWERS_S = 5.0
"""How long a shutdown waits for HTTP answers under way."""
GOODBYES_S = 1.0
"""How long it then waits for the close frames of peers that have not answered theirs."""


LISTEN_BACKLOG = 4_096
"""Connections that the kernel keeps until they are accepted, if its own limit allows. With the event loop's 100 a storm
of connections lost its first packets, and waited a second or three to send them again."""

Aside = tuple[socket.socket, ASGIApp]
"""A second socket, and the application that answers there."""


class Server(uvicorn.Server):
    """One listening port.

    Args:
        app: answers every request that is no WebSocket.
        options: more of uvicorn's, such as ``ssl_certfile``.
        drain_s: seconds over which a shutdown closes its sockets.
        flush: called when the last socket is closed: write what is left to write.
        aside: where requests are answered that are not for peers. There are no WebSockets there.
    """

    def __init__(
        self,
        app: ASGIApp,
        edge: Edge,
        *,
        drain_s: float,
        flush: Callable[[], Awaitable[None]],
        aside: Aside | None = None,
        **options: Any,
    ) -> None:
        config = uvicorn.Config(
            app,
            ws="none",  # HttpProtocol hands upgrades to our own sockets.
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn's own would believe whoever comes from 127.0.0.1; see hub.web.addresses.
            timeout_graceful_shutdown=5,
            **options,
        )
        config.load()
        super().__init__(config)
        self._edge = edge
        self._drain_s = drain_s
        self._flush = flush
        self._aside = aside
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Unlike uvicorn's, with our deadline for TLS handshakes: asyncio's own is a minute."""
        loop = asyncio.get_running_loop()
        deadline_s = self._edge.limits.handshake_s if self.config.ssl is not None else None
        asked: list[tuple[socket.socket, ASGIApp | None]] = [(one, None) for one in sockets or []]
        if self._aside is not None:
            asked.append(self._aside)
        self.servers = [
            await loop.create_server(
                partial(HttpProtocol, self._edge, self.config, self.server_state, {}, aside=app),
                sock=one,
                backlog=LISTEN_BACKLOG,
                ssl=self.config.ssl,
                ssl_handshake_timeout=deadline_s,
            )
            for one, app in asked
        ]
        self.started = True

    async def run_quietly(self, sockets: list[socket.socket]) -> None:
        """Serve until :meth:`stop`; signals are somebody else's."""
        await self._serve(sockets)

    async def run_until_stopped(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; a second SIGINT ends the draining early."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            await self._serve(sockets)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Begin the shutdown; whoever runs the server returns when it is over."""
        self.should_exit = True
        self._stopping.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.stop()

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        """Tick once a second; unlike uvicorn's, end at once when told to."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, close the sockets in batches, let long polls and the last answers out, and flush."""
        for server in self.servers:
            server.close()
        await self._newcomers()
        self._edge.draining = True
        await self._drain()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        # Only now: who is answered is told to connect anew, or would ask here again at once.
        self._edge.gateway.polls.end()
        await self._answers()
        await self._goodbyes()
        await self._flush()

    async def _newcomers(self) -> None:
        """Let in who is at the door already: of thousands that connect during a replacement, one would be cut off."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + NEWCOMERS_S
        while self._awaits_requests() and loop.time() < deadline_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    def _awaits_requests(self) -> bool:
        return any(one.receiving for one in cast(set[HttpProtocol], self.server_state.connections))

    async def _answers(self) -> None:
        """Wait for HTTP answers under way, and for the sockets' goodbyes to be on their way; a few seconds at most."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + ANSWERS_S
        while self.server_state.tasks and loop.time() < deadline_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for task in self.server_state.tasks:
            task.cancel()

    async def _goodbyes(self) -> None:
        """Give peers a moment to answer their close frames; cut off who does not, and who is still in a handshake."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + GOODBYES_S
        while self._edge.sockets and loop.time() < deadline_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for one in list(self._edge.sockets):
            one.abort()
        await asyncio.sleep(0)  # Transports end in the turn after that.

    async def _drain(self) -> None:
        gateway = self._edge.gateway
        total = len(gateway)
        if total:
            log.info("draining", extra={"connections": total, "seconds": self._drain_s})
        most = min(self._drain_s, 1 / self._edge.limits.drain_share_per_s) * BATCHES_A_SECOND
        size = max(SMALL_BATCH, total // max(1, int(most)))
        told, back_per_s = 0, self._edge.limits.accepts_per_s or RECONNECTS_A_SECOND
        while len(gateway) and not self.force_exit:
            for connection in gateway.connections[:size]:
                # A slot of its own for each, at a pace that the next process can take.
                slot_s = round(1.0 + told / back_per_s, 2)
                gateway.close(connection, CloseCode.RESTART, "the hub restarts", reconnectAfter=slot_s)
                told += 1
            # The goodbyes are written at the end of this turn, and with that the connections are gone.
            await asyncio.sleep(0)
            await asyncio.sleep(1 / BATCHES_A_SECOND if len(gateway) else 0.01)
