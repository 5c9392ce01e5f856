"""Event streams over REST: what comes, from where on, and how a stream ends."""

import asyncio

import pytest

from hub.store import Tx
from protocol.entities import KeyPermission
from protocol.names import CloseCode, Kind
from tests.edge_client import Wire, request
from tests.rest.polling import clean, command, metric, notify
from tests.rest.streaming import COMMANDS, NOTIFICATIONS, OF_MANY, Event, Events, last, stream
from tests.waiting import until

LONG_AGO = "2015-01-01"


async def refused(client, path, *headers):
    """Status and text of a refusal; the connection is good for the next request."""
    async with client.kept() as kept:
        response = await kept.get(path, headers=headers)
        assert (await kept.get("/info")).status == 200
    return response.status, response.json()["message"]


# --- what comes -------------------------------------------------------------------------------------------------------


async def test_a_stream_carries_what_a_list_shows(site):
    """Each message is one event, with its id; names are compared whole, and other devices and kinds are elsewhere."""
    async with stream(site.by_login("alice"), f"{NOTIFICATIONS}?names=watts,volts") as events:
        for guid, name in [("lamp", "watt"), ("door", "watts")]:
            await notify(site.hub, guid, name)
        await command(site.hub, name="watts")
        body = {"notification": "volts", "parameters": {"text": "two\nlines", "a": [1, None]}}
        told = await site.by_device("lamp").post("/device/lamp/notification", body)

        assert await events.message() == {**told.json(), "parameters": body["parameters"]}
    await clean(site.hub)


async def test_a_device_streams_its_commands(site):
    """Whole ones, as they are read otherwise."""
    async with stream(site.by_device("lamp"), COMMANDS) as events:
        made = (await site.admin.post("/device/lamp/command", {"command": "on", "lifetime": 50})).json()

        assert await events.message() == (await site.admin.get(f"/device/lamp/command/{made['id']}")).json()
    await clean(site.hub)


async def test_the_head_and_the_first_event_say_what_follows(site):
    """Pages may read it, proxies shall pass it on; the first event has a place to come back to and a time."""
    told = await notify(site.hub)
    async with stream(site.admin) as events:
        assert events.head.headers["content-type"] == "text/event-stream"
        assert events.head.headers["cache-control"] == "no-store"
        assert events.head.headers["x-accel-buffering"] == "no"
        assert events.head.headers["access-control-allow-origin"] == "*"
        assert "Last-Event-ID" in events.head.headers["access-control-allow-headers"]
        begun = events.begun
        assert (begun.name, begun.data) == ("notification/subscribe", {"position": told.id})
        assert begun.id == told.id
        assert 1_000 <= begun.retry_ms <= 3_000


@pytest.mark.parametrize(
    ("asked", "woken"),
    [
        ("", ["lamp", "door"]),
        ("?deviceGuids=,", ["lamp", "door"]),
        ("?deviceGuids=lamp", ["lamp"]),
        ("?deviceGuids=oven,door,,nowhere", ["door"]),
    ],
)
async def test_many_devices_are_those_that_one_sees(site, asked, woken):
    """What is not there or not the caller's is passed over: nothing of it comes, and nobody is told."""
    async with stream(site.by_login("alice"), OF_MANY + asked) as events:
        told = {guid: await notify(site.hub, guid) for guid in ("oven", *woken)}

        assert await events.ids(len(woken)) == [told[guid].id for guid in woken]


async def test_head_is_answered_without_a_stream(site):
    """As for every other path."""
    response = await site.admin.ask("HEAD", NOTIFICATIONS)

    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
    await clean(site.hub)


# --- from where on ----------------------------------------------------------------------------------------------------


