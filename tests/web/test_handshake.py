"""The opening handshake: who gets in, by which door, and as whom."""

import pytest

from tests.edge_client import ACCEPT, UPGRADE, basic, frame, message, request, upgrade

ENDPOINTS = [
    f"{context}/websocket/{end}" for context in ("/api", "/dh", "", "/somewhere/else") for end in ("client", "device")
]
ELSEWHERE = ["/websocket", "/websocket/", "/websocket/Client", "/api/websocket/client/", "/v1/websocket/client", "/"]


async def refused(world, wires, head):
    """The answer to a handshake that fails; the hub ends the connection after it."""
    wire = await wires.connect(world)
    await wire.write(head)
    response = await wire.response()
    assert await wire.ended() == b""
    assert len(world.hub.gateway) == 0
    return response


async def who(wire):
    """Whether a connection may insert for the lamp: 'somebody', or 'anonymous'."""
    answer = await wire.ask("notification/insert", deviceGuid="lamp", notification={"notification": "watts"})
    return "somebody" if answer["status"] == "success" else "anonymous"


# --- paths and headers ------------------------------------------------------------------------------------------------


async def test_both_endpoints_are_under_every_context_path(start, wires):
    """Each context path leads to both endpoints, and a query changes nothing."""
    world = await start(context_paths=["/api", "/dh", "", "/somewhere/else"])

    for path in ENDPOINTS:
        wire = await wires.open(world, f"{path}?accessKey=ignored")
        assert (await wire.ask("server/info"))["status"] == "success"


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_no_other_path_is_a_websocket(world, wires, path):
    """What is not one of the endpoints to the letter is answered 404."""
    assert (await refused(world, wires, upgrade(path))).status == 404


async def test_the_answer_is_what_the_oldest_clients_look_for(world, wires):
    """A reason phrase, plain values, and nothing selected that was not asked for."""
    wire = await wires.connect(world)
    await wire.write(upgrade())

    response = await wire.response()

    assert (response.status, response.reason) == (101, "Switching Protocols")
    assert (response.headers["upgrade"], response.headers["connection"]) == ("websocket", "Upgrade")
    assert response.headers["sec-websocket-accept"] == ACCEPT
    assert not response.headers.keys() & {"sec-websocket-protocol", "sec-websocket-extensions"}


async def test_frames_may_come_right_behind_the_handshake(world, wires):
    """A client that does not wait for the answer loses nothing of what it sent."""
    wire = await wires.connect(world)
    await wire.write(upgrade() + message(action="server/info", requestId=1) + message(action="server/info")[:9])

    assert (await wire.response()).status == 101
    assert (await wire.members())["requestId"] == 1


@pytest.mark.parametrize(
    ("offers", "selected"),
    [
        (["device-hive, devicehive"], None),
        (["device-hive", "devicehive"], None),
        (["hub.1.json"], "hub.1.json"),
        (["hub.1.msgpack, hub.1.json"], "hub.1.msgpack"),
        (["device-hive, hub.1.json, hub.1.msgpack"], "hub.1.json"),
        (["devicehive", "hub.1.msgpack"], "hub.1.msgpack"),
        (["hub.2.json, HUB.1.JSON"], None),
    ],
)
async def test_the_first_subprotocol_of_ours_is_selected(world, wires, offers, selected):
    """Names that the hub does not know are passed over, and never make a handshake fail."""
    wire = await wires.connect(world)
    await wire.write(upgrade("/websocket/client", *(("Sec-WebSocket-Protocol", offer) for offer in offers)))

    response = await wire.response()

    assert (101, selected) == (response.status, response.headers.get("sec-websocket-protocol"))


async def test_compression_is_off_by_default(world, wires):
    """An offer of permessage-deflate is not taken up."""
    wire = await wires.connect(world)
    await wire.write(upgrade("/websocket/client", ("Sec-WebSocket-Extensions", "permessage-deflate")))

    assert "sec-websocket-extensions" not in (await wire.response()).headers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(upgrade(sec_websocket_key=None), 400, id="no key"),
        pytest.param(upgrade(sec_websocket_key="short"), 400, id="key that is not base64"),
        pytest.param(upgrade(sec_websocket_key="c2hvcnQ="), 400, id="key of five bytes"),
        pytest.param(upgrade("/websocket/client", ("Sec-WebSocket-Key", "x" * 24)), 400, id="two keys"),
        pytest.param(upgrade(sec_websocket_version="8"), 400, id="old version"),
        pytest.param(upgrade(sec_websocket_version=None), 400, id="no version"),
        pytest.param(request("/websocket/client", UPGRADE, method="POST"), 405, id="wrong method"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(upgrade("/websocket/client", ("Sec-WebSocket-Protocol", "a,,\x01")), 400, id="control character"),
        pytest.param(upgrade("/websocket/client", ("Sec-WebSocket-Protocol", "a b")), 400, id="no list of tokens"),
    ],
)
async def test_a_bad_handshake_is_told_so(world, wires, head, status):
    """Each gets an HTTP error, and no upgrade."""
    assert status == (await refused(world, wires, head)).status


