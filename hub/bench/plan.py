"""What to run, who watches it, and what can go wrong: all that the command line and the engine say to each other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hub.bench.result import Sample

PUBLISHERS_MAX = 100_000
"""A message says which publisher it is from in five digits."""
PROCESSES_MAX = 256
COMMANDERS = 8
"""Sockets over which a mixed run sends its commands."""
WINDOW_MAX = 100_000
PARAMETERS_MIN = 64
"""Bytes: what the tool itself writes into a message (see :mod:`hub.bench.token`) has room in this."""
PARAMETERS_MAX = 60_000
DURATION_MAX_S = 86_400.0
SOCKETS_PER_ADDRESS = 20_000
"""A source address has about 28,000 ports towards one hub; this leaves some for who else is on the machine."""


class BenchError(Exception):
    """A run cannot be made, or broke off; the text says why and what would help.

    Attributes:
        code: what the process exits with: 2 for wrong arguments, 1 for everything else.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Scenario(StrEnum):
    """What is measured."""

    CONNECT = "connect"
    FANOUT = "fanout"
    FANIN = "fanin"
    COMMANDS = "commands"
    MIXED = "mixed"
    RECONNECT = "reconnect"
    SLOW = "slow"


class WireCodec(StrEnum):
    """How messages are written."""

    JSON = "json"
    MSGPACK = "msgpack"


class Filters(StrEnum):
    """What dashboards subscribe to: every device of the run, or one device each."""

    ALL = "all"
    OWN = "own"


class Arrival(StrEnum):
    """How connections come: as many at once as ``handshakes`` allows, or ``rate`` a second."""

    STORM = "storm"
    STEADY = "steady"


