"""Commands and notifications over REST: the same messages that sockets insert, push and update."""

import pytest

from hub.store import HistoryQuery
from protocol.messages import Notification
from protocol.names import Kind
from protocol.times import format_ms
from tests.rest.http import NOTHING
from tests.waiting import until

KEY = "Idempotency-Key"


async def notified(client, name="watts", parameters=None, *, guid="lamp"):
    made = await client.post(f"/device/{guid}/notification", {"notification": name, "parameters": parameters})
    assert made.status == 201, made
    return made.json()


async def commanded(client, guid="lamp", name="on", **members):
    made = await client.post(f"/device/{guid}/command", {"command": name, **members})
    assert made.status == 201, made
    return made.json()


async def listed(client, path, member="parameters"):
    response = await client.get(path)
    assert response.status == 200, response
    return [one[member] for one in response.json()]


async def fill(site, number):
    """So many notifications of the lamp, as quickly as the log takes them."""
    gateway = site.hub.gateway
    lamp, last = await gateway.devices.device("lamp"), None
    for _ in range(number):
        stamp = await gateway.ids.stamp(lamp.id)
        last = gateway.append(Notification(stamp.id, lamp.id, "lamp", "n", stamp.timestamp_ms), lamp)
    await last


def refusal(response):
    return response.status, response.json()["message"]


# --- inserting --------------------------------------------------------------------------------------------------------


async def test_a_command_reaches_a_device_and_its_answer_is_kept(site):
    """Inserted here, pushed to the device's socket, updated there, read here; and nobody who inserts here listens."""
    lamp = await site.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe")

    made = await commanded(site.by_login("alice"), parameters={"pin": 3}, lifetime=60)
    pushed = (await lamp.push())["command"]
    await lamp.succeed("command/update", commandId=made["id"], command={"status": "Done", "result": [1]})
    read = (await site.by_login("alice").get(f"/device/lamp/command/{made['id']}")).json()

    assert made == {"id": made["id"], "timestamp": made["timestamp"], "userId": 2}
    assert (pushed["id"], pushed["parameters"], pushed["lifetime"]) == (made["id"], {"pin": 3}, 60)
    assert read == {**pushed, "status": "Done", "result": [1]}


async def test_a_notification_reaches_a_dashboard(site):
    """As if the device had told it over its socket."""
    dashboard = await site.user("alice")
    await dashboard.succeed("notification/subscribe")

    made = await notified(site.by_device("lamp"), parameters=[1.50, None, 2**64 - 1])
    pushed = (await dashboard.push())["notification"]

    assert made == {name: pushed[name] for name in ("id", "notification", "deviceGuid", "timestamp")}
    assert pushed["parameters"] == [1.5, None, 2**64 - 1]


async def test_an_update_reaches_the_socket_that_inserted_the_command(site):
    """And only what it names is changed."""
    inserter = await site.user("alice")
    inserted = await inserter.succeed(
        "command/insert", deviceGuid="lamp", command={"command": "on", "parameters": 1, "lifetime": 7}
    )
    at = f"/device/lamp/command/{inserted['command']['id']}"

    answer = await site.by_device("lamp").put(at, {"status": "Done", "command": "off", "parameters": None})
    update = (await inserter.push())["command"]

    assert (answer.status, answer.body) == (204, b"")
    assert (update["command"], update["status"], update["parameters"], update["lifetime"]) == ("on", "Done", None, 7)


async def test_an_empty_update_counts_and_none_at_all_is_refused(site):
    """The command is updated from then on, with what it had."""
    made = await commanded(site.admin, status="early")
    at = f"/device/lamp/command/{made['id']}"

    nothing = await site.admin.put(at)
    empty = await site.admin.put(at, {})
    waited = await site.admin.get(f"{at}/poll?waitTimeout=0")

    assert refusal(nothing) == (400, "Invalid request parameters")
    assert empty.status == 204
    assert waited.json()["status"] == "early"


@pytest.mark.parametrize(
    ("body", "told"),
    [(NOTHING, "Command is required"), ({}, "Command is required"), ({"command": None}, "Command is required")],
)
async def test_a_command_has_a_name(site, body, told):
    """Also where there is no body at all."""
    assert refusal(await site.admin.post("/device/lamp/command", body)) == (400, told)


@pytest.mark.parametrize("body", [NOTHING, {}, {"notification": None}, {"notification2": "x"}])
async def test_a_notification_has_a_name(site, body):
    """In DeviceHive's words."""
    response = await site.admin.post("/device/lamp/notification", body)

    assert response.json() == {"error": 400, "message": "Invalid request parameters"}


