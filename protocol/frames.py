"""WebSocket frame headers as a server writes them: final, unmasked, uncompressed (RFC 6455, 5.2)."""

from struct import Struct

_SHORT, _MEDIUM, _LONG = Struct("!BB").pack, Struct("!BBH").pack, Struct("!BBQ").pack


def header(opcode: int, length: int) -> bytes:
    """The header of one whole message of ``length`` payload bytes."""
    if length < 126:
        return _SHORT(0x80 | opcode, length)
    if length < 65_536:
        return _MEDIUM(0x80 | opcode, 126, length)
    return _LONG(0x80 | opcode, 127, length)


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message: header and payload."""
    return header(opcode, len(payload)) + payload
