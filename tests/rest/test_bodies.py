"""Bodies: of the right type, not too large, complete, and one object that the data model has."""

import asyncio
import json

import pytest

from tests.edge_client import Wire
from tests.rest.http import NOTHING, request
from tests.waiting import until

MALFORMED = {"error": None, "message": "Invalid request parameters"}
SHORT_S = 0.3


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("application/json;charset=UTF-8; x=y", 201),
        ("APPLICATION/JSON", 201),
        (" application/json ", 201),
        ("text/json", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json, text/plain", 415),
        ("application/json+x", 415),
        ("application/vnd.api+json", 415),
        ("*/*", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_a_body_says_that_it_is_json(site, media, status):
    """A foreign page can send the others without being asked."""
    response = await site.admin.post("/network", {"name": "new"}, media=media)

    assert response.status == status


async def test_without_a_body_no_type_is_needed(site):
    """Nor does one do harm."""
    for headers in ((), [("Content-Type", "text/plain")], [("Content-Length", "0")]):
        assert (await site.admin.put("/network/1", NOTHING, headers=headers)).status == 204


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"}",
        b"[]",
        b'"name"',
        b"5",
        b"true",
        b"{} {}",
        b'{"name":"x"}]',
        b"{'name':'x'}",
        b'{"name":"x",}',
        b'{"name":"\xff"}',
        b'{"name":"\xc3\x28"}',
        b'{"name":"\xed\xa0\x80"}',
        b'{"name":"\\ud800"}',
        b'{"name":"\x01"}',
        b'{"name":NaN}',
        b'{"name":1e999}',
        b'{"description":Infinity}',
        b'\xef\xbb\xbf{"name":"x"}',
        b'{"name":"a\\u0000b"}',
        b"\x80\x81",
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"a":[' + b"0," * 20_000 + b"0]}",
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":-9223372036854775809}',
    ],
)
async def test_what_is_not_one_object_of_ours_is_refused(site, payload):
    """Syntax, UTF-8, depth, number of values, sizes of integers: all have the same answer, at once."""
    response = await site.admin.post("/network", payload)

    assert (response.status, response.json()) == (400, MALFORMED)


async def test_blanks_are_no_body(site):
    """An update of nothing, and a creation without anything."""
    assert (await site.admin.put("/network/1", b" \r\n")).status == 204
    assert (await site.admin.post("/network", b" ")).status == 400


async def test_a_body_that_nobody_reads_may_be_anything(site):
    """A membership is all in its path; only the type and the size of what comes with it count."""
    path = "/user/3/network/1"

    assert (await site.admin.put(path, b"{")).status == 204
    assert (await site.admin.put(path, b"{", media="text/plain")).status == 415
    assert (await site.admin.put(path, b" " * 262_145)).status == 413
    assert (await site.admin.get(path)).json()["network"]["name"] == "home"


async def test_of_two_members_of_one_name_the_last_counts(site):
    """As every parser of that time had it."""
    response = await site.admin.post("/network", b'{"name":"first","name":"last"}')

    assert response.status == 201
    assert (await site.admin.get("/network?name=last")).json()[0]["id"] == response.json()["id"]


async def test_free_json_comes_back_as_it_went_in(site):
    """Whatever it is, in any place that takes any."""
    data = {
        "": None,
        "deep": [[[{}]]],
        "zero": "\0",
        "big": 2**64 - 1,
        "small": -(2**63),
        "text": "ünï¢ødé 🦊",
        "f": 1.5,
    }

    assert (await site.admin.put("/device/lamp", {"data": data})).status == 204

    assert (await site.admin.get("/device/lamp")).json()["data"] == data


# --- how large --------------------------------------------------------------------------------------------------------


def padded(size, **members):
    """An object of exactly so many bytes."""
    head = json.dumps(members).encode()
    return head + b" " * (size - len(head))


@pytest.mark.parametrize(("extra", "status"), [(0, 201), (1, 413)])
@pytest.mark.parametrize(
    ("path", "members", "limit"),
    [
        ("/network", {"name": "new"}, 262_144),
        ("/device/lamp/notification", {"notification": "on"}, 65_536),
        ("/device/lamp/command", {"command": "on"}, 65_536),
    ],
)
async def test_a_body_has_its_limit(site, path, members, limit, extra, status):
    """A message that of a socket, everything else a larger one; the answer names it."""
    response = await site.admin.post(path, padded(limit + extra, **members))

    assert response.status == status
    if status == 413:
        assert response.json() == {"error": 413, "message": f"Request body too large: at most {limit} bytes"}


async def test_limits_are_settings(start_site):
    """An installation has them as it needs them."""
    site = await start_site(http_body_bytes=2_000, message_bytes=40_000)

    assert (await site.admin.post("/network", padded(2_001, name="new"))).status == 413
    assert (await site.admin.post("/device/lamp/notification", padded(40_000, notification="on"))).status == 201


def chunked(*pieces, path="/network", who=(), last=True):
    """A request whose length is not told."""
    told = [("Host", "hub"), *who, ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return request(f"/api/rest{path}", told, method="POST") + body + (b"0\r\n\r\n" if last else b"")


async def test_a_body_may_come_in_chunks(site):
    """Its type is checked like that of any other."""
    client = site.admin

    assert (await client.send(chunked(b'{"na', b'me":"new"}', who=client.who))).status == 201
    plain = chunked(b"{}", who=client.who).replace(b"application/json", b"text/plain")
    assert (await client.send(plain)).status == 415


async def test_chunks_without_end_are_refused_at_the_limit(site):
    """Whoever never says how much it will be is not read to the end."""
    client = site.admin

    response = await client.send(chunked(*[b" " * 10_000] * 27, who=client.who, last=False))

    assert response.status == 413


@pytest.mark.parametrize("length", ["99999999999999999999", "1000000000"])
async def test_what_announces_itself_as_too_large_is_not_waited_for(site, length):
    """The answer comes before the body."""
    told = [("Host", "hub"), *site.admin.who, ("Content-Type", "application/json"), ("Content-Length", length)]

    response = await site.nobody.send(request("/api/rest/network", told, method="POST"))

    assert response.status in (400, 413)


async def test_nobody_has_a_large_body_read_without_a_use_for_it(site):
    """Credentials, path and type are judged by the head."""
    told = [("Host", "hub"), ("Content-Type", "text/plain"), ("Content-Length", "200000")]

    for path, status in (("/nowhere", 404), ("/network", 415)):
        response = await site.nobody.send(request(f"/api/rest{path}", told, method="POST"))
        assert response.status == status


# --- complete ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(lambda who: b"", id="silent"),
        pytest.param(lambda who: request("/api/rest/network", [("Host", "hub"), *who])[:-2], id="half a head"),
        pytest.param(
            lambda who: (
                request(
                    "/api/rest/network",
                    [("Host", "hub"), *who, ("Content-Type", "application/json"), ("Content-Length", "100")],
                    method="POST",
                )
                + b'{"name":"half"'
            ),
            id="half a body",
        ),
        pytest.param(lambda who: chunked(b'{"name":"half"}', who=who, last=False), id="chunks without end"),
    ],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(start_site, begin):
    """By the deadline, and nothing of it happens."""
    site = await start_site(handshake_s=SHORT_S)
    wire = await Wire.connect(site.hub.port)
    await wire.write(begin(site.admin.who))

    assert await wire.ended() == b""

    wire.close()
    assert (await site.admin.get("/network?name=half")).json() == []


async def test_half_a_request_is_no_request(site):
    """A client that goes away in the middle of its body has asked for nothing, not for what an empty body means."""
    command = (await site.admin.post("/device/lamp/command", {"command": "on"})).json()["id"]
    told = [("Host", "hub"), *site.admin.who, ("Content-Type", "application/json"), ("Content-Length", "100")]
    wire = await Wire.connect(site.hub.port)
    await wire.write(request(f"/api/rest/device/lamp/command/{command}", told, method="PUT") + b'{"status":"x"')
    await asyncio.sleep(0.1)
    wire.abort()

    async def nothing_left():
        return not [task for task in asyncio.all_tasks() if "RequestResponseCycle" in repr(task)]

    await until(nothing_left)
    response = await site.admin.get(f"/device/lamp/command/{command}/poll?waitTimeout=0")
    assert response.status == 204, "it was never updated"


# --- odd heads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([(f"X-{number}", "x") for number in range(65)], id="65 headers"),
        pytest.param([("X-Long", "x" * 17_000)], id="17,000 bytes in one header"),
        pytest.param([("Authorization", "Bearer " + "x" * 17_000)], id="a key of 17,000 bytes"),
    ],
)
async def test_a_flood_of_headers_is_refused(site, extra):
    """In the shape of any error, and a page may read it; the next request comes through."""
    response = await site.nobody.get("/info", headers=extra)

    assert (response.status, response.json()["error"]) == (431, 431)
    assert response.json()["message"] in ("At most 64 headers", "At most 16384 bytes of headers")
    assert response.headers["access-control-allow-origin"] == "*"
    assert (await site.nobody.get("/info?" + "a" * 17_000)).status == 431
    assert (await site.nobody.get("/info")).status == 200