async def test_who_comes_back_misses_and_repeats_nothing(site):
    """The last id decides, whatever the address says; what was missed comes before what is new."""
    for _ in range(3):
        await notify(site.hub)
    async with stream(site.admin, f"{OF_MANY}?since=0") as events:
        assert events.begun.data["recovered"] is True
        seen = await events.ids(2)
    missed = await notify(site.hub)

    async with stream(site.admin, f"{OF_MANY}?since=0", last(seen[-1])) as events:
        assert events.begun.id == seen[-1]
        rest = await events.ids(2)
        live = await notify(site.hub)
        assert await events.ids(1) == [live.id]

    assert rest[-1] == missed.id
    assert sorted({*seen, *rest}) == seen + rest


async def test_a_time_is_a_place_to_begin_at(site):
    """What is newer than it comes first. The first event has no id then: cut off, one begins at the time again."""
    told = [(await notify(site.hub)).id for _ in range(3)]

    async with stream(site.admin, f"{NOTIFICATIONS}?timestamp={LONG_AGO}") as events:
        assert (events.begun.id, events.begun.data["recovered"]) == (None, True)
        assert await events.ids(3) == told


async def test_a_seam_under_load_has_no_gap(site):
    """Coming back again and again while messages come, each message is seen once, and in order (T35)."""
    publisher = asyncio.create_task(publish(site.hub, 300))
    seen = []
    while len(seen) < 300:
        async with stream(site.admin, f"{NOTIFICATIONS}?since=0", *([last(seen[-1])] if seen else [])) as events:
            seen += await events.ids(min(20, 300 - len(seen)))

    assert seen == await publisher


async def publish(hub, number):
    told = []
    for _ in range(number):
        told.append((await notify(hub)).id)
        await asyncio.sleep(0.001)
    return told


async def test_a_long_history_comes_at_the_pace_of_its_reader(start_site):
    """Much more than may wait for it, to a reader with hardly any room: all of it, in order, and then what is new."""
    site = await start_site(outbox_bytes=131_072)
    body = {"notification": "watts", "parameters": "x" * 8_000}
    async with site.by_device("lamp").kept() as lamp:
        told = [(await lamp.post("/device/lamp/notification", body)).json()["id"] for _ in range(150)]

    async with stream(site.admin, f"{NOTIFICATIONS}?since=0", receive_bytes=4_096) as events:
        assert await events.ids(len(told)) == told
        live = await notify(site.hub)
        assert await events.ids(1) == [live.id]


async def test_answered_and_expired_commands_are_not_repeated(site):
    """As on a socket that resumes."""
    done, expired, due = [await command(site.hub, lifetime_s=lifetime_s) for lifetime_s in (None, 1, None)]
    await site.by_device("lamp").put(f"/device/lamp/command/{done.id}", {"status": "done"})
    await until(lambda: is_over(site.hub, expired))

    async with stream(site.by_device("lamp"), f"{COMMANDS}?since=0") as events:
        assert await events.ids(1) == [due.id]


async def is_over(hub, one):
    return one.expired(hub.gateway.now_ms())


async def test_what_retention_took_is_told(start_site):
    """The first event names the range that is missing, and the stream goes on with what there is (G7)."""
    site = await start_site(retention_rows_per_device=100)
    told = [(await notify(site.hub)).id for _ in range(150)]
    await site.hub.gateway.duties.prune(Kind.NOTIFICATION, kept_s=60, per_device=100)

    async with stream(site.admin, NOTIFICATIONS, last(told[0])) as events:
        begun = events.begun.data
        assert begun["recovered"] is False
        assert (begun["missed"]["reason"], begun["missed"]["after"]) == ("retention", told[0])
        kept = [one for one in told if one >= begun["missed"]["before"]]
        assert await events.ids(len(kept)) == kept


