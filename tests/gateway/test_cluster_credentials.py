"""Credentials of requests among several workers: what one of them revokes is worth nothing on the others."""

import pytest

from tests.gateway.inside import world
from tests.rest import http
from tests.rest.http import Client
from tests.waiting import until


@pytest.fixture
async def pair(start_cluster):
    """Two hubs, with a user who has a key."""
    data = world()
    ann = {"login": "ann", "password": "ann-pw", "role": "CLIENT", "status": "ACTIVE", "networks": []}
    data["users"].append(ann)
    data["accessKeys"].append({"name": "ann", "owner": "ann", "permissions": [{}]})
    return await start_cluster(data)


def client(home, who):
    return Client(home.hub.port, who)


def refuses(asking):
    async def is_refused():
        return (await asking.get("/user/current")).status == 401

    return is_refused


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/user/2/accesskey/2", http.NOTHING),
        ("PUT", "/user/2/accesskey/2", {"permissions": []}),
        ("PUT", "/user/2", {"status": 2}),
        ("DELETE", "/user/2", http.NOTHING),
    ],
)
async def test_a_key_that_one_worker_revokes_is_refused_by_the_other(pair, method, path, body):
    """It was remembered there."""
    here, there = pair.worlds
    asking = client(there, http.key(there.secrets["ann"]))
    assert (await asking.get("/user/current")).status == 200

    assert (await client(here, http.user("admin", "admin-pw")).ask(method, path, body)).status == 204

    await until(refuses(asking))


async def test_a_password_that_one_worker_changes_is_refused_by_the_other_at_once(pair):
    """Whatever the other has remembered was bound to the old one."""
    here, there = pair.worlds
    asking = client(there, http.user("ann", "ann-pw"))
    assert (await asking.get("/user/current")).status == 200

    changed = await client(here, http.user("admin", "admin-pw")).put("/user/2", {"password": "new"})

    assert changed.status == 204
    assert (await asking.get("/user/current")).status == 401
    assert (await client(there, http.user("ann", "new")).get("/user/current")).status == 200


async def test_failures_at_one_worker_are_forgiven_at_the_other(pair):
    """The counter is that of the database, also where the right password is remembered."""
    here, there = pair.worlds
    asking = client(there, http.user("ann", "ann-pw"))
    await asking.get("/user/current")
    await client(here, http.user("ann", "wrong")).get("/user/current")
    assert (await here.hub.store.find_login("ann")).login_attempts == 1

    assert (await asking.get("/user/current")).status == 200

    assert (await here.hub.store.find_login("ann")).login_attempts == 0


async def test_a_configuration_row_reaches_the_other(pair):
    """Without anybody asking for it."""
    here, there = pair.worlds

    await client(here, http.user("admin", "admin-pw")).put("/configuration/session.timeout", b"5000")

    async def timeout():
        return (await client(there, http.NOBODY).get("/info/config/auth")).json()["sessionTimeout"] == 5

    await until(timeout)


async def test_the_bus_is_told_by_host_and_port(start_cluster):
    """Everybody may know where it is, and no more."""
    pair = await start_cluster(world())

    config = (await client(pair.worlds[0], http.NOBODY).get("/info/config/cluster")).json()

    url = pair.worlds[0].settings.bus_url
    assert config["metadata.broker.list"] == url.authority
