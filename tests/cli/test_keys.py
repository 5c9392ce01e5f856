"""``hub key``."""

import time

import pytest

from hub.cli.local import load_settings, with_store
from protocol.names import KeyAction


def create(installation, *words, **options):
    return installation.hub("key", "create", "--user", "dhadmin", "--label", "test", *words, **options)


def test_a_key_is_shown_once_and_works(installation):
    """The database knows it by its hash; lists show its beginning."""
    made = create(installation, "--preset", "full", "--json").json
    found = with_store(load_settings(), lambda store: store.find_key(made["key"]))

    assert (found.owner.login, found.key.label) == ("dhadmin", "test")
    for words in (("list",), ("show", "1"), ("list", "--json"), ("show", "1", "--json")):
        assert made["key"] not in installation.hub("key", *words).out
        assert made["key"][:6] in installation.hub("key", *words).out


def test_quiet_prints_the_key_alone(installation):
    """For a shell: KEY=$(hub key create … --quiet). Anything else goes to stderr."""
    installation.hub("user", "create", "ann", "--no-password")

    done = installation.hub(
        "key", "create", "--user", "ann", "--label", "x", "--action", "ManageUser", "--device", "lamp", "--quiet"
    )

    assert len(done.out) == 45
    assert with_store(load_settings(), lambda store: store.find_key(done.out.strip())) is not None
    assert "no administrator, so these have no effect: ManageUser" in done.err
    assert "no such device yet: lamp" in done.err


def test_permissions_are_what_was_asked_for(installation):
    """What is not limited is null, never an empty list."""
    installation.hub("network", "create", "home")
    words = ("--action", "getdevice", "--network", "home", "--device", "lamp", "--subnet", "10.0.0.0/8")

    made = create(installation, *words, "--domain", "Example.org", "--json").json
    full = installation.hub("key", "create", "--user", "1", "--label", "full", "--preset", "full", "--json").json

    assert made["permissions"] == [
        {
            "domains": ["example.org"],
            "subnets": ["10.0.0.0/8"],
            "actions": ["GetDevice"],
            "networkIds": [1],
            "deviceGuids": ["lamp"],
        }
    ]
    assert full["permissions"] == [
        {"domains": None, "subnets": None, "actions": None, "networkIds": None, "deviceGuids": None}
    ]


def test_presets_are_rights_that_belong_together(installation):
    """Single actions add to a preset; lists name the preset."""
    watch = create(installation, "--preset", "watch", "--action", "UpdateDeviceCommand", "--json").json
    installation.hub("key", "create", "--user", "1", "--label", "b", "--preset", "gateway")

    (permission,) = watch["permissions"]
    assert permission["actions"][-1] == "UpdateDeviceCommand"
    assert KeyAction.CREATE_DEVICE_COMMAND not in permission["actions"]
    assert "gateway" in installation.hub("key", "list").out


def test_expiry_is_a_duration_or_a_date(installation):
    """In UTC; lists say when it ends."""
    made = create(installation, "--preset", "watch", "--expires", "2999-12-31", "--json").json
    installation.hub("key", "create", "--user", "1", "--label", "b", "--preset", "watch", "--expires", "30d")

    ends_ms = installation.transact(lambda tx: tx.key(2).expires_ms)
    assert made["expirationDate"] == "2999-12-31T00:00:00.000"
    assert abs(ends_ms - time.time() * 1000 - 30 * 86_400_000) < 60_000
    assert "until 2999-12-31" in installation.hub("key", "show", "1").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what the key may do: --preset watch|control|gateway|full"),
        (("--action", "GetDevise"), "there is no action GetDevise; the nearest is GetDevice"),
        (("--preset", "watch", "--expires", "soon"), "'soon' is neither a duration like 30d nor a date"),
        (("--preset", "watch", "--expires", "2001-01-01"), "that has passed"),
        (("--preset", "watch", "--subnet", "10.0.0.0/99"), "10.0.0.0/99 is neither an address nor a block"),
        (("--preset", "watch", "--domain", "https://x"), "write a domain as a host name"),
        (("--preset", "watch", "--device", ""), "a guid must have 1 to 48 characters"),
    ],
)
def test_wrong_arguments_make_no_key(installation, words, told):
    """Exit code 2, and what would be right."""
    assert told in create(installation, *words, code=2).err
    assert installation.hub("key", "list", "--json").json == []


