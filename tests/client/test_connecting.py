"""Beginning, breaking and ending connections, over real sockets."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hub.client import (
    ConnectionLost,
    CredentialsRefused,
    HubRefused,
    NoAnswer,
    Options,
    Registration,
    Replaced,
    Subprotocol,
    connect,
    connect_device,
)
from hub.client.backoff import Backoff
from hub.client.socket import endpoint_url, retry_after_s
from protocol.names import Endpoint
from tests.certificates import self_signed
from tests.client.scripted import FAST, TIMEOUT_S, scripted, until, within

SECRET = "s3cret"


# --- credentials and addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        ({"access_key": SECRET}, {"accessKey": SECRET}),
        ({"login": "anna", "password": SECRET}, {"login": "anna", "password": SECRET}),
    ],
)
async def test_an_application_authenticates_at_the_client_endpoint(arguments, members):
    """An access key, or a login with a password."""
    async with scripted() as hub, connect(hub.url, **arguments) as client:
        peer = await hub.peer()

        assert peer.path == "/api/websocket/client"
        assert peer.credentials == {"action": "authenticate", "requestId": 1, **members}
        assert client.connected


async def test_a_device_registers_and_authenticates_at_the_device_endpoint():
    """The registration carries the network's key; the device's own key is in both."""
    registration = Registration(name="Lamp", device_class="lamp", network="home", network_key=SECRET, status="Online")
    async with scripted() as hub:
        opening = asyncio.create_task(first_connection(hub.url, registration))
        peer = await hub.peer()
        request = await peer.request("device/save")
        await peer.answer(request)
        await within(opening)

    assert peer.path == "/api/websocket/device"
    assert peer.credentials == {"action": "authenticate", "requestId": 2, "deviceId": "lamp", "deviceKey": "k"}
    assert request == {
        "action": "device/save",
        "requestId": 1,
        "deviceId": "lamp",
        "deviceKey": "k",
        "device": {
            "key": "k",
            "name": "Lamp",
            "status": "Online",
            "network": {"name": "home", "key": SECRET},
            "deviceClass": {"name": "lamp", "version": "1.0"},
        },
    }


async def first_connection(url, registration):
    async with connect_device(url, guid="lamp", key="k", registration=registration, options=FAST):
        pass


@pytest.mark.parametrize(
    "arguments",
    [{"access_key": "k", "login": "a", "password": "p"}, {"login": "a"}, {"password": "p"}],
)
async def test_half_or_double_credentials_are_refused_at_once(arguments):
    """Nothing is connected to."""
    with pytest.raises(ValueError, match="access key"):
        await connect("ws://127.0.0.1:1", **arguments).__aenter__()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h:8080/api/websocket", "ws://h:8080/api/websocket/client"),
        ("wss://h/api/websocket/", "wss://h/api/websocket/client"),
        ("ws://h/websocket/device", "ws://h/websocket/client"),
    ],
)
def test_an_address_leads_to_its_endpoint(url, expected):
    """With or without a slash at its end, and from the other endpoint, too."""
    assert endpoint_url(url, Endpoint.CLIENT) == expected


@pytest.mark.parametrize("url", ["http://h/", "ws:///x", "h:8080", "ws://h/#a", "ws://u:s3cret@h/", "ws://[s3cret/"])
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(url):
    """It may hold a secret."""
    with pytest.raises(ValueError) as caught:
        endpoint_url(url, Endpoint.CLIENT)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("action", ["authenticate", "device/save"])
async def test_what_the_hub_rejects_at_the_beginning_is_raised(action):
    """Wrong credentials or a refused registration end the attempt; nothing is tried again."""
    async with scripted() as hub:
        hub.refusals[action] = {"code": 401, "error": "Invalid credentials", "reason": "bad-credentials"}

        with pytest.raises(HubRefused) as caught:
            await first_connection(
                hub.url, Registration(name="L", device_class="c") if action == "device/save" else None
            )

        assert hub.handshakes == 1
    assert isinstance(caught.value, CredentialsRefused) == (action == "authenticate")
    assert str(caught.value) == f"{action}: Invalid credentials (401)"
    assert (caught.value.code, caught.value.reason) == (401, "bad-credentials")


async def test_nothing_secret_is_logged_or_shown(caplog):
    """Not in records of any level, reprs, or the text of errors."""
    caplog.set_level(logging.DEBUG)
    registration = Registration(name="Lamp", device_class="lamp", network="home", network_key=SECRET)
    async with scripted() as hub:
        hub.refusals["authenticate"] = {"code": 401}
        with pytest.raises(CredentialsRefused) as caught:
            await connect(hub.url, access_key=SECRET).__aenter__()
        hub.refusals.clear()
        async with connect(hub.url, access_key=SECRET, options=FAST) as client:
            shown = repr(client) + repr(client._session) + repr(registration) + str(caught.value)

    ours = [record for record in caplog.records if record.name.startswith("hub.")]
    assert SECRET not in shown + "".join(record.getMessage() for record in ours)


async def test_tls_follows_the_address(tmp_path):
    """``wss`` is encrypted and the certificate checked; the context says whom to trust."""
    certificate, key = self_signed(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    async with scripted(ssl=server) as hub:
        trusting = Options(ssl=ssl.create_default_context(cafile=certificate))

        async with connect(hub.url, access_key="k", options=trusting) as client:
            assert client.connected
        with pytest.raises(ConnectionLost, match="certificate"):
            await connect(hub.url, access_key="k").__aenter__()


# --- codecs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "offered", "selected"),
    [
        ((Subprotocol.JSON,), None, "hub.1.json"),
        ((Subprotocol.MSGPACK,), None, "hub.1.msgpack"),
        ((Subprotocol.MSGPACK,), [], None),
        ((), None, None),
    ],
)
async def test_every_encoding_carries_a_conversation(offer, offered, selected):
    """Extended JSON, MessagePack, and DeviceHive's ordinary connection where the server knows neither."""
    options = Options(subprotocols=offer, timeout_s=TIMEOUT_S)
    async with scripted(subprotocols=offered) as hub, connect(hub.url, access_key="k", options=options) as client:
        peer = await hub.peer()
        asking = asyncio.create_task(client.server_info())
        await peer.answer(await peer.request("server/info"), info={"apiVersion": "2.0.6"})

        assert await asking == {"apiVersion": "2.0.6"}
        assert peer.socket.subprotocol == selected


