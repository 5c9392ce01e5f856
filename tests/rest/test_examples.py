"""DeviceHive's REST API by examples: each row of the table is asked of a hub that has just its fixture."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import pytest

from hub.app import prepare
from hub.settings import Settings
from hub.store import Tx
from protocol.names import UserStatus
from protocol.times import format_ms
from tests.edge_client import Response
from tests.rest import http
from tests.rest.conftest import Site
from tests.rest.http import FORM, JSON, NOBODY, NOTHING, Who
from tests.waiting import WAIT_S
from tests.websocket.matching import Bound, difference, filled_in
from tests.websocket.world import Secrets, fill, put_key

DATA = Path(__file__).parents[1] / "data"
FIXTURE = json.loads((DATA / "rest-fixture.json").read_text())
ROWS = {
    row["row"]: row for row in map(json.loads, (DATA / "rest-exchanges.jsonl").read_text(encoding="utf-8").splitlines())
}

LATER_S = 0.1
"""How long after the beginning of a poll its cause follows."""

USERS: dict[str, tuple[str, str]] = {
    "ADM": (FIXTURE["admin"]["login"], FIXTURE["admin"]["password"]),
    "U1": ("u1", "pw1"),
    "U2": ("u2", "pw2"),
}
DEVICES = {"DEV": ("dev-1", "k1"), "DEV2": ("dev-2", "k2")}


# --- what a row starts from -------------------------------------------------------------------------------------------


def put(tx: Tx, fixture: dict[str, Any], settings: Settings) -> Secrets:
    """What a first start makes, and the fixture on top of it. The administrator's key is the one of the table."""
    prepare(tx, settings)
    administrator = tx.user_by_login(settings.admin_login)
    assert administrator is not None, "the first start makes it"
    with mock.patch("hub.store.key_entities.new_key", return_value=fixture["admin"]["key"]):
        master = put_key(tx, {"name": "MASTER", "permissions": [{}]}, administrator.id)
    return {"MASTER": master, **fill(tx, fixture)}


def given(tx: Tx, row: dict[str, Any], bound: Bound) -> Secrets:
    """What one row needs beside the fixture."""
    secrets: Secrets = {}
    for [(what, value)] in (entry.items() for entry in filled_in(row.get("given", []), bound)):
        if what == "key":
            secrets[value["name"]] = put_key(tx, value, tx.user_by_login(value["owner"]).id)
        else:
            GIVEN[what](tx, value)
    return secrets


def _put_device(tx: Tx, value: dict[str, Any]) -> None:
    tx.insert_device(class_id=_class(tx), **value)


def _lock(tx: Tx, login: str) -> None:
    tx.update_user(tx.user_by_login(login).id, status=UserStatus.LOCKED_OUT)


def _class(tx: Tx) -> int:
    return tx.device_class("class-1", "1").id


GIVEN: dict[str, Callable[[Tx, Any], None]] = {
    "configuration": lambda tx, row: tx.put_configuration(row["name"], row["value"]),
    "permanent": lambda tx, is_permanent: tx.update_class(_class(tx), is_permanent=is_permanent),
    "locked": _lock,
    "device": _put_device,
}


def ids(tx: Tx) -> Bound:
    """The ids that the table has names for."""
    device_class = tx.device_class("class-1", "1")
    return {
        **{name: tx.user_by_login(name).id for name in ("u1", "u2")},
        "adm": tx.user_by_login(FIXTURE["admin"]["login"]).id,
        "n1": tx.network_by_name("net-1").id,
        "n2": tx.network_by_name("net-2").id,
        "c1": device_class.id,
        "e": device_class.equipment[0].id,
        "k_get": next(key.id for key in tx.keys(None) if key.label == "K-GET"),
    }


def times() -> Bound:
    """The times that the table has names for."""
    now_ms = time.time_ns() // 1_000_000
    return {"hour_ago": format_ms(now_ms - 3_600_000), "hour_ahead": format_ms(now_ms + 3_600_000)}