async def test_an_id_from_nowhere_is_told(site):
    """Nobody can say what came behind it."""
    async with stream(site.admin, NOTIFICATIONS, last(2**50)) as events:
        assert events.begun.data["missed"]["reason"] == "unknown-position"


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "headers", "told"),
    [
        (f"{NOTIFICATIONS}?since=-1", (), (400, "Invalid request parameters")),
        (f"{NOTIFICATIONS}?since=1&timestamp={LONG_AGO}", (), (400, "Invalid request parameters")),
        (f"{NOTIFICATIONS}?timestamp=abc", (), (400, "Unparseable timestamp")),
        (NOTIFICATIONS, [last("abc")], (400, "Invalid request parameters")),
        ("/device/nowhere/command/stream", (), (404, "Device with such guid = nowhere not found")),
        ("/device/oven/notification/stream", (), (404, "Device with such guid = oven not found")),
    ],
)
async def test_what_makes_no_stream_is_refused(site, asked, headers, told):
    """As an error of REST, and the connection is still one of HTTP."""
    assert await refused(site.by_login("alice"), asked, *headers) == told
    await clean(site.hub)


async def test_an_empty_id_is_none(site):
    """That is what a reader sends that has not got one yet."""
    async with stream(site.admin, f"{NOTIFICATIONS}?since=", last("")) as events:
        assert "recovered" not in events.begun.data


async def test_credentials_are_never_looked_for_in_the_address(site):
    """An address ends up in logs and histories."""
    secret = site.secrets["everything"]

    for name in ("token", "access_token", "accessKey", "key"):
        assert (await refused(site.nobody, f"{NOTIFICATIONS}?{name}={secret}"))[0] == 401


async def test_devices_of_one_stream_are_bounded(start_site):
    """As those of a subscription."""
    site = await start_site(devices_per_subscription=2)

    assert await refused(site.admin, f"{OF_MANY}?deviceGuids=a,b,c") == (
        400,
        "Limit reached: 2 devices per subscription",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("connections_per_address", "at most 1 per address"),
        ("connections_per_user", "at most 1 per user"),
        ("connections", "At most 1 connections"),
    ],
)
async def test_streams_count_as_connections(start_site, name, text):
    """Of an address, of a user, of a process; whoever is one too many is told when to come back."""
    site = await start_site(**{name: 1})
    async with stream(site.admin):
        response = await site.admin.get(NOTIFICATIONS)

        assert response.status == 503
        assert text in response.json()["message"]
        assert 1 <= int(response.headers["retry-after"]) <= 30
        assert await metric(site, f'hub_limit_reached_total{{limit="{name.replace("_", "-")}"}}') == 1
    await clean(site.hub)
    async with stream(site.admin):
        pass


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"accepts_per_key_per_s": 0.1, "accept_burst_per_key": 1}, 429),
        ({"accepts_per_s": 0.1, "accept_burst": 1}, 503),
    ],
)
async def test_streams_are_opened_at_a_pace(start_site, limits, status):
    """That of a key's authentications, and that of handshakes."""
    site = await start_site(**limits)
    async with stream(site.admin):
        response = await site.admin.get(NOTIFICATIONS)

        assert response.status == status
        assert int(response.headers["retry-after"]) >= 1


async def test_the_newest_connections_of_a_device_win(start_site):
    """A stream that has to make room says so in its last event."""
    site = await start_site(connections_per_device=1)
    async with stream(site.by_device("lamp"), COMMANDS) as older, stream(site.by_device("lamp"), COMMANDS):
        closing = await older.closing()

        assert closing.data["code"] == 4409
        assert closing.data["detail"] == {"limit": "connections-per-device", "value": 1}


# --- how it ends ------------------------------------------------------------------------------------------------------


async def test_a_reader_that_goes_leaves_nothing_behind(site):
    """Neither subscription nor count, whether it says so or vanishes."""
    async with stream(site.admin) as one, stream(site.admin, COMMANDS):
        assert [await metric(site, name) for name in ("hub_streams", "hub_connections")] == [2, 2]
        one.wire.abort()
    await clean(site.hub)

    async def is_so():
        return not site.hub.edge.sockets and not len(site.hub.gateway.admission)

    await until(is_so)
    assert [await metric(site, f"hub_streams{more}") for more in ("", "_opened_total")] == [0, 2]


