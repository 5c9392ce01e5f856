"""Two echo servers for the Autobahn test suite: the hub's own sockets, and plain ``websockets``. Prints their URLs.

    python -m tests.autobahn.echo

The hub is a whole one, with its real sockets, connections, conversations and outboxes. Only its codecs are others: to
them every message is a request for ``server/info`` whose ``requestId`` is the message, and an answer is its
``requestId``. So what comes back has gone the way of every request and every answer.
"""

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from hub.app import Hub
from hub.settings import Settings
from protocol.codecs import BINARY, TEXT
from protocol.errors import MALFORMED
from protocol.names import Action

LARGEST_BYTES = 1 << 20
"""Larger than any message of the cases that are run."""


class EchoCodec:
    """Every message is a question, and its own answer."""

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Take anything, but text only if it is UTF-8, as every text codec does."""
        if self.opcode == TEXT:
            try:
                payload.decode()
            except UnicodeDecodeError as exc:
                raise MALFORMED.error() from exc
        return {"action": Action.SERVER_INFO.value, "requestId": payload}

    def encode(self, members: Mapping[str, Any]) -> bytes:
        return bytes(members["requestId"])


def settings(directory: Path) -> Settings:
    """A hub for everybody, and for large messages."""
    return Settings(
        port=0,
        database_url=f"sqlite:///{directory / 'hub.db'}",
        drain_s=0.0,
        message_bytes=LARGEST_BYTES,
        message_bytes_anonymous=LARGEST_BYTES,
        outbox_bytes=16 * LARGEST_BYTES,
        limits="bench",
        anonymous_requests=0,
        authenticate_client_s=0.0,
    )


QUIET = logging.getLogger("plain")
"""Violations are what the suite is about: ``websockets`` would tell each with its traceback."""
QUIET.setLevel(logging.CRITICAL)


async def plain_echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory() as directory:
        hub = Hub(settings(Path(directory)))
        hub.edge.codecs |= {"hub.1.json": EchoCodec(TEXT), "hub.1.msgpack": EchoCodec(BINARY), None: EchoCodec(TEXT)}
        await hub.start()
        async with serve(plain_echo, "127.0.0.1", 0, max_size=LARGEST_BYTES, compression=None, logger=QUIET) as plain:
            port = next(iter(plain.sockets)).getsockname()[1]
            print(json.dumps({"hub": f"{hub.url}/client", "websockets": f"ws://127.0.0.1:{port}"}), flush=True)
            await asyncio.to_thread(sys.stdin.read)
        await hub.stop()


if __name__ == "__main__":
    asyncio.run(main())
