"""How sockets come in: some at a time, from several source addresses, and again when the hub says so."""

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from hub.bench.plan import SOCKETS_PER_ADDRESS, BenchError
from hub.bench.speak import Speech
from hub.bench.wire import Refused, Socket, Upgrade
from protocol.names import Endpoint

if TYPE_CHECKING:
    from hub.client.backoff import Backoff

S = TypeVar("S", bound=Socket)

SPARE_DESCRIPTORS = 64
AGAIN_S, AGAIN_MAX_S = 0.2, 5.0
TEMPORARY = frozenset(
    {"http 429", "http 503", "cut off", "closed 1012", "closed 1013", "timeout", "connection refused"}
)
"""Refusals after which coming again may help."""
_BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer in mind, so each peer has all of them."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the hub is, looked up once."""

    family: int
    address: tuple[Any, ...]
    host: str
    authority: str
    path: str
    tls: bool

    @classmethod
    def of(cls, url: str) -> "Target":
        """The target of a WebSocket address.

        Raises:
            BenchError: nobody knows its host.
        """
        parts = urlsplit(url)
        tls = parts.scheme == "wss"
        try:
            port = parts.port or (443 if tls else 80)
            host = parts.hostname or ""
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as exc:
            raise BenchError(f"--url: {url} leads nowhere: {exc}", 2) from exc
        family, _, _, _, address = found[0]
        return cls(int(family), address, host, parts.netloc, parts.path.rstrip("/"), tls)

    @property
    def loopback(self) -> bool:
        return ip_address(self.address[0]).is_loopback

    def sources(self, sockets: int, asked: int | None) -> list[str]:
        """Addresses to connect from, so that the ports suffice; empty: whatever the system takes."""
        if not self.loopback or self.family != socket.AF_INET:
            return []
        count = asked or (1 if sockets <= SOCKETS_PER_ADDRESS else -(-sockets // SOCKETS_PER_ADDRESS))
        return [f"127.0.0.{number + 2}" for number in range(min(count, 250))] if asked or count > 1 else []


def raise_descriptors(wanted: int) -> None:
    """Let this process open so many sockets.

    Raises:
        BenchError: the hard limit does not allow it.
    """
    needed = wanted + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed and (hard == resource.RLIM_INFINITY or soft < hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(
            f"{wanted} sockets in one process need {needed} file descriptors, and its hard limit (RLIMIT_NOFILE) is "
            f"{hard}: more --processes, fewer sockets, or a higher `ulimit -Hn`"
        )


class Door:
    """The way in for the sockets of one load process."""

    def __init__(self, target: Target, speech: Speech, *, at_once: int, sources: list[str], timeout_s: float) -> None:
        self._target = target
        self._sources = sources
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(at_once)
        self._count = 0
        self._tls = ssl.create_default_context() if target.tls else None
        self._speech = speech
        self._upgrades = {
            end: Upgrade.to(target.authority, f"{target.path}/{end.value}", subprotocol=speech.subprotocol)
            for end in Endpoint
        }

    async def enter(
        self,
        make: Callable[[Upgrade], S],
        endpoint: Endpoint,
        requests: Iterable[bytes],
        *,
        receive_bytes: int | None = None,
    ) -> S:
        """Connect, shake hands, and let all requests succeed, once.

        Raises:
            Refused: the hub, or the system, does not let it in.
        """
        async with self._places:
            made: S | None = None
            try:
                async with asyncio.timeout(self._timeout_s):
                    made = await self._connect(make, endpoint, receive_bytes)
                    await made.opened
                    await self._ask(made, list(requests))
            except BaseException as exc:
                if made is not None:
                    made.abort()
                if isinstance(exc, TimeoutError | OSError):
                    raise Refused(_named(exc)) from exc
                raise
            return made

    async def _connect(self, make: Callable[[Upgrade], S], endpoint: Endpoint, receive_bytes: int | None) -> S:
        loop = asyncio.get_running_loop()
        target = self._target
        sock = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._prepare(sock, receive_bytes)
            await loop.sock_connect(sock, target.address)
            upgrade = self._upgrades[endpoint]
            name = target.host if target.tls else None
            _, made = await loop.create_connection(
                lambda: make(upgrade), sock=sock, ssl=self._tls, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        return made

    def _prepare(self, sock: socket.socket, receive_bytes: int | None) -> None:
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if self._target.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._sources:
            self._count += 1
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self._sources[self._count % len(self._sources)], 0))

    async def _ask(self, made: Socket, requests: list[bytes]) -> None:
        for answer in [made.ask(request) for request in requests]:
            payload = await answer
            if (reason := self._speech.refusal(payload)) is not None:
                raise Refused(reason, self._speech.retry_after_s(payload))

    async def enter_at_last(
        self,
        make: Callable[[Upgrade], S],
        endpoint: Endpoint,
        requests: Callable[[], Iterable[bytes]],
        *,
        within_s: float,
        refused: Callable[[str], None],
        backoff: "Backoff | None" = None,
        receive_bytes: int | None = None,
    ) -> S | None:
        """The same, again and again while that may help. None: it did not.

        Args:
            refused: told the reason of each refusal.
            backoff: how long to wait in between; otherwise briefly, or as long as the hub says.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        pause_s = AGAIN_S
        while True:
            try:
                return await self.enter(make, endpoint, requests(), receive_bytes=receive_bytes)
            except Refused as refusal:
                refused(refusal.reason)
                after_s = pause_s if refusal.retry_after_s is None else refusal.retry_after_s
                if backoff is not None:
                    after_s = backoff.delay_s(retry_after_s=refusal.retry_after_s)
                if not _temporary(refusal) or loop.time() + after_s > end_s:
                    return None
            await asyncio.sleep(after_s)
            pause_s = min(pause_s * 1.5, AGAIN_MAX_S)


def _temporary(refusal: Refused) -> bool:
    return refusal.retry_after_s is not None or refusal.reason in TEMPORARY or refusal.reason.endswith((" 429", " 503"))


def _named(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "cut off"
    return error.strerror or "no connection" if isinstance(error, OSError) else "no connection"


async def each(items: Iterable[Any], act: Callable[[Any], Awaitable[None]], *, at_once: int) -> None:
    """Do something with each item, some at a time; without a task for each of ten thousands."""
    rest = iter(items)

    async def worker() -> None:
        for item in rest:
            await act(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


@asynccontextmanager
async def ended(task: "asyncio.Task[Any]") -> AsyncIterator[None]:
    """A task that ends with the block, at the latest."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
