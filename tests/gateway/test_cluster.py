"""Several gateways on one database: whoever is connected to one of them is reached from all."""

import asyncio

import pytest

from hub.app import Hub
from tests.gateway.cluster import QUICK, clusters
from tests.gateway.inside import Gate, world
from tests.waiting import until


def notification(guid="lamp", **parameters):
    return {"deviceGuid": guid, "notification": {"notification": "watts", "parameters": parameters}}


async def values(peer, number):
    return [(await peer.push())["notification"]["parameters"]["value"] for _ in range(number)]


@pytest.fixture
async def pair(start_cluster):
    """Two hubs."""
    return await start_cluster(world())


async def test_a_message_reaches_the_other_worker(pair):
    """From a device socket here to a dashboard there, in the order in which it was acknowledged."""
    here, there = pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")

    for value in range(20):
        await lamp.succeed("notification/insert", **notification(value=value))

    assert await values(dashboard, 20) == list(range(20))


async def test_a_worker_hears_only_what_its_sockets_need(local_pair):
    """Of the topics of one device, one; of everything, all; none any more when nobody needs it."""
    _, there = local_pair.worlds
    bus = there.hub.gateway.bus
    before = set(bus._topics)
    dashboard = await there.user("admin")

    await dashboard.succeed("notification/subscribe", deviceGuids=["lamp"])
    one = set(bus._topics) - before
    await dashboard.succeed("notification/subscribe")
    every = set(bus._topics) - before

    assert (len(one), len(every)) == (1, 64)


async def test_a_command_and_its_answer_cross_workers(pair):
    """Inserted here, carried out there, and the update comes back to the socket that asked."""
    here, there = pair.worlds
    admin, lamp = await here.user("admin"), await there.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe")

    inserted = await admin.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})
    pushed = (await lamp.push())["command"]
    await lamp.succeed("command/update", commandId=pushed["id"], command={"status": "done", "result": 7})

    update = await admin.push()
    assert (inserted["command"]["id"], "command/update") == (pushed["id"], update["action"])
    assert (update["command"]["status"], update["command"]["result"]) == ("done", 7)


async def test_while_the_bus_is_away_the_log_is_read(local_pair):
    """Nothing is lost, nothing comes twice, and it goes on when the bus is back."""
    here, there = local_pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")
    await lamp.succeed("notification/insert", **notification(value=0))

    local_pair.exchange.cut()
    for value in range(1, 6):
        await lamp.succeed("notification/insert", **notification(value=value))
    away = await values(dashboard, 6)
    local_pair.exchange.mend()
    for value in range(6, 12):
        await lamp.succeed("notification/insert", **notification(value=value))

    assert away + await values(dashboard, 6) == list(range(12))


async def test_an_answer_waits_until_the_bus_has_the_message(tmp_path, monkeypatch):
    """Only then whoever was answered may insert the next one elsewhere; nor does a socket here get it before."""
    async with clusters(tmp_path, monkeypatch) as start:
        here, there = (await start(world(), bus_wait_s=10)).worlds
        near, far = await here.user("admin"), await there.user("admin")
        lamp, nearby = await here.device("lamp", "lamp-key"), await there.device("lamp", "lamp-key")
        for dashboard in (near, far):
            await dashboard.succeed("notification/subscribe")
        bus, told = here.hub.gateway.bus, []

        with monkeypatch.context() as patch:
            patch.setattr(bus, "publish", lambda bundle: told.append(("publish", bundle)))
            patch.setattr(bus, "fence", lambda passed: told.append(("fence", passed)))
            await lamp.send(action="notification/insert", **notification(value=1))
            await until(lambda: asyncio.sleep(0, len(here.hub.gateway.order)))
            await nearby.succeed("notification/insert", **notification(value=0))
            early = await values(near, 1), await values(far, 1)
        for act, what in told:
            getattr(bus, act)(what)

        assert (await lamp.receive())["status"] == "success"
        assert early == ([0], [0])
        assert (await values(near, 1), await values(far, 1)) == ([1], [1])


async def test_a_bus_that_stands_still_is_waited_for_once(tmp_path, monkeypatch):
    """All is answered and delivered here, once, and when the bus goes on, so does the order."""
    async with clusters(tmp_path, monkeypatch) as start:
        pair = await start(world(), bus_wait_s=0.02)
        gateway = pair.worlds[0].hub.gateway
        dashboard, lamp = await pair.worlds[0].user("admin"), await pair.worlds[0].device("lamp", "lamp-key")
        await dashboard.succeed("notification/subscribe")
        fences = []

        with monkeypatch.context() as patch:
            patch.setattr(gateway.bus, "fence", fences.append)
            for value in range(20):
                await lamp.succeed("notification/insert", **notification(value=value))
            assert await values(dashboard, 20) == list(range(20))
            assert (gateway.order.given_up, gateway.order.keeps) == (1, False)
        for passed in fences:
            passed()

        await until(lambda: asyncio.sleep(0, gateway.order.keeps))
        await lamp.succeed("notification/insert", **notification(value=20))
        assert await values(dashboard, 1) == [20]


