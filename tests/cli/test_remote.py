"""Commands with ``--url``: on a real hub, over real HTTP, from a directory that has no database."""

import asyncio
import json
import re
import ssl
from pathlib import Path

import httpx
import pytest

from hub.cli.remote import RemoteTx
from hub.cli.remote_values import device_number, guid_of
from hub.cli.rest import Rest, rest_url
from tests.certificates import self_signed
from tests.cli.conftest import ROOT, Done, Installation
from tests.documents import check_exchange
from tests.edge_client import Response
from tests.rest import http
from tests.rest.conftest import Site, StartSite, cheap_passwords, start_site, templates

__all__ = ["cheap_passwords", "start_site", "templates"]


class Remote:
    """A hub, and commands that work on it from elsewhere."""

    def __init__(self, site: Site, elsewhere: Installation) -> None:
        self.site = site
        self.url = f"http://127.0.0.1:{site.hub.port}"
        self._elsewhere = elsewhere

    async def hub(self, *words: str, key: str = "everything", **options) -> Done:
        """Run a command with the key of the world that has this name."""
        at = ("--url", self.url, "--key", self.site.secrets[key])
        return await self.plainly(*words, *at, **options)

    async def plainly(self, *words: str, **options) -> Done:
        return await asyncio.to_thread(self._elsewhere.hub, *words, **options)


@pytest.fixture(autouse=True)
def told(monkeypatch) -> None:
    """What commands ask, and what they are answered, is held against the OpenAPI document."""
    send = httpx.Client.send

    def checked(self: httpx.Client, request: httpx.Request, **options) -> httpx.Response:
        answer = send(self, request, **options)
        path = request.url.raw_path.decode().partition("/rest")[2]
        found = Response(answer.status_code, "", dict(answer.headers), answer.content)
        check_exchange(request.method, path, request.headers.items(), request.content, found)
        return answer

    monkeypatch.setattr(httpx.Client, "send", checked)


@pytest.fixture
async def remote(nowhere, start_site: StartSite, monkeypatch) -> Remote:
    site = await start_site(rest_requests_per_s=0.0)
    elsewhere = Path(nowhere.path) / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return Remote(site, Installation(elsewhere))


# --- what commands do -------------------------------------------------------------------------------------------------


async def test_a_user_from_creation_to_deletion(remote):
    """Each step is seen by the next; the password works where users log in."""
    made = await remote.hub("user", "create", "ann", "--network", "home", "--password-stdin", "--json", stdin="pw-1\n")
    await remote.hub("user", "update", "ann", "--network", "away", "--data", '{"a": 1}', "--role", "admin")
    await remote.hub("user", "password", "ann", "--password-stdin", stdin="ann-pw\n")
    shown = await remote.hub("user", "show", "ann", "--json")
    current = await remote.site.by_login("ann").get("/user/current")
    await remote.hub("user", "delete", "ann", "--yes")
    listed = await remote.hub("user", "list", "--json")

    assert made.json["networks"] == [1]
    assert (shown.json["networks"], shown.json["data"], shown.json["role"]) == ([1, 2], {"a": 1}, "admin")
    assert current.status == 200
    assert [user["login"] for user in listed.json] == ["admin", "alice", "bob"]


async def test_a_user_with_the_status_deleted_is_found(remote):
    """As it is in a database."""
    await remote.hub("user", "update", "bob", "--status", "deleted")

    shown = await remote.hub("user", "show", "bob", "--json")
    again = await remote.hub("user", "create", "bob", "--no-password", code=1)

    assert shown.json["status"] == "deleted"
    assert "there is a user bob already" in again.err


async def test_a_network_from_creation_to_deletion(remote):
    """With its members and its key."""
    made = await remote.hub("network", "create", "lab", "--new-key", "--json")
    await remote.hub("network", "add-user", "lab", "alice", "bob")
    await remote.hub("network", "remove-user", "lab", "bob")
    await remote.hub("network", "update", "lab", "--name", "labs", "--description", "upstairs")
    shown = await remote.hub("network", "show", "labs", "--secret", "--json")
    await remote.hub("network", "update", "labs", "--remove-key")
    without = await remote.hub("network", "show", "labs", "--json")
    await remote.hub("network", "delete", "labs", "--yes")
    listed = await remote.hub("network", "list", "--json")

    assert (shown.json["users"], shown.json["key"]) == (["alice"], made.json["key"])
    assert shown.json["description"] == "upstairs"
    assert not without.json["hasKey"]
    assert [network["name"] for network in listed.json] == ["home", "away"]


