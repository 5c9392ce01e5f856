"""The client's orders and its answers; the client itself is ``load.c``, the same for every system."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.compiled import compiled
from benchmarks.peers.systems import CLIENT_CORE, Served, on_core
from benchmarks.peers.wire import MARKER, Stage

PROBE_S = 0.02
TRIES = 4
OPEN_S = 300
"""The most that it may take to open all connections."""

Figures = dict[str, Any]
"""Of one run, as the client tells them: messages, deliveries, bytes, seconds, p50_ms, client_busy and more."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked of the client.

    Attributes:
        windows: messages in flight per publisher; a run for each.
        gated: whether publishers wait for their acknowledgements, too.
    """

    subscribers: int
    publishers: int
    windows: Sequence[int]
    warm_up_s: float
    seconds: float
    gated: bool


def measure(served: Served, run: Run, *, pad: int) -> list[Figures]:
    """Open all connections, and measure with each window in turn.

    Raises:
        RuntimeError: the client gave up; it says why.
    """
    limit_s = OPEN_S + len(run.windows) * 2 * (run.warm_up_s + run.seconds)
    with on_core(CLIENT_CORE):
        client = subprocess.Popen(
            [compiled("load")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    try:
        told, error = client.communicate(orders(served, run, pad=pad), timeout=limit_s)
    except subprocess.TimeoutExpired as exc:
        raise RuntimeError(f"not measured within {limit_s:.0f} s") from exc
    finally:
        client.kill()
        client.communicate()
    if client.returncode:
        raise RuntimeError(error.decode(errors="replace").strip() or f"the client ended with {client.returncode}")
    return [json.loads(line) for line in told.splitlines()]


def padding(served: Served, wire_bytes: int) -> int:
    """How much longer a message has to be for its delivery to have so many bytes: tried out.

    Raises:
        RuntimeError: a delivery cannot have this length.
    """
    pad = 0
    for _ in range(TRIES):
        less = wire_bytes - delivery_bytes(served, pad)
        if less == 0:
            return pad
        pad += less  # Lengths are written with more digits as they grow: once more.
        if pad < 0:
            raise RuntimeError(f"a delivery takes {wire_bytes - less} bytes at least")
    raise RuntimeError(f"no delivery has exactly {wire_bytes} bytes")


def delivery_bytes(served: Served, pad: int) -> int:
    """The bytes of one delivery, sent alone."""
    probe = Run(subscribers=1, publishers=1, windows=[1], warm_up_s=0, seconds=PROBE_S, gated=False)
    figures = measure(served, probe, pad=pad)[0]
    return int(figures["bytes"] // figures["deliveries"])


def orders(served: Served, run: Run, *, pad: int) -> bytes:
    """All that the client is told (``load.c``)."""
    lines = [f"port {served.port}", f"server {served.pid}", f"marker {MARKER.hex()}", f"gated {int(run.gated)}"]
    if served.ack:
        lines.append(f"ack {served.ack.hex()}")
    parts = [line.encode() + b"\n" for line in lines]
    if served.before:
        parts += _connections("X", 1, served.before, [])
    parts += _connections("S", run.subscribers, served.subscriber, [])
    messages = served.messages(pad)
    for number in range(run.publishers):
        parts += _connections("P", 1, served.publisher(number), messages)
    parts += [b"run %d %.3f %.3f\n" % (window, run.warm_up_s, run.seconds) for window in run.windows]
    return b"".join(parts)


def _connections(role: str, count: int, stages: Iterable[Stage], messages: Iterable[bytes]) -> list[bytes]:
    parts = [f"connections {role} {count}\n".encode()]
    for stage in stages:
        parts += [b"stage %d %d\n" % (len(stage.send), len(stage.expect)), stage.send, stage.expect]
    for message in messages:
        parts += [b"message %d\n" % len(message), message]
    return parts
