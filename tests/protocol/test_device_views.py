"""What the wire shows of networks, devices, classes and equipment: DeviceHive's members, and no key to whom it is not
due."""

from protocol.device_views import (
    BARE_CLASS,
    CREATED,
    DEVICE,
    DEVICE_CLASS,
    DEVICE_FOR_DEVICE,
    DEVICE_IN_NETWORK,
    DEVICE_IN_NOTICE,
    EQUIPMENT_STATE,
    NETWORK,
    NETWORK_WITH_DEVICES,
)
from protocol.entities import EquipmentState
from tests.builders import EARLIER_MS, device, device_class, equipment, network

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

BARE = {"id": 4, "name": "Light", "version": "2", "isPermanent": False, "offlineTimeout": 600, "data": [1]}
WHOLE = {**BARE, "equipment": [{"id": 9, "name": "Diode", "code": "LED", "type": "light", "data": {"watts": 5}}]}
HOME = {"id": 3, "key": "n-key", "name": "home", "description": "first"}


def test_a_device_is_shown_with_network_and_class():
    """The guid is called ``id``, and the members are in DeviceHive's order."""
    view = DEVICE(LAMP)

    assert view == {
        "id": "lamp",
        "name": "Lamp",
        "status": "Online",
        "data": {"a": 1},
        "network": HOME,
        "deviceClass": WHOLE,
        "isBlocked": False,
    }
    assert list(view) == ["id", "name", "status", "data", "network", "deviceClass", "isBlocked"]


def test_a_device_sees_itself_with_its_network_but_not_the_networks_key():
    """The member is not even there."""
    network = {"id": 3, "name": "home", "description": "first"}

    assert DEVICE_FOR_DEVICE(LAMP) == {**DEVICE(LAMP), "network": network}


def test_an_automatic_notification_shows_the_networks_key_as_null():
    """Clients that index the member find it; nobody learns the key."""
    assert DEVICE_IN_NOTICE(LAMP) == {**DEVICE(LAMP), "network": {**HOME, "key": None}}


def test_a_device_without_network_shows_null():
    """The member is there in every view, without a value."""
    alone = device(network_id=None)

    assert [view(alone)["network"] for view in (DEVICE, DEVICE_FOR_DEVICE, DEVICE_IN_NOTICE)] == [None, None, None]


def test_a_network_is_shown_with_devices_that_do_not_repeat_it():
    """Nor the equipment of their classes."""
    view = NETWORK_WITH_DEVICES((LAMP.network, [LAMP]))

    assert NETWORK(LAMP.network) == HOME
    assert {**view, "devices": list(view["devices"])} == {**HOME, "devices": [DEVICE_IN_NETWORK(LAMP)]}
    assert DEVICE_IN_NETWORK(LAMP) == {
        "id": "lamp",
        "name": "Lamp",
        "status": "Online",
        "data": {"a": 1},
        "deviceClass": BARE,
        "isBlocked": False,
    }


def test_a_class_is_shown_with_and_without_its_equipment():
    """Lists show it without."""
    assert (DEVICE_CLASS(LAMP.device_class), BARE_CLASS(LAMP.device_class)) == (WHOLE, BARE)


def test_a_state_is_shown_by_the_code_of_its_equipment():
    """Which is called ``id``."""
    state = EquipmentState("LED", EARLIER_MS, {"on": True})

    assert EQUIPMENT_STATE(state) == {"id": "LED", "timestamp": "2015-07-24T05:50:44.000", "parameters": {"on": True}}


def test_what_was_just_made_shows_its_number_only():
    """Everything else its maker knows."""
    assert CREATED(LAMP.network) == {"id": 3}
