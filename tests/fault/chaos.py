"""Faults at random, from a seed: one after another, and now and then two at once."""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.fault.stage import FULL, Stage, scenario

NAME = "T82"

WORKS_S = 60.0
"""How long after a fault everybody must work again."""

_seeds = [0]


def seed(number: int) -> None:
    """What the next run is made from."""
    _seeds[0] = number


async def kill_gateway(stage: Stage, chance: random.Random) -> None:
    process = chance.choice(stage.gateways).process
    async with stage.lock(process):
        await process.kill()
        await stage.run_for(chance.uniform(0, 3))
        await process.revive(within_s=WORKS_S)


async def end_gateway(stage: Stage, chance: random.Random) -> None:
    process = chance.choice(stage.gateways).process
    async with stage.lock(process):
        await process.stop()
        await stage.run_for(chance.uniform(0, 3))
        await process.revive(within_s=WORKS_S)


async def pause_gateway(stage: Stage, chance: random.Random) -> None:
    process = chance.choice(stage.gateways).process
    async with stage.lock(process):
        process.pause()
        await stage.run_for(chance.uniform(0.5, 15))
        process.resume()


async def kill_redis(stage: Stage, chance: random.Random) -> None:
    redis = stage.cluster.redis
    async with stage.lock(redis):
        await redis.kill()
        await stage.run_for(chance.uniform(0, 6))
        await redis.start()


async def pause_redis(stage: Stage, chance: random.Random) -> None:
    redis = stage.cluster.redis
    async with stage.lock(redis):
        redis.pause()
        await stage.run_for(chance.uniform(0.5, 10))
        redis.resume()


async def drop_subscribers(stage: Stage, chance: random.Random) -> None:
    async with stage.lock(stage.cluster.redis):
        for _ in range(chance.randint(1, 5)):
            await stage.cluster.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await stage.run_for(chance.uniform(0, 0.5))


async def kill_database(stage: Stage, chance: random.Random) -> None:
    async with stage.lock(stage.cluster):
        await stage.cluster.kill_database()
        await stage.run_for(chance.uniform(0, 5))
        await stage.cluster.start_database()


async def kill_backend(stage: Stage, chance: random.Random) -> None:
    async with stage.lock(stage.cluster):
        await stage.cluster.kill_backend(chance.randrange(100))
        await stage.run_for(2)  # It starts all of them anew.


async def cut_a_cable(stage: Stage, chance: random.Random) -> None:
    gateway = chance.choice(stage.gateways)
    name = chance.choice(sorted(gateway.cables))
    cable = gateway.cables[name]
    async with stage.lock(cable):
        chance.choice([cable.cut, cable.swallow])()
        await stage.run_for(chance.uniform(0.5, 15))
        cable.mend()
        cable.reset_all()


async def stretch_a_cable(stage: Stage, chance: random.Random) -> None:
    gateway = chance.choice(stage.gateways)
    cable = gateway.cables[chance.choice(sorted(gateway.cables))]
    async with stage.lock(cable):
        cable.latency_s, cable.jitter_s = chance.uniform(0.01, 0.3), 0.01
        await stage.run_for(chance.uniform(1, 10))
        cable.latency_s = cable.jitter_s = 0.0


async def reset_clients(stage: Stage, chance: random.Random) -> None:
    for gateway in stage.gateways:
        gateway.cables["clients"].reset_all()


Fault = Callable[[Stage, random.Random], Awaitable[None]]

FAULTS: list[Fault] = [
    kill_gateway,
    end_gateway,
    pause_gateway,
    kill_redis,
    pause_redis,
    drop_subscribers,
    kill_database,
    kill_backend,
    cut_a_cable,
    stretch_a_cable,
    reset_clients,
]


@scenario(
    NAME, "faults at random", full=replace(FULL, devices=20, dashboards=6, rate=150.0, fault_s=600.0),
    cables=("bus", "database", "clients"), crowd={"pings_s": 5.0},
)  # fmt: skip
async def chaos(stage: Stage) -> None:
    """Each ends with a wait until everybody works again, so that one that breaks it is known by its name."""
    chance = random.Random(_seeds[0])
    ends_s = time.monotonic() + stage.size.fault_s
    while time.monotonic() < ends_s:
        faults = chance.sample(FAULTS, chance.choice([1, 1, 1, 2]))
        told = " and ".join(fault.__name__ for fault in faults)
        print(f"\n{told}", file=sys.stderr)
        await asyncio.gather(*(fault(stage, random.Random(chance.random())) for fault in faults))
        try:
            stage.recovered(await stage.everybody_works(within_s=WORKS_S), at_most=WORKS_S)
        except AssertionError:
            stage.outcome.broken.append(f"seed {_seeds[0]}: not everybody works a minute after: {told}")
            return
        await stage.run_for(chance.uniform(0, 3))
