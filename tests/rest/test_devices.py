"""Devices over REST: lists of those that the caller sees, one by one, and what is left of one that is deleted."""

import json

import pytest

from hub.store import Tx
from protocol.entities import EquipmentState
from tests.builders import EARLIER_MS, permission
from tests.rest import http

ADMIN, ALICE = 1, 2


def told(response):
    """Status and message of a refusal."""
    return response.status, response.json()["message"]


def not_found(guid):
    return 404, f"Device with such guid = {guid} not found"


async def guids(client, query=""):
    return [device["id"] for device in (await client.get("/device" + query)).json()]


def some_more(tx: Tx):
    """Devices to be told apart by what a list filters, and a key that reads only."""
    light = tx.insert_class(name="Light", version="2", offline_timeout_s=60)
    tx.insert_device(guid="bulb", key="k", name="lamp", class_id=light.id, network_id=2, status="Online", data=[1])
    reader = tx.insert_key(user_id=ALICE, label="reader", permissions=[permission(actions=["GetDevice"])])
    elsewhere = tx.insert_key(user_id=ALICE, label="away", permissions=[permission(network_ids=[2])])
    return {"reader": reader.secret, "elsewhere": elsewhere.secret}


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_everybody_lists_the_devices_that_they_see(start_site):
    """An administrator those without a network, too; a key what it and its owner see; a link shows one more."""
    site = await start_site(then=some_more)

    assert await guids(site.admin) == ["lamp", "door", "oven", "loose", "bulb"]
    assert await guids(site.by_login("alice")) == ["lamp", "door"]
    assert await guids(site.by_login("bob")) == ["oven", "bulb"]
    assert await guids(site.by_key("lamp-only")) == ["lamp"]
    assert await guids(site.by_key("reader")) == ["lamp", "door"]
    assert await guids(site.by_key("elsewhere")) == []

    def link(tx, stamps):
        tx.add_link(("user", ALICE), ("device", tx.device("loose").id))

    await site.hub.gateway.transact(link)
    assert await guids(site.by_login("alice")) == ["lamp", "door", "loose"]
    assert await guids(site.by_key("reader")) == ["lamp", "door", "loose"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=Lamp", ["lamp"]),
        ("namePattern=%25amp", ["lamp", "bulb"]),
        ("namePattern=%25amp&name=lamp", ["bulb"]),
        ("status=Online", ["bulb"]),
        ("networkId=2", ["oven", "bulb"]),
        ("networkName=home", ["lamp", "door"]),
        ("networkName=home&networkId=2", []),
        ("deviceClassId=1&networkId=2", ["oven"]),
        ("deviceClassName=Light", ["bulb"]),
        ("deviceClassVersion=2", ["bulb"]),
        ("deviceClassName=Light&deviceClassVersion=1", []),
        ("sortField=name", ["door", "lamp", "loose", "oven", "bulb"]),
        ("sortField=NETWORK&sortOrder=DESC", ["loose", "oven", "bulb", "lamp", "door"]),
        ("sortField=DeviceClass&sortOrder=DESC&take=2", ["bulb", "lamp"]),
        ("sortField=Status&take=1", ["bulb"]),
        ("skip=4", ["bulb"]),
    ],
)
async def test_a_list_is_filtered_sorted_and_cut(start_site, query, found):
    """Filters hold all together; those that are sorted alike go by their ids; a missing value comes last."""
    site = await start_site(then=some_more)

    assert await guids(site.admin, "?" + query) == found


async def test_filters_show_nothing_that_the_caller_does_not_see(site):
    """Not even the number of a foreign network."""
    for query in ("?networkId=2", "?networkName=away", "?name=Oven", "?namePattern=%25"):
        assert set(await guids(site.by_login("alice"), query)) <= {"lamp", "door"}


async def test_a_listed_device_is_the_device(start_site):
    """A list shows what a single look shows, class and equipment included."""
    site = await start_site(then=some_more)

    listed = (await site.admin.get("/device?name=lamp")).json()

    assert listed == [(await site.admin.get("/device/bulb")).json()]
    assert (listed[0]["data"], listed[0]["network"]["key"], listed[0]["deviceClass"]["equipment"]) == (
        [1],
        "away-key",
        [],
    )


# --- one device -------------------------------------------------------------------------------------------------------


async def test_a_device_that_is_not_seen_is_not_found(start_site):
    """Just as one that is not there; a device sees itself, whatever its network."""
    site = await start_site(then=some_more)

    assert told(await site.by_login("bob").get("/device/lamp")) == not_found("lamp")
    assert told(await site.admin.get("/device/nothing")) == not_found("nothing")
    assert told(await site.by_device("lamp").get("/device/door")) == not_found("door")
    assert (await site.by_device("loose").get("/device/loose")).json()["network"] is None
    assert told(await site.nobody.get("/device/lamp")) == (401, "Unauthorized")


async def test_a_device_is_not_shown_the_key_of_its_network(site):
    """Users are."""
    by_device = (await site.by_device("oven").get("/device/oven")).json()
    by_user = (await site.by_login("bob").get("/device/oven")).json()

    assert by_device["network"] == {"id": 2, "name": "away", "description": None}
    assert by_user == {**by_device, "network": {**by_device["network"], "key": "away-key"}}


