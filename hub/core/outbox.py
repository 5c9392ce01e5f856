"""The outbox: what we owe one socket, bounded in bytes, whatever it is: responses, pushes, pongs."""

from collections.abc import Iterable


class Outbox:
    """Payloads for one socket, in order, until its next visit.

    ``offer`` whatever is owed, then, when the turn ends, ``take`` everything in one piece. The bound counts what is
    held here and what the transport still holds, so a peer that does not read costs at most ``limit`` bytes and nobody
    else anything.
    """

    __slots__ = ("_chunks", "_size", "limit", "overflowed", "written")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overflowed = False
        self.written = 0
        """Bytes handed to the transport so far; with its buffer size this tells how far the peer has read."""
        self._chunks: list[bytes] = []
        self._size = 0

    def __repr__(self) -> str:
        return f"Outbox(size={self._size}, limit={self.limit}, overflowed={self.overflowed})"

    def __len__(self) -> int:
        """Bytes waiting here."""
        return self._size

    def offer(self, payload: bytes) -> bool:
        """Queue framed bytes.

        Never blocks and never raises. Past ``limit`` the outbox empties itself and stays overflowed; the socket closes
        with ``CloseCode.SLOW_READER`` and the peer may replay.

        Returns:
            Whether it now needs a visit that it did not need before: it was empty, or it has just overflowed.
        """
        if self.overflowed:
            return False
        chunks = self._chunks
        chunks.append(payload)
        self._size += len(payload)
        if self._size > self.limit:
            self._overflow()
            return True
        return len(chunks) == 1

    def offer_all(self, payloads: Iterable[bytes]) -> None:
        """Queue several payloads; for callers that visit anyway."""
        for payload in payloads:
            self.offer(payload)

    def take(self, unsent: int) -> bytes:
        """Everything that waits, as one piece to write.

        Args:
            unsent: bytes that the transport still holds from before.

        Returns:
            What to write; empty when there is nothing, or when the outbox has overflowed: look at ``overflowed``.
        """
        if not self._size:
            return b""
        if self._size + unsent > self.limit:
            self._overflow()
            return b""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        self.written += len(data)
        return data

    def close(self) -> None:
        """Drop what waits; nothing can be queued any more."""
        self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self._chunks.clear()
        self._size = 0
