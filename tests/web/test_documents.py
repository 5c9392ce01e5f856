"""The documents that tell of the WebSocket API and of errors: nothing is missing, and they say where the hub is."""

from typing import Any

import jsonschema_rs
import orjson
import pytest

from hub.actions import HANDLERS
from hub.core.access import RULES
from hub.web.asyncapi import make_document, word
from hub.web.documents import error_catalogue
from protocol.answers import (
    ANSWERS,
    ERROR,
    ERROR_EXTENDED,
    PUSHES,
    SUBSCRIBED,
    TRACED_COMMAND,
    TRACED_NOTIFICATION,
    Missed,
    Subscribed,
)
from protocol.codecs import JSON, message_members
from protocol.errors import CATALOGUE, CLOSES, INTERNAL, NAMES, REMEDIES, TOO_MANY
from protocol.message_views import COMMAND, CREATED_NOTIFICATION, NOTIFICATION
from protocol.messages import Command, Notification
from protocol.names import Action, CloseCode, Kind
from protocol.requests import REQUESTS
from tests.documents import Exchanges, check_exchange, check_frame
from tests.edge_client import Response
from tests.web.test_http import HOST, get

DOCUMENT = make_document(host="hub.example", secure=True, path="/api/websocket")
MESSAGES = DOCUMENT["components"]["messages"]


# --- nothing is missing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
def test_every_action_is_in_the_document(action):
    """Its request with every member that it reads, its answer in both modes, and who may ask."""
    assert action in ANSWERS, f"protocol/answers.py does not say what answers {action}"
    assert action in REQUESTS, f"protocol/requests.py does not say what {action} takes"
    assert (action in HANDLERS, action in RULES) == (True, True)

    request = MESSAGES[f"{word(action)}Request"]
    assert request["payload"]["properties"].keys() >= REQUESTS[action].takes.members.keys()
    assert request["examples"][0]["payload"]["action"] == action
    for suffix in ("", "Extended"):
        operation = DOCUMENT["operations"][word(action) + suffix]
        assert operation["title"] == action
        assert operation["summary"]
        assert operation["description"]


@pytest.mark.parametrize("said", [*ANSWERS.values(), *PUSHES.values()], ids=lambda said: said.summary)
def test_every_view_is_described_to_the_last_member(said):
    """What the hub says has no member that the document does not name."""
    for view in filter(None, (said.ordinary, said.extended)):
        assert view.schema["properties"].keys() == view.members.keys()
        assert view.schema["additionalProperties"] is False


@pytest.mark.parametrize("reason", sorted({problem.reason for problem in CATALOGUE} | REMEDIES.keys()))
def test_every_reason_has_a_remedy(reason):
    """The catalogue says what to do about each, and about none that there is not."""
    assert reason in REMEDIES, f"protocol/errors.py: REMEDIES does not say what to do about {reason}"
    assert any(problem.reason == reason for problem in CATALOGUE)


def test_every_error_and_close_code_is_on_the_page():
    """With its code, text, when, and what to do."""
    catalogue = error_catalogue()

    assert [one["error"] for one in catalogue["errors"]] == [problem.text for problem in CATALOGUE]
    assert len(set(NAMES)) == len(CATALOGUE)
    assert all(all(one.values()) for one in [*catalogue["errors"], *catalogue["closes"]])
    assert set(CLOSES) == set(CloseCode)


# --- what is written by hand has the members of the views -------------------------------------------------------------


def test_the_codecs_write_what_the_views_describe():
    """Pushes are laid out by hand for speed; their members are those of the views, in the same order."""
    notification, command = Notification(1, 1, "lamp", "on", 0), Command(1, 1, "lamp", "on", 0)

    assert [*message_members(notification)] == [*NOTIFICATION.members]
    assert [*message_members(command)] == [*COMMAND.members]
    assert orjson.dumps(TRACED_NOTIFICATION(notification)) == orjson.dumps(NOTIFICATION(notification))
    assert orjson.dumps(TRACED_COMMAND(command)) == orjson.dumps(COMMAND(command))
    inserted = JSON.decode(JSON.inserted(7, notification))
    assert [*inserted["notification"]] == [*CREATED_NOTIFICATION.members]
    push = JSON.decode(JSON.dropped_head(Kind.COMMAND, "s", 2) + JSON.body(command))
    view = PUSHES["command/insert"].ordinary
    assert view is not None
    assert push.keys() == {"action", *view.members}
    assert view(push) == {name: push[name] for name in view.members}


