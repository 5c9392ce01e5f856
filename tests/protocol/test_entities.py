"""Entities: the views that go on the wire, and what never shows."""

import dataclasses

import pytest

from protocol.entities import AccessKey, KeyPermission
from protocol.names import UserRole, UserStatus
from tests.builders import access_key, administrator, device, device_class, equipment, network, permission, user

LAMP = device(
    "lamp",
    name="Lamp",
    status="Online",
    data={"a": 1},
    network=network(3, name="home", key="n-key", description="first"),
    device_class=device_class(
        id=4,
        name="Light",
        version="2",
        offline_timeout_s=600,
        data=[1],
        equipment=(equipment("LED", id=9, name="Diode", type="light", data={"watts": 5}),),
    ),
)

CLASS_VIEW = {
    "id": 4,
    "name": "Light",
    "version": "2",
    "isPermanent": False,
    "offlineTimeout": 600,
    "data": [1],
    "equipment": [{"id": 9, "name": "Diode", "code": "LED", "type": "light", "data": {"watts": 5}}],
}


def test_a_device_sees_itself_with_its_network_but_not_the_networks_key():
    """``device/get`` shows exactly the members of DeviceHive, the guid as ``id``."""
    assert LAMP.view_for_device() == {
        "id": "lamp",
        "name": "Lamp",
        "status": "Online",
        "data": {"a": 1},
        "network": {"id": 3, "name": "home", "description": "first"},
        "deviceClass": CLASS_VIEW,
        "isBlocked": False,
    }


def test_an_automatic_notification_shows_the_networks_key_as_null():
    """Clients that index the member find it; nobody learns the key."""
    view = LAMP.view_in_notification()

    assert view["network"] == {"id": 3, "key": None, "name": "home", "description": "first"}
    assert LAMP.view_for_device() | {"network": view["network"]} == view


def test_a_device_without_network_shows_null():
    """The member is there in both views, without a value."""
    alone = device(network_id=None)

    assert alone.network_id is None
    assert alone.view_for_device()["network"] is None
    assert alone.view_in_notification()["network"] is None


def test_no_view_and_no_text_holds_a_networks_key():
    """A key that is printed by accident, in a log or a traceback, would be a key given away."""
    assert "n-key" not in repr(LAMP)
    assert "n-key" not in str(LAMP.view_for_device()) + str(LAMP.view_in_notification())


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