class Backoff(StrEnum):
    """When dropped connections come back: at once, or after a random part of a growing time (full jitter)."""

    IMMEDIATE = "immediate"
    JITTER = "jitter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Whoever makes it calls :meth:`checked` before :func:`hub.bench.run.run`.

    Attributes:
        url: the hub's WebSocket address, such as ``ws://127.0.0.1:8080/api/websocket``.
        key: an access key that may do what the scenario does; an administrator's makes everything else.
        devices: devices that exist; ``fanin``, ``commands`` and ``mixed`` connect each of them.
        dashboards: subscribers; in ``connect`` and ``reconnect`` the sockets that come; in ``commands`` who sends.
        publishers: devices that publish in ``fanout``, ``slow`` and ``reconnect``.
        rate: messages per second of all publishers together (``connect --steady``: connections per second), on a
            schedule that the hub cannot slow down. None: closed loop, ``window`` messages in flight.
        window: messages in flight. ``fanout`` and ``slow``: of all publishers, published and not yet at every
            dashboard. ``fanin``: of each device, not yet acknowledged. ``commands``: of each dashboard, without a
            result.
        duration_s: how long is measured; of ``connect`` how long the sockets stay.
        warmup_s: how long the load runs before that.
        processes: load processes; None: as many as the cores and the scenario allow.
        payload_bytes: size of a message's ``parameters``.
        check: whether lost, repeated and reordered messages are looked for.
        handshakes: connections on their way in at the same time, over all processes.
        commands_per_s: commands of all dashboards together (``mixed``).
        churn_per_s: dashboards that leave and come again each second (``mixed``).
        slow_share: part of the dashboards that stop reading (``slow``), 0 to 1.
        outage_s: how long the dropped sockets stay away (``reconnect``), while publishing goes on.
        recover: whether they ask for what they missed (``since``) when they are back.
        sources: loopback addresses to connect from; None: as many as the number of sockets needs.
        pin: processor cores for the load processes, one after another; empty: wherever the system puts them.
        keep: leave network, devices and key of the run in the hub.
        drain_s: how long to wait for what is still on its way at the end.
        connect_s: how long all connections may take before measuring starts, and a single one at any time.
    """

    scenario: Scenario
    url: str
    key: str = field(repr=False)
    devices: int = 1
    dashboards: int = 100
    publishers: int = 1
    rate: float | None = None
    window: int = 1
    duration_s: float = 10.0
    warmup_s: float = 1.0
    processes: int | None = None
    payload_bytes: int = PARAMETERS_MIN
    codec: WireCodec = WireCodec.JSON
    check: bool = True
    filters: Filters = Filters.ALL
    arrival: Arrival = Arrival.STORM
    handshakes: int = 200
    commands_per_s: float = 0.0
    churn_per_s: float = 0.0
    slow_share: float = 0.1
    outage_s: float = 0.0
    recover: bool = True
    backoff: Backoff = Backoff.IMMEDIATE
    sources: int | None = None
    pin: tuple[int, ...] = ()
    keep: bool = False
    drain_s: float = 10.0
    connect_s: float = 60.0

    def checked(self) -> "Plan":
        """The plan itself.

        Raises:
            BenchError: with a line for each option that cannot be (exit code 2).
        """
        problems = [*self._out_of_range(), *self._disagreements()]
        if problems:
            raise BenchError("\n".join(problems), 2)
        return self

    def _out_of_range(self) -> Iterator[str]:
        for option, value, (least, most) in (
            ("--devices", self.devices, (1, PUBLISHERS_MAX)),
            ("--dashboards", self.dashboards, (1, 1_000_000)),
            ("--publishers", self.publishers, (1, PUBLISHERS_MAX)),
            ("--rate", self.rate, (0.001, 1e7)),
            ("--in-flight", self.window, (1, WINDOW_MAX)),
            ("--duration", self.duration_s, (0, DURATION_MAX_S)),
            ("--warmup", self.warmup_s, (0, DURATION_MAX_S)),
            ("--processes", self.processes, (1, PROCESSES_MAX)),
            ("--payload", self.payload_bytes, (PARAMETERS_MIN, PARAMETERS_MAX)),
            ("--handshakes", self.handshakes, (1, 100_000)),
            ("--commands-rate", self.commands_per_s, (0, 1e6)),
            ("--churn", self.churn_per_s, (0, 1e5)),
            ("--slow", self.slow_share, (0, 1)),
            ("--outage", self.outage_s, (0, 600)),
            ("--sources", self.sources, (1, 250)),
            ("--drain", self.drain_s, (0, 600)),
            ("--connect-timeout", self.connect_s, (0.1, 3600)),
        ):
            if value is not None and not (math.isfinite(value) and least <= value <= most):
                yield f"{option}: must be from {least:g} to {most:g}"
        if any(core < 0 for core in self.pin):
            yield "--pin: cores are numbers from 0 on, such as 1 or 2,3"

    def _disagreements(self) -> Iterator[str]:
        if not self.url.startswith(("ws://", "wss://")):
            yield "--url: must look like ws://127.0.0.1:8080/api/websocket"
        if self.scenario is Scenario.CONNECT and (self.arrival is Arrival.STEADY) != (self.rate is not None):
            yield "--steady needs --rate, in connections per second, and --rate needs --steady"
        if self.scenario is Scenario.MIXED and self.rate is None:
            yield "--rate: a mixed run needs a rate, in messages per second of all devices together"
        if self.scenario is Scenario.RECONNECT and self.rate is None:
            yield "--rate: a reconnect run needs a rate: publishing goes on while nobody is there"
        if self.scenario is Scenario.SLOW and (not 0 < self.slow_share < 1 or self.dashboards < 2):
            yield "--slow: must be between 0 and 1, of 2 dashboards or more: somebody reads and somebody does not"
        if self.scenario is not Scenario.MIXED and (self.commands_per_s or self.churn_per_s):
            yield "--commands-rate and --churn: are of mixed runs only"
        if self.filters is Filters.OWN and self.scenario in (Scenario.FANOUT, Scenario.SLOW, Scenario.RECONNECT):
            if self.publishers > self.dashboards:
                yield "--publishers: with --filters own, at most as many as dashboards: somebody has to listen to each"
            if self.rate is None and (self.processes or 1) > 1:
                yield "--processes: must be 1 for a closed loop with --filters own; or give a --rate"
        if self.duration_s <= 0 and self.scenario is not Scenario.CONNECT:
            yield "--duration: must be more than 0"

    @property
    def publishing(self) -> int:
        """How many devices publish."""
        match self.scenario:
            case Scenario.CONNECT | Scenario.COMMANDS:
                return 0
            case Scenario.FANIN | Scenario.MIXED:
                return self.devices
            case _:
                return self.publishers

    @property
    def commanders(self) -> int:
        """How many dashboards send commands."""
        if self.scenario is Scenario.COMMANDS:
            return self.dashboards
        return min(COMMANDERS, self.dashboards) if self.commands_per_s else 0

    @property
    def slow(self) -> int:
        """How many dashboards stop reading: somebody does, and somebody does not."""
        if self.scenario is not Scenario.SLOW:
            return 0
        return min(max(1, round(self.slow_share * self.dashboards)), self.dashboards - 1)

    @property
    def roles(self) -> dict[str, int]:
        """How many sockets there are before the load begins, by what they do."""
        if self.scenario is Scenario.CONNECT:
            return {}
        if self.scenario is Scenario.COMMANDS:
            return {"devices": self.devices, "dashboards that send commands": self.commanders}
        return {
            "dashboards": self.dashboards - self.slow,
            "slow dashboards": self.slow,
            "devices": self.publishing,
            "dashboards that send commands": self.commanders,
        }

    @property
    def known_devices(self) -> int:
        """How many devices the run makes: at least as many as publish, and one for each filter."""
        return max(self.devices, self.publishing)


class View(Protocol):
    """Who watches a run. Called from the thread that called :func:`hub.bench.run.run`; must not block for long."""

    def phase(self, name: str, total: int | None) -> None:
        """Something begins: ``connecting``, ``warming up``, ``measuring``.

        Args:
            total: how far :meth:`advance` will count (``connecting``: sockets), or how many seconds will be told
                (``measuring``).
        """

    def advance(self, count: int) -> None:
        """So much more of the phase is done."""

    def sample(self, sample: "Sample") -> None:
        """A second of the run has passed."""

    def warn(self, text: str) -> None:
        """Something that whoever reads the result has to know; it is in the result, too."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a run calls what it makes in the hub. All of it can be told by ``tag``, and by no other run's."""

    tag: str
    devices: int

    @property
    def network(self) -> str:
        return f"bench-{self.tag}"

    @property
    def device_class(self) -> str:
        return f"bench-{self.tag}"

    @property
    def label(self) -> str:
        """Of the access key."""
        return f"bench-{self.tag}"

    @property
    def login(self) -> str:
        return f"bench-{self.tag}"

    def guid(self, number: int) -> str:
        """Of a device; all are of one length, so that all messages are."""
        return f"bench-{self.tag}-{number:05d}"

    def guids(self) -> list[str]:
        return [self.guid(number) for number in range(self.devices)]


class Entities(Protocol):
    """Makes and removes what a run needs in a hub whose database can be reached from here."""

    def make(self, names: Names, device_key: str) -> str:
        """Make network, class, devices and an access key for them; returns the key.

        Raises:
            Exception: nothing has been made, or :meth:`remove` will remove it.
        """

    def remove(self, names: Names) -> None:
        """Remove all of it, with the messages of the devices. What is not there is passed over."""
