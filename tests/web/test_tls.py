"""TLS: the same hub, over an encrypted connection."""

import asyncio
import datetime
import ipaddress
import json
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from tests.waiting import WAIT_S


@pytest.fixture
def certificate(tmp_path):
    """PEM files of a certificate that signed itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "hub.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "hub.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"tls_certificate": tmp_path / "hub.crt", "tls_key": tmp_path / "hub.key"}


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
