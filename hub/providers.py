"""Asking identity providers over HTTP: at addresses that may be connected to, for so long, so many bytes, no further.

A provider's name is looked up once; the connection is made to an address that was found and let pass, and its
certificate is checked against the name. No redirect is followed, no proxy of the environment used.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hub.core.access import Address, Block, parse_address
from hub.core.outbound import is_named, may_connect
from hub.core.vouching import Account, Endpoints, Question, vouch
from protocol.account_forms import Login
from protocol.names import Provider
from protocol.version import __version__

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("hub")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host."""

HEADERS = {"user-agent": f"hub/{__version__}", "accept": "*/*", "accept-encoding": "identity"}
"""Nothing packed: an answer is never more than its bytes."""


class _Failed(Exception):
    """A provider could not be asked; the text says why and has nothing secret in it."""


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as this computer knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    return [str(place[0]) for *_, place in found]


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """Bounds and choices; each is a setting of the same meaning.

    Attributes:
        wait_s: for all the questions of one login together.
        answer_bytes: of one answer.
        networks: blocks that may be connected to though they are not the internet's, and without TLS.
    """

    endpoints: Mapping[Provider, Endpoints]
    wait_s: float = 10.0
    answer_bytes: int = 65_536
    networks: Sequence[Block] = ()


class Providers:
    """Asks identity providers for the e-mail address of whoever logs in.

    Args:
        account: what a provider knows this hub as, now.
        resolve, tls: how names are looked up, and which certificates are believed; those of this computer unless given.
    """

    def __init__(
        self,
        options: ProviderOptions,
        *,
        account: Callable[[Provider], Account],
        resolve: Resolve = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._options = options
        self._account = account
        self._resolve = resolve
        self._tls = tls
        self._failing: set[Provider] = set()

    async def __call__(self, provider: Provider, ask: Login) -> str:
        """The e-mail address that a provider vouches for.

        Raises:
            HubError: for none, or it does not answer.
        """
        steps = vouch(provider, ask, self._account(provider), self._options.endpoints[provider])
        deadline_s = asyncio.get_running_loop().time() + self._options.wait_s
        question = next(steps)
        async with self._client() as client:
            while True:
                answer = await self._answer(client, provider, question, deadline_s)
                try:
                    question = steps.send(answer)
                except StopIteration as end:
                    email: str = end.value
                    return email

    @asynccontextmanager
    async def _client(self) -> "AsyncIterator[httpx.AsyncBaseTransport]":
        # What is below httpx's client: that would log addresses with secrets in them, whoever embeds a hub.
        import httpx  # late: most installations ask no provider

        if self._tls is None:
            # The certificates that everything else on this computer trusts, not a list of httpx's own.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        # A connection is for one request: kept ones are told apart by address, and certificates are of names.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits) as client:
            yield client

    async def _answer(
        self, client: "httpx.AsyncBaseTransport", provider: Provider, question: Question, deadline_s: float
    ) -> bytes:
        try:
            async with asyncio.timeout_at(deadline_s):
                answer = await self._ask(client, question)
        except (_Failed, TimeoutError) as exc:
            self._tell(provider, question, str(exc) or f"no answer within {self._options.wait_s:g} s")
            raise question.failure.error() from exc
        if provider in self._failing:
            self._failing.discard(provider)
            log.info("an identity provider answers again", extra={"provider": provider.value})
        return answer

    async def _ask(self, client: "httpx.AsyncBaseTransport", question: Question) -> bytes:
        import httpx

        last = "it has no address"
        for address in await self._addresses(question.url):
            try:
                return await self._ask_at(client, question, address)
            except httpx.ConnectError:
                last = f"no connection to {address}"
            except httpx.HTTPError as exc:
                raise _Failed(f"the request failed: {type(exc).__name__}") from exc
        raise _Failed(last)

    async def _addresses(self, url: str) -> list[Address]:
        """Where a question may go. A name with one address that may not be connected to has none."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = [parse_address(text) for text in await self._resolve(host, port)]
        except (OSError, UnicodeError) as exc:
            raise _Failed("its name cannot be looked up") from exc
        addresses = [address for address in dict.fromkeys(found) if address is not None]
        for address in addresses:
            self._check(address, encrypted=parts.scheme == "https")
        return addresses

    def _check(self, address: Address, *, encrypted: bool) -> None:
        networks = self._options.networks
        if not may_connect(address, networks):
            raise _Failed(f"{address} is no address of the internet and not in HUB_PROVIDER_NETWORKS")
        if not encrypted and not is_named(address, networks):
            raise _Failed("https is needed beyond HUB_PROVIDER_NETWORKS")

    async def _ask_at(self, client: "httpx.AsyncBaseTransport", question: Question, address: Address) -> bytes:
        import httpx

        url = httpx.URL(question.url)
        request = httpx.Request(
            "GET" if question.form is None else "POST",
            url.copy_merge_params(question.query).copy_with(host=str(address)),
            data=question.form,
            # A provider may call anything a token.
            headers=httpx.Headers(
                {**HEADERS, "host": url.netloc.decode(), **_authorization(question)}, encoding="utf-8"
            ),
            extensions={"sni_hostname": url.host, "timeout": httpx.Timeout(self._options.wait_s).as_dict()},
        )
        response = await client.handle_async_request(request)
        try:
            return await self._body(response)
        finally:
            await response.aclose()

    async def _body(self, response: "httpx.Response") -> bytes:
        if not response.is_success:
            raise _Failed(f"it has answered {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Failed("its answer is packed")
        pieces, size = [], 0
        async for piece in response.aiter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > self._options.answer_bytes:
                raise _Failed(f"its answer is over {self._options.answer_bytes} bytes (HUB_PROVIDER_ANSWER_BYTES)")
        return b"".join(pieces)

    def _tell(self, provider: Provider, question: Question, reason: str) -> None:
        """Say once that a provider cannot be asked: everybody could make us say it again."""
        if provider not in self._failing:
            host = urlsplit(question.url).hostname
            log.warning(
                "an identity provider cannot be asked",
                extra={"provider": provider.value, "host": host, "reason": reason},
            )
        self._failing.add(provider)


def _authorization(question: Question) -> dict[str, str]:
    return {} if question.bearer is None else {"authorization": f"Bearer {question.bearer}"}
