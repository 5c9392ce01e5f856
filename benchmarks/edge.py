"""The whole hub: one device publishes, a thousand sockets receive. Prints JSON.

    python benchmarks/edge.py [--subscribers 1000] [--seconds 3] [--repeat 3]

The hub runs as a process of its own on one core, this client on another. *In flight*: messages published and not yet
delivered to every subscriber. The client counts a marker byte in what arrives instead of parsing it, so that it costs
less than the server; it says how busy it was. Every message is durable before it is pushed, unless ``queued`` is said.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

from websockets.speedups import apply_mask

from hub.app import loop_factory

MARKER = b"|"
"""Not ``~``: that is the 126 in the header of a frame."""
SERVER_CORE, CLIENT_CORE = 0, 1
ZERO_MASK = b"\0\0\0\0"


def frame(members: dict[str, Any]) -> bytes:
    """A masked text frame, as clients send it."""
    payload = json.dumps(members, separators=(",", ":")).encode()
    length = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return b"\x81" + length + ZERO_MASK + apply_mask(payload, ZERO_MASK)


class Adds(Protocol):
    """What is told how many messages have come."""

    def add(self, markers: int, /) -> None: ...


class Counter:
    """What all subscribers of a run have received."""

    def __init__(self) -> None:
        self.markers = 0
        self.wanted = 0
        self.reached: asyncio.Future[None] | None = None

    def add(self, markers: int) -> None:
        self.markers += markers
        if self.reached is not None and self.markers >= self.wanted:
            self.reached.set_result(None)
            self.reached = None


class Peer(asyncio.Protocol):
    """A WebSocket that counts markers, and answers nothing but what it is asked to send."""

    def __init__(self, counter: Adds | None) -> None:
        self.counter = counter
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.responses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.responses += data.count(b'"status":"success"') + data.count(b" 101 ")
            if b'"error"' in data:
                self.ready.set_exception(RuntimeError(data.decode(errors="replace")))
            elif self.responses == 3:
                self.ready.set_result(None)
        if self.counter is not None and (markers := data.count(MARKER)):
            self.counter.add(markers)


async def connected(
    port: int,
    path: str,
    first: list[dict[str, Any]],
    counter: Counter | None,
    make: Callable[[], Peer] | None = None,
) -> Peer:
    """Open a WebSocket, send two requests, and wait until both have succeeded."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(make or (lambda: Peer(counter)), "127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    peer.transport.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    peer.transport.write(b"".join(map(frame, first)))
    await asyncio.wait_for(peer.ready, 30)
    return peer


async def fan_out(port: int, key: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """1 device -> N dashboards, with each window in turn, several times."""
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": key}
    counter = Counter()
    device = {
        "action": "device/save",
        "requestId": 2,
        "deviceId": "dev-1",
        "device": {
            "key": "k",
            "name": "Bench",
            "network": {"name": "bench"},
            "deviceClass": {"name": "Bench", "version": "1"},
        },
    }
    publisher = await connected(port, "/websocket/client", [authenticate, device], None)
    subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": ["dev-1"]}
    peers = [
        await connected(port, "/websocket/client", [authenticate, subscribe], counter)
        for _ in range(options.subscribers)
    ]
    results = []
    for window in options.windows:
        rates = [await run(publisher, counter, len(peers), window, options.seconds) for _ in range(options.repeat)]
        rates.sort(key=lambda rate: rate["deliveries_per_s"])
        results.append({"in_flight": window, **rates[len(rates) // 2], "runs": len(rates)})
    return results


async def run(publisher: Peer, counter: Counter, subscribers: int, window: int, seconds: float) -> dict[str, Any]:
    message = frame(
        {
            "action": "notification/insert",
            "requestId": 9,
            "deviceGuid": "dev-1",
            "notification": {"notification": "temperature", "parameters": {"v": 20.5, "m": "|"}},
        }
    )
    loop = asyncio.get_running_loop()
    base = counter.markers
    sent = 0
    times_ms = []
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        at = time.perf_counter()
        # Windows of messages: the next goes out when the oldest has reached everybody.
        publisher.transport.write(message * (window if sent == 0 else 1))
        sent += window if sent == 0 else 1
        counter.wanted = base + (sent - window + 1) * subscribers
        if counter.markers < counter.wanted:
            counter.reached = loop.create_future()
            await asyncio.wait_for(counter.reached, 30)
        times_ms.append((time.perf_counter() - at) * 1000)
    counter.wanted = base + sent * subscribers
    if counter.markers < counter.wanted:
        counter.reached = loop.create_future()
        await asyncio.wait_for(counter.reached, 30)
    took = time.perf_counter() - start
    assert counter.markers == counter.wanted, f"{counter.markers - counter.wanted} deliveries too many"
    return {
        "deliveries_per_s": round(sent * subscribers / took),
        "messages_per_s": round(sent / took),
        "p50_ms": round(statistics.median(times_ms), 2),
        "client_busy": round((time.process_time() - cpu) / took, 2),
    }


def listening(stdout: IO[str]) -> int:
    """The port of a hub, by the line in which it tells; a first start has told its secrets before."""
    line = next(line for line in stdout if "://" in line)
    return int(line.split("://")[1].split()[0].rsplit(":", 1)[1])


@contextmanager
def hub(durability: str) -> Iterator[tuple[int, str]]:
    """A hub in an empty directory, on its own core; gives its port and an access key."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"HUB_LIMITS": "bench", "HUB_DURABILITY": durability, "HUB_PORT": "0"}
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "serve", "--log-level", "error"],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        assert process.stdout is not None
        port = listening(process.stdout)
        try:
            yield port, json.loads((Path(directory) / "hub-profile.json").read_text())["accessKey"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case; the median is told")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 16], help="messages in flight")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    about = {
        "benchmark": "edge",
        "subscribers": options.subscribers,
        "python": platform.python_version(),
        "limits": "bench",
        "per message": "durable (or queued), id, rights, own subscription id",
    }
    results = {}
    for durability in ("commit", "queued"):
        # The client has to be cheaper than the server: it runs on the same kind of loop.
        with hub(durability) as (port, key), asyncio.Runner(loop_factory=loop_factory()) as runner:
            results[durability] = runner.run(fan_out(port, key, options))
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
