"""Gateways that end at every step of a message's way."""

from dataclasses import replace

from tests.fault.crashing import POINTS, STATUS
from tests.fault.stage import FULL, Stage, scenario
from tests.waiting import WAIT_S

READING = "before the log is read for the others"
HEARING = ("before a bundle is delivered", "after a bundle was delivered")
"""What a gateway does with the messages of another one, so somebody has to insert there."""


@scenario(
    "T10", "a gateway ends at each step of a message's way", full=replace(FULL, devices=10, dashboards=4, rate=150.0),
    module="tests.fault.crashing",
)  # fmt: skip
async def crash_everywhere(stage: Stage) -> None:
    """The idle gateway comes back with a point at which it is to end; when it is there, the other one is killed,
    everybody moves, and the point is passed at load."""
    doomed, other = (gateway.process for gateway in stage.gateways)
    for point in POINTS:
        for after in (0, 40):
            await doomed.kill()
            await doomed.launch(CRASH_AT=point, CRASH_AFTER=str(after))
            await doomed.up_or_ended()
            if point == READING:
                await stage.cluster.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await other.restart()
            if point in HEARING:
                for inserter in stage.inserters:
                    inserter.move(1)
            if point == READING and after:
                continue  # Nobody reads so often.
            try:
                stage.bound(f"exit code {point}", await doomed.ended(within_s=2 * WAIT_S), at_least=STATUS)
            except TimeoutError:
                stage.outcome.broken.append(f"never passed {after} times: {point}")
    await doomed.kill()
    await doomed.start()
