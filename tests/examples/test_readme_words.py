"""Every name and number in README.md is one that the project has."""

import re

import pytest
import typer.main

from hub.cli import app
from hub.settings import COMPAT, DAY_S, HOUR_S, KIB, LIMITS, MIB, Settings
from hub.settings_places import NOT_SETTINGS, SPEC_NAMES, variable
from protocol.codecs import MAX_DEPTH, MAX_NODES
from protocol.names import CloseCode, Overflow, Subprotocol
from tests.examples import readme
from tests.examples.programs import ROOT

FIELDS = Settings.model_fields
DEFAULTS = Settings()
KNOWN_VARIABLES = {variable(name) for name in FIELDS} | set(SPEC_NAMES) | NOT_SETTINGS


def below(command):
    """The commands of a group, by name; also of one that makes them when they are asked for."""
    if not hasattr(command, "list_commands"):
        return {}
    return {name: command.get_command(None, name) for name in command.list_commands(None)}


def walk(command):
    """A command and everything below it."""
    yield command
    for one in below(command).values():
        yield from walk(one)


ROOT_COMMAND = typer.main.get_command(app)
OPTIONS = {name for command in walk(ROOT_COMMAND) for option in command.params for name in option.opts}


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(re.findall(r"HUB_[A-Z_]+", readme.TEXT)) - {"HUB_"}))
def test_a_variable_exists(name):
    """Each ``HUB_`` name is a setting, or one that programs beside the hub read."""
    assert name in KNOWN_VARIABLES


def test_the_commands_are_all_commands():
    """The list of commands is the list of commands."""
    line = next(span for span in readme.SPANS if span.startswith("hub serve · "))

    assert sorted(line.removeprefix("hub ").split(" · ")) == sorted(ROOT_COMMAND.commands)


def test_the_options_exist():
    """Each long option belongs to a command; ``--help`` to all of them."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", readme.CODE))

    assert {"--help", "--json", "--new-key"} <= named
    assert named - {"--help"} <= OPTIONS


def test_every_command_that_is_named_exists():
    """Also those in the middle of a sentence."""
    for span in readme.SPANS:
        words = span.split()
        if words[:1] == ["hub"] and len(words) > 1 and "·" not in span:
            command = ROOT_COMMAND
            for word in words[1:]:
                if not below(command):
                    break  # What follows are its arguments.
                assert word in below(command), span
                command = below(command)[word]


def test_commands_that_a_program_may_read_print_json():
    """``--json`` is there for every command that shows something; the others only change or run something."""
    silent = {"serve", "backup", "check", "delete", "revoke", "password", "reset-key", "add-user", "remove-user"}
    leaves = [command for command in walk(ROOT_COMMAND) if not hasattr(command, "commands")]

    without = {leaf.name for leaf in leaves if "--json" not in {name for option in leaf.params for name in option.opts}}

    assert without <= silent


def test_the_make_targets_exist():
    """What is to be made can be made."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", readme.CODE))

    assert {"run", "test"} <= named <= targets


def test_the_close_codes_exist():
    """A number that follows a closing, or stands for one in the table, is a code that the hub sends."""
    codes = {int(found) for found in re.findall(r"(?<![\d,.])(10[01]\d|4[04]\d\d)(?![\d,])", readme.TEXT)}

    assert {1009, 4008, 4401} <= codes <= set(CloseCode)


def test_the_words_of_the_wire_exist():
    """Subprotocols and policies by their names."""
    offered = set(re.findall(r"hub\.\d\.\w+", readme.TEXT))
    policies = re.search(r"`overflow: ([\w-]+)` or `([\w-]+)`", readme.TEXT).groups()

    assert offered == set(Subprotocol)
    assert set(policies) | {"disconnect"} == set(Overflow)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:examples|docs|protocol|hub)/[\w./-]*", readme.CODE))))
def test_a_path_exists(path):
    """Files and directories that are named are there."""
    assert (ROOT / path).exists()


def test_the_exit_codes_are_the_commands_own():
    """As ``hub --help`` tells them, in other words for the last."""
    told = re.search(r"Exit codes: (.*?)\n*$", readme.TEXT.split("## Settings")[0].split("```sh")[-2], re.S)[1]
    helped = re.search(r"Exit codes: (.*)", ROOT_COMMAND.help)[1]

    assert re.findall(r"\d \w+", told)[:3] == re.findall(r"\d \w+", helped)[:3]
    assert "3 could not start" in " ".join(told.split())


# --- settings and their defaults --------------------------------------------------------------------------------------

UNSET = {"unset", "generated and printed once", "a file beside the database"}
EMPTY = {"none", "own host"}


def in_words(value):
    """How the README may write a default."""
    if value is None or value == "":
        return UNSET
    if isinstance(value, list):
        return {",".join(value)} if value else EMPTY
    if isinstance(value, int) and value and not value % HOUR_S:
        return {f"{value // DAY_S} days", f"{value // HOUR_S} hours"}
    return {str(value)}


def variables(text):
    return re.findall(r"`(HUB_[A-Z_]+)`", text)


