"""``hub device``: what is connected."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.lookup import find_device, find_network
from hub.cli.options import AsJson, Yes
from hub.cli.output import confirm, fail, misused, print_json, print_members, print_table, say, shown
from hub.cli.place import HERE, Place, placed
from hub.cli.secrets import read_key
from hub.cli.values import json_value, text_of, utc
from protocol.names import DEVICE_KEY_MAX, GUID_MAX, INT32_MAX, NAME_MAX, VERSION_MAX

if TYPE_CHECKING:
    from hub.store import Tx
    from protocol.entities import Device, DeviceClass, EquipmentState

app = typer.Typer(help="Devices, named by their guid.", no_args_is_help=True)

PAGE = 1_000

Guid = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's guid.")]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the device's key from the first line of stdin.")]


@app.command()
@placed
def create(
    guid: Annotated[str, typer.Argument(metavar="DEVICE", help="1 to 48 characters; no other device's.")],
    name: Annotated[str | None, typer.Option(help="For people; the guid unless given.")] = None,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Name or id.")] = None,
    device_class: Annotated[str, typer.Option("--class", metavar="NAME", help="Made when it is new.")] = "device",
    class_version: Annotated[str, typer.Option(metavar="VERSION")] = "1.0",
    offline_timeout: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", min=1, max=INT32_MAX, help="Silence after which devices of a new class are Offline."
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="Anything about the device.")] = None,
    key_stdin: KeyStdin = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Create a device. Its key is made and printed once, or read from stdin.

    In a database nobody is told; with --url, subscribers get $device-add, and $device-update from `hub device update`.

    [bold]Examples[/]

      hub device create lamp --network home
      hub device create meter-7 --network home --class meter --offline-timeout 300
    """
    key = _new_key(key_stdin=key_stdin)
    own = text_of(guid, what="the guid", most=GUID_MAX)
    called = text_of(name or guid, what="the name", most=NAME_MAX)
    about = None if data is None else json_value(data, what="--data")
    class_names = (
        text_of(device_class, what="the class", most=NAME_MAX),
        text_of(class_version, what="the class's version", most=VERSION_MAX),
    )

    def work(tx: "Tx") -> "Device":
        if tx.device(own) is not None:
            fail(f"there is a device {own} already; guids are unique")
        within = find_network(tx, network).id if network is not None else None
        of_class = _class(tx, *class_names, offline_timeout_s=offline_timeout)
        return tx.insert_device(guid=own, key=key, name=called, class_id=of_class.id, network_id=within, data=about)

    device = place.transact(work)
    made = {} if key_stdin else {"key": key}
    if as_json:
        print_json(view(device) | made)
        return
    say(f"created device [bold]{shown(device.guid)}[/]")
    if made:
        say(f"its key, shown only now: [bold]{shown(key)}[/]")


