"""What a cluster costs and how late it is: the bus beside no bus, two workers, Redis stopped, PostgreSQL beside SQLite.

    python -m benchmarks.cluster [--case local] [--seconds 3] [--repeat 3]

Hubs, Redis and PostgreSQL are real processes. The hub that is measured runs on one core; everything else, this client
included, shares the other. Systems alternate within a run, and what is told are medians and ratios. Prints JSON.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.edge import CLIENT_CORE, SERVER_CORE, Counter, Peer, connected, listening, run
from benchmarks.neighbours import Dashboard, Hub, insert, publisher, quantile
from hub.app import loop_factory
from hub.bench import token
from protocol.version import __version__
from tests import postgres
from tests.bus.servers import Server as Redis

ROOT = Path(__file__).parent.parent
SUBSCRIBERS = 500
PEPPER = "what a benchmark keeps its keys with"


@dataclass(slots=True)
class Running:
    """A hub's process with what a client needs of it."""

    hub: Hub
    process: "subprocess.Popen[str]"

    def ticks(self) -> int:
        """Processor time so far, in clock ticks."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def hub(directory: Path, *, core: int = SERVER_CORE, key: str | None = None, **settings: str) -> Iterator[Running]:
    """A hub with its files in a directory; a second one in the same directory needs the first one's key."""
    environ = {"HUB_LIMITS": "bench", "HUB_PORT": "0", "HUB_PEPPER": PEPPER, "PYTHONPATH": str(ROOT), **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "serve", "--log-level", "error"],
        cwd=directory,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        try:
            port = listening(process.stdout)
        except StopIteration:
            raise RuntimeError(f"a hub did not start: {settings}") from None
        key = key or json.loads((directory / "hub-profile.json").read_text())["accessKey"]
        yield Running(Hub(port, key, process.pid), process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def redis() -> AsyncIterator[Redis]:
    with tempfile.TemporaryDirectory() as directory:
        server = Redis(Path(directory))
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


async def subscribed(at: Hub, number: int, counter: Counter, guid: str = "dev-1") -> list[Peer]:
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": at.key}
    subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": [guid]}
    return [await connected(at.port, "/websocket/client", [authenticate, subscribe], counter) for _ in range(number)]


def _median(found: Sequence[dict[str, Any]], name: str) -> float:
    return round(float(statistics.median(one[name] for one in found)), 2)


# --- cases ------------------------------------------------------------------------------------------------------------


async def alternating(hubs: dict[str, Running], options: argparse.Namespace) -> dict[str, Any]:
    """1 to 500 on each of these in turn, with 1 and with 16 messages in flight; ratios to the first."""
    loads = {}
    for name, one in hubs.items():
        counter = Counter()
        sender = await publisher(one.hub, "dev-1")
        loads[name] = (sender, counter, await subscribed(one.hub, SUBSCRIBERS, counter))
    found: dict[str, Any] = {}
    for window in (1, 16):
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in hubs}
        for _ in range(options.repeat):
            for name, (sender, counter, peers) in loads.items():
                runs[name].append(await run(sender, counter, len(peers), window, options.seconds))
        first = next(iter(hubs))
        found[f"in flight {window}"] = {
            name: {
                "deliveries_per_s": _median(results, "deliveries_per_s"),
                "p50_ms": _median(results, "p50_ms"),
                f"times {first}": round(
                    statistics.median(
                        one["deliveries_per_s"] / other["deliveries_per_s"]
                        for one, other in zip(results, runs[first], strict=True)
                    ),
                    2,
                ),
            }
            for name, results in runs.items()
        }
    return found


async def local(options: argparse.Namespace) -> dict[str, Any]:
    """One worker with the bus off, and one with the bus on, for traffic that stays within it."""
    async with redis() as server:
        with contextlib.ExitStack() as stack:
            places = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
            off = stack.enter_context(hub(places[0]))
            on = stack.enter_context(hub(places[1], HUB_BUS_URL=server.url))
            return await alternating({"bus off": off, "bus on": on}, options)


