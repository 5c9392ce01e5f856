"""The load generator's sockets: frames cut anywhere, control frames in between, and faults in the stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from hub.bench.check import Reader
from hub.bench.shaped import Acknowledged
from hub.bench.wire import Refused, Socket, Upgrade, masked
from protocol.frames import frame
from tests.bench.streams import CLOSE, PING, TEXT, faults, push, pushes, reader, subscriber
from tests.waiting import WAIT_S


@pytest.mark.parametrize("check", [True, False])
async def test_a_stream_may_be_cut_anywhere(check):
    """Chunks end in the middle of headers and tokens; every message counts once."""
    stream = pushes(range(40))
    for step in (1, 2, 7, 100, 101, len(stream)):
        one = reader()
        socket, _ = subscriber(one, check=check)

        for begin in range(0, len(stream), step):
            socket.data_received(stream[begin : begin + step])

        assert one.delivered == 40
        assert faults(one, {0: 40}) == (0, 0, 0)


async def test_other_frames_in_between_do_not_disturb():
    """A ping is answered, a message without a token and one of another length are taken for what they are."""
    one = reader()
    socket, wire = subscriber(one)

    socket.data_received(pushes(range(3)))
    socket.data_received(push(3) + frame(PING, b"hi") + push(4) + frame(TEXT, b'{"action":"x"}') + push(5))
    socket.data_received(push(6, more=',"dropped":1') + pushes(range(7, 10)))

    socket.data_received(push(10) + frame(PING, b"you"))
    assert wire.written == masked(0xA, b"hi") + masked(0xA, b"you")
    assert socket.others == 1
    assert faults(one, {0: 11}) == (0, 0, 0)


async def test_bars_in_headers_and_messages_are_no_tokens():
    """A frame whose length holds the byte of a bar, and a text full of bars, count as one message each."""
    one = reader()
    socket, _ = subscriber(one)
    bars = "|" * (380 - len(push(0, more=',"x":""')) + 2)

    for number in range(4):
        socket.data_received(push(number, more=f',"x":"{bars}"'))

    assert push(0, more=f',"x":"{bars}"')[3:4] == b"|"
    assert one.delivered == 4


async def test_a_close_frame_tells_how_it_ended():
    """The code is kept, the frame answered."""
    socket, wire = subscriber(reader())

    socket.data_received(frame(CLOSE, (4008).to_bytes(2) + b"slow"))

    assert str(socket.ended) == "closed 4008"
    assert wire.written == masked(CLOSE, (4008).to_bytes(2))
    assert wire.closed


async def test_a_message_in_fragments_is_one_message():
    """Fragments are joined, also with a ping between them."""
    one = reader()
    socket, _ = subscriber(one)
    payload = push(0)[2:] if push(0)[1] < 126 else push(0)[4:]

    first, last = payload[:30], payload[30:]
    socket.data_received(bytes((TEXT, len(first))) + first + frame(PING, b"") + frame(0x0, last))

    assert one.delivered == 1


# --- answers ----------------------------------------------------------------------------------------------------------

DONE = frame(TEXT, b'{"requestId":2,"status":"success","notification":{"id":1234567890}}')
FAILED = frame(TEXT, b'{"requestId":2,"status":"error","code":429}')


class Asking(Acknowledged):
    def __init__(self, upgrade: Upgrade) -> None:
        super().__init__(upgrade, b'"status":"success"')
        self.successes = 0

    def acknowledged(self, count: int) -> None:
        self.successes += count
        for _ in range(count):
            self.waiting.popleft()


async def test_answers_are_counted_in_chunks_and_alone():
    """Runs of answers of one length, cut anywhere, with a refusal and a ping among them."""
    stream = DONE * 5 + FAILED + DONE * 3 + frame(PING, b"") + DONE + frame(TEXT, b'{"status":"success"}')
    for step in (1, 3, 64, len(stream)):
        socket = Asking(Upgrade.to("here", "/"))
        socket.opened.set_result(None)
        socket.waiting.extend(range(11))

        for begin in range(0, len(stream), step):
            socket.data_received(stream[begin : begin + step])

        assert socket.successes == 10
        assert socket.refused == {"error": 1}
        assert not socket.waiting


# --- real servers -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def pushing(*messages: str) -> AsyncIterator[int]:
    """A server that pushes these texts to whoever comes, and closes with 4008; gives its port."""

    async def push_all(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        await connection.close(4008, "enough")

    async with serve(push_all, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def read_from(port: int) -> Reader:
    """Read from a server until it closes."""
    from hub.bench.shaped import Subscriber

    one = reader()
    upgrade = Upgrade.to(f"127.0.0.1:{port}", "/")
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Subscriber(upgrade, one), "127.0.0.1", port)
    await asyncio.wait_for(socket.opened, WAIT_S)
    assert await socket.wait_closed(WAIT_S)
    assert str(socket.ended) == "closed 4008"
    return one


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (range(30), (0, 0, 0)),
        ([*range(10), *range(11, 30)], (1, 0, 0)),
        ([*range(10), 9, *range(10, 30)], (0, 1, 0)),
        ([*range(10), 11, 10, *range(12, 30)], (0, 0, 1)),
    ],
    ids=["sound", "drops", "repeats", "reorders"],
)
async def test_faults_of_a_server_are_noticed(numbers, expected):
    """A real server that drops, repeats or reorders a message is found out."""
    texts = [push(number)[2 if push(number)[1] < 126 else 4 :].decode() for number in numbers]

    async with pushing(*texts) as port:
        one = await read_from(port)

    assert expected == faults(one, {0: 30})


@pytest.mark.parametrize(
    ("answer", "reason", "retry_after_s"),
    [
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\n\r\n", "http 503", 2.0),
        (b"HTTP/1.1 401 No\r\n\r\n", "http 401", None),
        (b"HTTP/1.1 101 On\r\nSec-WebSocket-Accept: wrong\r\n\r\n", "no handshake", None),
        (b"hello\r\n\r\n", "no handshake", None),
        (b"", "cut off", None),
    ],
)
async def test_a_refusal_says_why(answer, reason, retry_after_s):
    """Whoever is not let in knows the status and when to come back."""

    async def answers(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(answer)
        outgoing.close()

    async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: Socket(Upgrade.to("here", "/")), "127.0.0.1", port)
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(socket.opened, WAIT_S)

    assert (refused.value.reason, refused.value.retry_after_s) == (reason, retry_after_s)


async def test_what_it_sends_is_understood():
    """Messages of each size of header reach a real server unchanged."""
    got: asyncio.Queue[str] = asyncio.Queue()

    async def listen(connection: ServerConnection) -> None:
        async for text in connection:
            got.put_nowait(str(text))

    async with serve(listen, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        loop = asyncio.get_running_loop()
        upgrade = Upgrade.to(f"127.0.0.1:{port}", "/")
        _, socket = await loop.create_connection(lambda: Socket(upgrade), "127.0.0.1", port)
        await asyncio.wait_for(socket.opened, WAIT_S)
        for size in (5, 125, 126, 70_000):
            socket.send(masked(TEXT, b"x" * size))

        sizes = [len(await asyncio.wait_for(got.get(), WAIT_S)) for _ in range(4)]
        socket.close()

    assert sizes == [5, 125, 126, 70_000]
