"""The cable of the fault tests does what it says."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.fault.proxy import FaultProxy
from tests.waiting import WAIT_S

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A cable to a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def echoed(ends: Ends, data: bytes) -> bytes:
    reader, writer = ends
    writer.write(data)
    async with asyncio.timeout(WAIT_S):
        return await reader.readexactly(len(data))


async def test_what_is_swallowed_comes_when_it_is_mended(proxy):
    """Silence closes nothing, and loses nothing."""
    reader, writer = ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    await echoed(ends, b"a")

    proxy.swallow()
    writer.write(b"b")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    proxy.mend()

    assert await asyncio.wait_for(reader.readexactly(1), WAIT_S) == b"b"
    writer.close()


async def test_a_reset_ends_what_is_there_and_nothing_that_comes(proxy):
    """The peer sees ECONNRESET; the next connection works."""
    reader, writer = ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    await echoed(ends, b"a")

    proxy.reset_all()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), WAIT_S)
    writer.close()

    _, writer = ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await echoed(ends, b"b") == b"b"
    writer.close()


async def test_a_cut_cable_takes_no_connection(proxy):
    """Until it is mended."""
    proxy.cut()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), WAIT_S)
    writer.close()

    proxy.mend()
    _, writer = ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await echoed(ends, b"a") == b"a"
    writer.close()


async def test_a_long_cable_takes_its_time_each_way(proxy):
    """And keeps the order."""
    _, writer = ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    await echoed(ends, b"a")
    proxy.latency_s, began_s = 0.05, time.monotonic()

    assert await echoed(ends, b"0123456789") == b"0123456789"
    assert time.monotonic() - began_s >= 0.1
    writer.close()


async def test_a_stretched_cable_keeps_the_order(proxy):
    """However the time of each piece is drawn, and while it is being stretched and let go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    sent = b""
    for number in range(300):
        proxy.latency_s, proxy.jitter_s = [(0.0, 0.0), (0.02, 0.01), (0.002, 0.001)][number // 20 % 3]
        sent += b"%04d" % number
        writer.write(sent[-4:])
        await asyncio.sleep(0.001)

    async with asyncio.timeout(WAIT_S):
        assert await reader.readexactly(len(sent)) == sent
    writer.close()
