"""Logging in by an identity provider, over HTTP to one that runs here; and where the hub does not connect to (T77)."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_network
from typing import Any

import orjson
import pytest

from hub.core.vouching import Account, Endpoints
from hub.providers import ProviderOptions, Providers
from protocol.account_forms import Login
from protocol.errors import HubError
from protocol.names import Provider
from tests.certificates import self_signed
from tests.rest import http
from tests.rest.test_access_keys import told
from tests.waiting import WAIT_S, until

LOGIN = "/auth/accesskey"
BROKEN = (503, "Exception has been caught during request to the identity provider API")
UNVERIFIED = (401, "Exception has been caught during request to the identity provider API")
HERE = ["127.0.0.0/8"]

Answer = tuple[int, bytes]


class Local:
    """An identity provider.

    Attributes:
        answers: status and body by path.
        asked: the requests that came: their first lines, headers and bodies.
        connections: how many were made, also such on which nothing was asked.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[asyncio.StreamWriter], Awaitable[None]]] = {}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        self.asked.append((first.rpartition(" ")[0], headers, body))
        answer = self.answers[first.split(" ")[1].partition("?")[0]]
        if callable(answer):
            await answer(writer)
            return
        status, content = answer
        more = f"Location: http://127.0.0.1:{self.port}/elsewhere\r\n" if status // 100 == 3 else ""
        head = f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def provider() -> AsyncIterator[Local]:
    local = Local()
    server = await asyncio.start_server(local.serve, "127.0.0.1", 0)
    local.port = server.sockets[0].getsockname()[1]
    local.answers = {
        "/token": (200, b'{"access_token":"the-token"}'),
        "/info": (200, b'{"issued_to":"hub-id","email":"Alice@Example.com"}'),
        "/app": (200, b'{"id":"hub-id"}'),
        "/me": (200, b'{"email":"alice@example.com"}'),
        "/emails": (200, b'[{"email":"alice@example.com","primary":true,"verified":true}]'),
    }
    yield local
    server.close()


def settings_for(local: Local) -> dict[str, Any]:
    return {
        "rest_requests_per_s": 0.0,
        "provider_networks": HERE,
        "google_token_url": local.url("/token"),
        "google_verification_url": local.url("/info"),
        "facebook_token_url": local.url("/token"),
        "facebook_verification_url": local.url("/app"),
        "facebook_api_url": local.url("/me?fields=email"),
        "github_token_url": local.url("/token"),
        "github_api_url": local.url("/emails"),
    }


@pytest.fixture
async def start(start_site, provider):
    """Starts a hub that knows the provider under three names, and alice by each of them."""

    async def start(**chosen: Any) -> Any:
        site = await start_site(**{**settings_for(provider), **chosen})
        for name in ("google", "facebook", "github"):
            rows = {"allowed": b"true", "client.id": b"hub-id", "client.secret": b"the-secret"}
            for row, value in rows.items():
                await site.admin.put(f"/configuration/{name}.identity.{row}", value)
        logins = dict.fromkeys(("googleLogin", "facebookLogin", "githubLogin"), "alice@example.com")
        assert (await site.admin.put("/user/2", logins)).status == 204
        return site

    return start


async def log_in(site, name, **fields):
    return await site.nobody.post(LOGIN, {"providerName": name, **fields})


WAYS = [
    ("google", {"access_token": "brought"}, ["GET /info?access_token=brought"]),
    ("google", {"code": "c", "redirect_uri": "r"}, ["POST /token", "GET /info?access_token=the-token"]),
    ("facebook", {"access_token": "brought"}, ["GET /app?access_token=brought", "GET /me?fields=email"]),
    (
        "facebook",
        {"code": "c", "redirect_uri": "r"},
        ["GET /token?code=c&client_id=hub-id&client_secret=the-secret&redirect_uri=r", "GET /me?fields=email"],
    ),
    ("github", {"code": "c"}, ["POST /token", "GET /emails"]),
]


@pytest.mark.parametrize(("name", "fields", "asked"), WAYS)
async def test_a_provider_is_asked_and_its_user_is_in(start, provider, name, fields, asked):
    """By a token or by a code, over real HTTP; what comes of it is a session like any."""
    site = await start()

    made = await log_in(site, name, **fields)

    assert made.status == 200, made
    me = (await site.client(http.key(made.json()["key"])).get("/user/current")).json()
    assert (me["login"], [line for line, *_ in provider.asked]) == ("alice", asked)
    assert provider.connections == len(asked)
    _, headers, _ = provider.asked[-1]
    assert (headers["host"], headers["accept-encoding"]) == (f"127.0.0.1:{provider.port}", "identity")
    if name != "google":
        assert headers["authorization"].removeprefix("Bearer ") in ("the-token", "brought")
    if provider.asked[0][0].startswith("POST"):
        assert "client_secret=the-secret" in provider.asked[0][2]
    assert site.hub.gateway.logins.providers_said == {(name, "vouched"): 1}


