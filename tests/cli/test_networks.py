"""``hub network``."""

import pytest

from hub.cli import sessions
from hub.cli.place import HERE


def test_a_network_with_a_new_key(installation):
    """The key is printed once, and shown again only on request."""
    made = installation.hub("network", "create", "home", "--description", "d", "--new-key", "--json").json
    shown = installation.hub("network", "show", "home", "--json").json

    key = made.pop("key")
    assert made == {"id": 1, "name": "home", "description": "d", "hasKey": True}
    assert shown == {**made, "users": []}
    assert installation.hub("network", "show", "1", "--secret", "--json").json["key"] == key
    assert key not in installation.hub("network", "list").out
    assert key in installation.hub("network", "show", "home", "--secret").out


def test_a_key_of_ones_own_comes_by_stdin(installation):
    """And is not printed."""
    told = installation.hub("network", "create", "home", "--key-stdin", stdin="my key\n").out

    assert "my key" not in told
    assert installation.transact(lambda tx: tx.network(1).key) == "my key"


def test_members_come_and_go(installation):
    """Several at a time; who was none is mentioned."""
    installation.hub("network", "create", "home")
    for login in ("ann", "bob"):
        installation.hub("user", "create", login, "--no-password")

    installation.hub("network", "add-user", "home", "ann", "bob")
    both = installation.hub("network", "show", "home", "--json").json["users"]
    installation.hub("network", "remove-user", "home", "ann")
    again = installation.hub("network", "remove-user", "home", "ann")

    assert both == ["ann", "bob"]
    assert installation.hub("network", "show", "home", "--json").json["users"] == ["bob"]
    assert "ann was no member" in again.err


def test_a_network_is_changed(installation):
    """Name, description and key; the key can be taken away."""
    installation.hub("network", "create", "home", "--new-key", "--description", "d")

    installation.hub("network", "update", "home", "--name", "house", "--description", "", "--remove-key")
    changed = installation.hub("network", "show", "house", "--json").json
    renewed = installation.hub("network", "update", "house", "--new-key", "--json").json

    assert (changed["description"], changed["hasKey"]) == (None, False)
    assert renewed["key"] == installation.transact(lambda tx: tx.network(1).key)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("create", "home"), 1, "there is a network home already"),
        (("create", ""), 2, "the name must have 1 to 128 characters"),
        (("create", "x", "--description", "d" * 129), 2, "the description must have at most 128 characters"),
        (("create", "x", "--key-stdin"), 2, "nothing came on stdin"),
        (("create", "x", "--key-stdin", "--new-key"), 2, "give one of them"),
        (("update", "home"), 2, "nothing to change"),
        (("update", "home", "--remove-key", "--new-key"), 2, "give one of them"),
        (("update", "garage", "--name", "home"), 1, "there is a network home already"),
        (("update", "nowhere", "--name", "x"), 1, "there is no network nowhere"),
        (("add-user", "home", "nobody"), 1, "there is no user nobody"),
        (("delete", "nowhere", "--yes"), 1, "there is no network nowhere"),
        (("delete", "home"), 2, "every device in it (1)"),
    ],
)
def test_mistakes_change_nothing(installation, words, code, told):
    """What was wrong, and what would be right."""
    for name in ("home", "garage"):
        installation.hub("network", "create", name)
    installation.hub("device", "create", "lamp", "--network", "home")

    assert told in installation.hub("network", *words, code=code).err
    assert [network["name"] for network in installation.hub("network", "list", "--json").json] == ["home", "garage"]


def test_a_key_has_a_length(installation):
    """64 characters are the most that a device can repeat."""
    told = installation.hub("network", "create", "home", "--key-stdin", stdin="k" * 65, code=2).err

    assert "the key must have at most 64 characters" in told


def test_a_deleted_network_takes_its_devices_along(installation):
    """As the wire's entities say; the command tells how many."""
    installation.hub("network", "create", "home")
    installation.hub("device", "create", "lamp", "--network", "home")
    installation.hub("device", "create", "other")

    told = installation.hub("network", "delete", "home", "--yes").out

    assert "devices in it: 1" in told
    assert [device["id"] for device in installation.hub("device", "list", "--json").json] == ["other"]


def test_the_devices_of_a_deleted_network_go_a_few_at_a_time(installation, monkeypatch):
    """A hub that runs on the same database writes between two transactions."""
    installation.hub("network", "create", "home")
    for number in range(5):
        installation.hub("device", "create", f"lamp-{number}", "--network", "home")
    monkeypatch.setattr(sessions, "DELETED_AT_ONCE", 2)

    with HERE.session() as session:
        network = session.read(lambda tx: tx.network_by_name("home"))
        gone = list(session.empty(network.id))

    assert gone == [2, 2, 1]
    assert installation.hub("device", "list", "--json").json == []