async def test_what_a_reader_sends_is_passed_over(site):
    """Nothing was asked for; it costs nothing and changes nothing."""
    async with stream(site.admin) as events:
        await events.wire.write(request("/info") * 1_000)
        told = await notify(site.hub)

        assert await events.ids(1) == [told.id]


@pytest.mark.parametrize(("before", "behind"), [(0, 1), (2, 0), (2, 30)])
async def test_a_stream_among_requests_that_come_together(site, before, behind):
    """Those before it are answered, those behind it are not, and it goes on."""
    info, wire = request("/info", [("Host", "h")]), await Wire.connect(site.hub.port)
    asked = request(site.admin.root + NOTIFICATIONS, [("Host", "h"), *site.admin.who])

    await wire.write(info * before + asked + info * behind)
    for _ in range(before):
        await wire.response()
    events = Events(wire, await wire.response(), Event.read(await wire.block()))
    told = [(await notify(site.hub)).id for _ in range(3)]

    assert await events.ids(3) == told
    wire.close()
    await clean(site.hub)


async def test_a_change_of_rights_reaches_a_stream(site):
    """Revoked, it ends within a second and says so; narrowed, it goes on with what is left (T69)."""

    def narrow(tx: Tx) -> None:
        ids = {key.label: key.id for key in tx.keys(None)}
        tx.update_key(ids["alices"], permissions=[KeyPermission(device_guids=("door",))])
        tx.delete_key(ids["lamp-only"])

    async with stream(site.by_key("alices"), OF_MANY) as narrowed, stream(site.by_key("lamp-only"), OF_MANY) as gone:
        await site.change(narrow)
        closing = await gone.closing()
        await notify(site.hub, "lamp")
        told = await notify(site.hub, "door")

        assert (closing.data["code"], closing.data["reason"]) == (4401, "credentials are no longer valid")
        assert await narrowed.ids(1) == [told.id]
        assert (await site.by_key("lamp-only").get(OF_MANY)).status == 401


async def test_a_stream_ends_with_the_sight_of_its_devices(site):
    """Its reader is told, and asks again for what there is: nothing would ever come any more."""

    def narrow(tx: Tx) -> None:
        ids = {key.label: key.id for key in tx.keys(None)}
        tx.update_key(ids["alices"], permissions=[KeyPermission(device_guids=("door",))])

    alice, both = site.by_key("alices"), f"{OF_MANY}?deviceGuids=door,lamp"
    async with stream(alice) as of_lamp, stream(alice, both) as of_both:
        await site.change(narrow)
        closing = await of_lamp.closing()
        told = await notify(site.hub, "door")

        assert (closing.data["code"], closing.data["reason"]) == (CloseCode.NORMAL, "not-permitted")
        assert closing.data["detail"] == {"deviceGuid": "lamp"}
        assert await of_both.ids(1) == [told.id]
    assert (await refused(alice, NOTIFICATIONS))[0] == 404
    await clean(site.hub)


async def test_a_slow_reader_is_closed_and_can_resume(start_site):
    """It costs its budget and nobody else anything; what it has not got comes to it again (T44, G11)."""
    site = await start_site(outbox_bytes=131_072)
    body = {"notification": "watts", "parameters": "x" * 30_000}
    device, told, seen = site.by_device("lamp"), [], []
    async with stream(site.admin) as quick, stream(site.admin, receive_bytes=4_096) as slow:
        while not await metric(site, 'hub_connections_closed_total{code="4008"}'):
            told.append((await device.post("/device/lamp/notification", body)).json()["id"])
            assert await quick.ids(1) == told[-1:]
        while (event := await slow.event()).name == "message":
            seen.append(event.id)
        assert event.data["code"] == 4008
        assert event.data["detail"] == {"limit": "outbox-bytes", "value": 131_072}
    assert seen == told[: len(seen)]

    async with stream(site.admin, NOTIFICATIONS, last(seen[-1])) as again:
        assert await again.ids(len(told) - len(seen)) == told[len(seen) :]
    await clean(site.hub)


