"""HTTP on the hub's port: what an operator asks, and what keeps the door from being blocked."""

import asyncio
import socket
from contextlib import suppress

import pytest

from hub.starting import bind
from tests.edge_client import request, upgrade

HOST = ("Host", "hub")
SHORT_S = 0.3
"""A deadline that tests wait for."""


async def get(world, wires, path, *headers):
    wire = await wires.connect(world)
    await wire.write(request(path, [HOST, ("Connection", "close"), *headers]))
    return await wire.response()


# --- what an operator asks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/livez", "/health", "/readyz", "/ready"])
async def test_a_running_hub_is_alive_and_ready(world, wires, path):
    """Both names of each question are answered, as JSON."""
    response = await get(world, wires, path)

    assert (response.status, response.json()["status"]) == (200, "ok")


async def test_the_front_page_names_the_endpoints(world, wires):
    """Whoever opens the port learns what it is and where the WebSockets are."""
    response = await get(world, wires, "/")

    assert response.status == 200
    assert "/api/websocket/client" in response.json()["webSocketPaths"]


async def test_metrics_count_what_happens(world, wires):
    """The numbers are those of the moment of the question, in Prometheus' format."""
    await wires.open(world)

    response = await get(world, wires, "/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"\nhub_connections 1.0\n" in response.body
    assert b"\nhub_connections_accepted_total 1.0\n" in response.body


async def test_metrics_can_be_turned_off(start, wires):
    """A hub that is open to the world need not tell its numbers."""
    world = await start(metrics=False)

    assert (await get(world, wires, "/metrics")).status == 404


async def test_unknown_pages_are_told_so_in_json(world, wires):
    """The error has the shape of the REST API's."""
    response = await get(world, wires, "/nowhere")

    assert response.status == 404
    assert {"error", "message"} == response.json().keys()


async def test_connections_are_kept_for_further_requests(world, wires):
    """Several requests may follow each other on one connection, pipelined too."""
    wire = await wires.connect(world)
    await wire.write(request("/livez", [HOST]) * 3)

    assert [(await wire.response()).status for _ in range(3)] == [200, 200, 200]


async def test_answers_are_not_held_back():
    """On any loop, a second write goes out before the first was acknowledged."""
    accepted = asyncio.get_running_loop().create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.set_result(transport.get_extra_info("socket"))

    listening = bind("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(Accepting, sock=listening)
    async with server:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert (await accepted).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()


async def test_another_protocol_s_upgrade_is_passed_over(world, wires):
    """A client that offers HTTP/2 gets its answer in HTTP/1.1."""
    response = await get(
        world, wires, "/livez", ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "A")
    )

    assert response.status == 200


@pytest.mark.parametrize("line", ["OPTIONS *", "CONNECT hub:80", "GET http://hub/livez", "GET //", "GET /%ff", "PRI *"])
async def test_odd_request_lines_are_answered(world, wires, line, caplog):
    """Whatever the target looks like, there is an answer, and nothing in the log."""
    wire = await wires.connect(world)
    method, target = line.split()
    await wire.write(request(target, [HOST, ("Connection", "close")], method=method))

    response = await wire.response()

    assert response.status in (200, 400, 404, 405)
    assert not [record for record in caplog.records if record.exc_info]


# --- how much of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [request, upgrade], ids=["request", "upgrade"])
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([(f"X-{number}", "x") for number in range(65)], id="65 headers"),
        pytest.param([("X-Long", "x" * 17_000)], id="17,000 bytes in one header"),
        pytest.param([(f"X-{number}", "x" * 1_000) for number in range(20)], id="20,000 bytes in 20 headers"),
        pytest.param([("Sec-WebSocket-Protocol", ",".join(["a"] * 10_000))], id="10,000 subprotocols"),
        pytest.param([("Sec-WebSocket-Extensions", ",".join(["a"] * 10_000))], id="10,000 extensions"),
    ],
)
async def test_too_many_headers_are_refused(world, wires, head, extra):
    """Whether they come at once or bit by bit, past the limit the answer is 431."""
    whole = head("/livez", [HOST, *extra]) if head is request else head("/websocket/client", *extra)
    for step in (len(whole), 1_000):
        wire = await wires.connect(world)
        with suppress(BrokenPipeError, ConnectionResetError):  # It need not listen to the end.
            await wire.write_sliced(whole, *range(step, len(whole), step))

        response = await wire.response()

        assert response.status == 431, f"in steps of {step}"
    assert (await get(world, wires, "/livez")).status == 200


