"""How often one somebody may ask."""

import pytest

from tests.rest import http
from tests.rest.http import NOTHING


@pytest.fixture
async def hub(start_site):
    """A hub where nobody may ask a fourth time."""
    return await start_site(rest_requests_per_s=0.01, rest_request_burst=3)


async def statuses(client, number=4, path="/info"):
    return [(await client.get(path)).status for _ in range(number)]


async def test_past_the_rate_one_is_told_to_wait(hub):
    """With the limit, and the seconds until the next would be taken."""
    await statuses(hub.admin, 3)

    response = await hub.admin.get("/info")

    assert (response.status, response.json()) == (
        429,
        {"error": 429, "message": "Too many requests: at most 0.01 requests per second"},
    )
    assert 90 <= int(response.headers["retry-after"]) <= 101
    assert response.headers["access-control-allow-origin"] == "*"


async def test_in_extended_mode_the_limit_has_a_name(hub):
    """And the time to wait is a member as well."""
    await statuses(hub.admin, 3)

    told = (await hub.admin.get("/info", headers=[("Hub-Version", "1")])).json()

    assert (told["reason"], told["detail"]) == ("rate", {"limit": "rest-requests-per-s", "value": 0.01})
    assert 90 <= told["retryAfter"] <= 101


async def test_everybody_has_a_rate_of_their_own(hub):
    """Each user, each key, each device, and each address of those who are nobody."""
    for client in (hub.admin, hub.by_login("alice"), hub.by_key("alices"), hub.by_device("lamp"), hub.nobody):
        assert await statuses(client) == [200, 200, 200, 429]


async def test_wrong_credentials_count_against_their_address(hub):
    """Whoever guesses keys is told to wait; whoever has one goes on."""
    assert await statuses(hub.client(http.key("a guess"))) == [401, 401, 401, 429]
    assert await statuses(hub.by_key("alices"), 3) == [200, 200, 200]


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("PATCH", "/info"), ("OPTIONS", "/info")])
async def test_whatever_is_asked_counts(hub, method, path):
    """Also what comes to nothing."""
    for _ in range(3):
        await hub.nobody.ask(method, path, NOTHING)

    assert (await hub.nobody.get("/info")).status == 429


async def test_as_devicehive_there_is_no_rate(start_site):
    """Unless it was set."""
    free = await start_site(compat="devicehive", rest_request_burst=1)

    assert await statuses(free.nobody, 20) == [200] * 20


async def test_refusals_are_counted(hub):
    """An operator sees which limit it was."""
    await statuses(hub.nobody)

    assert hub.hub.gateway.tally["rest-requests-per-s"] == 1


async def test_wrong_passwords_slow_down_their_account(site):
    """The same as on a socket: after five the password is not looked at, and the text stays the same."""
    wrong = site.client((("Authorization", "Basic YWxpY2U6d3Jvbmc="),))

    for _ in range(5):
        await wrong.get("/info")
    response = await site.by_login("alice").get("/info")

    assert (response.status, response.json()["message"]) == (401, "Invalid credentials")
    assert (await site.by_login("bob").get("/info")).status == 200
    assert (await site.by_key("alices").get("/info")).status == 200
