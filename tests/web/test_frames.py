"""Frames: RFC 6455 to the letter, in whatever pieces they come, and what hostile ones cost."""

import json
import tracemalloc
import zlib
from contextlib import suppress
from itertools import pairwise

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge_client import BINARY, CLOSE, CONT, PING, PONG, TEXT, Wire, frame, message, upgrade

INFO = b'{"action":"server/info","requestId":1}'
EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")
MSGPACK = ("Sec-WebSocket-Protocol", "hub.1.msgpack")
KIB, MIB = 1024, 1024 * 1024


def close(code, reason=b""):
    return frame(CLOSE, code.to_bytes(2) + reason)


def padded(size):
    """A request of so many bytes."""
    return INFO[:-1] + b',"padding":"' + b"x" * (size - len(INFO) - 13) + b'"}'


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(frame(TEXT, INFO), id="whole"),
        pytest.param(frame(TEXT, INFO[:5], fin=False) + frame(CONT, INFO[5:]), id="two fragments"),
        pytest.param(frame(TEXT, fin=False) + frame(CONT, INFO, fin=False) + frame(CONT), id="empty fragments"),
        pytest.param(
            frame(TEXT, INFO[:5], fin=False)
            + frame(PING, b"p")
            + frame(CONT, INFO[5:9], fin=False)
            + frame(PONG)
            + frame(PING, b"q")
            + frame(CONT, INFO[9:]),
            id="control frames between fragments",
        ),
        pytest.param(frame(TEXT, INFO, length_size=2), id="length in two bytes that needs none"),
        pytest.param(frame(TEXT, INFO, length_size=8), id="length in eight bytes that needs none"),
        pytest.param(frame(PONG, b"never asked") + frame(TEXT, INFO), id="pong unasked"),
    ],
)
async def test_a_message_arrives_in_any_legal_form(world, wires, sent):
    """However a message is framed, it is answered once, and the connection goes on."""
    wire = await wires.open(world)
    await wire.write(sent + message(action="server/info", requestId=2))

    answers = []
    while not answers or answers[-1]["requestId"] != 2:
        one = await wire.frame()
        if one.opcode == TEXT:
            answers.append(one.members())

    assert [answer["requestId"] for answer in answers] == [1, 2]


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 125, b"\xff\x00"])
@pytest.mark.parametrize("amid", [False, True], ids=["alone", "amid fragments"])
async def test_a_pong_repeats_the_ping(world, wires, payload, amid):
    """Whatever the payload, and wherever the ping stands."""
    wire = await wires.open(world)
    await wire.write((frame(TEXT, b"{", fin=False) if amid else b"") + frame(PING, payload))

    answer = await wire.frame()

    assert (PONG, payload) == (answer.opcode, answer.payload)


async def test_many_frames_in_one_segment_are_all_answered(world, wires):
    """Three hundred requests that come at once are answered in their order."""
    wire = await wires.dashboard(world)
    await wire.write(b"".join(message(action="server/info", requestId=number) for number in range(300)))

    assert list(range(300)) == [(await wire.members())["requestId"] for _ in range(300)]


async def test_frames_may_come_byte_by_byte(world, wires):
    """A frame after a longer one is not waited for longer than it takes."""
    wire = await wires.open(world)
    sent = b"".join(
        message(action="server/info", requestId=number, padding="x" * size)
        for number, size in enumerate((300, 0, 200, 1, 0))
    )
    await wire.write_sliced(sent, *range(len(sent)))

    assert list(range(5)) == [(await wire.members())["requestId"] for _ in range(5)]


async def test_two_frames_may_be_cut_at_any_place(world, wires):
    """Wherever two frames in a row are cut in two, both are answered."""
    wire = await wires.dashboard(world)
    long, short = message(action="server/info", requestId=1, padding="x" * 200), message(action="server/info")

    for cut in range(1, len(long + short)):
        await wire.write_sliced(long + short, cut)
        assert [(await wire.members())["requestId"] for _ in range(2)] == [1, None], cut


