"""Brokers from Debian: nats-server over WebSocket, mosquitto over plain MQTT."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.peers.systems import Does, Job, Served, System, found, output, process
from benchmarks.peers.wire import BINARY, Stage, frame, mqtt, mqtt_text, opening, padded

START_S = 10.0
TOPIC = "bench"

NATS_CONF = """
listen: "127.0.0.1:-1"
websocket { listen: "127.0.0.1:%d", no_tls: true, compression: false }
ping_interval: "1h"
"""

MOSQUITTO_CONF = """
listener %d 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
log_type error
user root
"""


def free_port() -> int:
    """A port that nobody listens on. These servers do not tell which one they took."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(port: int) -> None:
    """Return when somebody listens there.

    Raises:
        TimeoutError: nobody did.
    """
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


# --- NATS


def _hello(verbose: str, rest: bytes = b"") -> list[Stage]:
    options = b'CONNECT {"verbose":%b,"pedantic":false}\r\n' % verbose.encode()
    return [opening("/"), Stage(frame(options + rest + b"PING\r\n", BINARY), b"PONG\r\n")]


def _nats_publisher(number: int) -> list[Stage]:
    """Verbose, so that every message is answered with +OK."""
    return _hello("true")


def _nats_messages(pad: int) -> list[bytes]:
    payload = padded(pad)
    return [frame(b"PUB %b %d\r\n%b\r\n" % (TOPIC.encode(), len(payload), payload), BINARY)]


@contextmanager
def start_nats(directory: Path, job: Job) -> Iterator[Served]:
    port = free_port()
    (directory / "nats.conf").write_text(NATS_CONF % port)
    subscriber = _hello("false", b"SUB %b 1\r\n" % TOPIC.encode())
    with process(found("nats-server") or "", "-c", "nats.conf", directory=directory) as child:
        wait_for(port)
        yield Served(port, child.pid, subscriber, _nats_publisher, _nats_messages, ack=b"+O")


# --- MQTT

CONNECT = Stage(mqtt(0x10, mqtt_text("MQTT"), b"\x04\x02\0\0", mqtt_text("")), b"\x20\x02\0\0")
SUBSCRIBE = Stage(mqtt(0x82, b"\0\1", mqtt_text(TOPIC), b"\0"), b"\x90\x03\0\1\0")
IN_FLIGHT_MAX = 63
"""Packet ids beyond look like the beginning of an acknowledgement."""


def _at_most_once(pad: int) -> list[bytes]:
    return [mqtt(0x30, mqtt_text(TOPIC), padded(pad))]


def _at_least_once(pad: int) -> list[bytes]:
    return [mqtt(0x32, mqtt_text(TOPIC), number.to_bytes(2), padded(pad)) for number in range(1, IN_FLIGHT_MAX + 1)]


@contextmanager
def start_mosquitto(directory: Path, job: Job) -> Iterator[Served]:
    port = free_port()
    (directory / "mosquitto.conf").write_text(MOSQUITTO_CONF % port)
    messages, ack = (_at_least_once, b"\x40\x02") if job.acknowledged else (_at_most_once, b"")
    with process(found("mosquitto") or "", "-c", "mosquitto.conf", directory=directory) as child:
        wait_for(port)
        yield Served(port, child.pid, [CONNECT, SUBSCRIBE], lambda number: [CONNECT], messages, ack)


def _debian(package: str) -> str | None:
    return None if found(package) else f"apt-get install {package}"


SYSTEMS = [
    System(
        "nats-server",
        "nats",
        Does("no", "no", "no", "own text", "when read"),
        lambda: _debian("nats-server"),
        lambda: output(found("nats-server") or "", "--version").rpartition(" ")[2],
        start_nats,
    ),
    System(
        "mosquitto",
        "mosquitto",
        Does("no", "no", "no", "MQTT header", "QoS 1, when read"),
        lambda: _debian("mosquitto"),
        lambda: output(found("mosquitto") or "", "-h").rpartition(" ")[2],
        start_mosquitto,
    ),
]
