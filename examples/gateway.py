"""A gateway: three simulated sensors behind one connection, each with its own guid and key.

    python examples/gateway.py                          beside a hub that was started here
    hub send greenhouse-1 water seconds=10              from another terminal

The sensors cannot speak the hub's protocol themselves, so the gateway speaks for them: it is a device of its own, and
every request for a sensor carries that sensor's key. When the connection breaks, everything is subscribed again.
"""

import argparse
import asyncio
import os
import random
import secrets
from contextlib import suppress

from hub.client import Device, NoAnswer, Options, Profile, Registration, connect, connect_device
from hub.client.profile import find

PATIENT = Options(patience_s=3600)
SENSORS = ("greenhouse-1", "greenhouse-2", "greenhouse-3")


async def measure(sensor: Device) -> None:
    """Soil dries slowly; a notification every two seconds tells how far."""
    moisture = random.uniform(40, 60)
    while True:
        moisture = max(5.0, moisture - random.uniform(0, 0.5))
        with suppress(NoAnswer):
            await sensor.notify("moisture", {"value": round(moisture, 1)})
        await asyncio.sleep(2)


async def obey(sensor: Device) -> None:
    async for command in sensor.commands(names=["water"]):
        seconds = (command.parameters or {}).get("seconds", 5)
        print(f"{sensor.guid}: watering for {seconds} s")
        with suppress(NoAnswer):  # An unanswered command comes again after the next start.
            await command.reply("done", {"litres": round(seconds * 0.2, 1)})


async def run(url: str, access_key: str, network: str) -> None:
    # Keys of this run. A real gateway keeps its own, and gets the sensors' from whoever installed them.
    keys = {guid: secrets.token_urlsafe(24) for guid in ("gateway", *SENSORS)}
    async with connect(url, access_key=access_key, options=PATIENT) as hub:
        for guid, key in keys.items():
            kind = "gateway" if guid == "gateway" else "soil sensor"
            await hub.save_device(guid, Registration(name=guid, device_class=kind, network=network), key=key)

    async with (
        connect_device(url, guid="gateway", key=keys["gateway"], options=PATIENT) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        for guid in SENSORS:
            sensor = await gateway.speak_for(guid, key=keys[guid])
            tasks.create_task(measure(sensor))
            tasks.create_task(obey(sensor))
        print(f"speaking for {', '.join(SENSORS)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("HUB_URL"), help="ws://host:8080/api/websocket (HUB_URL)")
    parser.add_argument("--network", default="home", help="the network of the sensors (%(default)s)")
    args = parser.parse_args()
    url, access_key = args.url, os.environ.get("HUB_KEY")
    if url is None or access_key is None:
        path = find()
        if path is None:
            parser.error("set HUB_URL and HUB_KEY, or start me where hub-profile.json is")
        profile = Profile.read(path)
        url, access_key = profile.url, profile.access_key
    with suppress(KeyboardInterrupt):
        asyncio.run(run(url, access_key, args.network))


if __name__ == "__main__":
    main()
