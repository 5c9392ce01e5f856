"""The comparison with other systems runs, and counts rightly: small, and without asking how fast."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.peers.load import Figures, Run, measure
from benchmarks.peers.systems import Served
from benchmarks.peers.wire import ACK, MARKER, Stage

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

SMALL = "--systems hub c --subscribers 20 --devices 3 --windows 1 4 --seconds 0.2 --repeat 1".split()  # noqa: SIM905
CASES = {"fan-out 1", "fan-out 4", "fan-in 10"}


def test_the_hub_and_the_c_programs_are_compared(tmp_path: Path):
    """One small round: every system has figures for every case, of deliveries of the same size, and a bar."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *SMALL, "--results", tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "peers.json").read_text())
    assert (len(report["systems"]), report["skipped"]) == (4, {})
    for name, told in report["systems"].items():
        assert told["cases"].keys() == CASES, name
        assert told["cases"]["fan-out 1"]["bytes_per_delivery"] == 250
        assert told["cases"]["fan-in 10"]["runs"][0]["acknowledged"] > 0
        assert name in "".join(ElementTree.parse(tmp_path / "peers.svg").getroot().itertext())


# --- the client, against servers whose every byte is known

Relay = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


async def counted(relay: Relay) -> list[Figures]:
    """What the client makes of a server that hands each message to its one subscriber like this."""
    subscribers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        role = await reader.readexactly(2)
        writer.write(b"ok")
        if role == b"S\n":
            subscribers.append(writer)
        while message := await reader.read(len(MARKER)):
            await relay(subscribers[0], message)
            writer.write(ACK)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        served = _served(server.sockets[0].getsockname()[1])
        run = Run(subscribers=1, publishers=1, windows=[1], warm_up_s=0, seconds=0.05, gated=True)
        return await asyncio.to_thread(measure, served, run, pad=0)


def _served(port: int) -> Served:
    return Served(port, 0, [Stage(b"S\n", b"ok")], lambda _: [Stage(b"P\n", b"ok")], lambda _: [MARKER], ACK)


async def test_a_marker_in_two_pieces_is_one_delivery():
    """Where the stream of bytes is cut makes no difference to what is counted."""

    async def in_pieces(subscriber: asyncio.StreamWriter, message: bytes) -> None:
        subscriber.write(message[:1])
        await subscriber.drain()
        await asyncio.sleep(0.002)
        subscriber.write(message[1:])

    [figures] = await counted(in_pieces)

    assert figures["messages"] == figures["deliveries"] == figures["acknowledged"] > 0


async def test_a_delivery_too_many_is_an_error():
    """A server that repeats messages gets no figures."""

    async def twice(subscriber: asyncio.StreamWriter, message: bytes) -> None:
        subscriber.write(message + b" " + message)

    with pytest.raises(RuntimeError, match="more than was published"):
        await counted(twice)
