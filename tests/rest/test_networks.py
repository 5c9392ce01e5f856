"""Networks over REST: who sees which, and that nothing is left of one that goes."""

import asyncio

import pytest

from hub.actions import devices
from protocol.views import AT_ONCE
from tests.builders import permission
from tests.waiting import WAIT_S

AWAY = 2
HOME_VIEW = {"id": 1, "key": None, "name": "home", "description": None}
AWAY_VIEW = {"id": AWAY, "key": "away-key", "name": "away", "description": None}


def told(response):
    """Status, code and message of a refusal."""
    body = response.json()
    return response.status, body["error"], body["message"]


def not_found(network_id):
    return 404, 404, f"Network with id = {network_id} not found"


def keys_of(owner_id, **permissions):
    """Puts keys with these lists of permissions into the store."""

    def put(tx):
        made = {
            name: tx.insert_key(user_id=owner_id, label=name, permissions=[permission(**entry) for entry in entries])
            for name, entries in permissions.items()
        }
        return {name: new.secret for name, new in made.items()}

    return put


ADMIN, ALICE = 1, 2


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_everybody_sees_their_own_networks(start_site):
    """An administrator all, a user those of the user, a key of them those that it lists."""
    put = keys_of(ADMIN, away=[{"network_ids": [AWAY]}], none=[{"network_ids": [99]}])
    site = await start_site(then=put)

    for client, seen in (
        (site.admin, [HOME_VIEW, AWAY_VIEW]),
        (site.by_login("alice"), [HOME_VIEW]),
        (site.by_login("bob"), [AWAY_VIEW]),
        (site.by_key("alices"), [HOME_VIEW]),
        (site.by_key("away"), [AWAY_VIEW]),
        (site.by_key("none"), []),
    ):
        assert (await client.get("/network")).json() == seen
        for network_id in (1, AWAY):
            response = await client.get(f"/network/{network_id}")
            assert (response.status == 200) == (network_id in [view["id"] for view in seen])


async def test_a_list_is_filtered_sorted_and_cut(site):
    """Name and pattern hold both, letters of another case are other letters, ties do not matter: names are unique."""
    for name in ("Hut", "hall"):
        await site.admin.post("/network", {"name": name})

    for query, names in (
        ("", ["home", "away", "Hut", "hall"]),
        ("?sortField=NAME", ["Hut", "away", "hall", "home"]),
        ("?sortField=name&sortOrder=desc&take=2&skip=1", ["hall", "away"]),
        ("?namePattern=h%25", ["home", "hall"]),
        ("?namePattern=h%25&name=home", ["home"]),
        ("?namePattern=h%25&name=away", []),
        ("?name=HOME", []),
        ("?take=0", []),
    ):
        response = await site.admin.get("/network" + query)
        assert (query, [network["name"] for network in response.json()]) == (query, names)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("sortField=key", (400, None, "Invalid request parameters")),
        ("sortField=key&sortOrder=up", (400, 400, "Unparseable sort order : up")),
        ("take=-1", (400, None, "Invalid request parameters")),
        ("take=x", (404, 404, "HTTP 404 Not Found")),
    ],
)
async def test_what_a_list_cannot_do(site, query, refusal):
    """Told as DeviceHive tells it, the order first."""
    assert told(await site.admin.get(f"/network?{query}")) == refusal


async def test_a_key_sees_the_devices_that_one_permission_shows_with_the_network(start_site):
    """What one permission allows and what another allows does not add up."""
    both = ["GetNetwork", "GetDevice"]
    put = keys_of(
        ALICE,
        network=[{"actions": ["GetNetwork"]}],
        apart=[{"actions": ["GetNetwork"]}, {"actions": ["GetDevice"]}],
        both=[{"actions": both}],
        lamp=[{"actions": both, "device_guids": ["lamp", "oven"]}, {"actions": ["GetDevice"]}],
        elsewhere=[{"actions": ["GetNetwork"]}, {"actions": both, "network_ids": [AWAY]}],
    )
    site = await start_site(then=put)

    for name, guids in (
        ("network", []),
        ("apart", []),
        ("both", ["lamp", "door"]),
        ("lamp", ["lamp"]),
        ("elsewhere", []),
    ):
        shown = (await site.by_key(name).get("/network/1")).json()
        assert (name, [device["id"] for device in shown["devices"]]) == (name, guids)


async def test_a_network_shows_all_its_devices_however_many(start_site):
    """They are shown a few at a time, and none is missing or there twice."""
    numbers = range(2 * AT_ONCE + 1)

    def put(tx):
        for number in numbers:
            tx.insert_device(guid=f"d{number}", key="k", name="n", class_id=1, network_id=1)
        return {}

    site = await start_site(then=put)
    wanted = ["lamp", "door", *(f"d{number}" for number in numbers)]

    shown = (await site.admin.get("/network/1")).json()
    listed = (await site.admin.get("/device?networkId=1")).json()

    assert [device["id"] for device in shown["devices"]] == wanted
    assert [device["id"] for device in listed] == wanted


# --- making and changing ----------------------------------------------------------------------------------------------


