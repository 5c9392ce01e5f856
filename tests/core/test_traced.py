"""What tracing adds: requests that say to which trace they belong, and messages that pass it on."""

import pytest

from hub.core.traced import TracedConnection, TracedPublished
from protocol.codecs import ENCODINGS, EVENTS, JSON, MSGPACK, TRACED_JSON, TRACED_MSGPACK
from protocol.names import Endpoint
from tests.builders import notification
from tests.helpers import ROOMY, placed

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traced() -> TracedConnection:
    return TracedConnection(endpoint=Endpoint.CLIENT, codec=JSON, limits=ROOMY)


def test_a_request_keeps_what_it_says_of_its_trace():
    """As it came: whether it is well-formed is asked by whoever follows it."""
    here = traced()

    exchange = here.receive(JSON.encode({"action": "server/info", "traceparent": TRACEPARENT}))

    assert here.traceparents == {exchange: TRACEPARENT}


@pytest.mark.parametrize("members", [{}, {"traceparent": 7}, {"traceparent": None}])
def test_a_request_without_a_trace_keeps_nothing(members):
    """Nor one in which something else stands there."""
    here = traced()

    here.receive(JSON.encode({"action": "server/info", **members}))

    assert here.traceparents == {}


def test_a_request_that_is_refused_keeps_nothing():
    """Nobody would ever take it away."""
    here = traced()

    here.receive(JSON.encode({"action": "nonsense", "traceparent": TRACEPARENT}))

    assert here.traceparents == {}


def test_a_message_tells_its_trace_where_that_is_asked_for():
    """Encoded once for each; in the encodings of the old wire and of streams it is as ever."""
    message = notification()
    one = TracedPublished(message, 1, (), traceparent=TRACEPARENT)

    for codec in (TRACED_JSON, TRACED_MSGPACK):
        assert one.body(codec.number) == codec.traced_body(message, TRACEPARENT)
        assert one.body(codec.number) is one.body(codec.number)
    for encoding in (JSON, MSGPACK, EVENTS):
        assert one.body(encoding.number) == encoding.body(message)


def test_a_message_without_a_trace_tells_none():
    """What is replayed, or comes from another worker."""
    one = placed(notification())

    assert [one.body(encoding.number) for encoding in ENCODINGS[3:]] == [one.body(0), one.body(1)]
