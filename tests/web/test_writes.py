"""Writes made together: the compiled helper against its plain twin, and both against the transport."""

import asyncio
import gc
import socket
import weakref
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.audience import TOGETHER_FROM, Audience, Share
from hub.core.connection import Connection
from hub.core.fanout import FanOut
from hub.web.writes import PLAIN, Send, Writes, compiled
from protocol.codecs import JSON
from tests.edge_client import message
from tests.helpers import connection, subscription
from tests.waiting import until
from tests.web.test_slow_readers import inserting, numbers, pushes, tight

needs_compiler = pytest.mark.skipif(compiled() is None, reason="the compiled helper was not built here")
WAYS = [pytest.param(PLAIN, id="plain"), pytest.param(compiled(), id="compiled", marks=needs_compiler)]


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3)]
        for pair in made:
            for end in pair:
                stack.enter_context(end)
        yield made


@pytest.mark.parametrize("send", WAYS)
def test_each_payload_reaches_its_own_peer(send: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """Every descriptor gets its own bytes, whole, and nothing is left over."""
    payloads = (b"one", b"two" * 100, b"")

    unsent = send.each(tuple(ours.fileno() for ours, _ in pairs), payloads)

    assert not unsent
    assert [theirs.recv(1000) for _, theirs in pairs[:2]] == [b"one", b"two" * 100]


@pytest.mark.parametrize("send", WAYS)
def test_what_does_not_fit_is_told(send: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """A full peer takes a part; how much is told, and the next peer gets its bytes all the same."""
    huge = bytes(4_000_000)

    unsent = send.each((pairs[0][0].fileno(), pairs[1][0].fileno()), (huge, b"next"))

    [(index, sent)] = unsent
    assert index == 0
    assert 0 < sent < len(huge)
    assert pairs[1][1].recv(100) == b"next"


@pytest.mark.parametrize("send", WAYS)
def test_a_broken_descriptor_costs_only_itself(send: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """A peer that is gone, and a descriptor that is closed, count as nothing sent; the others are served."""
    pairs[0][1].close()
    closed = pairs[1][0].detach()
    socket.close(closed)

    unsent = send.each((pairs[0][0].fileno(), closed, pairs[2][0].fileno()), (b"a", b"b", b"c"))

    assert unsent == [(0, 0), (1, 0)]
    assert pairs[2][1].recv(100) == b"c"


@needs_compiler
@given(st.lists(st.binary(max_size=300_000), max_size=5))
def test_the_compiled_helper_does_what_the_plain_one_does(payloads: list[bytes]) -> None:
    """Same descriptors, same payloads: the same bytes arrive and the same is told to be unsent."""

    def sending(send: Send, fds: list[int]) -> Any:
        return send.each(tuple(fds), tuple(payloads))

    assert _sent(compiled(), len(payloads), sending) == _sent(PLAIN, len(payloads), sending)


@needs_compiler
@given(
    heads=st.integers(0, 40).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=5)),
    segments=st.lists(st.binary(max_size=100_000), min_size=1, max_size=5),
    shut=st.sets(st.integers(0, 4)),
    later=st.integers(0, 2),
)
def test_what_is_shared_reaches_open_lines_with_their_own_heads(
    heads: list[bytes], segments: list[bytes], shut: set[int], later: int
) -> None:
    """Both send the join of each head, tell what they did not, and leave out shut lines and whoever came later."""
    count = max(0, len(heads) - later)

    def sending(send: Send, fds: list[int]) -> Any:
        is_open = bytearray(max(fds, default=0) + 1)
        for index, fd in enumerate(fds):
            is_open[fd] = index not in shut
        return send.shared(array("i", fds), bytearray(b"".join(heads)), count, is_open, segments)

    unsent, arrived = _sent(compiled(), len(heads), sending)

    assert (unsent, arrived) == _sent(PLAIN, len(heads), sending)
    missing = dict(unsent)
    for seat, head in enumerate(heads):
        whole = head.join(segments) if seat < count and seat not in shut else b""
        assert arrived[seat] == whole[: missing.get(seat, len(whole))]


def _sent(
    send: Send | None, count: int, sending: Callable[[Send, list[int]], Any]
) -> tuple[list[tuple[int, int]], list[bytes]]:
    assert send is not None
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(count)]
        for ours, theirs in made:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            theirs.setblocking(False)
        unsent = list(sending(send, [ours.fileno() for ours, _ in made]))
        return unsent, [_everything(theirs) for _, theirs in made]


def _everything(end: socket.socket) -> bytes:
    arrived = b""
    try:
        while chunk := end.recv(1_000_000):
            arrived += chunk
    except BlockingIOError:
        pass
    return arrived


@needs_compiler
@pytest.mark.parametrize(
    ("fds", "payloads", "error"),
    [((1,), (), ValueError), ((1,), ("text",), TypeError), (("1",), (b"",), TypeError), ([1], (b"",), TypeError)],
)
def test_the_compiled_helper_refuses_what_it_cannot_send(fds: object, payloads: object, error: type[Exception]) -> None:
    """Wrong arguments are an exception, not a crash."""
    send = compiled()
    assert send is not None

    with pytest.raises(error):
        send.each(fds, payloads)  # type: ignore[arg-type]


