"""Where a fault is played: a cluster under load, somebody who breaks it, and what came of it.

A *scenario* is a fault with its sizes and bounds. The tests play scenarios in a small size; ``python -m tests.fault``
plays all of them in full.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fault.cluster import FOREIGN, Cluster, cluster
from tests.fault.crowd import Doors, Inserter, Peer, Receiver, running
from tests.fault.record import Findings, Mailbox, Record, percentile
from tests.waiting import WAIT_S, until

QUIET_S = 30.0
"""What has not come so long after the last insert is lost."""

BOTH = ("notification", "command")


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        devices: of the home network; each has a connection that inserts.
        dashboards: connections that receive everything of the home network.
        rate: inserts a second, of everybody together.
        calm_s: how long it runs before the fault and after it.
        times: how often the fault happens.
        fault_s: how long it lasts.
    """

    devices: int = 4
    dashboards: int = 3
    rate: float = 120.0
    calm_s: float = 1.0
    times: int = 1
    fault_s: float = 2.0


FULL = Size(devices=50, dashboards=12, rate=300.0, calm_s=10.0, times=5, fault_s=20.0)


@dataclass
class Outcome:
    """What came of a scenario.

    Attributes:
        broken: what was not as promised; nothing: all is well.
        figures: whatever else the scenario measured, in the units that their names tell.
    """

    name: str
    place: str
    findings: Findings = field(default_factory=Findings)
    acknowledged: int = 0
    received: int = 0
    refusals: int = 0
    lag_p99_s: float = 0.0
    recovery_s: float | None = None
    broken: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


