"""What REST requests about devices and classes hold: the same as on the sockets, where those have it."""

from dataclasses import replace

import pytest

from protocol.class_forms import CLASS_OBJECT, CreateClass
from protocol.device_forms import ListDevices, RegisterDevice
from protocol.requests import UNSET, SaveDevice

PIECE = {"name": "Diode", "code": "LED", "type": "light"}

BODIES = [
    {},
    {"key": "k", "name": 5, "status": None, "data": {"a": [1]}},
    {"network": None, "deviceClass": None},
    {"network": {"name": "home", "key": "k", "description": "d", "id": 5}},
    {"deviceClass": {"name": "Light", "version": 2, "isPermanent": "true", "offlineTimeout": "60", "data": None}},
    {"deviceClass": {"equipment": [PIECE, None]}, "equipment": [PIECE]},
    {"deviceClass": {"equipment": None}, "equipment": None},
    {"blocked": True},
    {"isBlocked": None, "blocked": True},
    {"isBlocked": "false", "blocked": True, "id": "other", "unknown": 1},
]


@pytest.mark.parametrize("body", BODIES)
def test_a_registration_asks_what_a_socket_would_ask(body):
    """Member by member; only the key beside the device has no place here."""
    on_a_socket = SaveDevice.read({"deviceId": "lamp", "device": body, "equipment": body.get("equipment")})

    form = RegisterDevice.fill(RegisterDevice.read_body(body), {"guid": "lamp"}, {})

    assert form.to_request() == replace(on_a_socket, device_key=UNSET)


def test_a_list_of_devices_is_asked_for_in_the_query():
    """Numbers are numbers, everything else is text."""
    form = ListDevices.fill(
        {}, {}, {"networkId": "5", "deviceClassVersion": "2", "sortField": "DeviceClass", "take": "3"}
    )

    assert (form.network_id, form.device_class_version, form.sort_field, form.take) == (5, "2", "deviceclass", 3)
    assert (form.name, form.descending, form.skip) == (None, False, None)


def test_a_class_is_described_as_it_is_read():
    """A document shows clients the members of objects inside a body."""
    assert list(CLASS_OBJECT.schema["properties"]) == [
        "name",
        "version",
        "isPermanent",
        "offlineTimeout",
        "data",
        "equipment",
    ]
    assert CreateClass.read_body({"equipment": [PIECE, None]})["equipment"][0].code == "LED"
