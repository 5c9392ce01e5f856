"""Configuration rows over REST, and what of them everybody may know."""

import pytest

from tests.rest import http


async def value(site, name):
    response = await site.admin.get(f"/configuration/{name}")
    assert (response.status, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    return response.body.decode()


async def test_a_value_comes_back_as_it_was_sent(site):
    """The bare text, of whatever type it was said to be; then the next one; then nothing."""
    for text, media in (("größer ", "text/plain"), ('{"a": 1}', "application/json"), ("x" * 128, None)):
        response = await site.admin.put("/configuration/a.b", text.encode(), media=media)
        assert (response.status, response.body) == (200, b"")
        assert await value(site, "a.b") == text

    assert (await site.admin.delete("/configuration/a.b")).status == 204
    assert await value(site, "a.b") == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [("x", b""), ("x", b"x" * 129), ("x" * 33, b"y"), ("x", b"\xff"), ("x", b"a\0b")],
)
async def test_a_row_that_cannot_be_is_refused(site, name, text):
    """A name of 1 to 32, a value of 1 to 128 characters."""
    response = await site.admin.put(f"/configuration/{name}", text)

    assert (response.status, response.json()["message"]) == (400, "Invalid request parameters")
    assert (await site.admin.put(f"/configuration/{'x' * 32}", http.NOTHING)).status == 400


@pytest.mark.parametrize(("method", "body"), [("GET", http.NOTHING), ("PUT", b"y"), ("DELETE", http.NOTHING)])
async def test_rows_are_for_administrators_in_person(site, method, body):
    """Not for their keys, nor for anybody else."""
    for client in (site.nobody, site.by_login("alice"), site.by_key("everything"), site.by_device("lamp")):
        assert (await client.ask(method, "/configuration/x", body)).status == 401


async def test_a_get_changes_nothing(site):
    """Any page can make a browser do it; so it is only there for who asks for DeviceHive's ways."""
    response = await site.admin.get("/configuration/x/set?value=y")

    assert (response.status, response.json()["message"]) == (405, "HTTP 405 Method Not Allowed")
    assert await value(site, "x") == ""


async def test_devicehive_sets_by_get(start_site):
    """With the value in the query, and none is none."""
    site = await start_site(compat="devicehive")

    assert (await site.admin.get("/configuration/x/set?value=a%20b")).status == 200
    assert await value(site, "x") == "a b"
    assert (await site.admin.get("/configuration/x/set")).status == 400
    assert (await site.admin.get("/configuration/x/set?value=")).status == 400
    assert (await site.by_login("alice").get("/configuration/x/set?value=y")).status == 401


async def test_a_row_wins_over_the_setting_at_once(start_site):
    """Until it is deleted: the very next request goes by it."""
    site = await start_site(session_timeout_ms=60_000, rest_requests_per_s=0.0)

    async def timeout():
        return (await site.nobody.get("/info/config/auth")).json()["sessionTimeout"]

    assert await timeout() == 60
    for seconds in (5, 6, 7):
        await site.admin.put("/configuration/session.timeout", str(seconds * 1000).encode())
        assert await timeout() == seconds
    await site.admin.delete("/configuration/session.timeout")
    assert await timeout() == 60
    await site.admin.put("/configuration/session.timeout", b"soon")
    assert await timeout() == 60


async def test_lock_out_can_be_turned_on_in_a_running_hub(site):
    """An administrator's row does it, and undoes it; less than none is none."""
    alice = site.client(http.user("alice", "wrong"))
    await site.admin.put("/configuration/user.login.maxAttempts", b"-1")
    for _ in range(2):
        await alice.get("/info")
    await site.admin.put("/configuration/user.login.maxAttempts", b"3")

    await alice.get("/info")

    assert (await site.admin.get("/user/2")).json()["status"] == 1


async def test_providers_are_told_when_they_are_enabled(site):
    """With the id that this hub has there, which is no secret."""
    rows = {
        "google.identity.allowed": b"TRUE",
        "google.identity.client.id": b"gid",
        "google.identity.client.secret": b"s3cret",
        "facebook.identity.allowed": b"true",
        "github.identity.allowed": b"yes",
    }
    for name, text in rows.items():
        await site.admin.put(f"/configuration/{name}", text)

    response = await site.nobody.get("/info/config/auth")

    assert response.json()["providers"] == [
        {"name": "google", "clientId": "gid"},
        {"name": "facebook", "clientId": None},
        {"name": "password", "clientId": ""},
    ]
    assert b"s3cret" not in response.body


async def test_a_hub_alone_has_no_brokers(site):
    """DeviceHive's four properties are there all the same."""
    assert (await site.nobody.get("/info/config/cluster")).json() == {
        "metadata.broker.list": None,
        "zookeeper.connect": None,
        "threads.count": 1,
        "cassandra.contactpoints": None,
    }


async def test_rows_of_devicehive_follow_the_settings(start_site):
    """They are there from the start, and an explicit setting wins over them; an administrator's row over both."""
    site = await start_site(compat="devicehive", session_timeout_ms=7_000)

    assert await value(site, "session.timeout") == "7000"
    assert await value(site, "user.login.lastTimeout") == "1000"
    assert await value(site, "websocket.ping.timeout") == "120000"
    await site.admin.put("/configuration/session.timeout", b"8000")
    assert await value(site, "session.timeout") == "8000"
    await site.admin.delete("/configuration/session.timeout")
    assert await value(site, "session.timeout") == "7000"


async def test_without_devicehives_ways_there_are_no_rows(site):
    """The settings count, and nobody has written anything."""
    assert await value(site, "session.timeout") == ""
