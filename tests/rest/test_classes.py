"""Device classes and their equipment over REST."""

import pytest

from hub.actions import devices
from tests.builders import permission

INVALID = "Invalid request parameters"
LED = {"name": "Diode", "code": "LED", "type": "light"}
UNAUTHORIZED = (401, 401, "Unauthorized")


def told(response):
    """Status, code and message of a refusal."""
    body = response.json()
    return response.status, body["error"], body["message"]


def duplicate(code, class_id):
    return 403, 403, f"Duplicate equipment entry with code = {code} for device class with id : {class_id}"


def no_class(class_id):
    return 404, 404, f"DeviceClass with id = {class_id} not found"


def no_piece(piece_id, class_id=1):
    return 404, 404, f"Equipment with id = {piece_id} not found for class with id {class_id}"


async def made(client, path, body):
    """The id of what is made."""
    response = await client.post(path, body)
    assert (response.status, list(response.json())) == (201, ["id"])
    return response.json()["id"]


async def shown(site, class_id=1):
    return (await site.admin.get(f"/device/class/{class_id}")).json()


def codes(device_class):
    return [piece["code"] for piece in device_class["equipment"]]


# --- who --------------------------------------------------------------------------------------------------------------


async def test_classes_are_managed_by_administrators_and_their_keys(start_site):
    """A client's key never does, whatever it says; a user in person may look at one, and at no more."""

    def keys(tx):
        entries = {
            "manager": (1, permission(actions=["ManageDeviceClass"])),
            "other": (1, permission(actions=["GetDevice"])),
            "clients": (2, permission(actions=["ManageDeviceClass"])),
        }
        new = {
            name: tx.insert_key(user_id=owner, label=name, permissions=[one]) for name, (owner, one) in entries.items()
        }
        return {name: key.secret for name, key in new.items()}

    site = await start_site(then=keys)
    asks = [
        ("GET", "/device/class"),
        ("GET", "/device/class/1"),
        ("POST", "/device/class"),
        ("PUT", "/device/class/1"),
        ("DELETE", "/device/class/99"),
        ("GET", "/device/class/1/equipment/1"),
        ("POST", "/device/class/1/equipment"),
        ("PUT", "/device/class/1/equipment/1"),
        ("DELETE", "/device/class/1/equipment/99"),
    ]

    for client in (site.by_login("alice"), site.by_key("other"), site.by_key("clients"), site.by_device("lamp")):
        for method, path in asks:
            if (client.who, method, path) != (site.by_login("alice").who, "GET", "/device/class/1"):
                assert told(await client.ask(method, path)) == UNAUTHORIZED, (client.who, method, path)
    assert (await site.by_login("alice").get("/device/class/1")).json() == await shown(site)
    for client in (site.admin, site.by_key("manager")):
        assert [(await client.ask(method, path)).status != 401 for method, path in asks] == [True] * len(asks)


# --- classes ----------------------------------------------------------------------------------------------------------


async def test_a_class_has_what_was_said_of_it(site):
    """And the defaults for the rest."""
    whole = {"isPermanent": True, "offlineTimeout": 60, "data": {"a": 1}, "equipment": [None, LED]}
    first = await made(site.admin, "/device/class", {"name": "A", "version": "1", **whole})
    second = await made(site.admin, "/device/class", {"name": "A", "version": "2", "id": None, "isPermanent": None})

    views = await shown(site, first), await shown(site, second)

    led = {"id": views[0]["equipment"][0]["id"], **LED, "data": None}
    assert views == (
        {"id": first, "name": "A", "version": "1", **whole, "equipment": [led]},
        {
            "id": second,
            "name": "A",
            "version": "2",
            "isPermanent": False,
            "offlineTimeout": None,
            "data": None,
            "equipment": [],
        },
    )


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (
            {"id": 5, "name": "Sensor", "version": "1"},
            (400, 400, "Invalid request parameters. Id cannot be specified."),
        ),
        (
            {"name": "Sensor", "version": "1", "equipment": [LED, LED]},
            (403, 403, "DeviceClass cannot be created. Device class with such name and version already exists"),
        ),
        ({"name": "A", "version": "1", "equipment": [LED, LED]}, duplicate("LED", 2)),
        ({"name": "A", "version": "1", "offlineTimeout": "soon"}, (400, None, INVALID)),
        ({"name": "A", "version": "1", "equipment": [[]]}, (400, None, INVALID)),
        ([], (400, None, INVALID)),
    ],
)
async def test_what_is_no_new_class(site, body, refusal):
    """And nothing is left of it."""
    assert told(await site.admin.post("/device/class", body)) == refusal
    assert len((await site.admin.get("/device/class")).json()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "A"},
        {"version": "1"},
        {"name": "A", "version": "v" * 33},
        {"name": "A", "version": "1", "equipment": [{"name": "n", "code": "c"}]},
    ],
)
async def test_lengths_of_a_new_class_are_checked_by_the_storage(site, body):
    """So there is no code in the body."""
    assert told(await site.admin.post("/device/class", body))[:2] == (400, None)


