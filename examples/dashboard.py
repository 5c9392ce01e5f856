"""A dashboard in the terminal: devices, their last values with a spark line, and the last commands.

    python examples/dashboard.py                        beside a hub that was started here

Set HUB_URL and HUB_KEY (an access key) for a hub elsewhere.
"""

import argparse
import asyncio
import os
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hub.client import CommandView, Hub, NotificationView, Options, Profile, connect
from hub.client.profile import find

BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Series:
    """The last values of one notification name of one device."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=40))
    shown: str = ""
    at: str = ""

    def take(self, notification: NotificationView) -> None:
        value = notification.parameters
        if isinstance(value, dict):
            value = value.get("value", value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.values.append(value)
        self.shown, self.at = str(value)[:40], notification.timestamp[11:19]

    def spark_line(self) -> str:
        if not self.values:
            return ""
        low, high = min(self.values), max(self.values)
        scale = (len(BARS) - 1) / ((high - low) or 1)
        return "".join(BARS[round((value - low) * scale)] for value in self.values)


class Board:
    """What is on the screen."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._series: dict[tuple[str, str], Series] = defaultdict(Series)
        self._commands: deque[CommandView] = deque(maxlen=8)

    async def watch_notifications(self) -> None:
        async for notification in self._hub.notifications():
            if not notification.name.startswith("$"):
                self._series[notification.device_guid, notification.name].take(notification)

    async def watch_commands(self) -> None:
        async for command in self._hub.commands():
            self._commands.appendleft(command)

    def __rich__(self) -> Group:
        """Text from devices goes into Text objects, so that none of it is taken for markup."""
        state = Text("● connected", "green") if self._hub.connected else Text("○ connecting again", "red")
        values = Table("Device", "Notification", "Value", "", "Time (UTC)", box=SIMPLE_HEAD, expand=True)
        for (device, name), series in sorted(self._series.items()):
            values.add_row(
                Text(device, "bold"), Text(name), Text(series.shown), Text(series.spark_line(), "cyan"), series.at
            )
        commands = Table("Device", "Command", "Parameters", "Time (UTC)", box=SIMPLE_HEAD, expand=True)
        for command in self._commands:
            parameters = Text(str(command.parameters or "")[:60])
            commands.add_row(Text(command.device_guid), Text(command.name), parameters, command.timestamp[11:19])
        return Group(state, values, Text("Last commands", "bold"), commands)


async def run(url: str, access_key: str) -> None:
    async with connect(url, access_key=access_key, options=Options(patience_s=60)) as hub:
        board = Board(hub)
        with Live(board, refresh_per_second=4, screen=True):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(board.watch_notifications())
                tasks.create_task(board.watch_commands())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("HUB_URL"), help="ws://host:8080/api/websocket (HUB_URL)")
    args = parser.parse_args()
    url, access_key = args.url, os.environ.get("HUB_KEY")
    if url is None or access_key is None:
        path = find()
        if path is None:
            parser.error("set HUB_URL and HUB_KEY, or start me where hub-profile.json is")
        profile = Profile.read(path)
        url, access_key = profile.url, profile.access_key
    with suppress(KeyboardInterrupt):
        asyncio.run(run(url, access_key))


if __name__ == "__main__":
    main()