async def test_whoever_makes_a_network_is_no_member_of_it(site):
    """It is there, with what was said of it and null for the rest."""
    made = await site.admin.post("/network", {"name": "hut", "key": "hut-key", "devices": [1], "unknown": 1})
    network_id = made.json()["id"]

    assert (made.status, made.json()) == (201, {"id": network_id})
    assert (await site.admin.get(f"/network/{network_id}")).json() == {
        "id": network_id,
        "key": "hut-key",
        "name": "hut",
        "description": None,
        "devices": [],
    }


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"id": 5, "name": "home"}, (400, 400, "Invalid request parameters. Id cannot be specified.")),
        (
            {"id": None, "name": "home", "key": "k" * 65},
            (403, 403, "Network cannot be created. Network with such name already exists"),
        ),
        ({"name": ["x"]}, (400, None, "Invalid request parameters")),
        ([], (400, None, "Invalid request parameters")),
    ],
)
async def test_what_is_no_new_network(site, body, refusal):
    """The first of several faults is told."""
    assert told(await site.admin.post("/network", body)) == refusal


@pytest.mark.parametrize("body", [{}, {"name": None}, {"name": ""}, {"name": "x", "description": "d" * 129}])
async def test_lengths_of_a_new_network_are_checked_by_the_storage(site, body):
    """So there is no code in the body."""
    status, code, message = told(await site.admin.post("/network", body))

    assert (status, code) == (400, None)
    assert "The length of" in message or "name field cannot be null." in message


async def test_a_change_leaves_alone_what_it_does_not_name(site):
    """Null clears what may be null; nothing at all changes nothing."""
    for body in ({"description": "far"}, {"key": None, "id": 99, "unknown": 1}, {}):
        assert (await site.admin.put(f"/network/{AWAY}", body)).status == 204
    assert (await site.admin.put(f"/network/{AWAY}")).status == 204

    shown = (await site.admin.get(f"/network/{AWAY}")).json()

    assert (shown["name"], shown["key"], shown["description"]) == ("away", None, "far")


async def test_a_change_may_be_refused(site):
    """In the service's form, with a code; another's name is a conflict."""
    assert told(await site.admin.put(f"/network/{AWAY}", {"name": ""})) == (
        400,
        400,
        "Error! Validation failed: \nOn property name (value: ): Field cannot be empty. "
        "The length of name should not be more than 128 symbols. ;",
    )
    assert (await site.admin.put(f"/network/{AWAY}", {"name": "home"})).status == 409
    assert told(await site.admin.put("/network/99", {"name": ""})) == not_found(99)


async def test_a_new_name_is_seen_with_its_devices_at_once(site):
    """No cache shows the old one."""
    await site.admin.get("/device/lamp")

    await site.admin.put("/network/1", {"name": "house"})

    assert (await site.admin.get("/device/lamp")).json()["network"]["name"] == "house"


async def test_a_key_manages_only_the_networks_that_it_lists(start_site):
    """The others are as if they did not exist: to change one is 404, to delete one does nothing."""
    site = await start_site(then=keys_of(ADMIN, manager=[{"actions": ["ManageNetwork"], "network_ids": [AWAY]}]))
    manager = site.by_key("manager")

    assert told(await manager.put("/network/1", {"name": "x"})) == not_found(1)
    assert (await manager.delete("/network/1")).status == 204
    assert (await manager.put(f"/network/{AWAY}", {"name": "x"})).status == 204
    assert (await manager.delete(f"/network/{AWAY}")).status == 204

    assert [network["name"] for network in (await site.admin.get("/network")).json()] == ["home"]


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_nothing_is_left_of_a_deleted_network(site, monkeypatch):
    """Its devices go, however many, their connections end, and its members do not see it any more."""
    monkeypatch.setattr(devices, "DELETED_AT_ONCE", 1)
    lamp, dashboard = await site.device("lamp", "lamp-key"), await site.user("alice")
    oven = await site.device("oven", "oven-key")
    await site.admin.get("/device/door")

    assert (await site.admin.delete("/network/1")).status == 204

    assert await lamp.closed() == 4401
    assert oven.is_open
    for guid in ("lamp", "door"):
        assert (await site.admin.get(f"/device/{guid}")).status == 404
    assert (await dashboard.ask("notification/insert", deviceGuid="lamp", notification={"notification": "x"}))[
        "code"
    ] == 403
    assert (await site.by_login("alice").get("/network")).json() == []
    assert (await site.admin.delete("/network/1")).status == 204


async def test_the_writes_of_others_pass_while_a_large_network_goes(start_site, monkeypatch):
    """A few devices at a time: somebody else's write waits for one piece of it, not for all."""

    def put(tx):
        for number in range(100):
            tx.insert_device(guid=f"d{number}", key="k", name="n", class_id=1, network_id=1)
        return {}

    monkeypatch.setattr(devices, "DELETED_AT_ONCE", 1)
    site = await start_site(then=put)
    gateway = site.hub.gateway

    async def left():
        return len(await gateway.transact(lambda tx, stamps: tx.devices()))

    before = between = await left()
    deletion = asyncio.create_task(site.admin.delete("/network/1"))
    async with asyncio.timeout(WAIT_S):
        while between == before:
            between = await left()

    assert 2 < between < before
    assert (await deletion).status == 204
    assert await left() == 2
