"""The hub: with the log before everything, and with the log behind."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.edge import listening
from benchmarks.peers.systems import Does, Job, Served, System, process
from benchmarks.peers.wire import ACK, Stage, json_frame, opening, padded
from protocol.version import __version__

ROOT = Path(__file__).parents[2]
LIMITS = "bench"
SETTINGS = {
    "HUB_LIMITS": LIMITS,
    "HUB_PORT": "0",
    # The client counts and answers nothing, not even pings.
    "HUB_PING_INTERVAL_S": "3600",
    "PYTHONPATH": str(ROOT),
}
SUCCESS = b'"status":"success"'


def request(action: str, **members: Any) -> Stage:
    return Stage(json_frame({"action": action, "requestId": 1, **members}), SUCCESS)


def guid(number: int) -> str:
    """Short, because a delivery names it twice, and of the same length for all."""
    return f"{number:03}"


def save(number: int) -> Stage:
    """Register a device."""
    device = {
        "name": "Bench",
        "key": "device-key",
        "network": {"name": "bench"},
        "deviceClass": {"name": "Bench", "version": "1"},
    }
    return request("device/save", deviceId=guid(number), device=device)


def publisher(number: int) -> list[Stage]:
    """A device, with its own key."""
    login = request("authenticate", deviceId=guid(number), deviceKey="device-key")
    return [opening("/websocket/device"), login]


def messages(pad: int) -> list[bytes]:
    notification = {"notification": "t", "parameters": {"v": padded(pad).decode()}}
    members = {"action": "notification/insert", "requestId": ACK.decode(), "notification": notification}
    return [json_frame(members)]


def served(port: int, pid: int, key: str, devices: int) -> Served:
    """Dashboards come with an access key; each has a subscription of its own."""
    dashboard = [opening("/websocket/client"), request("authenticate", accessKey=key)]
    return Served(
        port,
        pid,
        subscriber=[*dashboard, request("notification/subscribe")],
        publisher=publisher,
        messages=messages,
        ack=ACK,
        before=(*dashboard, *map(save, range(devices))),
    )


def starter(durability: str) -> Callable[[Path, Job], AbstractContextManager[Served]]:
    @contextmanager
    def start(directory: Path, job: Job) -> Iterator[Served]:
        command = (sys.executable, "-m", "hub", "serve", "--log-level", "error")
        with process(*command, directory=directory, HUB_DURABILITY=durability, **SETTINGS) as child:
            assert child.stdout is not None
            port = listening(child.stdout)
            key = json.loads((directory / "hub-profile.json").read_text())["accessKey"]
            yield served(port, child.pid, key, job.devices)

    return start


def _system(name: str, durability: str, durable: str) -> System:
    does = Does(durable, "yes", "yes", "JSON", "when durable" if durability == "commit" else "when queued")
    return System(name, "hub", does, lambda: None, lambda: __version__, starter(durability))


DURABLE = _system("hub, durable", "commit", "before delivery")
QUEUED = _system("hub, queued", "queued", "a moment later")
SYSTEMS = [DURABLE, QUEUED]
