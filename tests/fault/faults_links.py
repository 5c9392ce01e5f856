"""Redis and the network between everybody: lost, silent, slow, cut."""

import asyncio
import time
from dataclasses import replace
from functools import partial

from redis.asyncio import Redis

from tests.fault.faults_processes import EVERY_PLACE
from tests.fault.stage import FULL, Size, Stage, scenario
from tests.waiting import until

DOWN_S = 5.0
"""The p99 of the lag between gateways while there is no bus: a reading of the log each second, and a reserve."""

AFTER_S = 1.0
"""The same when the bus is back."""


@scenario(
    "T11", "Redis is killed, and comes back empty", small=Size(fault_s=4.0, calm_s=2.0),
    full=replace(FULL, times=3, fault_s=5.0), places=EVERY_PLACE,
)  # fmt: skip
async def kill_redis(stage: Stage) -> None:
    for _ in range(stage.size.times):
        down_s = time.monotonic()
        await stage.cluster.redis.kill()
        await stage.run_for(stage.size.fault_s)
        back_s = time.monotonic()
        await stage.cluster.redis.start()
        stage.recovered(await stage.everybody_works(), at_most=5.0)
        await stage.run_for(stage.size.calm_s)
        stage.bound_lag("lag p99 s while down", down_s, back_s, at_most=DOWN_S)
        stage.bound_lag("lag p99 s after", back_s, time.monotonic(), at_most=AFTER_S)


@scenario(
    "T12", "Redis drops the subscriptions' connections again and again", small=Size(times=20, fault_s=0.25),
    full=replace(FULL, times=100, fault_s=1.0), places=EVERY_PLACE,
)  # fmt: skip
async def drop_subscriptions(stage: Stage) -> None:
    """So many subscriptions in all, as soon as every gateway has its own again: one that was not yet complete would
    not be missed. Each loss is noticed, and heals from the log."""
    before, killed, began_s = await healing(stage), 0, time.monotonic()
    while killed < stage.size.times:
        await until(partial(is_back, stage))  # Whoever is cut off on its way back has not come back.
        killed += await stage.cluster.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await stage.run_for(stage.size.fault_s)
    await stage.everybody_works()
    await until(partial(is_back, stage))
    after = await healing(stage)
    stage.bound("subscribers killed", killed)
    stage.bound("returns of the bus", after[0] - before[0], at_least=killed)
    stage.bound("log reads", after[1] - before[1], at_least=killed)
    stage.bound_lag("lag p99 s while dropped", began_s, time.monotonic(), at_most=DOWN_S)


async def is_back(stage: Stage) -> bool:
    """Whether the bus is there for every gateway."""
    return all([(await gateway.metrics())["hub_bus_up"] for gateway in stage.gateways])


async def healing(stage: Stage) -> tuple[float, float]:
    """How often the bus has come back to a gateway, and how often one has read the log for what it had not brought."""
    told = [await gateway.metrics() for gateway in stage.gateways]
    names = ("hub_bus_reconnects_total", "hub_bus_log_reads_total")
    reconnects, reads = (sum(metrics[name] for metrics in told) for name in names)
    return reconnects, reads


@scenario(
    "T16",
    "Redis falls silent without closing anything",
    full=replace(FULL, times=1, fault_s=60.0),
    cables=("bus",),
)
async def swallow_the_bus(stage: Stage) -> None:
    began_s = time.monotonic()
    for gateway in stage.gateways:
        gateway.cables["bus"].swallow()
    await stage.run_for(stage.size.fault_s)
    stage.bound_lag("lag p99 s while silent", began_s, time.monotonic() - DOWN_S, at_most=DOWN_S)
    back_s = time.monotonic()
    for gateway in stage.gateways:
        gateway.cables["bus"].mend()
    stage.recovered(await stage.everybody_works(), at_most=5.0)
    await stage.run_for(stage.size.calm_s)
    stage.bound_lag("lag p99 s after", back_s, time.monotonic(), at_most=AFTER_S)


