"""Long polls over REST: what has come since, what comes next, and what comes of a command."""

import asyncio

import pytest

from protocol.times import format_ms
from tests.gateway.inside import FailingStore, Gate
from tests.rest.polling import LONG_AGO, begin, clean, command, ids, metric, notify, waiting
from tests.waiting import until

NOTIFICATIONS = "/device/lamp/notification/poll"
COMMANDS = "/device/lamp/command/poll"
OF_MANY = "/device/notification/poll"


@pytest.fixture
def failing(monkeypatch):
    """Hubs that start from now on have a store that a test can take in its hands."""
    import hub.app

    make = hub.app.make_store
    monkeypatch.setattr(hub.app, "make_store", lambda settings: FailingStore(make(settings)))


def refusal(response):
    return response.status, response.json()["message"]


# --- what comes next --------------------------------------------------------------------------------------------------


async def test_a_poll_is_answered_by_the_next_message(site):
    """With all that it says; a name is compared whole, and another device's or kind's message wakes nobody."""
    poll = begin(site.by_login("alice"), f"{NOTIFICATIONS}?names=watts,volts")
    await waiting(site.hub)

    for guid, name in [("lamp", "watt"), ("lamp", "watts,volts"), ("door", "watts")]:
        await notify(site.hub, guid, name)
    await command(site.hub, name="watts")
    told = await site.by_device("lamp").post(
        "/device/lamp/notification", {"notification": "volts", "parameters": {"a": 1}}
    )

    assert (await poll).json() == [{**told.json(), "parameters": {"a": 1}}]
    await clean(site.hub)


async def test_a_poll_of_commands_shows_whole_commands(site):
    """As every other read does; a device polls its own."""
    poll = begin(site.by_device("lamp"), COMMANDS)
    await waiting(site.hub)

    made = (await site.admin.post("/device/lamp/command", {"command": "on", "lifetime": 5})).json()

    answer = (await poll).json()
    assert answer == [(await site.admin.get(f"/device/lamp/command/{made['id']}")).json()]
    await clean(site.hub)


async def test_what_one_turn_brings_is_one_answer(site):
    """All of it, oldest first."""
    poll = begin(site.admin, NOTIFICATIONS)
    await waiting(site.hub)

    told = await asyncio.gather(*(notify(site.hub) for _ in range(5)))

    assert ids(await poll) == [one.id for one in told]


@pytest.mark.parametrize(
    ("asked", "woken"),
    [
        ("", ["lamp", "door"]),
        ("deviceGuids=", ["lamp", "door"]),
        ("deviceGuids=,", ["lamp", "door"]),
        ("deviceGuids=lamp", ["lamp"]),
        ("deviceGuids=oven,door,,nowhere", ["door"]),
        ("deviceGuids=oven", []),
    ],
)
async def test_many_devices_are_those_that_one_sees(site, asked, woken):
    """What is not there or not the caller's is passed over: nothing of it comes, and nobody is told."""
    poll = begin(site.by_login("alice"), f"{OF_MANY}?waitTimeout=1&{asked}")
    await waiting(site.hub)

    told = {guid: await notify(site.hub, guid) for guid in ("oven", *woken)}

    answer = (await poll).json()
    assert [one["deviceGuid"] for one in answer] == woken[:1]
    assert all(one["notification"]["id"] == told[one["deviceGuid"]].id for one in answer)
    await clean(site.hub)