async def stores(options: argparse.Namespace) -> dict[str, Any]:
    """The same on SQLite and on PostgreSQL, which writes to its disk as it would in earnest."""
    with contextlib.ExitStack() as stack:
        places = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        server = stack.enter_context(postgres.running("-c", "fsync=on"))
        url = stack.enter_context(server.database())
        sqlite = stack.enter_context(hub(places[0]))
        other = stack.enter_context(hub(places[1], HUB_DATABASE_URL=url))
        return await alternating({"SQLite": sqlite, "PostgreSQL": other}, options)


async def two(options: argparse.Namespace) -> dict[str, Any]:
    """A device at one worker, 500 sockets at each of two, which share the second core with Redis and this client."""
    async with redis() as server:
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            first = stack.enter_context(hub(place, HUB_BUS_URL=server.url))
            second = stack.enter_context(hub(place, core=CLIENT_CORE, key=first.hub.key, HUB_BUS_URL=server.url))
            counter = Counter()
            sender = await publisher(first.hub, "dev-1")
            peers = await subscribed(first.hub, SUBSCRIBERS, counter)
            peers += await subscribed(second.hub, SUBSCRIBERS, counter)
            found = {}
            for window in (1, 16, 64):
                before, commands = _logged(first.hub), await _published(server)
                runs = [await run(sender, counter, len(peers), window, options.seconds) for _ in range(options.repeat)]
                after, sent = _logged(first.hub), await _published(server) - commands
                messages = after["writes"] - before["writes"]
                found[f"in flight {window}"] = {
                    "deliveries_per_s": _median(runs, "deliveries_per_s"),
                    "messages_per_s": _median(runs, "messages_per_s"),
                    "p50_ms": _median(runs, "p50_ms"),
                    "redis_commands_per_message": round(sent / messages, 3),
                    "rows_per_commit": round(messages / (after["batches"] - before["batches"]), 1),
                }
            return found | {"load": await _load(first, second, server, options)}


async def _load(first: Running, second: Running, server: Redis, options: argparse.Namespace) -> dict[str, Any]:
    """50 devices at one worker, 16 messages of each in flight, to one dashboard at the other."""
    counter, devices = Counter(), 50
    senders = [await publisher(first.hub, f"load-{number}") for number in range(devices)]
    dashboard = [await subscribed(second.hub, 1, counter, f"load-{number}") for number in range(devices)]
    messages = [insert(f"load-{number}", "|" + "x" * 60) for number in range(devices)]
    before, commands, start_s = _logged(first.hub), await _published(server), time.monotonic()
    sent = 0
    while time.monotonic() < start_s + options.seconds * options.repeat:
        for sender, message in zip(senders, messages, strict=True):
            sender.transport.write(message * 16)
        sent += 16 * devices
        counter.wanted = sent
        if counter.markers < sent:
            counter.reached = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(counter.reached, 30)
    took_s = time.monotonic() - start_s
    after, published = _logged(first.hub), await _published(server) - commands
    del dashboard
    return {
        "messages_per_s": round(sent / took_s),
        "redis_commands_per_message": round(published / sent, 3),
        "rows_per_commit": round((after["writes"] - before["writes"]) / (after["batches"] - before["batches"]), 1),
    }


def _logged(at: Hub) -> dict[str, float]:
    return {name: at.metric(f"hub_log_{name}_total") for name in ("writes", "batches")}


async def _published(server: Redis) -> int:
    """Redis commands so far, but for the signs of life."""
    stats = await server.ask("INFO", "commandstats")
    calls = {name: entry["calls"] for name, entry in stats.items() if name.startswith("cmdstat_")}
    return int(calls.get("cmdstat_publish", 0)) + int(calls.get("cmdstat_spublish", 0))


