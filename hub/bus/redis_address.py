"""Where Redis is, and what it takes to get in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hub.bus.errors import CannotOpen

CONNECT_S = 2.0
"""How long a connection may take to be made, its first questions and answers included."""

_SECRETS = ("password", "ssl_password")
_FORMS = "redis://user:password@host:6379, rediss://… (TLS, with ?ssl_ca_certs=file) or unix:///path/to/socket"


@dataclass(slots=True, frozen=True)
class Address:
    """One Redis server. Nothing that shows it shows a password.

    Attributes:
        place: ``host:port``, or the path of the socket.
    """

    place: str
    _kind: type[Connection] | type[SSLConnection] | type[UnixDomainSocketConnection] = field(repr=False)
    _options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            CannotOpen: it can never lead to a Redis server; the text says why, without the URL.
        """
        try:
            urlsplit(url)
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError as exc:
            raise CannotOpen(f"the bus URL must look like {_FORMS}") from exc
        kind = options.pop("connection_class", Connection)
        # Channels have no database; a number in the URL comes from habit and changes nothing.
        options.pop("db", None)
        known = {"username", "password", "host", "port", "path"}
        foreign = sorted(name for name in options if name not in known and not name.startswith("ssl_"))
        if foreign:
            raise CannotOpen(f"the bus URL has options that the hub does not know: {', '.join(foreign)}")
        return cls._checked(kind, options)

    @classmethod
    def _checked(cls, kind: Any, options: dict[str, Any]) -> "Address":
        if kind is UnixDomainSocketConnection:
            if not options.get("path"):
                raise CannotOpen("the bus URL names no socket: it must look like unix:///path/to/socket")
            address = cls(str(options["path"]), kind, options)
        else:
            options = {"host": "localhost", "port": 6379, **options}
            address = cls(_place(options["host"], options["port"]), kind, options)
        try:
            address.connection()
        except Exception as exc:  # whatever redis-py says to options that do not go together
            raise CannotOpen("the bus URL has options that do not go together") from exc
        return address

    def at(self, host: str, port: int) -> "Address":
        """Another node of the same cluster; an empty ``host`` means the same one."""
        options = {**self._options, "host": host or self._options["host"], "port": port}
        return replace(self, place=_place(options["host"], port), _options=options)

    def connection(self) -> Connection | UnixDomainSocketConnection:
        """A connection of redis-py that is not made yet, and is never made anew behind our back.

        RESP 2, because it answers a ping of a subscriber within the stream of messages, where its order counts.
        """
        discipline: dict[str, Any] = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_S,
            "health_check_interval": 0,
            "driver_info": None,
        }
        return self._kind(**self._options, **discipline)

    def clean(self, text: str) -> str:
        """A text without our passwords, wherever it comes from."""
        for name in _SECRETS:
            secret = self._options.get(name)
            text = text.replace(secret, "…") if secret else text
        return text


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
