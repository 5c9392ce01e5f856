"""No row of one tenant reaches another over REST, whatever is asked for, by whomever; and nothing is changed by those
who may not."""

import asyncio
from typing import Any

import pytest

from hub.rest.api import ROUTES
from hub.store import LogQuery
from protocol.names import Kind
from tests.edge_client import Response
from tests.rest import http
from tests.rest.conftest import Site
from tests.rest.http import NOBODY, NOTHING, Client
from tests.rest.tenants import MARKS, ROWS_OF, UNTRIED, Attempt, Messages, attempts, may_call, reads, site_world
from tests.waiting import WAIT_S
from tests.websocket.tenants import EVERYBODY, NETWORKS, Who

everybody = pytest.mark.parametrize("who", EVERYBODY, ids=str)

QUIET = {"rest_requests_per_s": 0.0}


def client_of(site: Site, who: Who) -> Client:
    """Whoever it is; the credentials of those who have expired as well."""
    origin = (("Origin", who.origin),) if who.origin else ()
    if who.kind == "device":
        return site.client(http.device(who.guid, f"{who.guid}-key"))
    if who.kind in ("admin", "client"):
        return site.client(http.user(who.login, f"{who.login}-pw"))
    return site.client((*http.key(site.secrets[who.name]), *origin) if who.kind == "key" else NOBODY)


async def publish(publisher: Client, name: str) -> Messages:
    """A command on every device, and a notification on those that take one."""
    commands, notifications = {}, {}
    for guid, network in NETWORKS.items():
        made = await publisher.post(f"/device/{guid}/command", {"command": name})
        commands[guid] = made.json()["id"]
        if network is not None:
            parameters = {"equipment": "e", "of": guid}
            body = {"notification": name, "parameters": parameters}
            notifications[guid] = (await publisher.post(f"/device/{guid}/notification", body)).json()["id"]
    return Messages(commands, notifications)


def status_of(operation: str, status: int, who: Who) -> int:
    return status if may_call(who, operation) else 401


# --- reading ----------------------------------------------------------------------------------------------------------


@everybody
async def test_a_read_shows_what_its_caller_may_see_and_nothing_else(start_site, who):
    """Every reading operation × own, foreign, both, all, none, unknown: exactly the visible rows are there."""
    site = await start_site(site_world(who), **QUIET)
    messages = await publish(site.by_key("publisher"), "equipment")

    async with client_of(site, who).kept() as client:
        for read in reads(who, messages):
            response = await client.get(read.path)

            assert response.status == status_of(read.operation, read.status, who), (read, response)
            if response.status == 200:
                assert tuple(shown(read.operation, response)) == read.rows, (read, response)
            assert not told(who, read.path, response), (read, response)


def shown(operation: str, response: Response) -> list[str]:
    return ROWS_OF[operation](response.json()) if response.body else []


def told(who: Who, path: str, response: Response) -> list[str]:
    """What of the other tenant stands in an answer, other than what the question or the caller's own key named."""
    body = response.body.decode()
    if "/accesskey" in path or "/access/explain" in path:
        return []  # They show what a key itself names.
    return [mark for mark in MARKS.get(who.login, ()) if mark in body and mark.strip('"') not in path]


def test_no_reading_operation_goes_unasked():
    """Whoever adds a route says here what it may show."""
    messages = Messages(dict.fromkeys(NETWORKS, 1), {"own": 1})
    asked = {read.operation for read in reads(EVERYBODY[0], messages)}

    assert asked == {route.operation.value for route in ROUTES if route.method == "GET"} - UNTRIED
    assert asked <= ROWS_OF.keys()


# --- changing ---------------------------------------------------------------------------------------------------------


@everybody
async def test_a_change_is_made_only_where_its_caller_may(start_site, who):
    """Every changing operation × own, foreign, unknown: what is refused leaves no trace, what is allowed is done."""
    site = await start_site(site_world(who), **QUIET)
    messages = await publish(site.by_key("publisher"), "equipment")
    tried = list(attempts(who, messages))
    without_effect = [attempt for attempt in tried if not (may_call(who, attempt.operation) and attempt.changes)]
    before = await state(site)

    async with client_of(site, who).kept() as client:
        for attempt in without_effect:
            await make(client, attempt, who)
        assert await state(site) == before

        for attempt in tried:
            if attempt not in without_effect:
                before = await state(site)
                await make(client, attempt, who)
                assert await state(site) != before, attempt