class Stage:
    """A cluster with a crowd on it, for a scenario to break.

    Attributes:
        outcome: what the scenario writes to.
    """

    def __init__(self, cluster: Cluster, size: Size, outcome: Outcome, directory: Path) -> None:
        self.cluster = cluster
        self.size = size
        self.outcome = outcome
        self.directory = directory
        self.record = Record()
        self.inserters: list[Inserter] = []
        self.receivers: list[Receiver] = []
        self._locks: dict[object, asyncio.Lock] = {}

    def lock(self, what: object) -> asyncio.Lock:
        """Whatever is broken is broken by one fault at a time."""
        return self._locks.setdefault(what, asyncio.Lock())

    @property
    def gateways(self) -> list[Any]:
        return self.cluster.gateways

    # --- the crowd

    def fill(
        self,
        *,
        inserters_at: int | None = None,
        receivers_at: int | None = None,
        every_s: float | None = None,
        pings_s: float | None = None,
    ) -> None:
        """The usual crowd: devices, operators, dashboards, and somebody from another network.

        Args:
            inserters_at, receivers_at: the gateway where they begin; None: spread over all.
            every_s: how long a dashboard stays at a gateway.
        """
        made, size, secrets = self.cluster, self.size, self.cluster.secrets
        half = size.rate / 2
        for turn, guid in enumerate(made.devices):
            who = {"deviceId": guid, "deviceKey": f"{guid}-key"}
            rate = half / len(made.devices)
            self.insert("notification", [guid], rate, self.doors(turn, inserters_at), endpoint="device", **who)
        for turn in range(2):
            doors = self.doors(turn, inserters_at)
            self.insert("command", made.devices, half / 2, doors, accessKey=secrets["member"])
        self.insert("notification", [FOREIGN], 5, self.doors(0, inserters_at), accessKey=secrets["admin"])
        for turn in range(size.dashboards):
            self.receive(f"dashboard {turn}", made.devices, self.doors(turn, receivers_at), "member", every_s=every_s)
        self.receive("outsider", [FOREIGN], self.doors(1, receivers_at), "outsider")
        self.receive("administrator", [*made.devices, FOREIGN], self.doors(0, receivers_at), "admin")
        for turn, guid in enumerate(made.devices[:3]):
            self.follow(guid, self.doors(turn, receivers_at))
        for peer in self.peers:
            peer.pings_s = pings_s

    def doors(self, turn: int, first: int | None = None) -> Doors:
        return Doors(self.cluster.ports, turn if first is None else first)

    def insert(self, kind: str, devices: list[str], rate: float, doors: Doors, **options: Any) -> Inserter:
        made = Inserter(self.record, doors, kind, devices, rate, **options)
        self.inserters.append(made)
        return made

    def receive(self, name: str, devices: list[str], doors: Doors, key: str, **options: Any) -> Receiver:
        """Somebody with an access key who gets everything that he may see."""
        mailbox = Mailbox(name, BOTH, devices)
        self.record.mailboxes.append(mailbox)
        made = Receiver(mailbox, doors, accessKey=self.cluster.secrets[key], **options)
        self.receivers.append(made)
        return made

    def follow(self, guid: str, doors: Doors) -> Receiver:
        """A device that gets its commands."""
        mailbox = Mailbox(guid, ["command"], [guid])
        self.record.mailboxes.append(mailbox)
        made = Receiver(mailbox, doors, endpoint="device", deviceId=guid, deviceKey=f"{guid}-key")
        self.receivers.append(made)
        return made

    @property
    def peers(self) -> list[Peer]:
        return [*self.inserters, *self.receivers]

    # --- time

    async def run_for(self, seconds: float) -> None:
        """Let the load go on."""
        await asyncio.sleep(seconds)

    async def everybody_works(self, *, within_s: float = 3 * WAIT_S) -> float:
        """Wait until each inserter has an acknowledgement and each receiver a message that was sent from now on;
        returns the seconds that it took."""
        began_s = time.monotonic()

        async def works() -> bool:
            fresh = [one for one in self.record.acknowledged if one.sent_s > began_s]
            talking = {one.name.rsplit("-", 1)[0] for one in fresh}
            return len(talking) >= len(self.inserters) and all(
                any(mailbox.received_s(one) is not None for one in fresh if mailbox.wants(one))
                for mailbox in self.record.mailboxes
            )

        await until(works, within_s=within_s)
        return time.monotonic() - began_s

    async def finish(self) -> None:
        """No more inserts; wait for the answers, and then for what has not come yet."""
        for inserter in self.inserters:
            inserter.stop()

        async def answered() -> bool:
            return all(inserter.done for inserter in self.inserters)

        async def complete() -> bool:
            return not any(next(self.record.missing(mailbox), None) for mailbox in self.record.mailboxes)

        began_s = time.monotonic()
        try:
            await until(answered, within_s=QUIET_S)
            await until(complete, within_s=QUIET_S)
        except AssertionError:
            self.outcome.broken.append(f"not everything had come after {time.monotonic() - began_s:.0f} s")

    # --- what came of it

    def bound(self, name: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
        """Keep a figure, and say so if it is out of bounds."""
        self.outcome.figures[name] = round(max(value, self.outcome.figures.get(name, value)), 3)
        if at_most is not None and value > at_most:
            self.outcome.broken.append(f"{name}: {value:.3f} > {at_most}")
        if at_least is not None and value < at_least:
            self.outcome.broken.append(f"{name}: {value:.3f} < {at_least}")

    def bound_lag(self, name: str, since_s: float, until_s: float, *, at_most: float) -> None:
        """The p99 of how late messages came that were acknowledged in this time."""
        self.bound(name, percentile(self.record.lags_s(since_s=since_s, until_s=until_s), 0.99), at_most=at_most)

    def recovered(self, seconds: float, *, at_most: float) -> None:
        self.outcome.recovery_s = max(seconds, self.outcome.recovery_s or 0.0)
        self.bound("recovery s", seconds, at_most=at_most)

    async def conclude(self, *, in_turn: bool) -> None:
        """Compare everything with everything."""
        outcome, record = self.outcome, self.record
        outcome.findings = findings = record.findings(await self.cluster.log())
        outcome.acknowledged = len(record.acknowledged)
        outcome.received = sum(len(mailbox) for mailbox in record.mailboxes)
        outcome.refusals = sum(inserter.refusals for inserter in self.inserters)
        outcome.lag_p99_s = percentile(record.lags_s(), 0.99)
        for name, wrong in vars(findings).items():
            if name == "out_of_turn" and not in_turn:
                outcome.figures["out of turn"] = len(wrong)
            elif wrong:
                outcome.broken.append(f"{len(wrong)} {name}: {'; '.join(wrong[:3])}")
        for receiver in self.receivers:
            if receiver.unrecovered:
                outcome.broken.append(f"{receiver.mailbox.name}: {receiver.unrecovered[0]}")
        outcome.broken += [f"a gateway complains: {line[:300]}" for line in self.cluster.complaints()[:3]]


Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A fault.

    Attributes:
        act: fills the stage is done; it breaks things, and leaves them mended.
        crowd: options of :meth:`Stage.fill`.
        options: of the cluster.
        in_turn: whether it is broken when what was sent after an acknowledgement arrives before what was acknowledged,
            by way of two gateways. Otherwise that is only counted: see the scenario ``G5``.
        small, full: sizes; no small one: it is not part of ``make test``.
    """

    name: str
    title: str
    act: Act
    full: Size
    small: Size | None
    places: tuple[str, ...]
    crowd: Mapping[str, Any]
    in_turn: bool
    options: Mapping[str, Any]


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str,
    title: str,
    *,
    full: Size,
    small: Size | None = None,
    places: tuple[str, ...] = ("postgres",),
    crowd: Mapping[str, Any] | None = None,
    in_turn: bool = False,
    **options: Any,
) -> Callable[[Act], Act]:
    """Register what is decorated as a scenario."""

    def register(act: Act) -> Act:
        assert name not in SCENARIOS
        SCENARIOS[name] = Scenario(name, title, act, full, small, places, crowd or {}, in_turn, options)
        return act

    return register


async def play(
    one: Scenario, size: Size, directory: Path, *, place: str = "postgres", watch: Callable[[Stage], None] | None = None
) -> Outcome:
    """Play a scenario.

    Args:
        place: of the log.
        watch: called with the stage when it is set.
    """
    outcome = Outcome(one.name, place)
    async with cluster(directory, devices=size.devices, place=place, **one.options) as made:
        stage = Stage(made, size, outcome, directory)
        stage.fill(**one.crowd)
        if watch is not None:
            watch(stage)
        async with running(stage.peers) as tasks:
            await stage.everybody_works()
            await stage.run_for(size.calm_s)
            await one.act(stage)
            await stage.everybody_works()
            await stage.run_for(size.calm_s)
            await stage.finish()
            for task in tasks.values():
                if task.done():
                    task.result()
        await stage.conclude(in_turn=one.in_turn)
    return outcome
