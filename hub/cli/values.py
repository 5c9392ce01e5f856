"""What people write on a command line: durations, dates, JSON, names with a value."""

import json
import re
from collections.abc import Sequence
from typing import Any

from hub.cli.output import misused

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)", re.ASCII)


def duration_ms(text: str) -> int | None:
    """``90s``, ``15m``, ``2h``, ``30d``, ``1w`` in milliseconds; None: not a duration."""
    match = _DURATION.fullmatch(text.strip().lower())
    return int(match[1]) * _UNITS_MS[match[2]] if match else None


def moment_ms(text: str, *, now_ms: int, what: str) -> int:
    """A moment to come: a duration from now on, or a date as ISO 8601 writes it (UTC unless it names a zone)."""
    ahead = duration_ms(text)
    if ahead is not None:
        return now_ms + ahead
    from protocol.times import parse_ms

    try:
        return parse_ms(text)
    except ValueError:
        misused(f"{what}: {text!r} is neither a duration like 30d nor a date like 2030-12-31")


def utc(timestamp_ms: int | None) -> str | None:
    """Milliseconds since 1970 as the wire writes them."""
    from protocol.times import format_ms  # late: it reads e-mail dates too, which costs 20 ms

    return None if timestamp_ms is None else format_ms(timestamp_ms)


def json_value(text: str, *, what: str) -> Any:
    """Any JSON value."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        misused(f"""{what}: not JSON: {text!r}; write it like '{{"on": true}}'""")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def pairs(words: Sequence[str]) -> dict[str, Any] | None:
    """``level=5 name=lamp on=true`` as an object: values are JSON where they can be read so, text otherwise.

    None: there were no words at all.
    """
    members: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            misused(f"{word!r}: write parameters as name=value, or all of them as JSON with --parameters")
        try:
            members[name] = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            members[name] = value
    return members or None


def text_of(value: str, *, what: str, most: int) -> str:
    """A text that must not be empty, with the blanks around it removed."""
    trimmed = value.strip()
    if not trimmed or len(trimmed) > most:
        misused(f"{what} must have 1 to {most} characters; this one has {len(trimmed)}")
    return storable(trimmed, what=what)


def short_text(value: str | None, *, what: str, most: int) -> str | None:
    """A text that may be left out: empty is the same as none."""
    if not value:
        return None
    if len(value) > most:
        misused(f"{what} must have at most {most} characters; this one has {len(value)}")
    return storable(value, what=what)


def storable(value: str, *, what: str) -> str:
    """The text, if it is one: an argument that is not UTF-8 reaches Python as half characters."""
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        misused(f"{what} is not valid UTF-8 text")
    return value
