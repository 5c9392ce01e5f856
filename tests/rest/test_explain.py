"""Explained rights over REST, for everybody and every operation; and who may ask about whom."""

from typing import Any

import pytest

from tests.rest.conftest import Site
from tests.rest.http import Client
from tests.rest.tenants import GUIDS, site_world
from tests.rest.tenants import may_call as may_call_operation
from tests.rest.test_rules import ROWS, Row
from tests.rest.test_tenancy import client_of
from tests.websocket.tenants import EVERYBODY, Who

QUIET = {"rest_requests_per_s": 0.0}


def asked(row: Row) -> list[dict[str, Any]]:
    """What an operation may be asked about."""
    if row.path.startswith("/device/{}"):
        return [{"deviceGuid": guid} for guid in GUIDS]
    return [{"networkId": number} for number in (1, 2)] if row.path.startswith("/network/{}") else [{}]


def is_allowed(who: Who, row: Row, members: dict[str, Any]) -> bool:
    """As the specification has it: role and key let it through, and the device or the network is within reach."""
    if not may_call_operation(who, row.operation):
        return False
    if row.key_action is None or not members:
        return True
    if "deviceGuid" in members:
        return who.reaches(members["deviceGuid"], row.key_action.value)
    return members["networkId"] in who.networks(row.key_action.value)


async def explained(client: Client, action: str, **members: Any) -> tuple[int, Any]:
    query = "&".join(f"{name}={value}" for name, value in {"actionName": action, **members}.items())
    response = await client.get(f"/access/explain?{query}")
    return response.status, response.json()


@pytest.mark.parametrize("who", [who for who in EVERYBODY if not who.expired], ids=str)
async def test_every_operation_is_explained_as_it_is_enforced(start_site, who):
    """Every operation × device or network: what the tenants' matrix refuses has a reason here, and what it lets through
    has its way."""
    site = await start_site(site_world(who), **QUIET)

    async with client_of(site, who).kept() as client:
        for row in ROWS:
            for members in asked(row):
                status, told = await explained(client, row.operation, **members)
                assert status == 200
                assert told["allowed"] == is_allowed(who, row, members), (who, row, members, told)
                assert told["because"], (who, row, members)
                refuses = any("condition" in link for link in told["because"])
                assert refuses != told["allowed"], (who, row, members, told)


# --- who may ask about whom -------------------------------------------------------------------------------------------


async def test_an_administrator_asks_about_any_key_and_user(site: Site):
    """From an address and a page, where a key asks for them."""
    admin, key = site.admin, site.by_key("everything")

    for one in (admin, key):
        assert (await explained(one, "GetDevice", accessKeyId=3, deviceGuid="door"))[1] == {
            "allowed": False,
            "because": [{"key": 3, "permission": 0, "condition": "deviceGuids", "has": ["lamp"]}],
        }
        assert (await explained(one, "GetDevice", userId=3, deviceGuid="oven"))[1] == {
            "allowed": True,
            "because": [{"role": "client"}, {"user": 3, "network": 2}],
        }
    assert (await explained(admin, "GetDevice", accessKeyId=99))[0] == 404
    assert (await explained(admin, "GetDevice", userId=99))[0] == 404


async def test_where_a_key_comes_from_can_be_said(start_site):
    """What is not said is not known."""
    world = site_world(Who("narrow", "key", "alice", permissions=[{"subnets": ["10.0.0.0/8"], "domains": ["x.org"]}]))
    site = await start_site(world, **QUIET)

    async def condition(**members: Any) -> str | None:
        told = (await explained(site.admin, "GetDevice", accessKeyId=2, deviceGuid="own", **members))[1]
        return next((link["condition"] for link in told["because"] if "condition" in link), None)

    assert await condition() == "subnets"
    assert await condition(address="10.1.1.1", origin="https://y.org") == "domains"
    assert await condition(address="10.1.1.1") is None
    assert (await explained(site.admin, "GetDevice", accessKeyId=2, address="nowhere"))[0] == 400


async def test_everybody_asks_about_themselves_only(site: Site):
    """About the own keys, too; those of others are as good as absent."""
    alice, narrow = site.by_login("alice"), site.by_key("lamp-only")

    assert (await explained(alice, "GetDevice", accessKeyId=2))[0] == 200
    assert (await explained(alice, "GetDevice", accessKeyId=1))[0] == 404
    assert (await explained(alice, "GetDevice", accessKeyId=99))[0] == 404
    assert (await explained(alice, "GetDevice", userId=2))[0] == 200
    assert (await explained(alice, "GetDevice", userId=3))[0] == 401
    assert (await explained(narrow, "GetDevice", accessKeyId=3))[0] == 200
    assert (await explained(site.by_device("lamp"), "GetDevice", accessKeyId=1))[0] == 401
    assert (await explained(site.by_device("lamp"), "GetDevice", userId=1))[0] == 401
    assert (await explained(site.nobody, "GetDevice", userId=1))[0] == 401


async def test_a_key_asks_about_others_with_the_right_to_manage_them(start_site):
    """Without it, an administrator's key asks about itself only: not about its owner either, who may do more."""
    given = [{"actions": ["GetDevice"]}]
    site = await start_site(site_world(Who("narrow", "key", "admin", permissions=given)), **QUIET)
    narrow = site.by_key("narrow")

    assert (await explained(narrow, "GetDevice", accessKeyId=1))[0] == 401
    assert (await explained(narrow, "GetDevice", accessKeyId=2))[0] == 200
    assert (await explained(narrow, "GetDevice", userId=2))[0] == 401
    assert (await explained(narrow, "GetDevice", userId=1))[0] == 401


async def test_a_key_does_not_learn_where_else_its_owner_is(start_site):
    """Unless it may see its owner anyway."""
    given = [{"actions": ["GetDevice"], "networkIds": [1]}]
    site = await start_site(site_world(Who("narrow", "key", "alice", permissions=given)), **QUIET)
    narrow, alice = site.by_key("narrow"), (await site.by_login("alice").get("/user/current")).json()["id"]

    assert (await explained(narrow, "GetDevice", userId=alice, networkId=2))[0] == 401
    assert (await explained(site.by_login("alice"), "GetDevice", userId=alice, networkId=2))[0] == 200
    told = [(await explained(narrow, "GetDevice", networkId=number))[1]["because"] for number in (2, 99)]
    assert [[link["condition"] for link in because] for because in told] == [["networkIds"], ["networkIds"]]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("", "actionName"),
        ("actionName=Fly", "actionName"),
        ("actionName=GetDevice&deviceGuid=lamp&networkId=1", "networkId"),
        ("actionName=GetDevice&accessKeyId=1&userId=1", "userId"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(site: Site, query, parameter):
    """By the name of the parameter."""
    response = await site.admin.ask("GET", f"/access/explain?{query}", headers=(("Hub-Version", "1"),))

    assert (response.status, response.json()["detail"]) == (400, {"parameter": parameter})


async def test_who_is_locked_out_may_nothing(site: Site):
    """Whatever the rights say."""
    from protocol.names import UserStatus

    await site.change(lambda tx: tx.update_user(2, status=UserStatus.LOCKED_OUT))

    status, told = await explained(site.admin, "GetDevice", userId=2)

    assert (status, told) == (
        200,
        {"allowed": False, "because": [{"user": 2, "condition": "status", "has": "locked-out"}]},
    )
