"""examples/dashboard.html in a real browser, beside a real hub."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from hub.client import Options, Registration, connect, connect_device
from tests.examples.browser import CHROMIUM, opened_page, started_browser
from tests.examples.programs import ROOT, START_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: needs chromium or chromium-browser on the PATH"),
]

PAGE = (ROOT / "examples" / "dashboard.html").as_uri()
FAST = Options(backoff_first_s=0.1, backoff_most_s=0.2, patience_s=60)

COLOURED = """(() => {
  const canvas = document.getElementById("chart");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let coloured = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at] === 0x25 && data[at + 1] === 0x63 && data[at + 2] === 0xeb && data[at + 3] === 255) coloured++;
  return coloured;
})()"""
"""How many pixels of the chart have the colour of its first line."""

CONNECTED = "document.getElementById('status').textContent === 'connected'"
MARKUP = "<img src=x onerror=\"window.ran = 'it ran'\">"


@asynccontextmanager
async def lamp(hub):
    """A device that obeys every command, and what it was told to do last."""
    async with connect(hub.url, access_key=hub.key) as manager:
        registration = Registration(name="Lamp", device_class="lamp", network="home")
        await manager.save_device("lamp", registration, key="a key of its own")
    async with connect_device(hub.url, guid="lamp", key="a key of its own", options=FAST) as device:
        obeying = asyncio.create_task(obey(device))
        yield device
        obeying.cancel()
        await asyncio.gather(obeying, return_exceptions=True)


async def obey(device):
    async for command in device.commands():
        await command.reply("done", {"got": command.parameters})


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all of them: each has a window in it that knows nothing of the others."""
    with started_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
async def page(browser):
    async with opened_page(browser) as page:
        yield page


async def connected(page, hub):
    """The page, as somebody opens it from a link that has address and key in it."""
    await page.open(f"{PAGE}#url={hub.url}&key={hub.key}")
    await page.becomes(CONNECTED)


async def send(page, command, parameters, device="lamp"):
    """Fill the form and press its button."""
    for field, text in (("#device", device), ("#name", command), ("#parameters", parameters)):
        await page.types(field, text)
    await page.clicks("#command button")


async def test_a_link_connects_and_the_key_leaves_the_address_bar(started, page):
    """Address and key come behind the #, which no server sees; neither stays where somebody else could look."""
    await connected(page, started)

    assert await page.value("location.href") == PAGE
    behind = (await page.tell("Page.getNavigationHistory"))["entries"]
    assert not any("#" in entry["url"] for entry in behind), "the back button does not bring it back"
    assert await page.value("document.getElementById('key').type") == "password"
    assert await page.value("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert not page.complaints


async def test_address_and_key_can_be_typed(started, page):
    """Without a link: two fields and a button."""
    await page.open(PAGE)
    await page.shows("#status", "not connected")

    await page.types("#url", started.url)
    await page.types("#key", started.key)
    await page.clicks("#connection button")

    await page.becomes(CONNECTED)


async def test_a_wrong_key_is_told_and_not_tried_again(started, page):
    """The person hears that it was refused."""
    await page.open(f"{PAGE}#url={started.url}&key=wrong")

    await page.shows("#status", "refused")
    assert await page.value("hub.stopped")


async def test_live_values_are_listed_and_drawn_and_commands_answered(place, page, tmp_path):
    """What a dashboard is for: notifications, a chart, a command with its result."""
    hub = await place.serve()
    async with lamp(hub) as device:
        await connected(page, hub)
        assert await page.value(COLOURED) == 0

        for watts in (40, 60, 55):
            await device.notify("watts", {"value": watts})
        await page.shows("#list", '{"value":55}')
        await page.becomes(f"{COLOURED} > 10")
        await send(page, "set", '{"on": true}')
        result = await page.shows("#result", "done")
        await page.screenshot(tmp_path / "dashboard.png")

    rows = await page.value("[...document.querySelectorAll('#list div')].map((row) => row.children[3].textContent)")
    assert rows[:3] == ['{"value":55}', '{"value":60}', '{"value":40}'], "the newest first"
    assert await page.text("#legend") == "lamp watts 55"
    assert json.loads(result.removeprefix("done\n")) == {"got": {"on": True}}
    assert (tmp_path / "dashboard.png").stat().st_size > 10_000
    assert not page.complaints


async def test_a_person_is_told_what_is_wrong_with_a_command(started, page):
    """Parameters that are no JSON, and a device that nobody knows."""
    await connected(page, started)

    await send(page, "set", "{on}")
    await page.shows("#result", "JSON")
    await send(page, "set", "{}", device="nobody")
    await page.shows("#result", "not done: Device with such guid = nobody not found")

    assert await page.text("#status") == "connected"
    assert not page.complaints


async def test_the_page_connects_again_and_misses_nothing(place, page):
    """The hub restarts; what was sent before and after is listed, each once."""
    hub = await place.serve()
    async with lamp(hub) as device:
        await connected(page, hub)
        await device.notify("count", 1)
        await page.shows("#legend", "lamp count 1")

        await hub.stop()
        await page.shows("#status", "trying again")
        await place.serve("--port", str(hub.port))
        await device.notify("count", 2, timeout_s=START_S)
        await page.shows("#legend", "lamp count 2")
        await page.becomes(CONNECTED)

    rows = await page.value("[...document.querySelectorAll('#list div')].map((row) => row.children[3].textContent)")
    assert [row for row in rows if row in ("1", "2")] == ["2", "1"]
    assert not page.complaints


async def test_what_devices_say_is_shown_as_text(started, page):
    """Markup in names, values and results is text like any other, and runs nothing."""
    async with lamp(started) as device:
        await connected(page, started)
        await device.notify(MARKUP, {"value": 1})
        await device.notify("said", MARKUP)
        await page.shows("#list", json.dumps(MARKUP))
        await send(page, MARKUP, json.dumps([MARKUP]))
        await page.shows("#result", "done")

    for place_of_text in ("#list", "#legend", "#result"):
        assert "<img src=x onerror=" in await page.text(place_of_text)
    assert await page.value("document.images.length") == 0
    assert await page.value("window.ran ?? null") is None
    assert not page.complaints
