"""``hub tail`` and ``hub send``, as processes, against a hub that does what the test says."""

import asyncio
import json
import signal
from contextlib import suppress
from itertools import count

import pytest
from websockets.exceptions import ConnectionClosed

from hub.client import Profile
from tests.client.scripted import scripted, within

from .conftest import begin, run

pytestmark = pytest.mark.slow

KEY = "a secret key"


def target(hub):
    return {"HUB_URL": hub.url, "HUB_KEY": KEY}


async def lines(process, count):
    return [json.loads(await within(process.stdout.readline())) for _ in range(count)]


# --- tail -------------------------------------------------------------------------------------------------------------


async def test_tail_prints_messages_and_stops_after_enough(tmp_path):
    """One JSON object a line, with the names of the wire."""
    async with scripted() as hub:
        process = await begin("tail", "--notifications", "--json", "--count", "2", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.subscribe(position=1)
        await peer.notify(5, 6, 7)
        out, err = await within(process.communicate())

    assert [json.loads(line)["id"] for line in out.splitlines()] == [5, 6]
    assert json.loads(out.splitlines()[0]) == {
        "kind": "notification",
        "id": 5,
        "notification": "watts",
        "deviceGuid": "lamp",
        "timestamp": "2026-01-01T00:00:00.000",
        "parameters": {"value": 5},
    }
    assert (process.returncode, err) == (0, b"")
    assert peer.credentials["accessKey"] == KEY


async def test_tail_goes_on_after_a_lost_connection(tmp_path):
    """From the last message on; what the client does is told on stderr."""
    async with scripted() as hub:
        process = await begin("tail", "--notifications", "--json", "--count", "2", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.subscribe(position=1)
        await peer.notify(5)
        await lines(process, 1)
        await peer.drop()
        peer = await hub.peer()
        request = await peer.subscribe(position=5, recovered=True)
        await peer.notify(6)
        out, err = await within(process.communicate())

    assert request["since"] == 5
    assert json.loads(out)["id"] == 6
    assert b"connecting again" in err


async def test_tail_passes_its_filters_on(tmp_path):
    """Devices, names and where to begin; both kinds unless one is asked for."""
    words = ("--device", "lamp", "-d", "b", "--name", "watts", "--since", "100")
    async with scripted() as hub:
        process = await begin("tail", *words, cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        first = await peer.subscribe(position=100)
        second = await peer.subscribe("command/subscribe", position=100)
        process.send_signal(signal.SIGINT)
        await within(process.communicate())

    for request in (first, second):
        assert (request["deviceGuids"], request["names"], request["since"]) == (["lamp", "b"], ["watts"], 100)
    assert process.returncode == 0


@pytest.mark.parametrize("since", ["10m", "2026-01-01T00:00:00Z"])
async def test_tail_begins_at_a_time(tmp_path, since):
    """A while ago, or by the calendar."""
    async with scripted() as hub:
        process = await begin("tail", "--commands", "--since", since, cwd=tmp_path, **target(hub))
        request = await (await hub.peer()).subscribe("command/subscribe", position=1)
        process.send_signal(signal.SIGINT)
        await within(process.communicate())

    assert request["timestamp"].startswith("20")


async def test_tail_says_how_to_go_on(tmp_path):
    """After Ctrl-C a person knows where to begin next time; control characters stay harmless."""
    async with scripted() as hub:
        process = await begin("tail", "--commands", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.subscribe("command/subscribe", position=1)
        await peer.command("command/insert", 5, parameters={"text": "\x1b[2J"}, status="done\x1b", result=None)
        line = (await within(process.stdout.readline())).decode()
        process.send_signal(signal.SIGINT)
        _, err = await within(process.communicate())

    assert "▶ lamp on" in line
    assert "\x1b" not in line
    assert b"hub tail --since 5" in err
    assert process.returncode == 0


async def test_tail_shows_the_one_kind_that_a_key_may_see(tmp_path):
    """Asked for by name, the other is an error."""
    async with scripted() as hub:
        hub.refusals["command/subscribe"] = {"code": 401}
        both = await begin("tail", "--json", "--count", "1", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.subscribe(position=1)
        await peer.notify(5)
        _, noted = await within(both.communicate())
        refused = await within(run("tail", "--commands", cwd=tmp_path, **target(hub)))

    assert both.returncode == 0
    assert b"only one kind of message" in noted
    assert (refused.code, refused.out) == (1, "")
    assert "subscribe: No (401)" in refused.err


async def test_tail_tells_what_is_missing(tmp_path):
    """A gap is never silent."""
    async with scripted() as hub:
        process = await begin("tail", "--notifications", "--since", "1", "-n", "1", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        missed = {"reason": "retention", "after": 1, "before": 7}
        await peer.subscribe(position=8, recovered=False, missed=missed)
        await peer.notify(9)
        _, err = await within(process.communicate())

    assert b"retention" in err


async def test_a_closed_pipe_ends_tail(tmp_path):
    """As ``hub tail | head -1`` does: quietly."""
    async with scripted() as hub:
        process = await begin("tail", "--notifications", "--json", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.subscribe(position=1)
        process.stdout._transport.close()
        with suppress(ConnectionClosed):  # That is its end; what it writes before the pipe is closed tells it nothing.
            for message_id in count(5):
                await peer.notify(message_id)
                await asyncio.sleep(0.01)
        err = await within(process.stderr.read())
        await within(process.wait())

    assert process.returncode == 1
    assert b"Traceback" not in err


# --- send -------------------------------------------------------------------------------------------------------------


async def test_send_waits_for_the_result(tmp_path):
    """Parameters are words; the device's words come back."""
    async with scripted() as hub:
        process = await begin(
            "send", "lamp", "set", "on=true", "name=x", "--lifetime", "60", cwd=tmp_path, **target(hub)
        )
        peer = await hub.peer()
        request = await peer.request("command/insert")
        await peer.answer(request, command={"id": 5})
        await peer.command("command/update", 5, status="done", result={"lit": True})
        out, err = await within(process.communicate())

    command = request["command"]
    assert (request["deviceGuid"], command["command"], command["lifetime"]) == ("lamp", "set", 60)
    assert command["parameters"] == {"on": True, "name": "x"}
    assert (process.returncode, out, err) == (0, b'done {"lit": true}\n', b"")


async def test_send_prints_json(tmp_path):
    """The whole command with its result."""
    async with scripted() as hub:
        process = await begin("send", "lamp", "set", "-p", "[1]", "--json", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        request = await peer.request("command/insert")
        await peer.answer(request, command={"id": 5})
        await peer.command("command/update", 5, status="done", result=7)
        out, _ = await within(process.communicate())

    assert request["command"]["parameters"] == [1]
    assert (json.loads(out)["id"], json.loads(out)["status"], json.loads(out)["result"]) == (5, "done", 7)


async def test_send_without_waiting(tmp_path):
    """Stored is enough."""
    async with scripted() as hub:
        process = await begin("send", "lamp", "reboot", "--no-wait", "--json", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.answer(await peer.request("command/insert"), command={"id": 5})
        out, _ = await within(process.communicate())

    assert (process.returncode, json.loads(out)) == (0, {"id": 5})


async def test_no_result_in_time_is_a_failure(tmp_path):
    """The device may still carry the command out; its id is told."""
    async with scripted() as hub:
        process = await begin("send", "lamp", "on", "--timeout", "200ms", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.answer(await peer.request("command/insert"), command={"id": 5})
        out, err = await within(process.communicate())

    assert (process.returncode, out) == (1, b"")
    assert b"command 5: no result within 0.2 s" in err


async def test_an_expired_command_is_a_failure(tmp_path):
    """Nobody carried it out."""
    async with scripted() as hub:
        process = await begin("send", "lamp", "on", cwd=tmp_path, **target(hub))
        peer = await hub.peer()
        await peer.answer(await peer.request("command/insert"), command={"id": 5})
        await peer.command("command/update", 5, state="expired")
        _, err = await within(process.communicate())

    assert process.returncode == 1
    assert b"command 5 is expired" in err


@pytest.mark.parametrize(
    "words", [("on=1", "-p", "{}"), ("on",), ("--timeout", "soon"), ("--timeout", "0s"), ("--parameters", "{")]
)
def test_wrong_arguments(nowhere, words):
    """Exit code 2, before anybody is asked."""
    assert nowhere.hub("send", "lamp", "set", *words, code=2).err.startswith("error: ")


async def test_refusals_and_silence_are_failures(tmp_path):
    """Wrong key, no permission, nobody there: one line each, exit code 1, and never the key."""
    async with scripted() as hub:
        hub.refusals["command/insert"] = {"code": 404, "error": "Device with such guid = lamp not found"}
        unknown = await within(run("send", "lamp", "on", cwd=tmp_path, **target(hub)))
        hub.refusals["authenticate"] = {"code": 401, "error": "Invalid credentials"}
        refused = await within(run("send", "lamp", "on", cwd=tmp_path, **target(hub)))
        environ = target(hub)
    gone = await within(run("tail", cwd=tmp_path, **environ))

    assert [done.code for done in (unknown, refused, gone)] == [1, 1, 1]
    assert "Device with such guid = lamp not found" in unknown.err
    assert "Invalid credentials" in refused.err
    assert "cannot connect to the hub" in gone.err
    for done in (unknown, refused, gone):
        assert KEY not in done.out + done.err
        assert len(done.err.splitlines()) == 1


# --- which hub --------------------------------------------------------------------------------------------------------


async def test_the_profile_beside_the_database_is_found(tmp_path, template):
    """Where the hub was started, nothing has to be said."""
    elsewhere = tmp_path / "data"
    elsewhere.mkdir()
    async with scripted() as hub:
        Profile(hub.url, KEY).write(elsewhere / "hub-profile.json")
        process = await begin(
            "send", "a", "b", "--no-wait", cwd=tmp_path, HUB_DATABASE_URL=f"sqlite:///{elsewhere}/hub.db"
        )
        peer = await hub.peer()
        await peer.answer(await peer.request("command/insert"), command={"id": 5})
        await within(process.communicate())

    assert peer.credentials["accessKey"] == KEY


def test_without_a_profile_it_says_what_to_do(nowhere):
    """Which hub, and with which key, is not guessed."""
    assert "which hub?" in nowhere.hub("tail", code=1).err


def test_a_profiles_key_stays_with_its_hub(nowhere, monkeypatch):
    """It is not sent to another address."""
    Profile("ws://hub.example.org/api/websocket", KEY).write(nowhere.path / "hub-profile.json")

    told = nowhere.hub("tail", "--url", "other.example.org", "--profile", "hub-profile.json", code=2).err

    assert "not for --url" in told
    assert "needs a key as well" in nowhere.hub("tail", "--url", "other.example.org", code=2).err


def test_a_profile_that_others_can_read_is_remarked(nowhere):
    """The command goes on; its owner hears of it."""
    path = nowhere.path / "hub-profile.json"
    Profile("ws://127.0.0.1:1/api/websocket", KEY).write(path)
    path.chmod(0o644)

    assert "chmod 600" in nowhere.hub("tail", code=1).err


def test_a_broken_profile_is_a_failure(nowhere):
    """Without showing what is in it."""
    (nowhere.path / "hub-profile.json").write_text(f'{{"accessKey": "{KEY}"}}')

    told = nowhere.hub("tail", code=1).err

    assert "is not a connection profile" in told
    assert KEY not in told


def test_tail_refuses_a_beginning_that_is_none(nowhere):
    """An id, a duration or a date."""
    assert "give the id of a message" in nowhere.hub("tail", "--since", "soon", code=2).err