# --- when there is no connection --------------------------------------------------------------------------------------


async def test_an_impatient_client_fails_at_once(unused_tcp_port):
    """Without patience the first connection is tried once."""
    with pytest.raises(ConnectionLost, match="cannot connect"):
        await connect(f"ws://127.0.0.1:{unused_tcp_port}/", access_key="k").__aenter__()


async def test_a_patient_client_waits_for_the_hub():
    """A device may be switched on before its hub."""
    async with scripted() as hub:
        hub.statuses.extend([(503, {}), (502, {}), (500, {})])
        options = Options(patience_s=TIMEOUT_S, backoff_first_s=0.01)

        async with connect(hub.url, access_key="k", options=options) as client:
            assert client.connected
        assert hub.handshakes == 4


async def test_patience_does_not_outlast_what_the_hub_asks_for():
    """Retry-After beyond the patience ends the attempt now rather than later."""
    async with scripted() as hub:
        hub.statuses.append((503, {"Retry-After": "3600"}))

        with pytest.raises(ConnectionLost, match="HTTP 503"):
            await connect(hub.url, access_key="k", options=Options(patience_s=60)).__aenter__()


@pytest.mark.parametrize(("status", "error"), [(401, CredentialsRefused), (403, HubRefused), (404, HubRefused)])
async def test_a_handshake_that_is_refused_for_good_is_not_tried_again(status, error):
    """A wrong address or wrong credentials do not get better."""
    async with scripted() as hub:
        hub.statuses.append((status, {}))

        with pytest.raises(error, match=f"HTTP {status}"):
            await connect(hub.url, access_key="k", options=Options(patience_s=60)).__aenter__()


async def test_a_hub_that_never_answers_authenticate_is_given_up():
    """The wait for authentication has a deadline."""
    async with scripted() as hub:
        opening = asyncio.create_task(first_connection_with(hub.url, Options(open_timeout_s=0.2)))
        peer = await hub.peer()

        with pytest.raises(ConnectionLost, match="not authenticated in time"):
            await within(opening)
        await within(peer.socket.wait_closed())


async def first_connection_with(url, options):
    async with connect_device(
        url, guid="g", key="k", registration=Registration(name="n", device_class="c"), options=options
    ):
        pass


