"""Attenuation: a key passes on no more than it has."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.access import Peer, key_principal, parse_address
from hub.core.attenuation import covers
from protocol.names import KeyAction, KeyType
from tests.builders import access_key, permission
from tests.core.model import Place, actions, owners, permissions, places, some
from tests.core.test_access import sees

PEERS = [
    Peer(parse_address(address), origin)
    for address in ("10.1.2.3", "192.0.2.1", "2001:db8::1")
    for origin in (None, "https://app.example.com", "https://example.org")
]

DOMAINS = ("example.com", "app.example.com", "example.org", "*")
SUBNETS = ("10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::/0", "nonsense")

entries = st.builds(
    lambda entry, domains, subnets: replace(entry, domains=domains, subnets=subnets),
    permissions,
    st.none() | some(DOMAINS),
    st.none() | some(SUBNETS),
)


@given(makers=st.lists(entries, min_size=1, max_size=3), entry=entries, owner=owners, action=actions, place=places)
def test_what_a_key_covers_lets_nobody_do_more_than_the_key(makers, entry, owner, action: KeyAction, place: Place):
    """Whatever a covered key is let do from anywhere, its maker is let do from there as well."""
    maker, made = access_key(*makers), access_key(entry)
    if covers(maker, made):
        for peer in PEERS:
            assert not sees(key_principal(made, owner, peer), action, place) or sees(
                key_principal(maker, owner, peer), action, place
            )


@given(entry=entries)
def test_a_key_covers_its_own_like(entry):
    """To pass on exactly what one has is to pass on no more."""
    assert covers(access_key(entry), access_key(entry))


@pytest.mark.parametrize(
    ("own", "lesser", "covered"),
    [
        ({}, {}, True),
        ({}, {"actions": ["GetDevice"], "network_ids": [1]}, True),
        ({"actions": ["GetDevice"]}, {}, False),
        ({"actions": ["GetDevice"]}, {"actions": []}, True),
        ({"actions": ["getdevice"]}, {"actions": ["GetDevice"]}, True),
        ({"actions": ["GetDevice"]}, {"actions": ["GetDevice", "GetNetwork"]}, False),
        ({"network_ids": [1, 2]}, {"network_ids": [2]}, True),
        ({"network_ids": [1, "2"]}, {"network_ids": ["1", 2]}, True),
        ({"network_ids": [1]}, {"network_ids": [2]}, False),
        ({"network_ids": [1]}, {"device_guids": ["lamp"]}, False),
        ({"device_guids": ["1", "lamp"]}, {"device_guids": [1]}, True),
        ({"device_guids": ["lamp"]}, {"device_guids": ["Lamp"]}, False),
        ({"subnets": ["10.0.0.0/8"]}, {"subnets": ["10.1.0.0/16", "10.2.3.4", None]}, True),
        ({"subnets": ["10.0.0.0/8"]}, {"subnets": ["10.0.0.0/7"]}, False),
        ({"subnets": ["10.0.0.0/8"]}, {"subnets": ["::ffff:10.0.0.0/104"]}, True),
        ({"subnets": ["0.0.0.0/0"]}, {"subnets": ["::1"]}, False),
        ({"subnets": ["nonsense", "10.0.0.0/8"]}, {"subnets": ["nonsense"]}, True),
        ({"subnets": ["10.0.0.0/8"]}, {"subnets": ["nonsense"]}, False),
        ({"domains": ["example.com"]}, {"domains": ["example.com", "app.example.com"]}, True),
        ({"domains": ["app.example.com"]}, {"domains": ["example.com"]}, False),
        ({"domains": ["example.com"]}, {"domains": ["notexample.com"]}, False),
        ({"domains": ["example.com"]}, {"domains": ["*"]}, False),
        ({"domains": ["example.com", ""]}, {"domains": [""]}, True),
    ],
)
def test_each_list_of_a_lesser_permission_names_only_what_the_greater_names(own, lesser, covered):
    """Null is everything, an empty list nothing; subnets and domains are compared by what they contain."""
    assert covers(access_key(permission(**own)), access_key(permission(**lesser))) == covered


def test_one_permission_alone_has_to_be_greater():
    """Two permissions side by side are not both of them at once."""
    maker = access_key(permission(network_ids=[1]), permission(device_guids=["lamp"]))

    assert covers(maker, access_key(permission(network_ids=[1]), permission(device_guids=["lamp"])))
    assert not covers(maker, access_key(permission(actions=["GetDevice"])))


@pytest.mark.parametrize(
    ("own_ms", "ends_ms", "covered"),
    [(None, None, True), (None, 5, True), (5, 5, True), (5, 4, True), (5, 6, False), (5, None, False)],
)
def test_what_a_key_makes_ends_no_later_than_the_key(own_ms, ends_ms, covered):
    """Else it would be a way to live for ever."""
    assert covers(access_key(expires_ms=own_ms), access_key(expires_ms=ends_ms)) == covered


@pytest.mark.parametrize("type_", KeyType)
def test_no_key_makes_a_login(type_):
    """With a SESSION key anything may be made, so whoever could make one would be free."""
    assert covers(access_key(), replace(access_key(), type=type_)) == (type_ is not KeyType.SESSION)
