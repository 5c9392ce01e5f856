"""``hub export`` and ``hub import``, from one database to another."""

import json
import os
import shutil
import stat
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.cli import importing
from hub.cli.importing import AT_ONCE
from protocol.entities import EquipmentState
from protocol.messages import Command, Notification
from protocol.names import CommandState
from tests import postgres
from tests.cli.conftest import Installation

NETWORKS = ["home", "garage", "ü/💡"]


def written(path, *lines):
    """A file with these lines behind a header."""
    header = {"hub": "0.1.0", "format": 1}
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    return str(path)


def exported(installation, *options):
    """The lines of an export, without the header."""
    done = installation.hub("export", "-", *options)
    return [json.loads(line) for line in done.out.splitlines()][1:]


@pytest.fixture
def other(installation, template, monkeypatch):
    """A second installation with the same pepper; ``at(one)`` goes there."""
    path = installation.path / "other"
    path.mkdir()
    for name in ("hub.db", "hub.pepper"):
        shutil.copy2(template / name, path / name)
    return Installation(path)


@pytest.fixture
def at(monkeypatch):
    def go(installation):
        monkeypatch.chdir(installation.path)
        return installation

    return go


@pytest.fixture
def filled(installation):
    """A bit of everything."""
    hub = installation.hub
    hub("network", "create", "home", "--new-key", "--description", "here")
    hub("network", "create", "garage")
    hub("user", "create", "ann", "--network", "home", "--password-stdin", "--data", "[1, true]", stdin="pw\n")
    hub("key", "create", "--user", "ann", "--label", "x", "--preset", "watch", "--network", "garage")
    hub("device", "create", "lamp", "--network", "home", "--class", "light", "--data", '{"a": 1.5}')
    hub("device", "create", "door")

    def more(tx):
        lamp = tx.device("lamp")
        tx.put_equipment_state(lamp.id, EquipmentState("bulb", 1_700_000_000_000, {"on": True}))
        ann = tx.user_by_login("ann")
        tx.append(Notification(10, lamp.id, "lamp", "watts", 1_700_000_000_000, b'{"v":60}'), lamp)
        set_it = Command(11, lamp.id, "lamp", "set", 1_700_000_000_001, ann.id, b"null", 60, "ok", b"1", True)
        for number, state in enumerate(CommandState):
            tx.append(replace(set_it, id=set_it.id + number, state=state), lamp)

    installation.transact(more)
    return installation


# --- there and back ---------------------------------------------------------------------------------------------------


def test_an_installation_is_the_same_elsewhere(filled, other, at):
    """With its secrets and messages; the second time nothing changes."""
    before = exported(filled, "--secrets", "--messages")
    filled.hub("export", "all.jsonl", "--secrets", "--messages")
    file = str(filled.path / "all.jsonl")

    first = at(other).hub("import", file, "--json").json
    second = other.hub("import", file, "--json").json
    after = exported(other, "--secrets", "--messages")

    assert before == after
    assert first["device"] == {"created": 2, "changed": 0, "unchanged": 0}
    assert first["user"] == {"created": 1, "changed": 0, "unchanged": 1}
    assert (first["command"]["created"], first["notification"]["created"]) == (len(CommandState), 1)
    assert all(of_kind["created"] == of_kind["changed"] == 0 for of_kind in second.values())


@pytest.fixture
def postgres_url():
    """An empty database on a PostgreSQL of its own."""
    with postgres.running() as server, server.database() as url:
        yield url


def test_an_installation_moves_to_postgresql_and_back(filled, other, at, monkeypatch, postgres_url):
    """With ids, secrets and messages, by the two commands and ``hub migrate``."""
    before = exported(filled, "--secrets", "--messages")
    filled.hub("export", "all.jsonl", "--secrets", "--messages")

    at(other)
    monkeypatch.setenv("HUB_DATABASE_URL", postgres_url)
    other.hub("migrate")
    other.hub("import", str(filled.path / "all.jsonl"))
    on_postgres = exported(other, "--secrets", "--messages")
    other.hub("export", "back.jsonl", "--secrets", "--messages")
    again = other.hub("import", "back.jsonl", "--json").json
    monkeypatch.delenv("HUB_DATABASE_URL")
    other.hub("import", "back.jsonl")
    back = exported(other, "--secrets", "--messages")

    assert before == on_postgres == back
    assert all(of_kind["created"] == of_kind["changed"] == 0 for of_kind in again.values())


def test_without_secrets_nothing_opens_anything(filled):
    """No key and no hash; those of networks, too."""
    lines = exported(filled)

    assert not [line for line in lines if {"key", "hash", "keyHash", "passwordHash"} & set(line)]
    assert {line["kind"] for line in lines} == {"network", "class", "user", "key", "device"}


