"""The order of checks: of everything that is wrong with a request, the first in the order is what is told."""

import pytest

from tests.rest import http
from tests.rest.conftest import WORLD
from tests.rest.http import NOBODY

WRONG = http.user("alice", "wrong")
ALICE = http.user("alice", "alice-pw")
ADMIN = http.user("admin", "admin-pw")

BAD = b'{"name":'
UNKNOWN, METHOD, TYPE, NUMBER, BODY, ROLE = "unknown", "method", "type", "number", "body", "role"

UNAUTHORIZED = (401, {"error": 401, "message": "Unauthorized"})
CREDENTIALS = (401, {"error": 401, "message": "Invalid credentials"})
NOT_FOUND = (404, {"error": 404, "message": "HTTP 404 Not Found"})
NOT_ALLOWED = (405, {"error": 405, "message": "HTTP 405 Method Not Allowed"})
NOT_TAKEN = (415, {"error": 415, "message": "HTTP 415 Unsupported Media Type"})
MALFORMED = (400, {"error": None, "message": "Invalid request parameters"})
NO_NETWORK = (404, {"error": 404, "message": "Network with id = 99 not found"})

LADDER = [
    # who, method, path, type of the body, body: what is wrong with them goes from left to right
    (WRONG, "PATCH", "/nowhere", "text/plain", BAD, CREDENTIALS),
    (WRONG, "PUT", "/network/x", "text/plain", BAD, CREDENTIALS),
    (WRONG, "GET", "/info", None, b"", CREDENTIALS),
    (NOBODY, "PATCH", "/nowhere", "text/plain", BAD, NOT_FOUND),
    (NOBODY, "PATCH", "/network/x", "text/plain", BAD, NOT_ALLOWED),
    (NOBODY, "PUT", "/network/x", "text/plain", BAD, NOT_TAKEN),
    (NOBODY, "PUT", "/network/x", "application/json", BAD, NOT_FOUND),
    (NOBODY, "PUT", "/network/99", "application/json", BAD, MALFORMED),
    (ALICE, "PUT", "/network/99", "application/json", BAD, MALFORMED),
    (ALICE, "PUT", "/network/99", "application/json", b'{"name":[]}', MALFORMED),
    (NOBODY, "PUT", "/network/99", "application/json", b'{"name":""}', UNAUTHORIZED),
    (ALICE, "PUT", "/network/99", "application/json", b'{"name":""}', UNAUTHORIZED),
    (ADMIN, "PUT", "/network/99", "application/json", b'{"name":""}', NO_NETWORK),
]


@pytest.mark.parametrize(("who", "method", "path", "media", "payload", "expected"), LADDER)
async def test_the_first_thing_wrong_is_told(site, who, method, path, media, payload, expected):
    """Credentials, path, method, type, numbers, syntax, role, and then the operation."""
    told = [] if media is None else [("Content-Type", media), ("Content-Length", str(len(payload)))]
    head = http.request(f"/api/rest{path}", [("Host", "hub"), *who, *told], method=method)

    response = await site.nobody.send(head + payload)

    assert (response.status, response.json()) == expected


@pytest.mark.parametrize("who", [NOBODY, ALICE])
@pytest.mark.parametrize(
    "path",
    [
        "/network?take=abc",
        "/network?skip=1.5",
        "/user?status=x",
        "/user?role=ADMIN",
        "/user/x",
        "/user/current/network/1",
        "/user/1/network/x",
        "/device?networkId=x",
        "/device?deviceClassId=x",
        "/device/class/x",
        "/device/class/1/equipment/x",
        "/device/class/x/equipment/1",
        "/device/lamp/command/x",
        "/device/lamp/command/x/poll",
        "/device/lamp/command/poll?waitTimeout=x",
        "/device/command/poll?waitTimeout=1.5",
        "/device/lamp/command?take=x",
        "/device/lamp/notification/x",
        "/device/lamp/notification?skip=x",
        "/user/current/accesskey/x",
        "/user/current/accesskey?type=x",
    ],
)
async def test_a_number_that_is_none_is_not_found_by_anybody(site, path, who):
    """In a path as in a query, before it matters who asks."""
    response = await site.client(who).get(path)

    assert (response.status, response.json()) == NOT_FOUND


@pytest.mark.parametrize("seconds", ["61", "-1", "9999999999"])
@pytest.mark.parametrize(
    "path",
    [
        "/device/lamp/command/poll",
        "/device/command/poll",
        "/device/lamp/command/1/poll",
        "/device/lamp/notification/poll",
        "/device/notification/poll",
    ],
)
async def test_a_wait_out_of_its_range_is_told_to_anybody(site, path, seconds):
    """Like a number that is none, it comes before the role; the error's number is null."""
    response = await site.nobody.get(f"{path}?waitTimeout={seconds}")

    assert (response.status, response.json()["error"]) == (400, None)


