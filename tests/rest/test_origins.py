"""From which pages a browser's stored Basic login may change something; what a program sends on purpose always may."""

import pytest

from tests.rest import http

FOREIGN = (403, {"error": 403, "message": "Origin not allowed"})

ORIGINS = [
    # origin ({host} is the hub as the client called it), whether it counts as one of ours
    (None, True),
    ("http://{host}", True),
    ("HTTP://{host}", True),
    ("https://{host}", True),
    ("https://allowed.example", True),
    ("HTTPS://ALLOWED.EXAMPLE", True),
    ("http://other.example:8080", True),
    ("null", False),
    ("", False),
    ("http://", False),
    ("https://evil.example", False),
    # Port and scheme of an allowed origin are part of it
    ("http://allowed.example", False),
    ("https://allowed.example:444", False),
    ("https://allowed.example:443", False),
    ("http://other.example", False),
    ("http://127.0.0.1", False),
    ("http://127.0.0.1:1", False),
    ("http://localhost:{port}", False),
    # Neither its beginning nor its end is enough
    ("https://allowed.example.evil.example", False),
    ("https://evil-allowed.example", False),
    ("https://sub.allowed.example", False),
    ("http://{host}.evil.example", False),
    ("http://{host}@evil.example", False),
    ("https://allowed.example@evil.example", False),
    ("https://evil.example/https://allowed.example", False),
    ("https://evil.example?{host}", False),
    ("https://evil.example#{host}", False),
    ("https://user@allowed.example", False),
    ("https://allowed.example/path", False),
    ("https://allowed.example https://evil.example", False),
    ("https://evil.example,https://allowed.example", False),
    # Letters that only look alike
    ("https://аllowed.example", False),
    ("https://xn--llowed-2nf.example", False),
    ("https://allowed.example.", False),
    ("https://allowed%2eexample", False),
    ("chrome-extension://abcdefghijklmnop", False),
    ("file://", False),
]


def header(site, origin):
    if origin is None:
        return []
    port = site.hub.port
    return [("Origin", origin.format(host=f"127.0.0.1:{port}", port=port).encode())]


@pytest.fixture
async def hub(start_site):
    return await start_site(
        allowed_origins=["https://allowed.example", "http://other.example:8080"], rest_requests_per_s=0.0
    )


async def test_a_page_changes_something_with_a_stored_login_only_from_an_origin_of_ours(hub):
    """Exactly those of the table; from elsewhere nothing has happened."""
    for number, (origin, ours) in enumerate(ORIGINS):
        response = await hub.admin.post("/network", {"name": f"n{number}"}, headers=header(hub, origin))

        assert response.status == (201 if ours else 403), origin
        assert ours or (response.status, response.json()) == FOREIGN

    names = {one["name"] for one in (await hub.admin.get("/network?namePattern=n%25")).json()}
    assert names == {f"n{number}" for number, (_, ours) in enumerate(ORIGINS) if ours}


async def test_any_page_may_read_with_it(hub):
    """Without ``Access-Control-Allow-Credentials`` its browser does not show it the answer."""
    for origin, _ in ORIGINS:
        for method in ("GET", "HEAD"):
            response = await hub.admin.ask(method, "/network", headers=header(hub, origin))

            assert response.status == 200, origin
            assert "access-control-allow-credentials" not in response.headers


EVIL = ("Origin", "https://evil.example")

CHANGES = [
    ("POST", "/network", {"name": "n"}),
    ("PUT", "/network/1", {"description": "n"}),
    ("DELETE", "/network/1", None),
    ("POST", "/user", {"login": "n", "role": 0, "status": 0}),
    ("PUT", "/user/current", {"data": 1}),
    ("DELETE", "/user/2", None),
    ("PUT", "/user/2/network/2", None),
    ("DELETE", "/user/2/network/1", None),
    ("POST", "/user/current/accesskey", {"label": "n", "permissions": [{}]}),
    ("PUT", "/user/current/accesskey/1", {"label": "n"}),
    ("DELETE", "/user/current/accesskey/1", None),
    ("PUT", "/device/lamp", {"status": "n"}),
    ("DELETE", "/device/lamp", None),
    ("POST", "/device/lamp/command", {"command": "n"}),
    ("POST", "/device/lamp/notification", {"notification": "n"}),
    ("POST", "/device/class", {"name": "n", "version": "1"}),
    ("PUT", "/device/class/1", {"data": 1}),
    ("DELETE", "/device/class/1", None),
    ("POST", "/device/class/1/equipment", {"name": "n", "code": "n", "type": "n"}),
    ("PUT", "/configuration/n", "n"),
    ("DELETE", "/configuration/n", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_no_change_comes_from_a_foreign_page(hub, method, path, body):
    """Whatever would be changed, by its method or by the one that it stands for; a page of ours may."""
    options = {} if body is None else {"body": body}

    refused = await hub.admin.ask(method, path, headers=[EVIL], **options)
    overridden = await hub.admin.ask("POST", path, headers=[EVIL, ("X-HTTP-Method-Override", method)], **options)
    allowed = await hub.admin.ask(method, path, headers=[("Origin", "https://allowed.example")], **options)

    assert (refused.status, refused.json()) == FOREIGN
    assert (overridden.status, overridden.json()) == FOREIGN
    assert allowed.status in (200, 201, 204)


async def test_the_origin_says_nothing_before_the_password(hub):
    """A foreign page does not learn what a password is by being refused in another way."""
    response = await hub.client(http.user("admin", "wrong")).post("/network", {"name": "n"}, headers=[EVIL])

    assert (response.status, response.json()["message"]) == (401, "Invalid credentials")


async def test_what_a_program_sends_on_purpose_counts_from_anywhere(hub):
    """An access key, a device's key, or nothing at all: no browser attaches them by itself."""
    key, device = hub.by_key("everything"), hub.by_device("lamp")

    assert (await key.post("/network", {"name": "n"}, headers=[EVIL])).status == 201
    assert (await device.post("/device/lamp/notification", {"notification": "n"}, headers=[EVIL])).status == 201
    login = {"providerName": "password", "login": "alice", "password": "alice-pw"}
    assert (await hub.nobody.post("/auth/accesskey", login, headers=[EVIL])).status == 200


async def test_as_devicehive_every_page_may(start_site):
    """What the original did, where everything is to be as it was."""
    site = await start_site(compat="devicehive")

    assert (await site.admin.post("/network", {"name": "n"}, headers=[EVIL])).status == 201
    assert (await site.admin.get("/configuration/n/set?value=1", headers=[EVIL])).status == 200


async def test_a_get_changes_nothing(hub):
    """The original had one that did: here it is not allowed, from any page, by anybody."""
    for client in (hub.admin, hub.by_key("everything"), hub.nobody):
        response = await client.get("/configuration/n/set?value=1")
        assert (response.status, response.json()["message"]) == (405, "HTTP 405 Method Not Allowed")

    assert (await hub.admin.get("/configuration/n")).body == b""