@pytest.mark.parametrize("guid", ["a/b", "a b", "ä%2F", "command", "?", "…", "class "])
async def test_a_guid_has_any_characters(site, guid):
    """In a path they are escaped."""
    path = "/device/" + "".join(f"%{byte:02X}" for byte in guid.encode())
    device = {"key": "k", "name": "n", "deviceClass": {"name": "Sensor", "version": "1"}}

    assert (await site.admin.put(path, device)).status == 204
    assert (await site.admin.get(path)).json()["id"] == guid
    assert (await site.admin.delete(path)).status == 204


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_nothing_is_left_of_a_deleted_device(site):
    """Its connection ends at once; nobody finds it, whatever they knew before; and nobody is told."""
    lamp, dashboard = await site.device("lamp", "lamp-key"), await site.user("alice")
    await dashboard.succeed("notification/subscribe")
    await site.admin.get("/device/lamp")

    assert (await site.by_login("alice").delete("/device/lamp")).status == 204

    assert await lamp.closed() == 4401
    assert told(await site.admin.get("/device/lamp")) == not_found("lamp")
    assert told(await site.admin.post("/device/lamp/notification", {"notification": "x"})) == not_found("lamp")
    assert told(await site.admin.delete("/device/lamp")) == not_found("lamp")
    assert (await site.by_device("lamp").get("/info")).status == 401
    assert await dashboard.pushes() == []


async def test_a_new_device_of_the_same_name_is_another(site):
    """It has nothing of the old one: neither key nor states nor messages."""
    await site.by_device("lamp").post("/device/lamp/notification", EQUIPMENT)
    await site.admin.delete("/device/lamp")
    device = {"key": "new", "name": "n", "deviceClass": {"name": "Sensor", "version": "1"}, "network": {"name": "home"}}

    assert (await site.admin.put("/device/lamp", device)).status == 204

    assert (await site.by_device("lamp").get("/device/lamp")).status == 401
    assert (await site.client(http.device("lamp", "new")).get("/device/lamp")).status == 200
    assert (await site.admin.get("/device/lamp/equipment")).json() == []


async def test_who_may_delete_which(start_site):
    """What is not seen is not found; a key needs RegisterDevice; a device deletes only itself."""
    site = await start_site(then=some_more)

    assert told(await site.nobody.delete("/device/lamp")) == (401, "Unauthorized")
    assert told(await site.by_key("reader").delete("/device/lamp")) == (401, "Unauthorized")
    assert told(await site.by_key("elsewhere").delete("/device/bulb")) == not_found("bulb")
    assert told(await site.by_key("lamp-only").delete("/device/door")) == not_found("door")
    assert told(await site.by_login("bob").delete("/device/lamp")) == not_found("lamp")
    assert told(await site.by_device("lamp").delete("/device/door")) == not_found("door")
    assert (await site.by_device("lamp").delete("/device/lamp")).status == 204
    assert (await site.by_key("alices").delete("/device/door")).status == 204

    assert await guids(site.admin) == ["oven", "loose", "bulb"]


# --- equipment --------------------------------------------------------------------------------------------------------

EQUIPMENT = {"notification": "equipment", "parameters": {"equipment": "LED", "on": True}}


def states(tx: Tx):
    for code, parameters in (("LED", {"on": True}), ("a/b", None)):
        tx.put_equipment_state(tx.device("lamp").id, EquipmentState(code, EARLIER_MS, parameters))
    return some_more(tx)


async def test_the_states_of_a_devices_equipment(start_site):
    """All of them, or one by its code, which is called ``id``; none is no fault."""
    site = await start_site(then=states)
    led = {"id": "LED", "timestamp": "2015-07-24T05:50:44.000", "parameters": {"on": True}}

    assert (await site.by_login("alice").get("/device/lamp/equipment")).json() == [
        led,
        {**led, "id": "a/b", "parameters": None},
    ]
    assert (await site.by_key("alices").get("/device/lamp/equipment/LED")).json() == led
    assert (await site.admin.get("/device/lamp/equipment/a%2Fb")).json()["parameters"] is None
    assert (await site.admin.get("/device/door/equipment")).json() == []


async def test_a_state_that_is_not_there_or_not_seen(start_site):
    """The device is not found, also where only the code is missing; a key needs GetDeviceState."""
    site = await start_site(then=states)

    assert told(await site.admin.get("/device/lamp/equipment/led")) == not_found("lamp")
    for path in ("/device/lamp/equipment", "/device/lamp/equipment/LED"):
        assert told(await site.by_login("bob").get(path)) == not_found("lamp")
        assert told(await site.by_key("reader").get(path)) == (401, "Unauthorized")
        assert told(await site.by_device("lamp").get(path)) == (401, "Unauthorized")
        assert told(await site.admin.delete(path)) == (405, "HTTP 405 Method Not Allowed")


async def test_a_reported_state_is_seen_at_once(site):
    """When the notification is answered, the state is stored."""
    made = await site.by_device("lamp").post("/device/lamp/notification", EQUIPMENT)
    state = (await site.admin.get("/device/lamp/equipment/LED")).json()

    assert (made.status, state["parameters"]) == (201, {"on": True})
    assert state["timestamp"] == json.loads(made.body)["timestamp"]