def stated(names, default):
    """Each variable of a row with its default; what is said once counts for all of them."""
    parts = default.replace("`", "").split(", ")
    return zip(names, parts if len(parts) > 1 else parts * len(names), strict=True)


STATED = [pair for names, default, _ in readme.rows("Setting") for pair in stated(variables(names), default)]


@pytest.mark.parametrize(("name", "default"), STATED)
def test_a_default_is_as_the_table_says(name, default):
    """The table of settings and the settings agree."""
    field = next(field for field in FIELDS if variable(field) == name)

    assert default in in_words(getattr(DEFAULTS, field))


def test_the_choices_in_the_remarks_exist():
    """Where a remark names other values, the setting takes them."""
    remarks = {variables(names)[0]: remark for names, _, remark in readme.rows("Setting")}

    assert re.findall("`([a-z-]+)`", remarks["HUB_ANONYMOUS_REGISTRATION"]) == ["off", "open"]
    for choice in ("off", "open"):
        assert Settings(anonymous_registration=choice).anonymous_registration == choice
    assert "`queued`" in remarks["HUB_DURABILITY"]
    assert Settings(durability="queued").durability == "queued"
    assert set(re.findall("`([a-z]+)`", remarks["HUB_COMPAT"])) == set(COMPAT) - {""}
    assert set(re.findall("`([a-z]+)`", remarks["HUB_LIMITS"])) == set(LIMITS) - {"default"}
    assert f"{DEFAULTS.retention_rows_per_device:,} of a kind" in remarks["HUB_RETENTION_COMMANDS_S"]


# --- limits -----------------------------------------------------------------------------------------------------------


def limits(of):
    """What the table of limits has to say."""
    return {
        "a message": f"{of.message_bytes // KIB} KiB; {of.message_bytes_anonymous // KIB} KiB before authentication",
        "fragments of a message": f"{of.fragments}",
        "depth and values of a JSON value": f"{MAX_DEPTH}, {MAX_NODES:,}; integers of 64 bits",
        "handshake; authentication": f"{of.handshake_s:g} s; {of.authenticate_client_s:g} s (`/client`), "
        f"{of.authenticate_device_s:g} s (`/device`), {of.anonymous_requests} requests",
        "silence": f"ping after {of.ping_interval_s:g} s, then {of.ping_timeout_s:g} s",
        "bytes waiting for a socket": f"{of.outbox_bytes // MIB} MiB, {of.write_wait_s:g} s without progress",
        "subscriptions per connection, devices in one": f"{of.subscriptions_per_connection}, "
        f"{of.devices_per_subscription:,}",
        "requests waiting for their commit": f"{of.in_flight_requests} per connection",
        "connections": "80 % of the file descriptors, at most 16,000",
        "connections of an address, a user, a device": f"{of.connections_per_address:,}, {of.connections_per_user:,}, "
        f"{of.connections_per_device}",
        "handshakes": f"{of.accepts_per_s:g}/s; {of.accepts_per_key_per_s:g}/s per key, "
        f"{of.accept_burst_per_key} at once",
        "messages of a socket": f"{of.messages_per_s:,}/s, {of.message_burst:,} at once, "
        f"{of.message_bytes_per_s // MIB} MiB/s",
        "bytes waiting for all sockets": "25 % of RAM, at most 512 MiB",
        "open commands of a device": f"{of.open_commands_per_device:,}",
    }


OUTCOMES = {
    "a message": ("message_bytes", "message_bytes_anonymous"),
    "fragments of a message": ("fragments",),
    "handshake; authentication": ("authenticate_client_s", "authenticate_device_s", "anonymous_requests"),
    "silence": ("ping_timeout_s",),
    "bytes waiting for a socket": ("outbox_bytes", "write_wait_s"),
    "subscriptions per connection, devices in one": ("subscriptions_per_connection", "devices_per_subscription"),
    "connections": ("connections",),
    "handshakes": ("accepts_per_s", "accepts_per_key_per_s"),
    "messages of a socket": ("throttled_s",),
    "bytes waiting for all sockets": ("send_memory_bytes",),
    "open commands of a device": ("open_commands_per_device",),
}
"""The settings whose descriptions say the same outcome."""


def test_the_limits_are_the_defaults():
    """The table of limits and the settings agree."""
    assert {name: default for name, default, _ in readme.rows("Limit")} == limits(DEFAULTS)


@pytest.mark.parametrize("limit", OUTCOMES)
def test_what_happens_at_a_limit_is_what_its_setting_says(limit):
    """The same code in the table and in ``hub config show``."""
    outcome = next(last for name, _, last in readme.rows("Limit") if name == limit)
    code = re.search(r"\d{3,4}", outcome)[0]

    for field in OUTCOMES[limit]:
        assert code in FIELDS[field].description


def test_numbers_in_the_promises_are_the_defaults():
    """Those that a sentence repeats."""
    promises = " ".join(readme.TEXT.split("## What it promises")[1].split("\n|")[0].split())

    assert f"does not answer within {DEFAULTS.database_wait_s:g} s" in promises
    assert f"at most {DEFAULTS.outbox_bytes // MIB} MiB" in promises