@scenario("T17", "Redis has no memory left", full=replace(FULL, times=1, fault_s=10.0))
async def fill_redis(stage: Stage) -> None:
    await stage.cluster.redis.ask("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
    began_s = time.monotonic()
    await stage.run_for(stage.size.fault_s)
    stage.bound_lag("lag p99 s while full", began_s, time.monotonic() - DOWN_S, at_most=DOWN_S)
    stage.bound("refusals", sum(one.refusals for one in stage.inserters), at_most=0)
    await stage.cluster.redis.ask("CONFIG", "SET", "maxmemory", "0")


@scenario("T20", "somebody else talks on the bus", full=replace(FULL, times=200, fault_s=0.02))
async def poison_the_bus(stage: Stage) -> None:
    """What is heard is sent again: cut short, with bytes turned, twice, and very long. None of it may be delivered,
    and nothing that is true may be lost by it."""
    async with Redis(port=stage.cluster.redis.port) as redis, redis.pubsub() as ear:
        await ear.psubscribe("*")
        heard, ours = 0, set[bytes]()
        while heard < stage.size.times:
            told = await ear.get_message(ignore_subscribe_messages=True, timeout=5)
            if told is None or told["data"] in ours:
                continue
            heard += 1
            data: bytes = told["data"]
            turned = bytearray(data)
            turned[heard % len(turned)] ^= 0xFF
            for poison in (data, data[: len(data) // 2], bytes(turned), b"", b"\x00" * 100, data * 100):
                ours.add(poison)
                await redis.publish(told["channel"], poison)
            await asyncio.sleep(stage.size.fault_s)
        await redis.publish(told["channel"], b"\xc1" * (64 << 20))


@scenario(
    "T29", "every connection of a client is reset", small=Size(times=10, fault_s=0.4),
    full=replace(FULL, times=10, fault_s=3.0), cables=("clients",), places=EVERY_PLACE,
)  # fmt: skip
async def reset_clients(stage: Stage) -> None:
    for _ in range(stage.size.times):
        for gateway in stage.gateways:
            gateway.cables["clients"].reset_all()
        await stage.run_for(stage.size.fault_s)


@scenario(
    "T31", "one gateway is cut off from Redis",
    full=replace(FULL, times=1, fault_s=30.0), cables=("bus",)
)  # fmt: skip
async def part_from_redis(stage: Stage) -> None:
    """The cut is by a proxy, which resets; T16 is the silent one."""
    cable = stage.gateways[0].cables["bus"]
    began_s = time.monotonic()
    cable.cut()
    await stage.run_for(stage.size.fault_s)
    back_s = time.monotonic()
    cable.mend()
    stage.recovered(await stage.everybody_works(), at_most=5.0)
    await stage.run_for(stage.size.calm_s)
    stage.bound_lag("lag p99 s while cut off", began_s, back_s, at_most=DOWN_S)
    stage.bound_lag("lag p99 s after", back_s, time.monotonic(), at_most=AFTER_S)


@scenario(
    "T32", "one gateway is cut off from PostgreSQL", full=replace(FULL, times=1, fault_s=30.0), cables=("database",)
)
async def part_from_the_database(stage: Stage) -> None:
    """Its live sockets stay, and those who insert there are refused within 5 s. The silence is a proxy's."""
    cable = stage.gateways[0].cables["database"]
    before = {one: len(one.closes) for one in stage.receivers}
    cable.swallow()
    await stage.run_for(stage.size.fault_s)
    cable.mend()
    stage.recovered(await stage.everybody_works(), at_most=10.0)
    stage.bound("receivers' connections lost", sum(len(one.closes) - before[one] for one in before), at_most=0)
    stage.bound("slowest refusal s", max((s for one in stage.inserters for s in one.refused_s), default=0), at_most=6.0)


@scenario(
    "LANE", "a gateway is cut off from PostgreSQL until its lane is given up",
    small=Size(times=2, fault_s=5.0), full=replace(FULL, times=10, fault_s=6.0),
    cables=("database",), HUB_HEARTBEAT_S="1", HUB_LEASE_S="3",
)  # fmt: skip
async def lose_the_lane(stage: Stage) -> None:
    """What it had written last may be in the log without anybody having been told. It goes on in another lane, and
    what it gives there comes after that. Alternately here and there, so that lanes are taken that others have had."""
    for turn in range(stage.size.times):
        gateway = stage.gateways[turn % len(stage.gateways)]
        gateway.cables["database"].cut()
        await stage.run_for(stage.size.fault_s)
        gateway.cables["database"].mend()
        stage.recovered(await stage.everybody_works(), at_most=10.0)
        await stage.run_for(stage.size.calm_s / 5)
    lost = sum(gateway.process.log.count("another worker has the lane") for gateway in stage.gateways)
    stage.bound("lanes lost", lost, at_least=1)


@scenario(
    "T35", "dashboards move from gateway to gateway all the time", small=Size(fault_s=6.0, rate=100.0, dashboards=2),
    full=replace(FULL, rate=300.0, dashboards=4, fault_s=60.0), places=EVERY_PLACE, crowd={"every_s": 0.05},
)  # fmt: skip
async def move_all_the_time(stage: Stage) -> None:
    movers = [one for one in stage.receivers if one.moves]
    before = sum(one.connections for one in movers)
    await stage.run_for(stage.size.fault_s)
    moves = sum(one.connections for one in movers) - before
    stage.bound("connections of each a second", moves / len(movers) / stage.size.fault_s, at_least=1.0)
    for one in movers:
        one.settle()
