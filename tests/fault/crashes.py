"""Gateways that end at every step of a message's way."""

from dataclasses import replace

from tests.fault.crashing import POINTS, STATUS
from tests.fault.stage import FULL, Stage, scenario
from tests.waiting import WAIT_S


@scenario(
    "T10", "a gateway ends at each step of a message's way", full=replace(FULL, devices=10, dashboards=4, rate=150.0),
    module="tests.fault.crashing",
)  # fmt: skip
async def crash_everywhere(stage: Stage) -> None:
    """The first gateway comes back each time with another point at which it is to end, after it has passed it some
    times at load."""
    process = stage.gateways[0].process
    for point in POINTS:
        for after in (0, 40):
            await process.kill()
            await process.launch(CRASH_AT=point, CRASH_AFTER=str(after))
            if point == "before the log is read for the others":
                await stage.cluster.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
                if after:
                    continue
            stage.bound(f"exit code {point}", await process.ended(within_s=3 * WAIT_S), at_least=STATUS)
    await process.kill()
    await process.start()
