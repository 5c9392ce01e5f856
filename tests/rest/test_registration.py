"""Registration over REST: the same procedure as on the sockets, safe by default, and where a body is not one."""

import pytest

from tests.builders import permission
from tests.rest import http

SENSOR = {"name": "Sensor", "version": "1"}
NEW = {"key": "new-key", "name": "New", "deviceClass": SENSOR}
AWAY = {"name": "away", "key": "away-key"}
DONE = (204, None)
UNAUTHORIZED = (401, "Unauthorized")
WRONG = (401, "Invalid credentials")
NETWORK_KEY = (403, "Incorrect network key value")
NO_CREATION = (403, "No permissions to create network!")


def told(response):
    """Status and message of an answer."""
    return response.status, response.json()["message"] if response.body else None


async def register(client, guid="new", **members):
    return told(await client.put(f"/device/{guid}", members))


async def shown(site, guid="new"):
    return (await site.admin.get(f"/device/{guid}")).json()


# --- safe by default --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"network": None},
        {"network": {"name": "away"}},
        {"network": {"name": "away", "key": "x"}},
        {"network": {"name": "home"}},
        {"network": {"name": "home", "key": "x"}},
        {"network": {"name": "no", "key": "x"}},
    ],
)
async def test_nobody_registers_a_device_without_a_networks_key(site, network):
    """Whatever is wrong about it is told in the same words: nothing can be probed."""
    assert await register(site.nobody, **NEW, **network) == NETWORK_KEY
    assert (await site.admin.get("/device/new")).status == 404


async def test_with_a_networks_key_anybody_registers_a_device(site):
    """It is in that network then, and has its key."""
    assert await register(site.nobody, **NEW, network=AWAY) == DONE

    own = site.client(http.device("new", "new-key"))
    assert (await own.get("/device/new")).json()["network"]["name"] == "away"


@pytest.mark.parametrize(("registration", "outcome"), [("off", UNAUTHORIZED), ("network-key", DONE), ("open", DONE)])
async def test_anonymous_registration_is_a_setting(start_site, registration, outcome):
    """A device that is known may save itself by its key in any case."""
    site = await start_site(anonymous_registration=registration)

    assert await register(site.nobody, **NEW, network=AWAY) == outcome
    assert await register(site.nobody, "lamp", key="lamp-key", status="Online") == DONE
    assert await register(site.nobody, "lamp", key="wrong") == WRONG
    assert await register(site.nobody, "lamp", status="x") == WRONG
    assert (await shown(site, "lamp"))["status"] == "Online"


async def test_open_registration_takes_no_network_but_a_key(start_site):
    """The key of the device is required all the same, in the body and nowhere else."""
    site = await start_site(anonymous_registration="open")

    status, message = await register(site.nobody, name="New", deviceClass=SENSOR)
    assert status == 400
    assert "key field cannot be null." in message
    assert await register(site.nobody, **NEW) == DONE


@pytest.mark.parametrize("who", ["anonymous", "device"])
async def test_moving_into_another_network_takes_its_key(site, who):
    """Who is in one network is not for that in any other."""
    client = site.nobody if who == "anonymous" else site.by_device("lamp")

    assert await register(client, "lamp", key="lamp-key", network={"name": "home"}) == DONE
    assert await register(client, "lamp", key="lamp-key", network={"name": "away"}) == NETWORK_KEY
    assert await register(client, "lamp", key="lamp-key", network=AWAY) == DONE
    assert (await shown(site, "lamp"))["network"]["name"] == "away"


async def test_networks_are_made_by_those_who_manage_them(start_site):
    """Unless the setting, or a stored value that wins over it, says that anybody may."""

    def keys(tx):
        actions = {"manager": ["RegisterDevice", "ManageNetwork"], "registrar": ["RegisterDevice"]}
        made = {
            name: tx.insert_key(user_id=1, label=name, permissions=[permission(actions=allowed)])
            for name, allowed in actions.items()
        }
        return {name: new.secret for name, new in made.items()}

    site = await start_site(then=keys)
    for number, (client, outcome) in enumerate(
        [
            (site.by_login("alice"), NO_CREATION),
            (site.by_key("alices"), NO_CREATION),
            (site.by_key("registrar"), NO_CREATION),
            (site.by_device("lamp"), NETWORK_KEY),
            (site.nobody, NETWORK_KEY),
            (site.admin, DONE),
            (site.by_key("manager"), DONE),
        ]
    ):
        guid = "lamp" if client.who == site.by_device("lamp").who else f"new-{number}"
        assert (
            await register(client, guid, **NEW | {"key": f"{guid}-key"}, network={"name": f"net-{number}"}) == outcome
        )
    names = [network["name"] for network in (await site.admin.get("/network")).json()]
    assert names == ["home", "away", "net-5", "net-6"]

    await site.admin.put("/configuration/allowNetworkAutoCreate", b"true", media="text/plain")
    assert await register(site.by_login("alice"), **NEW, network={"name": "hers"}) == DONE


