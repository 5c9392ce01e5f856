"""``hub device``."""

import pytest

from hub.cli import devices
from protocol.entities import EquipmentState


def key_matches(installation, guid, key):
    return installation.transact(lambda tx: tx.device_key_matches(tx.device(guid).id, key))


def test_a_device_is_made_with_a_key(installation):
    """The key is shown once; the class is made when it is new."""
    installation.hub("network", "create", "home")
    words = ("--network", "home", "--class", "lamp", "--class-version", "2", "--offline-timeout", "60", "--data", "{}")
    made = installation.hub("device", "create", "lamp-1", "--name", "Lamp", *words, "--json").json

    key = made.pop("key")
    shown = installation.hub("device", "show", "lamp-1", "--json").json
    assert key_matches(installation, "lamp-1", key)
    assert shown == {**made, "equipmentStates": []}
    assert (made["name"], made["network"]["name"], made["isBlocked"], made["data"]) == ("Lamp", "home", False, {})
    assert (made["deviceClass"]["version"], made["deviceClass"]["offlineTimeout"]) == ("2", 60)
    assert key not in installation.hub("device", "show", "lamp-1").out


def test_a_key_of_ones_own_comes_by_stdin(installation):
    """And is not printed."""
    told = installation.hub("device", "create", "lamp", "--key-stdin", stdin="my key\n").out

    assert "my key" not in told
    assert key_matches(installation, "lamp", "my key")


def test_devices_are_listed_in_pages(installation, monkeypatch):
    """However many there are, in order of their guids."""
    monkeypatch.setattr(devices, "PAGE", 2)
    installation.hub("network", "create", "home")
    for guid in ("c", "a", "e", "b", "d"):
        words = ("--network", "home") if guid in "ae" else ()
        installation.hub("device", "create", guid, *words)

    listed = [device["id"] for device in installation.hub("device", "list", "--json").json]
    at_home = [device["id"] for device in installation.hub("device", "list", "--network", "home", "--json").json]

    assert (listed, at_home) == (list("abcde"), ["a", "e"])
    assert "home" in installation.hub("device", "list").out


def test_a_device_is_changed(installation):
    """Blocked, moved, renamed, given a new key; each on its own."""
    installation.hub("network", "create", "home")
    installation.hub("device", "create", "lamp")

    blocked = installation.hub("device", "update", "lamp", "--block", "--network", "home", "--json").json
    freed = installation.hub("device", "update", "lamp", "--unblock", "--no-network", "--name", "L", "--json").json
    key = installation.hub("device", "update", "lamp", "--new-key", "--json").json["key"]
    installation.hub("device", "update", "lamp", "--data", "[1]")

    assert (blocked["isBlocked"], blocked["network"]["name"]) == (True, "home")
    assert (freed["isBlocked"], freed["network"], freed["name"]) == (False, None, "L")
    assert key_matches(installation, "lamp", key)
    assert installation.hub("device", "show", "lamp", "--json").json["data"] == [1]


def test_the_state_of_equipment_is_shown(installation):
    """What the device last said of its parts."""
    installation.hub("device", "create", "lamp")
    state = EquipmentState("bulb", 0, {"on": True})
    installation.transact(lambda tx: tx.put_equipment_state(tx.device("lamp").id, state))

    (shown,) = installation.hub("device", "show", "lamp", "--json").json["equipmentStates"]

    assert shown == {"id": "bulb", "timestamp": "1970-01-01T00:00:00.000", "parameters": {"on": True}}
    assert "equipment bulb" in installation.hub("device", "show", "lamp").out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("create", "lamp"), 1, "there is a device lamp already"),
        (("create", "x" * 49), 2, "the guid must have 1 to 48 characters; this one has 49"),
        (("create", "x", "--network", "nowhere"), 1, "there is no network nowhere"),
        (("create", "x", "--class", "device", "--offline-timeout", "9"), 1, "class device 1.0 exists"),
        (("create", "x", "--offline-timeout", "0"), 2, "--offline-timeout"),
        (("create", "x", "--key-stdin"), 2, "nothing came on stdin"),
        (("update", "lamp"), 2, "nothing to change"),
        (("update", "lamp", "--network", "a", "--no-network"), 2, "give one of them"),
        (("update", "lamp", "--new-key", "--key-stdin"), 2, "give one of them"),
        (("update", "LAMP", "--block"), 1, "there is no device LAMP"),
        (("delete", "lamp"), 2, "Say so with --yes"),
        (("delete", "x", "--yes"), 1, "there is no device x"),
    ],
)
def test_mistakes_change_nothing(installation, words, code, told):
    """What was wrong, and what would be right; guids are compared letter for letter."""
    installation.hub("device", "create", "lamp")

    assert told in installation.hub("device", *words, code=code).err
    assert [device["id"] for device in installation.hub("device", "list", "--json").json] == ["lamp"]


def test_a_deleted_device_is_gone(installation):
    """Its guid is free again."""
    installation.hub("device", "create", "lamp")

    installation.hub("device", "delete", "lamp", "--yes")

    assert installation.hub("device", "list", "--json").json == []
