"""The command itself: it starts quickly, explains itself, and ends with the right code."""

import asyncio
import subprocess
import sys

import pytest

from hub.cli.local import load_settings
from protocol import API_VERSION, __version__

from .conftest import ROOT, run

HEAVY = {
    "sqlalchemy",
    "alembic",
    "uvicorn",
    "websockets",
    "pydantic",
    "pydantic_settings",
    "argon2",
    "structlog",
    "asyncio",
}

COMMANDS = [
    (),
    ("serve",),
    *[("user", verb) for verb in ("create", "list", "show", "update", "delete", "password")],
    *[("network", verb) for verb in ("create", "list", "show", "update", "delete", "add-user", "remove-user")],
    *[("device", verb) for verb in ("create", "list", "show", "update", "delete")],
    *[("key", verb) for verb in ("create", "list", "show", "revoke")],
    ("tail",),
    ("send",),
    ("backup",),
    ("migrate",),
    ("doctor",),
    *[("config", verb) for verb in ("show", "check")],
    ("version",),
]


def test_help_loads_nothing_heavy():
    """Neither a database library nor a server nor the settings are needed to print a help text."""
    program = (
        "import sys\nfrom hub.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert not HEAVY & set(done.stderr.splitlines())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(nowhere, words):
    """``--help`` works everywhere, without an installation, and names no option twice negated."""
    told = nowhere.hub(*words, "--help").out

    assert "Usage:" in told
    assert "--no-no-" not in told


async def test_a_wrong_command_is_a_usage_error(tmp_path):
    """Exit code 2, and a word on how to go on."""
    unknown, missing = await asyncio.gather(run("nope", cwd=tmp_path), run("send", "lamp", cwd=tmp_path))

    assert (unknown.code, missing.code) == (2, 2)
    assert "nope" in unknown.err
    assert "COMMAND" in missing.err


def test_versions(nowhere):
    """Of the hub and of the API, for people and for programs."""
    assert nowhere.hub("--version").out == f"hub {__version__}\n"
    assert f"api {API_VERSION}" in nowhere.hub("version").out
    assert nowhere.hub("version", "--json").json["hub"] == __version__


async def test_a_command_does_not_make_a_database_by_mistake(tmp_path):
    """In the wrong directory it says so, and leaves nothing behind."""
    done = await run("user", "list", cwd=tmp_path)

    assert (done.code, done.out) == (1, "")
    assert "there is no database at hub.db" in done.err
    assert list(tmp_path.iterdir()) == []


async def test_settings_that_cannot_be_used_end_every_command(tmp_path):
    """Exit code 2, a line for each problem, no traceback."""
    done = await run("serve", "--port", "70000", cwd=tmp_path, HUB_PROT="1")

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: HUB_PROT (environment): unknown; the nearest is HUB_PORT",
        "error: HUB_PORT (command line): must be at most 65535",
    ]


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_a_database_in_memory_is_out_of_reach(nowhere, monkeypatch, stdin):
    """It lives in the hub's process alone."""
    monkeypatch.setenv("HUB_DATABASE_URL", "sqlite:///:memory:")

    assert "in the memory of the hub" in nowhere.hub("user", "list", code=1, stdin=stdin).err


def test_a_missing_pepper_is_not_made_anew(installation):
    """A new one would silently make every key worthless."""
    (installation.path / "hub.pepper").unlink()

    assert "hub.pepper is missing" in installation.hub("key", "list", code=1).err
    assert not (installation.path / "hub.pepper").exists()


def test_the_database_may_be_elsewhere(installation, tmp_path_factory, monkeypatch):
    """--database is the setting HUB_DATABASE_URL for one command."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    users = installation.hub("user", "list", "--json", "--database", f"sqlite:///{installation.path}/hub.db").json

    assert [user["login"] for user in users] == ["dhadmin"]


def test_options_are_the_strongest_settings(nowhere, monkeypatch):
    """What is typed wins over what is set."""
    monkeypatch.setenv("HUB_PORT", "1")

    assert (load_settings(port=2, host=None).port, load_settings(port=None).port) == (2, 1)


def test_a_database_of_a_newer_version_is_left_alone(installation):
    """The store's words, exit code 1, no traceback."""
    import sqlite3

    connection = sqlite3.connect(installation.path / "hub.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    told = installation.hub("user", "list", code=1).err

    assert "hub.db" in told
    assert "newer" in told


def test_a_locked_database_is_told(installation, monkeypatch):
    """Somebody else holds it for longer than the command waits."""
    import sqlite3

    monkeypatch.setenv("HUB_DATABASE_WAIT_S", "0.2")
    connection = sqlite3.connect(installation.path / "hub.db")
    connection.execute("BEGIN IMMEDIATE")

    told = installation.hub("network", "create", "home", code=1).err

    connection.close()
    assert "locked" in told
