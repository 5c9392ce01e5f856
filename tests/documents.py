"""Documents that cannot lie: what tests send and receive is held against the AsyncAPI and the OpenAPI document.

What comes from the hub must match to the last member. What a test sends must match when the hub has accepted it; types
that the documents name under ``x-also`` count then. Schemas are compiled once each.
"""

import json
from collections import deque
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from hub.rest.api import ROUTES
from hub.rest.openapi import make_document as make_openapi
from hub.rest.routes import Routes
from hub.web.asyncapi import make_document as make_asyncapi
from hub.web.asyncapi import word
from protocol.errors import HubError

ASYNCAPI = make_asyncapi(host="localhost", secure=False, path="/websocket")
OPENAPI = make_openapi(ROUTES, servers=["/rest"], as_devicehive=True)
_ROUTES = Routes(ROUTES)


def leniently(schema: Any) -> Any:
    """A schema that takes the types under ``x-also``, too."""
    if isinstance(schema, list):
        return [leniently(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: leniently(value) for name, value in schema.items() if name != "x-also"}
    if "x-also" in schema and "type" in found:
        types = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*types, *schema["x-also"]]
    return found


# --- WebSockets -------------------------------------------------------------------------------------------------------


@cache
def _message(name: str, *, lenient: bool = False) -> jsonschema_rs.Validator:
    components = ASYNCAPI["components"]
    assert name in components["messages"], f"the AsyncAPI document tells of no {name}: see protocol/answers.py"
    schema = {**components["messages"][name]["payload"], "components": {"schemas": components["schemas"]}}
    return jsonschema_rs.Draft202012Validator(leniently(schema) if lenient else schema)


def _check(validator: jsonschema_rs.Validator, value: Any, what: str) -> None:
    wrong = next(validator.iter_errors(value), None)
    assert wrong is None, f"{what} is not as its document says: {wrong.message} at {wrong.instance_path}: {value}"


def check_frame(frame: Mapping[str, Any], *, extended: bool) -> None:
    """Hold what the hub has sent against the AsyncAPI document.

    Raises:
        AssertionError: it tells of no such message.
    """
    suffix = "Extended" if extended else ""
    if frame.get("status") == "error":
        name = f"error{suffix}"
    elif "status" in frame:
        name = f"{word(frame['action'])}Answer{suffix}"
    else:
        name = f"{word(frame['action'])}Push{suffix}"
    _check(_message(name), dict(frame), name)


class Exchanges:
    """The requests and answers of one connection: answers come in the order of the requests.

    Args:
        extended: the connection's mode.
    """

    def __init__(self, *, extended: bool) -> None:
        self._extended = extended
        self._sent: deque[Any] = deque()

    def sent(self, data: str | Mapping[str, Any]) -> None:
        """A message went out, whatever it was."""
        self._sent.append(_parsed(data) if isinstance(data, str) else data)

    def received(self, frame: Mapping[str, Any]) -> None:
        """A message came in."""
        check_frame(frame, extended=self._extended)
        if "status" not in frame:
            return
        request = self._sent.popleft() if self._sent else None
        if frame["status"] == "success" and isinstance(request, Mapping) and request.get("action") == frame["action"]:
            _check(_message(f"{word(frame['action'])}Request", lenient=True), dict(request), "a request")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- REST -------------------------------------------------------------------------------------------------------------


@cache
def _schema(template: str, method: str, place: str, media: str) -> jsonschema_rs.Validator | None:
    """Of a request's body, or of an answer's by its status; None: there is none of this media type."""
    operation = OPENAPI["paths"][template][method]
    told = operation.get("requestBody", {}) if place == "request" else operation["responses"][place]
    schema = told.get("content", {}).get(media, {}).get("schema")
    if schema is None and place > "4" and place != "request":
        schema = OPENAPI["components"]["schemas"]["Error"]  # Sometimes told by its status alone, and sometimes not.
    if schema is None:
        return None
    whole = {**schema, "components": {"schemas": OPENAPI["components"]["schemas"]}}
    return jsonschema_rs.Draft202012Validator(leniently(whole) if place == "request" else whole)


def check_exchange(method: str, path: str, asked: bytes, answer: Any) -> None:
    """Hold a request and its answer against the OpenAPI document, if it is of an operation that there is.

    What answers beside the API (a prefix that is none) has no header for foreign pages.

    Args:
        path: below the REST root, with its query.
        asked: the body.
        answer: its ``status``, ``headers`` and ``body``.

    Raises:
        AssertionError: the document tells of no such answer, or of no such request where it was carried out.
    """
    template, method = _template(method, path), method.lower()
    if template is None or "access-control-allow-origin" not in answer.headers:
        return
    responses = OPENAPI["paths"][template][method]["responses"]
    what = f"the answer {answer.status} to {method.upper()} {template}"
    assert str(answer.status) in responses, f"{what} is in no document"
    if answer.body:
        _check_body(template, method, str(answer.status), answer.headers.get("content-type", ""), answer.body, what)
    if answer.status < 300 and asked.strip():
        _check_body(template, method, "request", "application/json", asked, f"the body of {method.upper()} {template}")


def _check_body(template: str, method: str, place: str, media: str, body: bytes, what: str) -> None:
    media = media.partition(";")[0]
    validator = _schema(template, method, place, media)
    assert place == "request" or validator is not None, f"{what}: the document tells of no {media}"
    if validator is not None and media == "application/json":
        _check(validator, json.loads(body), what)


def _template(method: str, path: str) -> str | None:
    try:
        found = _ROUTES.find(path.partition("?")[0])
    except HubError:
        return None
    route = found.routes.get(method)
    return None if route is None else route.path