def test_errors_are_told_as_the_views_describe():
    """With and without what is there sometimes only."""
    for error in (INTERNAL.error(), TOO_MANY.error(value=1, what="a", detail={"limit": "a"}, retry_after_s=2.0)):
        assert error.members(extended=False) == ERROR(error)
        assert error.members(extended=True) == ERROR_EXTENDED(error)


def test_a_subscription_tells_what_it_was_asked():
    """What was not asked for is not there."""
    missed = Missed("retention", 1, 5)

    assert SUBSCRIBED(Subscribed("id")) == {"subscriptionId": "id"}
    assert SUBSCRIBED(Subscribed("id", 7, False, missed))["missed"] == {"reason": "retention", "after": 1, "before": 5}


@pytest.mark.parametrize("name", PUSHES)
def test_pushes_can_be_made_of_their_views(name):
    """Of something that has all their members."""
    for view in filter(None, (PUSHES[name].ordinary, PUSHES[name].extended)):
        whole = dict.fromkeys(view.members, "x")
        assert view(whole) == whole


@pytest.mark.parametrize("action", [action for action, said in ANSWERS.items() if said.ordinary is not None])
def test_answers_can_be_made_of_their_views(action):
    """Likewise."""
    view = ANSWERS[action].ordinary
    assert view is not None
    if view is not SUBSCRIBED:
        whole = dict.fromkeys(view.members, 1)
        assert view(whole) == whole


# --- the document itself ----------------------------------------------------------------------------------------------


