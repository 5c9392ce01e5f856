"""Whatever a filter, a pattern or a sort field holds is a value: it finds no more rows, and breaks nothing."""

from urllib.parse import quote

import pytest

from hub.rest.api import ROUTES
from hub.rest.route import Route
from protocol.forms import Entry, Place, entries
from tests.rest.test_rules import shape_of

PAYLOADS = [
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR ""="',
    "'; DROP TABLE device; --",
    "') UNION SELECT key, key, key FROM access_key --",
    "\\' OR 1=1 --",
    "lamp' AND (SELECT count(*) FROM user) > 0 --",
    "%27%20OR%201=1",
    "x\\",
    "x\\%",
    "[a-z]*",
    "*",
    "?",
    ":name",
    "%(name)s",
    "$1",
    "{0.__class__}",
    "\N{FULLWIDTH APOSTROPHE} OR 1=1",
    "id; SELECT pg_sleep(10)",
    "id DESC, (SELECT password_hash FROM user)",
    "(CASE WHEN 1=1 THEN id ELSE name END)",
    "ID--",
    "id/**/",
    " id",
    "id\n",
    "x" * 5_000,
]
"""None of them, taken literally, is in a row of the world; as patterns none of them matches any."""

HAS_ROWS = {
    "/user": "/user",
    "/network": "/network",
    "/device": "/device",
    "/device/class": "/device/class",
    "/user/{}/accesskey": "/user/current/accesskey",
    "/device/{}/command": "/device/lamp/command",
    "/device/{}/notification": "/device/lamp/notification",
    "/oauth/client": "/oauth/client",
    "/user/{}/oauth/grant": "/user/current/oauth/grant",
}

LISTS = [route for route in ROUTES if route.method == "GET" and shape_of(route) in HAS_ROWS]


def asked(route: Route) -> list[Entry]:
    """What a query may hold, but for what is accepted and looked at by nobody."""
    return [entry for entry in entries(route.form) if entry.place is Place.QUERY and entry.name != "gridInterval"]


def texts(route: Route) -> list[Entry]:
    """What filters by a text."""
    return [entry for entry in asked(route) if entry.type.schema == {"type": "string"}]


FILTERS = [
    pytest.param(HAS_ROWS[shape_of(route)], entry.name, id=f"{shape_of(route)}?{entry.name}")
    for route in LISTS
    for entry in texts(route)
]
OTHERS = [
    pytest.param(HAS_ROWS[shape_of(route)], entry.name, id=f"{shape_of(route)}?{entry.name}")
    for route in LISTS
    for entry in asked(route)
    if entry not in texts(route)
]


@pytest.fixture
async def hub(site):
    await site.admin.post("/device/lamp/command", {"command": "on"})
    await site.admin.post("/device/lamp/notification", {"notification": "on"})
    app = {"name": "App", "domain": "app.com", "redirectUri": "https://app.com/cb", "oauthId": "app"}
    await site.admin.post("/oauth/client", app)
    grant = {"client": {"oauthId": "app"}, "type": "Token", "redirectUri": "https://app.com/cb", "scope": "GetDevice"}
    await site.admin.post("/user/current/oauth/grant", grant)
    return site


def test_every_list_is_there():
    """None of them goes untested by being called something else."""
    assert {shape_of(route) for route in LISTS} == set(HAS_ROWS)


@pytest.mark.parametrize(("path", "name"), FILTERS)
async def test_a_filter_finds_what_it_says_to_the_letter(hub, path, name):
    """No row of the world has such a text, so none is found; everything is still there afterwards."""
    client = hub.by_key("everything")
    before = (await client.get(path)).json()

    for payload in PAYLOADS:
        response = await client.get(f"{path}?{name}={quote(payload)}")
        assert (response.status, response.json()) == (200, []), payload

    assert before
    assert (await client.get(path)).json() == before


@pytest.mark.parametrize(("path", "name"), OTHERS)
async def test_a_parameter_that_is_no_text_takes_none(hub, path, name):
    """Sort fields and orders, numbers and times: what is none of theirs is refused."""
    for payload in PAYLOADS:
        response = await hub.admin.get(f"{path}?{name}={quote(payload)}")
        assert response.status in (400, 404), (payload, response)


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if len(payload) <= 120])
async def test_a_name_is_kept_to_the_letter(hub, payload):
    """And found again by itself, and by nothing else."""
    assert (await hub.admin.post("/network", {"name": payload, "description": payload})).status == 201

    [found] = (await hub.admin.get(f"/network?name={quote(payload)}")).json()
    assert (found["name"], found["description"]) == (payload, payload)
    assert len((await hub.admin.get("/network")).json()) == 3


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("%", ["away", "home", "50%", "a_b", "a\\b"]),
        ("home", ["home"]),
        ("HOME", []),
        ("ho%", ["home"]),
        ("%e", ["home"]),
        ("h_me", ["home"]),
        ("h__", []),
        ("____", ["away", "home"]),
        ("50%", ["50%"]),
        ("a_b", ["a_b", "a\\b"]),
        ("a\\b", ["a\\b"]),
        ("a\\_b", []),
        ("h[o]me", []),
        ("h*", []),
    ],
)
async def test_patterns_are_those_of_sql_and_no_others(hub, pattern, names):
    """``%`` any run, ``_`` one character, everything else itself; the whole text; upper and lower case apart."""
    for name in ("50%", "a_b", "a\\b"):
        await hub.admin.post("/network", {"name": name})

    found = (await hub.admin.get(f"/network?namePattern={quote(pattern)}")).json()

    assert sorted(one["name"] for one in found) == sorted(names)


async def test_what_stands_in_a_path_is_a_value(hub):
    """A guid is looked up to the letter, and told back to the letter."""
    for payload in PAYLOADS:
        response = await hub.admin.get(f"/device/{quote(payload, safe='')}")
        assert response.status == 404
        assert response.json()["message"] == f"Device with such guid = {payload} not found"
