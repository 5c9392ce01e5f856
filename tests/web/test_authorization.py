"""The page on which people let applications act for them: from a link of the application's to a key that works."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from hub.passwords import hash_password
from protocol.names import UserRole
from tests.core.test_grants import CHALLENGE, VERIFIER
from tests.examples.browser import CHROMIUM, opened_page, started_browser
from tests.rest import http
from tests.rest.http import FORM, Client
from tests.waiting import until
from tests.web.test_http import get

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH"
)


@pytest.mark.parametrize("context", ["", "/api", "/dh"])
@pytest.mark.parametrize("name", ["oauth2", "oauth2/oauth2.js", "oauth2/oauth2.css"])
async def test_no_other_page_shows_it_and_nothing_else_runs_in_it(world, wires, context, name):
    """What is in it comes from here, and frames are refused."""
    response = await get(world, wires, f"{context}/{name}")

    policy = response.headers["content-security-policy"]
    assert (response.status, response.headers["x-frame-options"]) == (200, "DENY")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


# --- in a browser -----------------------------------------------------------------------------------------------------


class Application:
    """Where browsers are sent back to.

    Attributes:
        came: what they have brought, by name.
    """

    def __init__(self) -> None:
        self.came: list[dict[str, str]] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        if path.startswith("/cb"):
            self.came.append({name: values[0] for name, values in parse_qs(path.partition("?")[2]).items()})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
        await writer.drain()
        writer.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/cb"

    async def has_heard(self) -> dict[str, str]:
        """What the next browser brings."""
        await until(lambda: asyncio.sleep(0, self.came))
        return self.came.pop(0)


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    application = Application()
    server = await asyncio.start_server(application.answer, "127.0.0.1", 0)
    application.port = server.sockets[0].getsockname()[1]
    yield application
    server.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
async def page(browser):
    async with opened_page(browser) as page:
        yield page


class Asking:
    """A hub with an OAuth client and a person, and a page that asks the person."""

    def __init__(self, world: Any, page: Any, application: Application, secret: str) -> None:
        self.world, self.page, self.application = world, page, application
        self.client = Client(world.hub.port, http.user("wall", secret))

    async def open(self, **query: str | None) -> None:
        """Follow the application's link."""
        given: dict[str, str | None] = {
            "client_id": "wall",
            "redirect_uri": self.application.address,
            "response_type": "code",
            "scope": "GetNetwork GetDevice",
            "state": "a&b=c",
            **query,
        }
        known = {name: value for name, value in given.items() if value is not None}
        await self.page.open(f"http://127.0.0.1:{self.world.hub.port}/api/oauth2?{urlencode(known)}")

    async def log_in(self, password: str = "ann-pw", login: str = "ann") -> None:
        await self.page.becomes("!document.getElementById('login').hidden")
        await self.page.types("#name", login)
        await self.page.types("#password", password)
        await self.page.clicks("#enter")

    async def consent(self) -> None:
        """Wait until the question is there."""
        await self.page.becomes("!document.getElementById('consent').hidden")

    async def refusal(self) -> str:
        await self.page.becomes("!document.getElementById('trouble').hidden")
        return str(await self.page.text("#trouble"))

    async def exchange(self, code: str, **more: str) -> Any:
        fields = {**more, "grant_type": "authorization_code", "code": code, "redirect_uri": self.application.address}
        return await self.client.post("/oauth2/token", urlencode(fields).encode(), media=FORM)

    async def keys(self) -> list[Any]:
        """All keys of the person."""
        return list(await self.world.change(lambda tx: tx.keys(tx.user_by_login("ann").id)))


@pytest.fixture
async def asking(world, page, application):
    def work(tx):
        for name in ("office", "lab"):
            tx.insert_network(name=name)
        ann = tx.insert_user(login="ann", role=UserRole.CLIENT, password_hash=hash_password("ann-pw"))
        for network in tx.networks():
            tx.add_member(ann.id, network.id)
        made = tx.oauth.insert_client(
            name="Wall display", domain="wall.example", redirect_uri=application.address, oauth_id="wall"
        )
        return made.secret

    return Asking(world, page, application, await world.change(work))


@needs_browser
async def test_a_person_allows_and_the_application_gets_a_key_that_works(asking, page, application):
    """Log in, read what it wants, allow: the code comes with the state, and is exchanged for a key."""
    await asking.open(code_challenge=CHALLENGE, code_challenge_method="S256")
    await asking.log_in()
    await asking.consent()
    assert "see your networks" in await page.text("#actions")
    assert "10 minutes" in await page.text("#term")

    await page.clicks("#allow")
    came = await application.has_heard()

    assert (came.keys(), came["state"]) == ({"code", "state"}, "a&b=c")
    assert (await asking.exchange(came["code"])).status == 401
    token = (await asking.exchange(came["code"], code_verifier=VERIFIER)).json()["access_token"]
    networks = (await Client(asking.world.hub.port, http.key(token)).get("/network")).json()
    assert [one["name"] for one in networks] == ["home", "office", "lab"]
    assert [key.id for key in await asking.keys()] == [key.id for key in await asking.keys() if key.type == 2]
    assert not page.complaints


