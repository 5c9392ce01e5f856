"""Streams of frames as a server would push them, and readers of them."""

from collections.abc import Iterable

from hub.bench import token
from hub.bench.check import Order, Reader, Tokens
from hub.bench.shaped import Subscriber
from hub.bench.times import Times
from hub.bench.wire import Upgrade
from protocol.frames import frame

NOW_US = 5_000_000
SENT_US = 4_000_000

TEXT, CLOSE, PING = 0x1, 0x8, 0x9


def push(number: int, publisher: int = 0, *, more: str = "") -> bytes:
    """A frame that pushes one message of a run."""
    written = token.write(publisher, number, SENT_US).decode()
    return frame(TEXT, f'{{"action":"notification/insert","parameters":{{"m":"{written}"}}{more}}}'.encode())


def pushes(numbers: Iterable[int], publisher: int = 0) -> bytes:
    return b"".join(push(number, publisher) for number in numbers)


def tokens(numbers: Iterable[int], publisher: int = 0) -> Tokens:
    """Tokens as they are cut out of frames."""
    return [(token.write(publisher, number, SENT_US),) for number in numbers]


def reader(order: Order | None = None, **options: bool) -> Reader:
    """A reader of this topic, or of one of its own."""
    return Reader(order if order is not None else Order(), Times(), **options)


def faults(one: Reader, published: dict[int, int]) -> tuple[int, int, int]:
    """What a reader found in the end: lost, repeated, reordered."""
    found = one.finish(published)
    return found.lost, found.repeated, found.reordered


class Wire:
    """A transport that only remembers."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


def subscriber(one: Reader, **options: bool) -> tuple[Subscriber, Wire]:
    """A socket whose handshake is over, fed by hand; with what it writes afterwards."""
    upgrade, wire = Upgrade.to("127.0.0.1:8080", "/websocket/client"), Wire()
    made = Subscriber(upgrade, one, **options)
    made.connection_made(wire)  # type: ignore[arg-type]  # as much of a transport as it uses
    made.data_received(b"HTTP/1.1 101 On\r\nSec-WebSocket-Accept: " + upgrade.accept + b"\r\n\r\n")
    wire.written = b""
    return made, wire
