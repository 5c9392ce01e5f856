"""Documents that cannot lie: what tests send and receive is held against the AsyncAPI and the OpenAPI document.

What comes from the hub must match to the last member. What a test sends must match when the hub has accepted it; types
that the documents name under ``x-also`` count then. Schemas are compiled once each.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs

from hub.rest.api import ROUTES
from hub.rest.application import OVERRIDES
from hub.rest.openapi import make_document as make_openapi
from hub.rest.routes import Routes
from hub.web.asyncapi import make_document as make_asyncapi
from hub.web.asyncapi import word
from protocol.errors import HubError
from protocol.values import INTEGER_TEXT

ASYNCAPI = make_asyncapi(host="localhost", secure=False, path="/websocket")
OPENAPI = make_openapi(ROUTES, servers=["/rest"], as_devicehive=True)
_ROUTES = Routes(ROUTES)
HEADERS_THAT_TELL = {"www-authenticate", "retry-after", "allow", "location", "set-cookie", "link", "etag"}
"""Headers of an answer that tell clients more than HTTP does by itself."""


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


def check_exchange(method: str, path: str, headers: Iterable[tuple[str, Any]], asked: bytes, answer: Any) -> None:
    """Hold a request and its answer against the OpenAPI document, if it is of an operation that there is.

    Of a request that was carried out, everything counts: who asks and how (``security``), each value in its path and
    query and in those of its headers that the hub reads, and its body. What answers beside the API (a prefix that is
    none) has no header for foreign pages.

    Args:
        path: below the REST root, with its query.
        headers: as they were sent.
        asked: the body.
        answer: its ``status``, ``headers`` and ``body``.

    Raises:
        AssertionError: the document tells of no such answer, or of no such request where it was carried out.
    """
    sent_headers = _by_name(headers)
    method = carried_out(method, sent_headers)
    route, method = _find(method, path), method.lower()
    if route is None or "access-control-allow-origin" not in answer.headers:
        return
    template, values = route
    operation = OPENAPI["paths"][template][method]
    what = f"the answer {answer.status} to {method.upper()} {template}"
    assert str(answer.status) in operation["responses"], f"{what} is in no document"
    _check_answered(operation["responses"][str(answer.status)].get("headers", {}), answer.headers, what)
    if answer.body:
        _check_body(template, method, str(answer.status), answer.headers.get("content-type", ""), answer.body, what)
    if answer.status >= 300:
        return
    sent = Sent(values, _first(parse_qsl(path.partition("?")[2], keep_blank_values=True)), sent_headers)
    what = f"{method.upper()} {template}"
    _check_sent([*OPENAPI["paths"][template]["parameters"], *operation.get("parameters", [])], sent, what)
    _check_security(operation["security"], sent.headers, what)
    if asked.strip():
        _check_body(template, method, "request", sent.headers.get("content-type", ""), asked, f"the body of {what}")


@dataclass(frozen=True)
class Sent:
    """What a request holds beside its body, by name; names of headers in lower case."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def at(self, parameter: Mapping[str, Any]) -> str | None:
        """The text of a parameter; None: it was not sent."""
        name = parameter["name"]
        if parameter["in"] == "header":
            return self.headers.get(name.lower())
        return (self.path if parameter["in"] == "path" else self.query).get(name)


def carried_out(method: str, headers: Mapping[str, str]) -> str:
    """The method of the operation that a request asks for."""
    override = headers.get("x-http-method-override", "").upper()
    method = override if method == "POST" and override in OVERRIDES else method
    return "GET" if method == "HEAD" else method


def _first(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of several with one name, the first counts."""
    return dict(reversed(list(pairs)))


def _by_name(headers: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return _first(
        (name.lower(), value.decode("latin-1") if isinstance(value, bytes) else value) for name, value in headers
    )


def _check_sent(parameters: list[Any], sent: Sent, what: str) -> None:
    queried = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    assert not (more := sent.query.keys() - queried), f"{what} has a query that no document tells of: {more}"
    for parameter in parameters:
        text = sent.at(parameter)
        assert text is not None or not parameter.get("required"), f"{what} misses {parameter['name']}"
        if text is not None and not (text == "" and parameter.get("allowEmptyValue")):
            _check(_value(json.dumps(parameter["schema"])), _read(text, parameter["schema"]), f"{what}, {parameter}")


def _check_answered(told: Mapping[str, Any], headers: Mapping[str, str], what: str) -> None:
    known = {name.lower(): header["schema"] for name, header in told.items()}
    for name in HEADERS_THAT_TELL & headers.keys():
        assert name in known, f"{what} has a header that no document tells of: {name}"
        _check(_value(json.dumps(known[name])), _read(headers[name], known[name]), f"{what}, {name}")


def _check_security(ways: list[Mapping[str, Any]], headers: Mapping[str, str], what: str) -> None:
    scheme = headers.get("authorization", "").partition(" ")[0].lower()
    has = {"basic": scheme == "basic", "key": scheme == "bearer"}
    has |= {"deviceId": "auth-deviceid" in headers, "deviceKey": "auth-devicekey" in headers}
    assert any(all(has[name] for name in way) for way in ways), f"{what} is open to {ways} only"


@cache
def _value(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema))


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of a text: texts have no types of their own."""
    if schema.get("type") == "integer" and INTEGER_TEXT.fullmatch(text):
        return int(text)
    if schema.get("x-any-case"):
        return next((one for one in schema["enum"] if one.lower() == text.lower()), text)
    return text


def _check_body(template: str, method: str, place: str, media: str, body: bytes, what: str) -> None:
    media = media.partition(";")[0].strip().lower()
    validator = _schema(template, method, place, media)
    if validator is None:
        told = OPENAPI["paths"][template][method].get("requestBody", {}).get("content", {"text/plain": None})
        # A body that nobody reads may be anything, and so may one that is taken as it is.
        assert place == "request", f"{what}: the document tells of no {media}"
        assert "text/plain" in told, f"{what}: the document tells of no {media}"
    elif media in READ:
        _check(validator, READ[media](body), what)


READ = {
    "application/json": json.loads,
    "application/x-www-form-urlencoded": lambda body: dict(parse_qsl(body.decode())),
}
"""Bodies that have members, by their media types."""


def _find(method: str, path: str) -> tuple[str, Mapping[str, str]] | None:
    try:
        found = _ROUTES.find(path.partition("?")[0])
    except HubError:
        return None
    route = found.routes.get(method)
    return None if route is None else (route.path, found.values)
