"""A simulated thermostat: tells the temperature every second, and obeys.

    python examples/thermostat.py                       beside a hub that was started here
    hub send thermostat set target=23                   from another terminal
    hub send thermostat mode mode=off

With an access key (HUB_KEY, or that of hub-profile.json) it enrols itself. Without one it does as devices in the field:
it registers into an existing network, with that network's key (HUB_NETWORK_KEY) and a key of its own (HUB_DEVICE_KEY).
"""

import argparse
import asyncio
import os
import random
import secrets
from contextlib import suppress
from dataclasses import dataclass

from hub.client import ClientError, Device, NoAnswer, Options, Profile, Registration, connect, connect_device
from hub.client.profile import find

PATIENT = Options(patience_s=3600)


@dataclass
class Room:
    """A room with a heater: it drifts to the temperature outside within half an hour, faster when heated."""

    celsius: float = 19.0
    outside: float = 8.0
    target: float = 21.0
    mode: str = "heat"
    heating: bool = False

    def step(self, seconds: float) -> None:
        """Let simulated time pass."""
        if self.mode == "off" or self.celsius > self.target + 0.2:
            self.heating = False
        elif self.celsius < self.target - 0.2:
            self.heating = True
        loss = (self.celsius - self.outside) / 1800
        self.celsius += seconds * ((0.014 if self.heating else 0.0) - loss)

    def measure(self) -> dict[str, object]:
        """What the sensor shows: two hundredths of a degree of noise."""
        return {
            "value": round(random.gauss(self.celsius, 0.02), 2),
            "target": self.target,
            "heating": self.heating,
            "mode": self.mode,
        }

    def obey(self, name: str, parameters: object) -> dict[str, object]:
        """Carry out a command. Raises ValueError when it makes no sense."""
        match name, parameters:
            case "set", {"target": int() | float() as target} if 5 <= target <= 30:
                self.target = float(target)
            case "mode", {"mode": "heat" | "off" as mode}:
                self.mode = mode
            case _:
                raise ValueError('try set {"target": 5 to 30}, or mode {"mode": "heat" or "off"}')
        return {"target": self.target, "mode": self.mode}


async def report(device: Device, room: Room, *, every_s: float, speed: float) -> None:
    while True:
        room.step(every_s * speed)
        measured = room.measure()
        try:
            await device.notify("temperature", measured)
            print(f"{measured['value']:6.2f} °C  → {room.target:g} °C  {'heating' if room.heating else ''}")
        except NoAnswer:
            print("the hub is silent; this measurement may be lost")
        await asyncio.sleep(every_s)


async def obey(device: Device, room: Room) -> None:
    async for command in device.commands():
        try:
            status, result = "done", room.obey(command.name, command.parameters)
        except ValueError as error:
            status, result = "failed", {"error": str(error)}
        print(f"{command.name} {command.parameters}: {status}")
        with suppress(NoAnswer):  # An unanswered command comes again after the next start.
            await command.reply(status, result)


async def run(args: argparse.Namespace) -> None:
    registration = Registration(
        name=args.guid.replace("-", " ").capitalize(),
        device_class="thermostat",
        network=args.network,
        network_key=args.network_key,
        equipment=[{"name": "Temperature", "code": "temperature", "type": "sensor"}],
    )
    if args.access_key:
        async with connect(args.url, access_key=args.access_key, options=PATIENT) as hub:
            await hub.save_device(args.guid, registration, key=args.key)

    room = Room()
    itself = None if args.access_key else registration
    async with connect_device(args.url, guid=args.guid, key=args.key, registration=itself, options=PATIENT) as device:
        try:
            await device.set_status("Online")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(report(device, room, every_s=args.every, speed=args.speed))
                tasks.create_task(obey(device, room))
        finally:
            with suppress(ClientError):
                await device.set_status("Offline", timeout_s=2)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    environment = os.environ.get
    parser.add_argument("--url", default=environment("HUB_URL"), help="ws://host:8080/api/websocket (HUB_URL)")
    parser.add_argument("--guid", default="thermostat", help="who we are (%(default)s)")
    parser.add_argument("--network", default="home", help="the network to join (%(default)s)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between measurements (%(default)s)")
    parser.add_argument("--speed", type=float, default=20.0, help="simulated seconds in one (%(default)s)")
    args = parser.parse_args()

    # Secrets come from the environment: others on this computer can read arguments.
    args.access_key = environment("HUB_KEY")
    args.key = environment("HUB_DEVICE_KEY")
    args.network_key = environment("HUB_NETWORK_KEY")
    if args.url is None:
        path = find()
        if path is None:
            parser.error("set HUB_URL, or start me where hub-profile.json is")
        profile = Profile.read(path)
        args.url, args.access_key = profile.url, args.access_key or profile.access_key
    if args.key is None and args.access_key is None:
        parser.error("set HUB_DEVICE_KEY, or HUB_KEY")
    args.key = args.key or secrets.token_urlsafe(24)
    return args


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(run(arguments()))