@app.command("list")
@placed
def list_devices(
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only devices of this network.")] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """List devices, in order of their guids."""

    def work(tx: "Tx") -> list["Device"]:
        within = find_network(tx, network).id if network is not None else None
        return [device for device in every_device(tx) if within is None or device.network_id == within]

    devices = place.transact(work)
    if as_json:
        print_json([view(device) for device in devices])
        return
    rows = [
        (
            device.guid,
            device.name,
            device.network.name if device.network else None,
            _class_name(device),
            device.status,
            "blocked" if device.is_blocked else "",
        )
        for device in devices
    ]
    print_table(["guid", "name", "network", "class", "status", ""], rows, empty="no devices")


@app.command()
@placed
def show(device: Guid, place: Place = HERE, as_json: AsJson = False) -> None:
    """Show a device with the states of its equipment."""

    def work(tx: "Tx") -> tuple["Device", list["EquipmentState"]]:
        found = find_device(tx, device)
        return found, tx.equipment_states(found.id)

    found, states = place.transact(work)
    if as_json:
        print_json(view(found) | {"equipmentStates": [_state_view(state) for state in states]})
        return
    import json

    print_members(
        {
            "guid": found.guid,
            "name": found.name,
            "status": found.status,
            "network": found.network.name if found.network else None,
            "class": _class_name(found),
            "offline after": _seconds(found.device_class.offline_timeout_s),
            "blocked": "yes" if found.is_blocked else "no",
            "data": None if found.data is None else json.dumps(found.data, ensure_ascii=False),
            **{f"equipment {plain_code(state)}": json.dumps(state.parameters, ensure_ascii=False) for state in states},
        }
    )


@app.command()
@placed
def update(
    device: Guid,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Move it to this network.")] = None,
    no_network: Annotated[bool, typer.Option("--no-network", help="Take it out of its network.")] = False,
    block: Annotated[
        bool | None, typer.Option("--block/--unblock", help="A blocked device can neither connect nor save itself.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="null removes it.")] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key and print it.")] = False,
    key_stdin: KeyStdin = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Change a device. Open connections and subscriptions follow within a second.

    [bold]Examples[/]

      hub device update lamp --block
      hub device update lamp --network garage
      hub device update lamp --new-key
    """
    if network is not None and no_network:
        misused("--network and --no-network: give one of them")
    if new_key and key_stdin:
        misused("--new-key and --key-stdin: give one of them")
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = text_of(name, what="the name", most=NAME_MAX)
    if block is not None:
        changes["is_blocked"] = block
    if data is not None:
        changes["data"] = json_value(data, what="--data")
    if new_key or key_stdin:
        changes["key"] = _new_key(key_stdin=key_stdin)
    if no_network:
        changes["network_id"] = None
    if not changes and network is None:
        misused("nothing to change; `hub device update --help` shows what can be")

    def work(tx: "Tx") -> "Device":
        found = find_device(tx, device)
        if network is not None:
            changes["network_id"] = find_network(tx, network).id
        tx.update_device(found.id, **changes)
        return find_device(tx, device)

    changed = place.transact(work)
    if as_json:
        print_json(view(changed) | ({"key": changes["key"]} if new_key else {}))
        return
    say(f"changed device [bold]{shown(changed.guid)}[/]")
    if new_key:
        say(f"its key, shown only now: [bold]{shown(changes['key'])}[/]")


@app.command()
@placed
def delete(device: Guid, yes: Yes = False, place: Place = HERE) -> None:
    """Delete a device. Its connections end within a second; its messages can no longer be read."""
    confirm(place.told(f"Delete device {device}?"), yes=yes)

    def work(tx: "Tx") -> None:
        tx.delete_device(find_device(tx, device).guid)

    place.transact(work)
    say(f"deleted device [bold]{shown(device)}[/]")


def every_device(tx: "Tx") -> Iterator["Device"]:
    """All devices, read in pages."""
    after = ""
    while page := tx.devices(after=after, limit=PAGE):
        yield from page
        after = page[-1].guid


def view(device: "Device") -> dict[str, Any]:
    """A device as ``--json`` prints it: the wire's view without secrets."""
    from protocol.device_views import DEVICE_FOR_DEVICE

    return DEVICE_FOR_DEVICE(device)


def plain_code(state: "EquipmentState") -> str:
    from hub.cli.output import plain

    return plain(state.code)


def _class(tx: "Tx", name: str, version: str, *, offline_timeout_s: int | None) -> "DeviceClass":
    known = tx.device_class(name, version)
    if known is None:
        return tx.insert_class(name=name, version=version, offline_timeout_s=offline_timeout_s)
    if offline_timeout_s not in (None, known.offline_timeout_s):
        fail(f"class {name} {version} exists, with offline timeout {_seconds(known.offline_timeout_s) or 'none'}")
    return known


def _new_key(*, key_stdin: bool) -> str:
    if key_stdin:
        return text_of(read_key("the device's key"), what="the key", most=DEVICE_KEY_MAX)
    import secrets

    return secrets.token_urlsafe(24)


def _class_name(device: "Device") -> str:
    return f"{device.device_class.name} {device.device_class.version}"


def _seconds(value: int | None) -> str | None:
    return None if value is None else f"{value} s"


def _state_view(state: "EquipmentState") -> dict[str, Any]:
    return {"id": state.code, "timestamp": utc(state.timestamp_ms), "parameters": state.parameters}
