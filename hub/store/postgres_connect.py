"""Where a PostgreSQL database is, connections to it, and which of its errors mean "try again later"."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg import Connection
from sqlalchemy.exc import DBAPIError

from hub.store.errors import CannotOpen
from protocol.errors import STORAGE

INDEXED: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Every statement of the hub finds its rows by an index, in its order, and stops at its limit. Left to itself, the
planner may prefer to read and sort a whole table, above all before the first ``ANALYZE``."""

ALIVE: Mapping[str, str] = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""A worker whose computer has vanished lets go of its locks within half a minute, and not after hours."""

_UNAVAILABLE = re.compile(
    "08|53|57|58|40"  # connection, resources, an operator, the system; deadlock: trying again is safe
    "|55P03|25006|25P03|XX00[12]"  # lock timeout, a standby, idle for too long inside a transaction, damaged
)
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
"""The server ends the connection with these."""


BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asking on a connection may raise."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is.

    Attributes:
        url: with everything that lets one in.
        place: host, port and database, to be shown.
    """

    url: str = field(repr=False)
    place: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read ``postgresql://user:password@host:port/database``.

        Raises:
            CannotOpen: it is something else; the text does not repeat it.
        """
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] not in {"postgresql", "postgres"} or not rest:
            raise CannotOpen(_FORM)
        parts = urlsplit(f"postgresql://{rest}")
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        hosts = parts.netloc.rpartition("@")[2] or given.get("host") or os.environ.get("PGHOST") or "localhost"
        if not _HOSTS.fullmatch(unquote(hosts)):
            raise CannotOpen(_FORM)
        port = given.get("port") or os.environ.get("PGPORT") or "5432"
        place = unquote(hosts) if _PORT.search(hosts) else f"{unquote(hosts)}:{port}"
        user = unquote(parts.username or "") or given.get("user") or os.environ.get("PGUSER") or ""
        database = unquote(parts.path[1:]) or given.get("dbname") or os.environ.get("PGDATABASE") or user
        return cls(f"postgresql://{rest}", f"{place}/{database}")


_FORM = "the address of the database is not postgresql://user:password@host:port/database"
_HOSTS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[\w.-]+|/[^:,]*)(:\d+)?(,(\[[0-9a-fA-F:.%]+\]|[\w.-]+)(:\d+)?)*")
_PORT = re.compile(r":\d+$")


async def connect(address: Address, *, wait_s: float, settings: Mapping[str, str] = INDEXED) -> Connection:
    """A connection with these settings of the server."""
    return await asyncpg.connect(
        address.url,
        timeout=wait_s,
        server_settings={"application_name": "hub", **settings},
        statement_cache_size=256,
        max_cached_statement_lifetime=0,  # as long as the connection
    )


@contextmanager
def naming(address: Address) -> Iterator[None]:
    """Name the place in whatever keeps a database from being opened."""
    try:
        yield
    except (*BROKEN, ValueError, DBAPIError) as exc:
        # Addresses that the driver does not understand may come back as part of its words.
        known = isinstance(exc, OSError | asyncpg.PostgresError)
        words = (str(exc) or "no answer") if known else "the server or its address cannot be understood"
        if isinstance(exc, DBAPIError):
            words = str(exc.orig)
        raise CannotOpen(f"the database {address.place} cannot be opened: {words}") from (exc if known else None)


@contextmanager
def answering() -> Iterator[None]:
    """Turn a database that does not answer into ``StoreUnavailable``, and leave our own mistakes as they are."""
    try:
        yield
    except (*BROKEN, DBAPIError) as exc:
        if is_unavailable(exc):
            raise STORAGE.error() from exc
        raise


def is_unavailable(exc: BaseException) -> bool:
    """Whether an error says that the database is gone, locked, full or broken."""
    cause = _cause(exc)
    # A timeout is one of the first. With the second, the driver asks on a connection whose end it is just learning of.
    if isinstance(cause, OSError | asyncpg.InternalClientError):
        return True
    if isinstance(cause, asyncpg.InterfaceError):
        return "closed" in str(cause) and not isinstance(cause, ValueError)
    return bool(_UNAVAILABLE.match(_state(cause)))


def ends_connection(exc: BaseException) -> bool:
    """Whether nothing more can be asked on the connection that an error has come from."""
    cause = _cause(exc)
    if not isinstance(cause, asyncpg.PostgresError):
        return not isinstance(cause, Exception) or is_unavailable(cause)
    state = _state(cause)
    return state in _ENDED or state.startswith("08")


def _cause(exc: BaseException) -> BaseException:
    """The driver's own error."""
    while isinstance(exc, DBAPIError) or (exc.__cause__ is not None and not isinstance(exc, BROKEN)):
        inner = exc.orig if isinstance(exc, DBAPIError) else exc.__cause__
        if inner is None:
            break
        exc = inner
    return exc


def _state(exc: BaseException) -> str:
    state: Any = getattr(exc, "sqlstate", None)
    return state or ""