@pytest.mark.parametrize(
    ("path", "answer", "refusal"),
    [
        ("/token", (400, b'{"error":"invalid_grant"}'), BROKEN),
        ("/token", (302, b""), BROKEN),
        ("/token", (200, b"x" * 70_000), BROKEN),
        ("/token", (200, b"\xff\xfe"), (401, "Getting OAuth access token for provider Google failed: \ufffd\ufffd")),
        ("/token", (200, b"error=x"), (401, "Getting OAuth access token for provider Google failed: error=x")),
        ("/info", (400, b'{"error":"invalid_token"}'), UNVERIFIED),
        ("/info", (302, b""), UNVERIFIED),
        ("/info", (200, b"<html>"), UNVERIFIED),
        ("/info", (200, b'{"error":"x"}'), (403, "OAuth access token for provider Google verification failed")),
        ("/info", (200, b'{"issued_to":"other"}'), (401, "OAuth access token for provider Google verification failed")),
        ("/info", (200, b'{"issued_to":"hub-id","email":"eve@example.com"}'), (401, "User not found")),
    ],
)
async def test_what_comes_of_a_provider_that_does_not_vouch(start, provider, path, answer, refusal):
    """In DeviceHive's words; redirects are not followed, and too much is not read."""
    site = await start()
    provider.answers[path] = answer

    assert told(await log_in(site, "google", code="c", redirect_uri="r")) == refusal

    assert "/elsewhere" not in str(provider.asked)


@pytest.mark.parametrize("token", ["t\u00f6ken", "to\r\nken", "to ken", "\x7f"])
@pytest.mark.parametrize("name", ["github", "facebook"])
async def test_a_token_that_is_none_is_a_refusal(start, provider, token, name):
    """Whatever a provider calls a token goes into a header, which not every text fits in."""
    site = await start()
    provider.answers["/token"] = (200, orjson.dumps({"access_token": token}))
    provider.answers["/emails"] = provider.answers["/me"] = (400, b"")

    assert told(await log_in(site, name, code="c", redirect_uri="r")) == UNVERIFIED


