"""What a request for an event stream asks of the action: from where on, of whom."""

from typing import Any

import pytest

from protocol.errors import BadRequest
from protocol.message_forms import StreamMany, StreamOne
from protocol.names import Kind

TIME, TIME_MS = "1970-01-01T00:00:01.000", 1_000


def asked(headers: dict[str, str] | None = None, **query: str) -> Any:
    return StreamMany.fill({}, {}, query, headers=headers or {}).to_notifications().subscribe


@pytest.mark.parametrize(
    ("query", "last", "begins"),
    [
        ({}, None, (None, None)),
        ({"since": "5"}, None, (5, None)),
        ({"timestamp": TIME}, None, (None, TIME_MS)),
        ({"since": "5"}, "7", (7, None)),
        ({"timestamp": TIME}, "7", (7, None)),
        ({"since": "", "timestamp": ""}, "", (None, None)),
    ],
)
def test_a_stream_begins_behind_the_last_id_that_came(query, last, begins):
    """A browser that comes back says the same address as before, and the id in a header: that is the newer place."""
    subscribe = asked({} if last is None else {"last-event-id": last}, **query)

    assert (subscribe.since, subscribe.timestamp_ms) == begins
    assert subscribe.contradiction is None


def test_a_stream_cannot_begin_at_two_places():
    """As a subscription of a socket cannot."""
    assert asked(since="5", timestamp=TIME).contradiction == "timestamp"


@pytest.mark.parametrize("text", ["-1", "x", "1.5"])
def test_what_is_no_id_is_refused(text):
    """Also in the header."""
    for query, headers in (({"since": text}, {}), ({}, {"last-event-id": text})):
        with pytest.raises(BadRequest):
            asked(headers, **query)


def test_a_stream_of_one_device_names_it_twice():
    """It is subscribed to, and it has to be there."""
    one = StreamOne.fill({}, {"guid": "lamp"}, {"names": "a,b"}, headers={})

    for made, kind in ((one.to_commands(), Kind.COMMAND), (one.to_notifications(), Kind.NOTIFICATION)):
        assert (made.kind, made.device_guid, made.subscribe.device_guids) == (kind, "lamp", ("lamp",))
        assert made.subscribe.names == {"a", "b"}


def test_a_stream_of_many_devices_may_name_none():
    """Then it is about all that its caller may see."""
    many = StreamMany.fill({}, {}, {"deviceGuids": "a,,b"}, headers={})

    assert (many.to_commands().device_guid, many.to_commands().subscribe.device_guids) == (None, ("a", "b"))
    assert asked().device_guids is None
