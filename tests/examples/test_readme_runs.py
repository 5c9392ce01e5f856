"""What README.md tells one to type does what it says."""

import asyncio
import json
import re
import urllib.request

import pytest
from websockets.asyncio.client import connect as connect_socket

from hub.client import connect, connect_device
from tests.examples import readme
from tests.examples.programs import InTerminal
from tests.waiting import WAIT_S

pytestmark = pytest.mark.slow


async def test_the_lines_for_other_terminals_work_beside_a_hub(place):
    """Watching, a simulated device, and a command with its result."""
    await place.with_examples().serve()
    watch, simulate, send = readme.commands(".venv/bin/")

    watching, simulated = place.shell(watch), place.shell(simulate)
    await watching.prints("thermostat temperature")
    sent = place.shell(send)
    await sent.ends()
    await watching.prints('thermostat set {"target": 23}')

    assert sent.out == 'done {"target": 23.0, "mode": "heat"}\n'
    assert "set {'target': 23}: done" in simulated.out


async def test_the_commands_of_the_command_line_work_in_their_order(place):
    """From an empty directory with a hub in it; the password is typed, as it is asked for."""
    hub = await place.serve()
    printed = {}

    for line in [line for line in readme.commands("hub ") if not line.startswith("hub serve")]:
        program = place.shell(line, of=InTerminal, HUB_PORT=str(hub.port), COLUMNS="200")
        if " user create " in line:
            for question in ("New password of ann: ", "Repeat for confirmation: "):
                await program.prints(question)
                program.types("a password typed twice\r")
        await program.ends()
        printed[line.split("#")[0].strip()] = program.out

    assert (place.path / "hub-copy.db").is_file()
    assert "a hub answers" in printed["hub doctor"]
    assert not any("a password typed twice" in out for out in printed.values())


async def test_a_network_key_lets_a_device_enrol_itself_and_a_watching_key_sees_it(place):
    """What the lines of the command line are for: the two keys that they print do what the remarks say."""
    hub = await place.with_examples().serve()
    network_key = await made(place, "hub", "network", "create", "home", "--new-key")
    await place.run("hub", "user", "create", "ann", "--network", "home", "--no-password")
    wall_key = await made(place, "hub", "key", "create", "--user", "ann", "--label", "wall", "--preset", "watch")

    field = {"HUB_URL": hub.url, "HUB_NETWORK_KEY": network_key, "HUB_DEVICE_KEY": "a key of its own"}
    place.start("python", "examples/thermostat.py", **field)
    await place.run("hub", "tail", "--count", "1", "--name", "temperature", HUB_URL=hub.url, HUB_KEY=wall_key)
    refused = await place.run("hub", "send", "thermostat", "set", code=1, HUB_URL=hub.url, HUB_KEY=wall_key)

    assert "Unauthorized" in refused.err


async def made(place, *words):
    """Make something that has a key; returns the key."""
    return json.loads((await place.run(*words, "--json")).out)["key"]


async def test_a_copy_of_the_database_and_the_pepper_are_a_whole_backup(place):
    """A hub on both of them knows the first start's key."""
    first = await place.serve()
    await place.run("hub", "network", "create", "kept")
    await place.run("hub", "backup", "hub-copy.db")
    await first.stop()

    copy, pepper = "sqlite:///hub-copy.db", {"HUB_PEPPER_FILE": "hub.pepper"}
    second = await place.serve("--database", copy, **pepper)
    async with connect(second.url, access_key=first.key) as client:
        assert await client.server_info()
    listed = await place.run("hub", "network", "list", "--database", copy, **pepper)

    assert "kept" in listed.out


async def test_the_python_block_runs_as_it_is_written(place):
    """It finds the profile where it is started, and prints what the device has answered."""
    await place.serve()
    (place.path / "block.py").write_text(readme.blocks("python")[0])

    done = await place.run("python", "block.py")

    assert "result={'lit': True}" in done.out
    assert not done.err


async def test_the_exchange_is_what_travels(place):
    """The lines of the README, sent and received letter by letter; only ``…`` stands for anything."""
    hub = await place.serve()
    await place.run("hub", "network", "create", "home")
    device_key = await made(place, "hub", "device", "create", "lamp", "--network", "home")
    lines = next(text for language, text in readme.BLOCKS if not language).splitlines()

    async with (
        asyncio.timeout(WAIT_S),
        connect_socket(f"{hub.url}/client") as socket,
        connect_device(hub.url, guid="lamp", key=device_key) as lamp,
    ):
        for line in lines:
            if line.startswith("> "):
                await socket.send(line[2:].replace("…", hub.key))
                continue
            if "insert" in line:
                await lamp.notify("light", {"on": True})
            received = await socket.recv()
            assert re.fullmatch(re.escape(line[2:].replace("0d2c9f4e-…", "…")).replace("…", ".*"), received)


async def test_the_addresses_for_machines_answer(started):
    """Those that the README names, on the hub's own port."""
    paths = {
        span.removeprefix("GET ") for span in readme.SPANS if re.fullmatch(r"(GET )?/(livez|readyz|metrics)", span)
    }

    assert len(set(paths)) == 3
    for path in paths:
        with await asyncio.to_thread(urllib.request.urlopen, started.http + path, timeout=WAIT_S) as answer:
            assert answer.status == 200