async def test_a_blocked_device_cannot_save_itself(site):
    """Neither with its key, nor as itself: it would unblock itself."""
    await register(site.admin, "lamp", blocked=True)

    assert await register(site.nobody, "lamp", key="lamp-key", blocked=False) == WRONG
    assert await register(site.by_device("lamp"), "lamp", blocked=False) == WRONG
    assert (await shown(site, "lamp"))["isBlocked"] is True


@pytest.mark.parametrize(("self_unblock", "blocked"), [(False, False), (True, True)])
@pytest.mark.parametrize("who", ["anonymous", "device"])
async def test_blocking_oneself_is_a_setting(start_site, who, self_unblock, blocked):
    """By default what devices and nobody say about it is passed over, without an error."""
    site = await start_site(devices_self_unblock=self_unblock)
    client = site.nobody if who == "anonymous" else site.by_device("lamp")

    assert await register(client, "lamp", key="lamp-key", blocked=True) == DONE
    assert (await shown(site, "lamp"))["isBlocked"] is blocked


# --- what REST has of its own -----------------------------------------------------------------------------------------


async def test_a_device_saves_only_itself(site):
    """Also where a gateway's connection may save the devices behind it, and whatever key the body has; but what is
    wrong with the body comes first."""
    refusal = (401, "Device with such guid = door not found")
    lamp = site.by_device("lamp")

    assert await register(lamp, "door", key="door-key", status="x") == refusal
    assert await register(lamp, "new", **NEW, network=AWAY) == (401, "Device with such guid = new not found")
    assert await register(lamp, "door", name=None) == (400, "Device name is required")
    assert await register(lamp, "lamp", key="lamp-key", status="x", name="Mine") == DONE
    assert ((await shown(site, "lamp"))["name"], (await shown(site, "door"))["status"]) == ("Mine", None)


@pytest.mark.parametrize(
    ("who", "outcome"),
    [
        ("bob", UNAUTHORIZED),
        ("elsewhere", (401, "Device with such guid = lamp not found")),
        ("reader", UNAUTHORIZED),
        ("door-only", (401, "Device with such guid = lamp not found")),
    ],
)
async def test_whose_device_it_is_not(start_site, who, outcome):
    """Each kind of caller hears it in the words that DeviceHive has for it."""

    def keys(tx):
        entries = {
            "elsewhere": permission(network_ids=[2]),
            "reader": permission(actions=["GetDevice"]),
            "door-only": permission(device_guids=["door"]),
        }
        made = {name: tx.insert_key(user_id=2, label=name, permissions=[entry]) for name, entry in entries.items()}
        return {name: new.secret for name, new in made.items()}

    site = await start_site(then=keys)
    client = site.by_login("bob") if who == "bob" else site.by_key(who)

    assert await register(client, "lamp", status="x") == outcome
    assert (await shown(site, "lamp"))["status"] is None


@pytest.mark.parametrize(
    "body",
    [
        [],
        "lamp",
        {"name": ["x"]},
        {"name": {"x": 1}},
        {"network": 5},
        {"network": {"name": []}},
        {"deviceClass": "Sensor"},
        {"deviceClass": {"offlineTimeout": 2**31}},
        {"deviceClass": {"equipment": {}}},
        {"equipment": [5]},
        {"blocked": 1},
    ],
)
async def test_a_body_of_the_wrong_shape_is_no_device(site, body):
    """Told without a code, before anybody asks who is speaking."""
    for client in (site.admin, site.nobody):
        response = await client.put("/device/lamp", body)
        assert (response.status, response.json()) == (400, {"error": None, "message": "Invalid request parameters"})