async def test_an_answer_that_does_not_end_is_given_up(start, provider):
    """Neither for as long as somebody likes, nor for as many bytes; others are served meanwhile."""
    site = await start(provider_wait_s=0.5, provider_answer_bytes=2_048)

    async def forever(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    provider.answers["/token"] = forever

    waiting = asyncio.create_task(log_in(site, "github", code="c"))
    await until(lambda: asyncio.sleep(0, provider.asked))
    assert (await site.nobody.get("/info")).status == 200
    assert told(await waiting) == BROKEN


async def test_a_packed_answer_is_not_unpacked(start, provider):
    """It was not asked for, and might become anything."""
    site = await start()

    async def packed(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx")
        await writer.drain()

    provider.answers["/token"] = packed

    assert told(await log_in(site, "github", code="c")) == BROKEN


async def test_so_many_logins_wait_for_a_provider_and_no_more(start, provider):
    """The others are told to come back, and the limit by name."""
    site = await start(provider_logins=2)
    released = asyncio.Event()

    async def later(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    provider.answers["/token"] = later
    waiting = [asyncio.create_task(log_in(site, "github", code="c")) for _ in range(2)]
    await until(lambda: asyncio.sleep(0, site.hub.gateway.logins.asking_providers == 2))

    refusal = await log_in(site, "github", code="c")

    assert (refusal.status, refusal.headers["retry-after"]) == (503, "5")
    assert site.hub.gateway.tally["provider-logins"] == 1
    released.set()
    assert [told(await one) for one in waiting] == [BROKEN] * 2
    assert site.hub.gateway.logins.providers_said == {("github", "unavailable"): 2}


async def test_no_secret_is_logged(start, provider, caplog):
    """Neither what a request brings, nor what a provider is sent; that a provider fails is told once."""
    caplog.set_level("DEBUG")
    site = await start()
    for status in (200, 500, 500):
        provider.answers["/token"] = (status, b'{"access_token":"the-token"}')
        await log_in(site, "google", code="the-code", redirect_uri="r")
    provider.answers["/token"] = (200, b'{"access_token":"the-token"}')
    assert (await log_in(site, "google", code="the-code", redirect_uri="r")).status == 200

    ours = [record.getMessage() for record in caplog.records if "identity provider" in record.getMessage()]
    assert ours == ["an identity provider cannot be asked", "an identity provider answers again"]
    assert (await log_in(site, "facebook", code="the-code", redirect_uri="r")).status == 200
    for secret in ("the-token", "the-secret", "the-code"):
        # By libraries neither, whatever severity whoever embeds a hub lets them log.
        assert not [record for record in caplog.records if secret in str(vars(record))]


# --- where the hub does not connect to --------------------------------------------------------------------------------


async def refused(provider: Local, *, url: str = "", networks: Sequence[str] = (), resolve: Any = None) -> Counter[str]:
    """Try to log in by Github at an address; returns the names that were looked up. No login succeeds."""
    looked_up: Counter[str] = Counter()

    async def looking(host: str, port: int) -> list[str]:
        looked_up[host] += 1
        return list(resolve(host)) if resolve else [host.strip("[]")]

    endpoints = {Provider.GITHUB: Endpoints(url or provider.url("/token"), api=provider.url("/emails"))}
    options = ProviderOptions(endpoints, wait_s=WAIT_S, networks=[ip_network(one) for one in networks])
    providers = Providers(options, account=lambda one: Account("hub-id", "s"), resolve=looking)
    with pytest.raises(HubError) as caught:
        await providers(Provider.GITHUB, Login(provider_name="github", code="c"))
    assert (caught.value.code, caught.value.text) == BROKEN
    return looked_up


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["fe80::1%lo"],
        ["64:ff9b::7f00:1"],
        ["8.8.8.8", "127.0.0.1"],
        ["no address"],
        [],
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nothing_beside_the_internet_is_connected_to(provider, monkeypatch, addresses, scheme):
    """However it is written, and also when it is one of several; nothing is sent anywhere."""
    made = watched(monkeypatch)

    await refused(provider, url=f"{scheme}://provider.test:{provider.port}/token", resolve=lambda host: addresses)

    assert (provider.connections, made) == (0, [])


@pytest.mark.parametrize("trouble", [OSError(), UnicodeError()])
async def test_a_name_that_cannot_be_looked_up_is_a_refusal(provider, monkeypatch, trouble):
    """As a provider that does not answer is."""
    made = watched(monkeypatch)

    def fail(host: str) -> list[str]:
        raise trouble

    await refused(provider, url="https://provider.test/token", resolve=fail)

    assert made == []


async def test_beyond_the_named_networks_only_https_is_spoken(provider, monkeypatch):
    """A secret is sent."""
    made = watched(monkeypatch)

    await refused(provider, url=f"http://provider.test:{provider.port}/token", resolve=lambda host: ["8.8.8.8"])

    assert made == []


async def test_a_name_that_changes_is_looked_up_once_and_that_address_is_asked(provider, monkeypatch):
    """Who answers first with an address that is let pass and then with another gains nothing."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"]])
    provider.answers["/token"] = (302, b"")
    made = watched(monkeypatch)

    looked_up = await refused(
        provider,
        url=f"http://provider.test:{provider.port}/token",
        networks=HERE,
        resolve=lambda host: next(answers),
    )

    assert (looked_up, made) == ({"provider.test": 1}, [("127.0.0.1", provider.port)])
    assert provider.asked[0][1]["host"] == f"provider.test:{provider.port}"


async def test_the_next_address_is_tried_where_one_does_not_answer(provider, monkeypatch):
    """As a name with several addresses is meant."""
    made = watched(monkeypatch)
    provider.answers["/token"] = (500, b"")

    await refused(
        provider,
        url=f"http://provider.test:{provider.port}/token",
        networks=HERE,
        resolve=lambda host: ["127.0.0.9", "127.0.0.1"],
    )

    assert [address for address, _ in made] == ["127.0.0.9", "127.0.0.1"]
    assert len(provider.asked) == 1


async def test_the_environments_proxy_is_not_used(provider, monkeypatch):
    """It could reach what we do not."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    provider.answers["/token"] = (500, b"")

    await refused(provider, networks=HERE)

    assert len(provider.asked) == 1


async def test_a_certificate_has_to_be_of_the_name(provider, tmp_path):
    """The connection goes to an address; whom it belongs to is asked by the name."""
    certificate, key = self_signed(tmp_path, "provider.test")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, key)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    outcomes = {}
    for host in ("provider.test", "other.test"):
        endpoints = {Provider.GITHUB: Endpoints(f"https://{host}:{port}/token", api=f"https://{host}:{port}/emails")}
        options = ProviderOptions(endpoints, wait_s=WAIT_S, networks=[ip_network("127.0.0.0/8")])

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        providers = Providers(
            options,
            account=lambda one: Account("hub-id", "s"),
            resolve=resolve,
            tls=ssl.create_default_context(cafile=str(certificate)),
        )
        try:
            outcomes[host] = await providers(Provider.GITHUB, Login(provider_name="github", code="c"))
        except HubError as error:
            outcomes[host] = error.code
    server.close()

    assert outcomes == {"provider.test": "alice@example.com", "other.test": 503}


def watched(monkeypatch) -> list[tuple[str, int]]:
    """The addresses that TCP connections are made to from now on."""
    import anyio

    made: list[tuple[str, int]] = []
    connect = anyio.connect_tcp

    async def noted(*, remote_host: Any, remote_port: int, **options: Any) -> Any:
        made.append((str(remote_host), remote_port))
        return await connect(remote_host=remote_host, remote_port=remote_port, **options)

    monkeypatch.setattr(anyio, "connect_tcp", noted)
    return made
