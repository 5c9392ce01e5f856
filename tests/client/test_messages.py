"""Devices, applications and gateways at work, over real sockets."""

import asyncio
from datetime import UTC, datetime

import pytest

from hub.client import (
    ClientError,
    ClientLimit,
    ConnectionLost,
    HubRefused,
    NoAnswer,
    Options,
    Overflow,
    Registration,
    connect,
    connect_device,
)
from tests.client.scripted import FAST, TIMEOUT_S, scripted, until, within


async def test_a_device_notifies_and_obeys():
    """A notification is stored when notify returns; a command is answered by its reply."""
    async with scripted() as hub, connect_device(hub.url, guid="lamp", key="k", options=FAST) as device:
        peer = await hub.peer()
        telling = asyncio.create_task(device.notify("watts", {"value": 60}))
        request = await peer.request("notification/insert")
        await peer.answer(request, notification={"id": 5})
        assert await telling == 5
        assert request["deviceGuid"] == "lamp"
        assert request["notification"] == {"notification": "watts", "parameters": {"value": 60}}

        commands = device.commands(names=["on"])
        next_command = asyncio.create_task(anext(commands))
        request = await peer.subscribe("command/subscribe", position=9)
        assert (request["deviceGuids"], request["names"], request["since"]) == (["lamp"], ["on"], 0)
        await peer.command("command/insert", 9, parameters={"level": 3})
        command = await within(next_command)
        assert (command.id, command.name, command.parameters) == (9, "on", {"level": 3})
        assert repr(command) == "<Command 9 on for lamp>"

        replying = asyncio.create_task(command.reply("done", {"lit": True}))
        request = await peer.request("command/update")
        await peer.answer(request)
        await within(replying)
        assert (request["commandId"], request["deviceGuid"]) == (9, "lamp")
        assert request["command"] == {"status": "done", "result": {"lit": True}}


async def test_a_device_tells_its_status_and_reads_its_description():
    """Both are ordinary requests; a reply may do without a result."""
    async with scripted() as hub, connect_device(hub.url, guid="lamp", key="k", options=FAST) as device:
        peer = await hub.peer()
        telling = asyncio.create_task(device.set_status("Online"))
        request = await peer.request("notification/insert")
        await peer.answer(request, notification={"id": 5})
        await within(telling)
        assert request["notification"] == {"notification": "device-status", "parameters": {"status": "Online"}}

        reading = asyncio.create_task(device.describe())
        await peer.answer(await peer.request("device/get"), device={"id": "lamp"})
        assert await reading == {"id": "lamp"}
        assert repr(device) == "<Device lamp connected>"
        assert device.connected


async def test_a_dashboard_watches():
    """Every filter is a member of the request, and messages are typed."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        stream = client.notifications(devices=["lamp"], names=["watts"], since=3, overflow=Overflow.LATEST)
        opening = asyncio.create_task(stream.open())
        missed = {"reason": "retention", "after": 3, "before": 7}
        request = await peer.subscribe(position=8, recovered=False, missed=missed)
        await within(opening)
        await peer.notify(8)
        notification = await stream.next(timeout_s=TIMEOUT_S)

        assert (notification.id, notification.name, notification.parameters) == (8, "watts", {"value": 8})
        assert {name: request[name] for name in ("deviceGuids", "names", "since", "overflow")} == {
            "deviceGuids": ["lamp"],
            "names": ["watts"],
            "since": 3,
            "overflow": "latest",
        }
        assert (stream.recovered, stream.missed, stream.position) == (False, missed, 8)


async def test_commands_can_be_watched_and_answered_for_a_device():
    """An application sees them as the device does, and may answer, notify and save in its place."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        reading = asyncio.create_task(anext(client.commands(devices=["lamp"])))
        await peer.subscribe("command/subscribe", position=0)
        await peer.command("command/insert", 1, status=None)
        assert (await within(reading)).name == "on"

        registration = Registration(
            name="L", device_class="c", offline_timeout_s=60, equipment=[{"code": "e"}], data=[1]
        )
        work = asyncio.gather(
            client.update_command("lamp", 1, status="done"),
            client.notify("lamp", "watts"),
            client.insert_command("lamp", "on", lifetime_s=5),
            client.save_device("lamp", registration),
        )
        update = await peer.request("command/update")
        await peer.answer(update)
        await peer.answer(await peer.request("notification/insert"), notification={"id": 2})
        insert = await peer.request("command/insert")
        await peer.answer(insert, command={"id": 3})
        save = await peer.request("device/save")
        await peer.answer(save)

        assert await within(work) == [None, 2, 3, None]
        assert update["command"] == {"status": "done"}
        assert insert["command"] == {"command": "on", "parameters": None, "lifetime": 5}
        assert save["device"] == {
            "name": "L",
            "data": [1],
            "deviceClass": {"name": "c", "version": "1.0", "offlineTimeout": 60, "equipment": [{"code": "e"}]},
        }


