"""What stands at the other end: one Redis, or a Redis Cluster, and which of its nodes has which channel."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from redis.crc import key_slot
from redis.exceptions import ResponseError

from hub.bus.redis_address import Address
from hub.bus.redis_link import Link, Lost

OLDEST = (6, 0)
"""With users and their rights."""

OLDEST_CLUSTER = (7, 0)
"""With sharded pub/sub: before it, each message went to every node."""


@dataclass(slots=True, frozen=True)
class Server:
    """What a server says of itself.

    Attributes:
        version: empty: our user may not ask.
    """

    version: str
    cluster: bool


@dataclass(slots=True, frozen=True)
class Nodes:
    """Which node has which channel.

    Attributes:
        cluster: whether channels are sharded, and have commands of their own.
    """

    cluster: bool
    addresses: tuple[Address, ...]
    _starts: tuple[int, ...] = (0,)
    _ends: tuple[int, ...] = (16383,)
    _owners: tuple[int, ...] = (0,)
    """Ranges of slots: the first of each, the last, and whose it is by its place in ``addresses``."""

    def of(self, channel: bytes) -> int:
        """The place in ``addresses`` of the node that has a channel.

        Raises:
            Lost: none has it, for the time being.
        """
        if not self.cluster:
            return 0
        slot = key_slot(channel)
        at = bisect_right(self._starts, slot) - 1
        if at < 0 or slot > self._ends[at]:
            raise Lost(f"no node of the cluster has slot {slot}")
        return self._owners[at]


async def discover(link: Link) -> Nodes:
    """Ask a server where the channels are.

    Raises:
        Lost: it does not answer, or is none that can be used.
    """
    server = await ask_server(link)
    if not server.cluster:
        return Nodes(False, (link.address,))
    try:
        slots = await link.ask("CLUSTER", "SLOTS")
    except ResponseError as exc:
        raise Lost(link.address.clean(f"{link.address.place}: CLUSTER SLOTS: {exc}")) from exc
    return _nodes(link.address, slots)


async def ask_server(link: Link) -> Server:
    """Version and kind of a server.

    Raises:
        Lost: it does not answer, or is none that can be used.
    """
    try:
        told = _lines(await link.ask("INFO", "server"))
    except ResponseError:
        # A user with the rights for our channels and no others; PUBLISH does on a cluster, too, if it must.
        return Server("", False)
    server = Server(told.get("redis_version", ""), told.get("redis_mode") == "cluster")
    if told.get("redis_mode") == "sentinel":
        raise Lost(f"{link.address.place}: a Sentinel; the bus URL must lead to the Redis behind it")
    oldest = OLDEST_CLUSTER if server.cluster else OLDEST
    if server.version and _numbers(server.version) < oldest:
        kind = "Redis Cluster" if server.cluster else "Redis"
        raise Lost(f"{link.address.place}: {kind} {server.version} is too old; at least {oldest[0]}.{oldest[1]}")
    return server


def _lines(info: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, _, value in pairs}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _nodes(seed: Address, slots: Iterable[tuple[int, int, tuple[bytes | None, int]]]) -> Nodes:
    addresses: list[Address] = []
    ranges = []
    for first, last, master, *_ in sorted(slots, key=lambda found: found[0]):
        host, port = (master[0] or b"").decode(), master[1]
        # "?" is how a node says that it does not know its own name.
        address = seed.at("" if host == "?" else host, port)
        places = [known.place for known in addresses]
        if address.place not in places:
            addresses.append(address)
            places.append(address.place)
        ranges.append((first, last, places.index(address.place)))
    if not ranges:
        raise Lost(f"{seed.place}: a cluster that has no slots yet")
    starts, ends, owners = zip(*ranges, strict=True)
    return Nodes(True, tuple(addresses), starts, ends, owners)