# --- when it breaks ---------------------------------------------------------------------------------------------------


async def test_a_broken_connection_is_replaced_and_requests_are_repeated():
    """A question without an answer is asked again on the next connection, after authentication."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        asking = asyncio.create_task(client.server_info())
        await first.request("server/info")
        await first.drop()

        second = await hub.peer()
        await second.answer(await second.request("server/info"), info={})

        assert await asking == {}
        assert first.credentials is not None
        assert second.credentials is not None
        assert second.credentials["accessKey"] == first.credentials["accessKey"]


async def test_a_broken_handshake_does_not_end_a_client_that_was_connected():
    """What a proxy says while the hub is away is not the hub's word."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        hub.statuses.extend([(404, {}), (403, {}), (503, {"Retry-After": "0"})])
        await (await hub.peer()).close(1011)

        await hub.peer()
        await until(lambda: client.connected)


async def test_the_hub_gives_each_client_its_slot():
    """reconnectAfter of the closing announcement is the delay, without jitter."""
    options = Options(backoff_first_s=3600, backoff_most_s=3600, timeout_s=TIMEOUT_S)
    async with scripted() as hub, connect(hub.url, access_key="k", options=options):
        peer = await hub.peer()
        await peer.send(action="connection/closing", code=1012, reason="restart", reconnectAfter=0.01)
        await peer.close(1012)

        assert (await hub.peer()).path


async def test_a_revoked_connection_authenticates_once_more():
    """4401 may mean that the key was changed; a second time means that it is over."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        await until(lambda: client.connected)
        await (await hub.peer()).close(4401)
        second = await hub.peer()
        await answered(client, second)
        await second.close(4401)

        await ended(client, CredentialsRefused)
        assert hub.handshakes == 2


async def answered(client, peer):
    """One question and its answer on this connection."""
    asking = asyncio.create_task(client.server_info())
    await peer.answer(await peer.request("server/info"), info={})
    await within(asking)


async def ended(client, error):
    """Wait until the client has stopped for this reason; later calls repeat it."""
    stream = client.notifications()
    for _ in range(2):
        with pytest.raises(error):
            await stream.next(timeout_s=TIMEOUT_S)


async def test_new_credentials_that_are_refused_stop_the_client():
    """Bad credentials stop it; whoever waits is told."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        first = await hub.peer()
        asking = asyncio.create_task(client.server_info())
        await first.request("server/info")
        hub.refusals["authenticate"] = {"code": 401}
        await first.close(4401)

        with pytest.raises(CredentialsRefused):
            await within(asking)
        assert hub.handshakes == 2


async def test_a_throttled_authentication_is_tried_again():
    """A refusal with retryAfter is no verdict on the credentials."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        hub.refusals["authenticate"] = {"code": 401, "retryAfter": 0}
        await (await hub.peer()).drop()
        await until(lambda: hub.handshakes >= 3)
        hub.refusals.clear()

        await until(lambda: client.connected)


async def test_an_anonymous_client_is_not_admitted_twice():
    """4401 without credentials cannot get better."""
    async with scripted() as hub, connect(hub.url, options=FAST) as client:
        await (await hub.peer()).close(4401)

        await ended(client, CredentialsRefused)


async def test_a_replaced_device_does_not_fight_for_its_place():
    """The newest connection wins; the older client stops."""
    async with scripted() as hub, connect_device(hub.url, guid="g", key="k", options=FAST) as device:
        waiting = asyncio.create_task(device.notify("on"))
        peer = await hub.peer()
        await peer.request("notification/insert")
        await peer.close(4409)

        with pytest.raises(Replaced):
            await within(waiting)
        assert hub.handshakes == 1


async def test_what_is_too_big_for_the_hub_is_reported_and_not_repeated():
    """The connection that it cost is replaced."""
    async with scripted() as hub, connect_device(hub.url, guid="g", key="k", options=FAST) as device:
        waiting = asyncio.create_task(device.notify("photo", "x" * 1000))
        peer = await hub.peer()
        await peer.request("notification/insert")
        await peer.close(1009)

        with pytest.raises(HubRefused, match="too big"):
            await within(waiting)
        await hub.peer()


async def test_a_frame_that_makes_no_sense_is_logged_and_passed_over(caplog):
    """The conversation goes on."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        await peer.socket.send("nonsense")

        await answered(client, peer)

    assert "makes no sense" in caplog.text


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_tells_whoever_still_waits():
    """Requests get ConnectionLost, streams end, and the hub sees an ordinary close."""
    async with scripted() as hub:
        async with connect(hub.url, access_key="k", options=FAST) as client:
            peer = await hub.peer()
            asking = asyncio.create_task(client.server_info())
            sending = asyncio.create_task(client.send("lamp", "on", timeout_s=TIMEOUT_S))
            reading = asyncio.create_task(read_all(client.notifications()))
            await peer.request("server/info")
            await peer.answer(await peer.request("command/insert"), command={"id": 7})
            await peer.subscribe(position=0)
            await peer.notify(1)
            await answered(client, peer)

        assert await within(reading) == [1]
        for task in (asking, sending):
            with pytest.raises(ConnectionLost, match="closed"):
                await task
        with pytest.raises(ConnectionLost):
            await client.server_info()
        await within(peer.socket.wait_closed())
        assert peer.socket.close_code == 1000