async def test_a_gateway_speaks_for_several_devices():
    """Each request of another device carries that device's credentials."""
    async with scripted() as hub, connect_device(hub.url, guid="gateway", key="g", options=FAST) as gateway:
        peer = await hub.peer()
        opening = asyncio.create_task(
            gateway.speak_for("fan", key="f", registration=Registration(name="Fan", device_class="fan"))
        )
        save = await peer.request("device/save")
        await peer.answer(save)
        fan = await within(opening)
        other = await gateway.speak_for("door", key="d")
        assert (save["deviceId"], save["device"]["key"], other.guid) == ("fan", "f", "door")

        telling = asyncio.create_task(fan.notify("rpm", 900))
        told = await peer.request("notification/insert")
        await peer.answer(told, notification={"id": 1})
        await within(telling)
        reading = asyncio.create_task(anext(fan.commands()))
        subscribed = await peer.subscribe("command/subscribe", position=0)
        await peer.command("command/insert", 2)
        command = await within(reading)
        replying = asyncio.create_task(command.reply("done"))
        replied = await peer.request("command/update")
        await peer.answer(replied)
        await within(replying)

        for request in (told, subscribed, replied):
            assert (request["deviceId"], request["deviceKey"]) == ("fan", "f")
        await peer.drop()
        again = await (await hub.peer()).subscribe("command/subscribe", position=2)
        assert (again["deviceId"], again["deviceKey"], again["since"]) == ("fan", "f", 2)


# --- commands and their results ---------------------------------------------------------------------------------------


VIEW = {"id": 7, "command": "on", "deviceGuid": "lamp", "timestamp": "2026-01-01T00:00:00.000"}


async def test_send_waits_for_the_devices_words():
    """Progress of the hub is passed over; the first status or result counts."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        sending = asyncio.create_task(client.send("lamp", "on", {"level": 3}, timeout_s=TIMEOUT_S))
        await peer.answer(await peer.request("command/insert"), command={"id": 7})
        await peer.command("command/update", 6, status="another")
        await peer.command("command/update", 7, state="received")
        await peer.command("command/update", 7, status="done", result={"lit": True})
        await peer.command("command/update", 7, status="again")

        command = await within(sending)

        assert (command.id, command.status, command.result) == (7, "done", {"lit": True})


async def test_send_gives_up_at_its_deadline_and_names_the_command():
    """The hub has the command, so the program can look for its result later."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        sending = asyncio.create_task(client.send("lamp", "on", timeout_s=0.3))
        await peer.answer(await peer.request("command/insert"), command={"id": 7})

        with pytest.raises(NoAnswer) as caught:
            await within(sending)
        with pytest.raises(NoAnswer) as unanswered:
            await client.send("lamp", "on", timeout_s=0.01)

        assert (caught.value.command_id, unanswered.value.command_id) == (7, None)
        assert len(client._session.following) == 0


