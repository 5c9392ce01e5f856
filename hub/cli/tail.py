"""``hub tail``: messages as they come."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import console, misused, note, plain
from hub.cli.target import Key, ProfileFile, Url, find_target
from hub.cli.values import duration_ms
from protocol.names import Kind

if TYPE_CHECKING:
    from rich.text import Text

    from hub.cli.watch import Wanted
    from protocol.client_events import CommandView, MessageView, NotificationView


def tail(
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", metavar="GUID", help="Only this device; repeatable.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="NAME", help="Only messages of this name; repeatable.")
    ] = None,
    commands: Annotated[bool, typer.Option("--commands", help="Only commands, unless both are asked for.")] = False,
    notifications: Annotated[
        bool, typer.Option("--notifications", help="Only notifications, unless both are asked for.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Begin with stored messages: after an id, from 10m ago, or from a date on."),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Stop after so many messages.")] = None,
    url: Url = None,
    key: Key = None,
    profile: ProfileFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show messages as they come, until Ctrl-C. After a lost connection it goes on where it was.

    [bold]Examples[/]

      hub tail
      hub tail --device lamp --name temperature --since 10m
      hub tail --notifications --json | jq .parameters
    """
    wanted = _wanted(device, name, commands=commands, notifications=notifications, since=since, count=count)
    target = find_target(url=url, key=key, profile=profile)
    import asyncio

    from hub.cli.watch import Watch, tell_of_reconnects

    tell_of_reconnects()
    watch = Watch(wanted, print_line if as_json else print_pretty)
    try:
        asyncio.run(watch.run(target))
    except KeyboardInterrupt:
        if watch.last is not None and not as_json:
            note(f"to go on from here: hub tail --since {watch.last}")


def _wanted(
    devices: list[str] | None,
    names: list[str] | None,
    *,
    commands: bool,
    notifications: bool,
    since: str | None,
    count: int | None,
) -> "Wanted":
    from hub.cli.watch import Wanted

    kinds = [kind for kind, asked in ((Kind.NOTIFICATION, notifications), (Kind.COMMAND, commands)) if asked]
    position, timestamp = _beginning(since, now_ms=time.time_ns() // 1_000_000)
    return Wanted(tuple(kinds or Kind), devices or None, names or None, position, timestamp, count)


def _beginning(since: str | None, *, now_ms: int) -> tuple[int | None, str | None]:
    if since is None:
        return None, None
    if since.isascii() and since.isdigit() and len(since) <= 18:
        return int(since), None
    ago = duration_ms(since)
    from protocol.times import format_ms, parse_ms

    try:
        return None, format_ms(now_ms - ago if ago is not None else parse_ms(since))
    except ValueError:
        misused(f"--since {since!r}: give the id of a message, a duration like 10m, or a date like 2030-12-31")


# --- one message ------------------------------------------------------------------------------------------------------


def print_line(message: "MessageView") -> None:
    """One JSON object on a line of its own, with the names of the wire."""
    import sys

    import orjson

    sys.stdout.write(orjson.dumps(view(message)).decode() + "\n")
    sys.stdout.flush()


def print_pretty(message: "MessageView") -> None:
    """One line for a person: time, device, name, parameters."""
    console().print(_line(message))


def view(message: "MessageView") -> dict[str, Any]:
    """A message as ``--json`` prints it."""
    from protocol.client_events import NotificationView

    return _notification(message) if isinstance(message, NotificationView) else command_view(message)


def _notification(message: "NotificationView") -> dict[str, Any]:
    return {
        "kind": "notification",
        "id": message.id,
        "notification": message.name,
        "deviceGuid": message.device_guid,
        "timestamp": message.timestamp,
        "parameters": message.parameters,
    }


def command_view(message: "CommandView") -> dict[str, Any]:
    return {
        "kind": "command",
        "id": message.id,
        "command": message.name,
        "deviceGuid": message.device_guid,
        "timestamp": message.timestamp,
        "userId": message.user_id,
        "parameters": message.parameters,
        "lifetime": message.lifetime_s,
        "status": message.status,
        "result": message.result,
    }


def _line(message: "MessageView") -> "Text":
    from rich.text import Text

    members = view(message)
    is_command = members["kind"] == "command"
    local = datetime.fromtimestamp(message.timestamp_ms / 1000).strftime("%H:%M:%S.%f")[:-3]
    line = Text()
    line.append(local, style="dim")
    line.append(" ▶ " if is_command else " ● ", style="yellow" if is_command else "green")
    line.append(plain(message.device_guid), style="bold cyan")
    line.append(f" {plain(message.name)}", style="bold")
    if message.parameters is not None:
        line.append(f" {plain(_json(message.parameters))}")
    if is_command and (members["status"] is not None or members["result"] is not None):
        line.append(f" → {plain(str(members['status']))} {plain(_json(members['result']))}", style="magenta")
    return line


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