async def test_a_worker_that_is_alone_waits_for_nobody(tmp_path, monkeypatch):
    """Though it has a bus. When another one comes it is heard of at once, not with the next heartbeat."""
    async with clusters(tmp_path, monkeypatch) as start:
        cluster = await start(world(), hubs=1, heartbeat_s=60, lease_s=600)
        gateway = cluster.worlds[0].hub.gateway
        assert not gateway.order.keeps

        other = Hub(cluster.worlds[0].settings)
        await other.start()

        await until(lambda: asyncio.sleep(0, gateway.order.keeps))
        await other.stop()


async def test_a_lost_bundle_is_healed_from_the_log(local_pair, monkeypatch):
    """The one after it shows that it is missing; in between, nothing is out of order."""
    here, there = local_pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")
    await lamp.succeed("notification/insert", **notification(value=0))
    assert await values(dashboard, 1) == [0]

    with monkeypatch.context() as patch:
        patch.setattr(there.hub.gateway.bus, "hear", lambda bundle: None)
        await lamp.succeed("notification/insert", **notification(value=1))
    await lamp.succeed("notification/insert", **notification(value=2))

    assert await values(dashboard, 2) == [1, 2]
    assert there.hub.gateway.others.heard.gaps >= 1


async def test_a_lost_last_bundle_is_healed_too(local_pair, monkeypatch):
    """The heartbeat tells where everything ends."""
    here, there = local_pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")

    with monkeypatch.context() as patch:
        patch.setattr(there.hub.gateway.bus, "hear", lambda bundle: None)
        await lamp.succeed("notification/insert", **notification(value=1))

    assert await values(dashboard, 1) == [1]


async def test_updates_are_healed_as_well(local_pair, monkeypatch):
    """A result that was lost on the way is in the log."""
    here, there = local_pair.worlds
    admin, lamp = await here.user("admin"), await there.device("lamp", "lamp-key")
    inserted = await admin.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})

    with monkeypatch.context() as patch:
        patch.setattr(here.hub.gateway.bus, "hear", lambda bundle: None)
        await lamp.succeed("command/update", commandId=inserted["command"]["id"], command={"status": "done"})

    assert (await admin.push())["command"]["status"] == "done"


async def test_a_silent_worker_that_is_there_is_read(local_pair, monkeypatch):
    """Its own connection to the bus may be broken, and nobody would know."""
    here, there = local_pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")

    monkeypatch.setattr(here.hub.gateway.bus, "publish", lambda bundle: None)
    await lamp.succeed("notification/insert", **notification(value=1))

    assert await values(dashboard, 1) == [1]


async def test_a_silent_worker_costs_a_reading_a_heartbeat(local_pair, monkeypatch):
    """Silence does not go away by reading the log, so one reading must not lead to the next."""
    here, there = (world.hub.gateway.others for world in local_pair.worlds)
    monkeypatch.setattr(there, "_say", lambda **_: None)
    heard_s = next(iter(here._heard_s.values()))
    await until(lambda: asyncio.sleep(0, asyncio.get_running_loop().time() > heard_s + 10 * QUICK["heartbeat_s"]))
    polls, beats = here.polls, here._beats

    await until(lambda: asyncio.sleep(0, here._beats >= beats + 10))

    assert 0 < here.polls - polls <= here._beats - beats + 1


async def test_when_the_bus_is_back_the_log_is_read_at_once(tmp_path, monkeypatch):
    """Whatever time is left until the next look into the log."""
    async with clusters(tmp_path, monkeypatch) as start:
        pair = await start(world(), bus_poll_s=60)
        here, there = pair.worlds
        dashboard, lamp = await there.user("admin"), await here.device("lamp", "lamp-key")
        await dashboard.succeed("notification/subscribe")
        others = there.hub.gateway.others
        polls = others.polls
        pair.exchange.cut()
        await until(lambda: asyncio.sleep(0, others.polls > polls and others.heard._reading is None))

        await lamp.succeed("notification/insert", **notification(value=1))
        pair.exchange.mend()

        assert await values(dashboard, 1) == [1]