async def test_send_finds_its_command_again_after_a_reconnect():
    """The insert is repeated with its key: before its answer for the answer, after it for the updates."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        sending = asyncio.create_task(client.send("lamp", "on", timeout_s=TIMEOUT_S))
        before = await first.request("command/insert")
        await first.drop()
        second = await hub.peer()
        again = await second.request("command/insert")
        await second.answer(again, command={"id": 7})
        await second.command("command/update", 7, state="sent")
        await second.notify()
        await answered(client, second)
        await second.drop()
        third = await hub.peer()
        watching = await third.request("command/insert")
        await third.answer(watching, command={"id": 7})
        await third.command("command/update", 7, status="done")

        assert (await within(sending)).status == "done"
        assert before["idempotencyKey"] == again["idempotencyKey"] == watching["idempotencyKey"]


async def answered(client, peer):
    """One question and its answer on this connection."""
    asking = asyncio.create_task(client.server_info())
    await peer.answer(await peer.request("server/info"), info={})
    await within(asking)


async def test_two_sends_may_wait_for_one_command():
    """With the same key they are the same command, and both get its result."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        sends = [client.send("lamp", "on", idempotency_key="once", timeout_s=TIMEOUT_S) for _ in range(2)]
        sending = asyncio.gather(*sends)
        for _ in sends:
            await peer.answer(await peer.request("command/insert"), command={"id": 7})
        await peer.command("command/update", 7, status="done")

        assert [command.status for command in await within(sending)] == ["done", "done"]
        assert len(client._session.following) == 0


async def test_send_learns_that_its_command_ended_while_nobody_was_connected():
    """Behind the answer to its repetition: waiting longer helps nobody."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        sending = asyncio.create_task(client.send("lamp", "on", lifetime_s=1, queue=False, timeout_s=TIMEOUT_S))
        asked = await first.request("command/insert")
        await first.drop()
        second = await hub.peer()
        await second.answer(await second.request("command/insert"), command={"id": 7, "state": "expired"})
        await second.command("command/update", 7, state="expired", status="late")

        command = await within(sending)

        assert (asked["queue"], asked["command"]["lifetime"]) == (False, 1)
        assert (command.id, command.state, command.status) == (7, "expired", "late")


async def test_send_does_not_take_a_stored_command_for_refused():
    """A right was taken away meanwhile: the device may carry it out all the same, so its id is told."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        sending = asyncio.create_task(client.send("lamp", "on", timeout_s=TIMEOUT_S))
        await first.answer(await first.request("command/insert"), command={"id": 7})
        await first.drop()
        second = await hub.peer()
        await second.refuse(await second.request("command/insert"), 404, error="no such device")

        with pytest.raises(NoAnswer, match="no such device") as caught:
            await within(sending)
        assert caught.value.command_id == 7


async def test_a_command_is_waited_for_by_its_id():
    """After a deadline, or by somebody else: over a reconnect as well."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        waiting = asyncio.create_task(client.wait_for("lamp", 7, timeout_s=TIMEOUT_S))
        await first.answer(await first.request("command/watch"), command=VIEW)
        await first.command("command/update", 7, state="sent")
        await first.drop()
        second = await hub.peer()
        asked = await second.request("command/watch")
        await second.answer(asked, command={**VIEW, "status": "done", "state": "done"})

        assert (await within(waiting)).status == "done"
        assert (asked["deviceGuid"], asked["commandId"]) == ("lamp", 7)
        assert len(client._session.following) == 0


async def test_what_has_become_of_a_command_already_counts():
    """Nobody waits for what has happened."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        waiting = asyncio.create_task(client.wait_for("lamp", 7, timeout_s=TIMEOUT_S))
        await peer.answer(await peer.request("command/watch"), command={**VIEW, "state": "cancelled"})

        assert (await within(waiting)).state == "cancelled"


async def test_waiting_ends_when_the_hub_tells_nothing_more():
    """Rights were lost, or the command is no longer kept; nobody waits until the deadline."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        waiting = asyncio.create_task(client.wait_for("lamp", 7, timeout_s=TIMEOUT_S))
        await first.answer(await first.request("command/watch"), command=VIEW)
        await first.drop()
        second = await hub.peer()
        await second.refuse(await second.request("command/watch"), 404, error="no such command")

        with pytest.raises(HubRefused, match="no such command"):
            await within(waiting)


async def test_a_command_is_read_and_taken_back():
    """By whoever may; a refusal says how far it has come."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        reading = asyncio.create_task(client.command("lamp", 7))
        await peer.answer(await peer.request("command/get"), command={**VIEW, "state": "queued"})
        cancelling = asyncio.create_task(client.cancel("lamp", 7))
        await peer.answer(await peer.request("command/cancel"), command={"id": 7, "state": "cancelled"})
        late = asyncio.create_task(client.cancel("lamp", 7))
        reason = {"reason": "conflict", "detail": {"state": "received"}}
        await peer.refuse(await peer.request("command/cancel"), 409, **reason)
        unread = asyncio.create_task(client.command("lamp", 7))
        await peer.answer(await peer.request("command/get"), command={"id": 7})

        assert (await within(reading)).state == "queued"
        await within(cancelling)
        with pytest.raises(HubRefused) as caught:
            await within(late)
        assert caught.value.detail == {"state": "received"}
        with pytest.raises(ClientError, match="shows no command"):
            await within(unread)


