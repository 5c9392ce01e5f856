"""What has to be had before a hub can start, and what its first start leaves behind."""

import fcntl
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from hub.client.profile import FILE_NAME
from hub.settings import Settings


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What the first start has made. The secrets in it are shown once."""

    login: str
    password: str | None = field(repr=False)
    access_key: str = field(repr=False)


Show = Callable[[FirstStart], None]
"""Whoever shows the secrets of a first start."""


class CannotStart(Exception):
    """The hub could not start; the text says why and what to do."""


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that has the address, before anything else is touched; it listens only when the hub is ready.

    Args:
        shared: further sockets of this user may have the same address; each gets its share of the connections.

    Raises:
        CannotStart: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Said outright, for asyncio turns Nagle's algorithm off only where it reads TCP: an answer is two writes, its head
    # and its body, and the second would wait 40 ms for the peer to acknowledge the first.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if host == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # All addresses means those of IPv4, too.
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        raise taken(host, port, exc) from exc
    return bound


def bind_shared(host: str, port: int, *, count: int) -> list[socket.socket]:
    """Sockets that all have the same address. Each listens once a worker listens on it, and as long as it is kept.

    Raises:
        CannotStart: the address cannot be had.
    """
    if port:
        # Another hub of several workers would let us share its port; a socket that shares with nobody notices.
        bind(host, port).close()
    first = bind(host, port, shared=True)
    return [first, *(bind(host, first.getsockname()[1], shared=True) for _ in range(count - 1))]


def taken(host: str, port: int, exc: OSError) -> CannotStart:
    hint = "is another hub running? try --port" if port else "try --host"
    return CannotStart(f"cannot listen on {host}:{port}: {exc.strerror or exc}; {hint}")


def lock(settings: Settings) -> IO[bytes] | None:
    """Keep hubs away from a SQLite database that do not know of each other: they would give out the same ids.

    Raises:
        CannotStart: another hub has it.
    """
    if settings.database_path is None:
        return None
    path = settings.data_directory / f"{settings.database_path.name}.lock"
    try:
        file = path.open("ab")
    except OSError as exc:
        raise CannotStart(f"cannot write beside the database: {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if settings.bus_url is None else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise CannotStart(
            f"another hub runs on {settings.database_path}; several share it only with a bus between them (HUB_BUS_URL "
            "for each)"
        ) from exc
    return file


def profile_path(settings: Settings) -> Path:
    """Where the first start leaves what the command line needs to reach the hub."""
    return settings.data_directory / FILE_NAME
