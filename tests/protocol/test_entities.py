"""Entities: what they know of themselves, and what never shows."""

import dataclasses

import pytest

from protocol.entities import AccessKey, KeyPermission
from protocol.names import UserRole, UserStatus
from tests.builders import access_key, administrator, device, network, permission, user

LAMP = device("lamp", network=network(3, key="n-key"))


def test_no_text_holds_a_networks_key():
    """A key that is printed by accident, in a log or a traceback, would be a key given away."""
    assert "n-key" not in repr(LAMP)


def test_a_device_is_in_one_network_or_in_none():
    """Its number is that of the network."""
    assert (LAMP.network_id, device(network_id=None).network_id) == (3, None)


def test_a_key_permission_shows_null_and_empty_apart():
    """Null is no restriction, an empty list allows nothing: the view keeps the difference."""
    view = permission(actions=[], network_ids=[1, 2]).view()

    assert view == {
        "domains": None,
        "subnets": None,
        "actions": [],
        "networkIds": [1, 2],
        "deviceGuids": None,
    }
    assert all(value is None for value in KeyPermission().view().values())


@pytest.mark.parametrize(("now_ms", "expired"), [(999, False), (1_000, True), (1_001, True)])
def test_a_key_ends_at_its_expiry(now_ms, expired):
    """From the named millisecond on it is expired."""
    assert expired == access_key(expires_ms=1_000).expired(now_ms)


def test_a_key_without_expiry_never_ends():
    """Null means for ever."""
    assert not access_key(expires_ms=None).expired(2**53)


def test_a_masked_key_shows_its_start_in_a_keys_length():
    """It can be recognised, and fits where a key is expected."""
    masked = access_key(start="abcdef").masked

    assert masked == "abcdef" + "*" * 38


def test_an_access_key_holds_no_secret():
    """There is no member that could: the start is all that is left of it."""
    assert {"id", "user_id", "label", "start", "type", "expires_ms", "permissions"} == {
        member.name for member in dataclasses.fields(AccessKey)
    }


@pytest.mark.parametrize("status", UserStatus)
def test_only_active_users_are_active(status):
    """Locked, disabled and deleted users authenticate as nobody."""
    assert (status is UserStatus.ACTIVE) == user(status=status).is_active


def test_the_role_makes_the_administrator():
    """Nothing else does: not the login, not the networks."""
    assert administrator().is_admin
    assert not user(1, 2, login="admin", role=UserRole.CLIENT).is_admin


def test_entities_do_not_change():
    """Caches share them between connections, so assigning to one is an error."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        LAMP.status = "Offline"
