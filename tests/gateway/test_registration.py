"""``device/save`` by everybody who may call it: who may create and change what, and what is left alone."""

import pytest

from tests.gateway.inside import world

SENSOR = {"name": "Sensor", "version": "1"}
FIXED = {"name": "Fixed", "version": "1"}
NEW = {"key": "new-key", "name": "New", "deviceClass": SENSOR}
WRONG = (401, "Invalid credentials")
NOT_PERMITTED = (401, "Unauthorized")
NETWORK_KEY = (403, "Incorrect network key value")
NO_ACCESS = (403, "No access to network!")
NO_CREATION = (403, "No permissions to create network!")
DONE = (200, None)


def not_found(guid):
    return 401, f"Device with such guid = {guid} not found"


@pytest.fixture
def town(start_hub):
    """Networks with and without keys, users inside and outside, a device of a permanent class, a blocked one."""

    async def start(**chosen):
        data = world()

        def user(login, *networks):
            given = {"password": f"{login}-pw", "role": "CLIENT", "status": "ACTIVE"}
            return {"login": login, "networks": list(networks), **given}

        blocked = {**data["devices"][2], "guid": "blocked", "key": "blocked-key", "blocked": True}
        town = await start_hub(
            {
                **data,
                "networks": [
                    {"name": "home", "key": "home-key"},
                    {"name": "away", "key": "away-key"},
                    {"name": "bare"},
                ],
                "users": [*data["users"], user("alice", "home", "bare"), user("loner")],
                "devices": [*data["devices"], blocked],
                "accessKeys": [
                    *data["accessKeys"],
                    {"name": "alice", "owner": "alice", "permissions": [{"actions": ["RegisterDevice"]}]},
                    {"name": "bare-only", "owner": "alice", "permissions": [{"networkIds": [3]}]},
                    {"name": "fan-only", "owner": "alice", "permissions": [{"deviceGuids": ["fan"]}]},
                    {"name": "reader", "owner": "admin", "permissions": [{"actions": ["GetDevice"]}]},
                    {
                        "name": "manager",
                        "owner": "admin",
                        "permissions": [{"actions": ["RegisterDevice", "ManageNetwork"]}],
                    },
                ],
            },
            **chosen,
        )
        await town.hub.store.transact(_fix)
        return town

    return start


def _fix(tx):
    fixed = tx.insert_class(name="Fixed", version="1", is_permanent=True, offline_timeout_s=60)
    tx.update_device(tx.device("door").id, class_id=fixed.id)


async def connected(town, who):
    if who == "anonymous":
        return await town.connect("/websocket/device")
    if who in ("admin", "alice", "loner"):
        return await town.user(who)
    if who.startswith("device "):
        guid = who.removeprefix("device ")
        return await town.device(guid, f"{guid}-key")
    return await town.key(who.removeprefix("key "))


async def save(peer, guid="new", *, device_key="any", device=NEW, **members):
    answer = await peer.ask("device/save", deviceId=guid, deviceKey=device_key, device=device, **members)
    return answer.get("code", 200), answer.get("error")


async def stored(town, guid="new"):
    """The device as the log of changes left it."""
    return await town.hub.store.transact(lambda tx: tx.device(guid))


# --- what is checked first, for everybody


MISSING = [
    ({"deviceId": None}, "Device guid is wrong or empty"),
    ({"device": None}, "Device is empty"),
    ({"device": {**NEW, "name": None}}, "Device name is required"),
    ({"device": {**NEW, "key": None}}, "Device key is required"),
    ({"device": {**NEW, "deviceClass": None}}, "Device class is required"),
    ({"deviceId": None, "device": None}, "Device guid is wrong or empty"),
    ({"device": {"name": None, "key": None}}, "Device name is required"),
    ({"device": {**NEW, "network": 5}}, "Invalid request parameters"),
    ({"device": {**NEW, "deviceClass": 5}}, "Invalid request parameters"),
]


async def test_what_is_missing_is_named_in_order(town):
    """The first of several faults is told, with code 400."""
    admin = await connected(await town(), "admin")

    for members, error in MISSING:
        answer = await admin.ask("device/save", **{"deviceId": "new", "device": NEW, **members})
        assert (members, answer["code"], answer["error"]) == (members, 400, error)


@pytest.mark.parametrize(("who", "outcome"), [("anonymous", (400, "Device key is required")), ("admin", DONE)])
async def test_only_the_anonymous_need_a_device_key_beside(town, who, outcome):
    """``deviceKey`` is required for anonymous callers only (D-33)."""
    peer = await connected(await town(), who)

    assert await save(peer, device_key=None) == outcome


