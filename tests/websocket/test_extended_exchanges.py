"""The conversations that show what extended mode adds, replayed step by step over real sockets."""

import json
from typing import Any

from protocol.names import Kind
from tests.websocket.test_exchanges import DATA, Stage

FIXTURE = json.loads((DATA / "extended-fixture.json").read_text())
STEPS = [json.loads(line) for line in (DATA / "extended-exchanges.jsonl").read_text().splitlines()]


class ExtendedStage(Stage):
    """Some steps are no requests: something happens to the hub, and who is concerned is told."""

    async def happen(self, step: dict[str, Any]) -> None:
        await getattr(self, f"_{step['do'].replace('-', '_')}")(step)
        for expected in step.get("expect", ()):
            self._compare(expected, await (await self._peer(step["conn"])).push(), step["id"])

    async def _prune(self, step: dict[str, Any]) -> None:
        """Retention leaves the newest notification of each device."""
        await self._world.hub.gateway.duties.prune(Kind.NOTIFICATION, kept_s=1e6, per_device=1)

    async def _remove_member(self, step: dict[str, Any]) -> None:
        """A user leaves a network: the command line does it, beside the hub."""

        def work(tx: Any) -> None:
            network = next(one for one in tx.networks() if one.name == step["network"])
            tx.remove_member(tx.user_by_login(step["login"]).id, network.id)

        await self._world.change(work)


async def test_the_examples_of_extended_mode_hold(start_hub):
    """Resume, overflow, states, lifetimes, explanations and the end of a subscription, frame by frame."""
    stage = ExtendedStage(await start_hub(FIXTURE))

    for step in STEPS:
        if "auth" in step:
            await stage.authenticate(step)
        else:
            await (stage.happen(step) if "do" in step else stage.play(step))


def test_all_examples_are_there():
    """Each of the eleven, those of one command in two steps."""
    assert sorted({step["id"][:3] for step in STEPS if step.get("id", "").startswith("X")}) == [
        f"X{number:02}" for number in range(1, 12)
    ]