# --- playing a row ----------------------------------------------------------------------------------------------------


class Stage:
    """One hub, and the values that the steps of a row have remembered."""

    def __init__(self, site: Site, bound: Bound) -> None:
        self._site = site
        self._bound = bound

    async def play(self, step: dict[str, Any]) -> None:
        """One step: ask, and compare the answer; or look into the store."""
        if "attempts" in step:
            for login, number in step["attempts"].items():
                assert (await self._site.hub.store.find_login(login)).login_attempts == number
            return
        began_s = time.monotonic()
        response = await self._beside(step) if "meanwhile" in step else await self._ask(step)
        took_s = time.monotonic() - began_s
        wrong = self._compare(step, response)
        assert wrong is None, f"{step['who']} {step['ask']}: {wrong}"
        assert took_s >= step.get("least_s", 0.0)

    async def _beside(self, step: dict[str, Any]) -> Response:
        """The answer to a poll, whose cause is repeated in case that it came before the poll was under way."""
        poll = asyncio.create_task(self._ask(step))
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.sleep(LATER_S)
                while not poll.done():
                    for cause in step["meanwhile"]:
                        await self.play(cause)
                    await asyncio.wait({poll}, timeout=1)
            return await poll
        finally:
            poll.cancel()

    async def _ask(self, step: dict[str, Any]) -> Response:
        method, path = self._named(step["ask"]).split(" ")
        body: Any = NOTHING
        if "raw" in step:
            body = step["raw"].encode()
        elif "send" in step:
            body = filled_in(step["send"], self._bound)
        elif "form" in step:
            body = urlencode(filled_in(step["form"], self._bound)).encode()
        headers = tuple(step.get("with", {}).items())
        client = self._site.client(self._who(step["who"]))
        media = step.get("media", FORM if "form" in step else JSON)
        return await client.ask(method, path, body, headers=headers, media=media)

    def _who(self, name: str | None) -> Who:
        if name is None:
            return NOBODY
        if name in USERS or ":" in name:
            return http.user(*(USERS.get(name) or self._named(name).split(":")))
        if name in DEVICES or "/" in name:
            return http.device(*(DEVICES.get(name) or name.split("/")))
        return http.key(self._site.secrets.get(name) or self._bound.get(name) or name)

    def _compare(self, step: dict[str, Any], response: Response) -> str | None:
        """Status, body and headers; None when all are as expected."""
        if response.status != step["status"]:
            return f"expected {step['status']}, got {response}"
        wrong = None
        if "json" in step:
            wrong = difference(step["json"], response.json(), self._bound)
        elif "err" in step:
            error = {"error": step["status"], "message": self._named(step["err"])}
            wrong = difference(error, response.json(), self._bound)
        elif "body" in step or step["status"] == 204:
            wrong = difference(step.get("body", ""), response.body.decode(), self._bound)
        told = {name: response.headers.get(name) for name in step.get("headers", {})}
        return wrong or difference(step.get("headers", {}), told, self._bound)

    def _named(self, text: str) -> str:
        """A text with the remembered values in it."""
        return text.format_map(self._bound)


@pytest.fixture
def settings() -> dict[str, Any]:
    admin = FIXTURE["admin"]
    return {"compat": "devicehive", "admin_login": admin["login"], "admin_password": admin["password"]}


@pytest.mark.parametrize("number", ROWS)
async def test_the_examples_hold(start_site, settings, number):
    """Every answer has the status, the body and the headers that DeviceHive's clients know."""
    row, bound = ROWS[number], times()
    site = await start_site(FIXTURE, put, then=lambda tx: given(tx, row, {**bound, **ids(tx)}), **settings)
    stage = Stage(site, {**bound, **await site.hub.store.consult(ids)})

    for step in row["steps"]:
        await stage.play(step)


def test_all_examples_are_there():
    """205 rows, none lost on the way into the data, and none twice."""
    lines = (DATA / "rest-exchanges.jsonl").read_text().splitlines()

    assert [json.loads(line)["row"] for line in lines] == list(range(1, 206))
