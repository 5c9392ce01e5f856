"""Reading a page as a person does: typing its commands, running its programs, sending its frames, in its order."""

import asyncio
import json
import re
import socket
import tomllib
import urllib.request
from contextlib import AsyncExitStack
from typing import Any
from urllib.error import URLError

from websockets.asyncio.client import ClientConnection, connect

from hub.client.profile import FILE_NAME
from hub.settings import Settings
from tests.docs.pages import Block, Command, pattern
from tests.documents import Exchanges
from tests.examples.programs import START_S, Place, Program
from tests.waiting import WAIT_S, until

STATE = ".variables"
SHELL = f"[ -f {STATE} ] && . ./{STATE}\nset -a\n%s\ncode=$?\nexport -p > {STATE}\nexit $code\n"
"""What is set in one command is there in the next."""

AT_DEVICE = ("device", "gateway", "lamp")
"""Names of connections that speak for devices; the others are of applications."""


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Session:
    """One page in one directory, beside one hub."""

    def __init__(self, place: Place, stack: AsyncExitStack) -> None:
        self._place = place
        self._stack = stack
        self._port = free_port()
        self._behind: list[tuple[Block, Command, Program]] = []
        self._sockets: dict[str, tuple[ClientConnection, Exchanges]] = {}
        self._known: dict[str, str] = {}
        self._programs = 0

    async def serve(self) -> None:
        """Start a hub, for a page that does not do so itself."""
        served = await self._place.serve(HUB_PORT=str(self._port))
        self._known["KEY"] = served.key

    async def play(self, block: Block) -> None:
        """Do what a block says, and see what it shows."""
        plays = {"console": self._console, "python": self._python, "frames": self._frames}
        if block.kind in plays:
            await plays[block.kind](block)
        elif block.kind == "json":
            json.loads(block.text)
        elif block.kind == "toml":
            Settings(**tomllib.loads(block.text))

    async def end(self) -> None:
        """See the rest of what is shown by what still runs."""
        for block, command, program in self._behind:
            await self._shows(block, program, command.seen)

    # --- the shell

    async def _console(self, block: Block) -> None:
        *first, last = block.commands
        for command in first:
            await self._type(block, command)
        if "background" in block.marks:
            await self._leave(block, last)
        else:
            await self._type(block, last)

    def _start(self, line: str) -> Program:
        line = re.sub(r"\s+# .*", "", line).replace("8080", str(self._port))
        program: Program = self._place.start(
            "bash", "-c", SHELL % line, HUB_PORT=str(self._port), HUB_DRAIN_S="0", COLUMNS="160"
        )
        return program

    async def _type(self, block: Block, command: Command) -> None:
        program = self._start(command.line)
        await until(lambda: _ended(program), within_s=2 * START_S)
        assert (program.code != 0) == command.line.endswith("# refused"), f"{block}: {program}"
        await self._shows(block, program, command.seen)

    async def _leave(self, block: Block, command: Command) -> None:
        program = self._start(command.line)
        self._behind.append((block, command, program))
        if "hub serve" in command.line:
            await until(self._answers, within_s=START_S)
            profile = json.loads((self._place.path / FILE_NAME).read_text())
            self._known["KEY"] = profile["accessKey"]
        await self._shows(block, program, command.seen.partition("\n")[0])

    async def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=WAIT_S) as answer:
                return bool(answer.status == 200) and (self._place.path / FILE_NAME).exists()
        except (URLError, ConnectionError):
            return False

    async def _shows(self, block: Block, program: Program, seen: str) -> None:
        wanted = pattern(seen.replace("8080", str(self._port)), {})

        async def shown() -> bool:
            ended = program.code is not None
            found = wanted.search(program.out + program.err) is not None
            assert found or not ended, f"{block}: {seen!r} is not what came: {program}"
            return found

        try:
            await until(shown, within_s=START_S)
        except AssertionError as exc:
            raise AssertionError(f"{block}: {seen!r} did not come: {program}") from exc

    async def _python(self, block: Block) -> None:
        self._programs += 1
        name = f"program{self._programs}.py"
        (self._place.path / name).write_text(block.text.replace("8080", str(self._port)))
        program = self._start(f"python {name}")
        await until(lambda: _ended(program), within_s=2 * START_S)
        assert program.code == 0, f"{block}: {program}"

    # --- sockets

    async def _frames(self, block: Block) -> None:
        for line in block.text.splitlines():
            said = re.fullmatch(r"(\w+) +([<>]) (.*)", line)
            assert said is not None, f"{block}: neither sent nor received: {line!r}"
            name, way, text = said.groups()
            peer, exchanges = await self._peer(name, extended="extended" in block.marks)
            if way == ">":
                text = re.sub(r"\$([A-Za-z]\w*)", lambda one: self._known[one[1]], text)
                exchanges.sent(text)
                await peer.send(text)
            else:
                await self._receives(f"{block}: {line}", peer, exchanges, text)

    async def _receives(self, where: str, peer: ClientConnection, exchanges: Exchanges, text: str) -> None:
        received = str(await _next(peer))
        exchanges.received(json.loads(received))
        found = pattern(text, self._known).fullmatch(received)
        assert found is not None, f"{where} but got {received}"
        self._known.update(found.groupdict())

    async def _peer(self, name: str, *, extended: bool) -> tuple[ClientConnection, Exchanges]:
        if name not in self._sockets:
            end = "device" if name in AT_DEVICE else "client"
            options: dict[str, Any] = {"subprotocols": ["hub.1.json"]} if extended else {}
            url = f"ws://127.0.0.1:{self._port}/api/websocket/{end}"
            peer = await self._stack.enter_async_context(connect(url, proxy=None, **options))
            self._sockets[name] = peer, Exchanges(extended=extended)
        return self._sockets[name]


async def _ended(program: Program) -> bool:
    return program.code is not None


async def _next(peer: ClientConnection) -> str | bytes:
    async with asyncio.timeout(WAIT_S):
        return await peer.recv()