async def test_a_class_can_be_made_of_something_only(site):
    """No body is no object."""
    assert told(await site.admin.post("/device/class")) == (400, 400, INVALID)


async def test_a_list_of_classes(site):
    """Without their equipment; a pattern makes the plain name be ignored."""
    for name, version in (("Bulb", "1"), ("Bulb", "2"), ("beam", "1")):
        await made(site.admin, "/device/class", {"name": name, "version": version, "equipment": [LED]})

    for query, found in (
        ("", ["Sensor 1", "Bulb 1", "Bulb 2", "beam 1"]),
        ("?name=Bulb", ["Bulb 1", "Bulb 2"]),
        ("?name=Bulb&version=2", ["Bulb 2"]),
        ("?namePattern=B%25&name=beam", ["Bulb 1", "Bulb 2"]),
        ("?namePattern=%25b%25&version=1", ["Bulb 1", "beam 1"]),
        ("?sortField=Name&sortOrder=DESC", ["beam 1", "Sensor 1", "Bulb 1", "Bulb 2"]),
        ("?sortField=id&skip=1&take=2", ["Bulb 1", "Bulb 2"]),
    ):
        listed = (await site.admin.get("/device/class" + query)).json()
        assert (query, [f"{one['name']} {one['version']}" for one in listed]) == (query, found)
        assert all("equipment" not in one for one in listed)
    assert told(await site.admin.get("/device/class?sortField=version")) == (400, 400, INVALID)


async def test_a_change_leaves_alone_what_it_does_not_name(site):
    """Also of a permanent class; its devices show it at once."""
    await site.admin.get("/device/lamp")
    for body in ({"isPermanent": True, "equipment": [LED]}, {"offlineTimeout": 60, "data": [1]}, {"unknown": 1}):
        assert (await site.admin.put("/device/class/1", body)).status == 204
    assert (await site.admin.put("/device/class/1")).status == 204

    now = await shown(site)

    assert (now["name"], now["isPermanent"], now["offlineTimeout"], now["data"]) == ("Sensor", True, 60, [1])
    assert codes(now) == ["LED"]
    assert (await site.admin.get("/device/lamp")).json()["deviceClass"] == now


@pytest.mark.parametrize("none", [None, []])
async def test_equipment_that_is_given_replaces_all(site, none):
    """Null is none."""
    for equipment, left in (([LED], ["LED"]), ([{**LED, "code": "a"}, {**LED, "code": "b"}], ["a", "b"]), (none, [])):
        assert (await site.admin.put("/device/class/1", {"equipment": equipment})).status == 204
        assert codes(await shown(site)) == left


async def test_a_change_may_be_refused(site):
    """In the service's form, with a code; then nothing of it is done."""
    other = await made(site.admin, "/device/class", {"name": "A", "version": "1"})
    violation = "Error! Validation failed: \nOn property version (value: null): name field cannot be null. ;"

    assert told(await site.admin.put("/device/class/1", {"data": 5, "version": None})) == (400, 400, violation)
    assert told(await site.admin.put("/device/class/1", {"data": 5, "isPermanent": None}))[:2] == (400, 400)
    assert told(await site.admin.put("/device/class/1", {"data": 5, "equipment": [LED, LED]})) == duplicate("LED", 1)
    assert told(await site.admin.put("/device/class/1", {"data": 5, "equipment": [{**LED, "type": ""}]}))[:2] == (
        400,
        400,
    )
    assert (await site.admin.put(f"/device/class/{other}", {"name": "Sensor"})).status == 409
    assert told(await site.admin.put("/device/class/99", {"name": None})) == no_class(99)
    assert told(await site.admin.get("/device/class/99")) == no_class(99)
    assert ((await shown(site))["data"], (await shown(site, other))["name"]) == (None, "A")


async def test_nothing_is_left_of_a_deleted_class(site, monkeypatch):
    """Its devices go, however many, and their connections end."""
    monkeypatch.setattr(devices, "DELETED_AT_ONCE", 3)
    other = await made(site.admin, "/device/class", {"name": "A", "version": "1"})
    await site.admin.put("/device/oven", {"deviceClass": {"name": "A", "version": "1"}})
    lamp = await site.device("lamp", "lamp-key")

    assert (await site.admin.delete("/device/class/1")).status == 204

    assert await lamp.closed() == 4401
    assert [device["id"] for device in (await site.admin.get("/device")).json()] == ["oven"]
    assert [one["id"] for one in (await site.admin.get("/device/class")).json()] == [other]
    assert (await site.admin.delete("/device/class/1")).status == 204


