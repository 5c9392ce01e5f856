"""Where history meets the live stream: no gap, no repetition, no inversion, however often one comes back."""

import asyncio
from itertools import pairwise

import pytest

from tests.fault.conftest import Install
from tests.fault.ledger import Ledger
from tests.fault.peers import Follower, Producer, running
from tests.fault.test_kill import caught_up, progress
from tests.gateway.inside import DEVICES, take_clock, world
from tests.waiting import WAIT_S

RECONNECTS = 100


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["commit", "queued"])
async def test_reconnecting_all_the_time_misses_and_repeats_nothing(install: Install, durability: str, record_property):
    """Followers that stay for moments, by id and by timestamp, see a busy stream exactly once, in order (T35)."""
    here = await install(HUB_DURABILITY=durability)
    port, who = here.hub.port, {"accessKey": here.key}
    book = Ledger()
    producers = [Producer(book, port, "notification", devices, **who) for devices in (DEVICES, ["lamp"])]
    # Inserts with an idempotency key wait for their commit in either mode; both sorts have to keep one order.
    producers[0].idempotent = True
    for producer in producers:
        producer.pause_s = 0.003
    followers = [
        (Follower(book, by, port, "notification", by=by, device=device, every_s=0.03 + 0.02 * turn, **who), device)
        for turn, (by, device) in enumerate([("since", None), ("timestamp", "lamp")])
    ]

    async with running(*(one.run for one in producers), *(one.run for one, _ in followers)) as tasks:
        async with asyncio.timeout(6 * WAIT_S):
            while any(one.connections < RECONNECTS for one, _ in followers):
                await progress({"notification": book}, 50)
        for producer in producers:
            producer.stop()
        await asyncio.wait_for(asyncio.gather(*tasks[:2]), 3 * WAIT_S)
        for follower, device in followers:
            await caught_up(book, follower, device)

    for follower, device in followers:
        assert book.check(follower.name, [device] if device else DEVICES).clean, follower.name
    assert all(answer["recovered"] for answer in followers[0][0].answers)
    record_property("acknowledged", len(book.acknowledged))
    record_property("connections", [one.connections for one, _ in followers])


@pytest.mark.slow
async def test_a_burst_in_one_instant_has_distinct_times_and_exact_suffixes(start_hub):
    """10,000 messages of a device under a clock that stands still: replays from times and ids give the suffix (T36)."""
    home = await start_hub(world())
    take_clock(home.hub.gateway)
    device, reader = await home.device("lamp", "lamp-key"), await home.key("admin")

    stored = await burst(device, 10_000)

    times, ids = [one["timestamp"] for one in stored], [one["id"] for one in stored]
    assert all(earlier < later for earlier, later in pairwise(ids))
    assert len(set(times)) == 10_000
    for place in (0, 1, 4_999, 9_000, 9_998, 9_999):
        assert await replayed(reader, timestamp=times[place]) == ids[place + 1 :]
        assert await replayed(reader, since=ids[place]) == ids[place + 1 :]


async def test_beyond_ten_seconds_ahead_times_may_repeat_but_nothing_is_missed(start_hub):
    """Where messages of a device share a millisecond after all, a replay from it sends them again, all of them."""
    home = await start_hub(world())
    clock = take_clock(home.hub.gateway)
    device, reader = await home.device("lamp", "lamp-key"), await home.key("admin")
    before = await burst(device, 10)
    clock.forward(-7_200)

    stored = await burst(device, 20)

    shared = stored[-1]["timestamp"]
    assert [one["timestamp"] for one in stored] == [shared] * 20
    assert await replayed(reader, timestamp=shared) == [one["id"] for one in [before[-1], *stored]]
    assert await replayed(reader, since=stored[7]["id"]) == [one["id"] for one in stored[8:]]


async def burst(device, number: int) -> list[dict]:
    """Insert so many notifications without waiting for the answers."""

    async def send() -> None:
        for count in range(number):
            await device.send(action="notification/insert", requestId=count, notification={"notification": "watts"})

    sending = asyncio.create_task(send())
    answers = [await device.receive() for _ in range(number)]
    await sending
    assert all(answer["status"] == "success" for answer in answers)
    return [answer["notification"] for answer in answers]


async def replayed(reader, **cursor) -> list[int]:
    """What a subscription of one device from this cursor on gets of the past."""
    answer = await reader.succeed("notification/subscribe", deviceGuids=["lamp"], **cursor)
    stop = (await reader.succeed("notification/insert", deviceGuid="lamp", notification={"notification": "stop"}))[
        "notification"
    ]["id"]
    ids = []
    while (push := await reader.push())["notification"]["notification"] != "stop" or push["notification"]["id"] < stop:
        if push["notification"]["notification"] != "stop":
            ids.append(push["notification"]["id"])
    await reader.succeed("notification/unsubscribe", subscriptionId=answer["subscriptionId"])
    return ids


async def test_a_device_that_answers_at_once_loses_no_update(start_hub):
    """2,000 of 2,000 updates reach the connection that inserted, each after the insert's own answer (T40)."""
    home = await start_hub(world())
    admin, device = await home.key("admin"), await home.device("lamp", "lamp-key", close_timeout=0.2)
    await device.succeed("command/subscribe")

    async def answer_at_once() -> None:
        while True:
            frame = await device.receive()
            if frame["action"] == "command/insert":
                update = {"status": "done", "result": frame["command"]["parameters"]}
                number = frame["command"]["id"]
                await device.send(action="command/update", requestId=number, commandId=number, command=update)

    async def insert() -> None:
        for number in range(2_000):
            command = {"command": "go", "parameters": number}
            await admin.send(action="command/insert", requestId=number, deviceGuid="lamp", command=command)

    tasks = [asyncio.create_task(answer_at_once()), asyncio.create_task(insert())]
    answered, updated = {}, {}
    while len(updated) < 2_000:
        frame = await admin.receive()
        if frame["action"] == "command/insert":
            answered[frame["command"]["id"]] = frame["requestId"]
        else:
            command = frame["command"]
            assert command["id"] in answered, "an update before the answer"
            updated[command["id"]] = command["result"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert updated == answered
    assert await admin.pushes() == []
