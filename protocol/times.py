"""Timestamps on the wire: milliseconds since 1970 (UTC) inside, ``yyyy-MM-ddTHH:mm:ss.SSS`` outside."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999; the format has no room for more."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_RFC_1123 = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?:GMT|UTC?|[+-]\d{4})", re.ASCII
)


@lru_cache(maxsize=4096)
def format_ms(timestamp_ms: int) -> str:
    """Write milliseconds since 1970 as the wire does: UTC, three fraction digits, no zone."""
    # Asked for the answer and for the push, and for many messages of one millisecond.
    seconds, fraction = divmod(timestamp_ms, 1000)
    return f"{_format_second(seconds)}.{fraction:03d}"


@lru_cache(maxsize=256)
def _format_second(seconds: int) -> str:
    # Messages of one second share all but three digits: the cache makes this 0.3 µs instead of 2 µs.
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)


def parse_ms(value: str | int) -> int:
    """Read a timestamp in any form that the wire accepts.

    Args:
        value: ISO 8601 (date, or date and time with ``T``; seconds, fraction and zone optional), an RFC 1123 date, or
            milliseconds since 1970 as a number or digits. Fractions are cut to milliseconds.

    Raises:
        ValueError: it is none of these, or lies outside the years 1 to 9999.
    """
    if isinstance(value, int):
        timestamp_ms = value
    elif value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20:
        timestamp_ms = int(value)
    elif match := _ISO.fullmatch(value):
        timestamp_ms = _from_iso(match)
    else:
        timestamp_ms = _from_rfc_1123(value)
    if not -62_135_596_800_000 <= timestamp_ms <= MAX_MS:
        raise ValueError("timestamp out of range")
    return timestamp_ms


def _from_iso(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    milliseconds = int((fraction or "0").ljust(3, "0")[:3])
    whole = (moment - EPOCH) // timedelta(milliseconds=1)
    return whole + milliseconds - _offset_ms(zone)


def _offset_ms(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    if hours > 18 or minutes > 59:
        raise ValueError("zone out of range")
    offset = (hours * 60 + minutes) * 60_000
    return -offset if zone[0] == "-" else offset


def _from_rfc_1123(value: str) -> int:
    # The standard library's reader takes mail dates of every sort, and guesses.
    if not _RFC_1123.fullmatch(value):
        raise ValueError("not a timestamp")
    moment = parsedate_to_datetime(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(milliseconds=1)