def test_a_label_is_used_once_per_owner(installation):
    """Otherwise nobody could tell which key to revoke."""
    create(installation, "--preset", "watch")

    assert "has a key with the label test already" in create(installation, "--preset", "watch", code=1).err


def test_a_revoked_key_is_gone(installation):
    """All that are named, or none."""
    create(installation, "--preset", "watch")

    assert "there is no access key 7" in installation.hub("key", "revoke", "1", "7", code=1).err
    assert len(installation.hub("key", "list", "--user", "dhadmin", "--json").json) == 1
    installation.hub("key", "revoke", "1")
    assert installation.hub("key", "list", "--json").json == []


def test_a_readable_key_can_be_shown_again(installation, monkeypatch):
    """Only where the installation keeps sealed copies, and only of keys made since."""
    create(installation, "--preset", "watch")
    told = installation.hub("key", "show", "1", "--secret", code=1).err
    monkeypatch.setenv("HUB_ACCESS_KEYS_READABLE", "true")

    made = installation.hub("key", "create", "--user", "1", "--label", "b", "--preset", "full", "--json").json

    assert "no readable copy" in told
    assert installation.hub("key", "show", "2", "--secret", "--json").json["key"] == made["key"]


def test_a_key_is_explained(installation):
    """In words, or as the API has it; by the rules of the hub."""
    installation.hub("network", "create", "home")
    installation.hub("user", "create", "ann", "--no-password", "--network", "home")
    words = ("--preset", "watch", "--subnet", "10.0.0.0/8", "--domain", "example.org")
    installation.hub("key", "create", "--user", "ann", "--label", "x", *words)

    def explain(*more, **options):
        return installation.hub("key", "explain", "1", *more, **options)

    at_home = ("--address", "10.1.1.1")
    assert explain("CreateDeviceCommand", "--json").json == {
        "allowed": False,
        "because": [
            {
                "key": 1,
                "permission": 0,
                "condition": "actions",
                "has": ["GetNetwork", "GetDevice", "GetDeviceState", "GetDeviceNotification", "GetDeviceCommand"],
            }
        ],
    }
    assert "subnets has 10.0.0.0/8, and the address is not known" in explain("GetDevice").out
    assert (
        "domains has example.org, and the origin is http://x"
        in explain("GetDevice", "--origin", "http://x", *at_home).out
    )
    assert "there is no device lamp" in explain("GetDevice", "--device", "lamp", *at_home).out
    assert explain("GetNetwork", "--network", "1", *at_home).out.splitlines() == [
        "allowed",
        "  the role is key",
        "  permission 0 of key 1 lets it through",
        "  user 2 is a member of network 1",
    ]
    assert "user 2 does not reach it" in explain("GetNetwork", "--network", "2", *at_home).out
    assert "only keys of administrators do that, and the owner is a client" in explain("ManageUser").out
    assert "a key does not do that; who does: device" in explain("device/get").out
    assert "there is no action Fly" in explain("Fly", code=2).err
    assert "nowhere is no address" in explain("GetDevice", "--address", "nowhere", code=2).err
    assert "give one of them" in explain("GetDevice", "--device", "lamp", "--network", "1", code=2).err


def test_a_key_that_lets_nobody_in_says_why(installation):
    """It has expired, or its owner may not come in; whatever its permissions are."""
    from protocol.names import UserStatus

    installation.hub("user", "create", "ann", "--no-password")
    installation.hub("key", "create", "--user", "ann", "--label", "x", "--preset", "full")
    installation.transact(lambda tx: tx.update_key(1, expires_ms=1))
    installation.transact(lambda tx: tx.update_user(2, status=UserStatus.DISABLED))

    said = installation.hub("key", "explain", "1", "GetDevice").out

    assert said.splitlines() == ["not allowed", "  key 1 has expired", "  user 2 is disabled"]