async def test_an_endpoint_without_an_upgrade_is_an_unknown_page(world, wires):
    """A browser that opens the address finds nothing there."""
    wire = await wires.connect(world)
    await wire.write(request("/websocket/client", [("Host", "hub")]))

    assert (await wire.response()).status == 404


# --- credentials ------------------------------------------------------------------------------------------------------


async def test_a_handshake_may_say_who_it_is(world, wires):
    """Basic, Bearer and the pair of a device's headers make the principal, on either endpoint."""
    lamp = (("Auth-DeviceID", "lamp"), ("Auth-DeviceKey", "lamp-key"))
    key = world.secrets["dashboard"]
    credentials = [(basic("admin", "admin-pw"),), (("Authorization", f"Bearer {key}"),), lamp]
    credentials.append((("authorization", f"bearer   {key} "),))

    for headers in credentials:
        for path in ("/websocket/client", "/websocket/device"):
            assert await who(await wires.open(world, path, *headers)) == "somebody", headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([basic("admin", "wrong")], id="wrong password"),
        pytest.param([basic("nobody", "admin-pw")], id="unknown login"),
        pytest.param([("Authorization", "Basic !!!")], id="no base64"),
        pytest.param([("Authorization", "Basic YWRtaW4=")], id="no colon"),
        pytest.param([("Authorization", "Basic /////w==")], id="no UTF-8"),
        pytest.param([("Authorization", b"Basic \xff\xfe")], id="no ASCII in Basic"),
        pytest.param([("Authorization", "Bearer wrong")], id="wrong key"),
        pytest.param([("Authorization", "Bearer")], id="no key"),
        pytest.param([("Authorization", b"Bearer \xff\xfe")], id="no ASCII in Bearer"),
        pytest.param([("Authorization", "Digest x")], id="unknown scheme"),
        pytest.param([("Authorization", "")], id="empty"),
        pytest.param([basic("admin", "admin-pw"), basic("admin", "admin-pw")], id="twice"),
        pytest.param([basic("admin", "admin-pw"), ("Host", "another")], id="two hosts"),
        pytest.param([("Auth-DeviceID", "lamp"), ("Auth-DeviceKey", "wrong")], id="wrong device key"),
        pytest.param([("Auth-DeviceID", "nobody"), ("Auth-DeviceKey", "lamp-key")], id="unknown device"),
        pytest.param([("Auth-DeviceID", b"\xff"), ("Auth-DeviceKey", b"\xff")], id="no ASCII in device headers"),
        pytest.param(
            [("Auth-DeviceID", "lamp"), ("Auth-DeviceKey", "lamp-key"), ("Authorization", "Bearer wrong")],
            id="wrong key beside right device headers",
        ),
    ],
)
async def test_wrong_credentials_fail_the_handshake(world, wires, headers, caplog):
    """They are answered 401 (or 400, where the request itself is wrong), and leave no traceback."""
    response = await refused(world, wires, upgrade("/websocket/client", *headers))

    assert response.status in ({400, 401} if ("Host", "another") in headers else {401})
    assert not [record for record in caplog.records if record.exc_info]


async def test_half_of_a_device_s_headers_is_nobody(world, wires):
    """Only both of them together are credentials."""
    wire = await wires.open(world, "/websocket/device", ("Auth-DeviceID", "lamp"))

    assert await who(wire) == "anonymous"


@pytest.mark.parametrize(
    ("origin", "principal"),
    [
        (None, "somebody"),
        ("http://127.0.0.1", "somebody"),
        ("HTTP://127.0.0.1", "somebody"),
        ("https://allowed.example", "somebody"),
        ("https://allowed.example:8443", "anonymous"),
        ("http://allowed.example", "anonymous"),
        ("https://evil.example", "anonymous"),
        ("https://allowed.example.evil.example", "anonymous"),
        ("http://127.0.0.1:81", "anonymous"),
        ("http://127.0.0.1@evil.example", "anonymous"),
        ("http://evil@127.0.0.1", "anonymous"),
        ("null", "anonymous"),
        ("http://[", "anonymous"),
        (b"\xff\xfe", "anonymous"),
        ("", "anonymous"),
    ],
)
async def test_stored_passwords_count_only_from_known_origins(start, wires, origin, principal, caplog):
    """A browser sends Basic by itself: from a foreign page it is ignored, and the connection starts anonymous."""
    world = await start(allowed_origins=["https://allowed.example"])
    headers = [basic("admin", "admin-pw")] + ([("Origin", origin)] if origin is not None else [])

    wire = await wires.open(world, "/websocket/client", *headers)

    assert principal == await who(wire)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_foreign_origin_does_not_learn_whether_a_password_is_right(world, wires):
    """Ignored means ignored: a wrong password from a foreign page is not refused either."""
    wire = await wires.open(world, "/websocket/client", basic("admin", "wrong"), ("Origin", "https://evil.example"))

    assert await who(wire) == "anonymous"