async def test_what_is_not_there_is_not_found(site):
    """A device that does not exist or is not the caller's; then a command that the device does not have."""
    alice, of_door = site.by_login("alice"), (await commanded(site.admin, "door"))["id"]
    device = "Device with such guid = {} not found".format

    for guid in ("nowhere", "oven"):
        for method, path, body in (
            ("POST", "command", {"command": "on"}),
            ("POST", "notification", {"notification": "watts"}),
            ("PUT", "command/1", {"status": "x"}),
            ("GET", "command", NOTHING),
            ("GET", "command/1", NOTHING),
            ("GET", "notification", NOTHING),
            ("GET", "notification/1", NOTHING),
        ):
            assert refusal(await alice.ask(method, f"/device/{guid}/{path}", body)) == (404, device(guid))
    for method, body in (("GET", NOTHING), ("PUT", {"status": "x"})):
        response = await alice.ask(method, f"/device/lamp/command/{of_door}", body)
        assert refusal(response) == (404, f"Command with id = {of_door} not found")
    response = await alice.get(f"/device/lamp/notification/{of_door}")
    assert refusal(response) == (404, f"Notification with id = {of_door} not found")


async def test_a_message_is_no_larger_than_on_a_socket(start_site):
    """Other bodies may be: to the byte, and it says how much."""
    site = await start_site(message_bytes=40_000)
    body = b'{"notification":"n","parameters":"%b"}'
    room = 40_000 - len(body) + 2

    fits = await site.admin.post("/device/lamp/notification", body % (b"x" * room))
    large = await site.admin.post("/device/lamp/notification", body % (b"x" * (room + 1)))
    command = await site.admin.post("/device/lamp/command", {"command": "x" * 40_000})

    assert fits.status == 201
    assert refusal(large) == refusal(command) == (413, "Request body too large: at most 40000 bytes")


# --- idempotency ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["command", "notification"])
async def test_a_repetition_with_its_key_inserts_nothing(site, what):
    """The first answer comes again; another key, device, or principal makes another message."""
    path, body = f"/device/lamp/{what}", {what: "x"}

    async def insert(client=site.admin, at=path, key="k1"):
        return (await client.post(at, body, headers=[(KEY, key)])).json()

    first, again = await insert(), await insert()
    others = [
        await insert(key="k2"),
        await insert(at=path.replace("lamp", "door")),
        await insert(site.by_key("alices")),
    ]

    assert again == first
    assert len({one["id"] for one in [first, *others]}) == 4
    assert len(await listed(site.admin, path)) == 3


@pytest.mark.parametrize("key", ["", "x" * 65])
async def test_a_key_has_its_length(site, key):
    """1 to 64 characters; nothing is inserted with another."""
    response = await site.admin.post("/device/lamp/command", {"command": "on"}, headers=[(KEY, key)])

    assert refusal(response) == (400, "Invalid request parameters")
    assert await listed(site.admin, "/device/lamp/command") == []


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def told(site):
    """Five notifications, the newest last."""
    return [await notified(site.by_device("lamp"), "even" if n % 2 == 0 else "odd", n) for n in range(5)]


async def test_a_list_is_newest_first(site, told):
    """And says of each message all that there is to say."""
    found = (await site.by_login("alice").get("/device/lamp/notification")).json()

    assert found == [{**made, "parameters": number} for number, made in reversed(list(enumerate(told)))]


async def test_a_list_is_what_was_asked_for(site, told):
    """By time, both ends included; by name; in pages; sorted either way."""
    at = "/device/lamp/notification"
    begin, end = told[1]["timestamp"], told[3]["timestamp"]

    for asked, expected in {
        f"start={begin}&end={end}": [3, 2, 1],
        "notification=odd": [3, 1],
        "notification=": [4, 3, 2, 1, 0],
        "take=2": [4, 3],
        "take=2&skip=2": [2, 1],
        "sortField=timestamp": [4, 3, 2, 1, 0],
        "sortOrder=asc": [0, 1, 2, 3, 4],
        "sortField=NOTIFICATION": [4, 2, 0, 3, 1],
        "sortField=Notification&sortOrder=DESC": [3, 1, 4, 2, 0],
        "take=0": [4, 3, 2, 1, 0],
        "take=-7": [4, 3, 2, 1, 0],
        "gridInterval=anything": [4, 3, 2, 1, 0],
        "start=2015-01-01": [4, 3, 2, 1, 0],
        "start=2100-01-01": [],
    }.items():
        assert await listed(site.admin, f"{at}?{asked}") == expected, asked