VIOLATIONS = [
    {**NEW, "name": "n" * 129},
    {**NEW, "key": "k" * 65},
    {**NEW, "key": ""},
    {**NEW, "status": "s" * 129},
    {"key": "k", "deviceClass": SENSOR},
    {"key": "k", "name": "n"},
    {**NEW, "deviceClass": {"name": "New", "version": "v" * 33}},
    {**NEW, "deviceClass": {"name": "New"}},
    {**NEW, "deviceClass": {"name": "New", "version": "1", "equipment": [{"name": "n", "code": "c"}]}},
    {**NEW, "network": {"name": "n" * 129}},
]


async def test_lengths_and_presence_are_checked_and_nothing_remains(town):
    """A violation is 400, and no class, network or device is left behind."""
    town = await town()
    before, admin = await _classes_and_networks(town), await connected(town, "admin")

    for device in VIOLATIONS:
        code, error = await save(admin, device=device)
        assert (device, code, error[:27]) == (device, 400, "Error! Validation failed: \n")
    for guid in ("g" * 49, ""):
        assert (await save(admin, guid=guid))[0] == 400

    assert await stored(town) is None
    assert await _classes_and_networks(town) == before


async def _classes_and_networks(town):
    return await town.hub.store.transact(lambda tx: (tx.device_classes(), tx.networks()))


# --- creating


CREATING = [
    ("admin", {}, DONE),
    ("admin", {"network": {"name": "away", "key": "away-key"}}, DONE),
    ("admin", {"network": {"name": "away"}}, NETWORK_KEY),
    ("admin", {"network": {"name": "made by admin"}}, DONE),
    ("alice", {"network": {"name": "home", "key": "home-key"}}, DONE),
    ("alice", {"network": {"name": "home", "key": "wrong"}}, NETWORK_KEY),
    ("alice", {"network": {"name": "bare"}}, DONE),
    ("alice", {"network": {"name": "away", "key": "away-key"}}, NO_ACCESS),
    ("alice", {"network": {"name": "unheard"}}, NO_CREATION),
    ("loner", {"network": {"name": "bare"}}, NO_ACCESS),
    ("key alice", {"network": {"name": "bare"}}, DONE),
    ("key alice", {"network": {"name": "away", "key": "away-key"}}, NO_ACCESS),
    ("key alice", {"network": {"name": "unheard"}}, NO_CREATION),
    ("key bare-only", {"network": {"name": "home", "key": "home-key"}}, NO_ACCESS),
    ("key admin", {"network": {"name": "made by a key"}}, DONE),
    ("key manager", {"network": {"name": "made by a manager"}}, DONE),
    ("key reader", {}, NOT_PERMITTED),
    ("anonymous", {}, NETWORK_KEY),
    ("anonymous", {"network": {"name": "home", "key": "home-key"}}, DONE),
    ("anonymous", {"network": {"name": "home", "key": "wrong"}}, NETWORK_KEY),
    ("anonymous", {"network": {"name": "home"}}, NETWORK_KEY),
    ("anonymous", {"network": {"name": "bare"}}, NETWORK_KEY),
    ("anonymous", {"network": {"name": "unheard", "key": "x"}}, NETWORK_KEY),
    ("device lamp", {"network": {"name": "home", "key": "home-key"}}, DONE),
    ("device lamp", {"network": {"name": "home", "key": "wrong"}}, NETWORK_KEY),
]


async def test_who_may_create_where(town):
    """New devices go into known networks that the caller may use, and into new ones if the caller manages networks."""
    town = await town()
    peers = {who: await connected(town, who) for who in {who for who, _, _ in CREATING}}

    for number, (who, device, outcome) in enumerate(CREATING):
        row, guid = (who, device), f"new-{number}"
        assert (row, await save(peers[who], guid, device={**NEW, **device})) == (row, outcome)
        made = await stored(town, guid)
        assert (row, made is not None) == (row, outcome == DONE)
        if made is not None and device:
            assert made.network.name == device["network"]["name"]


@pytest.mark.parametrize(
    ("registration", "network", "outcome"),
    [
        ("off", {"name": "home", "key": "home-key"}, NOT_PERMITTED),
        ("open", None, DONE),
        ("open", {"name": "bare"}, DONE),
        ("open", {"name": "home"}, NETWORK_KEY),
        ("open", {"name": "unheard"}, NO_CREATION),
    ],
)
async def test_anonymous_registration_is_a_setting(town, registration, network, outcome):
    """``off`` takes nobody new; ``open`` resolves the network and asks nothing else (D-39)."""
    town = await town(anonymous_registration=registration)

    assert await save(await connected(town, "anonymous"), device={**NEW, "network": network}) == outcome


