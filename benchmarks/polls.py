"""Long polls by the thousand: what they take while they wait, and how long it takes to answer all of them. Prints JSON.

    python benchmarks/polls.py [--polls 2000] [--devices 1] [--repeat 3]

The hub runs as a process of its own on one core, this client on another. Each poll has a TCP connection of its own, as
it would have in a device: so its memory is the hub's for the connection, the request, the task and the poll. One
notification of each device then releases all of them. Memory is that of the process, before and while they wait; it is
taken once more when they were answered and wait again, for what only grows the first time.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any, cast

from benchmarks.edge import CLIENT_CORE
from benchmarks.neighbours import SETTINGS, Hub, hub
from hub.app import loop_factory

WAIT_S = 60


class Client(asyncio.Protocol):
    """One HTTP connection that asks the same again and again, and takes its answers apart as little as possible."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(self._request)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the answer to what was asked last."""
        assert self._answer is not None, "something was asked"
        head, _, body = (await asyncio.wait_for(self._answer, WAIT_S)).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if end and len(body) >= length and self._answer is not None:
            self._answer.set_result(self._data)
            self._data = b""

    def leave(self) -> None:
        """Go away without waiting for an answer."""
        self._answer = None
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the hub has closed the connection"))


async def connected(at: Hub, method: str, path: str, body: Any = None) -> Client:
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /api/rest{path} HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\nAuthorization: Bearer {at.key}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    request = f"{head}\r\n".encode() + payload
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(request), "127.0.0.1", at.port)
    return client


async def waiting(at: Hub, number: int) -> None:
    """Return when so many polls are under way."""
    while await asyncio.to_thread(at.metric, "hub_polls") != number:
        await asyncio.sleep(0.02)


def resident_bytes(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(at: Hub, options: argparse.Namespace) -> dict[str, Any]:
    guids = [f"dev-{number}" for number in range(options.devices)]
    network, kind = {"name": "bench"}, {"name": "Bench", "version": "1"}
    for guid in guids:
        device = {"key": "k", "name": guid, "network": network, "deviceClass": kind}
        client = await connected(at, "PUT", f"/device/{guid}", device)
        client.ask()
        assert (await client.answer())[0] == 204
        client.transport.close()
    publishers = [
        await connected(at, "POST", f"/device/{guid}/notification", {"notification": "temperature"}) for guid in guids
    ]
    await waiting(at, 0)
    before = resident_bytes(at.process_id)
    paths = [
        f"/device/{guids[number % len(guids)]}/notification/poll?waitTimeout=60" for number in range(options.polls)
    ]
    polls = [await connected(at, "GET", path) for path in paths]
    connections = resident_bytes(at.process_id)
    held, released_s = [], []
    for _ in range(options.repeat):
        for poll in polls:
            poll.ask()
        await waiting(at, len(polls))
        held.append(resident_bytes(at.process_id))
        began_s = time.perf_counter()
        for publisher in publishers:
            publisher.ask()
        answers = await asyncio.gather(*(poll.answer() for poll in polls))
        released_s.append(time.perf_counter() - began_s)
        assert all(status == 200 and len(json.loads(body)) == 1 for status, body in answers), "each of them once"
        await asyncio.gather(*(publisher.answer() for publisher in publishers))
    for client in (*polls, *publishers):
        client.transport.close()
    await waiting(at, 0)
    return {
        "connections_mib": round((connections - before) / 2**20, 1),
        "held_mib": [round((one - before) / 2**20, 1) for one in held],
        "kib_per_poll": round((max(held) - before) / len(polls) / 1024, 1),
        "released_ms": round(statistics.median(released_s) * 1000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polls", type=int, default=2_000)
    parser.add_argument("--devices", type=int, default=1, help="which the polls share evenly")
    parser.add_argument("--repeat", type=int, default=3, help="times that all of them wait and are answered")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})
    about = {"benchmark": "polls", "polls": options.polls, "devices": options.devices}
    about |= {"python": platform.python_version(), "limits": "bench"}
    settings = SETTINGS | {"HUB_LIMITS": "bench", "HUB_POLLS": str(options.polls)}
    with hub(settings) as at, asyncio.Runner(loop_factory=loop_factory()) as runner:
        result = runner.run(measure(at, options))
    print(json.dumps({**about, **result}, indent=2))


if __name__ == "__main__":
    main()