async def test_commands_are_listed_with_what_became_of_them(site):
    """Answered ones too, by their status; a device lists its own."""
    one, two = await commanded(site.admin, "lamp", "on"), await commanded(site.admin, "lamp", "off")
    await site.by_device("lamp").put(f"/device/lamp/command/{one['id']}", {"status": "Done"})

    async def statuses(asked):
        return await listed(site.by_device("lamp"), f"/device/lamp/command{asked}", "status")

    assert await statuses("") == [None, "Done"]
    assert await statuses("?sortField=Status") == ["Done", None]
    assert await statuses("?status=Done") == ["Done"]
    assert await statuses("?command=off") == [None]
    assert two["id"] > one["id"]


async def test_an_expired_command_is_listed_and_read(site):
    """Its lifetime ends what is delivered, not what is shown."""
    made = await commanded(site.admin, lifetime=1)
    site.hub.gateway.now_us = lambda now_us=site.hub.gateway.now_us: now_us() + 2_000_000

    assert await listed(site.admin, "/device/lamp/command", "id") == [made["id"]]
    assert (await site.admin.get(f"/device/lamp/command/{made['id']}")).json()["status"] is None
    assert (await site.admin.get("/device/lamp/command/poll?timestamp=2015-01-01&waitTimeout=0")).json() == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("start=yesterday&take=1001&sortOrder=up", "Unparseable timestamp"),
        ("end=yesterday", "Unparseable timestamp"),
        ("sortOrder=up&sortField=color", "Unparseable sort order : up"),
        ("sortField=color", "Invalid request parameters"),
        ("sortField=Status", "Invalid request parameters"),
        ("take=1001", "Limit reached: 1000 messages per list"),
        ("skip=-1", "Invalid request parameters"),
    ],
)
async def test_what_cannot_be_listed_is_refused(site, asked, told):
    """Before anybody looks whether the device is there."""
    assert refusal(await site.admin.get(f"/device/nowhere/notification?{asked}")) == (400, told)


@pytest.mark.parametrize("asked", ["take=some", "skip=1.5"])
async def test_numbers_are_numbers(site, asked):
    """What is none leads nowhere."""
    assert refusal(await site.admin.get(f"/device/lamp/command?{asked}")) == (404, "HTTP 404 Not Found")


@pytest.mark.parametrize(("compat", "most", "too_many"), [("", 1_000, 400), ("devicehive", 1_100, 200)])
async def test_as_devicehive_a_list_has_no_end(start_site, compat, most, too_many):
    """Otherwise it has a thousand messages, and zero means as many."""
    site = await start_site(compat=compat, rest_requests_per_s=0.0)
    await fill(site, 1_100)

    lengths = [len(await listed(site.admin, f"/device/lamp/notification?take={take}")) for take in (0, -1, 1_000)]

    assert lengths == [most, most, 1_000]
    assert (await site.admin.get("/device/lamp/notification?take=1001")).status == too_many
    assert len(await listed(site.admin, "/device/lamp/notification")) == 100


async def test_what_was_told_without_waiting_for_the_log_is_listed(start_site):
    """``queued`` answers before it stores: whoever reads then reads what was answered."""
    site = await start_site(durability="queued", rest_requests_per_s=0.0)

    for number in range(20):
        made = await notified(site.admin, parameters=number)
        assert (await listed(site.admin, "/device/lamp/notification?take=1")) == [number]
        assert (await site.admin.get(f"/device/lamp/notification/{made['id']}")).status == 200


async def test_times_of_answers_find_their_messages(site):
    """A timestamp is the message's, to the millisecond, wherever it is shown."""
    made = await notified(site.admin)
    device = await site.hub.gateway.devices.device("lamp")
    [stored] = await site.hub.store.history(HistoryQuery(Kind.NOTIFICATION, device.id))

    assert made["timestamp"] == format_ms(stored.timestamp_ms)
    assert await listed(site.admin, f"/device/lamp/notification?end={made['timestamp']}", "id") == [made["id"]]


async def test_a_device_reads_its_commands_and_no_notifications(site):
    """Its own ones only."""
    lamp = site.by_device("lamp")
    await commanded(site.admin)

    assert (await lamp.get("/device/lamp/command")).status == 200
    assert (await lamp.get("/device/door/command")).status == 404
    for path in ("", "/1", "/poll"):
        assert refusal(await lamp.get(f"/device/lamp/notification{path}")) == (401, "Unauthorized")


