"""What others notice of a bad neighbour: one that does not read, one that floods, many that never finish. Prints JSON.

    python -m benchmarks.neighbours [--case slow-reader] [--seconds 5] [--repeat 3]

A hub with its default limits runs on one core, this client on another. Calm and abused phases take turns; each has the
same steady load of well-behaved peers, and what is told is how their latency (p99, from the time at which a message or
a connection was due) compares. Bounds are those of T44, T49 and T64 in the specification's tests; T46, T59 and T68 have
none, and others' latency is just told.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.edge import CLIENT_CORE, SERVER_CORE, Peer, connected, frame, listening
from hub.app import loop_factory
from hub.bench import token
from protocol.version import __version__

ROOT = Path(__file__).parent.parent
DASHBOARDS, RATE, PAYLOAD = 200, 50, 1_900
"""Deliveries of the steady load: 200 x 50/s x 2 KB are 20 MB/s."""

CONNECTS_PER_S = 20
SLOW_HANDSHAKES = 2_000
DRIPS_PER_S = 100
HANDSHAKE_S = 15.0
"""Until then a hub has to be rid of whoever never finished its handshake."""

SETTINGS = {
    "HUB_PORT": "0",
    # All peers come from one address with one key here, and answer no pings. Everything else is as by default.
    "HUB_CONNECTIONS_PER_ADDRESS": "0",
    "HUB_CONNECTIONS_PER_USER": "0",
    "HUB_ACCEPTS_PER_KEY_PER_S": "0",
    "HUB_PING_INTERVAL_S": "3600",
    "PYTHONPATH": str(ROOT),
}


# --- the hub ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hub:
    port: int
    key: str
    process_id: int

    def metric(self, name: str) -> float:
        """A counter or gauge of the hub; 0 if it has not got that far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def closed(self, code: int) -> float:
        """Connections that were closed with this code."""
        return self.metric(f'hub_connections_closed_total{{code="{code}"}}')


