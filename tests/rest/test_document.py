"""The OpenAPI document and the API agree: whatever is sent, the answer is one that the document tells of (T62)."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import hub.passwords
from hub.app import Hub
from hub.core.access import RULES
from hub.rest.api import ROUTES
from hub.rest.openapi import make_document, operation_id
from hub.store import Tx
from protocol.forms import entries
from protocol.names import Action, Operation
from tests.rest.conftest import CHEAP, WORLD
from tests.waiting import WAIT_S
from tests.websocket.conftest import opened, settings_for
from tests.websocket.world import fill

DOCUMENT = make_document(ROUTES, servers=["/rest"], as_devicehive=False)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ROLES = ("administrator", "client", "key", "device", "nobody", "application")
ONLY_SOCKETS = {
    Action.SERVER_INFO,
    Action.AUTHENTICATE,
    Action.DEVICE_GET,
    Action.COMMAND_SUBSCRIBE,
    Action.COMMAND_UNSUBSCRIBE,
    Action.NOTIFICATION_SUBSCRIBE,
    Action.NOTIFICATION_UNSUBSCRIBE,
    Action.COMMAND_GET,
    Action.COMMAND_WATCH,
    Action.COMMAND_RECEIVE,
    Action.COMMAND_CANCEL,
}
"""Actions that REST has operations of its own for, or that make no sense without a connection."""

TEXT_BODY = {("body", "text")}
"""The whole body is that text, and no member of it."""


class Running:
    """A hub in a thread of its own: what asks it here does not run in an event loop."""

    def __init__(self, directory: Any) -> None:
        self.secrets: dict[str, str] = {}
        self._settings = settings_for(directory, rest_requests_per_s=0.0, poll_wait_s=0, poll_wait_most_s=1)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),))

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(3 * WAIT_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(3 * WAIT_S)

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with opened(self._settings) as store:
            self.secrets = await store.transact(_fill)
        running = Hub(self._settings)
        await running.start()
        self.url = f"http://127.0.0.1:{running.port}/rest"
        self._ready.set()
        await self._over.wait()
        await running.stop()

    def headers(self, role: str) -> dict[str, str]:
        return {
            "administrator": _basic("admin"),
            "client": _basic("alice"),
            "key": {"Authorization": f"Bearer {self.secrets.get('everything')}"},
            "device": {"Auth-DeviceID": "lamp", "Auth-DeviceKey": "lamp-key"},
            "nobody": {},
            "application": _basic("app", self.secrets.get("app")),
        }[role]


def _fill(tx: Tx) -> dict[str, str]:
    """The world, and an OAuth client in it."""
    app = tx.oauth.insert_client(name="App", domain="app.com", redirect_uri="https://app.com/cb", oauth_id="app")
    return {**fill(tx, WORLD), "app": app.secret}


def _basic(login: str, password: str | None = None) -> dict[str, str]:
    pair = f"{login}:{password or f'{login}-pw'}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """A hub for each role: what an administrator deletes is there for the others."""
    patch = pytest.MonkeyPatch()
    patch.setattr(hub.passwords, "_hasher", CHEAP)
    hubs = {role: Running(tmp_path_factory.mktemp(role)) for role in ROLES}
    for one in hubs.values():
        one.start()
    yield hubs
    for one in hubs.values():
        one.stop()
    patch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@SCHEMA.exclude(operation_id_regex="^stream").parametrize()  # They have no end; see test_streams.py.
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_tells_of(case, role, running):
    """No 5xx, no status, type or member that is not documented, whoever asks and whatever is sent."""
    hub = running[role]
    if str((case.query or {}).get("waitTimeout")) == "1":
        case.query["waitTimeout"] = "0"  # Whatever is longer is refused here, and nothing comes while it waits.

    response = case.call(base_url=hub.url, headers=hub.headers(role))

    case.validate_response(response, checks=CHECKS)


def test_every_route_is_in_the_document():
    """Under its path and method, by its name; and every operation that there is has a route."""
    documented = {
        (path, method.upper(), operation["operationId"])
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    routed = {(route.path, route.method, operation_id(route)) for route in ROUTES if not route.only_devicehive}

    assert documented == routed
    has_route = {route.operation for route in ROUTES}
    assert set(Operation) - has_route == {Operation.GET_OPENAPI}, "the application adds that one itself"
    assert set(RULES) - has_route - {Operation.GET_OPENAPI} == ONLY_SOCKETS


@pytest.mark.parametrize("route", ROUTES, ids=operation_id)
def test_every_member_of_a_form_is_in_the_document(route):
    """What a request may hold in its path, query, headers and body."""
    if route.only_devicehive:
        return
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    told = {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        told |= {("body", name) for name in content["schema"].get("properties", {})}

    assert told == {(entry.place.value, entry.name) for entry in entries(route.form)} - TEXT_BODY


def test_no_two_operations_share_a_name():
    """Programs that are generated from the document make a function of each."""
    names = [operation_id(route) for route in ROUTES]

    assert len(names) == len(set(names))