async def test_a_request_line_counts_like_headers(world, wires):
    """A path of 60,000 bytes is refused, complete or not."""
    for path in ("/" + "a" * 60_000, "/livez?" + "a" * 60_000):
        response = await get(world, wires, path)
        assert response.status in (414, 431), path[:10]


async def test_as_many_headers_as_allowed_are_taken(world, wires):
    """The limits are not hit by what stays below them."""
    extra = [(f"X-{number}", "x" * 200) for number in range(60)]

    assert (await get(world, wires, "/livez", *extra)).status == 200
    await wires.open(world, "/websocket/client", *[(f"X-{number}", "x" * 200) for number in range(55)])


# --- how slowly -------------------------------------------------------------------------------------------------------


async def drip(wire, data, pause_s):
    """Send byte by byte until the hub has had enough."""
    with suppress(ConnectionResetError, BrokenPipeError):
        for byte in data:
            await wire.write(bytes([byte]))
            await asyncio.sleep(pause_s)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(upgrade()[:60], id="half a handshake"),
        pytest.param(request("/livez", [HOST])[:20], id="half a request"),
        pytest.param(request("/livez", [HOST, ("Content-Length", "1000")]) + b"body", id="half a body"),
        pytest.param(request("/livez", [HOST], method="POST")[:-2] + b"Content-Length: 9\r\n\r\n", id="no body"),
        pytest.param(request("/livez", [HOST]) + request("/livez", [HOST])[:9], id="a second request"),
        pytest.param(request("/livez", [HOST]) + b"\r\n", id="an empty line after a request"),
    ],
)
async def test_requests_that_do_not_come_to_their_end_are_cut_off(start, wires, begin):
    """Silent or dripping, a socket that is not done by the deadline is closed; nobody else is."""
    world = await start(handshake_s=SHORT_S)
    patient = await wires.open(world)
    silent, dripping = await wires.connect(world), await wires.connect(world)
    for wire in (silent, dripping):
        await wire.write_sliced(begin, max(0, len(begin) - 2))
    dripper = asyncio.create_task(drip(dripping, b"\r\n" * 5_000 if begin.endswith(b"\n") else b"a" * 10_000, 0.05))

    await silent.ended()
    await dripping.ended()

    await dripper
    assert (await patient.ask("server/info"))["status"] == "success"


async def test_hundreds_of_slow_handshakes_delay_nobody(start, wires):
    """Half of them silent, half in the middle of a header: all are gone after the deadline, others get in meanwhile."""
    world = await start(handshake_s=2 * SHORT_S)
    slow = [await wires.connect(world) for _ in range(200)]
    for wire in slow[::2]:
        await wire.write(upgrade()[:-30])

    wire = await wires.open(world)

    assert (await wire.ask("server/info"))["status"] == "success"
    for one in slow:
        await one.ended()
    assert len(world.hub.gateway) == 1


async def test_a_handshake_whose_password_takes_too_long_is_cut_off(start, wires, monkeypatch):
    """The deadline holds for the hub's own part too."""
    never = asyncio.Event()
    world = await start(handshake_s=SHORT_S)

    async def by_key(*_):
        await never.wait()

    monkeypatch.setattr(world.hub.gateway.logins, "by_key", by_key)
    wire = await wires.connect(world)
    await wire.write(upgrade("/websocket/client", ("Authorization", "Bearer x")))

    assert await wire.ended() == b""
    assert len(world.hub.gateway) == 0


async def test_silent_connections_do_not_use_up_the_process(start, wires):
    """Past the limit a newcomer is told to come back, whoever holds the others."""
    home = await start(connections=1, handshake_s=30)
    for _ in range(home.hub.edge.limits.transports()):
        await wires.connect(home)

    late = await wires.connect(home)
    answer = await late.response()

    assert answer.status == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 30
