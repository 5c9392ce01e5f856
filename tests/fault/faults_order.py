"""Order across gateways, and rights that are taken away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from tests.fault.cluster import HOME
from tests.fault.crowd import GONE
from tests.fault.record import Insert
from tests.fault.stage import FULL, Size, Stage, scenario
from tests.waiting import WAIT_S

HOME_ID = 1


@scenario(
    "T42", "messages of one device come through one gateway and another in turn", small=Size(fault_s=4.0, rate=60.0),
    full=replace(FULL, fault_s=60.0), places=("postgres", "sqlite"),
)  # fmt: skip
async def alternate(stage: Stage) -> None:
    """Each is sent when the one before it is acknowledged: so they are to arrive in this order everywhere."""
    guid, key = stage.cluster.devices[0], stage.cluster.secrets["member"]
    before = len(stage.record.acknowledged)
    sockets = [await entered(gateway.port, accessKey=key) for gateway in stage.gateways]
    ends_s = time.monotonic() + stage.size.fault_s
    for number in count():
        if time.monotonic() > ends_s:
            break
        kind = ("notification", "command")[number // 2 % 2]
        name = f"in-turn-{number}"
        stage.record.send(Insert(kind, guid, name, time.monotonic()))
        answer = await asked(sockets[number % 2], f"{kind}/insert", deviceGuid=guid, **{kind: {kind: name}})
        stage.record.acknowledge(name, answer[kind]["id"], time.monotonic())
    for socket in sockets:
        await socket.close()
    stage.bound("in turn", number, at_least=50)
    assert len(stage.record.acknowledged) > before


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


class Office:
    """An administrator's desk at a gateway."""

    def __init__(self, port: int, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/rest",
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=3 * WAIT_S,
        )

    async def __aenter__(self) -> "Office":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def do(self, method: str, path: str, **members: Any) -> Any:
        answer = await self._http.request(method, path, json=members or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


Revoke = Callable[[Office, int, int], Awaitable[Any]]

REVOCATIONS: dict[str, Revoke] = {
    "the key is deleted": lambda office, user, key: office.do("DELETE", f"/user/{user}/accesskey/{key}"),
    "the key expires": lambda office, user, key: office.do(
        "PUT", f"/user/{user}/accesskey/{key}", expirationDate="2020-01-01T00:00:00.000"
    ),
    "the key is narrowed to no action": lambda office, user, key: office.do(
        "PUT", f"/user/{user}/accesskey/{key}", permissions=[{"actions": ["GetNetwork"]}]
    ),
    "the key is narrowed to another device": lambda office, user, key: office.do(
        "PUT", f"/user/{user}/accesskey/{key}", permissions=[{"deviceGuids": ["nobody"]}]
    ),
    "the key is narrowed to another subnet": lambda office, user, key: office.do(
        "PUT", f"/user/{user}/accesskey/{key}", permissions=[{"subnets": ["192.0.2.0/24"]}]
    ),
    "the user is locked": lambda office, user, key: office.do("PUT", f"/user/{user}", status=1),
    "the user leaves the network": lambda office, user, key: office.do("DELETE", f"/user/{user}/network/{HOME_ID}"),
    "the user is deleted": lambda office, user, key: office.do("DELETE", f"/user/{user}"),
}


@scenario(
    "T69", "rights are taken away at the other gateway", small=Size(times=1, rate=200.0),
    full=replace(FULL, devices=10, times=12),
)  # fmt: skip
async def revoke(stage: Stage) -> None:
    for turn in range(stage.size.times):
        await revoke_all(stage, turn, at_most=1.0)
    await stage.cluster.redis.kill()
    await revoke_all(stage, stage.size.times, at_most=5.0)
    await stage.cluster.redis.start()


async def revoke_all(stage: Stage, turn: int, *, at_most: float) -> None:
    async with Office(stage.gateways[0].port, stage.cluster.secrets["admin"]) as office:
        subjects = [await Subject.made(stage, office, f"{turn}-{number}") for number in range(len(REVOCATIONS))]
        for subject, (name, take_away) in zip(subjects, REVOCATIONS.items(), strict=True):
            heard_s = time.monotonic()
            while subject.last_s < heard_s:
                assert time.monotonic() < heard_s + WAIT_S, f"nothing comes to be taken away: {name}"
                await asyncio.sleep(0.01)
            await take_away(office, subject.user, subject.key)
            subject.revoked_s = time.monotonic()
        await stage.run_for(at_most + 1.0)
    for subject, name in zip(subjects, REVOCATIONS, strict=True):
        which = "without Redis" if at_most > 1 else "with Redis"
        stage.bound(f"{which}: s until {name}", max(0.0, subject.last_s - subject.revoked_s), at_most=at_most)
        await subject.close()


class Subject:
    """Somebody with a key of his own, who hears the home network at the second gateway.

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
    async def made(cls, stage: Stage, office: Office, name: str) -> "Subject":
        user = await office.do("POST", "/user", login=f"subject-{name}", password="a password", role=1, status=0)
        await office.do("PUT", f"/user/{user['id']}/network/{HOME_ID}")
        key = await office.do("POST", f"/user/{user['id']}/accesskey", label=HOME, permissions=[{}])
        socket = await entered(stage.gateways[1].port, accessKey=key["key"])
        await asked(socket, "notification/subscribe")
        return cls(user["id"], key["id"], socket)

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
