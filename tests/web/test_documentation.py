"""The API's documentation: the page, and that it needs nobody else."""

import json
import re

import pytest

from protocol.names import Action
from tests.examples.browser import CHROMIUM, opened_page, started_browser
from tests.web.test_http import get


@pytest.mark.parametrize("context", ["", "/api", "/dh"])
@pytest.mark.parametrize(
    ("name", "media"),
    [("docs", "text/html"), ("docs/docs.js", "text/javascript"), ("docs/websocket.js", "text/javascript")],
)
async def test_each_prefix_has_its_page(world, wires, context, name, media):
    """A page of one prefix speaks of that prefix's REST root; nothing in it may come from another host."""
    response = await get(world, wires, f"{context}/{name}")

    assert (response.status, response.headers["content-type"].partition(";")[0]) == (200, media)
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_browser_at_the_front_page_is_shown_the_documentation(world, wires):
    """A program gets JSON there; a person something to read."""
    response = await get(world, wires, "/", ("Accept", "text/html,*/*"))

    assert (response.status, response.headers["location"]) == (307, "/api/docs")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
async def page(browser):
    async with opened_page(browser) as page:
        yield page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_the_page_lists_the_operations_and_tries_one(world, page):
    """Every operation of the document is there; one is sent with a key, and its answer is shown."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/api/docs#notificationInsert")
    await page.shows("#notificationInsert .about", "CreateDeviceNotification")
    document = "fetch('rest/openapi.json').then(a => a.json()).then(d => Object.values(d.paths)"
    ids = await page.value(f"{document}.flatMap(Object.values).map(o => o.operationId).filter(Boolean))")
    assert await page.value("[...document.querySelectorAll('#operations details')].map(d => d.id).sort()") == sorted(
        ids
    )

    await page.value("(() => { scheme.value = 'key'; scheme.dispatchEvent(new Event('change')) })()")
    await page.types("#secret", world.secrets["dashboard"])
    await page.types("#notificationInsert td input", "lamp")
    await page.value("document.querySelector('#notificationInsert textarea').value = '{\"notification\": \"on\"}'")
    await page.clicks("#notificationInsert button")

    await page.shows("#notificationInsert .good", "201 Created")
    await page.shows("#notificationInsert .about > div pre", '"deviceGuid": "lamp"')
    assert not page.complaints


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_the_page_follows_a_stream(world, page):
    """Events are shown as they come, until one has seen enough."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/api/docs#streamNotificationsOfMany")
    await page.shows("#streamNotificationsOfMany .about", "GetDeviceNotification")
    await page.value("(() => { scheme.value = 'key'; scheme.dispatchEvent(new Event('change')) })()")
    await page.types("#secret", world.secrets["dashboard"])
    await page.clicks("#streamNotificationsOfMany button")
    await page.shows("#streamNotificationsOfMany .about > div pre", "event: notification/subscribe")
    headers = "{...credentials(), 'Content-Type': 'application/json'}"
    post = f"{{method: 'POST', headers: {headers}, body: JSON.stringify({{notification: 'on'}})}}"
    await page.value(f"fetch('rest/device/lamp/notification', {post}).then(answer => answer.status)")
    await page.shows("#streamNotificationsOfMany .about > div pre", '"notification":"on"')

    await page.clicks("#streamNotificationsOfMany .about > div button")

    await page.shows("#streamNotificationsOfMany .about > div", "The stream has ended")
    assert not page.complaints


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_operations_can_be_filtered(world, page):
    """Some typing leaves what is meant."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/docs")
    await page.shows("#operations", "/info")

    await page.value("(() => { filter.value = 'get info'; filter.dispatchEvent(new Event('input')) })()")

    shown = "[...document.querySelectorAll('details')].filter(d => d.offsetParent !== null).map(d => d.id)"
    assert "notificationInsert" not in await page.value(shown)
    assert "getInfo" in await page.value(shown)


@pytest.mark.slow
@pytest.mark.parametrize("hash", ["%", "%E0%A4%A", "constructor", "no-such-place", '"]'])
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_an_address_that_leads_nowhere_shows_the_beginning(world, page, hash):  # noqa: A002
    """Somebody cut a link off, or made one up."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/api/docs#{hash}")

    await page.shows("#operations", "/info")
    await page.becomes("!document.querySelector('#operations').hidden && document.querySelector('#sockets').hidden")
    assert await page.value("document.querySelector('#views a[href=\"#rest\"]').ariaCurrent") == "page"
    assert not page.complaints


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["", "hub.1.json"], ids=["ordinary", "extended"])
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_the_console_tries_an_action(world, page, mode):
    """Connect with a key, send the example of an action, and see frames both ways; the key is shown nowhere."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/api/docs#websocket")
    await page.becomes(f"document.querySelectorAll('#action option').length === {len(Action)}")
    await page.value("(() => { scheme.value = 'key'; scheme.dispatchEvent(new Event('change')) })()")
    await page.types("#secret", world.secrets["dashboard"])
    await page.value(f"(() => {{ document.querySelector('#mode').value = '{mode}' }})()")

    await page.clicks("#open")
    await page.shows("#frames .in", "success")
    choose = "a => { a.value = 'notificationSubscribe'; a.dispatchEvent(new Event('change')) }"
    await page.value(f"({choose})(document.querySelector('#action'))")
    await page.clicks("#send")
    await page.shows("#frames", "subscriptionId")
    await page.value(f"({choose.replace('Subscribe', 'Insert')})(document.querySelector('#action'))")
    await page.clicks("#send")
    frames = await page.shows("#frames", '"celsius": 21.5')

    assert ("position" in frames) == bool(mode)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}→", frames)
    assert world.secrets["dashboard"] not in await page.value("document.documentElement.outerHTML")
    await page.value(f"({choose.replace('notificationSubscribe', 'deviceGet')})(document.querySelector('#action'))")
    await page.clicks("#send")
    await page.shows("#frames .bad a", "What to do")
    await page.clicks("#frames .bad a")
    await page.becomes("!document.querySelector('#problems').hidden && location.hash === '#errors-401'")
    assert not await page.value("localStorage.length + sessionStorage.length + document.cookie.length")
    assert not page.complaints


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
async def test_what_a_device_says_is_no_refusal(world, page):
    """Its status may be a word of the hub's, and whatever it sends is text."""
    await page.open(f"http://127.0.0.1:{world.hub.port}/api/docs#websocket")
    await page.becomes(f"document.querySelectorAll('#action option').length === {len(Action)}")
    await page.clicks("#open")
    await page.becomes("!document.querySelector('#send').disabled")

    said = {"action": "command/update", "command": {"status": "error", "result": "<img src=x onerror='text = 1'>"}}
    await page.value(f"frame('in', {json.dumps(json.dumps(said, separators=(',', ':')))})")

    await page.shows("#frames .in", "onerror")
    assert not await page.value("document.querySelectorAll('#frames .bad, #frames img').length")
    assert not page.complaints


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH")
@pytest.mark.parametrize(
    ("view", "box", "text"), [("websocket", "#sockets", "connection/closing"), ("errors", "#problems", "4409")]
)
async def test_each_document_is_shown_and_fits_a_phone(world, page, view, box, text):
    """Nothing is wider than the screen, and each link leads to its document."""
    await page.tell("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    await page.open(f"http://127.0.0.1:{world.hub.port}/dh/docs#{view}")
    await page.shows(box, text)

    await page.value("document.querySelectorAll('details').forEach(one => { one.open = true })")

    assert await page.value("document.documentElement.scrollWidth") == 360
    assert await page.value("fetch(document.querySelector('#documents a').href).then(answer => answer.status)") == 200
    assert not page.complaints