async def test_no_body_is_no_device(site):
    """It takes an object, if only an empty one."""
    assert told(await site.admin.put("/device/lamp")) == (400, "Invalid request parameters")
    assert await register(site.admin, "lamp") == DONE


@pytest.mark.parametrize(
    ("member", "text"), [("name", "Device name"), ("key", "Device key"), ("deviceClass", "Device class")]
)
async def test_some_members_cannot_be_null(site, member, text):
    """Told with a code."""
    response = await site.admin.put("/device/lamp", {member: None})

    assert (response.status, response.json()) == (400, {"error": 400, "message": f"{text} is required"})


@pytest.mark.parametrize(
    ("guid", "body"),
    [
        ("new", {}),
        ("new", {"key": "k", "name": "n"}),
        ("new", {**NEW, "name": "n" * 129}),
        ("new", {**NEW, "network": {}}),
        ("new", {**NEW, "deviceClass": {"name": "x"}}),
        ("g" * 49, NEW),
        ("lamp", {"status": ""}),
    ],
)
async def test_lengths_are_checked_by_the_storage(site, guid, body):
    """So there is no code in the body, and nothing is stored."""
    response = await site.admin.put(f"/device/{guid}", body)

    assert (response.status, response.json()["error"]) == (400, None)
    assert response.json()["message"].startswith("Error! Validation failed: ")
    assert len((await site.admin.get("/device")).json()) == 4


async def test_what_is_not_of_a_device_is_passed_over(site):
    """The guid of the path counts; numbers of nested objects mean nothing; ``isBlocked`` wins over ``blocked``."""
    body = {
        **NEW,
        "id": "other",
        "guid": "other",
        "network": {"id": 2, "name": "home", "devices": 5},
        "deviceClass": {"id": 99, **SENSOR},
        "isBlocked": True,
        "blocked": False,
        "entityVersion": 7,
        "data": {"a": None},
    }

    assert told(await site.admin.put("/device/new", body)) == DONE

    device = await shown(site)
    assert (device["id"], device["network"]["id"], device["deviceClass"]["id"]) == ("new", 1, 1)
    assert (device["isBlocked"], device["data"]) == (True, {"a": None})


async def test_equipment_has_two_places(site):
    """That of the class wins over the old one beside it, and null items are dropped."""

    def codes(device):
        return [piece["code"] for piece in device["deviceClass"]["equipment"]]

    old, new = ([None, {"name": "n", "code": code, "type": "t"}] for code in ("old", "new"))

    await register(site.admin, **NEW | {"deviceClass": {"name": "A", "version": "1"}}, equipment=old)
    assert codes(await shown(site)) == ["old"]
    await register(site.admin, deviceClass={"name": "A", "version": "1", "equipment": new}, equipment=old)
    assert codes(await shown(site)) == ["new"]
    await register(site.admin, equipment=old)
    assert codes(await shown(site)) == ["new"]
    await register(site.admin, deviceClass={"name": "A", "version": "1", "equipment": None}, equipment=[])
    assert codes(await shown(site)) == []


async def test_subscribers_hear_of_it_without_the_networks_key(site):
    """``$device-add`` once, ``$device-update`` with every later registration, also where nothing changed."""
    dashboard = await site.user("bob")
    await dashboard.succeed("notification/subscribe")

    await register(site.admin, **NEW, network=AWAY)
    await register(site.by_login("bob"))

    told = [push["notification"] for push in await dashboard.pushes()]
    assert [one["notification"] for one in told] == ["$device-add", "$device-update"]
    assert told[0]["parameters"] == {**await shown(site), "network": {**(await shown(site))["network"], "key": None}}


async def test_a_failed_registration_leaves_nothing_behind(site):
    """Neither the network nor the class that came first."""
    status, _ = await register(
        site.admin,
        name="n" * 129,
        key="k",
        network={"name": "fresh"},
        deviceClass={"name": "Fresh", "version": "1", "equipment": [{"name": "n", "code": "c", "type": "t"}]},
    )

    assert status == 400
    assert [network["name"] for network in (await site.admin.get("/network")).json()] == ["home", "away"]
    assert [one["name"] for one in (await site.admin.get("/device/class")).json()] == ["Sensor"]


async def test_a_registration_counts_as_life(site):
    """The device is not silent."""
    await register(site.admin, "lamp")

    device = await site.hub.gateway.devices.device("lamp")
    assert device.id in site.hub.gateway.activity