async def test_a_poll_that_gets_nothing_is_empty(site):
    """When its time is over; at once, when it gave itself none."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    at_once = await site.admin.get(f"{NOTIFICATIONS}?waitTimeout=0")
    between_s = loop.time()
    later = await site.admin.get(f"{NOTIFICATIONS}?waitTimeout=1")

    assert (at_once.status, at_once.json(), later.status, later.json()) == (200, [], 200, [])
    assert loop.time() - between_s >= 1 > between_s - began_s
    await clean(site.hub)


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ("waitTimeout=61", 400, {"error": None, "message": "waitTimeout must be from 0 to 60 seconds"}),
        ("waitTimeout=-1", 400, {"error": None, "message": "waitTimeout must be from 0 to 60 seconds"}),
        ("waitTimeout=abc", 404, {"error": 404, "message": "HTTP 404 Not Found"}),
        ("waitTimeout=0&timestamp=abc", 400, {"error": 400, "message": "Unparseable timestamp"}),
    ],
)
async def test_what_is_no_time_is_refused(site, asked, status, told):
    """The wait before anybody asks who it is; a setting says how long it may be."""
    response = await site.admin.get(f"{NOTIFICATIONS}?{asked}")

    assert (response.status, response.json()) == (status, told)
    if "timestamp" not in asked:
        assert (await site.nobody.get(f"{NOTIFICATIONS}?{asked}")).status == status


async def test_how_long_a_poll_waits_is_a_setting(start_site):
    """That which says nothing, and that which asks for more."""
    site = await start_site(poll_wait_s=0, poll_wait_most_s=5)

    assert (await site.admin.get(NOTIFICATIONS)).json() == []
    too_long = await site.admin.get(f"{NOTIFICATIONS}?waitTimeout=6", headers=[("Hub-Version", "1")])
    assert too_long.json()["detail"] == {"parameter": "waitTimeout", "limit": "poll-wait-most-s", "value": 5}


# --- what has come since ----------------------------------------------------------------------------------------------


async def test_what_is_newer_is_answered_at_once(site):
    """Strictly newer, oldest first, by name, of what one sees; also where nothing is waited for."""
    # Of different devices several may have one time; here each has its own.
    began_ms, told = site.hub.gateway.now_ms() - 1_000, []
    for n, (guid, name) in enumerate([("lamp", "a"), ("oven", "a"), ("door", "b")] * 2):
        told.append(await notify(site.hub, guid, name, at_ms=began_ms + n))
    after = format_ms(told[0].timestamp_ms)
    at = f"{OF_MANY}?waitTimeout=0&timestamp="

    assert ids(await site.by_login("alice").get(at + after)) == [told[n].id for n in (2, 3, 5)]
    assert ids(await site.admin.get(f"{at}{after}&names=a")) == [told[n].id for n in (1, 3, 4)]
    assert ids(await site.admin.get(at + format_ms(told[-1].timestamp_ms))) == []
    assert len(ids(await site.admin.get(at + LONG_AGO))) == 6


async def test_answered_and_expired_commands_are_passed_over(site):
    """A device that comes back gets what it still has to do."""
    done, late, todo = [await command(site.hub, name=name) for name in ("done", "late", "todo")]
    await site.admin.put(f"/device/lamp/command/{done.id}", {"status": "ok"})
    await site.admin.put(f"/device/lamp/command/{late.id}", {"lifetime": 1})
    expired = await command(site.hub, lifetime_s=1)
    gateway = site.hub.gateway
    gateway.now_us = lambda now_us=gateway.now_us: now_us() + 2_000_000

    found = ids(await site.by_device("lamp").get(f"{COMMANDS}?waitTimeout=0&timestamp={LONG_AGO}"))

    assert found == [todo.id]
    assert expired.id not in found


async def test_a_poll_from_the_future_waits_for_it(site):
    """What is not newer than that is not for it."""
    poll = begin(site.admin, f"{NOTIFICATIONS}?waitTimeout=1&timestamp=2100-01-01")
    await waiting(site.hub)

    await notify(site.hub)

    assert ids(await poll) == []


async def test_a_hundred_give_way_to_their_last_millisecond(site):
    """An answer has no more, unless those that share its end; the next one goes on behind it."""
    now_ms = site.hub.gateway.now_ms()
    at_ms = [now_ms - 1_000 + n for n in range(98)] + [now_ms - 900] * 7 + [now_ms - 800]
    told = [await notify(site.hub, ("lamp", "door")[n % 2], at_ms=at) for n, at in enumerate(at_ms)]

    first = (await site.admin.get(f"{OF_MANY}?timestamp={LONG_AGO}")).json()
    border = first[-1]["notification"]["timestamp"]
    second = await site.admin.get(f"{OF_MANY}?timestamp={border}")

    assert [one["notification"]["id"] for one in first] == [one.id for one in told[:105]]
    assert ids(second) == [told[-1].id]


async def test_what_comes_while_the_log_is_read_is_in_the_answer_once(start_site, failing):
    """Whether the log has it already or not: registered first, then read, then both together."""
    site = await start_site(rest_requests_per_s=0.0)
    before, store = await notify(site.hub), site.hub.store
    store.gates["read"] = gate = Gate()
    poll = begin(site.admin, f"{NOTIFICATIONS}?timestamp={LONG_AGO}")
    await gate.reached.wait()

    between = await notify(site.hub)
    gate.open()

    assert ids(await poll) == [before.id, between.id]


async def test_more_than_can_be_held_comes_from_the_log(start_site):
    """A burst in one turn is larger than what a poll may keep; nothing is missing, and the border holds."""
    site = await start_site(rest_requests_per_s=0.0, outbox_bytes=131_072)
    poll = begin(site.admin, NOTIFICATIONS)
    await waiting(site.hub)

    told = await asyncio.gather(*(notify(site.hub, name="n" * 1_000) for _ in range(150)))

    first = (await poll).json()
    rest = await site.admin.get(f"{NOTIFICATIONS}?timestamp={first[-1]['timestamp']}&waitTimeout=0")
    assert [one["id"] for one in first] + ids(rest) == [one.id for one in told]
    assert len(first) == 100


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_a_poll_whose_key_goes_is_refused(site):
    """At once, not when its time is over."""
    poll = begin(site.by_key("alices"), NOTIFICATIONS)
    await waiting(site.hub)

    await site.change(lambda tx: tx.delete_key(2))

    response = await poll
    assert refusal(response) == (401, "Unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="devicehive"'
    await clean(site.hub)


async def test_access_is_that_of_the_moment(site):
    """Who has left a network gets nothing of it; who comes back gets the next."""
    poll = begin(site.by_login("alice"), OF_MANY)
    await waiting(site.hub)
    [waits] = site.hub.gateway.polls.waiting

    async def member_of(*networks):
        await until(lambda: asyncio.sleep(0, waits.connection.principal.user.networks == set(networks)))

    await site.change(lambda tx: tx.remove_member(2, 1))
    await member_of()
    await notify(site.hub)
    await site.change(lambda tx: tx.add_member(2, 1))
    await member_of(1)
    told = await notify(site.hub)

    assert ids(await poll) == [told.id]


async def test_what_may_not_be_seen_when_it_is_answered_is_not_answered(site, monkeypatch):
    """Between a message and its answer rights may change: what is left behind its border comes all the same."""
    polls = site.hub.gateway.polls
    pass_by, passed = polls.pass_by, []

    async def leave_meanwhile(timestamp_ms):
        await pass_by(timestamp_ms)
        if not passed:
            [poll] = polls.waiting
            await site.hub.gateway.transact(lambda tx, _: tx.remove_member(2, 1))
            assert site.hub.gateway.rights.is_stale(poll.connection)
        passed.append(timestamp_ms)

    monkeypatch.setattr(polls, "pass_by", leave_meanwhile)
    await site.change(lambda tx: tx.add_member(2, 2))
    hidden = [await notify(site.hub, "lamp") for _ in range(101)]
    seen = await notify(site.hub, "oven")

    answer = await site.by_login("alice").get(f"{OF_MANY}?timestamp={LONG_AGO}")

    assert ids(answer) == [seen.id]
    assert passed == [hidden[99].timestamp_ms, seen.timestamp_ms]


async def test_rights_that_changed_while_a_request_came_in_are_read_again(start_site, failing):
    """A key that goes between its look-up and the poll is not waited for."""
    site = await start_site(rest_requests_per_s=0.0)
    store = site.hub.store
    found = store._store.find_key

    async def find_then_delete(secret):
        record = await found(secret)
        await site.hub.gateway.transact(lambda tx, _: tx.delete_key(record.key.id))
        return record

    store._store.find_key = find_then_delete

    assert refusal(await site.by_key("alices").get(NOTIFICATIONS)) == (401, "Unauthorized")
    await clean(site.hub)


async def test_a_key_that_expires_gets_nothing_more(site):
    """Also in the moment before that is noticed."""
    end_ms = site.hub.gateway.now_ms() + 3_600_000
    await site.change(lambda tx: tx.update_key(2, expires_ms=end_ms))
    poll = begin(site.by_key("alices"), NOTIFICATIONS)
    await waiting(site.hub)

    gateway = site.hub.gateway
    gateway.now_us = lambda now_us=gateway.now_us: now_us() + 3_601_000_000
    await notify(site.hub)

    assert refusal(await poll) == (401, "Unauthorized")


# --- the end of the waiting -------------------------------------------------------------------------------------------


async def test_who_goes_away_leaves_nothing_behind(site):
    """No poll, no subscription, no listener; whether a message comes or not."""
    made = await command(site.hub)
    polls = [begin(site.admin, path) for path in (NOTIFICATIONS, OF_MANY, f"/device/lamp/command/{made.id}/poll")]
    await waiting(site.hub, 3)

    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)

    await clean(site.hub)
    assert not site.hub.gateway.polls._per_key


async def test_a_hub_that_stops_answers_who_waits(site):
    """With nothing, and the end of the connection: the next poll goes to somebody else."""
    made = await command(site.hub)
    polls = [begin(site.admin, NOTIFICATIONS), begin(site.admin, f"/device/lamp/command/{made.id}/poll")]
    await waiting(site.hub, 2)

    await site.hub.stop()

    one, result = await asyncio.gather(*polls)
    assert (one.status, one.json(), one.headers["connection"]) == (200, [], "close")
    assert (result.status, result.headers["connection"]) == (204, "close")


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_one_key_has_so_many_polls(start_site):
    """Each on its own; then it says how many, and when to come again."""
    site = await start_site(rest_requests_per_s=0.0, polls_per_key=2)
    polls = [begin(site.by_key("alices"), NOTIFICATIONS) for _ in range(2)]
    await waiting(site.hub, 2)

    refused = await site.by_key("alices").get(NOTIFICATIONS)
    other = begin(site.by_key("lamp-only"), NOTIFICATIONS)
    await waiting(site.hub, 3)
    told = await notify(site.hub)

    assert refusal(refused) == (429, "Too many requests: at most 2 long polls of one key")
    assert refused.headers["retry-after"] == "1"
    assert [ids(await poll) for poll in (*polls, other)] == [[told.id]] * 3
    assert await metric(site, 'hub_limit_reached_total{limit="polls-per-key"}') == 1


async def test_a_process_has_so_many_polls(start_site):
    """Whosever they are; who is refused comes back some seconds later, not all at once."""
    site = await start_site(rest_requests_per_s=0.0, polls=2)
    polls = [begin(site.by_device(guid), f"/device/{guid}/command/poll") for guid in ("lamp", "door")]
    await waiting(site.hub, 2)

    refused = await site.admin.get(NOTIFICATIONS, headers=[("Hub-Version", "1")])

    assert refusal(refused) == (429, "Too many requests: at most 2 long polls")
    assert refused.json()["detail"] == {"limit": "polls", "value": 2}
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    for poll in polls:
        poll.cancel()


async def test_as_devicehive_a_key_has_any_number(start_site):
    """And where benchmarks are run."""
    for chosen in ({"compat": "devicehive"}, {"limits": "bench"}):
        site = await start_site(**chosen)
        polls = [begin(site.by_key("alices"), NOTIFICATIONS) for _ in range(6)]
        await waiting(site.hub, 6)
        told = await notify(site.hub)

        assert [ids(await poll) for poll in polls] == [[told.id]] * 6
        await site.hub.stop()


async def test_polls_are_counted(site):
    """How many there are and how they ended; they are no WebSockets."""
    polls = [begin(site.admin, f"{NOTIFICATIONS}?waitTimeout=30") for _ in range(2)]
    await waiting(site.hub, 2)
    counted = [await metric(site, name) for name in ("hub_polls", "hub_connections")]
    await notify(site.hub)
    await asyncio.gather(*polls)
    await site.admin.get(f"{NOTIFICATIONS}?waitTimeout=0")
    await site.admin.get("/device/nowhere/command/1/poll")

    assert counted == [2, 0]
    for ending, number in {"messages": 2, "empty": 1, "refused": 1}.items():
        assert await metric(site, f'hub_polls_answered_total{{with="{ending}"}}') == number
    assert await metric(site, "hub_polls") == 0


# --- the result of a command ------------------------------------------------------------------------------------------


async def test_a_result_is_waited_for(site):
    """One object, with what the device said; at once, when it has said so already."""
    made = await command(site.hub)
    at = f"/device/lamp/command/{made.id}/poll"
    poll = begin(site.by_login("alice"), at)
    await waiting(site.hub)

    await site.by_device("lamp").put(f"/device/lamp/command/{made.id}", {"status": "Done", "result": {"a": 1}})
    answer, again = await poll, await site.admin.get(f"{at}?waitTimeout=0")

    assert answer.status == again.status == 200
    assert answer.json() == again.json()
    assert (answer.json()["status"], answer.json()["result"]) == ("Done", {"a": 1})
    await clean(site.hub)


async def test_a_result_that_does_not_come_is_nothing(site):
    """204, without a body; also where nothing was waited for."""
    made = await command(site.hub)

    for wait_s in (0, 1):
        answer = await site.admin.get(f"/device/lamp/command/{made.id}/poll?waitTimeout={wait_s}")
        assert (answer.status, answer.body) == (204, b"")
    await clean(site.hub)


async def test_a_result_of_what_is_not_there_is_not_found(site):
    """404 without a body, for devices and commands alike; what is no number leads nowhere; a device may not ask."""
    made = await command(site.hub, "oven")

    for path in ("nowhere/command/1", "lamp/command/999", f"lamp/command/{made.id}", f"oven/command/{made.id}"):
        answer = await site.by_login("alice").get(f"/device/{path}/poll")
        assert (answer.status, answer.body) == (404, b""), path
    assert refusal(await site.admin.get("/device/lamp/command/x/poll")) == (404, "HTTP 404 Not Found")
    assert (await site.by_device("lamp").get("/device/lamp/command/1/poll")).status == 401
    await clean(site.hub)


async def test_a_result_that_comes_while_it_is_looked_for_is_not_missed(start_site, failing):
    """Registered first, then looked up."""
    site = await start_site(rest_requests_per_s=0.0)
    made, store, gate = await command(site.hub), site.hub.store._store, Gate()
    find = store.command

    async def find_and_be_slow(device_id, command_id):
        found = await find(device_id, command_id)
        await gate()
        return found

    store.command = find_and_be_slow
    poll = begin(site.admin, f"/device/lamp/command/{made.id}/poll")
    await gate.reached.wait()
    await site.by_device("lamp").put(f"/device/lamp/command/{made.id}", {"status": "Done"})
    gate.open()

    assert (await poll).json()["status"] == "Done"


async def test_whoever_may_no_longer_see_a_command_hears_nothing_of_it(site):
    """It is as if it were not there."""
    made = await command(site.hub)
    poll = begin(site.by_login("alice"), f"/device/lamp/command/{made.id}/poll")
    await waiting(site.hub)

    await site.change(lambda tx: tx.remove_member(2, 1))

    answer = await poll
    assert (answer.status, answer.body) == (404, b"")