async def test_networks_on_demand_for_everybody_is_a_setting(town):
    """HUB_NETWORK_AUTO_CREATE lets a client make one by naming it, without becoming a member; a stored row wins."""
    town = await town(network_auto_create=True)
    alice = await connected(town, "alice")

    assert await save(alice, device={**NEW, "network": {"name": "unheard"}}) == DONE

    assert len((await town.hub.store.find_user(2)).networks) == 2
    assert await save(alice, device=NEW) == NOT_PERMITTED


@pytest.mark.parametrize(
    ("who", "network", "linked"),
    [
        ("alice", "home", False),
        ("loner", None, True),
        ("key bare-only", "bare", False),
        ("admin", None, False),
        ("key admin", None, False),
    ],
)
async def test_a_device_that_names_no_network_stays_visible_to_its_creator(town, who, network, linked):
    """A client's goes into the client's first network or is linked to the client; an administrator's is free (D-34)."""
    town = await town()

    assert await save(await connected(town, who)) == DONE

    made = await stored(town)
    assert (made.network.name if made.network else None, made.has_users) == (network, linked)


async def test_a_new_device_gets_its_defaults_and_its_key(town):
    """Not blocked; without ``device.key`` the key is ``deviceKey``; the key works at once."""
    town = await town()
    device = {"name": "New", "deviceClass": SENSOR, "network": {"name": "home", "key": "home-key"}}

    assert await save(await connected(town, "anonymous"), device_key="fresh", device=device) == DONE

    peer = await town.device("new", "fresh")
    assert (await peer.succeed("device/get"))["device"]["isBlocked"] is False


# --- changing


CHANGING = [
    ("anonymous", "lamp", {"key": "lamp-key"}, DONE),
    ("anonymous", "lamp", {"key": "wrong"}, WRONG),
    ("anonymous", "lamp", {}, WRONG),
    ("anonymous", "blocked", {"key": "blocked-key"}, WRONG),
    ("anonymous", "lamp", {"key": "lamp-key", "network": {"name": "away", "key": "away-key"}}, DONE),
    ("anonymous", "lamp", {"key": "lamp-key", "network": {"name": "bare"}}, NETWORK_KEY),
    ("device lamp", "lamp", {}, DONE),
    ("device lamp", "lamp", {"key": "lamp-key"}, DONE),
    ("device lamp", "lamp", {"key": "wrong"}, WRONG),
    ("device lamp", "lamp", {"network": {"name": "bare"}}, NETWORK_KEY),
    ("device lamp", "fan", {"key": "fan-key"}, DONE),
    ("device lamp", "fan", {"key": "wrong"}, not_found("fan")),
    ("device lamp", "fan", {}, not_found("fan")),
    ("admin", "lamp", {}, DONE),
    ("alice", "lamp", {}, DONE),
    ("loner", "lamp", {}, NOT_PERMITTED),
    ("key alice", "lamp", {}, DONE),
    ("key fan-only", "fan", {}, DONE),
    ("key fan-only", "lamp", {}, not_found("lamp")),
    ("key bare-only", "lamp", {}, not_found("lamp")),
]


async def test_who_may_change_which(town):
    """An existing device is changed by those who know its key, are it, or see it; a refusal changes nothing."""
    town = await town()
    peers = {who: await connected(town, who) for who in {who for who, *_ in CHANGING}}

    for number, (who, guid, device, outcome) in enumerate(CHANGING):
        row = (who, guid, device)
        before = await stored(town, guid)
        asked = {"deviceClass": {"name": f"Other {number}", "version": "2"}, "status": "changed", **device}
        assert (row, await save(peers[who], guid, device=asked)) == (row, outcome)
        now, (classes, _) = await stored(town, guid), await _classes_and_networks(town)
        assert (row, now.status) == (row, "changed" if outcome == DONE else before.status)
        assert (f"Other {number}" in {one.name for one in classes}) == (outcome == DONE)
        await town.hub.store.transact(lambda tx, one=before: _put_back(tx, one))
        town.hub.gateway.devices.drop(guid)


def _put_back(tx, device):
    tx.update_device(device.id, status=device.status, network_id=device.network_id, class_id=device.device_class.id)


async def test_without_gateway_mode_a_device_saves_only_itself(town):
    """HUB_DEVICES_GATEWAY_MODE=false: another guid is another's, whatever the key."""
    town = await town(devices_gateway_mode=False)

    assert await save(await connected(town, "device lamp"), "fan", device={**NEW, "key": "fan-key"}) == not_found("fan")


