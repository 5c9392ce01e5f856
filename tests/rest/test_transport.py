"""What holds for every request and every answer, whatever it is about."""

import asyncio

import pytest

from tests.rest.http import JSON, NOTHING, request

CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "OPTIONS, GET, POST, PUT, DELETE, HEAD",
    "access-control-max-age": "0",
}
ALLOWED = {
    "Origin",
    "Authorization",
    "Accept",
    "Content-Type",
    "Auth-DeviceID",
    "Auth-DeviceKey",
    "Hub-Version",
    "Idempotency-Key",
    "Last-Event-ID",
}


# --- where it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["/api/rest", "/dh/rest", "/rest"])
async def test_every_context_is_the_same_api(site, root):
    """And each tells the address of the WebSockets beside it."""
    info = (await site.client(root=root).get("/info")).json()

    assert info["webSocketServerUrl"] == f"ws://127.0.0.1:{site.hub.port}{root.removesuffix('rest')}websocket"


@pytest.mark.parametrize("path", ["/api/REST/info", "/Api/rest/info", "/other/rest/info", "/api/restinfo", "/api/rest"])
async def test_another_path_is_none_of_it(site, path):
    """Paths are case-sensitive."""
    assert (await site.client(root="").get(path)).status == 404


@pytest.mark.parametrize(
    ("path", "status"), [("/info/", 200), ("/info//", 404), ("//info", 404), ("/INFO", 404), ("/network/1/", 200)]
)
async def test_one_slash_at_the_end_is_passed_over(site, path, status):
    """One, and only there."""
    assert (await site.admin.get(path)).status == status


@pytest.mark.parametrize("path", ["/api/%72est/info", "/api%2Frest/info", "/api/rest%2Finfo", "/api/./rest/info"])
async def test_what_is_written_otherwise_is_another_path(site, path):
    """Nothing is found by taking a path for what it is not."""
    assert (await site.client(root="").get(path)).status == 404


async def test_a_proxy_s_form_of_a_request_is_the_same(site):
    """The whole address may stand where the path does."""
    response = await site.nobody.send(request("http://hub/api/rest/info", [("Host", "hub")]))

    assert response.status == 200


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=home", ["home"]),
        ("name=home&name=away", ["home"]),
        ("name=away&name=home", ["away"]),
        ("Name=home", ["home", "away", "two words"]),
        ("name=two+words", ["two words"]),
        ("name=two%20words", ["two words"]),
        ("name=home;take=0", []),
        ("name=%FF", []),
        ("&&name=home&", ["home"]),
        ("name=home&unknown=%00", ["home"]),
        ("=home&name", []),
        ("name=", []),
    ],
)
async def test_a_query_is_read_as_a_form_is(site, query, names):
    """Of two of one name the first counts; names have their case; unknown ones are passed over."""
    await site.admin.post("/network", {"name": "two words"})

    # As bytes: a query that no document tells of is no exchange that others may have.
    answer = await site.admin.send(request(f"/api/rest/network?{query}", [("Host", "hub"), *site.admin.who]))

    assert [one["name"] for one in answer.json()] == names


@pytest.mark.parametrize("contexts", [["/hub"], [""], ["/a/b", "/c"]])
async def test_contexts_are_a_setting(start_site, contexts):
    """Nothing answers where nothing was put."""
    site = await start_site(context_paths=contexts)

    for context in contexts:
        assert (await site.client(root=f"{context}/rest").get("/info")).status == 200
    assert (await site.client(root="/api/rest").get("/info")).status == 404


async def test_the_address_of_the_websockets_follows_the_request(site):
    """Host and port are those that the client used, behind whatever it came through."""
    head = request("/rest/info", [("Host", "hub.example.org")])

    info = (await site.nobody.send(head)).json()

    assert info["webSocketServerUrl"] == "ws://hub.example.org/websocket"


async def test_an_installation_tells_its_own_address(start_site):
    """Where the hub cannot know it; behind TLS the WebSockets are, too."""
    site = await start_site(public_url="https://hub.example.org/iot")

    info = (await site.nobody.get("/info")).json()

    assert info["webSocketServerUrl"] == "wss://hub.example.org/iot/api/websocket"


