"""Relays: Node's ``ws``, ``websockets``' own server, and two C programs that do nothing but send."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.compiled import compiled
from benchmarks.peers.systems import Does, Job, Served, System, first_line, output, process
from benchmarks.peers.wire import ACK, Stage, frame, opening, padded

HERE = Path(__file__).parent
NODE = HERE / "node"
GREETING = b"ready"

Start = Callable[[Path, Job], AbstractContextManager[Served]]


def relay(*command: str | Path) -> Start:
    """A WebSocket relay that prints its port, greets, and knows publishers by their path."""

    @contextmanager
    def start(directory: Path, job: Job) -> Iterator[Served]:
        with process(*command, directory=directory) as child:
            yield Served(
                int(first_line(child)),
                child.pid,
                subscriber=[opening("/subscribe", GREETING)],
                publisher=lambda number: [opening("/publish", GREETING)],
                messages=lambda pad: [frame(padded(pad))],
                ack=ACK,
            )

    return start


def sender(mode: str) -> Start:
    """The C program; what it takes and sends are records of the size of a delivery."""

    @contextmanager
    def start(directory: Path, job: Job) -> Iterator[Served]:
        with process(compiled("send"), str(job.wire_bytes), mode, directory=directory) as child:
            yield Served(
                int(first_line(child)),
                child.pid,
                subscriber=[Stage(b"S\n", b"ok\n")],
                publisher=lambda number: [Stage(b"P\n", b"ok\n")],
                messages=lambda pad: [padded(job.wire_bytes - len(padded(0)))],
                ack=ACK,
            )

    return start


def _node_missing() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js with npm"
    return None if (NODE / "node_modules" / "ws").exists() else f"npm ci --prefix {NODE}"


@cache
def _node_version() -> str:
    package = json.loads((NODE / "node_modules" / "ws" / "package.json").read_text())
    return f"{package['version']} (node {output('node', '--version')})"


SYSTEMS = [
    System(
        "Node ws",
        "node",
        Does("no", "no", "no", "frames only", "when relayed"),
        _node_missing,
        _node_version,
        relay("node", NODE / "server.js"),
    ),
    System(
        "websockets",
        "websockets",
        Does("no", "no", "no", "frames only", "when relayed"),
        lambda: None,
        lambda: version("websockets"),
        relay(sys.executable, HERE / "broadcast.py"),
    ),
    *(
        System(
            f"C, a send per {mode}",
            "c",
            Does("no", "no", "no", "nothing", "when sent"),
            lambda: None,
            lambda: output("cc", "--version"),
            sender(mode),
        )
        for mode in ("message", "turn")
    ),
]
