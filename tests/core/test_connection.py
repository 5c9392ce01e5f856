"""The connection: envelopes in, answers out, in the order in which the requests came."""

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.access import user_principal
from hub.core.connection import Connection, ConnectionLimits, Exchange
from hub.core.fanout import FanOut
from hub.core.limits import Tally
from protocol.client_events import Answered, CommandUpdated, Received, Refused, Subscribed
from protocol.client_events import Subscription as Interest
from protocol.codecs import CODECS, EVENTS, JSON, MSGPACK, Codec
from protocol.errors import INTERNAL, NOT_PERMITTED, STORAGE, limit_reached
from protocol.frames import header
from protocol.names import Action, CloseCode, Endpoint, Kind, Subprotocol
from protocol.requests import InsertNotification, ServerInfo
from tests.builders import command, notification, user
from tests.helpers import Pair, connection, limited, publish, received, subscription, unframed

codecs = pytest.mark.parametrize("codec", CODECS, ids=["json", "msgpack"])


def receive(to: Connection, **members) -> Exchange | None:
    """Give a message to a connection."""
    return to.receive(to.codec.encode(members))


def answer(to: Connection) -> dict:
    """Take the only answer."""
    (only,) = received(to)
    return only


# --- the envelope -----------------------------------------------------------------------------------------------------


@codecs
def test_a_request_is_handed_back_to_be_carried_out(codec):
    """The connection checks the envelope and converts the parameters; doing it is somebody else's business."""
    here = connection(codec)

    exchange = receive(here, action="notification/insert", requestId=1, notification={"notification": "watts"})

    assert exchange.action is Action.NOTIFICATION_INSERT
    assert exchange.ask == InsertNotification(None, "watts")
    assert received(here) == []


@codecs
@pytest.mark.parametrize("request_id", [17, "seventeen", None, {"a": [1, None]}, 1.5, 2**64 - 1, False])
def test_a_request_id_comes_back_as_it_was(codec, request_id):
    """Clients use numbers, strings and objects, and compare them with type."""
    here = connection(codec)

    here.succeed(receive(here, action="server/info", requestId=request_id), {"info": 1})

    assert answer(here) == {"action": "server/info", "requestId": request_id, "status": "success", "info": 1}


def test_an_answer_without_request_id_shows_null():
    """Both members are always there."""
    here = connection()

    here.succeed(receive(here, action="server/info"), {})

    assert answer(here) == {"action": "server/info", "requestId": None, "status": "success"}


@codecs
@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[]", b"1", b'"text"', b"null", b"\x93\x01\x02\x03", b"\xc0"])
def test_what_is_no_object_is_answered_without_an_echo(codec, payload):
    """There is nothing to echo: the frame has code, status and error only."""
    here = connection(codec)
    if codec is JSON and not payload.isascii():
        payload = b"{"

    assert here.receive(payload) is None

    assert answer(here) == {"status": "error", "code": 400, "error": "Incorrect JSON syntax"}


def test_text_that_is_not_utf_8_ends_the_connection():
    """Such a frame is not even text (RFC 6455, 8.1)."""
    here = connection()

    assert here.receive(b'{"action": "\xff"}') is None

    assert here.closing == (CloseCode.INVALID_TEXT, "not UTF-8")
    assert received(here) == []


@pytest.mark.parametrize("raw", [None, {}, []])
def test_an_action_has_to_be_a_plain_value(raw):
    """Null, objects and arrays name nothing, and come back as they are."""
    here = connection(extended=True)

    assert receive(here, action=raw, requestId=3) is None

    assert answer(here) == {
        "action": raw,
        "requestId": 3,
        "status": "error",
        "code": 400,
        "error": "Invalid request parameters",
        "reason": "bad-parameter",
        "detail": {"parameter": "action"},
    }


@pytest.mark.parametrize(
    ("raw", "text"), [("no/such", "no/such"), ("Server/Info", "Server/Info"), ("", ""), (7, "7"), (True, "true")]
)
def test_an_unknown_action_is_named(raw, text):
    """Numbers and booleans are compared by their text, and echoed as what they are."""
    here = connection()

    assert receive(here, action=raw) is None

    frame = answer(here)
    assert (frame["code"], frame["error"]) == (404, f"Unknown action requested: {text}")
    assert frame["action"] is raw or frame["action"] == raw


def test_a_parameter_of_the_wrong_type_is_refused():
    """It is refused before anybody asks who is calling."""
    here = connection(extended=True)

    assert receive(here, action="command/subscribe", requestId=1, deviceGuids="lamp") is None

    assert answer(here)["detail"] == {"parameter": "deviceGuids"}