@pytest.mark.parametrize("workers", [(0, 1), (1, 0)])
async def test_a_replay_has_what_every_worker_stored(pair, workers):
    """By id and by timestamp, whoever is asked."""
    first, second = (pair.worlds[place] for place in workers)
    lamp, other = await first.device("lamp", "lamp-key"), await second.device("lamp", "lamp-key")
    answers = [
        await (lamp, other)[value % 2].succeed("notification/insert", **notification(value=value))
        for value in range(10)
    ]
    dashboard = await first.user("admin", subprotocols=["hub.1.json"])

    answer = await dashboard.succeed("notification/subscribe", since=answers[0]["notification"]["id"])
    found = []
    while not set(range(1, 10)) <= set(found):
        found += await values(dashboard, 1)

    assert answer["recovered"]
    assert found == sorted(found)


async def test_resuming_anywhere_loses_nothing(pair):
    """A dashboard goes to the other worker with the last id it saw, while devices go on at both."""
    lamps = [await world.device("lamp", "lamp-key") for world in pair.worlds]
    seen, last_id, stop = set(), 0, asyncio.Event()

    async def publish(lamp, value):
        while not stop.is_set():
            await lamp.succeed("notification/insert", **notification(value=value))
            value += 2
            await asyncio.sleep(0.005)

    publishers = [asyncio.create_task(publish(lamp, first)) for first, lamp in enumerate(lamps)]
    for turn in range(6):
        dashboard = await pair.worlds[turn % 2].user("admin", subprotocols=["hub.1.json"])
        await dashboard.succeed("notification/subscribe", since=last_id)
        wanted = len(seen) + 25
        while len(seen) < wanted:
            message = (await dashboard.push())["notification"]
            seen.add(message["parameters"]["value"])
            last_id = max(last_id, message["id"])
        dashboard.abort()
    stop.set()
    await asyncio.gather(*publishers)

    for first in (0, 1):
        mine = {value for value in seen if value % 2 == first}
        assert mine == set(range(first, max(mine) + 1, 2))


@pytest.fixture
async def half_heard(local_pair, monkeypatch):
    """A dashboard at one worker that has got the second of two messages from the other, of another device. The first
    has yet to be read from the log there; that waits for the gate. Returns the id of the second, too."""
    here, there = local_pair.worlds
    dashboard = await there.user("admin", subprotocols=["hub.1.json"])
    await dashboard.succeed("notification/subscribe")
    lamp, fan, gate = await here.device("lamp", "lamp-key"), await here.device("fan", "fan-key"), Gate()
    read = there.hub.gateway.others._read

    async def read_late():
        await gate()
        await read()

    monkeypatch.setattr(there.hub.gateway.others, "_read", read_late)
    with monkeypatch.context() as patch:
        patch.setattr(there.hub.gateway.bus, "hear", lambda bundle: None)
        await lamp.succeed("notification/insert", **notification(value=1))
    await fan.succeed("notification/insert", **notification("fan", value=2))
    seen = (await dashboard.push())["notification"]
    assert seen["parameters"]["value"] == 2
    await gate.reached.wait()
    return dashboard, seen["id"], gate


async def test_a_cursor_leaves_nothing_out_that_was_late_on_another_topic(half_heard, local_pair):
    """What the one worker gave later came earlier, so its id tells nothing of what came before."""
    _, since, _ = half_heard
    again = await local_pair.worlds[0].user("admin", subprotocols=["hub.1.json"])

    await again.succeed("notification/subscribe", since=since)

    assert await values(again, 1) == [1]


async def test_what_is_read_late_does_not_come_after_a_resume(half_heard, local_pair, monkeypatch):
    """It was part of it already."""
    first, since, gate = half_heard
    monkeypatch.setattr("hub.gateway.others.JOIN_S", 0.01)
    again = await local_pair.worlds[1].user("admin", subprotocols=["hub.1.json"])
    await again.succeed("notification/subscribe", since=since)

    gate.open()
    assert await values(first, 1) == [1]
    lamp = await local_pair.worlds[1].device("lamp", "lamp-key")
    await lamp.succeed("notification/insert", **notification(value=3))

    assert await values(again, 3) == [1, 2, 3]


async def test_a_revoked_key_is_closed_on_every_worker(start_cluster):
    """Within a second, told by the worker that made the change."""
    data = world()
    data["accessKeys"].append({"name": "other", "owner": "admin", "permissions": [{}]})
    pair = await start_cluster(data)
    here, there = pair.worlds
    peer = await there.key("other")

    await here.hub.gateway.transact(lambda tx, _: tx.delete_key(2))

    assert await peer.closed() == 4401


async def test_a_devices_newest_connections_win_on_every_worker(start_cluster):
    """It lost its network, and came back to another worker."""
    pair = await start_cluster(world(), connections_per_device=1)
    here, there = pair.worlds
    before = await here.device("lamp", "lamp-key")

    after = await there.device("lamp", "lamp-key")

    assert await before.closed() == 4409
    assert after.is_open


