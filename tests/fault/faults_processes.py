"""Programs that are killed, paused and ended."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import httpx

from tests.fault.cluster import FOREIGN, Gateway
from tests.fault.crowd import Peer, Receiver, running
from tests.fault.record import Mailbox
from tests.fault.stage import FULL, Size, Stage, scenario
from tests.waiting import WAIT_S, until

EVERY_PLACE = ("postgres", "sqlite")


@scenario(
    "T1", "a gateway is killed while it inserts", small=Size(times=2, fault_s=1.5), full=replace(FULL, fault_s=3.0),
    places=EVERY_PLACE,
)  # fmt: skip
async def kill_an_inserting_gateway(stage: Stage) -> None:
    for turn in range(stage.size.times):
        gateway = stage.gateways[turn % 2]  # Whoever was there is at the other one then.
        await gateway.process.kill()
        await gateway.process.start()
        await stage.run_for(stage.size.fault_s)


@scenario(
    "T2", "the receivers' gateway is killed in the middle of delivering", small=Size(times=1), full=FULL,
    places=EVERY_PLACE, crowd={"inserters_at": 0, "receivers_at": 1},
)  # fmt: skip
async def kill_a_delivering_gateway(stage: Stage) -> None:
    for turn in range(stage.size.times):
        gateway = stage.gateways[(turn + 1) % 2]
        await gateway.process.kill()
        await stage.everybody_works()
        await gateway.process.start()


@scenario("T3", "all gateways and Redis are killed at once", full=replace(FULL, times=3))
async def kill_everything(stage: Stage) -> None:
    for _ in range(stage.size.times):
        await asyncio.gather(*(one.process.kill() for one in stage.gateways), stage.cluster.redis.kill())
        await asyncio.gather(stage.cluster.redis.start(), *(one.process.start() for one in stage.gateways))
        stage.recovered(await stage.everybody_works(), at_most=10.0)


@scenario(
    "T4", "a gateway is paused, and goes on when everybody has left it", full=replace(FULL, times=1, fault_s=30.0),
    crowd={"pings_s": 3.0},
)  # fmt: skip
async def pause_a_gateway(stage: Stage) -> None:
    gateway = stage.gateways[0]
    gateway.process.pause()
    await stage.run_for(stage.size.fault_s)
    gateway.process.resume()
    there = await stage.gateways[1].metrics()
    stage.bound("connections at the other gateway", there["hub_connections"], at_least=len(stage.peers))

    async def left() -> bool:
        return (await gateway.metrics())["hub_connections"] == 0

    await until(left, within_s=6 * WAIT_S)


@scenario(
    "T21", "PostgreSQL is killed with all its processes, and comes back", small=Size(times=1, fault_s=3.0),
    full=replace(FULL, times=3, fault_s=3.0),
)  # fmt: skip
async def kill_the_database(stage: Stage) -> None:
    for _ in range(stage.size.times):
        await stage.cluster.kill_database()
        await stage.run_for(stage.size.fault_s)
        await stage.cluster.start_database()
        stage.recovered(await stage.everybody_works(), at_most=5.0)
    stage.bound("slowest refusal s", max((s for one in stage.inserters for s in one.refused_s), default=0), at_most=6.0)


@scenario("T22", "single backends of PostgreSQL are killed", full=replace(FULL, times=10, fault_s=2.0))
async def kill_backends(stage: Stage) -> None:
    for turn in range(stage.size.times):
        await stage.cluster.kill_backend(turn)
        await stage.run_for(stage.size.fault_s)
        stage.recovered(await stage.everybody_works(), at_most=5.0)


@scenario(
    "T23", "the tables of the log are locked by somebody else", full=replace(FULL, times=1, fault_s=10.0),
)  # fmt: skip
async def lock_the_tables(stage: Stage) -> None:
    locks = "LOCK TABLE notification, command IN ACCESS EXCLUSIVE MODE"
    await stage.cluster.sql(f"BEGIN; {locks}; SELECT pg_sleep({stage.size.fault_s}); COMMIT")
    stage.recovered(await stage.everybody_works(), at_most=5.0)
    slowest_s = max((seconds for one in stage.inserters for seconds in one.refused_s), default=0.0)
    stage.bound("slowest refusal s", slowest_s, at_most=6.0)


@scenario(
    "T79", "a gateway is told to end", small=Size(times=300), HUB_DRAIN_S="5",
    full=replace(FULL, dashboards=6, rate=100.0, times=3000),
)  # fmt: skip
async def drain_a_gateway(stage: Stage) -> None:
    """Besides the crowd there are so many idle sockets, at both gateways. Up to fifty may be closed at once, however
    few there are."""
    leaver = stage.gateways[0]
    crowd = idle(stage, stage.size.times)
    async with running([*crowd]), httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
        await until(lambda: all_of(one.online for one in crowd), within_s=6 * WAIT_S)
        peers: list[Peer] = [*crowd, *stage.peers]
        before = {peer: len(peer.closes) for peer in peers}
        looks = [await look(leaver, http)]  # It connects now: one that is told to end takes no connection.
        looking = asyncio.create_task(keep_looking(leaver, http, looks))
        began_s = time.monotonic()

        stage.bound("exit code", await leaver.process.stop(), at_most=0)

        stage.bound("drain s", time.monotonic() - began_s, at_most=10.0)
        await looking
        sockets = looks[0].sockets
        codes = [code for peer in peers for _, code in peer.closes[before[peer] :]]
        stage.bound("sockets", sockets)
        stage.bound("closed", len(codes), at_least=sockets)
        stage.bound("closed otherwise than by 1012", sum(code != 1012 for code in codes), at_most=0)
        stage.bound("looks", len(looks), at_least=3)
        stage.bound("most closed in a second", closed_in_a_second(looks), at_most=max(0.2 * sockets + 1, 250))
        stop(crowd)
    await leaver.process.start()


class Look(NamedTuple):
    """How many sockets a gateway had at some time between the question and the answer. When its peers see that they
    are closed says as much about them: they are thousands, in one process."""

    asked_s: float
    told_s: float
    sockets: int


async def look(gateway: Gateway, http: httpx.AsyncClient) -> Look:
    asked_s = time.monotonic()
    metrics = await gateway.metrics(http)
    return Look(asked_s, time.monotonic(), int(metrics["hub_connections"]))


async def keep_looking(gateway: Gateway, http: httpx.AsyncClient, looks: list[Look]) -> None:
    """Until the gateway has gone."""
    with suppress(httpx.HTTPError):
        while True:
            looks.append(await look(gateway, http))
            await asyncio.sleep(0.05)


def closed_in_a_second(looks: list[Look]) -> int:
    """The most that were surely closed within one second."""
    return max(
        earlier.sockets - later.sockets
        for at, earlier in enumerate(looks)
        for later in looks[at:]
        if later.told_s - earlier.asked_s <= 1.0 or later is earlier
    )


def idle(stage: Stage, number: int) -> list[Receiver]:
    """Sockets that are subscribed to something that never comes."""
    key, guid = stage.cluster.secrets["outsider"], FOREIGN
    return [
        Receiver(Mailbox(f"idle {turn}", ["command"], []), stage.doors(turn), devices=[guid], accessKey=key)
        for turn in range(number)
    ]


def stop(crowd: list[Receiver]) -> None:
    for one in crowd:
        one.stop()
        one.drop()


async def all_of(conditions: Iterable[bool]) -> bool:
    return all(conditions)


@scenario(
    "T47", "everybody's connection ends at once", HUB_ACCEPTS_PER_S="200",
    full=replace(FULL, dashboards=4, rate=60.0, times=1000, fault_s=5.0),
)  # fmt: skip
async def storm(stage: Stage) -> None:
    """So many idle sockets, with a subscription each, come back at once, and at once again when they are refused.

    How late messages came to the others meanwhile is told without a bound: the load generator is one process with one
    loop, and is itself late.
    """
    crowd = idle(stage, stage.size.times)
    patience_s = stage.size.times / 200 + 10

    async with running([*crowd]):
        await until(lambda: all_of(one.online for one in crowd), within_s=patience_s + 3 * WAIT_S)
        began_s = time.monotonic()
        for one in crowd:
            one.drop()
        await until(lambda: all_of(one.online for one in crowd), within_s=patience_s + 3 * WAIT_S)
        stage.recovered(time.monotonic() - began_s, at_most=patience_s)
        stage.bound_lag("others' lag p99 s", began_s, time.monotonic(), at_most=float("inf"))
        stop(crowd)