@pytest.mark.parametrize(("trusted", "scheme"), [(["127.0.0.0/8"], "wss"), (["10.0.0.0/8"], "ws")])
async def test_only_a_trusted_proxy_says_that_there_was_tls(start_site, trusted, scheme):
    """From anybody else the header means nothing."""
    site = await start_site(trusted_proxies=trusted)
    headers = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https")]

    info = (await site.nobody.get("/info", headers=headers)).json()

    assert info["webSocketServerUrl"] == f"{scheme}://127.0.0.1:{site.hub.port}/api/websocket"


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/info", "/network", "/network/1", "/device/lamp", "/user/current"])
async def test_head_is_get_without_its_body(site, path):
    """Status and headers are the same, the length of the body too."""
    get, head = await site.admin.get(path), await site.admin.ask("HEAD", path)

    assert (head.status, head.body) == (200, b"")
    assert head.headers.keys() == get.headers.keys()
    assert head.headers["content-type"] == JSON
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/auth/accesskey", "/device/class/1/equipment"])
async def test_there_is_no_head_without_get(site, path):
    """Where nothing can be read there is nothing to know about it."""
    assert (await site.admin.ask("HEAD", path)).status == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/info", "GET HEAD OPTIONS"),
        ("/network", "GET HEAD OPTIONS POST"),
        ("/network/1", "DELETE GET HEAD OPTIONS PUT"),
        ("/network/abc", "DELETE GET HEAD OPTIONS PUT"),
        ("/device/lamp/command", "GET HEAD OPTIONS POST"),
        ("/device/lamp/command/1", "GET HEAD OPTIONS PUT"),
        ("/device/class/1/equipment", "OPTIONS POST"),
        ("/auth/accesskey", "DELETE OPTIONS POST"),
        ("/user/current", "GET HEAD OPTIONS PUT"),
    ],
)
async def test_options_tells_the_methods(site, path, allowed):
    """To anybody, as a browser asks before it sends anything."""
    response = await site.nobody.ask("OPTIONS", path)

    assert response.status == 200
    assert sorted(response.headers["allow"].split(", ")) == allowed.split()


async def test_options_of_nothing_is_not_found(site):
    """There is nothing to allow."""
    assert (await site.nobody.ask("OPTIONS", "/nowhere")).status == 404


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PROPFIND", "DELETE", "PUT"])
async def test_another_method_is_not_allowed(site, method):
    """Whoever asks, whatever it is."""
    response = await site.nobody.ask(method, "/info")

    assert (response.status, response.json()) == (405, {"error": 405, "message": "HTTP 405 Method Not Allowed"})


@pytest.mark.parametrize(
    ("method", "override", "status"),
    [
        ("POST", "DELETE", 204),
        ("POST", "delete", 204),
        ("POST", "PUT", 204),
        ("POST", "HEAD", 200),
        ("POST", "OPTIONS", 200),
        ("POST", "GET", 405),
        ("POST", "PATCH", 405),
        ("POST", "", 405),
        ("POST", "DELETE, PUT", 405),
        ("GET", "DELETE", 200),
        ("PUT", "DELETE", 204),
    ],
)
async def test_a_post_may_stand_for_another_method(site, method, override, status):
    """For those that some clients cannot send; nothing else is overridden, and nothing else overrides."""
    response = await site.admin.ask(method, "/network/1", headers=[("X-HTTP-Method-Override", override)])

    assert response.status == status
    is_gone = (method, override.upper()) == ("POST", "DELETE")
    assert (await site.admin.get("/network/1")).status == (404 if is_gone else 200)


# --- what every answer has --------------------------------------------------------------------------------------------


async def answers(site):
    """One answer of each kind, by status."""
    admin = site.admin
    return [
        await admin.get("/info"),
        await admin.post("/network", {"name": "new"}),
        await admin.put("/network/1", {}),
        await admin.put("/network/1", b"{"),
        await site.nobody.get("/user"),
        await site.client((("Authorization", "Bearer wrong"),)).get("/info"),
        await admin.post("/network", {"name": "home"}),
        await admin.get("/nowhere"),
        await admin.get("/network/99"),
        await admin.ask("PATCH", "/network"),
        await admin.post("/network", b"x" * 300_000),
        await admin.post("/network", {}, media="text/plain"),
        await site.nobody.ask("OPTIONS", "/network"),
    ]