@pytest.mark.parametrize(
    "path", ["/network?sortField=x", "/device?sortOrder=x", "/device/lamp/command?start=x", "/user?take=-1"]
)
async def test_other_parameters_matter_to_those_who_may(site, path):
    """A value that is wrong in another way is the operation's business."""
    assert (await site.nobody.get(path)).status == 401
    assert (await site.admin.get(path)).status == 400


@pytest.mark.parametrize(
    ("who", "headers", "challenge"),
    [
        (NOBODY, (), "Basic"),
        (ALICE, (), "Basic"),
        (ALICE, [("Origin", "http://elsewhere")], "Bearer"),
        (NOBODY, [("X-Requested-With", "XMLHttpRequest")], "Bearer"),
        (NOBODY, [("Origin", "null")], "Bearer"),
        (http.device("lamp", "lamp-key"), (), "Basic"),
    ],
)
async def test_a_missing_role_is_told_with_a_challenge(site, who, headers, challenge):
    """No page makes its browser open a window for passwords."""
    response = await site.client(who).get("/user", headers=headers)

    assert (response.status, response.json()) == UNAUTHORIZED
    assert response.headers["www-authenticate"] == f'{challenge} realm="devicehive"'


async def test_a_key_without_the_action_is_told_what_it_could_use(site):
    """Whoever came with Bearer is asked for Bearer."""
    response = await site.by_key("alices").get("/user")

    assert (response.status, response.json()) == UNAUTHORIZED
    assert response.headers["www-authenticate"] == 'Bearer realm="devicehive"'


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("Basic YWxpY2U6d3Jvbmc=", "Invalid credentials"),  # alice:wrong
        ("Basic bm9ib2R5Ong=", "Invalid credentials"),  # nobody:x
        ("Basic bm9jb2xvbg==", "Invalid credentials"),  # nocolon
        ("Basic =", "Invalid credentials"),
        ("Basic", "Invalid credentials"),
        ("Basic /////w==", "Invalid credentials"),  # no UTF-8
        ("Bearer nonsense", "Unauthorized"),
        ("Bearer", "Unauthorized"),
        ("Bearer ", "Unauthorized"),
        ("bearer nonsense", "Unauthorized"),
        ("Digest username=alice", "Unauthorized"),
        ("alice", "Unauthorized"),
        ("", "Unauthorized"),
    ],
)
@pytest.mark.parametrize("path", ["/info", "/network", "/nowhere"])
async def test_wrong_credentials_fail_everywhere(site, path, authorization, text):
    """On public and unknown paths as well, with one text for each scheme."""
    response = await site.client((("Authorization", authorization),)).get(path)

    assert (response.status, response.json()) == (401, {"error": 401, "message": text})


@pytest.mark.parametrize(
    ("guid", "key"), [("lamp", "wrong"), ("nobody", "lamp-key"), ("lamp", ""), ("Lamp", "lamp-key")]
)
async def test_wrong_device_credentials_fail_everywhere(site, guid, key):
    """Both must be right to the letter."""
    response = await site.client(http.device(guid, key)).get("/info")

    assert (response.status, response.json()) == CREDENTIALS


async def test_one_of_a_device_s_headers_is_none(site):
    """Half of the credentials are no credentials."""
    for header in http.device("lamp", "wrong"):
        assert (await site.client((header,)).get("/info")).status == 200


async def test_authorization_wins_over_a_device_s_headers(site):
    """Right or wrong, the others are not looked at."""
    device = http.device("lamp", "wrong")

    assert (await site.client((*ALICE, *device)).get("/network")).status == 200
    assert (await site.client((*WRONG, *http.device("lamp", "lamp-key"))).get("/info")).status == 401


@pytest.mark.parametrize("login", ["alice", " alice ", "alice\t"])
async def test_basic_is_trimmed_and_split_at_the_first_colon(site, login):
    """Blanks around login and password are not part of them."""
    response = await site.client(http.user(login, "alice-pw ")).get("/network")

    assert response.status == 200


async def test_a_bearer_key_is_trimmed(site):
    """So is the name of the scheme read in any case."""
    for form in ("Bearer {}", "bearer   {}", "BEARER {}  "):
        who = (("Authorization", form.format(site.secrets["alices"])),)
        assert (await site.client(who).get("/network")).status == 200, form


@pytest.mark.parametrize(("trusted", "status"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8"], 401), ([], 401)])
async def test_a_key_is_judged_by_where_it_comes_from(start_site, trusted, status):
    """By the address behind trusted proxies; from anybody else the header means nothing, this computer included."""
    office = {"name": "office", "owner": "alice", "permissions": [{"subnets": ["192.0.2.0/24"]}]}
    site = await start_site({**WORLD, "accessKeys": [office]}, trusted_proxies=trusted)

    for hops in ("192.0.2.7", "10.0.0.1, 192.0.2.7", "192.0.2.7, 127.0.0.1"):
        response = await site.by_key("office").get("/network", headers=[("X-Forwarded-For", hops)])
        assert response.status == status, hops
    assert (await site.by_key("office").get("/network")).status == 401
    forged = await site.by_key("office").get("/network", headers=[("X-Forwarded-For", "192.0.2.7, 198.51.100.1")])
    assert forged.status == 401