async def test_special_notifications_act_here_too(site):
    """What equipment reports is its state, and ``$device-update`` comes before the status that it tells of."""
    lamp = site.by_device("lamp")

    await notified(lamp, "equipment", {"equipment": "e1", "v": 1})
    await notified(lamp, "device-status", {"status": "Busy"})
    refused = await lamp.post("/device/lamp/notification", {"notification": "equipment"})
    names = await listed(site.admin, "/device/lamp/notification", "notification")

    assert names[:3] == ["device-status", "$device-update", "equipment"]
    assert refusal(refused) == (400, "equipment notification must have parameters!")
    device = await site.hub.gateway.devices.device("lamp")
    assert device.status == "Busy"
    assert await until(lambda: site.hub.store.consult(lambda tx: tx.equipment_state(device.id, "e1")))


# --- extended mode ----------------------------------------------------------------------------------------------------

EXTENDED = (("Hub-Version", "1"),)


async def test_states_are_shown_to_whoever_asks_for_extended_mode(site):
    """In the answer to an insert, in reads and in lists; without the header nowhere."""
    alice, lamp = site.by_login("alice"), site.by_device("lamp")
    made = await alice.ask("POST", "/device/lamp/command", {"command": "on"}, headers=EXTENDED)
    path = f"/device/lamp/command/{made.json()['id']}"
    plain = await alice.get(path)
    before = await alice.ask("GET", path, headers=EXTENDED)
    await lamp.put(path, {"status": "ok"})

    listed = await alice.ask("GET", "/device/lamp/command", headers=EXTENDED)
    waited = await alice.ask("GET", f"{path}/poll?waitTimeout=0", headers=EXTENDED)
    everything = await alice.get("/device/lamp/command")

    assert (made.json()["state"], before.json()["state"]) == ("queued", "queued")
    assert [one["state"] for one in listed.json()] == ["done"]
    assert waited.json()["state"] == "done"
    assert "state" not in plain.json()
    assert "state" not in everything.json()[0]


async def test_an_expired_command_is_shown_as_that(site):
    """Also where nobody was there when its time was over."""
    from tests.gateway.inside import take_clock

    clock, alice = take_clock(site.hub.gateway), site.by_login("alice")
    made = await alice.post("/device/lamp/command", {"command": "on", "lifetime": 5})
    clock.forward(6)

    listed = await alice.ask("GET", "/device/lamp/command", headers=EXTENDED)
    single = await alice.ask("GET", f"/device/lamp/command/{made.json()['id']}", headers=EXTENDED)

    assert ([one["state"] for one in listed.json()], single.json()["state"]) == (["expired"], "expired")


async def test_a_command_that_must_not_wait_or_end_at_once_is_refused(site):
    """``queue: false`` works for everybody; a lifetime of nothing is refused in extended mode only."""
    alice, body = site.by_login("alice"), {"command": "on", "lifetime": 0}

    not_connected = await alice.post("/device/lamp/command", {**body, "queue": False})
    ordinary = await alice.post("/device/lamp/command", body)
    extended = await alice.ask("POST", "/device/lamp/command", body, headers=EXTENDED)

    assert (not_connected.status, not_connected.json()["message"]) == (409, "Device is not connected")
    assert ordinary.status == 201
    assert (extended.status, extended.json()["detail"]) == (400, {"parameter": "lifetime"})


async def test_the_end_of_a_command_is_watched_for_connections_only(site):
    """Whoever inserts by a request hears of no change, so nothing is kept until a lifetime of years is over."""
    body = {"command": "on", "lifetime": 50_000_000}

    made = await site.by_login("alice").ask("POST", "/device/lamp/command", body, headers=EXTENDED)

    assert made.json()["state"] == "queued"
    assert len(site.hub.gateway.states) == 0


async def test_a_repeated_insert_shows_what_has_become_of_the_command(site):
    """Also when nobody was there as its time was over."""
    from tests.gateway.inside import take_clock

    clock, alice = take_clock(site.hub.gateway), site.by_login("alice")
    asked = ("POST", "/device/lamp/command", {"command": "on", "lifetime": 5})
    headers = (*EXTENDED, ("Idempotency-Key", "once"))
    first = (await alice.ask(*asked, headers=headers)).json()
    clock.forward(6)

    again = (await alice.ask(*asked, headers=headers)).json()

    assert (first["state"], again) == ("queued", {**first, "state": "expired"})