@needs_browser
async def test_a_person_chooses_networks_and_comes_again(asking, page, application):
    """The second time the same grant is renewed, now for all networks; its earlier key is worth nothing."""
    for only in (True, False):
        await asking.open(response_type="token", access_type="offline", scope="GetNetwork")
        await asking.log_in()
        await asking.consent()
        if only:
            await page.clicks("[name=where][value=some]")
            await page.clicks("#allow")
            assert await asking.refusal() == "Choose at least one network."
            await page.clicks("#networks li:nth-child(2) input")
        await page.clicks("#allow")
        came = await application.has_heard()
        assert came["token_type"] == "Bearer"
        answer = await Client(asking.world.hub.port, http.key(came["access_token"])).get("/network")
        assert [one["name"] for one in answer.json()] == (["lab"] if only else ["home", "office", "lab"])

    assert len(await asking.keys()) == 1


@needs_browser
async def test_a_person_sees_what_was_allowed_and_takes_it_back(asking, page, application):
    """On the same page, opened by itself."""
    await asking.open(response_type="token", access_type="offline", scope="GetNetwork")
    await asking.log_in()
    await asking.consent()
    await page.clicks("#allow")
    key = Client(asking.world.hub.port, http.key((await application.has_heard())["access_token"]))
    assert (await key.get("/network")).status == 200

    await page.open(f"http://127.0.0.1:{asking.world.hub.port}/oauth2")
    await asking.log_in()
    assert "see your networks" in await page.shows("#grants", "Wall display")
    await page.clicks("#grants button")
    await page.shows("#about", "None may act for you")

    assert (await key.get("/network")).status == 401
    await page.clicks("#end")
    await page.becomes("!document.getElementById('login').hidden")
    assert await asking.keys() == []


@needs_browser
async def test_a_person_denies(asking, page, application):
    """The application hears so, and nothing is left of it."""
    await asking.open()
    await asking.log_in()
    await asking.consent()

    await page.clicks("#consent .deny")

    assert await application.has_heard() == {"error": "access_denied", "state": "a&b=c"}
    assert await asking.keys() == []


@needs_browser
async def test_a_wrong_password_is_told_and_another_try_is_possible(asking, page, application):
    """Without saying what of it was wrong; afterwards another person may log in instead."""
    await asking.open()
    await asking.log_in("wrong")
    assert "wrong" in await asking.refusal()
    await asking.log_in()
    await asking.consent()

    await page.clicks("#other")
    await asking.log_in("admin-pw", "admin")
    await page.shows("#who", "admin")

    assert await asking.keys() == []


@needs_browser
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"client_id": None}, "has not said who it is"),
        ({"client_id": "nobody"}, "knows no application called"),
        ({"redirect_uri": "https://evil.example/cb"}, "not registered"),
        ({"redirect_uri": "javascript:alert(1)"}, "not registered"),
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_not_registered(asking, page, application, query, told):
    """Neither with a code nor with an error."""
    await asking.open(**query)

    assert told in await asking.refusal()
    assert await page.value("['login', 'consent', 'leave'].every(id => document.getElementById(id).hidden)")
    assert application.came == []


@needs_browser
@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"scope": "Fly"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"access_type": "forever"}, "invalid_request"),
        ({"code_challenge": CHALLENGE}, "invalid_request"),
    ],
)
async def test_an_application_that_asks_wrongly_hears_of_it(asking, page, application, query, error):
    """When the person goes back."""
    await asking.open(**query)
    await asking.refusal()

    await page.clicks("#return")

    assert (await application.has_heard())["error"] == error


@needs_browser
async def test_what_an_application_is_called_is_text(asking, page):
    """Whoever registers applications writes nothing into the page."""
    name = "<img src=x onerror=alert(1)>"
    await asking.world.change(lambda tx: tx.oauth.update_client(1, name=name))

    await asking.open()

    assert name in await page.shows("#title", name)
    assert await page.value("document.querySelectorAll('main img').length") == 0


@needs_browser
@pytest.mark.parametrize(
    ("registered", "wanted", "where"),
    [
        ("app.com/cb", None, "https://app.com/cb"),
        ("app.com/cb", "app.com/cb", "https://app.com/cb"),
        ("app.com/cb", "http://app.com/cb", None),
        ("app.com/cb", "https://app.com/cb/../other", None),
        ("localhost:3000/cb", "http://localhost:3000/cb", "http://localhost:3000/cb"),
        ("com.example.app:/cb", "com.example.app:/cb", "com.example.app:/cb"),
        ("javascript:/x", None, None),
        ("https://ann@app.com/cb", None, None),
        ("https://app.com/cb", "https://app.com/cb?x=1", None),
        ("https://app.com/cb", "https://APP.com:443/cb", "https://app.com/cb"),
    ],
)
async def test_an_address_is_the_registered_one(asking, page, registered, wanted, where):
    """Registered without its beginning, it is meant with https, and on the person's own computer with http too."""
    await asking.open()
    await page.becomes("!document.getElementById('login').hidden")

    found = await page.value(
        f"(() => {{ try {{ return destination({_in_js(wanted)}, {_in_js(registered)}).href }}"
        " catch { return null } })()"
    )

    assert found == where


def _in_js(text: str | None) -> str:
    return "null" if text is None else repr(text)
