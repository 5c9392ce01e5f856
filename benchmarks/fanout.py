"""The fan-out core alone: no socket, no log, no loop. Prints JSON.

    python benchmarks/fanout.py [--subscribers 1000] [--seconds 1]

A delivery is one message at one subscription, up to the bytes that a socket would be given.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable

from hub.core.access import EVERYTHING, Clause, Principal
from hub.core.connection import Connection, ConnectionLimits
from hub.core.fanout import FanOut
from hub.core.subscription import Published, Subscription
from protocol.codecs import JSON, MSGPACK, Codec
from protocol.messages import Notification
from protocol.names import Endpoint, Kind, Role

PARAMETERS = b'{"v":20.5}'
"""Makes a frame of about 250 bytes."""


def subscribed(
    fan_out: FanOut,
    number: int,
    *,
    codec: Codec = JSON,
    clauses: tuple[Clause, ...] = (EVERYTHING,),
    guids: frozenset[str] | None = None,
    names: frozenset[str] | None = None,
) -> Connection:
    limits = ConnectionLimits(outbox_bytes=1 << 30)
    connection = Connection(endpoint=Endpoint.CLIENT, codec=codec, limits=limits)
    subscription = Subscription(
        f"00000000-0000-4000-8000-{number:012d}",
        Kind.NOTIFICATION,
        connection,
        principal=Principal(Role.ADMIN),
        clauses=clauses,
        guids=guids,
        names=names,
    )
    fan_out.subscribe(subscription)
    return connection


def message(number: int, *, guid: str = "dev-1", name: str = "temperature") -> Published:
    return Published(Notification(number, 1, guid, name, 1_700_000_000_000 + number, PARAMETERS), network_id=1)


def measure(fan_out: FanOut, batches: Callable[[int], list[Published]], *, seconds: float) -> dict[str, float]:
    """Publish a batch a turn and take what every outbox holds, for a while."""
    turns, written = 0, 0
    before = fan_out.deliveries
    start = time.perf_counter()
    while (took := time.perf_counter() - start) < seconds:
        for one in batches(turns):
            fan_out.publish(one)
        for connection in fan_out.take_ready():
            written += len(connection.outbox.take(0))
        turns += 1
    deliveries = fan_out.deliveries - before
    return {
        "deliveries_per_s": round(deliveries / took),
        "us_per_delivery": round(took / deliveries * 1e6, 3),
        "bytes_per_delivery": round(written / deliveries),
    }


def uniform(subscribers: int, in_flight: int, codec: Codec, *, seconds: float) -> dict[str, float]:
    fan_out = FanOut()
    for number in range(subscribers):
        subscribed(fan_out, number, codec=codec)
    return measure(fan_out, lambda turn: [message(turn * 64 + i) for i in range(in_flight)], seconds=seconds)


def two_networks(subscribers: int, in_flight: int, *, seconds: float) -> dict[str, float]:
    """Clients who are members of two networks: two buckets each, so the long way round."""
    fan_out = FanOut()
    for number in range(subscribers):
        subscribed(fan_out, number, clauses=(Clause(networks=frozenset((1, 2))),))
    return measure(fan_out, lambda turn: [message(turn * 64 + i) for i in range(in_flight)], seconds=seconds)


def different_filters(subscribers: int, *, seconds: float) -> dict[str, float]:
    """Everybody with a name filter and a device of their own; a turn has a message for each of them."""
    fan_out = FanOut()
    for number in range(subscribers):
        subscribed(fan_out, number, guids=frozenset((f"dev-{number}",)), names=frozenset((f"name-{number}",)))
    return measure(
        fan_out,
        lambda turn: [message(turn * subscribers + i, guid=f"dev-{i}", name=f"name-{i}") for i in range(subscribers)],
        seconds=seconds,
    )


def overlapping_filters(subscribers: int, in_flight: int, *, seconds: float) -> dict[str, float]:
    """Everybody with filters that nobody else has, and all of them let the same messages through."""
    fan_out = FanOut()
    for number in range(subscribers):
        names = frozenset(("temperature", f"name-{number}"))
        subscribed(fan_out, number, guids=frozenset(("dev-1", f"dev-{number}")), names=names)
    return measure(fan_out, lambda turn: [message(turn * 64 + i) for i in range(in_flight)], seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each case runs")
    options = parser.parse_args()
    n, seconds = options.subscribers, options.seconds
    results = {
        f"uniform, {in_flight} a turn, {name}": uniform(n, in_flight, codec, seconds=seconds)
        for in_flight in (1, 16, 64)
        for name, codec in (("json", JSON), ("msgpack", MSGPACK))
    }
    results["two networks, 16 a turn, json"] = two_networks(n, 16, seconds=seconds)
    results["different filters and devices, json"] = different_filters(n, seconds=seconds)
    for in_flight in (1, 16):
        case = f"own filters, same messages, {in_flight} a turn, json"
        results[case] = overlapping_filters(n, in_flight, seconds=seconds)
    about = {"benchmark": "fanout", "subscribers": n, "python": platform.python_version()}
    print(json.dumps({**about, "results": results}, indent=2))


if __name__ == "__main__":
    main()
