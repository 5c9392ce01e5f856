"""A small synchronous client of the REST API, whose every failure is a line for a person. Imported when needed."""

import json
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from hub.cli.output import Failure, fail, note, plain, shown
from hub.cli.target import websocket_url

WAIT_S = 30.0
PAGE = 500
"""Rows of a list that are asked for at once."""
TRIES = 20
"""How often a request is repeated that the hub puts off."""
LONGEST_PAUSE_S = 30.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Refused(Failure):
    """The hub says no.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def rest_url(url: str) -> str:
    """The root of the REST API of what people write: any address that ``hub tail`` takes, too."""
    socket = urlsplit(websocket_url(url))
    path = socket.path.removesuffix("/websocket").removesuffix("/rest")
    return f"{'https' if socket.scheme == 'wss' else 'http'}://{socket.netloc}{path}/rest"


def segment(text: object) -> str:
    """A text as one segment of a path."""
    return quote(str(text), safe="")


class Rest:
    """Asks one hub, with one access key, over one connection. Close it.

    Args:
        url: as people write it.
    """

    def __init__(self, url: str, key: str) -> None:
        self.root = rest_url(url)
        host = urlsplit(self.root).hostname or ""
        if self.root.startswith("http:") and host not in LOOPBACK:
            note(f"the connection to {shown(host)} is not encrypted: others may read the key and what is sent")
        self._http = httpx.Client(
            base_url=self.root,
            headers={"Authorization": f"Bearer {_header(key)}", "Hub-Version": "1"},
            # The certificates that everything else on this computer trusts, not a list of httpx's own.
            verify=ssl.create_default_context(),
            timeout=WAIT_S,
            trust_env=host not in LOOPBACK,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """What is there."""
        return self._ask("GET", path, query=query)

    def find(self, path: str, **query: Any) -> Any | None:
        """What is there; None: nothing."""
        try:
            return self.get(path, **query)
        except Refused as exc:
            if exc.status != 404:
                raise
            return None

    def pages(self, path: str, **query: Any) -> Iterator[list[Any]]:
        """A list, piece by piece."""
        skip = 0
        while page := self.get(path, **query, take=PAGE, skip=skip):
            yield page
            if len(page) < PAGE:
                return
            skip += PAGE

    def every(self, path: str, **query: Any) -> Iterator[Any]:
        """A list, row by row."""
        for page in self.pages(path, **query):
            yield from page

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, body)

    def put(self, path: str, body: Any = None) -> None:
        self._ask("PUT", path, body)

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        for _ in range(TRIES):
            answer = self._send(method, path, body, asked)
            if answer.status_code != 429:
                break
            # Nothing was done: the hub counts requests before it looks at them.
            time.sleep(min(_seconds(answer.headers.get("retry-after")), LONGEST_PAUSE_S))
        return self._read(answer, f"{method} {path}")

    def _send(self, method: str, path: str, body: Any, query: dict[str, Any]) -> httpx.Response:
        sent = {} if body is None else {"json": body}
        try:
            return self._http.request(method, path, params=query, **sent)
        except httpx.ConnectError as exc:
            fail(_not_connected(self.root, exc))
        except httpx.TimeoutException:
            fail(f"{self.root} has not answered within {WAIT_S:g} s{_maybe_done(method)}")
        except httpx.HTTPError as exc:
            fail(f"the connection to {self.root} broke: {exc}{_maybe_done(method)}")

    def _read(self, answer: httpx.Response, asked: str) -> Any:
        if answer.is_redirect:
            fail(f"{self.root} sends elsewhere: give --url as {answer.headers.get('location')}")
        try:
            body = json.loads(answer.content) if answer.content else None
        except ValueError:
            fail(
                f"what answers at {self.root} is no hub (status {answer.status_code}); does --url have the right path?"
            )
        if answer.is_success:
            return body
        members = body if isinstance(body, dict) else {}
        if answer.status_code == 404 and "reason" not in members:
            fail(f"there is no REST API of a hub at {self.root}; does --url have the right path?")
        raise Refused(self._told(answer.status_code, members, asked), answer.status_code)

    def _told(self, status: int, members: dict[str, Any], asked: str) -> str:
        """What a refusal means, and what would help."""
        detail = members.get("detail") or {}
        if members.get("reason") in ("not-authenticated", "bad-credentials", "key-expired"):
            return f"{self.root} does not take the access key (--key, HUB_KEY): it is wrong, expired or revoked"
        if status == 401 and "permission" in detail:
            return (
                f"the access key may not do this: it lacks {detail['permission']}, or its owner is no administrator "
                f"({asked}); `hub key create --preset full` makes one that may"
            )
        if status in (401, 403) and members.get("reason") == "not-permitted":
            return f"only an access key of an administrator may do this ({asked})"
        return f"the hub refuses {asked}: {plain(str(members.get('message') or status))}"


def _header(key: str) -> str:
    if not key.isascii() or not key.isprintable() or not key.strip():
        fail("--key (HUB_KEY) is no access key")
    return key.strip()


def _not_connected(root: str, exc: httpx.ConnectError) -> str:
    text = str(exc)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition("CERTIFICATE_VERIFY_FAILED] ")[2]
        return f"the certificate of {root} is not trusted ({reason}); SSL_CERT_FILE names certificates to trust"
    if "[SSL" in text:
        return f"no TLS at {root} ({text}); does the address begin with https:// by mistake?"
    return f"no hub answers at {root} ({text})"


def _maybe_done(method: str) -> str:
    return "" if method == "GET" else "; it is not known whether the change was made, look before you repeat it"


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdigit() else 1.0
