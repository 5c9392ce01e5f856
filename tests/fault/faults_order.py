"""Order across gateways, and rights that are taken away."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from hub.store import Tx
from protocol.names import UserRole, UserStatus
from tests.builders import permission
from tests.fault.cluster import HOME
from tests.fault.crowd import GONE
from tests.fault.faults_processes import EVERY_PLACE
from tests.fault.record import Insert
from tests.fault.stage import FULL, Size, Stage, scenario
from tests.waiting import WAIT_S, until
from tests.websocket.conftest import opened

HOME_ID = 1


ALTERNATING = "messages of one device come through one gateway and another in turn"


@scenario(
    "T42", ALTERNATING, small=Size(fault_s=4.0, rate=60.0), full=replace(FULL, fault_s=60.0), places=EVERY_PLACE,

)  # fmt: skip
async def alternate(stage: Stage) -> None:
    """Each is sent when the one before it is acknowledged: so are their ids, and thus whatever is replayed."""
    guid, key = stage.cluster.devices[0], stage.cluster.secrets["member"]
    sockets = [await entered(gateway.port, accessKey=key) for gateway in stage.gateways]
    ends_s, ids = time.monotonic() + stage.size.fault_s, [0]
    while time.monotonic() < ends_s:
        number = len(ids)
        kind = ("notification", "command")[number // 2 % 2]
        name = f"in-turn-{number}"
        stage.record.send(Insert(kind, guid, name, time.monotonic()))
        answer = await asked(sockets[number % 2], f"{kind}/insert", deviceGuid=guid, **{kind: {kind: name}})
        ids.append(answer[kind]["id"])
        stage.record.acknowledge(name, ids[-1], time.monotonic())
    for socket in sockets:
        await socket.close()
    stage.bound("in turn", len(ids), at_least=50)
    stage.bound("ids against the turn", sum(later < earlier for earlier, later in pairwise(ids)), at_most=0)


@scenario(
    "G5", f"{ALTERNATING}, and arrive in it", small=Size(fault_s=4.0, rate=60.0), full=replace(FULL, fault_s=60.0),
    places=EVERY_PLACE, in_turn=True,
)  # fmt: skip
async def alternate_strictly(stage: Stage) -> None:
    """The same, and live, too, what was sent after an acknowledgement arrives after what was acknowledged."""
    await alternate(stage)


async def entered(port: int, **credentials: str) -> ClientConnection:
    socket = await connect(f"ws://127.0.0.1:{port}/websocket/client", proxy=None, compression=None, close_timeout=0.2)
    await asked(socket, "authenticate", **credentials)
    return socket


async def asked(socket: ClientConnection, action: str, **members: Any) -> dict[str, Any]:
    await socket.send(orjson.dumps({"action": action, "requestId": action, **members}).decode())
    async with asyncio.timeout(WAIT_S):
        while (answer := orjson.loads(await socket.recv())).get("requestId") != action:
            pass
    assert answer["status"] == "success", answer
    return dict(answer)


# --- rights


Revoke = Callable[[Tx, int, int], object]

REVOCATIONS: dict[str, Revoke] = {
    "the key is deleted": lambda tx, user, key: tx.delete_key(key),
    "the key expires": lambda tx, user, key: tx.update_key(key, expires_ms=1),
    "the key is narrowed to another action": lambda tx, user, key: tx.update_key(
        key, permissions=[permission(actions=["GetNetwork"])]
    ),
    "the key is narrowed to another device": lambda tx, user, key: tx.update_key(
        key, permissions=[permission(device_guids=["nobody"])]
    ),
    "the key is narrowed to another network": lambda tx, user, key: tx.update_key(
        key, permissions=[permission(network_ids=[2])]
    ),
    "the key is narrowed to another subnet": lambda tx, user, key: tx.update_key(
        key, permissions=[permission(subnets=["192.0.2.0/24"])]
    ),
    "the user is locked": lambda tx, user, key: tx.update_user(user, status=UserStatus.LOCKED_OUT),
    "the user leaves the network": lambda tx, user, key: tx.remove_member(user, HOME_ID),
    "the user is deleted": lambda tx, user, key: tx.delete_user(user),
}


@scenario(
    "T69", "rights are taken away", small=Size(times=1, rate=200.0),
    full=replace(FULL, devices=10, times=12),
)  # fmt: skip
async def revoke(stage: Stage) -> None:
    """The changes are made beside the gateways, as the command line makes them: no gateway knows of one by itself."""
    for turn in range(stage.size.times):
        await revoke_all(stage, turn, at_most=1.0)
    await stage.cluster.redis.kill()
    await revoke_all(stage, stage.size.times, at_most=5.0)
    await stage.cluster.redis.start()


async def revoke_all(stage: Stage, turn: int, *, at_most: float) -> None:
    async with opened(stage.cluster.settings) as store:
        made = [await store.transact(lambda tx, name=name: employ(tx, f"{turn}-{name}")) for name in REVOCATIONS]
        subjects = [await Subject.entered(stage, *who) for who in made]
        for subject, take_away in zip(subjects, REVOCATIONS.values(), strict=True):
            await until(lambda subject=subject: asyncio.sleep(0, subject.last_s > 0))
            who = (subject.user, subject.key)
            await store.transact(lambda tx, take_away=take_away, who=who: take_away(tx, *who))
            subject.revoked_s = time.monotonic()
    await stage.run_for(at_most + 1.0)
    for subject, name in zip(subjects, REVOCATIONS, strict=True):
        which = "without Redis" if at_most > 1 else "with Redis"
        stage.bound(f"{which}: s until {name}", max(0.0, subject.last_s - subject.revoked_s), at_most=at_most)
        await subject.close()


def employ(tx: Tx, name: str) -> tuple[int, int, str]:
    """A new member of the home network: user, key, and the key's secret."""
    user = tx.insert_user(login=name, role=UserRole.CLIENT)
    tx.add_member(user.id, HOME_ID)
    made = tx.insert_key(user_id=user.id, label=HOME, permissions=[permission()])
    return user.id, made.key.id, made.secret


class Subject:
    """Somebody with a key of his own, who hears the home network.

    Attributes:
        last_s: when he last heard something.
        revoked_s: since when he should not.
    """

    def __init__(self, user: int, key: int, socket: ClientConnection) -> None:
        self.user = user
        self.key = key
        self.last_s = self.revoked_s = 0.0
        self._socket = socket
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def entered(cls, stage: Stage, user: int, key: int, secret: str) -> "Subject":
        socket = await entered(stage.gateways[user % len(stage.gateways)].port, accessKey=secret)
        await asked(socket, "notification/subscribe")
        return cls(user, key, socket)

    async def _listen(self) -> None:
        try:
            async for text in self._socket:
                if orjson.loads(text)["action"] == "notification/insert":
                    self.last_s = time.monotonic()
        except GONE:
            pass

    async def close(self) -> None:
        await self._socket.close()
        await self._listening