@contextlib.contextmanager
def hub(settings: Mapping[str, str] = SETTINGS) -> Iterator[Hub]:
    """A hub in an empty directory, on its own core."""
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "serve", "--log-level", "error"],
            cwd=directory,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            assert process.stdout is not None
            port = listening(process.stdout)
            key = json.loads((Path(directory) / "hub-profile.json").read_text())["accessKey"]
            yield Hub(port, key, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()


# --- the well-behaved -------------------------------------------------------------------------------------------------


class Dashboard(Peer):
    """Notes how old each message is when it comes in."""

    def __init__(self, ages_us: list[int]) -> None:
        super().__init__(None)
        self._ages_us = ages_us

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        now_us = token.now_us()
        self._ages_us += [now_us - int(found[3]) for found in token.PATTERN.finditer(data)]


async def dashboard(at: Hub, ages_us: list[int]) -> Peer:
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": at.key}
    subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": ["dev-1"]}
    return await connected(
        at.port, "/websocket/client", [authenticate, subscribe], None, make=lambda: Dashboard(ages_us)
    )


async def publisher(at: Hub, guid: str) -> Peer:
    """A connection that may publish for a device, which it has registered."""
    device = {"key": "k", "name": guid, "network": {"name": "bench"}, "deviceClass": {"name": "Bench", "version": "1"}}
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": at.key}
    save = {"action": "device/save", "requestId": 2, "deviceId": guid, "device": device}
    return await connected(at.port, "/websocket/client", [authenticate, save], None)


def insert(guid: str, text: str) -> bytes:
    notification = {"notification": "n", "parameters": text}
    return frame({"action": "notification/insert", "requestId": 3, "deviceGuid": guid, "notification": notification})


class Deliveries:
    """A device publishes at a steady rate to many dashboards; the samples are ages of messages, in ms."""

    def __init__(self, at: Hub) -> None:
        self._at = at
        self._ages_us: list[int] = []

    async def open(self) -> None:
        self._publisher = await publisher(self._at, "dev-1")
        self._peers = [await dashboard(self._at, self._ages_us) for _ in range(DASHBOARDS)]

    async def run(self, seconds: float) -> list[float]:
        self._ages_us.clear()
        pad, start_us = "x" * PAYLOAD, token.now_us()
        count = int(seconds * RATE)
        for number in range(count):
            due_us = start_us + number * 1_000_000 // RATE
            await asyncio.sleep(max(0.0, (due_us - token.now_us()) / 1e6))
            self._publisher.transport.write(insert("dev-1", token.write(1, number, due_us).decode() + pad))
        deadline_s = time.monotonic() + 10
        while len(self._ages_us) < count * DASHBOARDS and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
        if len(self._ages_us) < count * DASHBOARDS:
            raise RuntimeError(f"{len(self._ages_us)} of {count * DASHBOARDS} deliveries came")
        return [age / 1_000 for age in self._ages_us]


class Connects:
    """Clients connect and authenticate at a steady rate; the samples are how long each took, in ms."""

    def __init__(self, at: Hub) -> None:
        self._at = at

    async def open(self) -> None:
        await publisher(self._at, "dev-1")

    async def run(self, seconds: float) -> list[float]:
        start_s = time.monotonic()
        attempts = [
            asyncio.create_task(self._one(start_s + number / CONNECTS_PER_S))
            for number in range(int(seconds * CONNECTS_PER_S))
        ]
        return list(await asyncio.gather(*attempts))

    async def _one(self, due_s: float) -> float:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        peer = await dashboard(self._at, [])
        peer.transport.abort()
        return (time.monotonic() - due_s) * 1_000


# --- the others -------------------------------------------------------------------------------------------------------

Notes = dict[str, Any]


@contextlib.asynccontextmanager
async def slow_readers(at: Hub) -> AsyncIterator[Notes]:
    """T44: a dashboard that never reads, and again another one as soon as the hub has closed it."""
    notes: Notes = {"closed_4008": 0}
    before = at.closed(4008)
    times_s: list[float] = []

    async def one_after_the_other() -> None:
        while True:
            peer = await _unread(at)
            start_s, closed = time.monotonic(), at.closed(4008)
            while (await asyncio.to_thread(at.closed, 4008)) == closed:
                await asyncio.sleep(0.1)
            times_s.append(time.monotonic() - start_s)
            peer.close()

    task = asyncio.create_task(one_after_the_other())
    try:
        yield notes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        notes["closed_4008"] = int(at.closed(4008) - before)
        notes["seconds_until_closed"] = [round(seconds, 1) for seconds in times_s]


async def _unread(at: Hub) -> socket.socket:
    """A subscribed WebSocket whose peer reads nothing from now on."""

    def open_one() -> socket.socket:
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.settimeout(30)
        peer.connect(("127.0.0.1", at.port))
        peer.sendall(_opening(at) + _login(at))
        seen = b""
        while seen.count(b'"status":"success"') < 2:
            seen += peer.recv(4_096)
        return peer

    return await asyncio.to_thread(open_one)


def _opening(at: Hub, path: str = "/websocket/client") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _login(at: Hub) -> bytes:
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": at.key}
    subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": ["dev-1"]}
    return frame(authenticate) + frame(subscribe)


def _flood(chunk: bytes, per_chunk: int, rate: int) -> Callable[[Hub], Any]:
    """A peer that sends the same over and over, so many a second or as many as the hub takes, and comes back when it
    is closed."""

    @contextlib.asynccontextmanager
    async def flood(at: Hub) -> AsyncIterator[Notes]:
        notes: Notes = {"sent": 0, "closed_1008": 0}
        over, before = threading.Event(), at.closed(1008)

        def send() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", at.port), 10) as peer:
                    peer.settimeout(0.5)
                    peer.sendall(_opening(at) + _login(at))
                    _send_on(peer)

        def _send_on(peer: socket.socket) -> None:
            due_s = time.monotonic()
            while not over.is_set():
                try:
                    peer.sendall(chunk)
                except TimeoutError:
                    return  # A part was sent: what follows would not be a frame.
                notes["sent"] += per_chunk
                due_s += per_chunk / rate
                over.wait(max(0.0, due_s - time.monotonic()))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            yield notes
        finally:
            over.set()
            await asyncio.to_thread(thread.join, 15)
            notes["closed_1008"] = int(at.closed(1008) - before)

    return flood


@contextlib.asynccontextmanager
async def slow_handshakes(at: Hub) -> AsyncIterator[Notes]:
    """T64: sockets that say nothing, stop amid their request, or drip a byte a second."""
    head = _opening(at)
    peers: list[tuple[socket.socket, int]] = []
    for number in range(SLOW_HANDSHAKES):
        peer = socket.socket()
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", at.port))
        peers.append((peer, number % 3))
        if number % 3 == 1:
            peer.send(head[: len(head) // 2])
    opened_s = time.monotonic()

    async def drip() -> None:
        slow = [peer for peer, kind in peers if kind == 2]
        for byte in head[:-1]:
            for some in range(DRIPS_PER_S):  # All at once, it would be this client that delays the others.
                for peer in slow[some::DRIPS_PER_S]:
                    with contextlib.suppress(OSError):
                        peer.send(bytes([byte]))
                await asyncio.sleep(1 / DRIPS_PER_S)

    task = asyncio.create_task(drip())
    notes: Notes = {"slow_sockets": len(peers)}
    try:
        yield notes
        await asyncio.sleep(max(0.0, opened_s + HANDSHAKE_S - time.monotonic()))
        notes["open_after_15_s"] = sum(_is_open(peer) for peer, _ in peers)
    finally:
        task.cancel()
        for peer, _ in peers:
            peer.close()


def _is_open(peer: socket.socket) -> bool:
    try:
        while peer.recv(4_096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


# --- cases ------------------------------------------------------------------------------------------------------------


def _json_bomb() -> bytes:
    return _masked_text(b"[" * 8_000)


def _masked_text(payload: bytes) -> bytes:
    length = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return b"\x81" + length + b"\0\0\0\0" + payload


@dataclass(frozen=True, slots=True)
class Case:
    """One bad neighbour.

    Attributes:
        bound: what others' p99 may be, times that of the calm phases; None: nothing was promised.
    """

    test: str
    load: Callable[[Hub], "Deliveries | Connects"]
    abuse: Callable[[Hub], Any]
    bound: float | None = None


CASES = {
    "slow-reader": Case("T44", Deliveries, slow_readers, 1.25),
    "ping-flood": Case("T46", Deliveries, _flood((b"\x89\xfd\0\0\0\0" + bytes(125)) * 100, 100, 50_000)),
    "message-flood": Case("T49", Deliveries, _flood(insert("dev-2", "flood") * 500, 500, 50_000), 1.25),
    "json-bombs": Case("T59", Deliveries, _flood(_json_bomb() * 10, 10, 1_000)),
    "slow-handshakes": Case("T64", Connects, slow_handshakes, 1.5),
    "error-flood": Case("T68", Deliveries, _flood(_masked_text(b"not json") * 100, 100, 10_000)),
}


@dataclass(slots=True)
class Phases:
    """Samples of calm and abused phases, in turn; ms."""

    calm: list[list[float]] = field(default_factory=list)
    abused: list[list[float]] = field(default_factory=list)

    def summary(self, bound: float | None) -> dict[str, Any]:
        """Medians over the phases, and the median of the ratios of each abused phase to the calm one before it."""
        ratios = [
            quantile(abused, 0.99) / quantile(calm, 0.99) for calm, abused in zip(self.calm, self.abused, strict=True)
        ]
        ratio = statistics.median(ratios)
        return {
            **{f"calm_{name}_ms": _median(self.calm, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
            **{f"abused_{name}_ms": _median(self.abused, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
            "p99_ratio": round(ratio, 2),
            "p99_ratios": [round(one, 2) for one in ratios],
            "bound": bound,
            "met": bound is None or ratio <= bound,
        }


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample that so large a share of all does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _median(phases: Sequence[Sequence[float]], share: float) -> float:
    return round(statistics.median(quantile(samples, share) for samples in phases), 2)


async def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Calm and abused phases of one case, in turn."""
    with hub() as at:
        load = case.load(at)
        await load.open()
        await load.run(min(1.0, options.seconds))  # until everything is warm
        phases, notes = Phases(), []
        for _ in range(options.repeat):
            phases.calm.append(await load.run(options.seconds))
            async with case.abuse(at) as note:
                await asyncio.sleep(0.2)
                phases.abused.append(await load.run(options.seconds))
            notes.append(note)
    return {"test": case.test, "samples_per_phase": len(phases.calm[0]), **phases.summary(case.bound), "notes": notes}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="only these; all if it is left out")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each phase (5)")
    parser.add_argument("--repeat", type=int, default=3, help="calm and abused phases each (3)")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    results = {}
    for name in options.case or CASES:
        print(f"{name} …", file=sys.stderr, flush=True)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            results[name] = found = runner.run(measure(CASES[name], options))
        told = f"  p99 {found['calm_p99_ms']} → {found['abused_p99_ms']} ms, {found['p99_ratio']} times"
        bound = f" (at most {found['bound']}: {'met' if found['met'] else 'NOT MET'})" if found["bound"] else ""
        print(told + bound, file=sys.stderr, flush=True)
    about = {
        "benchmark": "neighbours",
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "settings": {name: value for name, value in SETTINGS.items() if name.startswith("HUB_")},
        "load": f"{DASHBOARDS} dashboards x {RATE}/s x {PAYLOAD} bytes; {CONNECTS_PER_S} connects/s",
    }
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