async def read_all(stream):
    return [message.id async for message in stream]


async def test_a_failure_of_the_client_itself_is_not_hidden():
    """Whoever waits is told that there is no connection; the cause comes out of the context."""
    async with scripted() as hub:
        with pytest.raises(TypeError):
            await within(fail(hub))


async def fail(hub):
    async with connect(hub.url, access_key="k", options=Options(backoff_first_s=None)) as client:
        await (await hub.peer()).drop()
        with pytest.raises(ConnectionLost, match="the client failed"):
            await client.notifications().next(timeout_s=TIMEOUT_S)


async def test_a_deadline_ends_every_wait():
    """The hub says nothing, so the caller is told, and the answer that comes later is passed over."""
    async with scripted() as hub, connect(hub.url, access_key="k", options=FAST) as client:
        peer = await hub.peer()
        with pytest.raises(NoAnswer, match="server/info"):
            await client.server_info(timeout_s=0.01)
        with pytest.raises(NoAnswer, match="subscribe"):
            await client.notifications().open(timeout_s=0.01)
        await peer.answer(await peer.request("server/info"), info={})

        await peer.request("notification/subscribe")
        await answered(client, peer)


# --- when to come back ------------------------------------------------------------------------------------------------


def test_the_ceiling_doubles_up_to_its_end():
    """0-1 s first, twice that next, and never more than a minute."""
    back_off = Backoff(uniform=lambda: 1.0)

    assert [back_off.delay_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_jitter_is_full():
    """Any moment below the ceiling is as good as another."""
    assert Backoff(uniform=lambda: 0.0).delay_s() == 0
    assert all(0 <= Backoff().delay_s() <= 1 for _ in range(100))


def test_only_a_stable_connection_resets_the_ceiling():
    """Authenticated, and held for ten seconds."""
    back_off = Backoff(uniform=lambda: 1.0)
    back_off.delay_s()

    back_off.authenticated(100)
    assert not back_off.lost(109.9)
    assert back_off.delay_s() == 2
    assert not back_off.lost(200)
    assert back_off.delay_s() == 4
    back_off.authenticated(300)
    assert back_off.lost(310)
    assert back_off.delay_s() == 1


def test_what_the_hub_asks_for_is_the_least():
    """The jitter comes on top; a slot of one's own has none; nobody waits for ever."""
    back_off = Backoff(uniform=lambda: 0.5, most_s=1)

    assert back_off.delay_s(retry_after_s=30) == 30.5
    assert back_off.delay_s(slot_s=7) == 7
    assert back_off.delay_s(retry_after_s=1e9) == 3600.5
    assert back_off.delay_s(slot_s=1e9) == 3600


@pytest.mark.parametrize(("values", "expected"), [([], None), (["7"], 7.0), (["soon"], None), (["-1"], None)])
def test_retry_after_is_read_as_seconds(values, expected):
    """What makes no sense counts as absent."""
    assert retry_after_s(values) == expected


def test_retry_after_is_read_as_a_date():
    """A past date means now."""
    later = datetime.now(UTC) + timedelta(seconds=100)

    assert 98 < (retry_after_s([format_datetime(later, usegmt=True)]) or 0) <= 100
    assert retry_after_s(["Thu, 01 Jan 1970 00:00:00 GMT"]) == 0
