"""What the event loop does for one inserted notification, from a frame's bytes to the answer's. Prints JSON.

    python benchmarks/insert.py [--devices 100] [--batch 10] [--messages 200000] [--store null|sqlite]

The whole hub in this process, without a network: sockets get frames from here and write to a transport that only
counts. ``null`` stores nothing, so that what is measured is the loop's own work; ``sqlite`` is the real log. Measured
is the CPU time of the loop's thread per message: that hardly depends on what else the machine does.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.edge import frame
from hub.app import COLLECT_AFTER, Hub, loop_factory
from hub.settings import Settings
from hub.settings_urls import Url
from hub.store import Append, Store, Write
from hub.web.upgrade import Upgrade


class Transport(asyncio.Transport):
    """Takes everything and counts answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol: asyncio.Protocol = protocol

    def write(self, data: Any) -> None:
        self.answers += bytes(data).count(b'"status":"success"')

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


HEAD = (
    b"GET /websocket/client HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def opened(hub: Hub) -> tuple[asyncio.Protocol, Transport]:
    transport = Transport()
    Upgrade(hub.edge, transport).open(HEAD, b"")
    return transport.protocol, transport


async def answered(transports: Sequence[Transport], wanted: int) -> None:
    async with asyncio.timeout(60):
        while sum(transport.answers for transport in transports) < wanted:
            await asyncio.sleep(0)


async def measure(options: argparse.Namespace) -> list[float]:
    hub = Hub(Settings(port=0, limits="bench", database_url=Url(f"sqlite:///{Path.cwd()}/hub.db"), log_level="error"))
    await hub.start()
    assert hub.first_start is not None, "the directory is empty"
    key = json.loads((Path.cwd() / "hub-profile.json").read_text())["accessKey"]
    try:
        return await _measure(hub, key, options)
    finally:
        await hub.stop()


async def _measure(hub: Hub, key: str, options: argparse.Namespace) -> list[float]:
    devices = []
    for number in range(options.devices):
        socket, transport = opened(hub)
        guid = f"dev-{number:04d}"
        device = {"name": guid, "key": "k", "network": {"name": "n"}, "deviceClass": {"name": "c", "version": "1"}}
        socket.data_received(
            frame({"action": "authenticate", "requestId": 1, "accessKey": key})
            + frame({"action": "device/save", "requestId": 2, "deviceId": guid, "device": device})
        )
        await answered([transport], 2)
        parameters = {"v": 20.5, "m": "|", "pad": "x" * 60}
        message = frame(
            {
                "action": "notification/insert",
                "requestId": 9,
                "deviceGuid": guid,
                "notification": {"notification": "temperature", "parameters": parameters},
            }
        )
        devices.append((socket, transport, message * options.batch))
    dashboard, seen = opened(hub)
    dashboard.data_received(
        frame({"action": "authenticate", "requestId": 1, "accessKey": key})
        + frame({"action": "notification/subscribe", "requestId": 2})
    )
    await answered([seen], 2)
    if options.store == "null":
        hub.gateway.commits._store = Null(hub.store)  # type: ignore[assignment]
    transports = [transport for _, transport, _ in devices]
    turns = max(1, options.messages // (options.devices * options.batch) // 5)
    rounds = []
    gc.collect()
    for _ in range(5):
        start = time.thread_time()
        for _ in range(turns):
            wanted = sum(transport.answers for transport in transports) + options.devices * options.batch
            for socket, _, message in devices:
                socket.data_received(message)
            await answered(transports, wanted)
        rounds.append((time.thread_time() - start) / (turns * options.devices * options.batch) * 1e6)
    return rounds


class Null:
    """A log that takes everything and keeps nothing; what is not a message goes to the real one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, batch: Sequence[Write]) -> list[Any]:
        if all(isinstance(write, Append) for write in batch):
            return [write.message for write in batch if isinstance(write, Append)]
        return await self._store.write(batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10, help="frames that arrive in one piece")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--store", choices=("null", "sqlite"), default="null")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=loop_factory()) as runner:
        os.chdir(directory)
        gc.set_threshold(*COLLECT_AFTER)
        rounds = runner.run(measure(options))
    result = {"us_per_message": [round(one, 2) for one in rounds], "median": round(statistics.median(rounds), 2)}
    print(json.dumps({"benchmark": "insert", **vars(options), **result}))


if __name__ == "__main__":
    main()
