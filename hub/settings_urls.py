"""Addresses of databases and buses, which may have passwords in them."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

_PASSWORDS = re.compile(r"([?&]\w*password=)[^&]*")


class Url(SecretStr):
    """An address whose passwords are never shown: not by ``str``, ``repr``, in a log or as JSON."""

    def _display(self) -> str:
        scheme, separator, rest = self.get_secret_value().partition("://")
        who, at, place = rest.rpartition("@")
        if ":" in who:
            who = f"{who.partition(':')[0]}:***"
        return scheme + separator + _PASSWORDS.sub(r"\1***", who + at + place)

    def without_passwords(self) -> str:
        """The address for a program that has the passwords from elsewhere."""
        scheme, separator, rest = self.text.partition("://")
        who, at, place = rest.rpartition("@")
        place = _PASSWORDS.sub(lambda found: found[1][0] if found[1][0] == "?" else "", place)
        return scheme + separator + who.partition(":")[0] + at + place.replace("?&", "?").rstrip("?")

    @property
    def authority(self) -> str | None:
        """Host and port, for whoever may know no more; None: the address has none."""
        parts = urlsplit(self.text)
        if not parts.hostname:
            return None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return host if parts.port is None else f"{host}:{parts.port}"

    @property
    def text(self) -> str:
        """All of it."""
        return self.get_secret_value()

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]

    def checked_database(self) -> Self:
        """This one, if a store can be made of it.

        Raises:
            ValueError: it cannot; the text says what can.
        """
        if self.scheme == "sqlite" and self.text.startswith("sqlite:///") and self.text != "sqlite:///":
            return self
        if self.scheme in ("postgresql", "postgres"):
            return self._with_name()
        raise ValueError(
            "must be sqlite:///PATH, such as sqlite:///hub.db or sqlite:////var/lib/hub/hub.db, "
            "or postgresql://USER:PASSWORD@HOST/NAME"
        )

    def _with_name(self) -> Self:
        parts = urlsplit(self.text)
        if not parts.path.strip("/"):
            raise ValueError("must name the database, as in postgresql://USER:PASSWORD@HOST/NAME")
        _check_port(self.text)
        return self

    def checked_bus(self) -> Self:
        """This one, if a bus can be made of it.

        Raises:
            ValueError: it cannot; the text says what can.
        """
        parts = urlsplit(self.text)
        if self.scheme in ("redis", "rediss") and parts.hostname:
            _check_port(self.text)
            return self
        if self.scheme == "unix" and parts.path:
            return self
        raise ValueError("must be redis://[USER:PASSWORD@]HOST[:PORT], rediss://… with TLS, or unix:///PATH of a Redis")


def checked_endpoint(url: str) -> str:
    """An address that the hub itself sends requests to.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("must be an address like https://provider.example.org/oauth/token")
    _check_port(url)
    return url


def _check_port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("has a port that is no number up to 65535") from None