FIELDS = {
    "anonymous": {"status", "data", "network", "class"},
    "device lamp": {"status", "data", "network", "class", "name"},
    "alice": {"status", "data", "network", "class", "name", "key", "blocked"},
    "admin": {"status", "data", "network", "class", "name", "key", "blocked"},
    "key alice": {"status", "data", "network", "class", "name", "key", "blocked"},
}


@pytest.mark.parametrize("self_unblock", [False, True])
@pytest.mark.parametrize("who", FIELDS)
async def test_what_each_caller_may_change(town, who, self_unblock):
    """The fields of an existing device that are updated; ``blocked`` by itself only where a setting says so (D-37)."""
    town = await town(devices_self_unblock=self_unblock)
    network = {"name": "away", "key": "away-key"} if who in ("anonymous", "device lamp", "admin") else {"name": "bare"}
    in_person = who not in ("anonymous", "device lamp")
    device = {
        "key": "other-key" if in_person else "lamp-key",
        "name": "Renamed",
        "status": "s",
        "data": [1],
        "network": network,
        "deviceClass": {"name": "Other", "version": "2"},
        "blocked": True,
    }

    assert await save(await connected(town, who), "lamp", device=device) == DONE

    now = await stored(town, "lamp")
    changed = {
        "status": now.status == "s",
        "data": now.data == [1],
        "network": now.network.name == network["name"],
        "class": now.device_class.name == "Other",
        "name": now.name == "Renamed",
        "key": await town.hub.store.transact(lambda tx: tx.device_key_matches(now.id, "other-key")),
        "blocked": now.is_blocked,
    }
    assert {name for name, was in changed.items() if was} == FIELDS[who] | ({"blocked"} if self_unblock else set())


async def test_what_is_absent_stays_and_what_is_null_goes(town):
    """Absent members leave a field as it is; null clears status, data and network."""
    town = await town()
    admin = await connected(town, "admin")
    await save(admin, "lamp", device={"status": "s", "data": 1})
    assert await save(admin, "lamp", device={}) == DONE
    kept = await stored(town, "lamp")

    assert await save(admin, "lamp", device={"status": None, "data": None, "network": None}) == DONE

    gone = await stored(town, "lamp")
    assert (kept.status, kept.data, kept.network.name) == ("s", 1, "home")
    assert (gone.status, gone.data, gone.network) == (None, None, None)


@pytest.mark.parametrize("member", ["blocked", "isBlocked"])
async def test_blocking_has_two_names(town, member):
    """``isBlocked`` wins over ``blocked`` where both are there."""
    town = await town()
    other = {"blocked": False} if member == "isBlocked" else {}

    await save(await connected(town, "admin"), "lamp", device={member: True, **other})

    assert (await stored(town, "lamp")).is_blocked is True


# --- classes


@pytest.mark.parametrize(
    ("who", "left"), [("anonymous", False), ("device door", True), ("alice", False), ("key alice", True)]
)
async def test_a_device_of_a_permanent_class(town, who, left):
    """Devices and keys leave it in its class; users and the anonymous put it into another."""
    town = await town()

    assert await save(await connected(town, who), "door", device={"key": "door-key", "deviceClass": SENSOR}) == DONE

    assert (await stored(town, "door")).device_class.name == ("Fixed" if left else "Sensor")


async def test_a_permanent_class_is_not_changed_by_a_registration(town):
    """What a registration says about a permanent class is passed over; another class is overwritten."""
    town = await town()
    admin = await connected(town, "admin")
    asked = {"offlineTimeout": 5, "data": {"x": 1}, "equipment": [{"name": "L", "code": "L", "type": "l"}]}

    await save(admin, "door", device={"deviceClass": {**FIXED, **asked}})
    await save(admin, "lamp", device={"deviceClass": {**SENSOR, **asked}})

    fixed, sensor = (await stored(town, "door")).device_class, (await stored(town, "lamp")).device_class
    assert (fixed.offline_timeout_s, fixed.data, fixed.equipment) == (60, None, ())
    assert (sensor.offline_timeout_s, sensor.data, sensor.equipment[0].code) == (5, {"x": 1}, "L")


