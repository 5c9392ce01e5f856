"""Where the hub may connect to: the internet, and what an installation names, however it is written."""

from ipaddress import ip_address, ip_network

import pytest

from hub.core.outbound import is_named, may_connect

HIDDEN = [
    "127.0.0.1",
    "127.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_is_not_the_internets_is_not_connected_to(text):
    """Loopback, private, link-local, and each of them inside another address."""
    assert not may_connect(ip_address(text), ())


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "142.250.74.36", "2a00:1450:4001:80f::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_the_internet_is(text):
    """Whichever way it is written."""
    assert may_connect(ip_address(text), ())


def test_what_an_installation_names_is_let_pass():
    """That block, and no more; also where the address comes inside of another."""
    named = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))

    passed = ["10.1.2.3", "::ffff:10.1.2.3", "fd00::5", "8.8.8.8"]
    assert all(may_connect(ip_address(text), named) for text in passed)
    assert not any(may_connect(ip_address(text), named) for text in ("10.2.0.1", "127.0.0.1", "::1"))
    assert [is_named(ip_address(text), named) for text in ("10.1.2.3", "fd00::5", "8.8.8.8")] == [True, True, False]