async def test_a_slow_reader_has_its_time_for_the_last_event(start_site):
    """A sign of life that was due meanwhile does not cut it off."""
    site = await start_site(outbox_bytes=131_072, ping_interval_s=0.1, close_wait_s=60.0)
    body = {"notification": "watts", "parameters": "x" * 30_000}
    device = site.by_device("lamp")
    async with stream(site.admin, receive_bytes=4_096) as slow:
        while not await metric(site, 'hub_connections_closed_total{code="4008"}'):
            await device.post("/device/lamp/notification", body)
        async with stream(site.admin, COMMANDS) as quiet:
            assert [await quiet.wire.block() for _ in range(3)] == [":"] * 3

        assert (await slow.closing()).data["code"] == 4008


async def test_a_reader_that_stands_still_is_closed(start_site):
    """Also when hardly anything waits for it; one that does not even read its end is cut off."""
    site = await start_site(write_wait_s=0.2, close_wait_s=0.2)
    async with stream(site.admin, receive_bytes=4_096):
        body = {"notification": "watts", "parameters": "x" * 60_000}
        device = site.by_device("lamp")
        while not await metric(site, 'hub_connections_closed_total{code="4008"}'):
            if not site.hub.edge.stalled:
                await device.post("/device/lamp/notification", body)
        await until(lambda: has_no_sockets(site.hub))


async def has_no_sockets(hub):
    return not hub.edge.sockets


async def test_a_quiet_stream_gets_signs_of_life(start_site):
    """Comments, which a reader passes over and which keep proxies from closing it."""
    site = await start_site(ping_interval_s=0.1)
    async with stream(site.admin) as events:
        assert [await events.wire.block() for _ in range(3)] == [":"] * 3


async def test_a_shutdown_ends_streams_with_a_time_to_come_back(start_site):
    """One of its own for each, as sockets get it (T79)."""
    site = await start_site(accepts_per_s=10.0)
    async with stream(site.admin) as one, stream(site.admin) as other:
        stopping = asyncio.create_task(site.hub.stop())
        endings = [await one.closing(), await other.closing()]
        await stopping

    assert [ending.data["code"] for ending in endings] == [1012, 1012]
    assert [ending.retry_ms for ending in endings] == [round(e.data["reconnectAfter"] * 1_000) for e in endings]
    assert len({ending.retry_ms for ending in endings}) == 2


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (CloseCode.UNAUTHENTICATED, (401, "Unauthorized")),
        (CloseCode.RESTART, (503, "The hub restarts")),
    ],
)
async def test_what_ends_before_it_begins_is_refused(site, monkeypatch, code, told):
    """The answer is that of somebody who asks too late, not a stream that ends."""
    follow = site.hub.gateway.subscribe

    def subscribe(connection, *args, **options):
        site.hub.gateway.close(connection, code, "the hub restarts")
        return follow(connection, *args, **options)

    monkeypatch.setattr(site.hub.gateway, "subscribe", subscribe)

    response = await site.admin.get(NOTIFICATIONS)

    assert (response.status, response.json()["message"]) == told
    await clean(site.hub)


async def test_who_goes_while_a_stream_begins_leaves_nothing(site, monkeypatch):
    """There is nobody to answer any more."""
    reading, go_on = asyncio.Event(), asyncio.Event()
    pruned_to = site.hub.store.pruned_to

    async def slowly(*args):
        reading.set()
        await go_on.wait()
        return await pruned_to(*args)

    monkeypatch.setattr(site.hub.store, "pruned_to", slowly)
    wire = await Wire.connect(site.hub.port)
    await wire.write(request(f"/api/rest{NOTIFICATIONS}?since=0", [("Host", "h"), *site.by_key("everything").who]))
    await reading.wait()
    wire.abort()
    await until(lambda: has_no_requests(site.hub))
    go_on.set()

    await clean(site.hub)
    assert await metric(site, "hub_streams_opened_total") == 0


async def has_no_requests(hub):
    return not hub._server.server_state.connections
