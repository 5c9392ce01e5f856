"""Notifications that mean something to the hub: the state of equipment, and a device's status (8.3, 8.4)."""

import pytest

from tests.waiting import until


async def states(home):
    """The stored state of the lamp's equipment."""
    return await home.hub.store.transact(lambda tx: tx.equipment_states(tx.device("lamp").id))


async def notify(peer, name, **parameters):
    return await peer.ask("notification/insert", deviceGuid="lamp", notification={"notification": name, **parameters})


async def test_equipment_keeps_its_last_state(home):
    """Everything beside the code is the state; a later report replaces it, and subscribers get it unchanged."""
    lamp, reader = await home.device("lamp", "lamp-key"), await home.key("admin")
    await reader.succeed("notification/subscribe")

    for watts in (1, 2):
        await notify(lamp, "equipment", parameters={"equipment": "LED", "watts": watts})
    answer = await notify(lamp, "equipment", parameters={"equipment": 7})

    found = {state.code: state.parameters for state in await states(home)}
    pushed = [push["notification"]["parameters"] for push in await reader.pushes()]
    assert answer["status"] == "success"
    assert found == {"LED": {"watts": 2}, "7": {}}
    assert pushed == [{"equipment": "LED", "watts": 1}, {"equipment": "LED", "watts": 2}, {"equipment": 7}]


@pytest.mark.parametrize(
    ("name", "parameters", "error"),
    [
        ("equipment", {}, "equipment notification must have parameters!"),
        ("equipment", {"parameters": None}, "'parameters' must be JSON Object!"),
        ("equipment", {"parameters": [1]}, "'parameters' must be JSON Object!"),
        ("equipment", {"parameters": {"on": 1}}, "'equipment' filed must be in notification parameters!"),
        ("device-status", {}, "Invalid request parameters"),
        ("device-status", {"parameters": "Online"}, "'parameters' must be JSON Object!"),
        ("device-status", {"parameters": {}}, "Invalid request parameters"),
        ("device-status", {"parameters": {"status": 5}}, "Invalid request parameters"),
    ],
)
async def test_a_special_notification_that_is_wrong_stores_nothing(home, name, parameters, error):
    """Neither state nor status nor message remains of a refused one."""
    lamp, reader = await home.device("lamp", "lamp-key"), await home.key("admin")

    answer = await notify(lamp, name, **parameters)
    await reader.succeed("notification/subscribe", since=0)

    assert (answer["code"], answer["error"]) == (400, error)
    assert await states(home) == []
    assert (await lamp.succeed("device/get"))["device"]["status"] is None
    assert await reader.pushes() == []
    await until(lambda: _no_replay(home))
    assert await reader.pushes() == []


async def _no_replay(home):
    return not len(home.hub.gateway.replays)


async def test_a_status_is_stored_and_told_first(home):
    """``$device-update`` with the new status comes before ``device-status`` itself; both are in the log."""
    lamp, reader = await home.device("lamp", "lamp-key"), await home.key("admin")
    await reader.succeed("notification/subscribe")

    answer = await notify(lamp, "device-status", parameters={"status": "Online", "why": "new"})

    first, second = [push["notification"] for push in await reader.pushes()]
    assert (first["notification"], first["parameters"]["status"]) == ("$device-update", "Online")
    assert (second["notification"], second["parameters"]) == ("device-status", {"status": "Online", "why": "new"})
    assert first["id"] < second["id"] == answer["notification"]["id"]
    assert first["timestamp"] < second["timestamp"]
    assert (await lamp.succeed("device/get"))["device"]["status"] == "Online"


@pytest.mark.parametrize("name", ["equipment", "device-status"])
async def test_a_repeated_special_notification_changes_nothing_again(home, name):
    """The idempotency key covers what the notification does, too."""
    lamp, reader = await home.device("lamp", "lamp-key"), await home.key("admin")
    await reader.succeed("notification/subscribe")
    ask = {"notification": name, "parameters": {"equipment": "LED", "status": "Online"}}

    answers = [await lamp.succeed("notification/insert", notification=ask, idempotencyKey="once") for _ in range(2)]

    assert answers[0]["notification"] == answers[1]["notification"]
    assert len(await reader.pushes()) == {"equipment": 1, "device-status": 2}[name]
