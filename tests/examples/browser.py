"""Chromium without a window, driven through its DevTools protocol."""

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.examples.programs import START_S, Program
from tests.waiting import WAIT_S, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1180,1000",
)


class Page:
    """One page: what is in it, and what a person does with it.

    Attributes:
        complaints: what the page has thrown and nobody has caught.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._loaded = asyncio.Event()
        self._session: str | None = None
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take what the browser says, until it says no more."""
        async for text in self._socket:
            told = json.loads(text)
            if "id" in told:
                self._asked.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"]))

    async def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; returns what comes of it."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        async with asyncio.timeout(WAIT_S):
            told = await self._asked[number]
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def attach(self) -> None:
        """Make an empty page, without a past, and talk to it from now on."""
        context = await self.tell("Target.createBrowserContext", disposeOnDetach=True)
        target = await self.tell("Target.createTarget", url="about:blank", browserContextId=context["browserContextId"])
        attached = await self.tell("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self.tell("Page.enable")
        await self.tell("Runtime.enable")

    async def open(self, url: str) -> None:
        """Go to an address, and wait until everything is there."""
        self._loaded.clear()
        await self.tell("Page.navigate", url=url)
        async with asyncio.timeout(START_S):
            await self._loaded.wait()

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page."""
        told = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def becomes(self, expression: str) -> Any:
        """Wait until an expression is true in the page; returns it."""

        async def true() -> Any:
            return await self.value(expression)

        return await until(true, within_s=2 * WAIT_S)

    async def text(self, selector: str) -> str:
        """What stands in an element."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def shows(self, selector: str, text: str) -> str:
        """Wait until this stands in an element; returns all that stands there."""
        element = f"document.querySelector({json.dumps(selector)})?.textContent"
        found = await self.becomes(f"({element} ?? '').includes({json.dumps(text)}) && {element}")
        return str(found)

    async def types(self, selector: str, text: str) -> None:
        """Put text into a field in place of what is there, key by key."""
        await self.value(f"document.querySelector({json.dumps(selector)}).select()")
        await self.tell("Input.insertText", text=text)

    async def clicks(self, selector: str) -> None:
        """Press the left button on an element, where it is on the screen."""
        middle = await self.value(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({ block: 'center' });"  # not below a header that stays
            " const at = one.getBoundingClientRect(); return [at.x + at.width / 2, at.y + at.height / 2]; })()"
        )
        for event in ("mousePressed", "mouseReleased"):
            place = {"x": middle[0], "y": middle[1], "button": "left", "clickCount": 1}
            await self.tell("Input.dispatchMouseEvent", type=event, **place)

    async def screenshot(self, path: Path) -> None:
        """The page as a person sees it, as PNG."""
        told = await self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def started_browser(directory: Path) -> Iterator[Program]:
    """A browser with nothing in its past."""
    assert CHROMIUM is not None, "tests without a browser are skipped"
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={directory / 'profile'}", "about:blank"]
    browser = Program(words, logs=directory / "chromium")
    try:
        yield browser
    finally:
        browser.kill()


@asynccontextmanager
async def opened_page(browser: Program) -> AsyncIterator[Page]:
    """A page in a browser, gone when it is left."""
    async with connect(await _address(browser), max_size=None) as socket:
        page = Page(socket)
        listening = asyncio.create_task(page.listen())
        try:
            await page.attach()
            yield page
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _address(browser: Program) -> str:
    """Where the browser takes DevTools connections; it says so once it does."""

    async def told() -> str:
        assert browser.code is None, str(browser)
        found = re.search(r"^DevTools listening on (ws\S+)$", browser.err, re.M)
        return found[1] if found else ""

    return await until(told, within_s=START_S)