# --- equipment --------------------------------------------------------------------------------------------------------


async def test_equipment_piece_by_piece(site):
    """It is made, read, changed in part and deleted; devices of the class show it at once."""
    await site.admin.get("/device/lamp")
    piece = await made(site.admin, "/device/class/1/equipment", {**LED, "id": 77, "data": [1]})
    path = f"/device/class/1/equipment/{piece}"

    assert (await site.admin.get(path)).json() == {"id": piece, **LED, "data": [1]}
    for body in ({"type": "lamp"}, {"data": None}, {}):
        assert (await site.admin.put(path, body)).status == 204
    assert (await site.admin.put(path)).status == 204
    changed = {"id": piece, **LED, "type": "lamp", "data": None}
    assert (await site.admin.get("/device/lamp")).json()["deviceClass"]["equipment"] == [changed]
    for _ in range(2):
        assert (await site.admin.delete(path)).status == 204
    assert (await site.admin.get("/device/lamp")).json()["deviceClass"]["equipment"] == []
    assert told(await site.admin.get(path)) == no_piece(piece)


async def test_equipment_belongs_to_its_class(site):
    """By way of another it can be neither seen nor changed nor deleted."""
    other = await made(site.admin, "/device/class", {"name": "A", "version": "1"})
    piece = await made(site.admin, "/device/class/1/equipment", LED)
    path = f"/device/class/{other}/equipment/{piece}"

    assert told(await site.admin.get(path)) == no_piece(piece, other)
    assert told(await site.admin.put(path, {"name": "x"})) == no_piece(piece, other)
    assert (await site.admin.delete(path)).status == 204
    assert codes(await shown(site)) == ["LED"]


async def test_a_code_is_there_once(site):
    """A second one is refused, and a change to it is a conflict."""
    await made(site.admin, "/device/class/1/equipment", LED)
    second = await made(site.admin, "/device/class/1/equipment", {**LED, "code": "led"})

    assert told(await site.admin.post("/device/class/1/equipment", LED)) == duplicate("LED", 1)
    assert (await site.admin.put(f"/device/class/1/equipment/{second}", {"code": "LED"})).status == 409


async def test_equipment_may_be_refused(site):
    """A new piece by the storage, without a code; a change in the service's form."""
    piece = await made(site.admin, "/device/class/1/equipment", LED)

    assert told(await site.admin.post("/device/class/1/equipment", {"name": "n", "code": "c"}))[:2] == (400, None)
    assert told(await site.admin.post("/device/class/1/equipment")) == (400, 400, INVALID)
    assert told(await site.admin.post("/device/class/99/equipment", {})) == no_class(99)
    assert told(await site.admin.put(f"/device/class/1/equipment/{piece}", {"code": None})) == (
        400,
        400,
        "Error! Validation failed: \nOn property code (value: null): code field cannot be null. ;",
    )
    assert told(await site.admin.put("/device/class/1/equipment/99", {"code": None})) == no_piece(99)


async def test_a_permanent_class_takes_no_more_equipment(site):
    """What it has may still be changed and deleted."""
    piece = await made(site.admin, "/device/class/1/equipment", LED)
    await site.admin.put("/device/class/1", {"isPermanent": True})
    path = f"/device/class/1/equipment/{piece}"

    refused = await site.admin.post("/device/class/1/equipment", {**LED, "code": "other"})

    assert told(refused) == (404, 404, "Unable to update equipment on permanent device class.")
    assert (await site.admin.put(path, {"name": "x"})).status == 204
    assert (await site.admin.delete(path)).status == 204


async def test_a_class_has_so_much_equipment_and_no_more(start_site):
    """However it is added."""
    site = await start_site(equipment_per_class=2)
    three = [{**LED, "code": code} for code in ("a", "b", "c")]
    refusal = (400, 400, "Limit reached: 2 pieces of equipment per device class")

    for piece in three[:2]:
        await made(site.admin, "/device/class/1/equipment", piece)

    assert told(await site.admin.post("/device/class/1/equipment", three[2])) == refusal
    assert told(await site.admin.put("/device/class/1", {"equipment": three})) == refusal
    assert told(await site.admin.post("/device/class", {"name": "A", "version": "1", "equipment": three})) == refusal
