"""The AsyncAPI 3 document of the WebSocket API, made of what reads requests and of what the hub says: it cannot be out
of date."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hub.core.access import RULES
from hub.rest.openapi import who_may, without_views
from protocol.answers import ANSWERS, ERROR, ERROR_EXTENDED, PUSHES, REQUEST_ID, Said
from protocol.names import Action, Endpoint, Subprotocol
from protocol.requests import REQUESTS
from protocol.version import __version__
from protocol.views import View, reference

Document = dict[str, Any]

ABOUT = (
    "One JSON object a text message. A request names its `action`; its answer comes with the same `action` and "
    "`requestId`, in the order of the requests; what comes without `requestId` is a push. All actions are on both "
    "endpoints: `client` authenticates users and access keys, `device` devices. The subprotocol `hub.1.json` turns "
    "extended mode on, `hub.1.msgpack` the same with one MessagePack map a binary message. Members under `x-also` are "
    "taken in these types, too."
)
INFO = {"title": "Hub", "version": __version__, "description": ABOUT}

CREDENTIALS = {
    "deviceId": {"type": ["string", "null"], "x-also": ["number", "boolean"]},
    "deviceKey": {"type": ["string", "null"], "x-also": ["number", "boolean"]},
}
"""Of the device that a message speaks for, on any action."""

TRACED = {
    "traceparent": {
        "description": "where the hub traces: the trace that the request belongs to (W3C Trace Context); anything else "
        "is passed over"
    }
}

SECURITY: Document = {
    "key": {"type": "http", "scheme": "bearer", "description": "an access key, in the handshake or by authenticate"},
    "user": {"type": "http", "scheme": "basic", "description": "login and password, likewise"},
    "deviceId": {"type": "httpApiKey", "in": "header", "name": "Auth-DeviceID"},
    "deviceKey": {"type": "httpApiKey", "in": "header", "name": "Auth-DeviceKey"},
}


@dataclass(frozen=True, slots=True)
class Mode:
    """Ordinary or extended: the members of what the hub says differ.

    Attributes:
        channel: its name in the document.
        suffix: what the names of operations and messages end in.
    """

    channel: str
    suffix: str
    extended: bool

    def view(self, said: Said) -> View[Any] | None:
        """What is said in this mode."""
        return said.extended if self.extended else said.ordinary


ORDINARY, EXTENDED = Mode("ordinary", "", False), Mode("extended", "Extended", True)
MODES = (ORDINARY, EXTENDED)


def described() -> list[Action]:
    """The actions that the document can tell of; a test sees to it that these are all."""
    return [action for action in Action if action in ANSWERS and action in REQUESTS]


def make_document(*, host: str, secure: bool, path: str) -> Document:
    """The document of a hub; not to be changed.

    Args:
        host: with its port, as the reader reached it.
        path: of the WebSocket root.
    """
    servers = {"hub": {"host": host, "pathname": path, "protocol": "wss" if secure else "ws"}}
    return {"asyncapi": "3.0.0", "info": INFO, "defaultContentType": "application/json", "servers": servers, **_api()}


# Once: it takes 20 ms, in which no message moves, and whoever asks for the document need not say who it is.
@cache
def _api() -> Document:
    """What is the same wherever the hub is reached."""
    messages = {message["name"]: message for mode in MODES for message in _messages(mode)}
    schemas: Document = {}
    components = {"messages": without_views(messages, schemas), "schemas": schemas, "securitySchemes": SECURITY}
    return {
        "channels": {mode.channel: _channel(mode) for mode in MODES},
        "operations": {name: operation for mode in MODES for name, operation in _operations(mode)},
        "components": components,
    }


def word(action: str) -> str:
    """An action's name as one word: ``notification/insert`` is ``notificationInsert``."""
    first, *rest = action.replace("-", "/").split("/")
    return first + "".join(part.capitalize() for part in rest)


# --- channels and operations ------------------------------------------------------------------------------------------