async def test_a_device_from_creation_to_deletion(remote):
    """A guid may have any letter in it; a network with a key is joined all the same."""
    await remote.hub("device", "create", "a/b ?ü", "--network", "away", "--class", "new", "--json")
    await remote.hub("device", "update", "a/b ?ü", "--network", "home", "--block", "--data", "[1]", "--name", "it")
    shown = await remote.hub("device", "show", "a/b ?ü", "--json")
    await remote.hub("device", "update", "a/b ?ü", "--no-network", "--unblock")
    listed = await remote.hub("device", "list", "--json")
    await remote.hub("device", "delete", "a/b ?ü", "--yes")

    assert (shown.json["name"], shown.json["isBlocked"], shown.json["data"]) == ("it", True, [1])
    assert (shown.json["network"]["name"], shown.json["deviceClass"]["name"]) == ("home", "new")
    assert (listed.json[0]["id"], listed.json[0]["network"]) == ("a/b ?ü", None)
    assert (await remote.hub("device", "show", "a/b ?ü", code=1)).err.startswith("error: there is no device")


async def test_an_access_key_from_creation_to_revocation(remote):
    """It works until it is revoked, and only within its rights."""
    words = ("--user", "alice", "--label", "x", "--preset", "watch", "--network", "home", "--device", "lamp")
    made = await remote.hub("key", "create", *words, "--expires", "30d", "--json")
    known = remote.site.client((("Authorization", f"Bearer {made.json['key']}"),))
    before = await known.get("/device/lamp")
    shown = await remote.hub("key", "show", str(made.json["id"]), "--json")
    listed = await remote.hub("key", "list", "--user", "alice", "--json")
    everybody = await remote.hub("key", "list", "--json")
    secret = await remote.hub("key", "show", str(made.json["id"]), "--secret", code=1)
    await remote.hub("key", "revoke", str(made.json["id"]))
    after = await known.get("/device/lamp")

    assert (before.status, after.status) == (200, 401)
    assert shown.json["permissions"][0]["networkIds"] == [1]
    assert shown.json["expirationDate"] == made.json["expirationDate"]
    assert [key["label"] for key in listed.json] == ["alices", "lamp-only", "x"]
    assert len(everybody.json) == 4
    assert "no readable copy" in secret.err


async def test_an_application_elsewhere_from_registration_to_deletion(remote):
    """All but its secret, which is shown to a person who logs in."""
    words = ("--domain", "wall.example.org", "--redirect-uri", "https://wall.example.org/cb")
    made = await remote.hub("oauth", "create", "wall", *words, "--json")
    await remote.hub("oauth", "update", "wall", "--name", "Wall", "--subnet", "10.0.0.0/8")
    shown = await remote.hub("oauth", "show", "wall", "--json")
    secret = await remote.hub("oauth", "show", "wall", "--secret", code=1)
    body = {"client": {"oauthId": "wall"}, "type": "Token", "redirectUri": "r", "scope": "GetDevice"}
    granted = await remote.site.by_login("alice").post("/user/current/oauth/grant", body)
    listed = await remote.hub("oauth", "grants", "--client", "wall", "--json")
    await remote.hub("oauth", "revoke", str(granted.json()["id"]))
    await remote.hub("oauth", "delete", "wall", "--yes")

    assert (shown.json["name"], shown.json["subnet"]) == ("Wall", "10.0.0.0/8")
    assert [grant["scope"] for grant in listed.json] == ["GetDevice"]
    assert (len(made.json["secret"]), "shows no secret" in secret.err) == (24, True)
    assert (await remote.hub("oauth", "list", "--json")).json == []
    key = remote.site.client(http.key(granted.json()["accessKey"]["key"]))
    assert (await key.get("/info")).status == 401