@st.composite
def conversations(draw):
    """Valid frames, the requests that they make up, and places to cut their bytes at."""
    sent, asked = b"", []
    for number in range(draw(st.integers(1, 5))):
        payload = json.dumps({"action": "server/info", "requestId": number, "é": "ü" * draw(st.integers(0, 200))})
        cuts = sorted({0, len(payload.encode()), *draw(st.lists(st.integers(0, len(payload)), max_size=3))})
        pieces = [payload.encode()[begin:end] for begin, end in pairwise(cuts)]
        for index, piece in enumerate(pieces):
            size = draw(st.sampled_from([None, None, 8]))
            sent += frame(CONT if index else TEXT, piece, fin=index == len(pieces) - 1, length_size=size)
            if draw(st.booleans()):
                sent += frame(draw(st.sampled_from([PING, PONG])), b"between")
        asked.append(number)
    return sent, asked, draw(st.lists(st.integers(0, len(sent)), max_size=8))


async def test_any_segmentation_gives_the_same_messages(start):
    """However valid frames are cut into segments, the messages are the same."""
    world = await start(ping_burst=1_000)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conversations())
    def check(conversation):
        examples.append(conversation)

    # Hypothesis drives functions, not coroutines: it makes the examples, and this loop plays them.
    examples = []
    check()
    for sent, asked, cuts in examples:
        wire = await Wire.open(world.hub.port)
        try:
            await wire.write_sliced(sent + frame(PING, b"last"), *cuts)
            answered = []
            while (one := await wire.frame()).payload != b"last":
                if one.opcode == TEXT:
                    answered.append(one.members()["requestId"])
            assert asked == answered, cuts
        finally:
            wire.close()


# --- what is wrong ----------------------------------------------------------------------------------------------------