@needs_compiler
@pytest.mark.parametrize(
    ("lines", "heads", "count", "segments", "error"),
    [
        (array("i", [1]), b"h", 2, [b""], ValueError),
        (array("i", [1]), b"h", -1, [b""], ValueError),
        (array("i", [1, 2]), b"odd", 2, [b""], ValueError),
        (array("i"), b"h", 0, [b""], ValueError),
        (array("i", [1]), b"h", 1, [], ValueError),
        (array("i", [1]), b"h", 1, ["text"], TypeError),
        (array("i", [1]), b"h", 1, (b"",), TypeError),
        ([1], b"h", 1, [b""], TypeError),
    ],
)
def test_the_compiled_helper_refuses_what_cannot_be_shared(
    lines: object, heads: bytes, count: int, segments: object, error: type[Exception]
) -> None:
    """Wrong arguments are an exception, not a crash."""
    send = compiled()
    assert send is not None

    with pytest.raises(error):
        send.shared(lines, bytearray(heads), count, bytearray(4), segments)  # type: ignore[arg-type]


# --- in the hub -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[pytest.param(None, id="transport"), *WAYS])
async def writing(request: Any, start: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub that writes in one of the ways there are, with room for slow readers."""
    monkeypatch.setattr("hub.app.compiled", lambda: request.param)
    return await tight(start, outbox_bytes=4_000_000)


@pytest.mark.parametrize("others", [0, TOGETHER_FROM])
async def test_every_way_of_writing_delivers_the_same(writing: Any, wires: Any, others: int) -> None:
    """Fast and slow readers get every message, in order: also what the kernel could not take at once."""
    device = await wires.device(writing)
    dashboards = [await wires.dashboard(writing, receive_bytes=4_096) for _ in range(3)]
    dashboards += [await wires.dashboard(writing) for _ in range(others)]
    for wire in dashboards:
        await wire.succeed("notification/subscribe")

    await device.write(b"".join(inserting(number, size=20_000) for number in range(50)))
    found = await asyncio.gather(*(pushes(wire, 49) for wire in dashboards))

    assert [numbers(one) for one in found] == [list(range(50))] * len(dashboards)
    assert writing.hub.edge.counters.writes >= len(dashboards)


async def test_answers_and_shared_pushes_keep_their_order(writing: Any, wires: Any) -> None:
    """Dashboards of one audience that ask, and insert, among pushes: answers in order, every push once and in order."""
    device = await wires.device(writing)
    dashboards = [await wires.dashboard(writing) for _ in range(TOGETHER_FROM)]
    for wire in dashboards:
        await wire.succeed("notification/subscribe")

    asking = message(action="server/info", requestId=1)
    sending = message(action="command/insert", requestId=2, deviceGuid="lamp", command={"command": "on"})

    async def ask(wire: Any) -> None:
        for _ in range(10):
            await wire.write(asking + sending)
            await asyncio.sleep(0)

    async def everything(wire: Any) -> tuple[list[Any], list[int]]:
        answers: list[Any] = []
        pushed: list[int] = []
        while len(answers) < 20 or len(pushed) < 50:
            found = await wire.members()
            if "requestId" in found:
                answers.append(found["requestId"])
            else:
                pushed += numbers([found])
        return answers, pushed

    await asyncio.gather(
        device.write(b"".join(inserting(number, size=2_000) for number in range(50))), *map(ask, dashboards)
    )
    found = await asyncio.gather(*map(everything, dashboards))

    assert found == [([1, 2] * 10, list(range(50)))] * len(dashboards)


class Held:
    """A socket whose transport may hold bytes; it keeps what is written through it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held = 0
        self.written = b""
        self.transport: Any = self

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("send", WAYS)
def test_nothing_overtakes_what_a_transport_holds(send: Send, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """While a transport holds bytes its line is shut and pushes go through the outbox; then it is open again."""
    held, free = (Held(ours.fileno()) for ours, _ in pairs[:2])
    fan_out = FanOut()
    writes = Writes(send, fan_out, count=lambda writes, size: None)
    audience = Audience()
    sockets: dict[Connection, Any] = {}
    for writer in (held, free):
        one = connection(JSON)
        one.line = writes.line(writer)
        sockets[one] = writer
        audience.add(subscription(one))
    share = Share(audience, 2, [b"<", b">"])

    held.held = 1
    writes.wait(held)
    [left] = writes({}, sockets, [share])
    assert left.outbox.take(1) == audience.subscriptions[0].head.join([b"<", b">"])
    assert pairs[1][1].recv(1_000) == audience.subscriptions[1].head.join([b"<", b">"])

    held.held = 0
    assert writes({}, sockets, [share]) == []
    assert pairs[0][1].recv(1_000) == audience.subscriptions[0].head.join([b"<", b">"])

    writes.end(held)
    assert writes({}, {}, [share]) == []
    pairs[0][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pairs[0][1].recv(1_000)


async def test_a_connection_that_has_ended_leaves_nothing_to_the_collector(start: Any, wires: Any) -> None:
    """No cycle keeps a socket or its connection: the collector hardly ever runs."""
    world = await start()
    wire = await wires.dashboard(world)
    await wire.succeed("notification/subscribe")
    await wire.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})
    [connection] = world.hub.gateway.connections
    ended = [weakref.ref(connection)]
    del connection
    gc.collect()
    gc.disable()
    try:
        wire.close()

        async def gone() -> bool:
            return not any(ref() for ref in ended)

        assert await until(gone)
    finally:
        gc.enable()
