"""The OpenAPI 3.1 document, made of the routes, forms and views that carry requests out: it cannot be out of date."""

from collections.abc import Iterable, Mapping
from typing import Any

from hub.core.access import RULES, Rule
from hub.rest.callers import CHALLENGES
from hub.rest.replies import EVENT_STREAM
from hub.rest.route import Media, Route
from protocol.errors import (
    BAD_PARAMETER,
    FOREIGN_ORIGIN,
    INTERNAL,
    NOT_AUTHENTICATED,
    NOT_FOUND,
    STORAGE,
    TOO_LARGE,
    TOO_MANY,
    WRONG_METHOD,
    WRONG_TYPE,
    HubError,
    Problem,
)
from protocol.forms import Entry, Place, entries
from protocol.names import Role
from protocol.version import __version__
from protocol.views import View

Document = dict[str, Any]

ERROR: Document = {
    "type": "object",
    "properties": {
        "error": {"type": ["integer", "null"], "description": "the status again; null where a body could not be read"},
        "message": {"type": ["string", "null"]},
        "reason": {"type": "string", "description": "stable; with Hub-Version: 1"},
        "detail": {"type": "object", "description": "what refused, by name; with Hub-Version: 1"},
        "retryAfter": {"type": "number", "description": "seconds, where waiting helps; with Hub-Version: 1"},
    },
    "required": ["error", "message"],
    "additionalProperties": False,
}

SECURITY: Document = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "login and password of a user, or an OAuth client",
    },
    "key": {"type": "http", "scheme": "bearer", "description": "an access key"},
    "deviceId": {"type": "apiKey", "in": "header", "name": "Auth-DeviceID", "description": "a device's guid"},
    "deviceKey": {"type": "apiKey", "in": "header", "name": "Auth-DeviceKey", "description": "and its key"},
}

_ALWAYS = (BAD_PARAMETER, NOT_AUTHENTICATED, TOO_LARGE, WRONG_TYPE, TOO_MANY, INTERNAL, STORAGE)
EVENTS_TOLD = (
    "Events without end. Each message is one, with its id and, as data, the JSON that is described as `x-data`. The "
    "first event says where the stream begins (`position`, and when it resumes `recovered`, `missed`), and a last one, "
    "`connection/closing`, why it ends. A line that begins with a colon says that the hub is there. To go on, ask "
    "again with the last id in `Last-Event-ID`."
)
_ABOUT = (
    "The REST API of DeviceHive 2.0. REST and WebSockets carry out the same actions with the same rights. Times are "
    "UTC, `yyyy-MM-ddTHH:mm:ss.SSS`, without a zone. Absent values are written as null; in a body, what is absent "
    "stays as it is. What stands under `x-also` are types that are taken besides, as old clients send them; "
    "`x-any-case` says that capital and small letters are the same. `Hub-Version: 1` asks for what the hub adds. A "
    "client that can send nothing else asks for `PUT`, `DELETE` or `HEAD` by a `POST` with `X-HTTP-Method-Override`."
)

VERSION: Document = {
    "name": "Hub-Version",
    "in": "header",
    "description": "1 adds `reason`, `detail` and `retryAfter` to errors, and `state` to commands",
    "schema": {"type": "string", "enum": ["1"]},
}
"""A header of every request."""

_CHALLENGE: Document = {"WWW-Authenticate": {"schema": {"type": "string", "enum": [*CHALLENGES]}}}
_WAIT: Document = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}}
HEADERS_TOLD: dict[int, Document] = {401: _CHALLENGE, 429: _WAIT, 503: _WAIT}
"""Headers of a refusal that say what to do about it, by its status. None of them is always there."""


def make_document(routes: Iterable[Route], *, servers: Iterable[str], as_devicehive: bool) -> Document:
    """The document for these routes.

    Args:
        servers: where the REST root is, as URLs or paths.
        as_devicehive: whether routes of ``HUB_COMPAT=devicehive`` are there.
    """
    paths: dict[str, Document] = {}
    components: dict[str, Any] = {"Error": ERROR}
    for route in routes:
        if as_devicehive or not route.only_devicehive:
            operation = without_views(_operation(route), components)
            paths.setdefault(route.path, {"parameters": [VERSION]})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hub", "version": __version__, "description": _ABOUT},
        "servers": [{"url": server} for server in servers],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
    }


def _operation(route: Route) -> Document:
    operation: Document = {
        "operationId": operation_id(route),
        "tags": [_tag(route.path)],
        "summary": route.summary,
        "description": who_may(RULES[route.operation]),
        "security": _security(route),
        "responses": _responses(route),
    }
    if parameters := [_parameter(entry) for entry in entries(route.form) if entry.place is not Place.BODY]:
        operation["parameters"] = parameters
    if body := _body(route):
        operation["requestBody"] = body
    return operation


def operation_id(route: Route) -> str:
    """An action's name as one word: ``notification/insert`` is ``notificationInsert``."""
    first, *rest = route.operation.value.split("/")
    return first + "".join(part.capitalize() for part in rest)