VIOLATIONS = {
    "unmasked": (frame(TEXT, INFO, masked=False), 1002),
    "unmasked ping": (frame(PING, masked=False), 1002),
    "first reserved bit": (frame(TEXT, INFO, reserved=4), 1002),
    "second reserved bit": (frame(TEXT, INFO, reserved=2), 1002),
    "third reserved bit": (frame(PING, reserved=1), 1002),
    "reserved bit in a fragment": (frame(TEXT, b"{", fin=False) + frame(CONT, b"}", reserved=4), 1002),
    "reserved bit in a ping amid fragments": (frame(TEXT, b"{", fin=False) + frame(PING, reserved=4), 1002),
    **{f"opcode {opcode}": (frame(opcode, b"x"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "reserved opcode amid fragments": (frame(TEXT, b"{", fin=False) + frame(11), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "fragmented close": (frame(CLOSE, fin=False), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "long close": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "continuation of nothing": (frame(CONT, b"x"), 1002),
    "continuation of nothing, not the last": (frame(CONT, b"x", fin=False), 1002),
    "continuation after the last": (frame(TEXT, b"{", fin=False) + frame(CONT, b"}") + frame(CONT), 1002),
    "text amid fragments": (frame(TEXT, b"{", fin=False) + frame(TEXT, INFO), 1002),
    "binary amid fragments": (frame(TEXT, b"{", fin=False) + frame(BINARY, INFO, fin=False), 1002),
    "length with its highest bit": (frame(TEXT, b"", claimed=1 << 63, length_size=8), (1002, 1009)),
    "close with one byte": (frame(CLOSE, b"\x03"), 1002),
    **{f"close with {code}": (close(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)},
    "close with a reason that is no UTF-8": (close(1000, b"\xff\xfe"), 1007),
    "text that is no UTF-8": (frame(TEXT, b'{"action":"\xff"}'), 1007),
    "text that is half a character": (frame(TEXT, INFO[:-2] + b'"\xc3"}'), 1007),
    "surrogate in UTF-8": (frame(TEXT, b'{"action":"\xed\xa0\x80"}'), 1007),
    "fragments that are no UTF-8": (frame(TEXT, b'{"action":"', fin=False) + frame(CONT, b'\xff"}'), 1007),
    "binary": (frame(BINARY, INFO), 1003),
    "binary fragments": (frame(BINARY, INFO[:3], fin=False) + frame(CONT, INFO[3:]), 1003),
    "empty binary": (frame(BINARY), 1003),
}


@pytest.mark.parametrize("sliced", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(("sent", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_a_violation_ends_the_connection_alone(world, wires, sent, code, sliced, caplog):
    """Each is answered with its close code and the end of the connection; requests before it have their answers."""
    other, wire = await wires.open(world), await wires.open(world)
    whole = message(action="server/info", requestId=7) + sent
    await wire.write_sliced(whole, *(range(len(whole)) if sliced else ()))

    assert (await wire.members())["requestId"] == 7
    assert (await wire.closed()) in (code if isinstance(code, tuple) else (code,))
    assert (await other.ask("server/info"))["status"] == "success"
    assert len(world.hub.gateway) == 1
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


@pytest.mark.parametrize(
    "split", [frame(0xC, b"x")[:2], frame(TEXT, b"x", masked=False)[:2]], ids=["opcode", "no mask"]
)
async def test_a_violation_is_seen_in_its_first_two_bytes(world, wires, split):
    """Nobody has to wait for the rest of a frame that cannot become right."""
    wire = await wires.open(world)
    await wire.write(split)

    assert await wire.closed() == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_a_goodbye_is_answered(world, wires, code):
    """The code comes back, nothing after the goodbye counts, and the hub ends the connection."""
    wire = await wires.open(world)
    await wire.write(message(action="server/info") + close(code, b"bye") + message(action="server/info"))

    assert (await wire.members())["status"] == "success"
    assert (await wire.frame()).code() == code
    assert await wire.ended() == b""
    assert len(world.hub.gateway) == 0


async def test_a_goodbye_without_a_code_is_answered_too(world, wires):
    """An empty close frame is legal."""
    wire = await wires.open(world)
    await wire.write(frame(CLOSE))

    assert (await wire.frame()).opcode == CLOSE
    assert await wire.ended() == b""


async def test_text_on_a_messagepack_connection_is_the_wrong_kind(world, wires):
    """The reverse of a binary message where text is spoken."""
    wire = await wires.open(world, "/websocket/client", MSGPACK)
    await wire.write(frame(TEXT, INFO))

    assert await wire.closed() == 1003


@pytest.mark.parametrize(
    "sent",
    [frame(BINARY, INFO), frame(TEXT, b"x" * 9_000), frame(PING) * 100],
    ids=["wrong kind", "too big", "pings"],
)
async def test_extended_mode_is_told_why_it_ends(world, wires, sent):
    """The last message announces the close, with the same code and reason as the close frame."""
    wire = await wires.open(world, "/websocket/client", EXTENDED)
    await wire.write(sent)

    while (one := await wire.frame()).opcode == PONG:
        pass
    announced, closing = one.members(), await wire.closing()

    assert announced["action"] == "connection/closing"
    assert (announced["code"], announced["reason"]) == (closing.code(), closing.reason())


# --- how much ---------------------------------------------------------------------------------------------------------


async def test_messages_are_taken_up_to_the_limit(world, wires):
    """65,536 bytes are taken, 8,192 before authentication, in one frame or in many."""
    for opened, limit in ((wires.dashboard, 65_536), (wires.open, 8_192)):
        wire = await opened(world)
        payload = padded(limit)
        assert limit == len(payload)
        await wire.write(frame(TEXT, payload))
        assert (await wire.members())["status"] == "success"
        await wire.write(frame(TEXT, payload[:99], fin=False) + frame(CONT, payload[99:]))
        assert (await wire.members())["status"] == "success"


@pytest.mark.parametrize("known", [True, False], ids=["authenticated", "anonymous"])
@pytest.mark.parametrize("form", ["whole", "claimed", "fragments", "one byte more in a second fragment"])
async def test_a_byte_more_is_too_much(world, wires, known, form):
    """Past the limit the connection ends with 1009, however the bytes are spread and whether they come or not."""
    wire = await (wires.dashboard(world) if known else wires.open(world))
    limit = 65_536 if known else 8_192
    await wire.write(
        {
            "whole": frame(TEXT, padded(limit + 1)),
            "claimed": frame(TEXT, claimed=limit + 1),
            "fragments": frame(TEXT, b"x" * (limit - 9), fin=False) + frame(CONT, b"x" * 5, fin=False) * 3,
            "one byte more in a second fragment": frame(TEXT, b"x" * limit, fin=False) + frame(CONT, b"x"),
        }[form]
    )

    assert await wire.closed() == 1009


async def test_the_limit_rises_with_authentication(world, wires):
    """A large message right behind the authentication is taken, whichever comes first: its bytes or the answer."""
    wire = await wires.open(world)
    await wire.write(message(action="authenticate", accessKey=world.secrets["dashboard"]) + frame(TEXT, padded(60_000)))

    assert [(await wire.members())["status"] for _ in range(2)] == ["success", "success"]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(frame(TEXT, claimed=(1 << 63) - 1), id="2^63 - 1 bytes claimed"),
        pytest.param(frame(TEXT, claimed=65_537), id="65,537 bytes claimed"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(CONT, claimed=1 << 62), id="2^62 bytes in a fragment"),
        pytest.param(frame(0xB, claimed=1 << 40), id="a reserved opcode"),
        pytest.param(frame(TEXT, masked=False, claimed=1 << 40), id="no mask"),
        pytest.param(frame(BINARY, b"x"), id="the wrong kind, then garbage"),
    ],
)
async def test_what_comes_after_a_refused_frame_is_not_kept(world, wires, head):
    """A peer that goes on sending after it was refused costs no memory: T57."""
    wire = await wires.open(world)
    await wire.write(head)
    garbage = b"\x01\x7f" + b"\xff" * 65_534
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(100):
                await wire.write(garbage)
        await wire.ended()
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most - before < MIB
    assert after - before < 300 * KIB


@pytest.mark.parametrize("fragment", [frame(CONT, fin=False), frame(CONT, b"x", fin=False)], ids=["empty", "a byte"])
async def test_a_message_has_so_many_fragments_at_most(world, wires, fragment):
    """Past 64 fragments the connection ends with 1009, and the flood behind it costs nothing: T56."""
    wire = await wires.open(world)
    flood = fragment * 1_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await wire.write(frame(TEXT, fin=False))
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(200):
                await wire.write(flood)
        assert await wire.closed() == 1009
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most - before < MIB


async def test_as_many_fragments_as_allowed_are_taken(start, wires):
    """The limit counts frames of one message, and begins anew with the next."""
    world = await start(fragments=4)
    wire = await wires.open(world)
    four = frame(TEXT, INFO[:1], fin=False) + frame(CONT, INFO[1:2], fin=False) + frame(CONT, fin=False)
    four += frame(CONT, INFO[2:])

    for _ in range(3):
        await wire.write(four)
        assert (await wire.members())["status"] == "success"
    await wire.write(frame(TEXT, fin=False) + frame(CONT, fin=False) * 4)
    assert await wire.closed() == 1009


@pytest.mark.parametrize("begin", [b"", frame(TEXT, b"{", fin=False)], ids=["alone", "amid fragments"])
async def test_a_flood_of_pings_ends_with_a_policy_violation(world, wires, begin):
    """Pings past the rate end the connection with 1008, wherever they stand: T46."""
    wire = await wires.open(world)
    with_payload = frame(PING, b"x" * 125)
    await wire.write(begin + with_payload * 200)

    assert await wire.closed() == 1008


@pytest.mark.slow
async def test_pongs_that_nobody_reads_cost_bounded_memory(start, wires):
    """Past 64 KiB of unread bytes there are no pongs; the connection need not end for that."""
    world = await start(pings_per_s=1_000_000, ping_burst=1_000_000)
    wire = await wires.open(world, receive_bytes=4_096)
    flood = frame(PING, b"x" * 125) * 1_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(160):
            await wire.write(flood)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most - before < 2 * MIB


# --- compression ------------------------------------------------------------------------------------------------------


def deflated(payload, size=8):
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, size)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def compressing(world, wires, key=None):
    wire = await wires.connect(world)
    bearer = [("Authorization", f"Bearer {key}")] if key else []
    await wire.write(upgrade("/websocket/client", ("Sec-WebSocket-Extensions", "permessage-deflate"), *bearer))
    response = await wire.response()
    assert response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
    return wire


async def test_compressed_messages_are_read_where_compression_is_on(start, wires):
    """Compressed or not, whole or in fragments, each message is answered."""
    world = await start(deflate=True)
    wire = await compressing(world, wires)
    squeezed = deflated(INFO)

    await wire.write(frame(TEXT, squeezed, reserved=4))
    await wire.write(frame(TEXT, INFO))
    await wire.write(frame(TEXT, squeezed[:9], reserved=4, fin=False) + frame(PING) + frame(CONT, squeezed[9:]))

    opcodes = [(await wire.frame()).opcode for _ in range(4)]
    assert sorted(opcodes, reverse=True) == [PONG, TEXT, TEXT, TEXT]


@pytest.mark.parametrize("known", [True, False], ids=["authenticated", "anonymous"])
@pytest.mark.parametrize("fragments", [1, 4])
async def test_a_deflate_bomb_is_refused(start, wires, known, fragments):
    """The limit is that of the inflated message, and it is not inflated past it: T58."""
    world = await start(deflate=True)
    wire = await compressing(world, wires, world.secrets["dashboard"] if known else None)
    bomb = deflated(b"x" * (8 * MIB if not known else 64 * MIB))[:60_000]
    bomb = bomb[: 8_000 if not known else len(bomb)]
    size = -(-len(bomb) // fragments)
    pieces = [bomb[at : at + size] for at in range(0, len(bomb), size)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for index, piece in enumerate(pieces):
            last = index == len(pieces) - 1
            await wire.write(frame(CONT if index else TEXT, piece, reserved=0 if index else 4, fin=last))
        assert await wire.closed() == 1009
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most - before < MIB


async def test_the_limit_of_a_compressed_connection_depends_on_who_it_is(start, wires):
    """An anonymous peer inflates 8 KiB at most; after authentication it is 64 KiB."""
    world = await start(deflate=True)
    stranger, known = await compressing(world, wires), await compressing(world, wires, world.secrets["dashboard"])
    large = frame(TEXT, deflated(padded(20_000)), reserved=4)

    await stranger.write(large)
    await known.write(large)

    assert await stranger.closed() == 1009
    assert (await known.members())["status"] == "success"


async def test_a_flood_of_pings_ends_a_compressed_connection_too(start, wires):
    """The rate of pings holds whether or not messages are compressed."""
    world = await start(deflate=True)
    wire = await compressing(world, wires)
    await wire.write(frame(PING) * 200)

    assert await wire.closed() == 1008


async def test_messagepack_may_come_in_fragments(world, wires):
    """Binary messages are put together like text."""
    wire = await wires.open(world, "/websocket/client", MSGPACK)
    payload = msgpack.packb({"action": "server/info", "requestId": 1})
    await wire.write(frame(BINARY, payload[:4], fin=False) + frame(CONT, payload[4:]))

    assert (await wire.members())["requestId"] == 1
