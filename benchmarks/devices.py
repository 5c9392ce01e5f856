"""What a message costs when the hub knows few devices, and when it knows many. Prints JSON.

    python benchmarks/devices.py [--devices 10 1000 100000] [--seconds 3] [--repeat 3]

A hub for each number of devices, all on one core; publishers on another core insert notifications for all devices in
turn, and one dashboard gets every one of them. The hubs alternate within one run; told are medians, and the median
ratio to the hub with the fewest devices in the same round. ``cpu_us`` is the processor time of the whole hub process
per message: decoded, checked, durable, answered, delivered. ``first`` is the same for the first message of each device
after a start, when the hub has to look the device up.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path

from benchmarks.edge import CLIENT_CORE, MARKER, SERVER_CORE, Counter, Peer, connected, frame, listening
from hub.app import loop_factory, make_store
from hub.settings import Settings
from hub.settings_urls import Url
from hub.store import Tx

PUBLISHERS, IN_FLIGHT = 8, 16
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Publisher:
    """Inserts over one socket, so many at a time: each answer sends the next message."""

    def __init__(self, peer: Peer, messages: Iterator[bytes]) -> None:
        self.sent = self.answered = 0
        self._peer, self._messages = peer, messages
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        peer.counter = self

    async def publish(self, number: int) -> None:
        """Insert so many messages, and wait until all of them are answered."""
        self._left = number
        self._done = asyncio.get_running_loop().create_future()
        self._send(IN_FLIGHT)
        await self._done

    def add(self, answers: int) -> None:
        self.answered += answers
        self._send(answers)
        if self.answered == self.sent and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def stop(self) -> None:
        self._left = 0

    def _send(self, most: int) -> None:
        messages = [*islice(self._messages, min(most, self._left))]
        if messages:
            self._left -= len(messages)
            self.sent += len(messages)
            self._peer.transport.write(b"".join(messages))


class Bench:
    """A running hub with its publishers and its dashboard."""

    def __init__(self, devices: int, process: int) -> None:
        self.devices = devices
        self._process = process
        self._delivered = Counter()

    async def connect(self, port: int, key: str) -> None:
        authenticate = {"action": "authenticate", "requestId": 1, "accessKey": key}
        subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": None}
        nothing = {"action": "server/info", "requestId": 2}
        path = "/websocket/client"
        await connected(port, path, [authenticate, subscribe], self._delivered)
        self._delivered.markers = 0  # The length of an answer may look like one.
        numbers = [*range(self.devices)]
        random.Random(1).shuffle(numbers)
        messages = cycle([insert(number) for number in numbers])
        peers = [await connected(port, path, [authenticate, nothing], None) for _ in range(PUBLISHERS)]
        self._publishers = [Publisher(peer, messages) for peer in peers]

    async def first(self) -> dict[str, float]:
        """One message, about, for each device."""
        return await self._measured(number=self.devices // PUBLISHERS + 1, seconds=600)

    async def run(self, seconds: float) -> dict[str, float]:
        return await self._measured(number=10**9, seconds=seconds)

    async def _measured(self, *, number: int, seconds: float) -> dict[str, float]:
        loop = asyncio.get_running_loop()
        before, base = cpu_s(self._process), self._sent
        start_s, client_s = time.perf_counter(), time.process_time()
        timers = [loop.call_later(seconds, publisher.stop) for publisher in self._publishers]
        await asyncio.gather(*(publisher.publish(number) for publisher in self._publishers))
        await self._all_delivered()
        took_s = time.perf_counter() - start_s
        messages = self._sent - base
        for timer in timers:
            timer.cancel()
        return {
            "cpu_us": round((cpu_s(self._process) - before) / messages * 1e6, 1),
            "messages_per_s": round(messages / took_s),
            "client_busy": round((time.process_time() - client_s) / took_s, 2),
        }

    @property
    def _sent(self) -> int:
        return sum(publisher.sent for publisher in self._publishers)

    async def _all_delivered(self) -> None:
        self._delivered.wanted = self._sent
        if self._delivered.markers < self._delivered.wanted:
            self._delivered.reached = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._delivered.reached, 30)
        assert self._delivered.markers == self._sent, f"{self._delivered.markers} deliveries of {self._sent}"


def insert(number: int) -> bytes:
    """The marker comes once in the answer, as the request id, and once in the push."""
    parameters = {"v": 20.5, "m": MARKER.decode(), "note": "x" * 40}
    return frame(
        {
            "action": "notification/insert",
            "requestId": MARKER.decode(),
            "deviceGuid": f"dev-{number}",
            "notification": {"notification": "temperature", "parameters": parameters},
        }
    )


def cpu_s(process: int) -> float:
    """Processor time of a process so far, all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


