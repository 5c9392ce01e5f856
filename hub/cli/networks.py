"""``hub network``: who sees which devices."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.devices import every_device
from hub.cli.lookup import find_network, find_user
from hub.cli.options import AsJson, Yes
from hub.cli.output import confirm, console, fail, misused, note, print_json, print_members, print_table, say, shown
from hub.cli.place import HERE, Place, placed
from hub.cli.secrets import read_key
from hub.cli.values import short_text, text_of
from protocol.names import DESCRIPTION_MAX, NAME_MAX, NETWORK_KEY_MAX

if TYPE_CHECKING:
    from hub.cli.sessions import Session
    from hub.store import Tx
    from protocol.entities import Network, User

app = typer.Typer(
    help="Networks: their members see the devices in them. A network is named by name, or by id.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(metavar="NETWORK", help="Name or id.")]
Users = Annotated[list[str], typer.Argument(metavar="USER…", help="Logins or ids.")]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the network's key from the first line of stdin.")]
NewKey = Annotated[bool, typer.Option("--new-key", help="Make a random key and print it.")]
Description = Annotated[str | None, typer.Option(help="Up to 128 characters.")]


@app.command()
@placed
def create(
    name: Annotated[str, typer.Argument(help="1 to 128 characters; no other network's.")],
    description: Description = None,
    key_stdin: KeyStdin = False,
    new_key: NewKey = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Create a network. Devices can register themselves into it only when it has a key, by repeating the key.

    [bold]Examples[/]

      hub network create home --new-key
      hub network create lab --description "second floor"
    """
    key = _key_from(key_stdin=key_stdin, new_key=new_key)
    members = {
        "name": text_of(name, what="the name", most=NAME_MAX),
        "description": short_text(description, what="the description", most=DESCRIPTION_MAX),
        "key": key,
    }

    def work(tx: "Tx") -> "Network":
        _refuse_taken(tx, str(members["name"]))
        return tx.insert_network(**members)  # type: ignore[arg-type]

    network = place.transact(work)
    if as_json:
        print_json(view(network) | ({"key": key} if new_key else {}))
        return
    say(f"created network [bold]{shown(network.name)}[/], id {network.id}")
    if new_key:
        say(f"its key: [bold]{shown(key)}[/]")


@app.command("list")
@placed
def list_networks(place: Place = HERE, as_json: AsJson = False) -> None:
    """List networks."""
    networks = place.transact(lambda tx: tx.networks())
    if as_json:
        print_json([view(network) for network in networks])
        return
    rows = [(each.id, each.name, "yes" if each.key else "no", each.description) for each in networks]
    print_table(["id", "name", "has a key", "description"], rows, empty="no networks")


@app.command()
@placed
def show(
    network: Which,
    secret: Annotated[bool, typer.Option("--secret", help="Show the network's key as well.")] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Show a network with its members."""

    def work(tx: "Tx") -> tuple["Network", list["User"]]:
        found = find_network(tx, network)
        return found, [user for user in tx.users() if found.id in user.networks]

    found, members = place.transact(work)
    key = {"key": found.key} if secret else {}
    logins = [user.login for user in members]
    if as_json:
        print_json(view(found) | key | {"users": logins})
        return
    print_members(
        {
            "id": found.id,
            "name": found.name,
            "description": found.description,
            "has a key": "yes" if found.key else "no",
            **key,
            "users": ", ".join(logins) or None,
        }
    )


@app.command()
@placed
def update(
    network: Which,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    description: Description = None,
    key_stdin: KeyStdin = False,
    new_key: NewKey = False,
    remove_key: Annotated[
        bool, typer.Option("--remove-key", help="Take the key away: nobody can register into the network.")
    ] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Change a network.

    [bold]Examples[/]

      hub network update home --name house
      hub network update home --new-key
    """
    if remove_key and (key_stdin or new_key):
        misused("--remove-key beside a new key: give one of them")
    key = _key_from(key_stdin=key_stdin, new_key=new_key)
    changes: dict[str, Any] = {"key": key} if key is not None or remove_key else {}
    if name is not None:
        changes["name"] = text_of(name, what="the name", most=NAME_MAX)
    if description is not None:
        changes["description"] = short_text(description, what="the description", most=DESCRIPTION_MAX)
    if not changes:
        misused("nothing to change; `hub network update --help` shows what can be")

    def work(tx: "Tx") -> "Network":
        found = find_network(tx, network)
        if changes.get("name", found.name) != found.name:
            _refuse_taken(tx, changes["name"])
        tx.update_network(found.id, **changes)
        return tx.network(found.id) or found

    changed = place.transact(work)
    if as_json:
        print_json(view(changed) | ({"key": key} if new_key else {}))
        return
    say(f"changed network [bold]{shown(changed.name)}[/]")
    if new_key:
        say(f"its key: [bold]{shown(key)}[/]")


@app.command()
@placed
def delete(network: Which, yes: Yes = False, place: Place = HERE) -> None:
    """Delete a network AND ALL ITS DEVICES. Their connections end within a second."""

    def look(tx: "Tx") -> tuple["Network", int]:
        found = find_network(tx, network)
        return found, sum(1 for device in every_device(tx) if device.network_id == found.id)

    found, devices = place.transact(look)
    confirm(place.told(f"Delete network {found.name} and every device in it ({devices})?"), yes=yes)

    with place.session() as session:
        _empty(session, found.id, devices)
        session.change(lambda tx: tx.delete_network(found.id))
    say(f"deleted network [bold]{shown(found.name)}[/], devices in it: {devices}")


def _empty(session: "Session", network_id: int, devices: int) -> None:
    """With a progress bar on a terminal."""
    from rich.progress import Progress

    out = console(stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("deleting devices", total=devices)
        for gone in session.empty(network_id):
            progress.advance(task, gone)


@app.command("add-user")
@placed
def add_user(network: Which, users: Users, place: Place = HERE) -> None:
    """Make users members of a network.

    [bold]Examples[/]

      hub network add-user home ann bob
    """

    def work(tx: "Tx") -> None:
        found = find_network(tx, network)
        for user in [find_user(tx, word) for word in users]:
            tx.add_member(user.id, found.id)

    place.transact(work)
    say(f"{shown(', '.join(users))}: in {shown(network)}")


@app.command("remove-user")
@placed
def remove_user(network: Which, users: Users, place: Place = HERE) -> None:
    """Take users out of a network. Their open subscriptions follow within a second."""

    def work(tx: "Tx") -> list[str]:
        found = find_network(tx, network)
        named = [find_user(tx, word) for word in users]
        for user in named:
            tx.remove_member(user.id, found.id)
        return [user.login for user in named if found.id not in user.networks]

    for login in place.transact(work):
        note(f"{shown(login)} was no member")
    say(f"{shown(', '.join(users))}: no longer in {shown(network)}")


def view(network: "Network") -> dict[str, Any]:
    """A network as ``--json`` prints it; the key stays out unless it is asked for."""
    return {
        "id": network.id,
        "name": network.name,
        "description": network.description,
        "hasKey": network.key is not None,
    }


def _key_from(*, key_stdin: bool, new_key: bool) -> str | None:
    if key_stdin and new_key:
        misused("--key-stdin and --new-key: give one of them")
    if new_key:
        import secrets

        return secrets.token_urlsafe(24)
    return short_text(read_key("the network's key"), what="the key", most=NETWORK_KEY_MAX) if key_stdin else None


def _refuse_taken(tx: "Tx", name: str) -> None:
    if tx.network_by_name(name) is not None:
        fail(f"there is a network {name} already; names are unique")