async def lag(options: argparse.Namespace) -> dict[str, Any]:
    """200 messages a second from one worker to the other, while Redis is there, is gone, and is back."""
    async with redis() as server:
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            first = stack.enter_context(hub(place, HUB_BUS_URL=server.url))
            second = stack.enter_context(hub(place, core=CLIENT_CORE, key=first.hub.key, HUB_BUS_URL=server.url))
            ages = {"there": list[int](), "here": list[int]()}
            sender = await publisher(first.hub, "dev-1")
            for name, one in (("there", second), ("here", first)):
                await _watching(one.hub, ages[name])
            found, steps = {}, (("calm", None), ("redis gone", server.kill), ("redis back", server.start))
            for name, step in steps:
                found[name] = await _ages(sender, ages, step, seconds=4 * options.seconds)
            return found


async def _watching(at: Hub, ages_us: list[int]) -> Peer:
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": at.key}
    subscribe = {"action": "notification/subscribe", "requestId": 2, "deviceGuids": ["dev-1"]}
    make: Callable[[], Peer] = lambda: Dashboard(ages_us)  # noqa: E731
    return await connected(at.port, "/websocket/client", [authenticate, subscribe], None, make=make)


async def _ages(
    sender: Peer, ages: dict[str, list[int]], step: Callable[[], Awaitable[None]] | None, *, seconds: float
) -> dict[str, Any]:
    for kept in ages.values():
        kept.clear()
    if step is not None:
        await step()
    rate, start_us = 200, token.now_us()
    count = int(seconds * rate)
    for number in range(count):
        due_us = start_us + number * 1_000_000 // rate
        await asyncio.sleep(max(0.0, (due_us - token.now_us()) / 1e6))
        sender.transport.write(insert("dev-1", token.write(1, number, due_us).decode()))
    deadline_s = time.monotonic() + 15
    while any(len(kept) < count for kept in ages.values()) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.02)
    told: dict[str, Any] = {"messages": count}
    for name, kept in ages.items():
        told[name] = {"lost": count - len(kept)} | {
            f"p{round(share * 100)}_ms": round(quantile(kept, share) / 1000, 1) for share in (0.5, 0.99)
        }
    return told


async def connections(options: argparse.Namespace) -> dict[str, Any]:
    """Processor time of the hub per message to 100 sockets, while few and while many others are connected."""
    async with redis() as server:
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            one = stack.enter_context(hub(place, HUB_BUS_URL=server.url))
            counter = Counter()
            sender, others = await publisher(one.hub, "dev-1"), 0
            await publisher(one.hub, "dev-2")
            peers = await subscribed(one.hub, 100, counter)
            found: dict[str, Any] = {}
            kept = []
            for idle in (1_000, 9_000):
                kept += await subscribed(one.hub, idle - others, Counter(), "dev-2")
                others = idle
                costs = []
                for _ in range(options.repeat):
                    ticks = one.ticks()
                    result = await run(sender, counter, len(peers), 16, options.seconds)
                    spent_us = (one.ticks() - ticks) / os.sysconf("SC_CLK_TCK") * 1e6
                    costs.append(spent_us / (result["messages_per_s"] * options.seconds))
                found[f"{idle + 100} connections"] = {"cpu_us_per_message": round(statistics.median(costs), 1)}
            few, many = (entry["cpu_us_per_message"] for entry in found.values())
            return found | {"ratio": round(many / few, 2)}


CASES = {"local": local, "two": two, "lag": lag, "stores": stores, "connections": connections}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="only these; all if it is left out")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (3)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (3)")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    results = {}
    for name in options.case or CASES:
        print(f"{name} …", file=sys.stderr, flush=True)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            results[name] = runner.run(CASES[name](options))
        print(f"  {json.dumps(results[name])}", file=sys.stderr, flush=True)
    about = {
        "benchmark": "cluster",
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "limits": "bench",
        "subscribers": SUBSCRIBERS,
    }
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