async def make(client: Client, attempt: Attempt, who: Who) -> None:
    body = NOTHING if attempt.body is None else attempt.body
    response = await client.ask(attempt.method, attempt.path, body)

    assert response.status == status_of(attempt.operation, attempt.status, who), (attempt, response)
    assert not told(who, attempt.path, response), (attempt, response)


async def state(site: Site) -> Any:
    """Everything in the store that an operation could change; not when somebody was here last."""

    def work(tx: Any) -> Any:
        devices = tx.devices()
        return (
            [(user.login, user.role, user.status, user.networks, user.data) for user in tx.users()],
            tx.networks(),
            devices,
            [tx.equipment_states(device.id) for device in devices],
            tx.device_classes(),
            tx.keys(None),
            tx.configuration(),
        )

    log = [(await site.hub.store.read(LogQuery(kind))).messages for kind in Kind]
    return await site.hub.store.transact(work), log


def test_no_changing_operation_goes_untried():
    """Whoever adds a route says here what it may change."""
    tried = {attempt.operation for attempt in attempts(EVERYBODY[0], Messages(dict.fromkeys(NETWORKS, 1), {}))}

    assert tried == {route.operation.value for route in ROUTES if route.method != "GET"} - UNTRIED


# --- waiting ----------------------------------------------------------------------------------------------------------

KINDS = {"command": "GetDeviceCommand", "notification": "GetDeviceNotification"}
NAMED = {"all": "", "mixed": "&deviceGuids=own,foreign"}


async def test_a_poll_that_waits_is_answered_by_what_its_caller_may_see(start_site):
    """All of them wait at once, and messages of both tenants come until all are answered."""
    site = await start_site(site_world(*EVERYBODY), **QUIET)
    publisher = site.by_key("publisher")
    asked = [(who, kind, named) for who in EVERYBODY for kind in KINDS for named in NAMED]
    polls = [asyncio.create_task(poll(site, *one)) for one in asked]

    async with asyncio.timeout(WAIT_S):
        while not all(task.done() for task in polls):
            await publish(publisher, "equipment")
            await asyncio.sleep(0.05)

    for (who, kind, named), task in zip(asked, polls, strict=True):
        response = task.result()
        assert response.status == status_of(f"poll{kind.capitalize()}sOfMany", 200, who), (who, response)
        if response.status == 200:
            found = {one["deviceGuid"] for one in response.json()}
            assert found <= visible(who, kind, named), (who, kind, named, response)
            assert bool(found) == bool(visible(who, kind, named)), (who, kind, named, response)


async def poll(site: Site, who: Who, kind: str, named: str) -> Response:
    """A poll of whoever sees something waits for it; of whoever sees nothing, a second."""
    wait_s = int(WAIT_S) if visible(who, kind, named) else 1
    return await client_of(site, who).get(f"/device/{kind}/poll?waitTimeout={wait_s}{NAMED[named]}")


def visible(who: Who, kind: str, named: str) -> set[str]:
    guids = ["own", "foreign"] if named == "mixed" else list(NETWORKS)
    networked = [guid for guid in guids if kind == "command" or NETWORKS[guid] is not None]
    return {guid for guid in networked if who.reaches(guid, KINDS[kind])}


async def test_a_poll_of_one_device_that_is_not_seen_hears_nothing(start_site):
    """It waits like that of a device to which nothing happens."""
    site = await start_site(site_world(), **QUIET)
    alice = site.by_login("alice")
    paths = [f"/device/{guid}/{kind}/poll?waitTimeout=1" for guid in ("foreign", "loose", "nobody") for kind in KINDS]
    polls = [asyncio.create_task(alice.get(path)) for path in paths[:4]]

    while not all(task.done() for task in polls):
        await publish(site.by_key("publisher"), "equipment")
        await asyncio.sleep(0.05)

    assert [(task.result().status, task.result().json()) for task in polls] == [(200, [])] * len(polls)
