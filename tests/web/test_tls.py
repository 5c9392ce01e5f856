"""TLS: the same hub, over an encrypted connection."""

import asyncio
import json
import ssl

import pytest
from websockets.asyncio.client import connect

from tests.certificates import self_signed
from tests.waiting import WAIT_S


@pytest.fixture
def certificate(tmp_path):
    """PEM files of a certificate that signed itself, and of its key."""
    certificate_path, key_path = self_signed(tmp_path)
    return {"tls_certificate": certificate_path, "tls_key": key_path}


async def test_a_client_talks_over_tls(start, certificate):
    """The address that the hub tells is a secure one."""
    home = await start(**certificate)
    trusted = ssl.create_default_context(cafile=certificate["tls_certificate"])

    async with connect(f"wss://127.0.0.1:{home.hub.port}/api/websocket/client", ssl=trusted) as socket:
        await socket.send(json.dumps({"action": "server/info", "requestId": 1}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), WAIT_S))

    assert home.hub.url.startswith("wss://")
    assert answer["info"]["restServerUrl"] == f"https://127.0.0.1:{home.hub.port}/api/rest"


async def test_a_peer_that_never_begins_tls_is_closed(start, certificate):
    """The handshake's deadline holds before anything is encrypted, too."""
    home = await start(**certificate, handshake_s=0.2)

    reader, writer = await asyncio.open_connection("127.0.0.1", home.hub.port)
    rest = await asyncio.wait_for(reader.read(), WAIT_S)
    writer.close()

    assert rest == b""
