"""``hub send``: a command for a device, and what comes of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.output import Exit, misused, note, print_json, say, shown
from hub.cli.tail import command_view
from hub.cli.target import Key, ProfileFile, Url, find_target
from hub.cli.values import duration_ms, json_value, pairs
from protocol.names import INT32_MAX

if TYPE_CHECKING:
    from hub.client import Profile
    from protocol.client_events import CommandView


def send(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device's guid.")],
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="The command's name.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Parameters; values are JSON or text.")
    ] = None,
    parameters: Annotated[
        str | None, typer.Option("--parameters", "-p", metavar="JSON", help="All parameters as one JSON value.")
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for the device.")] = "10s",
    lifetime: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", min=1, max=INT32_MAX, help="After that the command is no longer delivered."),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the hub has stored it.")] = False,
    url: Url = None,
    key: Key = None,
    profile: ProfileFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the command with its result as JSON.")] = False,
) -> None:
    """Send a command to a device and wait for its result. Exit code 1 when none comes in time.

    [bold]Examples[/]

      hub send lamp set on=true level=5
      hub send lamp set --parameters '{"on": true}' --timeout 1m
      hub send meter reboot --no-wait
    """
    if words and parameters is not None:
        misused("--parameters beside name=value: give one of them")
    wait_ms = duration_ms(timeout if not timeout.isdigit() else f"{timeout}s")
    if not wait_ms:
        misused(f"--timeout {timeout!r}: give a duration like 10s or 2m")
    value = json_value(parameters, what="--parameters") if parameters is not None else pairs(words or ())
    import asyncio

    target = find_target(url=url, key=key, profile=profile)
    message = {"device": device, "name": command, "parameters": value, "lifetime_s": lifetime}
    if no_wait:
        _print_stored(asyncio.run(_insert(target, message, timeout_s=wait_ms / 1000)), as_json=as_json)
    else:
        _print_result(asyncio.run(_carry_out(target, message, timeout_s=wait_ms / 1000)), as_json=as_json)


async def _insert(target: "Profile", message: dict[str, Any], *, timeout_s: float) -> int:
    from hub.client import connect

    async with connect(target.url, access_key=target.access_key) as hub:
        return await hub.insert_command(**message, timeout_s=timeout_s)


async def _carry_out(target: "Profile", message: dict[str, Any], *, timeout_s: float) -> "CommandView":
    from hub.client import connect

    async with connect(target.url, access_key=target.access_key) as hub:
        return await hub.send(**message, timeout_s=timeout_s)


def _print_stored(command_id: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": command_id})
    else:
        say(f"stored as command {command_id}")


def _print_result(command: "CommandView", *, as_json: bool) -> None:
    import json

    if as_json:
        print_json(command_view(command))
    else:
        result = "" if command.result is None else f" {shown(json.dumps(command.result, ensure_ascii=False))}"
        say(f"[bold]{shown(command.status)}[/]{result}")
    if command.state in ("expired", "cancelled"):
        note(f"command {command.id} is {command.state}")
        raise typer.Exit(Exit.FAILURE)
