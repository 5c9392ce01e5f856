"""Event streams by the thousand: what they take, and how fast they are served beside sockets. Prints JSON.

    python -m benchmarks.streams [--streams 1000] [--seconds 3] [--repeat 3]

The hub runs as a process of its own on one core, this client on another, which counts a marker byte in what arrives.
Memory is that of the hub's process, before and while they are open; then one device publishes to all of them. Streams
and sockets take turns, so the ratio is one of one run; *in flight*: messages published and not yet delivered to every
subscriber. A delivery is shorter on a stream: there is no subscription id in it.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
from typing import Any

from benchmarks.edge import CLIENT_CORE, Counter, Peer, connected, run
from benchmarks.neighbours import SETTINGS, Hub, hub
from benchmarks.polls import resident_bytes
from hub.app import loop_factory

PATH = "/device/dev-1/notification/stream"
SUBSCRIBE = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": ["dev-1"]}
DEVICE = {"key": "k", "name": "Bench", "network": {"name": "bench"}, "deviceClass": {"name": "Bench", "version": "1"}}


class Reader(Peer):
    """A stream that counts markers; it is ready when the first event has come."""

    def data_received(self, data: bytes) -> None:
        if not self.ready.done() and b"\n\n" in data.partition(b"\r\n\r\n")[2]:
            self.ready.set_result(None)
        if self.counter is not None and (markers := data.count(b"|")):
            self.counter.add(markers)


def authenticate(at: Hub) -> dict[str, Any]:
    return {"action": "authenticate", "requestId": 1, "accessKey": at.key}


async def reader(at: Hub, counter: Counter) -> Peer:
    _, one = await asyncio.get_running_loop().create_connection(lambda: Reader(counter), "127.0.0.1", at.port)
    head = f"GET /api/rest{PATH} HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\nAuthorization: Bearer {at.key}\r\n\r\n"
    one.transport.write(head.encode())
    await asyncio.wait_for(one.ready, 30)
    return one


async def dashboard(at: Hub, counter: Counter) -> Peer:
    return await connected(at.port, "/websocket/client", [authenticate(at), SUBSCRIBE], counter)


async def held(at: Hub, make: Any, number: int) -> tuple[list[Peer], Counter, int]:
    """So many subscribers, and the bytes that they take in the hub."""
    counter, before = Counter(), resident_bytes(at.process_id)
    peers = [await make(at, counter) for _ in range(number)]
    await asyncio.sleep(1)
    return peers, counter, resident_bytes(at.process_id) - before


async def left(at: Hub, peers: list[Peer]) -> None:
    for peer in peers:
        peer.transport.abort()
    while await asyncio.to_thread(at.metric, "hub_connections") > 1:
        await asyncio.sleep(0.05)


async def measure(at: Hub, options: argparse.Namespace) -> dict[str, Any]:
    save = {"action": "device/save", "requestId": 2, "deviceId": "dev-1", "device": DEVICE}
    publisher = await connected(at.port, "/websocket/client", [authenticate(at), save], None)
    await left(at, [await make(at, Counter()) for make in (reader, dashboard) for _ in range(10)])
    taken: dict[str, list[int]] = {"streams": [], "sockets": []}
    rates: dict[int, dict[str, list[dict[str, Any]]]] = {
        window: {kind: [] for kind in taken} for window in options.windows
    }
    for _ in range(options.repeat):
        for kind, make in (("streams", reader), ("sockets", dashboard)):
            peers, counter, size = await held(at, make, options.streams)
            taken[kind].append(size)
            for window in options.windows:
                rates[window][kind].append(await run(publisher, counter, len(peers), window, options.seconds))
            await left(at, peers)
    return {
        # The first of a kind finds no memory that others have left.
        "mib": {kind: [round(size / 2**20, 1) for size in sizes] for kind, sizes in taken.items()},
        "kib_each": {kind: round(max(sizes) / 1024 / options.streams, 1) for kind, sizes in taken.items()},
        "in_flight": {window: compared(found) for window, found in rates.items()},
    }


def compared(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians, and the median of the ratios of runs that followed each other."""
    each = {kind: [one["deliveries_per_s"] for one in runs] for kind, runs in found.items()}
    ratios = [stream / socket for stream, socket in zip(each["streams"], each["sockets"], strict=True)]
    told: dict[str, Any] = {f"{kind}_deliveries_per_s": round(statistics.median(rate)) for kind, rate in each.items()}
    busy = {f"{kind}_client_busy": max(one["client_busy"] for one in runs) for kind, runs in found.items()}
    return told | busy | {"streams_per_socket_rate": round(statistics.median(ratios), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each run takes")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are told")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 16], help="messages in flight")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    about = {"benchmark": "streams", "streams": options.streams, "python": platform.python_version(), "limits": "bench"}
    settings = SETTINGS | {"HUB_LIMITS": "bench"}
    with hub(settings) as at, asyncio.Runner(loop_factory=loop_factory()) as runner:
        result = runner.run(measure(at, options))
    print(json.dumps({**about, "per message": "durable, id, rights", **result}, indent=2))


if __name__ == "__main__":
    main()