def _channel(mode: Mode) -> Document:
    channel: Document = {
        "address": "/{endpoint}",
        "title": f"{mode.channel.capitalize()} mode",
        "parameters": {"endpoint": {"enum": [endpoint.value for endpoint in Endpoint]}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names(mode)},
    }
    if mode.extended:
        offered = {"type": "string", "enum": [subprotocol.value for subprotocol in Subprotocol]}
        headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": offered}}
        channel["bindings"] = {"ws": {"method": "GET", "headers": headers}}
    return channel


def _names(mode: Mode) -> list[str]:
    return [message["name"] for message in _messages(mode)]


def _operations(mode: Mode) -> Iterator[tuple[str, Document]]:
    for action in described():
        replies = [f"{word(action)}Answer{mode.suffix}", f"error{mode.suffix}"]
        yield (
            word(action) + mode.suffix,
            {
                "action": "receive",
                "title": action.value,
                "summary": ANSWERS[action].summary,
                "description": who_may(RULES[action]),
                "channel": _to_channel(mode),
                "messages": _to_messages(mode, [f"{word(action)}Request"]),
                "reply": {"channel": _to_channel(mode), "messages": _to_messages(mode, replies)},
            },
        )
    for name, said in _pushes(mode):
        yield (
            f"{word(name)}Push{mode.suffix}",
            {
                "action": "send",
                "title": name,
                "summary": said.summary,
                "channel": _to_channel(mode),
                "messages": _to_messages(mode, [f"{word(name)}Push{mode.suffix}"]),
            },
        )


def _pushes(mode: Mode) -> Iterator[tuple[str, Said]]:
    return ((name, said) for name, said in PUSHES.items() if mode.view(said) is not None)


def _to_channel(mode: Mode) -> Document:
    return {"$ref": f"#/channels/{mode.channel}"}


def _to_messages(mode: Mode, names: Iterable[str]) -> list[Document]:
    return [{"$ref": f"#/channels/{mode.channel}/messages/{name}"} for name in names]


# --- messages ---------------------------------------------------------------------------------------------------------


def _messages(mode: Mode) -> Iterator[Document]:
    for action in described():
        yield _request(action)
        yield _message(f"{word(action)}Answer{mode.suffix}", ANSWERS[action].summary, _answer(mode, action))
    for name, said in _pushes(mode):
        envelope = {"action": {"const": name}}
        payload = _object(envelope, mode.view(said))
        yield _message(f"{word(name)}Push{mode.suffix}", said.summary, payload)
    yield _message(f"error{mode.suffix}", "What could not be done, and why", _error(mode))


def _request(action: Action) -> Document:
    takes = REQUESTS[action].takes
    example = {"action": action.value, "requestId": 1, **takes.example}
    envelope = {"action": {"const": action.value}, "requestId": REQUEST_ID, **CREDENTIALS, **TRACED}
    payload = {
        "type": "object",
        "properties": envelope | dict(takes.schema["properties"]),
        "required": ["action", *takes.required],
    }
    message = _message(f"{word(action)}Request", ANSWERS[action].summary, payload)
    return message | {"examples": [{"name": "first", "payload": example}]}


def _answer(mode: Mode, action: Action) -> Document:
    envelope = {"action": {"const": action.value}, "requestId": REQUEST_ID, "status": {"const": "success"}}
    return _object(envelope, mode.view(ANSWERS[action]))


def _error(mode: Mode) -> Document:
    """The action comes back as it was, whatever it was; a message that could not be read has nothing to come back."""
    view = ERROR_EXTENDED if mode.extended else ERROR
    of_request = _object({"action": {}, "requestId": REQUEST_ID}, view)
    return {"anyOf": [of_request, reference(view)]}


def _object(envelope: Mapping[str, Any], view: View[Any] | None) -> Document:
    """The members of the envelope and of a view, all on one level."""
    shown: Mapping[str, Any] = {"properties": {}, "required": []} if view is None else view.schema
    return {
        "type": "object",
        "properties": {**envelope, **shown["properties"]},
        "required": [*envelope, *shown["required"]],
        "additionalProperties": False,
    }


def _message(name: str, summary: str, payload: Document) -> Document:
    return {"name": name, "summary": summary, "payload": payload}
