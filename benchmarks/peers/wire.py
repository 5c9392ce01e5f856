"""What clients say: WebSocket frames, NATS' protocol and MQTT packets, as bytes."""

import json
from dataclasses import dataclass
from typing import Any

MARKER = b"||"
"""In every message once. Two bytes: one alone may turn up in the length of a frame."""
ACK = b"++"
"""In every acknowledgement once, where we may choose."""

NO_MASK = b"\0\0\0\0"
TEXT, BINARY = 0x81, 0x82


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a conversation's beginning: what is sent, and what has to come back before the next one."""

    send: bytes
    expect: bytes


def opening(path: str, greeting: bytes = b"") -> Stage:
    """A WebSocket handshake, and what the server says first after it."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return Stage(request.encode(), greeting or b"\r\n\r\n")


def frame(payload: bytes, first: int = TEXT) -> bytes:
    """A client's frame. Masked with zeros: servers have to unmask it all the same."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2)
    return bytes((first,)) + size + NO_MASK + payload


def json_frame(members: dict[str, Any]) -> bytes:
    return frame(json.dumps(members, separators=(",", ":")).encode())


def padded(pad: int) -> bytes:
    """A payload that nobody parses: the marker, and so much else."""
    return MARKER + b"x" * pad


def mqtt(kind: int, *parts: bytes) -> bytes:
    """An MQTT 3.1.1 packet, up to 16 KiB."""
    body = b"".join(parts)
    length = len(body)
    size = bytes((length,)) if length < 128 else bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((kind,)) + size + body


def mqtt_text(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()