@pytest.mark.parametrize(
    ("state", "counts"), [("received", True), ("done", True), ("expired", False), ("cancelled", False)]
)
async def test_a_device_says_that_it_has_a_command(state, counts):
    """Before what takes a while, and hears whether it still counts; a gateway says it with the device's key."""
    async with scripted() as hub, connect_device(hub.url, guid="gw", key="k", options=FAST) as gateway:
        peer = await hub.peer()
        lamp = await gateway.speak_for("lamp", key="l")
        stream = lamp.commands()
        opening = asyncio.create_task(stream.open())
        await peer.subscribe("command/subscribe", position=0)
        await within(opening)
        await peer.command("command/insert", 7)
        command = await within(anext(stream))
        receiving = asyncio.create_task(command.received())
        asked = await peer.request("command/receive")
        await peer.answer(asked, command={"id": 7, "state": state})

        assert await within(receiving) is counts
        assert (asked["deviceGuid"], asked["commandId"], asked["deviceKey"]) == ("lamp", 7, "l")


async def test_an_answer_without_an_id_is_an_error_of_its_own():
    """It ends the call, not the connection."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        for call in (client.send("lamp", "on", timeout_s=TIMEOUT_S), client.insert_command("lamp", "on")):
            calling = asyncio.create_task(call)
            await peer.answer(await peer.request("command/insert"), command=None)

            with pytest.raises(ClientError, match="name an id"):
                await within(calling)
        await answered(client, peer)


async def test_a_refusal_carries_everything_that_the_hub_said():
    """Code, text, reason, detail, and when to try again."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        calling = asyncio.create_task(client.notify("lamp", "watts"))
        detail = {"permission": "CreateDeviceNotification"}
        request = await peer.request("notification/insert")
        await peer.refuse(request, 429, reason="rate", detail=detail, retryAfter=2)

        with pytest.raises(HubRefused) as caught:
            await within(calling)

        error = caught.value
        assert (error.code, error.text, error.reason, error.detail, error.retry_after_s) == (
            429,
            "No",
            "rate",
            detail,
            2.0,
        )


async def test_an_ordinary_server_is_not_asked_to_insert_twice():
    """It may not know idempotency keys, so the program decides."""
    async with scripted(subprotocols=[]) as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        calling = asyncio.create_task(client.notify("lamp", "watts"))
        await peer.request("notification/insert")
        await peer.drop()

        with pytest.raises(ConnectionLost, match="outcome unknown"):
            await within(calling)


async def test_too_many_requests_at_once_are_refused_by_name():
    """The queue is bounded."""
    options = Options(pending_limit=1, timeout_s=TIMEOUT_S)
    async with scripted() as hub, connect(hub.url, access_key="k", options=options) as client:
        peer = await hub.peer()
        asking = asyncio.create_task(client.server_info())
        await peer.request("server/info")

        with pytest.raises(ClientLimit, match="pending-requests, 1"):
            await client.server_info()
        asking.cancel()


