"""Writes made together: the compiled helper against its plain twin, and both against the transport."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.web.writes import SendEach, Writes, compiled, plain_send_each
from tests.waiting import until
from tests.web.test_slow_readers import inserting, numbers, pushes, tight

needs_compiler = pytest.mark.skipif(compiled() is None, reason="the compiled helper was not built here")
WAYS = [pytest.param(plain_send_each, id="plain"), pytest.param(compiled(), id="compiled", marks=needs_compiler)]


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3)]
        for pair in made:
            for end in pair:
                stack.enter_context(end)
        yield made


@pytest.mark.parametrize("send_each", WAYS)
def test_each_payload_reaches_its_own_peer(
    send_each: SendEach, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """Every descriptor gets its own bytes, whole, and nothing is left over."""
    payloads = (b"one", b"two" * 100, b"")

    unsent = send_each(tuple(ours.fileno() for ours, _ in pairs), payloads)

    assert not unsent
    assert [theirs.recv(1000) for _, theirs in pairs[:2]] == [b"one", b"two" * 100]


@pytest.mark.parametrize("send_each", WAYS)
def test_what_does_not_fit_is_told(send_each: SendEach, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """A full peer takes a part; how much is told, and the next peer gets its bytes all the same."""
    huge = bytes(4_000_000)

    unsent = send_each((pairs[0][0].fileno(), pairs[1][0].fileno()), (huge, b"next"))

    [(index, sent)] = unsent
    assert index == 0
    assert 0 < sent < len(huge)
    assert pairs[1][1].recv(100) == b"next"


@pytest.mark.parametrize("send_each", WAYS)
def test_a_broken_descriptor_costs_only_itself(
    send_each: SendEach, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """A peer that is gone, and a descriptor that is closed, count as nothing sent; the others are served."""
    pairs[0][1].close()
    closed = pairs[1][0].detach()
    socket.close(closed)

    unsent = send_each((pairs[0][0].fileno(), closed, pairs[2][0].fileno()), (b"a", b"b", b"c"))

    assert unsent == [(0, 0), (1, 0)]
    assert pairs[2][1].recv(100) == b"c"


@needs_compiler
@given(st.lists(st.binary(max_size=300_000), max_size=5))
def test_the_compiled_helper_does_what_the_plain_one_does(payloads: list[bytes]) -> None:
    """Same descriptors, same payloads: the same bytes arrive and the same is told to be unsent."""
    send_each = compiled()
    assert send_each is not None

    assert _sent(send_each, payloads) == _sent(plain_send_each, payloads)


def _sent(send_each: SendEach, payloads: list[bytes]) -> tuple[list[tuple[int, int]], list[bytes]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in payloads]
        for ours, theirs in made:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            theirs.setblocking(False)
        unsent = list(send_each(tuple(ours.fileno() for ours, _ in made), tuple(payloads)))
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
    send_each = compiled()
    assert send_each is not None

    with pytest.raises(error):
        send_each(fds, payloads)  # type: ignore[arg-type]


# --- in the hub -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("send_each", [pytest.param(None, id="transport"), *WAYS])
async def test_every_way_of_writing_delivers_the_same(start: Any, wires: Any, send_each: SendEach | None) -> None:
    """Fast and slow readers get every message, in order: also what the kernel could not take at once."""
    world = await tight(start, outbox_bytes=4_000_000)
    gateway, edge = world.hub.gateway, world.hub.edge
    gateway.write_together = send_each and Writes(send_each, gateway.fan_out, count=edge.count_writes)
    device = await wires.device(world)
    dashboards = [await wires.dashboard(world, receive_bytes=4_096) for _ in range(3)]
    for wire in dashboards:
        await wire.succeed("notification/subscribe")

    await device.write(b"".join(inserting(number, size=20_000) for number in range(50)))
    found = await asyncio.gather(*(pushes(wire, 49) for wire in dashboards))

    assert [numbers(one) for one in found] == [list(range(50))] * 3
    assert edge.counters.writes >= 3


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