async def test_equipment_replaces_the_whole_set(town):
    """From the class, or else from beside the device; ids change; absent leaves the set, empty empties it."""
    town = await town()
    admin = await connected(town, "admin")
    part = {"name": "L", "type": "l"}

    async def equipped(device_class, **members):
        assert await save(admin, "lamp", device={"deviceClass": {**SENSOR, **device_class}}, **members) == DONE
        return [piece.code for piece in (await stored(town, "lamp")).device_class.equipment]

    assert await equipped({}, equipment=[{**part, "code": "beside"}]) == ["beside"]
    assert await equipped({"equipment": [{**part, "code": "in"}]}, equipment=[{**part, "code": "beside"}]) == ["in"]
    assert await equipped({}) == ["in"]
    assert await equipped({"equipment": []}) == []


async def test_what_does_not_differ_is_not_written(town):
    """Saving the same again changes nothing but is told all the same; true is not the same as 1."""
    town = await town()
    lamp = await connected(town, "device lamp")
    piece = {"name": "L", "code": "L", "type": "l", "data": {"on": 1}}

    async def saved(**members):
        told = {"name": "lamp", "status": "On", "data": {"x": 1}, "deviceClass": {**SENSOR, "equipment": [piece]}}
        before = (await town.hub.store.changes(-1)).revision
        assert await save(lamp, "lamp", device={**NEW, "key": "lamp-key", **told, **members}) == DONE
        changes = (await town.hub.store.changes(before)).changes
        return [change.entity for change in changes], (await stored(town, "lamp")).device_class.equipment

    changed, equipment = await saved()
    again, unchanged = await saved()
    piece["data"] = {"on": True}
    different, replaced = await saved()
    data, _ = await saved(data={"x": True})

    assert (changed, again, different, data) == (["class", "device"], [], ["class"], ["device"])
    assert equipment == unchanged
    assert replaced[0].data == {"on": True}
    assert replaced[0].id != equipment[0].id


async def test_a_class_has_so_much_equipment_and_no_more(town):
    """Past the limit nothing is saved, and the error names it; a permanent class passes equipment over."""
    town = await town(equipment_per_class=3)
    admin = await connected(town, "admin")

    def asked(number, kind):
        pieces = [{"name": "L", "code": f"L{place}", "type": "l"} for place in range(number)]
        return {**NEW, "deviceClass": {**kind, "equipment": pieces}}

    assert await save(admin, device=asked(3, SENSOR)) == DONE
    refusal = (400, "Limit reached: 3 pieces of equipment per device class")
    assert await save(admin, "another", device=asked(4, SENSOR)) == refusal
    assert await save(admin, "third", device=asked(4, FIXED)) == DONE
    assert await stored(town, "another") is None
    assert [piece.code for piece in (await stored(town)).device_class.equipment] == ["L0", "L1", "L2"]


async def test_a_change_of_a_class_is_seen_by_its_devices_at_once(town):
    """And costs the devices of other classes nothing."""
    town = await town()
    admin, lamp = await connected(town, "admin"), await connected(town, "device lamp")
    for guid in ("fan", "door"):
        await admin.succeed("notification/insert", deviceGuid=guid, notification={"notification": "watts"})

    assert await save(admin, "fan", device={**NEW, "key": "fan-key", "deviceClass": {**SENSOR, "data": 7}}) == DONE

    assert (await lamp.succeed("device/get"))["device"]["deviceClass"]["data"] == 7
    assert town.hub.gateway.devices.cached("door") is not None


async def test_equipment_with_one_code_twice_undoes_everything(town):
    """A check that comes late undoes what came before it: the network, the class, the device."""
    town = await town()
    before = await _classes_and_networks(town)
    piece = {"name": "L", "code": "L", "type": "l"}
    device_class = {"name": "Other", "version": "1", "equipment": [piece, piece]}

    code, error = await save(
        await connected(town, "admin"), device={**NEW, "network": {"name": "unheard"}, "deviceClass": device_class}
    )

    assert (code, error[:56]) == (403, "Duplicate equipment entry with code = L for device class"[:56])
    assert await stored(town) is None
    assert await _classes_and_networks(town) == before


async def test_saving_is_told_and_counts_as_life(town):
    """``$device-add`` once, then ``$device-update``, whole and without the network's key; the device is heard of."""
    town = await town()
    admin, reader = await connected(town, "admin"), await connected(town, "admin")
    await reader.succeed("notification/subscribe")
    device = {**NEW, "network": {"name": "home", "key": "home-key"}}

    assert [await save(admin, device=device) for _ in range(2)] == [DONE, DONE]

    pushes = [push["notification"] for push in await reader.pushes()]
    assert [push["notification"] for push in pushes] == ["$device-add", "$device-update"]
    assert pushes[0]["parameters"]["network"]["key"] is None
    assert pushes[0]["parameters"] == pushes[1]["parameters"]
    assert (await stored(town)).id in town.hub.gateway.activity
