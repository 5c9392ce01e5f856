"""Inserting by what was found last time: the same answers, until anything has changed."""

import asyncio

import pytest

from protocol.errors import STORAGE
from tests.gateway.inside import world
from tests.waiting import until

NOTIFICATION = {"deviceGuid": "lamp", "notification": {"notification": "watts", "parameters": {"v": 1}}}


@pytest.fixture
async def alices(start_hub):
    """A hub, and a client's connection that has inserted once."""
    data = world()
    alice = {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["home"]}
    home = await start_hub({**data, "users": [*data["users"], alice]})
    peer = await home.user("alice")
    await peer.succeed("notification/insert", **NOTIFICATION)
    [connection] = home.hub.gateway.connections
    assert connection.may_notify is not None
    return home, peer


async def test_the_second_insert_is_answered_and_pushed_like_the_first(start_hub):
    """Same members, later id, same push."""
    home = await start_hub(world())
    admin, reader = await home.key("admin"), await home.key("admin")
    await reader.succeed("notification/subscribe")

    answers = [await admin.succeed("notification/insert", **NOTIFICATION) for _ in range(2)]
    pushes = await reader.pushes()

    assert answers[0]["notification"].keys() == answers[1]["notification"].keys()
    assert [push["notification"]["id"] for push in pushes] == [answer["notification"]["id"] for answer in answers]
    assert answers[0]["notification"]["id"] < answers[1]["notification"]["id"]


CHANGES = {
    "its user left the network": lambda tx: tx.remove_member(2, 1),
    "the device went to another network": lambda tx: tx.update_device(1, network_id=None),
    "the device is gone": lambda tx: tx.delete_device("lamp"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_asked_about_again(alices, change):
    """What was found before counts for nothing once something has changed."""
    home, peer = alices

    await home.change(CHANGES[change])

    async def refused():
        return (await peer.ask("notification/insert", **NOTIFICATION)).get("code")

    assert await until(refused) in (400, 401, 403, 404)


async def test_another_device_or_a_name_that_means_something_goes_the_whole_way(alices):
    """Only the same request of the same device is taken for granted."""
    _, peer = alices

    other = await peer.ask("notification/insert", **{**NOTIFICATION, "deviceGuid": "elsewhere"})
    reserved = await peer.ask("notification/insert", deviceGuid="lamp", notification={"notification": "$event"})
    nameless = await peer.ask("notification/insert", deviceGuid="lamp", notification={})

    assert {other["status"], reserved["status"], nameless["status"]} == {"error"}


async def test_a_log_that_takes_no_more_refuses_it(alices):
    """The 503 of a full queue is an answer here as well."""
    home, peer = alices
    home.hub.gateway.commits._most = 0

    answer = await peer.ask("notification/insert", **NOTIFICATION)

    assert answer["code"] == 503


async def test_a_write_that_fails_is_an_error(start_hub, failing):
    """What could not be stored is never answered with success."""
    home = await start_hub(world())
    admin = await home.key("admin")
    await admin.succeed("notification/insert", **NOTIFICATION)
    failing(home).fails = lambda name: name == "write"

    answer = await admin.ask("notification/insert", **NOTIFICATION)
    failing(home).fails = lambda name: False

    assert (answer["code"], answer["error"]) == (503, STORAGE.error().text)
    await asyncio.wait_for(admin.succeed("notification/insert", **NOTIFICATION), 10)
