"""Sockets that take what comes in whole chunks, as long as all frames have one shape.

A chunk of them is cut into its tokens, or counted, by single calls in C. Whatever else comes, in between or behind, is
taken frame by frame by :class:`hub.bench.wire.Socket`.
"""

import struct
from collections import Counter, deque
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic_ns

from hub.bench import token
from hub.bench.check import Reader
from hub.bench.wire import Socket, Upgrade


@dataclass(frozen=True, slots=True)
class Shape:
    """Frames of one length, with a token at one place.

    Attributes:
        header: the first bytes of each frame.
        length: of the whole frame.
        offset: of the token in the frame.
        cut: cuts a run of such frames into their tokens.
    """

    header: bytes
    length: int
    offset: int
    cut: struct.Struct

    @staticmethod
    @lru_cache(maxsize=256)
    def of(header: bytes, length: int, offset: int) -> "Shape":
        """The shape; sockets share it."""
        rest = length - offset - token.LENGTH
        return Shape(header, length, offset, struct.Struct(f"{offset}x{token.LENGTH}s{rest}x"))


class Subscriber(Socket):
    """A socket that receives messages with tokens.

    Attributes:
        others: messages without a token.
        last: the last message's frame, where it is to be remembered.
    """

    def __init__(self, upgrade: Upgrade, reader: Reader, *, check: bool = True, remember: bool = False) -> None:
        super().__init__(upgrade)
        self.reader = reader
        self.others = 0
        self.last = b""
        self._check = check
        self._remember = remember
        self._shape: Shape | None = None
        self._plain: Shape | None = None

    def data_received(self, data: bytes) -> None:
        # What nearly always comes: whole frames of one shape, to be checked and no more. A third less for each chunk.
        plain = self._plain
        if (
            plain is not None
            and not self._tail
            and data.startswith(plain.header)
            and not len(data) % plain.length
            and self.reader.take(list(plain.cut.iter_unpack(data)), monotonic_ns() // 1_000)
        ):
            return
        super().data_received(data)

    def received(self, data: bytes) -> None:
        shape = self._shape
        if shape is not None and data.startswith(shape.header):
            whole = len(data) // shape.length * shape.length
            run = data[:whole]  # All of it is no copy.
            if run and self._take(run, shape):
                if self._remember:
                    self.last = run[-shape.length :]
                self.rest(data[whole:])
                return
        self.walk(data)

    def _take(self, run: bytes, shape: Shape) -> bool:
        """Take a run of frames that all have the shape; False: they do not."""
        if self._check:
            return self.reader.take(list(shape.cut.iter_unpack(run)), token.now_us())
        last = len(run) - shape.length
        if not run.startswith(shape.header, last):
            return False
        self.reader.count(len(run) // shape.length, run[last + shape.offset :][: token.LENGTH], token.now_us())
        return True

    def message(self, payload: bytes, header: bytes) -> None:
        found = token.PATTERN.search(payload)
        if found is None:
            self.others += 1
            return
        self._shape = Shape.of(header, len(header) + len(payload), len(header) + found.start()) if header else None
        self._plain = self._shape if self._check and not self._remember else None
        self.last = header + payload if self._remember else b""
        if self._check:
            self.reader.take([(found.group(),)], token.now_us())
        else:
            self.reader.count(1, found.group(), token.now_us())


class Acknowledged(Socket):
    """A socket whose requests are answered in order, each with ``success`` somewhere in the answer.

    Attributes:
        waiting: the times at which the requests were sent, or should have been, oldest first.
        refused: answers without ``success``, by their reason.
    """

    def __init__(self, upgrade: Upgrade, success: bytes) -> None:
        super().__init__(upgrade)
        self.waiting: deque[int] = deque()
        self.refused: Counter[str] = Counter()
        self._success = success
        self._length = 0
        self._header = b""

    def acknowledged(self, count: int) -> None:
        """So many more requests have succeeded; the first of ``waiting`` are theirs, and have to be taken away."""
        raise NotImplementedError

    def failed(self, payload: bytes) -> str:
        """Why a request failed, in few words."""
        return "error"

    def received(self, data: bytes) -> None:
        length = self._length
        if length and data.startswith(self._header):
            count = len(data) // length
            run = data[: count * length]  # All of it is no copy.
            # The last frame begins where it should, so nothing else lies between them.
            if run.startswith(self._header, len(run) - length) and run.count(self._success) == count:
                self.acknowledged(count)
                self.rest(data[count * length :])
                return
        self.walk(data)

    def message(self, payload: bytes, header: bytes) -> None:
        if self._success in payload:
            self._header, self._length = header, len(header) + len(payload)
            self.acknowledged(1)
        elif self.waiting and token.PATTERN.search(payload) is None:
            self.waiting.popleft()
            self.refused[self.failed(payload)] += 1