async def test_every_answer_may_be_read_by_any_page(site):
    """With the same headers, whatever went wrong; stored credentials are never part of it."""
    found = await answers(site)

    assert {response.status for response in found} == {200, 201, 204, 400, 401, 403, 404, 405, 413, 415}
    for response in found:
        assert CORS.items() <= response.headers.items(), response
        assert set(response.headers["access-control-allow-headers"].split(", ")) == ALLOWED
        assert "access-control-allow-credentials" not in response.headers
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in response.headers


async def test_devicehive_s_headers_say_that_credentials_are_allowed(start_site):
    """As the original did, where everything is to be as it was."""
    site = await start_site(compat="devicehive")

    for response in await answers(site):
        assert response.headers["access-control-allow-credentials"] == "true"


async def test_an_error_has_two_members(site):
    """The status again, and a text."""
    for response in await answers(site):
        if response.status >= 400:
            assert response.headers["content-type"] == JSON
            assert response.json().keys() == {"error", "message"}
            assert response.json()["error"] in (response.status, None)


async def test_no_content_has_no_body(site):
    """Neither length nor type of one."""
    response = await site.admin.put("/network/1", {})

    assert response.status == 204
    assert not {"content-length", "content-type", "transfer-encoding"} & response.headers.keys()


async def test_failures_do_not_tell_their_causes(site, monkeypatch, caplog):
    """One text, whatever it was; the next request finds everything as it was."""

    async def fail(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(site.hub.store, "consult", fail)
    response = await site.admin.get("/network")
    monkeypatch.undo()

    assert (response.status, response.json()) == (500, {"error": 500, "message": "Internal server error"})
    assert CORS.items() <= response.headers.items()
    assert [record.message for record in caplog.records if record.exc_info] == ["a request failed"]
    caplog.clear()
    assert (await site.nobody.get("/info")).status == 200


# --- extended mode ----------------------------------------------------------------------------------------------------


async def test_who_asks_for_it_hears_reasons(site):
    """``Hub-Version: 1`` adds what the catalogue calls it, and what refused."""
    response = await site.admin.post("/network", {"name": []}, headers=[("Hub-Version", "1")])

    assert response.json() == {
        "error": None,
        "message": "Invalid request parameters",
        "reason": "bad-parameter",
        "detail": {"parameter": "name"},
    }


async def test_a_key_hears_which_permission_it_lacks(site):
    """In the words of the key."""
    response = await site.by_key("alices").get("/user", headers=[("Hub-Version", "1")])

    assert response.json() == {
        "error": 401,
        "message": "Unauthorized",
        "reason": "not-permitted",
        "detail": {"permission": "ManageUser"},
    }


@pytest.mark.parametrize("version", ["0", "2", "1.0", "", "true"])
async def test_another_version_is_not_asked_for(site, version):
    """Nobody gets members that nobody asked for."""
    response = await site.nobody.get("/nowhere", headers=[("Hub-Version", version)])

    assert response.json().keys() == {"error", "message"}


# --- connections ------------------------------------------------------------------------------------------------------


async def test_requests_in_one_piece_are_answered_in_their_order(site):
    """A client may send the next before it has read the last."""
    async with site.admin.kept() as client:
        paths = ["/api/rest/info", "/api/rest/nowhere", "/api/rest/network/1", "/api/rest/network/abc"]
        ask = b"".join(request(path, [("Host", "hub"), *client.who]) for path in paths)

        answers = [await client.send(ask), *[await client.send(b"") for _ in paths[1:]]]

    assert [response.status for response in answers] == [200, 404, 200, 404]


async def test_every_kind_of_answer_leaves_the_connection_usable(site):
    """What was wrong with one request says nothing about the next."""
    async with site.admin.kept() as client:
        for method, path, body in [
            ("PUT", "/network/1", {}),
            ("HEAD", "/network/1", NOTHING),
            ("GET", "/nowhere", NOTHING),
            ("POST", "/network", b"{"),
            ("POST", "/nowhere", {"name": "x"}),
            ("PATCH", "/network", {"name": "x"}),
            ("OPTIONS", "/network", NOTHING),
        ]:
            await client.ask(method, path, body)
            assert (await client.get("/info")).json()["apiVersion"] == "2.0.6", (method, path)


async def test_many_ask_at_once(site):
    """Each gets its own answer."""

    async def ask(number):
        return (await site.admin.get(f"/network/{number}")).json()["message"]

    texts = await asyncio.gather(*(ask(number) for number in range(100, 150)))

    assert texts == [f"Network with id = {number} not found" for number in range(100, 150)]