async def test_too_many_watched_commands_are_refused_by_name():
    """The hub has the command, but this client cannot wait for one more."""
    options = Options(pending_limit=1, timeout_s=TIMEOUT_S)
    async with scripted() as hub, connect(hub.url, access_key="k", options=options) as client:
        peer = await hub.peer()
        sends = []
        for number in (1, 2):
            sends.append(asyncio.create_task(client.send("lamp", "on", timeout_s=TIMEOUT_S)))
            await peer.answer(await peer.request("command/insert"), command={"id": number})
            await until(lambda: client._session._client._pending == {})

        with pytest.raises(ClientLimit, match="watched-commands, 1"):
            await within(sends[1])
        sends[0].cancel()


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_a_stream_goes_on_across_connections_without_gap_or_repetition():
    """The reader does not notice that the connection broke."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        stream = client.notifications()
        opening = asyncio.create_task(stream.open())
        await first.subscribe(position=0)
        await within(opening)
        await first.notify(1, 2)
        assert [(await stream.next(timeout_s=TIMEOUT_S)).id for _ in range(2)] == [1, 2]
        await first.drop()

        second = await hub.peer()
        request = await second.subscribe(position=3, recovered=True)
        await second.notify(2, 3)

        assert request["since"] == 2
        assert (await stream.next(timeout_s=TIMEOUT_S)).id == 3
        assert stream.recovered is True


async def test_a_slow_reader_gives_its_subscription_back_and_loses_nothing():
    """At the limit the stream stops receiving, others go on, and half-way down it asks for the rest."""
    options = Options(queue_limit=2, timeout_s=TIMEOUT_S)
    async with scripted() as hub, connect(hub.url, access_key="k", options=options) as client:
        peer = await hub.peer()
        stream = client.notifications()
        opening = asyncio.create_task(stream.open())
        await peer.subscribe(position=0)
        await within(opening)
        await peer.notify(1, 2, 3)
        request = await peer.request("notification/unsubscribe")
        await peer.answer(request)
        await answered(client, peer)

        assert (await anext(stream)).id == 1
        assert stream.position == 1
        request = await peer.subscribe(position=3, recovered=True)
        await peer.notify(3)

        assert request["since"] == 2
        assert [(await stream.next(timeout_s=TIMEOUT_S)).id for _ in range(2)] == [2, 3]
        assert repr(stream) == "<Stream of <Subscription notification live position=3> waiting=0>"


async def test_a_stream_that_is_left_unsubscribes():
    """``async with`` opens and closes it; what still comes is passed over, and iterating ends."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        entering = asyncio.create_task(
            enter_and_leave(client.notifications(timestamp=datetime(2026, 1, 1, tzinfo=UTC)))
        )
        request = await peer.subscribe(position=0)
        stream = await within(entering)
        await peer.request("notification/unsubscribe")

        assert request["timestamp"] == "2026-01-01T00:00:00.000"
        assert [message async for message in stream] == []
        stream.close()


async def enter_and_leave(stream):
    async with stream:
        pass
    return stream


async def test_a_subscription_that_the_hub_refuses_raises():
    """Where the stream begins."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        opening = asyncio.create_task(client.commands(devices=["other"]).open())
        await peer.refuse(await peer.request("command/subscribe"), 403)

        with pytest.raises(HubRefused):
            await within(opening)


async def test_a_subscription_that_the_hub_ends_raises_after_what_had_come():
    """The reader gets every message first."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        stream = client.notifications()
        opening = asyncio.create_task(stream.open())
        await peer.subscribe(position=0)
        await within(opening)
        await peer.notify(1)
        await peer.send(action="subscription/closed", subscriptionId="s", reason="not-permitted")

        assert (await stream.next(timeout_s=TIMEOUT_S)).id == 1
        with pytest.raises(HubRefused) as caught:
            await stream.next(timeout_s=TIMEOUT_S)
        assert caught.value.reason == "not-permitted"


async def test_a_wait_for_the_next_message_ends_at_its_deadline():
    """The stream stays open, and counts what its policy left out."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        stream = client.notifications()
        opening = asyncio.create_task(stream.open())
        await peer.subscribe(position=0)
        await within(opening)

        with pytest.raises(NoAnswer, match="no message"):
            await stream.next(timeout_s=0.01)
        view = {"id": 1, "notification": "n", "deviceGuid": "lamp", "timestamp": "2026-01-01T00:00:00.000"}
        await peer.send(action="notification/insert", subscriptionId="s", notification=view, dropped=4)

        assert (await stream.next(timeout_s=TIMEOUT_S)).id == 1
        assert stream.dropped == 4