def _tag(path: str) -> str:
    """What the path is about: ``device`` falls apart into what can be done with one."""
    if path == "/openapi.json":
        return "info"
    named = [segment for segment in path.strip("/").split("/") if not segment.startswith("{")]
    about = [segment for segment in named if segment not in ("poll", "stream", "current", "set")]
    return " ".join(about[:2]) if about[0] in ("device", "user") else about[0]


def who_may(rule: Rule) -> str:
    """A sentence for the document."""
    if rule.roles is None and rule.key_action is None:
        return "Everybody."
    who = [
        text
        for role, text in (
            (Role.ADMIN, "administrators"),
            (Role.CLIENT, "users"),
            (Role.KEY, f"access keys with {rule.key_action.value}" if rule.key_action else "access keys"),
            (Role.DEVICE, "devices"),
            (Role.ANONYMOUS, "anybody else"),
        )
        if rule.roles is None or role in rule.roles
    ]
    return f"For {', '.join(who)}."


def _security(route: Route) -> list[Document]:
    roles = RULES[route.operation].roles
    ways: list[Document] = []
    if roles is None:
        ways.append({})
    if roles is None or roles & {Role.ADMIN, Role.CLIENT}:
        ways.append({"basic": []})
    if roles is None or Role.KEY in roles:
        ways.append({"key": []})
    if roles is None or Role.DEVICE in roles:
        ways.append({"deviceId": [], "deviceKey": []})
    return ways


def _parameter(entry: Entry) -> Document:
    parameter: Document = {"name": entry.name, "in": entry.place.value, "schema": _plain(entry)}
    if entry.place is Place.PATH:
        parameter["required"] = True
    elif entry.place is Place.QUERY and _may_be_empty(entry):
        parameter["allowEmptyValue"] = True
    return parameter


def _may_be_empty(entry: Entry) -> bool:
    """Whether an empty text is taken that the schema has no place for."""
    if entry.type.schema.get("type") == "string" and "enum" not in entry.type.schema:
        return False
    try:
        entry.type.convert("", entry.name)
    except HubError:
        return False
    return True


def _plain(entry: Entry) -> Document:
    """The schema of a text in a path, query or header: there is no null, and no other type that counts as it."""
    schema = {key: value for key, value in entry.type.schema.items() if key != "x-also"}
    if isinstance(schema.get("type"), list):
        schema["type"] = next(name for name in schema["type"] if name != "null")
    return schema


def _body(route: Route) -> Document | None:
    if route.media is Media.TEXT:
        return {"content": {"text/plain": {"schema": {"type": "string"}}}}
    members = [entry for entry in entries(route.form) if entry.place is Place.BODY]
    if not members:
        return None
    schema: Document = {"type": "object", "properties": {entry.name: dict(entry.type.schema) for entry in members}}
    if required := [entry.name for entry in members if entry.required]:
        schema["required"] = required
    return {"required": route.form.needs_body, "content": {route.media.value: {"schema": schema}}}


def _responses(route: Route) -> Document:
    problems = _refusals(route)
    silent = {problem.code for problem in route.silent}
    responses: Document = {
        str(status): {"description": text, **_headers(status), **({} if status in silent else _error_content())}
        for status, text in _texts(problems).items()
    }
    responses["431"] = {"description": "More or longer headers than there may be", **_error_content()}
    responses[str(route.status)] = _success(route)
    if route.empty_when_none:
        responses.setdefault(str(route.empty_when_none), {"description": "Nothing"})
    return dict(sorted(responses.items()))


def _success(route: Route) -> Document:
    if route.answers_text:
        return {"description": "The bare text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    if route.answer is None:
        return {"description": "Done"}
    if route.streams:
        return {
            "description": EVENTS_TOLD,
            "content": {EVENT_STREAM: {"schema": {"type": "string"}, "x-data": route.answer}},
        }
    return {"description": "Done", "content": {"application/json": {"schema": route.answer}}}


def _headers(status: int) -> Document:
    return {"headers": HEADERS_TOLD[status]} if status in HEADERS_TOLD else {}


def _error_content() -> Document:
    return {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _refusals(route: Route) -> list[Problem]:
    problems: list[Problem] = [*_ALWAYS, *route.refusals]
    found = entries(route.form)
    if route.changes:
        problems.append(FOREIGN_ORIGIN)
    problems += [NOT_FOUND, WRONG_METHOD] if any(entry.place is Place.PATH for entry in found) else []
    if any(entry.place is Place.QUERY and entry.type.is_number for entry in found):
        problems.append(NOT_FOUND)
    return problems


def _texts(problems: Iterable[Problem]) -> dict[int, str]:
    told: dict[int, list[str]] = {}
    for problem in problems:
        texts = told.setdefault(problem.code, [])
        if problem.text not in texts:
            texts.append(problem.text)
    return {status: "; ".join(texts) for status, texts in told.items()}


def without_views(value: Any, components: dict[str, Any]) -> Any:
    """The same with each view that is referred to put among the components."""
    if isinstance(value, Mapping):
        view = value.get("x-view")
        if isinstance(view, View) and view.name not in components:
            components[view.name] = {}
            components[view.name] = without_views(view.schema, components)
        return {key: without_views(one, components) for key, one in value.items() if key != "x-view"}
    if isinstance(value, list | tuple):
        return [without_views(one, components) for one in value]
    return value