async def test_the_key_comes_from_the_environment(remote, monkeypatch):
    """Where it is the environment that says which hub, the command says it too; ``--database`` goes before it."""
    monkeypatch.setenv("HUB_URL", remote.url)
    monkeypatch.setenv("HUB_KEY", remote.site.secrets["everything"])

    listed = await remote.plainly("network", "list", "--json")
    local = await remote.plainly("network", "list", "--database", "sqlite:///other.db", code=1)

    assert len(listed.json) == 2
    assert remote.url in listed.err
    assert "there is no database" in local.err


async def test_requests_that_are_too_many_are_made_later(nowhere, start_site):
    """The hub says when to come back."""
    site = await start_site(rest_requests_per_s=50.0, rest_request_burst=1)

    listed = await Remote(site, nowhere).hub("user", "list", "--json")

    assert len(listed.json) == 3


# --- whole hubs -------------------------------------------------------------------------------------------------------


async def test_a_hub_is_exported_and_imported_over_rest(remote, nowhere):
    """Into a database, and back to the hub, which has all of it; the second time nothing is made."""
    at = ("--url", remote.url, "--key", remote.site.secrets["everything"])
    await remote.site.by_device("lamp").post("/device/lamp/notification", {"notification": "watts", "parameters": [1]})
    await remote.hub("export", "all.jsonl", "--messages", "--secrets")
    lines = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()][1:]

    entities = [line for line in lines if line["kind"] not in ("notification", "command")]
    Path("entities.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *entities)))
    unchanged = await remote.plainly("import", "entities.jsonl", *at, "--json")
    refused = await remote.plainly("import", "all.jsonl", *at, code=1)

    assert {line["kind"] for line in lines} == {"network", "class", "user", "key", "device", "notification"}
    assert next(line for line in lines if line.get("name") == "away")["key"] == "away-key"
    assert next(line for line in lines if line["kind"] == "notification")["parameters"] == [1]
    assert all(counts["created"] == counts["changed"] == 0 for counts in unchanged.json.values())
    assert "messages cannot be imported over the REST API" in " ".join(refused.err.split())


async def test_an_import_over_rest_makes_what_is_missing(remote):
    """Everything but states of equipment, which it says."""
    Path("new.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *NEW)))

    without = await remote.hub("import", "new.jsonl", code=1)
    first = await remote.hub("import", "new.jsonl", "--new-keys", "keys.jsonl", "--json")
    second = await remote.hub("import", "new.jsonl", "--json")
    device = json.loads(Path("keys.jsonl").read_text().splitlines()[-1])
    own = await remote.site.client((("Auth-DeviceID", "d1"), ("Auth-DeviceKey", device["key"]))).get("/device/d1")
    user = await remote.hub("user", "show", "zoe", "--json")

    assert "line 5: the access key k of zoe is new here" in " ".join(without.err.split())
    assert "lines up to 4 are carried out" in without.err
    assert first.json["device"]["created"] == first.json["key"]["created"] == 1
    assert all(counts["created"] == counts["changed"] == 0 for counts in second.json.values())
    assert own.status == 200
    assert user.json["networks"] == [3]
    assert "states of equipment cannot be set over the REST API" in first.err


HEADER = {"hub": "0.1.0", "format": 1}
NEW = [
    {"kind": "network", "name": "lab", "key": "k"},
    {
        "kind": "class",
        "name": "c",
        "version": "1",
        "isPermanent": True,
        "offlineTimeout": 5,
        "data": {"a": 1},
        "equipment": [{"name": "n", "code": "x", "type": "t", "data": [1]}],
    },
    {"kind": "user", "login": "zoe", "role": "admin", "data": [1], "googleLogin": "z@g", "networks": ["lab"]},
    {
        "kind": "key",
        "owner": "zoe",
        "label": "k",
        "expires": "2099-01-01T00:00:00.000",
        "permissions": [{"networks": ["lab"], "actions": ["GetDevice"]}],
    },
    {
        "kind": "device",
        "guid": "d1",
        "name": "D",
        "status": "ok",
        "data": {"b": None},
        "isBlocked": False,
        "network": "lab",
        "class": {"name": "c", "version": "1"},
        "states": [{"code": "x", "timestamp": "2020-01-01T00:00:00.000", "parameters": 1}],
    },
]


# --- what does not work is told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words", "told"),
    [
        ("alices", ["user", "list"], "the access key may not do this: it lacks ManageUser"),
        ("alices", ["network", "create", "x"], "lacks ManageNetwork"),
        ("lamp-only", ["device", "show", "door"], "there is no device door"),
        ("everything", ["user", "password", "bob", "--remove"], "a password cannot be removed over the REST API"),
        ("everything", ["user", "update", "admin", "--role", "client"], "the last active administrator"),
    ],
)
async def test_refusals_say_what_is_missing(remote, key, words, told):
    """One line, no traceback."""
    done = await remote.hub(*words, key=key, code=1)

    assert told in " ".join(done.err.split())


async def test_a_wrong_key_is_told(remote):
    """Not as if something were forbidden."""
    done = await remote.plainly("user", "list", "--url", remote.url, "--key", "wrong", code=1)

    assert "does not take the access key (--key, HUB_KEY)" in done.err


async def test_an_address_without_a_hub_is_told(remote, unused_tcp_port):
    """Nothing there, or something else."""
    nobody = await remote.plainly("user", "list", "--url", f"http://127.0.0.1:{unused_tcp_port}", "--key", "x", code=1)
    other = await remote.plainly("user", "list", "--url", f"{remote.url}/nothing", "--key", "x", code=1)
    tls = await remote.plainly("user", "list", "--url", remote.url.replace("http", "https"), "--key", "x", code=1)

    assert "no hub answers at" in nobody.err
    assert "no REST API of a hub" in other.err or "is no hub" in other.err
    assert "no TLS at" in tls.err


async def test_a_certificate_that_nobody_vouches_for_is_told(nowhere, tmp_path):
    """And what to do about it; the key is not sent."""
    heard = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*self_signed(tmp_path))

    async def listen(reader, writer):
        heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await asyncio.to_thread(nowhere.hub, "user", "list", "--url", url, "--key", "s3cret", code=1)

    told = " ".join(done.err.split())
    assert "is not trusted" in told
    assert "SSL_CERT_FILE" in told
    assert not any(heard)