def test_keys_that_do_not_come_along_are_made_anew(filled, other, at, monkeypatch):
    """And written where only the owner may read them; without the option nothing is half done."""
    filled.hub("export", "all.jsonl")
    file = str(filled.path / "all.jsonl")

    monkeypatch.setattr(importing, "LONGEST_S", 60.0)

    refused = at(other).hub("import", file, code=1)
    untouched = other.hub("network", "list", "--json").json
    other.hub("import", file, "--new-keys", "keys.jsonl")

    told = [json.loads(line) for line in (other.path / "keys.jsonl").read_text().splitlines()]
    assert "the access key x of ann is new here" in " ".join(refused.err.split())
    assert untouched == []
    assert [line["kind"] for line in told] == ["key", "device", "device"]
    assert stat.S_IMODE(os.stat(other.path / "keys.jsonl").st_mode) == 0o600
    lamp = told[2]
    assert other.transact(lambda tx: tx.device_key_matches(tx.device(lamp["guid"]).id, lamp["key"]))
    assert exported(other) == exported(at(filled))


def test_hashes_of_another_pepper_are_refused(filled, other, at):
    """They would lock everything out."""
    filled.hub("export", "all.jsonl", "--secrets")
    (other.path / "hub.pepper").write_bytes(os.urandom(32))

    refused = at(other).hub("import", str(filled.path / "all.jsonl"), code=1)
    other.hub("import", str(filled.path / "all.jsonl"), "--new-keys", "keys.jsonl")

    assert "another pepper" in refused.err
    assert len((other.path / "keys.jsonl").read_text().splitlines()) == 3


def test_only_what_differs_is_changed(filled, tmp_path):
    """What a line does not say stays; a user's networks become those of the line."""
    file = written(
        tmp_path / "some.jsonl",
        {"kind": "network", "name": "home", "description": "there"},
        {"kind": "user", "login": "ann", "networks": ["garage"]},
        {"kind": "device", "guid": "lamp", "class": {"name": "light", "version": "1.0"}},
    )
    before = {line.get("login"): line for line in exported(filled, "--secrets")}["ann"]

    counts = filled.hub("import", file, "--json").json

    after = {line.get("login"): line for line in exported(filled, "--secrets")}["ann"]
    assert counts["network"]["changed"] == counts["user"]["changed"] == counts["device"]["unchanged"] == 1
    assert after == before | {"networks": ["garage"]}


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not one JSON object"),
        ("[]", "not one JSON object"),
        ('{"kind": "lamp"}', "kind must be one of network, class"),
        ('{"kind": "network"}', "name is missing"),
        ('{"kind": "network", "name": ""}', "name must be a text of 1 to 128 characters"),
        ('{"kind": "network", "name": "x", "colour": 1}', "'colour' is no member of it"),
        ('{"kind": "user", "login": "x", "networks": ["nowhere"]}', "there is no network nowhere"),
        ('{"kind": "user", "login": "dhadmin", "role": "client"}', "the last active administrator"),
        ('{"kind": "key", "owner": "x", "label": "y", "permissions": []}', "there is no user x"),
        ('{"kind": "device", "guid": "x", "class": {"name": "c", "version": "1"}}', "there is no device class c 1"),
        ('{"kind": "notification", "device": "x", "id": 1, "timestamp": "2020-01-01", "name": "n"}', "no device x"),
        (
            '{"kind": "class", "name": "c", "version": "1", "equipment": [{"name": "n"}]}',
            "each item an object, in which",
        ),
    ],
)
def test_a_bad_line_is_named_and_its_transaction_undone(installation, monkeypatch, line, told):
    """By its number; what stands before it in its transaction is not done either."""
    monkeypatch.setattr(importing, "LONGEST_S", 60.0)
    file = installation.path / "bad.jsonl"
    written(file, {"kind": "network", "name": "before"})
    file.write_text(file.read_text() + line + "\n")

    done = installation.hub("import", "bad.jsonl", code=1)

    assert done.err.splitlines()[-1].startswith("error: line 3: ")
    assert told in done.err
    assert "nothing is carried out" in done.err
    assert installation.hub("network", "list", "--json").json == []


def test_transactions_before_the_bad_line_stay(installation, monkeypatch):
    """Importing again goes on from there."""
    monkeypatch.setattr(importing, "LONGEST_S", 60.0)
    networks = [{"kind": "network", "name": f"n{number}"} for number in range(AT_ONCE + 1)]
    file = written(installation.path / "bad.jsonl", *networks, {"kind": "?"})

    done = installation.hub("import", file, code=1)

    assert f"lines up to {AT_ONCE + 1} are carried out" in done.err
    assert f"line {AT_ONCE + 3}: " in done.err
    assert len(installation.hub("network", "list", "--json").json) == AT_ONCE


