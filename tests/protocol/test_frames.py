"""Frame headers, read back by another implementation of RFC 6455."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from protocol.codecs import BINARY, TEXT
from protocol.frames import frame, header


def parse(data: bytes) -> Frame:
    """Read one unmasked frame that takes up all of ``data``."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stop:
        next(parser)
    assert not reader.buffer
    return stop.value.value


@given(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300))
def test_a_frame_is_one_whole_unmasked_message(opcode, payload):
    """Any payload comes out of the frame as it went in, in a final frame of its kind."""
    parsed = parse(frame(opcode, payload))

    assert Frame(Opcode(opcode), payload, fin=True) == parsed


@pytest.mark.parametrize(
    ("length", "size"),
    [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)],
)
def test_the_header_is_as_short_as_the_length_allows(length, size):
    """The three forms of the length change over exactly at 126 and 65,536 bytes."""
    payload = b"x" * length

    assert size == len(header(TEXT, length))
    assert payload == parse(frame(TEXT, payload)).data


def test_a_header_can_announce_more_than_memory_holds():
    """The length is written in full; nothing of that size is allocated."""
    assert b"\x82\x7f" + (2**40).to_bytes(8, "big") == header(BINARY, 2**40)