@pytest.mark.parametrize(
    ("members", "credentials"),
    [
        ({}, (None, None)),
        ({"deviceId": "lamp", "deviceKey": "k"}, ("lamp", "k")),
        ({"deviceId": 5}, ("5", None)),
        ({"deviceKey": "k"}, (None, "k")),
        ({"deviceId": None, "deviceKey": None}, (None, None)),
    ],
)
def test_credentials_may_come_with_any_message(members, credentials):
    """They are read from every message; null is the same as absent."""
    exchange = receive(connection(), action="server/info", **members)

    assert (exchange.device_id, exchange.device_key) == credentials
    assert exchange.has_credentials == (credentials != (None, None))


def test_credentials_of_the_wrong_type_are_refused():
    """They are parameters like others."""
    here = connection()

    assert receive(here, action="server/info", deviceKey=["k"]) is None

    assert answer(here)["code"] == 400


# --- answers ----------------------------------------------------------------------------------------------------------


def test_answers_leave_in_the_order_of_the_requests():
    """An answer that is ready early waits for those before it: clients pipeline."""
    here = connection()
    first, second = (receive(here, action="server/info", requestId=number) for number in (1, 2))

    here.succeed(second, {})
    early = received(here)
    here.succeed(first, {})

    assert early == []
    assert [frame["requestId"] for frame in received(here)] == [1, 2]


def test_a_message_that_is_refused_at_once_waits_for_its_turn():
    """Also what was answered without asking anybody comes after what came before it."""
    here = connection()
    first = receive(here, action="server/info", requestId=1)
    receive(here, action="no/such", requestId=2)
    here.receive(b"nonsense")

    early = received(here)
    here.refuse(first, NOT_PERMITTED.error())

    assert early == []
    assert [frame["code"] for frame in received(here)] == [401, 404, 400]


@pytest.mark.parametrize("extended", [False, True])
def test_only_extended_mode_sees_reasons(extended):
    """Old clients get DeviceHive's members and no other."""
    here = connection(extended=extended)

    here.refuse(receive(here, action="server/info"), STORAGE.error(retry_after_s=1))

    assert ({"reason", "retryAfter"} <= answer(here).keys()) == extended


plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
parts = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
named = st.sampled_from([*Action, "no/such", 7, None])
requests = st.fixed_dictionaries(
    {},
    optional={
        "action": named | parts,
        "requestId": parts,
        "deviceGuid": parts,
        "deviceGuids": parts,
        "deviceId": parts,
        "deviceKey": parts,
        "device": parts,
        "names": parts,
        "timestamp": parts,
        "command": parts | st.fixed_dictionaries({"command": parts}, optional={"lifetime": parts}),
        "notification": parts | st.fixed_dictionaries({"notification": parts, "parameters": parts}),
        "subscriptionId": parts,
    },
)
foreign = st.binary(max_size=8) | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4))
packed = st.dictionaries(st.text(max_size=8) | st.integers() | foreign, parts | foreign, max_size=4)


def texts(codec: Codec):
    """Messages of a codec: requests, and anything else that its frames can carry."""
    if codec is JSON:
        return requests.map(orjson.dumps) | st.text(max_size=20).map(str.encode) | parts.map(orjson.dumps)
    return requests.map(msgpack.packb) | st.binary(max_size=20) | packed.map(_packb)


def _packb(value) -> bytes:
    try:
        return msgpack.packb(value)
    except (OverflowError, ValueError):  # Not everything that is drawn is MessagePack.
        return b"\xc1"


def echo(codec: Codec, payload: bytes) -> dict:
    """What an answer to this message has to repeat."""
    try:
        members = codec.decode(payload)
    except Exception:
        return {}
    return {"action": members.get("action"), "requestId": members.get("requestId")}


@codecs
@settings(max_examples=60)
@given(data=st.data())
def test_every_message_gets_its_one_answer_in_order(codec, data):
    """Whatever comes, whatever it means, and in whatever order it is carried out: answers come in order, and echo."""
    here = connection(codec)
    payloads = data.draw(st.lists(texts(codec), max_size=5))

    exchanges = [exchange for payload in payloads if (exchange := here.receive(payload)) is not None]
    for exchange in data.draw(st.permutations(exchanges)):
        if data.draw(st.booleans()):
            here.succeed(exchange, {"result": 1})
        else:
            here.refuse(exchange, INTERNAL.error())

    answers = received(here)
    assert here.closing is None
    assert len(answers) == len(payloads)
    for payload, frame in zip(payloads, answers, strict=True):
        expected = echo(codec, payload)
        assert {name: frame[name] for name in ("action", "requestId") if name in frame} == expected
        assert frame["status"] in ("success", "error")


