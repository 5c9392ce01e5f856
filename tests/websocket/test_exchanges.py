"""DeviceHive's conversations, replayed step by step over real sockets."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.websocket.conftest import World
from tests.websocket.matching import Bound, difference, filled_in
from tests.websocket.peer import Frame, Peer

DATA = Path(__file__).parents[1] / "data"
FIXTURE = json.loads((DATA / "fixture.json").read_text())
STEPS = [json.loads(line) for line in (DATA / "websocket-exchanges.jsonl").read_text().splitlines()]
GROUPS = sorted({step["group"] for step in STEPS})

QUIET_S = 0.5
"""How long a connection must stay silent after its own request, where what it asked for would come later."""


class Stage:
    """The connections of one group, and the values that its steps have remembered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._peers: dict[str, Peer] = {}
        self._bound: Bound = {}

    async def play(self, step: dict[str, Any]) -> None:
        """One step: send, and compare everything that arrives anywhere."""
        peer = await self._peer(step["conn"])
        await self._send(peer, step)
        for number, expected in enumerate(step["expect"]):
            self._compare(expected, await peer.receive(), f"{step['id']}, frame {number + 1} on {_name(step['conn'])}")
        if "closed" in step:
            assert await peer.closed() == step["closed"]
            del self._peers[_name(step["conn"])]
        await self._compare_others(step)

    async def _peer(self, conn: str) -> Peer:
        name, _, rest = conn.partition("@")
        if name not in self._peers:
            endpoint, *options = rest.split(";")
            given = dict(option.split("=", 1) for option in options)
            mode = {"subprotocols": [given["sub"]]} if "sub" in given else {}
            self._peers[name] = await self._world.connect(f"/websocket/{endpoint}", origin=given.get("origin"), **mode)
        return self._peers[name]

    async def _send(self, peer: Peer, step: dict[str, Any]) -> None:
        if "raw" in step:
            await peer.send_raw(step["raw"])
        elif "binary" in step:
            await peer.send_raw(bytes.fromhex(step["binary"]))
        else:
            await peer.send(**self._with_secrets(filled_in(step["send"], self._bound)))

    async def authenticate(self, step: dict[str, Any]) -> None:
        """A step that only sets up."""
        peer = await self._peer(step["conn"])
        await peer.succeed("authenticate", **self._with_secrets(step["auth"]))

    def _with_secrets(self, members: Frame) -> Frame:
        """The data name access keys; the store has made the keys themselves."""
        name = members.get("accessKey")
        return {**members, "accessKey": self._world.secrets.get(name, name)} if name is not None else members

    async def _compare_others(self, step: dict[str, Any]) -> None:
        if _name(step["conn"]) in step.get("silence", ()):
            # What may still come is a replay, which is read from the log after the response: only time can show that
            # there is none. For everything else the response to a later request shows it (Peer.pushes).
            await asyncio.sleep(QUIET_S)
        for name, peer in self._peers.items():
            self._compare_all(step.get("others", {}).get(name, []), await peer.pushes(), f"{step['id']}, {name}")

    def _compare_all(self, expected: Any, frames: list[Frame], where: str) -> None:
        in_order = isinstance(expected, list)
        wanted = expected if in_order else expected["@set"]
        assert len(wanted) == len(frames), f"{where}: expected {len(wanted)} pushes, got {frames}"
        for number, one in enumerate(wanted):
            frame = frames[0] if in_order else self._likest(one, frames, where)
            self._compare(one, frame, f"{where}, push {number + 1}")
            frames.remove(frame)

    def _likest(self, expected: Frame, frames: list[Frame], where: str) -> Frame:
        for frame in frames:
            if difference(expected, frame, dict(self._bound)) is None:
                return frame
        raise AssertionError(f"{where}: nothing like {expected} among {frames}")

    def _compare(self, expected: Frame, frame: Frame, where: str) -> None:
        wrong = difference(expected, frame, self._bound)
        assert wrong is None, f"{where}: {wrong}"


def _name(conn: str) -> str:
    return conn.partition("@")[0]


def steps_of(group: str) -> Iterator[dict[str, Any]]:
    return (step for step in STEPS if step["group"] == group)


@pytest.mark.parametrize("group", GROUPS)
async def test_devicehives_exchanges_hold(start_hub, group):
    """Every frame on every connection is the one that DeviceHive's clients know, in the order that they rely on."""
    stage = Stage(await start_hub(FIXTURE, compat="devicehive"))

    for step in steps_of(group):
        await (stage.authenticate(step) if "auth" in step else stage.play(step))


def test_all_exchanges_are_there():
    """161 requests in 8 groups: none was lost on the way into the data."""
    requests = [step["id"] for step in STEPS if "id" in step]

    assert requests == [f"E{number:02}" for number in range(1, 162)]
    assert len(GROUPS) == 8