@pytest.mark.parametrize(
    ("url", "warned"),
    [("http://hub.invalid", True), ("https://hub.invalid", False), ("http://127.0.0.1", False)],
)
def test_a_key_that_goes_over_a_plain_connection_is_warned_of(capsys, url, warned):
    """Not where the connection does not leave this computer."""
    Rest(url, "s3cret").close()

    told = capsys.readouterr().err
    assert ("is not encrypted" in told) is warned
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "http://h", "--key", "k", "--database", "sqlite:///x"], "--database and --url"),
        (["--key", "k"], "--key is for a hub elsewhere"),
        (["--url", "http://h"], "needs an access key"),
        (["--url", "ftp://h", "--key", "k"], "must look like"),
    ],
)
def test_places_that_make_no_sense_are_told(nowhere, words, told):
    """Exit code 2."""
    assert told in nowhere.hub("user", "list", *words, code=2).err


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("hub.example.org", "http://hub.example.org/api/rest"),
        ("https://hub.example.org/", "https://hub.example.org/api/rest"),
        ("wss://hub.example.org/api/websocket", "https://hub.example.org/api/rest"),
        ("http://h:1/dh/rest", "http://h:1/dh/rest"),
        ("http://h:1/dh", "http://h:1/dh/rest"),
    ],
)
def test_the_root_is_found_from_what_people_write(url, root):
    """Whatever ``hub tail`` takes is taken here."""
    assert rest_url(url) == root


@pytest.mark.parametrize("guid", ["a", "\0", "ü/💡", "x" * 48])
def test_a_guid_is_found_again_from_its_number(guid):
    """There and back."""
    assert guid_of(device_number(guid)) == guid


def test_everything_that_commands_ask_of_a_transaction_is_there():
    """Whatever the commands about entities call on ``tx``."""
    texts = [(ROOT / f"hub/cli/{name}.py").read_text() for name in ("users", "networks", "devices", "keys", "lookup")]

    asked = {name for text in texts for name in re.findall(r"\btx\.(\w+)\(", text)}

    assert {"insert_user", "delete_device"} <= asked <= set(dir(RemoteTx))