@codecs
@given(payloads=st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_break_a_connection(codec, payloads):
    """Bytes are refused or end the connection; nothing is raised."""
    here = connection(codec)

    for payload in payloads:
        exchange = here.receive(payload)
        assert exchange is None or exchange.ask is not None

    assert here.closing is None or here.closing[0] is CloseCode.INVALID_TEXT


# --- limits -----------------------------------------------------------------------------------------------------------


def test_who_does_not_authenticate_may_ask_only_so_much():
    """The limit counts messages of any sort; the one past it ends the connection."""
    here = limited(anonymous_requests=2)

    for _ in range(2):
        here.receive(b"nonsense")
    exchange = receive(here, action="server/info")

    assert exchange is None
    assert here.closing == (CloseCode.UNAUTHENTICATED, "at most 2 requests before authentication")
    assert len(received(here)) == 2


def test_who_has_authenticated_may_ask_on():
    """The count is for the anonymous."""
    here = limited(anonymous_requests=2)
    here.principal = user_principal(user())

    assert all(receive(here, action="server/info") for _ in range(5))
    assert here.closing is None


def test_limits_that_were_reached_are_counted():
    """In answers, in what could not even be read, and in the end that came of one."""
    tally = Tally()
    here = Connection(endpoint=Endpoint.CLIENT, codec=JSON, tally=tally, limits=ConnectionLimits(anonymous_requests=2))
    exchange = receive(here, action="server/info")

    here.refuse(exchange, limit_reached(1, "of these", name="these"))
    here.receive(b'{"deep":' + b"[" * 40 + b"]" * 40 + b"}")
    for _ in range(3):
        receive(here, action="server/info")

    assert tally == {"these": 1, "json-depth": 1, "anonymous-requests": 1}


def test_it_knows_how_many_wait_for_their_answer():
    """From the moment they come in until the answer is on its way."""
    here = connection()
    first, second = receive(here, action="server/info"), receive(here, action="server/info")
    assert here.unanswered == 2

    here.succeed(second, {})
    assert here.unanswered == 2
    here.succeed(first, {})
    assert here.unanswered == 0


def test_enrolling_a_device_starts_the_count_anew():
    """A gateway that enrols its devices may never authenticate itself."""
    here = limited(anonymous_requests=2)
    for _ in range(2):
        receive(here, action="device/save")

    here.enrolled()

    assert receive(here, action="device/save")
    assert here.closing is None


def test_too_many_commands_in_hand_forget_the_oldest():
    """A connection listens to a bounded number of commands; asking for one twice is asking once."""
    here = limited(listeners=2)

    forgotten = [here.listen(command_id) for command_id in (1, 2, 1, 3)]

    assert forgotten == [None, None, None, 1]
    assert list(here.listening) == [2, 3]


def test_without_a_limit_nothing_is_forgotten():
    """Zero is no bound."""
    here = limited(listeners=0)

    assert {here.listen(command_id) for command_id in range(100)} == {None}


def test_subscriptions_are_told_apart_by_kind():
    """Commands and notifications are subscribed to apart, and listed in the order in which they were made."""
    here = connection()
    first, _, third = (subscription(here, kind=kind) for kind in (Kind.COMMAND, Kind.NOTIFICATION, Kind.COMMAND))

    assert here.of_kind(Kind.COMMAND) == [first, third]


# --- the end ----------------------------------------------------------------------------------------------------------


def test_the_first_reason_to_close_holds():
    """What ended the connection is what its peer is told."""
    here = connection()

    here.close(CloseCode.SLOW_READER, "reads too slowly")
    here.close(CloseCode.RESTART, "shutting down")

    assert here.closing == (CloseCode.SLOW_READER, "reads too slowly")


@pytest.mark.parametrize(
    ("extended", "announced"),
    [
        (False, []),
        (True, [{"action": "connection/closing", "code": 1012, "reason": "shutting down", "reconnectAfter": 3}]),
    ],
)
def test_a_close_is_announced_in_extended_mode(extended, announced):
    """Old clients know close codes only."""
    here = connection(extended=extended)

    here.close(CloseCode.RESTART, "shutting down", reconnectAfter=3)

    assert [JSON.decode(payload) for _, payload in unframed(here.farewell())] == announced


def test_an_event_stream_says_farewell_in_an_event():
    """Without a frame, as everything there."""
    here = connection(EVENTS, extended=True)

    here.close(CloseCode.RESTART, "the hub restarts", reconnectAfter=1.5)

    assert here.farewell() == (
        b"event: connection/closing\nretry: 1500\n"
        b'data: {"code":1012,"reason":"the hub restarts","reconnectAfter":1.5}\n\n'
    )


def test_an_open_connection_says_no_farewell():
    """The last message is there once something has decided that it is the last."""
    assert connection(extended=True).farewell() == b""


def test_a_connection_shows_its_state():
    """A failing test prints who it is and what it waits for."""
    here = connection()
    receive(here, action="server/info")

    assert repr(here) == (
        f"Connection(client, anonymous, subscriptions=0, open=1, Outbox(size=0, limit={1 << 30}, overflowed=False))"
    )


# --- with our own client on the other end -----------------------------------------------------------------------------

both = pytest.mark.parametrize("subprotocol", [None, *Subprotocol])


@both
def test_our_client_understands_the_answers(subprotocol):
    """Requests and their answers cross in every mode, refusals included."""
    pair = Pair(subprotocol)
    first = pair.client.request(Action.SERVER_INFO, {})
    second = pair.client.request(Action.DEVICE_GET, {})

    asked, refused = pair.carry()
    pair.connection.succeed(asked, {"info": {"a": 1}})
    pair.connection.refuse(refused, NOT_PERMITTED.error())

    answered, refusal = pair.deliver()
    assert asked.ask == ServerInfo()
    assert isinstance(answered, Answered)
    assert (answered.request_id, answered.members["info"]) == (first, {"a": 1})
    assert isinstance(refusal, Refused)
    assert (refusal.request_id, refusal.refusal.code) == (second, 401)


@both
def test_our_client_understands_the_pushes(subprotocol):
    """A subscription of the client's gets what is published here, once and in order."""
    pair, fan_out, interest = Pair(subprotocol), FanOut(), Interest(Kind.NOTIFICATION)
    asked = pair.subscribe(interest)
    ours = subscription(pair.connection)
    fan_out.subscribe(ours)
    pair.connection.succeed(asked, {"subscriptionId": ours.id, "position": ours.position})

    publish(fan_out, *(notification("lamp", "watts", {"value": value}) for value in (1, 2, 3)))
    fan_out.take_ready()

    got = [event for event in pair.deliver() if isinstance(event, Received)]
    assert [(event.subscription, event.message.parameters) for event in got] == [
        (interest, {"value": value}) for value in (1, 2, 3)
    ]


@both
def test_our_client_hears_what_became_of_a_command(subprotocol):
    """Updates are pushed to whoever inserted the command."""
    pair, fan_out, on = Pair(subprotocol), FanOut(), command("lamp", "on", status="Done", updated=True)
    fan_out.listen(on.id, pair.connection)

    fan_out.update(on)
    fan_out.take_ready()

    (event,) = pair.deliver()
    assert isinstance(event, CommandUpdated)
    assert (event.command.id, event.command.status) == (on.id, "Done")


@both
def test_a_push_never_overtakes_the_answer_that_names_its_subscription(subprotocol):
    """The answer is written first, so that the client knows whose push it is."""
    pair, fan_out = Pair(subprotocol), FanOut()
    asked = pair.subscribe(Interest(Kind.NOTIFICATION))
    ours = subscription(pair.connection)
    fan_out.subscribe(ours)

    publish(fan_out, notification())
    pair.connection.succeed(asked, {"subscriptionId": ours.id})
    fan_out.take_ready()

    assert [type(event) for event in pair.deliver()] == [Subscribed, Received]


def test_both_codecs_are_tried():
    """A connection speaks the codec that its handshake selected, and no other."""
    for codec, other in [(JSON, MSGPACK), (MSGPACK, JSON)]:
        here = connection(codec)

        assert here.receive(other.encode({"action": "server/info"})) is None


@pytest.mark.parametrize("codec", [JSON, EVENTS])
def test_what_nobody_asked_for_is_told_as_everything_is(codec):
    """In a frame on a socket, and as text on a stream."""
    here = Connection(endpoint=Endpoint.CLIENT, codec=codec, extended=True)

    here.tell({"action": "told", "of": 1})

    written = codec.encode({"action": "told", "of": 1})
    assert here.outbox.take(0) == (written if codec is EVENTS else header(codec.opcode, len(written)) + written)