def references(value: Any) -> list[str]:
    """Every ``$ref`` in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for one in value.values() for found in references(one)]
    return [found for one in value for found in references(one)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere():
    """Also from operations to the messages of their channel, as AsyncAPI 3 wants it."""
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        told = [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in told)


def test_every_example_matches_its_message():
    """What the console begins with is a request that the document describes."""
    for message in MESSAGES.values():
        schema = {**message["payload"], "components": {"schemas": DOCUMENT["components"]["schemas"]}}
        for example in message.get("examples", []):
            jsonschema_rs.validate(schema, example["payload"])


@pytest.mark.parametrize("context", ["", "/api", "/dh"])
async def test_each_prefix_has_its_documents(world, wires, context):
    """The server is the one that was asked, with the prefix that was asked."""
    document = await get(world, wires, f"{context}/websocket/asyncapi.json")
    errors = await get(world, wires, f"{context}/docs/errors.json")

    server = document.json()["servers"]["hub"]
    assert server == {"host": dict([HOST])["Host"], "pathname": f"{context}/websocket", "protocol": "ws"}
    assert document.json()["asyncapi"] == "3.0.0"
    assert errors.json() == error_catalogue()


async def test_behind_a_public_url_that_is_the_server(start, wires):
    """Whoever runs the hub has said where it is."""
    world = await start(public_url="https://hub.example")

    server = (await get(world, wires, "/api/websocket/asyncapi.json")).json()["servers"]["hub"]

    assert server == {"host": "hub.example", "pathname": "/api/websocket", "protocol": "wss"}


# --- the tests' own check ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "extended"),
    [
        ({"action": "authenticate", "requestId": 1, "status": "success", "token": "x"}, False),
        ({"action": "authenticate", "status": "success"}, False),
        (
            {"action": "authenticate", "requestId": 1, "status": "error", "code": 401, "error": "x", "reason": "y"},
            False,
        ),
        ({"action": "authenticate", "requestId": 1, "status": "error", "code": 401, "error": "x"}, True),
        ({"action": "no/such"}, True),
        ({"action": "connection/closing", "code": 1012, "reason": "x"}, False),
    ],
)
def test_a_frame_that_no_document_tells_of_is_noticed(frame, extended):
    """A member too many or too few, another mode, an unknown push."""
    with pytest.raises(AssertionError, match="document"):
        check_frame(frame, extended=extended)


def test_a_request_that_was_carried_out_and_is_in_no_document_is_noticed():
    """What old clients may send counts; what nothing names does not."""
    exchanges, answer = Exchanges(extended=False), {"action": "authenticate", "requestId": 1, "status": "success"}

    exchanges.sent({"action": "authenticate", "requestId": 1, "login": 5})
    exchanges.received(answer)
    exchanges.sent({"action": "authenticate", "requestId": 1, "login": []})
    with pytest.raises(AssertionError, match="a request"):
        exchanges.received(answer)


BASIC = ("Authorization", "Basic eDp5")
NETWORK = b'{"id":1,"key":null,"name":"home","description":null,"devices":[]}'


@pytest.mark.parametrize(
    ("method", "path", "headers", "answer"),
    [
        ("GET", "/network?take=1&skip=&sortField=name&sortOrder=desc", [BASIC], (200, {}, b"[]")),
        ("GET", "/device/lamp/command?sortOrder=&take=", [BASIC], (200, {}, b"[]")),
        ("HEAD", "/network?take=1", [BASIC, ("Hub-Version", "1")], (200, {}, b"")),
        ("GET", "/network/%31?any=1", [BASIC], (404, {}, b"")),
        ("POST", "/network/1", [BASIC, ("x-http-method-override", "DELETE")], (204, {}, b"")),
        ("GET", "/no/such?x=1", [], (200, {}, b"")),
        ("GET", "/info", [], (200, {}, b"")),
        ("GET", "/network", [], (401, {"www-authenticate": 'Basic realm="devicehive"'}, b"")),
    ],
)
def test_an_exchange_that_is_in_the_document_passes(method, path, headers, answer):
    """What was refused may have been anything; what is no operation, too."""
    check_exchange(method, path, headers, b"", _answered(*answer))


@pytest.mark.parametrize(
    ("method", "path", "headers", "answer", "noticed"),
    [
        ("GET", "/network?more=1", [BASIC], (200, {}, b"[]"), "a query that no document"),
        ("GET", "/network?take=x", [BASIC], (200, {}, b"[]"), '"x" is not of type "integer"'),
        ("GET", "/network?take=-1", [BASIC], (200, {}, b"[]"), "less than the minimum"),
        ("GET", "/network?sortOrder=down", [BASIC], (200, {}, b"[]"), '"down" is not one of'),
        ("GET", "/network?sortField=", [BASIC], (200, {}, b"[]"), '"" is not one of'),
        ("GET", "/network/one", [BASIC], (200, {}, NETWORK), '"one" is not of type'),
        ("GET", "/network", [BASIC, ("hub-version", "2")], (200, {}, b"[]"), '"2" is not one of'),
        (
            "POST",
            "/device/lamp/notification",
            [BASIC, ("Idempotency-Key", "x" * 65)],
            (201, {}, b""),
            "longer than 64",
        ),
        ("GET", "/network", [], (200, {}, b"[]"), "open to"),
        ("GET", "/network", [("Auth-DeviceID", "lamp")], (200, {}, b"[]"), "open to"),
        ("GET", "/network", [BASIC], (200, {"etag": "1"}, b"[]"), "a header that no document"),
        ("GET", "/network", [], (401, {"www-authenticate": "Digest"}, b""), '"Digest" is not one of'),
        ("GET", "/network", [BASIC], (429, {"retry-after": "soon"}, b""), '"soon" is not of type'),
        ("GET", "/network", [BASIC], (418, {}, b""), "in no document"),
        ("GET", "/network", [BASIC], (200, {}, b"{}"), "not as its document says"),
    ],
)
def test_an_exchange_that_no_document_tells_of_is_noticed(method, path, headers, answer, noticed):
    """A value in its query, path or headers, credentials, a header of the answer, a status, a body."""
    with pytest.raises(AssertionError, match=noticed):
        check_exchange(method, path, headers, b"", _answered(*answer))


def _answered(status: int, headers: dict[str, str], body: bytes) -> Response:
    return Response(
        status, "", {"access-control-allow-origin": "*", "content-type": "application/json", **headers}, body
    )


def test_a_document_is_made_once():
    """Anybody may ask for it as often as they like; only where the hub is differs."""
    one, other = (make_document(host=host, secure=True, path="/websocket") for host in ("one", "other"))

    assert one["components"] is other["components"]
    assert [document["servers"]["hub"]["host"] for document in (one, other)] == ["one", "other"]
