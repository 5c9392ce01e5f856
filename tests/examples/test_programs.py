"""The example programs beside a hub, as a person starts them."""

import json

import pytest

from tests.examples.programs import InTerminal
from tests.waiting import until

pytestmark = pytest.mark.slow


async def test_the_thermostat_is_seen_and_obeys(place):
    """Live messages for whoever watches, and the device's result for whoever has sent a command."""
    await place.with_examples().serve()
    watching = place.start("hub", "tail", "--json")
    place.start("python", "examples/thermostat.py", "--every", "0.2")
    await watching.prints('"temperature"')

    sent = await place.run("hub", "send", "thermostat", "set", "target=23", "--json")
    await watching.prints('"target":23.0')

    assert json.loads(sent.out)["status"] == "done"
    assert json.loads(sent.out)["result"] == {"target": 23.0, "mode": "heat"}
    seen = [json.loads(line) for line in watching.out.splitlines()]
    measured = next(one for one in seen if one.get("notification") == "temperature")
    assert measured["deviceGuid"] == "thermostat"
    assert 15 < measured["parameters"]["value"] < 25
    assert any(one["kind"] == "command" and one["parameters"] == {"target": 23} for one in seen)


async def test_the_thermostat_refuses_what_makes_no_sense(place):
    """The command failed, and the result says what would have been possible."""
    await place.with_examples().serve()
    thermostat = place.start("python", "examples/thermostat.py", "--every", "0.2")
    await thermostat.prints("°C")

    sent = await place.run("hub", "send", "thermostat", "set", "target=hot", "--json")

    assert json.loads(sent.out)["status"] == "failed"
    assert "5 to 30" in json.loads(sent.out)["result"]["error"]


async def test_the_thermostat_says_when_it_leaves(place):
    """Ctrl-C: no traceback, and its status is Offline."""
    await place.with_examples().serve()
    thermostat = place.start("python", "examples/thermostat.py", "--every", "0.2")
    await thermostat.prints("°C")

    await thermostat.interrupt()

    assert not thermostat.err
    assert json.loads((await place.run("hub", "device", "show", "thermostat", "--json")).out)["status"] == "Offline"


async def test_the_gateway_speaks_for_its_sensors(place):
    """Each sensor has a name of its own, is heard, and obeys."""
    await place.with_examples().serve()
    watching = place.start("hub", "tail", "--notifications", "--name", "moisture", "--json")
    gateway = place.start("python", "examples/gateway.py")
    sensors = {"greenhouse-1", "greenhouse-2", "greenhouse-3"}

    async def all_heard():
        return all(f'"{sensor}"' in watching.out for sensor in sensors)

    await gateway.prints("speaking for greenhouse-1")
    await until(all_heard)
    sent = await place.run("hub", "send", "greenhouse-2", "water", "seconds=10", "--json")
    listed = await place.run("hub", "device", "list", "--json")

    assert json.loads(sent.out)["result"] == {"litres": 2.0}
    assert "greenhouse-2: watering for 10 s" in gateway.out
    assert {one["id"] for one in json.loads(listed.out)} == {*sensors, "gateway"}


async def test_the_terminal_dashboard_shows_devices_and_commands(place):
    """Live values with a line of bars, the last commands; Ctrl-C gives the terminal back."""
    await place.with_examples().serve()
    board = place.start("python", "examples/dashboard.py", of=InTerminal)
    await board.prints("● connected")
    place.start("python", "examples/thermostat.py", "--every", "0.2")
    await board.prints("thermostat")
    await place.run("hub", "send", "thermostat", "set", "target=23")
    await board.prints("'target': 23")

    await board.interrupt()

    assert "temperature" in board.out
    assert any(bar in board.out for bar in "▁▂▃▄▅▆▇█")
    assert "Traceback" not in board.out
    assert board.raw.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))


async def test_what_a_device_says_is_no_markup_in_the_terminal(place):
    """Text in brackets is shown as it came."""
    await place.with_examples().serve()
    board = place.start("python", "examples/dashboard.py", of=InTerminal)
    await board.prints("● connected")
    place.start("python", "-c", SPEAK)

    await board.prints("[red]not red[/]")


SPEAK = """
import asyncio
from pathlib import Path
from hub.client import Profile, Registration, connect

async def main():
    profile = Profile.read(Path("hub-profile.json"))
    async with connect(profile.url, access_key=profile.access_key) as hub:
        await hub.save_device("lamp", Registration(name="Lamp", device_class="lamp", network="home"), key="its own")
        await hub.notify("lamp", "said", "[red]not red[/]")

asyncio.run(main())
"""
