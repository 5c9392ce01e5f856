"""WebSocket frame headers as a server writes them: final, unmasked, uncompressed (RFC 6455, 5.2)."""


def header(opcode: int, length: int) -> bytes:
    """The header of one whole message of ``length`` payload bytes."""
    first = 0x80 | opcode
    if length < 126:
        return bytes((first, length))
    if length < 65_536:
        return bytes((first, 126, length >> 8, length & 0xFF))
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message: header and payload."""
    return header(opcode, len(payload)) + payload
