"""What a load process writes into every message, so that whoever receives it can tell which one it is and how old.

``|00007:0000001234:0000123456789012|``: publisher, its running number, and the microsecond (``CLOCK_MONOTONIC``, which
all processes of a machine share) at which it was sent or, on a schedule, should have been sent. All widths are fixed,
so all messages of a run have one length, and a whole chunk of them can be cut up by one call in C.

A frame's header or a packed number may hold the byte of a bar. That does no harm: a token is only ever looked for as a
whole, and where it is known to stand.
"""

import re
import time
from typing import NamedTuple

BAR = b"|"
LENGTH = 35
PATTERN = re.compile(rb"\|(\d{5}):(\d{10}):(\d{16})\|")

_FORMAT = b"|%05d:%010d:%016d|"


class Token(NamedTuple):
    """A token's parts. ``time_us`` is CLOCK_MONOTONIC in microseconds."""

    publisher: int
    number: int
    time_us: int


def write(publisher: int, number: int, time_us: int) -> bytes:
    return _FORMAT % (publisher, number, time_us)


def read(token: bytes) -> Token | None:
    """The parts; None: this is no token."""
    match = PATTERN.fullmatch(token)
    return None if match is None else Token(*map(int, match.groups()))


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1_000
