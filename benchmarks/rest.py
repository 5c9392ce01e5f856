"""What the sockets notice of REST: requests beside a fan-out, and thousands of pollers. Prints JSON.

    python -m benchmarks.rest [--case requests] [--seconds 3] [--repeat 3]

The hub runs on one core, this client and the process that sends the requests on the other. Phases with and without
REST take turns. ``requests``: 300 a second, two thirds of them reads, beside 1 -> 200 sockets with one message in
flight; told is the fan-out's rate, times that of the quiet phases. ``pollers``: 2,000 long polls wait while a device
publishes steadily to 200 sockets; told is how old messages are when they come in (p99), times that without pollers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks import neighbours
from benchmarks.edge import CLIENT_CORE, Counter, connected, hub, run
from benchmarks.polls import Client, waiting
from benchmarks.polls import connected as http
from hub.app import loop_factory
from protocol.version import __version__

REQUESTS_PER_S, CONNECTIONS = 300, 12
SUBSCRIBERS = 200
POLLS = 2_000
FAN_OUT_BOUND, LATENCY_BOUND = 0.7, 1.25


# --- requests beside a fan-out ----------------------------------------------------------------------------------------


async def requests(at: neighbours.Hub) -> None:
    """Send requests at a steady rate until stdin ends; then print how many were answered and how late. A process of
    its own."""
    clients = [await http(at, *asked) for asked in _asked() for _ in range(CONNECTIONS // 3)]
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    print("ready", flush=True)
    results = await asyncio.gather(*(_keep_asking(one, over, number) for number, one in enumerate(clients)))
    late_ms = sorted(took for times in results for took in times)
    told = {"answered": len(late_ms), "p50_ms": _share(late_ms, 0.5), "p99_ms": _share(late_ms, 0.99)}
    print(json.dumps(told), flush=True)


def _asked() -> Iterator[tuple[Any, ...]]:
    """Two reads and a write."""
    yield "GET", "/device/dev-1"
    yield "GET", "/device/dev-1/notification?take=20"
    yield "POST", "/device/dev-1/notification", {"notification": "by-rest", "parameters": {"v": 20.5}}


async def _keep_asking(client: Client, over: asyncio.Event, number: int) -> list[float]:
    every_s = CONNECTIONS / REQUESTS_PER_S
    due_s, took_ms = time.perf_counter() + number / REQUESTS_PER_S, []
    while not over.is_set():
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        client.ask()
        status, _ = await client.answer()
        if status not in (200, 201):
            raise RuntimeError(f"answered {status}")
        took_ms.append((time.perf_counter() - due_s) * 1_000)
        due_s += every_s
    return took_ms


def _share(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0


@contextlib.contextmanager
def requesting(port: int, key: str) -> Iterator[dict[str, Any]]:
    """Requests from another process for as long as this lasts; what came of them is told when it is over."""
    told: dict[str, Any] = {}
    words = [sys.executable, "-m", "benchmarks.rest", "--requests-to", str(port)]
    process = subprocess.Popen(
        words, env=os.environ | {"HUB_KEY": key}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield told
        process.stdin.close()
        told |= json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


async def beside_requests(options: argparse.Namespace) -> dict[str, Any]:
    with hub("commit") as (port, key):
        publisher, counter = await _fan_out(port, key)
        await run(publisher, counter, SUBSCRIBERS, 1, 1.0)  # until everything is warm
        quiet, busy, rest = [], [], []
        for _ in range(options.repeat):
            quiet.append((await run(publisher, counter, SUBSCRIBERS, 1, options.seconds))["deliveries_per_s"])
            with requesting(port, key) as told:
                busy.append((await run(publisher, counter, SUBSCRIBERS, 1, options.seconds))["deliveries_per_s"])
            rest.append(told)
    ratios = [round(with_rest / alone, 2) for with_rest, alone in zip(busy, quiet, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "deliveries_per_s": {"alone": statistics.median(quiet), "beside_rest": statistics.median(busy)},
        "rest": rest,
        "ratios": ratios,
        "ratio": ratio,
        "at_least": FAN_OUT_BOUND,
        "met": ratio >= FAN_OUT_BOUND,
    }


async def _fan_out(port: int, key: str) -> tuple[Any, Counter]:
    authenticate = {"action": "authenticate", "requestId": 1, "accessKey": key}
    kind = {"name": "Bench", "version": "1"}
    device = {"key": "k", "name": "Bench", "network": {"name": "bench"}, "deviceClass": kind}
    save = {"action": "device/save", "requestId": 2, "deviceId": "dev-1", "device": device}
    publisher = await connected(port, "/websocket/client", [authenticate, save], None)
    counter = Counter()
    subscribe = {"action": "notification/subscribe", "requestId": 2, "names": ["temperature"]}
    for _ in range(SUBSCRIBERS):
        await connected(port, "/websocket/client", [authenticate, subscribe], counter)
    return publisher, counter


# --- pollers beside sockets -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def polling(at: neighbours.Hub) -> AsyncIterator[neighbours.Notes]:
    """Polls of another device, which nothing comes from, wait as long as they may."""
    await neighbours.publisher(at, "dev-2")
    path = "/device/dev-2/notification/poll?waitTimeout=60"
    polls = [await http(at, "GET", path) for _ in range(POLLS)]
    for poll in polls:
        poll.ask()
    await waiting(at, POLLS)
    try:
        yield {"polls": POLLS}
        await waiting(at, POLLS)
    finally:
        for poll in polls:
            poll.leave()
        await waiting(at, 0)


async def beside_pollers(options: argparse.Namespace) -> dict[str, Any]:
    case = neighbours.Case("D5", neighbours.Deliveries, polling, LATENCY_BOUND)
    return await neighbours.measure(case, options)


CASES = {"requests": beside_requests, "pollers": beside_pollers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="only these; all if it is left out")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each phase (3)")
    parser.add_argument("--repeat", type=int, default=3, help="phases with and without REST each (3)")
    parser.add_argument("--requests-to", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    if options.requests_to is not None:
        asyncio.run(requests(neighbours.Hub(options.requests_to, os.environ["HUB_KEY"], 0)))
        return
    # One key polls two thousand times here, and nothing else is lifted.
    neighbours.SETTINGS |= {"HUB_POLLS_PER_KEY": "0", "HUB_REST_REQUESTS_PER_S": "0"}
    results = {}
    for name in options.case or CASES:
        print(f"{name} …", file=sys.stderr, flush=True)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            results[name] = runner.run(CASES[name](options))
    about = {"benchmark": "rest", "version": __version__, "python": platform.python_version()}
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