# --- hubs with devices ------------------------------------------------------------------------------------------------


def prepare(directory: Path, devices: int) -> None:
    """Make a database with these devices: one through the store, the others as copies of its row."""
    path = directory / "hub.db"

    async def make() -> None:
        store = make_store(Settings(database_url=Url(f"sqlite:///{path}")))
        await store.open()
        await store.transact(first_device)
        await store.close()

    asyncio.run(make())
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            """
            WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ? - 1)
            INSERT INTO device (guid, name, key, network_id, device_class_id)
            SELECT 'dev-' || n, name, key, network_id, device_class_id FROM device, numbers WHERE guid = 'dev-0'
            """,
            (devices,),
        )
    connection.close()


def first_device(tx: Tx) -> None:
    network = tx.insert_network(name="bench")
    kind = tx.insert_class(name="Bench", version="1")
    tx.insert_device(guid="dev-0", key="k", name="Bench", class_id=kind.id, network_id=network.id)


@contextmanager
def hub(devices: int) -> Iterator[tuple[int, int, str]]:
    """A hub that knows so many devices; gives its process, its port and an access key."""
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), devices)
        # The client answers no pings, and some of its sockets are silent while other hubs are measured.
        environment = os.environ | {"HUB_LIMITS": "bench", "HUB_PORT": "0", "HUB_PING_INTERVAL_S": "3600"}
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        command = [sys.executable, "-m", "hub", "serve", "--log-level", "error"]
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        assert process.stdout is not None
        try:
            port = listening(process.stdout)
            yield process.pid, port, json.loads((Path(place) / "hub-profile.json").read_text())["accessKey"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


# --- the whole --------------------------------------------------------------------------------------------------------


async def alternate(
    hubs: list[tuple[int, tuple[int, int, str]]], options: argparse.Namespace
) -> list[dict[str, object]]:
    benches = []
    for devices, (process, port, key) in hubs:
        bench = Bench(devices, process)
        await bench.connect(port, key)
        benches.append(bench)
    first = [await bench.first() for bench in benches]
    runs: list[list[dict[str, float]]] = [[] for _ in benches]
    for _ in range(options.repeat):
        for bench, results in zip(benches, runs, strict=True):
            results.append(await bench.run(options.seconds))
    return told(benches, first, runs)


def told(
    benches: list[Bench], first: list[dict[str, float]], runs: list[list[dict[str, float]]]
) -> list[dict[str, object]]:
    return [
        {
            "devices": bench.devices,
            **{name: statistics.median(run[name] for run in results) for name in results[0]},
            "cpu_ratio": ratio("cpu_us", results, runs[0]),
            "messages_ratio": ratio("messages_per_s", results, runs[0]),
            "first": begun,
            "runs": [run["cpu_us"] for run in results],
        }
        for bench, begun, results in zip(benches, first, runs, strict=True)
    ]


def ratio(name: str, results: list[dict[str, float]], fewest: list[dict[str, float]]) -> float:
    """The median over the rounds: what disturbs one round disturbs all hubs in it."""
    return round(statistics.median(one[name] / other[name] for one, other in zip(results, fewest, strict=True)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case; the median is told")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    with ExitStack() as stack:
        hubs = [(devices, stack.enter_context(hub(devices))) for devices in options.devices]
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            results = runner.run(alternate(hubs, options))
    about = {
        "benchmark": "devices",
        "python": platform.python_version(),
        "limits": "bench",
        "publishers": PUBLISHERS,
        "in flight": PUBLISHERS * IN_FLIGHT,
        "per message": "durable, id, rights, acknowledged, delivered once",
    }
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
