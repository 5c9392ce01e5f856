"""The application behind ``…/rest``: the order of checks, one request at a time.

Credentials, path and method and type, numbers, the body's syntax, the caller's role, and then the operation itself
(``rest-api``, section 2). Whatever goes wrong becomes an answer here and nowhere else.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from hub.actions.caller import Caller
from hub.core.access import ANONYMOUS, Address, Peer, Principal, permit
from hub.core.origins import same_site
from hub.core.rates import Pace
from hub.gateway import Gateway
from hub.rest import bodies
from hub.rest.callers import Headers, authenticate, challenge, seconds, uses_basic
from hub.rest.openapi import make_document
from hub.rest.options import RestOptions
from hub.rest.replies import Reply, in_json_calmly, refused
from hub.rest.route import Media, Route
from hub.rest.routes import Found, Routes
from protocol.codecs import Codec
from protocol.errors import (
    BAD_PARAMETER,
    FOREIGN_ORIGIN,
    INTERNAL,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    TOO_MANY,
    WRONG_METHOD,
    HubError,
    Unauthorized,
)
from protocol.forms import Form
from protocol.names import Operation

log = logging.getLogger("hub.rest")

OVERRIDES = frozenset({"PUT", "DELETE", "HEAD", "OPTIONS"})


class Source(Protocol):
    """The far end of a request, after trusted proxies."""

    @property
    def address(self) -> Address | None: ...
    @property
    def secure(self) -> bool: ...


FindSource = Callable[[str | None, list[tuple[str, str]], bool], Source]
"""The source of a request by the peer's address, the headers (names in lower case) and whether it came over TLS."""


@dataclass(slots=True)
class Asked:
    """One request, as far as it was looked at."""

    method: str
    path: str
    headers: Headers
    query: dict[str, str]
    peer: Peer
    base_url: str
    route: Route | None = None
    ask: Any = None
    is_bare: bool = False
    by_role: bool = False

    @property
    def extended(self) -> bool:
        return self.headers.get("hub-version", "").strip() == "1"