async def test_connections_of_a_user_count_on_every_worker(start_cluster):
    """A limit per user is one of the cluster."""
    pair = await start_cluster(world(), connections_per_user=2)
    here, there = pair.worlds
    await here.user("admin")
    await here.user("admin")
    user_id = here.hub.gateway.connections[0].principal.user.id

    async def is_known():
        return there.hub.gateway.others.elsewhere.of_user(user_id) == 2

    await until(is_known)
    refused = await (await there.connect()).ask("authenticate", login="admin", password="admin-pw")

    assert (refused["status"], refused["code"]) == ("error", 503)


async def test_one_worker_leads_and_another_takes_over(start_cluster):
    """What only one must do is done by one; by the next when it stops."""
    pair = await start_cluster(world())
    here, there = (world.hub for world in pair.worlds)

    async def leaders():
        return [hub for hub in (here, there) if hub.gateway.others.leads]

    [first] = await until(leaders)
    await first.stop()
    rest = there if first is here else here

    async def leads():
        return rest.gateway.others.leads

    assert await until(leads)


async def test_what_was_told_last_before_a_worker_left_arrives(pair):
    """It tells all that it has committed before it goes."""
    here, there = pair.worlds
    dashboard = await there.user("admin")
    await dashboard.succeed("notification/subscribe")
    lamp = await here.device("lamp", "lamp-key")
    for value in range(50):
        await lamp.send(action="notification/insert", **notification(value=value))
    for _ in range(50):
        assert (await lamp.receive())["status"] == "success"

    await here.hub.stop()

    assert await values(dashboard, 50) == list(range(50))


async def test_a_third_worker_joins_under_load(start_cluster):
    """Whoever connects to it gets everything from then on, each once."""
    cluster = await start_cluster(world(), hubs=3)
    lamp = await cluster.worlds[0].device("lamp", "lamp-key")
    dashboards = [await world.user("admin") for world in cluster.worlds]
    for dashboard in dashboards:
        await dashboard.succeed("notification/subscribe")

    for value in range(100):
        await lamp.send(action="notification/insert", **notification(value=value))
    for _ in range(100):
        assert (await lamp.receive())["status"] == "success"

    for dashboard in dashboards:
        assert await values(dashboard, 100) == list(range(100))


async def test_the_logs_position_keeps_up_with_the_time(pair):
    """What a replay has to remember of its border is bounded by seconds."""
    gateway = pair.worlds[0].hub.gateway
    before = gateway.fan_out.position

    async def has_moved():
        return gateway.fan_out.position > before

    assert await until(has_moved)


async def test_a_worker_that_crashed_does_not_hide_what_the_others_store(tmp_path, monkeypatch):
    """Its ids begin above what it had reserved; a resume from one of them still gets what is stored elsewhere."""
    async with clusters(tmp_path, monkeypatch) as start:
        here, there = (await start(world())).worlds
        crashed, lamp = await here.device("lamp", "lamp-key"), await there.device("lamp", "lamp-key")
        stamper = here.hub.gateway.ids._stamper
        stamper._last_id = stamper._mark  # As the next run finds it.
        await until(lambda: asyncio.sleep(0, stamper._mark > stamper._last_id))
        seen = await crashed.succeed("notification/insert", **notification(value=1))

        await lamp.succeed("notification/insert", **notification(value=2))
        dashboard = await here.user("admin", subprotocols=["hub.1.json"])
        answer = await dashboard.succeed("notification/subscribe", since=seen["notification"]["id"])

        assert answer["recovered"]
        while await values(dashboard, 1) != [2]:
            pass


async def test_the_position_waits_for_a_worker_that_has_just_come(tmp_path, monkeypatch):
    """While the log is read nothing is known yet of who has joined: what it stores must not count as heard."""
    async with clusters(tmp_path, monkeypatch) as start:
        here = (await start(world(), hubs=1, heartbeat_s=60, lease_s=600)).worlds[0]
        others, gate = here.hub.gateway.others, Gate()
        await until(lambda: asyncio.sleep(0, not others.heard.has_open and others.heard._reading is None))
        read = here.hub.gateway.store.read

        async def read_late(query):
            await gate()
            return await read(query)

        monkeypatch.setattr(here.hub.gateway.store, "read", read_late)
        others.heard.doubt([63])
        others._doubt.set()
        await gate.reached.wait()
        before = here.hub.gateway.fan_out.position

        others._settled()
        assert here.hub.gateway.fan_out.position == before

        gate.open()
        await until(lambda: asyncio.sleep(0, here.hub.gateway.fan_out.position > before))
