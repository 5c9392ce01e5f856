"""``hub user``."""

import pytest

from hub.passwords import verify_password
from protocol.names import KeyType


def login_record(installation, login):
    """The stored password of a user."""
    from hub.cli.local import load_settings, with_store

    return with_store(load_settings(), lambda store: store.find_login(login))


def test_a_user_is_made_with_networks_and_password(installation):
    """The password comes by stdin and is stored as a hash only."""
    installation.hub("network", "create", "home")
    made = installation.hub(
        "user",
        "create",
        "ann",
        "--network",
        "home",
        "--data",
        '{"a": 1}',
        "--password-stdin",
        "--json",
        stdin="geheim\n",
    ).json

    shown = installation.hub("user", "show", "ann", "--json").json
    record = login_record(installation, "ann")

    assert made == {
        "id": 2,
        "login": "ann",
        "role": "client",
        "status": "active",
        "lastLogin": None,
        "networks": [1],
        "data": {"a": 1},
    }
    assert shown == {**made, "accessKeys": 0}
    assert verify_password("geheim", record.password_hash).correct


def test_people_read_tables(installation):
    """Without --json there is a line for each, and everything about one."""
    installation.hub("user", "create", "ann", "--no-password", "--data", '["é"]')

    assert "dhadmin" in installation.hub("user", "list").out
    assert '["é"]' in installation.hub("user", "show", "2").out


def test_a_login_is_unique_even_among_deleted_users(installation):
    """A user whose status is deleted keeps the login."""
    installation.hub("user", "create", "ann", "--no-password")
    installation.hub("user", "update", "ann", "--status", "deleted")

    told = installation.hub("user", "create", "ann", "--no-password", code=1).err
    renamed = installation.hub("user", "update", "dhadmin", "--login", "ann", code=1).err

    assert "there is a user ann already" in told
    assert "there is a user ann already" in renamed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "x" * 65, "--no-password"), "the login must have 1 to 64 characters; this one has 65"),
        (("create", "  ", "--no-password"), "the login must have 1 to 64 characters; this one has 0"),
        (("create", "a\0b", "--no-password"), "the login is not valid UTF-8 text"),
        (("create", "a", "--no-password", "--data", "{"), "--data: not JSON"),
        (("create", "a", "--no-password", "--data", "NaN"), "--data: not JSON"),
        (("create", "a", "--no-password", "--password-stdin"), "give one of them"),
        (("create", "a"), "there is no terminal to ask"),
        (("create", "a", "--password-stdin"), "a password has 1 to 1024 characters"),
        (("update", "dhadmin"), "nothing to change"),
        (("delete", "dhadmin"), "Say so with --yes"),
        (("password", "dhadmin", "--remove", "--password-stdin"), "give one of them"),
    ],
)
def test_wrong_arguments_change_nothing(installation, words, told):
    """Exit code 2, and what would be right."""
    assert told in installation.hub("user", *words, code=2).err
    assert len(installation.hub("user", "list", "--json").json) == 1


@pytest.mark.parametrize(
    "words", [("show", "bob"), ("show", "17"), ("update", "bob", "--role", "admin"), ("delete", "bob", "--yes")]
)
def test_an_unknown_user_is_a_failure(installation, words):
    """By login or by id."""
    assert "there is no user" in installation.hub("user", *words, code=1).err


def test_an_unknown_network_undoes_the_user(installation):
    """All of a command happens, or nothing."""
    installation.hub("user", "create", "ann", "--no-password", "--network", "nowhere", code=1)

    assert len(installation.hub("user", "list", "--json").json) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("delete", "dhadmin", "--yes"),
        ("update", "dhadmin", "--status", "disabled"),
        ("update", "dhadmin", "--status", "locked-out"),
        ("update", "dhadmin", "--role", "client"),
    ],
)
def test_the_last_active_administrator_stays(installation, words):
    """Nobody locks everybody out; with a second administrator the first may go."""
    installation.hub("user", "create", "gone", "--role", "admin", "--status", "disabled", "--no-password")

    told = installation.hub("user", *words, code=1).err
    installation.hub("user", "update", "gone", "--status", "active")
    installation.hub("user", *words)

    assert "dhadmin is the last active administrator" in told


def test_a_user_is_changed(installation):
    """Memberships come and go one by one; null clears the data."""
    for name in ("home", "garage"):
        installation.hub("network", "create", name)
    installation.hub("user", "create", "ann", "--no-password", "--network", "home", "--data", "1")

    words = ("--login", "anna", "--role", "admin", "--data", "null", "--network", "garage", "--remove-network", "home")
    changed = installation.hub("user", "update", "ann", *words, "--json").json

    assert (changed["login"], changed["role"], changed["data"], changed["networks"]) == ("anna", "admin", None, [2])
    assert [user["login"] for user in installation.hub("user", "list", "--network", "garage", "--json").json] == [
        "anna"
    ]


def test_a_login_of_digits_is_found_before_an_id(installation):
    """What somebody calls themselves counts first."""
    installation.hub("user", "create", "1", "--no-password")

    assert installation.hub("user", "show", "1", "--json").json["id"] == 2


def test_a_password_is_set_and_removed(installation):
    """A new password ends the sessions of the old one."""
    before = installation.transact(lambda tx: tx.user_by_login("dhadmin").password_changes)

    installation.hub("user", "password", "dhadmin", "--password-stdin", stdin="neu\r\n")
    record = login_record(installation, "dhadmin")
    installation.hub("user", "password", "dhadmin", "--remove")

    assert verify_password("neu", record.password_hash).correct
    assert record.user.password_changes > before
    assert login_record(installation, "dhadmin").password_hash is None


def test_a_new_password_ends_session_keys(installation):
    """Those that came of the old one; a program's keys stay."""
    insert = {"user_id": 1, "permissions": []}
    installation.transact(lambda tx: tx.insert_key(label="session", type=KeyType.SESSION, **insert))
    installation.transact(lambda tx: tx.insert_key(label="program", **insert))

    installation.hub("user", "password", "dhadmin", "--password-stdin", stdin="neu")

    labels = [key["label"] for key in installation.hub("key", "list", "--json").json]
    assert ("session" in labels, "program" in labels) == (False, True)


def test_a_deleted_user_is_gone_with_keys(installation):
    """Also for the keys' list."""
    installation.hub("user", "create", "ann", "--no-password")
    installation.hub("key", "create", "--user", "ann", "--label", "x", "--preset", "full")

    installation.hub("user", "delete", "ann", "--yes")

    assert installation.hub("key", "list", "--json").json == []
    assert len(installation.hub("user", "list", "--json").json) == 1


def test_text_from_the_database_cannot_drive_the_terminal(installation):
    """A login may hold anything; shown, it is text."""
    installation.transact(lambda tx: tx.update_user(1, login="a\x1b[2J[bold]b"))

    shown = installation.hub("user", "list").out

    assert "a\\x1b[2J[bold]b" in shown