class Rest:
    """An ASGI application.

    Args:
        codec: reads JSON bodies, with the bounds of depth and number that sockets have.
        find_source: who is behind a proxy.
    """

    def __init__(
        self,
        gateway: Gateway,
        routes: Iterable[Route],
        *,
        codec: Codec,
        find_source: FindSource,
        options: RestOptions = RestOptions(),
    ) -> None:
        self._gateway = gateway
        self._codec = codec
        self._find_source = find_source
        self._options = options
        self._pace = Pace(options.requests_per_s, options.request_burst)
        self.routes = Routes([*routes, self._document_route()])
        self._document: dict[str, Any] | None = None
        self.answered: Counter[int] = Counter()
        """How many answers there were of each status."""

    def _document_route(self) -> Route:
        return Route(
            operation=Operation.GET_OPENAPI,
            method="GET",
            path="/openapi.json",
            summary="This document",
            perform=self._describe,
            answer={"type": "object"},
        )

    async def _describe(self, gateway: Gateway, caller: Caller, ask: Form) -> Any:
        if self._document is None:
            servers = [f"{context}/rest" for context in self._options.context_paths]
            as_devicehive = self._options.as_devicehive
            self._document = make_document(self.routes.all, servers=servers, as_devicehive=as_devicehive)
        return self._document

    def context_of(self, path: str) -> str | None:
        """The prefix under which a path is one of the REST API; None: it is not."""
        for context in self._options.context_paths:
            root = f"{context}/rest"
            if path == root or path.startswith(f"{root}/"):
                return context
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._read_head(scope)
        reply = await self._answer(asked, receive)
        self.answered[reply.status] += 1
        head = scope["method"] == "HEAD"
        if asked.method == "HEAD" and not head:
            # Asked for by a POST, whose answer has as many bytes as its length says.
            reply.body = b""
        headers = reply.raw_headers(with_credentials=self._options.as_devicehive)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else reply.body})

    def _read_head(self, scope: Scope) -> Asked:
        listed = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        headers = dict(reversed(listed))  # Of several with one name, the first counts.
        secure = scope["scheme"] == "https"
        source = self._find_source((scope.get("client") or (None,))[0], listed, secure)
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        context = self.context_of(path) or ""
        method = scope["method"].upper()
        if method == "POST" and (override := headers.get("x-http-method-override", "").upper()) in OVERRIDES:
            method = override
        host = headers.get("host", "localhost")
        base = self._options.public_url or f"{'https' if source.secure else 'http'}://{host}"
        return Asked(
            method,
            path.removeprefix(f"{context}/rest"),
            headers,
            dict(reversed(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))),
            Peer(source.address, headers.get("origin")),
            base + context,
        )

    async def _answer(self, asked: Asked, receive: Receive) -> Reply:
        try:
            return await self._carry_out(asked, receive)
        except HubError as error:
            return self._refuse(asked, error)
        except Exception:
            # A request that fails unexpectedly ends alone.
            log.exception("a request failed", extra={"method": asked.method})
            return self._refuse(asked, INTERNAL.error())

    async def _carry_out(self, asked: Asked, receive: Receive) -> Reply:
        epoch = self._gateway.rights.epoch
        principal = await self._authenticate(asked)
        found = self.routes.find(asked.path)
        if asked.method == "OPTIONS":
            return Reply(200, headers={"allow": ", ".join(found.methods)})
        route = asked.route = self._route(asked, found)
        self._check_origin(asked, route)
        bodies.check_type(asked.headers, route)
        route.form.check_numbers(found.values, asked.query)
        if route.check is not None:
            route.check(self._gateway, asked.query)
        values = await self._body(asked, route, receive)
        self._permit(asked, route, principal)
        if route.form.needs_body and not values.get("given"):
            raise BAD_PARAMETER.error()
        form = route.form.fill(values, found.values, asked.query, headers=asked.headers)
        gone = partial(_gone, receive)
        caller = Caller(
            principal, peer=asked.peer, base_url=asked.base_url, epoch=epoch, gone=gone, by_header=asked.extended
        )
        asked.ask = form if route.ask is None else route.ask(form)
        result = await route.perform(self._gateway, caller, asked.ask)
        return await _shaped(route, result, extended=asked.extended)

    async def _authenticate(self, asked: Asked) -> Principal:
        """Whoever is wrong about who it is counts as nobody from its address."""
        try:
            principal = await authenticate(self._gateway, asked.headers, asked.peer)
        except Unauthorized:
            self._check_pace(ANONYMOUS, asked.peer)
            raise
        self._check_pace(principal, asked.peer)
        return principal

    def _check_pace(self, principal: Principal, peer: Peer) -> None:
        who = peer.address if principal.is_anonymous else principal.identity
        wait_s = self._pace.take(who, asyncio.get_running_loop().time())
        if wait_s:
            value = self._options.requests_per_s
            raise TOO_MANY.error(
                value=f"{value:g}",
                what="requests per second",
                detail={"limit": "rest-requests-per-s", "value": value},
                retry_after_s=round(wait_s + 0.05, 1),
            )

    def _route(self, asked: Asked, found: Found) -> Route:
        route = found.routes.get("GET" if asked.method == "HEAD" else asked.method)
        if route is None or (route.only_devicehive and not self._options.as_devicehive):
            raise WRONG_METHOD.error()
        return route

    def _check_origin(self, asked: Asked, route: Route) -> None:
        """Basic is something that browsers attach by themselves: from a foreign page it changes nothing."""
        if self._options.as_devicehive or not route.changes or not uses_basic(asked.headers):
            return
        if not same_site(asked.peer.origin, asked.headers.get("host", ""), self._options.allowed_origins):
            raise FOREIGN_ORIGIN.error()

    async def _body(self, asked: Asked, route: Route, receive: Receive) -> dict[str, Any]:
        options = self._options
        most = options.message_bytes if route.is_message else options.body_bytes
        payload = await bodies.read(receive, asked.headers, most=most)
        if route.media is Media.TEXT:
            return {"given": bool(payload), "text": payload}
        if not route.takes_members:
            return {}
        asked.is_bare = True
        members = bodies.to_members(payload, self._codec)
        values = route.form.read_body(members)
        asked.is_bare = False
        return values

    def _permit(self, asked: Asked, route: Route, principal: Principal) -> None:
        asked.by_role = True
        permit(route.operation, principal)
        asked.by_role = False

    def _refuse(self, asked: Asked, error: HubError) -> Reply:
        self._gateway.tally.refused(error)
        route = asked.route
        if route is not None and route.told is not None:
            error = route.told(error, asked.ask) or error
        headers = {}
        if error.code == 401 and (asked.by_role or error.problem in (NOT_PERMITTED, NOT_AUTHENTICATED)):
            headers["www-authenticate"] = challenge(asked.headers)
        if error.retry_after_s is not None:
            headers["retry-after"] = seconds(error.retry_after_s)
        if route is not None and error.problem in route.silent:
            return Reply(error.code, headers=headers)
        bare = asked.is_bare or (route is not None and error.problem in route.bare)
        return refused(error, bare=bare, extended=asked.extended, headers=headers)


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection. The body has to be read by then."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _shaped(route: Route, result: Any, *, extended: bool) -> Reply:
    if result is None and route.empty_when_none:
        return Reply(route.empty_when_none)
    if route.answers_text:
        return Reply(route.status, (result or "").encode(), "text/plain; charset=utf-8")
    if route.answer is None:
        return Reply(route.status)
    shape = route.shape_extended if extended and route.shape_extended is not None else route.shape
    return await in_json_calmly(route.status, result if shape is None else shape(result))
