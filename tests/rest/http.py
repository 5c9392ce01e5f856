"""A small client of the REST API, which sends exactly what a test says: any method, any header, any bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.documents import check_exchange
from tests.edge_client import Response, Wire, basic, request
from tests.waiting import WAIT_S

Header = tuple[str, str | bytes]
Who = tuple[Header, ...]
"""The headers that say who asks."""

NOBODY: Who = ()
NOTHING: Any = object()
"""No body at all, which is not the same as null."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def user(login: str, password: str) -> Who:
    """A user, by HTTP's Basic authentication."""
    return (basic(login, password),)


def key(secret: str) -> Who:
    """Whoever has this access key."""
    return (("Authorization", f"Bearer {secret}"),)


def device(guid: str, secret: str) -> Who:
    """A device, by its own two headers."""
    return (("Auth-DeviceID", guid), ("Auth-DeviceKey", secret))


class Client:
    """Asks one hub for one somebody. Every request has a connection of its own, unless :meth:`kept` is used.

    Args:
        who: the headers that say who asks.
        root: what stands before every path.
    """

    def __init__(self, port: int, who: Who = NOBODY, *, root: str = "/api/rest", wire: Wire | None = None) -> None:
        self.port = port
        self.who = who
        self.root = root
        self._wire = wire

    @asynccontextmanager
    async def kept(self) -> "AsyncIterator[Client]":
        """The same client, with one connection for all that it asks, one after the other."""
        wire = await Wire.connect(self.port)
        try:
            yield Client(self.port, self.who, root=self.root, wire=wire)
        finally:
            wire.close()

    async def get(self, path: str, **options: Any) -> Response:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = NOTHING, **options: Any) -> Response:
        return await self.ask("POST", path, body, **options)

    async def put(self, path: str, body: Any = NOTHING, **options: Any) -> Response:
        return await self.ask("PUT", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        return await self.ask("DELETE", path, **options)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = NOTHING,
        *,
        headers: Iterable[Header] = (),
        media: str | None = JSON,
    ) -> Response:
        """Send a request and read its answer. Both are held against the OpenAPI document.

        Args:
            path: below the root, with its query; sent as it is.
            body: bytes are sent as they are, anything else as JSON.
            headers: beside those that say who asks.
            media: the type of the body; None: not told.
        """
        payload = b"" if body is NOTHING else body if isinstance(body, bytes) else json.dumps(body).encode()
        told: list[Header] = [("Host", f"127.0.0.1:{self.port}"), *self.who, *headers]
        if body is not NOTHING:
            told += [("Content-Length", str(len(payload))), *([("Content-Type", media)] if media else [])]
        data = request(self.root + path, told, method=method) + payload
        answer = await self.send(data, to_head=method == "HEAD")
        check_exchange(method, path, told, payload, answer)
        return answer

    async def send(self, data: bytes, *, to_head: bool = False, within_s: float = WAIT_S) -> Response:
        """Send bytes and read the answer."""
        if self._wire is not None:
            return await _exchange(self._wire, data, to_head=to_head)
        wire = await Wire.connect(self.port)
        try:
            async with asyncio.timeout(within_s):
                return await _exchange(wire, data, to_head=to_head)
        finally:
            wire.close()


async def _exchange(wire: Wire, data: bytes, *, to_head: bool) -> Response:
    await wire.write(data)
    return await wire.response(to_head=to_head)
