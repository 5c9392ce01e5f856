"""Bundles as bytes, for buses between processes: a version, a checksum, the sender, and one msgpack structure.

``version(1) crc32(4) length(1) worker body``; the body is ``(lane, told, topic, before, chunks, topic, …)``. The items
of a section are encoded apart, as byte strings (``chunks``), so that whoever does not follow a topic passes over its
items without decoding them, and a sender joins sections by putting their chunks side by side. The sender's name stands
before the body, so that it is known at once who speaks.

Nothing that was received is believed: every value has the type and range that the gateway counts on, or the whole
bundle is refused. The checksum is against accidents; against strangers there are Redis' own users and TLS.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgpack

from hub.bus import TOPICS, Bundle, Placed, Presence, Section, Updated, topics_of
from protocol.messages import LANES, Command, Message, Notification
from protocol.names import CommandState, Kind

VERSION = 4
LIMIT_BYTES = 64 << 20
"""A bundle that is larger was not made by one of us: a sender splits at ``hub.bus.redis_pending.MESSAGE_BYTES``."""

_AT_CRC = 1
_AT_WORKER = 5
_MOST_ID = 1 << 53
_MOST_NAME_BYTES = 255
_NOTIFICATION_VALUES, _UPDATE_VALUES, _COMMAND_VALUES = 8, 13, 14
"""How many values a row has. Its first six are those that every message has; behind a message may stand its trace."""
_MOST_VALUES = 4 << 20
"""In one array: what a presence of a million devices has."""

_STATES = tuple(CommandState)
_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_NOTIFICATIONS = topics_of(Kind.NOTIFICATION)
_COMMANDS = topics_of(Kind.COMMAND)

Items = Sequence[Placed] | Sequence[Updated]


class Malformed(Exception):
    """What was received is none of our bundles; the text says what is wrong with it."""


@dataclass(slots=True)
class Chunk:
    """The items of one published section, encoded.

    Attributes:
        before: as of the :class:`hub.bus.Section`.
        last: the id of the last item.
        count: how many items there are.
    """

    before: int
    last: int
    count: int
    data: bytes


# --- there ------------------------------------------------------------------------------------------------------------


def encode_section(section: Section) -> Chunk:
    """Encode the items of a section.

    Raises:
        ValueError, OverflowError, TypeError: a value has no place on the wire.
    """
    items = section.items
    rows: list[tuple[Any, ...]] = [
        _placed_row(item) if isinstance(item, Placed) else _updated_row(item) for item in items
    ]
    last = items[-1]
    last_id = last.message.id if isinstance(last, Placed) else last.update_id
    return Chunk(section.before, last_id, len(rows), _pack(rows))


def _placed_row(placed: Placed) -> tuple[Any, ...]:
    m = placed.message
    row = (m.id, m.device_id, m.device_guid, m.name, m.timestamp_ms, m.parameters, placed.network_id, placed.groups)
    if not isinstance(m, Notification):
        row += (m.user_id, m.lifetime_s, m.status, m.result, m.updated, int(m.state))  # type: ignore[assignment]
    return row if placed.traceparent is None else (*row, placed.traceparent)


def _updated_row(item: Updated) -> tuple[Any, ...]:
    c = item.command
    told = (c.user_id, c.lifetime_s, c.status, c.result, c.updated, int(c.state))
    return (c.id, c.device_id, c.device_guid, c.name, c.timestamp_ms, c.parameters, item.update_id, *told)


def sender_mark(worker: str) -> bytes:
    """What :func:`sender_of` finds in every bundle of this worker.

    Raises:
        ValueError: the name is longer than 255 bytes, or no text.
    """
    name = worker.encode()
    if len(name) > _MOST_NAME_BYTES:
        raise ValueError("a worker's name has 255 bytes at most")
    return bytes((len(name),)) + name


def encode_bundle(
    mark: bytes, lane: int, sections: Iterable[tuple[int, Sequence[Chunk]]], told: Bundle | None
) -> bytes:
    """Put encoded sections together.

    Args:
        mark: of the sender, by :func:`sender_mark`.
        sections: topics with their chunks, in order. Chunks that do not follow each other without a gap become
            sections of their own, so that a receiver notices the gap.
        told: has what is told to everybody; its sections are not looked at.
    """
    body: list[Any] = [lane, None if told is None else _told_row(told)]
    for topic, chunks in sections:
        for joined in _without_gaps(chunks):
            body += (topic, joined[0].before, [chunk.data for chunk in joined])
    rest = mark + _pack(body)
    return bytes((VERSION,)) + crc32(rest).to_bytes(4, "big") + rest


def encode(bundle: Bundle) -> bytes:
    """A bundle as it is, in one piece.

    Raises:
        ValueError, OverflowError, TypeError: a value has no place on the wire.
    """
    sections = [(section.topic, (encode_section(section),)) for section in bundle.sections]
    return encode_bundle(sender_mark(bundle.worker), bundle.lane, sections, bundle)


def _without_gaps(chunks: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
    first = 0
    for at in range(1, len(chunks)):
        if chunks[at].before != chunks[at - 1].last:
            yield chunks[first:at]
            first = at
    yield chunks[first:]


def _told_row(told: Bundle) -> tuple[Any, ...] | None:
    ends = None if told.ends is None else [value for end in told.ends.items() for value in end]
    presence = None if told.presence is None else _presence_row(told.presence)
    row = (ends, told.floor, told.floor_ms, told.asks_ms, told.revision, presence, told.leaving, [*told.cancelled])
    return row if row != _NOTHING_TOLD else None


_NOTHING_TOLD: tuple[Any, ...] = (None, 0, 0, 0, None, None, False, [])


def _presence_row(presence: Presence) -> tuple[Any, ...]:
    users = [value for user in presence.users.items() for value in user]
    devices = [value for device_id, times in presence.devices.items() for value in (device_id, tuple(times))]
    takers = [value for taker in presence.takers.items() for value in taker]
    return presence.whole, users, devices, takers


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


# --- and back ---------------------------------------------------------------------------------------------------------


def sender_of(data: bytes) -> bytes:
    """Who speaks, without looking at the rest: the :func:`sender_mark`, or whatever garbage stands in its place."""
    return data[_AT_WORKER : _AT_WORKER + 1 + data[_AT_WORKER]] if len(data) > _AT_WORKER else b""


def decode(data: bytes, topics: Container[int], *, limit_bytes: int = LIMIT_BYTES) -> Bundle:
    """The bundle, with its sections on ``topics``; the items of the others are not looked at.

    Raises:
        Malformed: another version, damaged, too large, or not one of ours. There is no other exception.
    """
    if len(data) > limit_bytes:
        raise Malformed("too large")
    mark = sender_of(data)
    if not mark or data[0] != VERSION:
        raise Malformed("another version")
    if crc32(memoryview(data)[_AT_WORKER:]) != int.from_bytes(data[_AT_CRC:_AT_WORKER], "big"):
        raise Malformed("damaged")
    try:
        worker = mark[1:].decode()
        body = _unpack(memoryview(data)[_AT_WORKER + len(mark) :])
        return _bundle(worker, body, topics)
    except Malformed:
        raise
    except (ValueError, TypeError, IndexError, RecursionError, MemoryError, msgpack.UnpackException) as exc:
        raise Malformed("no msgpack of ours") from exc


def _unpack(data: bytes | memoryview) -> Any:
    return msgpack.unpackb(data, use_list=False, max_array_len=_MOST_VALUES, max_map_len=0, max_ext_len=0)


def _demand(holds: bool) -> None:
    if not holds:
        raise Malformed("a value of a wrong type or range")


def _count(value: Any) -> int:
    """A whole number, from nothing up to the greatest id."""
    if type(value) is not int or not 0 <= value < _MOST_ID:
        raise Malformed("not a number of ours")
    return value


def _bundle(worker: str, body: Any, topics: Container[int]) -> Bundle:
    _demand(type(body) is tuple and len(body) >= 2 and len(body) % 3 == 2)
    lane = _count(body[0])
    _demand(lane < LANES)
    bundle = Bundle(worker, lane, list(_sections(body, topics)))
    if body[1] is not None:
        _take_told(bundle, body[1])
    return bundle


def _sections(body: tuple[Any, ...], topics: Container[int]) -> Iterator[Section]:
    for at in range(2, len(body), 3):
        topic, before, chunks = body[at : at + 3]
        _demand(_count(topic) < TOPICS and type(chunks) is tuple and len(chunks) > 0)
        _count(before)
        if topic in topics:
            yield Section(topic, before, _items(topic, chunks))


def _items(topic: int, chunks: tuple[Any, ...]) -> Items:
    rows = [row for chunk in chunks for row in _rows(chunk)]
    if topic in _NOTIFICATIONS:
        return [_placed(row, _notification(row), _NOTIFICATION_VALUES) for row in rows]
    if topic in _COMMANDS:
        return [_placed(row, _command(row, _COMMAND_VALUES), _COMMAND_VALUES) for row in rows]
    return [_updated(row) for row in rows]


def _rows(chunk: Any) -> tuple[Any, ...]:
    _demand(type(chunk) is bytes)
    rows = _unpack(chunk)
    _demand(type(rows) is tuple and len(rows) > 0)
    return rows  # type: ignore[no-any-return]  # the line above has looked


# What follows is the hot path: one expression for all members, not a call for each, halves its time.


def _placed(row: Any, message: Message, values: int) -> Placed:
    network_id, groups = row[6:8]
    if network_id is not None:
        _count(network_id)
    _demand(type(groups) is tuple)
    for group in groups:
        _count(group)
    if len(row) == values:
        return Placed(message, network_id, groups)
    traceparent = row[values]
    _demand(len(row) == values + 1 and type(traceparent) is str and _TRACEPARENT.fullmatch(traceparent) is not None)
    return Placed(message, network_id, groups, traceparent)


def _updated(row: Any) -> Updated:
    command = _command(row, _UPDATE_VALUES)
    _demand(len(row) == _UPDATE_VALUES)
    return Updated(_count(row[6]), command)


def _notification(row: Any) -> Notification:
    _check_message(row)
    return Notification(*row[:6])


def _command(row: Any, values: int) -> Command:
    _check_message(row)
    user_id, lifetime_s, status, result, updated, state = row[values - 6 : values]
    if not (
        (user_id is None or type(user_id) is int)
        and (lifetime_s is None or type(lifetime_s) is int)
        and (status is None or type(status) is str)
        and type(result) is bytes
        and type(updated) is bool
        and type(state) is int
        and 0 <= state < len(_STATES)
    ):
        raise Malformed("not a command of ours")
    id_, device_id, guid, name, timestamp_ms, parameters = row[:6]
    told = (lifetime_s, status, result, updated, _STATES[state])
    return Command(id_, device_id, guid, name, timestamp_ms, user_id, parameters, *told)


def _check_message(row: Any) -> None:
    if type(row) is not tuple:
        raise Malformed("not a message of ours")
    id_, device_id, guid, name, timestamp_ms, parameters = row[:6]
    if not (
        type(id_) is int
        and 0 < id_ < _MOST_ID
        and type(device_id) is int
        and 0 <= device_id < _MOST_ID
        and type(guid) is str
        and type(name) is str
        and type(timestamp_ms) is int
        and 0 <= timestamp_ms < _MOST_ID
        and type(parameters) is bytes
    ):
        raise Malformed("not a message of ours")


def _take_told(bundle: Bundle, row: Any) -> None:
    ends, floor, floor_ms, asks_ms, revision, presence, leaving, cancelled = row
    if ends is not None:
        bundle.ends = dict(_pairs_of_counts(ends))
        _demand(all(topic < TOPICS for topic in bundle.ends))
    bundle.floor, bundle.floor_ms, bundle.asks_ms = _count(floor), _count(floor_ms), _count(asks_ms)
    bundle.revision = None if revision is None else _count(revision)
    bundle.presence = None if presence is None else _presence(presence)
    _demand(type(leaving) is bool and type(cancelled) is tuple)
    bundle.leaving = leaving
    bundle.cancelled = tuple(map(_count, cancelled))


def _presence(row: Any) -> Presence:
    whole, users, devices, takers = row
    _demand(type(whole) is bool)
    of_devices = dict(_pairs(devices))
    for device_id, times in of_devices.items():
        _count(device_id)
        _demand(type(times) is tuple)
        for time_us in times:
            _count(time_us)
    return Presence(dict(_pairs_of_counts(users)), of_devices, whole, dict(_pairs_of_counts(takers)))


def _pairs_of_counts(values: Any) -> Iterator[tuple[int, int]]:
    pairs = _pairs(values)
    for value in values:
        _count(value)
    return pairs


def _pairs(values: Any) -> Iterator[tuple[Any, Any]]:
    _demand(type(values) is tuple and len(values) % 2 == 0)
    return zip(values[::2], values[1::2], strict=True)