def test_a_transaction_ends_when_it_takes_long(installation, monkeypatch):
    """Each line has one of its own then, and all are carried out."""
    monkeypatch.setattr(importing, "LONGEST_S", 0.0)
    networks = [{"kind": "network", "name": f"n{number}"} for number in range(3)]

    done = installation.hub("import", written(installation.path / "x", *networks, {"kind": "?"}), code=1)

    assert "lines up to 4 are carried out" in done.err
    assert len(installation.hub("network", "list", "--json").json) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: not one JSON object"),
        ('{"kind": "network"}\n', "line 1: this is no export of a hub"),
        ('{"hub": "9.0", "format": 2}\n', "this version reads format 1"),
    ],
)
def test_what_is_no_export_is_told(installation, text, told):
    """By its first line."""
    assert told in installation.hub("import", "-", stdin=text, code=1).err


def test_files_are_never_overwritten(installation):
    """And one that cannot be finished is not left behind."""
    (installation.path / "taken").write_text("mine")

    taken = installation.hub("export", "taken", code=1)

    assert "exists already" in taken.err
    assert (installation.path / "taken").read_text() == "mine"
    assert "there is no file" in installation.hub("import", "nothing", code=1).err


# --- any hub ----------------------------------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
anything = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text | st.lists(text, max_size=2)
data = anything | st.dictionaries(text, anything, max_size=2)
some_networks = st.lists(st.sampled_from(NETWORKS), unique=True)


def many(what, *, by):
    return st.lists(what, max_size=4, unique_by=lambda line: line[by])


def line(kind, **members):
    return st.fixed_dictionaries({"kind": st.just(kind), **members})


pieces = st.lists(
    st.fixed_dictionaries({"name": text, "code": text, "type": text, "data": data}),
    max_size=3,
    unique_by=lambda piece: piece["code"],
)
permission = st.fixed_dictionaries(
    {
        "domains": st.none() | st.lists(text, max_size=2),
        "subnets": st.none(),
        "actions": st.none() | st.lists(st.sampled_from(["GetDevice", "GetNetwork"]), unique=True),
        "networks": st.none() | some_networks,
        "deviceGuids": st.none() | st.lists(text, max_size=2),
    }
)
hubs = st.tuples(
    st.just([{"kind": "network", "name": name} for name in NETWORKS]),
    many(
        line(
            "class",
            name=text,
            version=st.just("1"),
            isPermanent=st.booleans(),
            offlineTimeout=st.none() | st.integers(1, 9),
            data=data,
            equipment=pieces,
        ),
        by="name",
    ),
    many(
        line(
            "user",
            login=text,
            role=st.sampled_from(["admin", "client"]),
            status=st.sampled_from(["active", "disabled", "deleted"]),
            data=data,
            networks=some_networks,
        ),
        by="login",
    ),
    many(line("key", owner=st.just("dhadmin"), label=text, permissions=st.lists(permission, max_size=2)), by="label"),
    st.just([{"kind": "class", "name": "a class", "version": "1"}]),
    many(
        line(
            "device",
            guid=text,
            name=text,
            status=st.none() | text,
            data=data,
            isBlocked=st.booleans(),
            network=st.none() | st.sampled_from(NETWORKS),
            **{"class": st.just({"name": "a class", "version": "1"})},
        ),
        by="guid",
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=hubs)
def test_what_is_exported_and_imported_is_exported_again(parts, template, tmp_path_factory):
    """Whatever there is, line for line; importing it again changes nothing."""
    base = tmp_path_factory.mktemp("hubs")
    first, second = (_installed(template, base / name) for name in ("first", "second"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first.path)
        first.hub("import", written(base / "0", *(line for part in parts for line in part)), "--new-keys", "keys")
        first.hub("export", str(base / "1"), "--secrets")
        patch.chdir(second.path)
        second.hub("import", str(base / "1"))
        again = second.hub("import", str(base / "1"), "--json").json
        second.hub("export", str(base / "2"), "--secrets")

    assert (base / "1").read_text() == (base / "2").read_text()
    assert all(of_kind["created"] == of_kind["changed"] == 0 for of_kind in again.values())


def _installed(template, path):
    path.mkdir()
    for name in ("hub.db", "hub.pepper"):
        shutil.copy2(template / name, path / name)
    return Installation(path)


def test_a_command_without_a_state_has_the_one_that_its_update_proves(filled):
    """Exports of before there were states; an unknown word is a bad line."""
    line = {"kind": "command", "device": "lamp", "name": "on", "timestamp": "2020-01-01"}
    header = filled.hub("export", "-").out.splitlines()[0]

    def imported(**members):
        text = json.dumps({**line, **members})
        return filled.hub("import", "-", stdin=f"{header}\n{text}\n", code=1 if members.get("state") == "lost" else 0)

    imported(id=101)
    imported(id=102, updated=True)
    imported(id=103, updated=True, status="ok")
    imported(id=104, state="cancelled")

    lines = map(json.loads, filled.hub("export", "-", "--messages").out.splitlines())
    states = {one["id"]: one["state"] for one in lines if one.get("kind") == "command" and one["id"] > 100}
    assert states == {101: "queued", 102: "received", 103: "done", 104: "cancelled"}
    assert "state" in imported(id=105, state="lost").err