@pytest.mark.parametrize(
    "extra",
    [
        [("Content-Length", "5"), ("Content-Length", "6")],
        [("Content-Length", "-1")],
        [("Content-Length", "abc")],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip, chunked, identity")],
    ],
)
async def test_no_two_lengths(site, extra):
    """What two servers might read differently is read by none."""
    head = request("/api/rest/network", [("Host", "hub"), *extra], method="POST")

    response = await site.nobody.send(head + b"0\r\n\r\n")

    assert response.status == 400


@pytest.mark.parametrize(
    "guid", ["a/b", "../lamp", "a b", "ä€🦊", "a?b#c", "%", "%2F", "a+b", "command", "a;b,c", "<b>"]
)
async def test_a_guid_has_any_characters(site, guid):
    """In a path they are written with percent signs, and a slash too."""
    path = "/device/" + "".join(f"%{byte:02X}" for byte in guid.encode())
    body = {"key": "k", "name": "n", "deviceClass": {"name": "Sensor", "version": "1"}}

    assert (await site.admin.put(path, body)).status == 204

    assert (await site.admin.get(path)).json()["id"] == guid
    assert (await site.admin.delete(path)).status == 204
    assert (await site.admin.get("/device/lamp")).status == 200


@pytest.mark.parametrize("guid", ["%FF", "%C3%28", "%ED%A0%80", "%80"])
async def test_a_guid_is_utf_8(site, guid):
    """Anything else is not found."""
    assert (await site.admin.get(f"/device/{guid}")).json() == {"error": 404, "message": "HTTP 404 Not Found"}


@pytest.mark.parametrize("guid", ["a%00b", "x" * 49])
async def test_a_guid_that_cannot_be_is_not_found_or_refused(site, guid):
    """Never an error of ours."""
    body = {"key": "k", "name": "n", "deviceClass": {"name": "Sensor", "version": "1"}}

    assert (await site.admin.get(f"/device/{guid}")).status in (400, 404)
    assert (await site.admin.put(f"/device/{guid}", body)).status == 400