async def test_a_key_counts_from_any_origin(world, wires):
    """What a program sends on purpose is not what a browser attaches."""
    wire = await wires.dashboard(world, ("Origin", "https://elsewhere.example"))

    assert await who(wire) == "somebody"


async def test_frames_wait_until_the_handshake_s_password_is_checked(world, wires):
    """Requests that came behind a handshake with a password are answered as its user's."""
    wire = await wires.connect(world)
    await wire.write(
        upgrade("/websocket/client", basic("admin", "admin-pw"))
        + message(action="device/get", deviceGuid="lamp", requestId=1)
        + message(action="notification/subscribe", requestId=2)
    )

    assert (await wire.response()).status == 101
    assert [(answer["requestId"], answer["status"]) for answer in [await wire.members(), await wire.members()]] == [
        (1, "error"),
        (2, "success"),
    ]


async def test_a_host_that_no_url_can_hold_costs_nobody_an_answer(world, wires, caplog):
    """Bytes beyond ASCII in Host: the handshake is refused, or every request is answered."""
    wire = await wires.connect(world)
    await wire.write(upgrade(host="h\xf6st") + message(action="server/info", requestId=1))

    response = await wire.response()

    if response.status == 101:
        assert (await wire.members())["requestId"] == 1
    else:
        assert response.status == 400
    assert not [record for record in caplog.records if record.exc_info]


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "forwarded", "inside"),
    [
        ([], "192.0.2.7", False),
        (["10.0.0.0/8"], "192.0.2.7", False),
        (["127.0.0.1"], "192.0.2.7", True),
        (["127.0.0.0/8"], "192.0.2.7:4711", True),
        (["127.0.0.0/8"], "::ffff:192.0.2.7", True),
        (["127.0.0.0/8"], "192.0.2.7, 198.51.100.1", False),
        (["127.0.0.0/8"], "198.51.100.1, 192.0.2.7", True),
        (["127.0.0.0/8", "198.51.100.0/24"], "192.0.2.7, 198.51.100.1", True),
        (["127.0.0.0/8"], "unknown", False),
        (["127.0.0.0/8"], "", False),
    ],
)
async def test_forwarding_headers_count_only_from_trusted_proxies(start, wires, trusted, forwarded, inside):
    """A key with subnets is judged by the right-most address that no trusted proxy has."""
    world = await start(trusted_proxies=trusted)
    wire = await wires.open(world, "/websocket/client", ("X-Forwarded-For", forwarded))
    await wire.succeed("authenticate", accessKey=world.secrets["office"])

    assert ("somebody" if inside else "anonymous") == await who(wire)


async def test_chains_in_several_headers_are_one_chain(start, wires):
    """The header's lines count in their order."""
    world = await start(trusted_proxies=["127.0.0.1"])
    chain = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "198.51.100.1")]
    wire = await wires.open(world, "/websocket/client", *chain)
    await wire.succeed("authenticate", accessKey=world.secrets["office"])

    assert await who(wire) == "anonymous"


async def rest_url(wire):
    return (await wire.succeed("server/info"))["info"]["restServerUrl"]


async def test_the_scheme_is_the_proxy_s(start, wires):
    """Behind a trusted proxy that speaks TLS, addresses in answers are https; a stranger's word is nothing."""
    trusting, header = await start(trusted_proxies=["127.0.0.1"]), ("X-Forwarded-Proto", "https")

    assert (await rest_url(await wires.open(trusting, "/api/websocket/client", header))).startswith("https://127.0.0.1")
    assert (await rest_url(await wires.open(trusting, "/api/websocket/client"))).startswith("http://127.0.0.1")


async def test_a_stranger_s_scheme_is_not_believed(world, wires):
    """Without trusted proxies the header is anybody's invention."""
    wire = await wires.open(world, "/api/websocket/client", ("X-Forwarded-Proto", "https"))

    assert (await rest_url(wire)).startswith("http://127.0.0.1")


# --- how many ---------------------------------------------------------------------------------------------------------


async def test_too_many_connections_are_told_when_to_come_back(start, wires):
    """Past the limit a handshake is answered 503; when one has gone, the next gets in."""
    world = await start(connections=2)
    first, _ = await wires.open(world), await wires.open(world)
    third = await wires.connect(world)
    await third.write(upgrade())

    response = await third.response()

    assert response.status == 503
    assert 1 <= int(response.headers["retry-after"]) <= 30
    await first.write(frame(0x8, b"\x03\xe8"))
    await first.ended()
    await wires.open(world)
