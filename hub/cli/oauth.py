"""``hub oauth``: applications that users may let act for them, and what they have let them do."""

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from hub.cli.options import AsJson, Yes
from hub.cli.output import confirm, fail, misused, print_json, print_members, print_table, say, shown
from hub.cli.place import HERE, Place, placed
from hub.cli.values import short_text, text_of, utc
from protocol.names import NAME_MAX, OAUTH_ID_MAX, REDIRECT_URI_MAX, SUBNET_MAX

if TYPE_CHECKING:
    from hub.store import Tx
    from protocol.entities import OAuthClient, OAuthGrant

app = typer.Typer(
    help="OAuth 2: applications (clients), and what users let them do (grants). A client is named by its OAuth id.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(metavar="CLIENT", help="The client's OAuth id.")]
Domain = Annotated[str | None, typer.Option(help="On whose pages its keys may be used.")]
Redirect = Annotated[str | None, typer.Option("--redirect-uri", metavar="URL", help="Where browsers are sent back to.")]
Subnet = Annotated[str | None, typer.Option(metavar="CIDR", help="From where its keys may be used; empty: anywhere.")]
Name = Annotated[str | None, typer.Option(help="What people read on the page; unless given, the OAuth id.")]

_LIMITS = {
    "name": NAME_MAX,
    "domain": NAME_MAX,
    "redirect_uri": REDIRECT_URI_MAX,
    "oauth_id": OAUTH_ID_MAX,
}


@app.command()
@placed
def create(
    oauth_id: Annotated[str, typer.Argument(metavar="ID", help="1 to 32 characters; no other client's.")],
    domain: Annotated[str, typer.Option(help="On whose pages its keys may be used.")],
    redirect_uri: Annotated[
        str, typer.Option("--redirect-uri", metavar="URL", help="Where browsers are sent back to.")
    ],
    name: Name = None,
    subnet: Subnet = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Register an application, and print its secret.

    [bold]Examples[/]

      hub oauth create wall --name "Wall display" --domain wall.example.org --redirect-uri https://wall.example.org/cb
    """
    values = _texts(oauth_id=oauth_id, name=name or oauth_id, domain=domain, redirect_uri=redirect_uri)
    values["subnet"] = short_text(subnet, what="the subnet", most=SUBNET_MAX)

    def work(tx: "Tx") -> tuple["OAuthClient", str]:
        _refuse_taken(tx, str(values["oauth_id"]))
        made = tx.oauth.insert_client(**values)
        return made.client, made.secret

    client, secret = place.transact(work)
    if as_json:
        print_json(view(client) | {"secret": secret})
        return
    say(f"registered [bold]{shown(client.name)}[/], OAuth id {shown(client.oauth_id)}")
    say(f"its secret: [bold]{shown(secret)}[/]")


@app.command("list")
@placed
def list_clients(place: Place = HERE, as_json: AsJson = False) -> None:
    """List applications."""
    from hub.store import Listing

    clients = place.transact(lambda tx: tx.oauth.list_clients(Listing()))
    if as_json:
        print_json([view(client) for client in clients])
        return
    rows = [(each.oauth_id, each.name, each.domain, each.redirect_uri) for each in clients]
    print_table(["OAuth id", "name", "domain", "redirect URI"], rows, empty="no applications")


@app.command()
@placed
def show(
    client: Which,
    secret: Annotated[bool, typer.Option("--secret", help="Show its secret as well.")] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Show an application."""

    def work(tx: "Tx") -> dict[str, Any]:
        found = _find(tx, client)
        return view(found) | ({"secret": tx.oauth.client_secret(found.id)} if secret else {})

    members = place.transact(work)
    if as_json:
        print_json(members)
        return
    print_members(members)


@app.command()
@placed
def update(
    client: Which,
    name: Name = None,
    domain: Domain = None,
    redirect_uri: Redirect = None,
    subnet: Subnet = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Change an application. Keys that it has already stay as they are.

    [bold]Examples[/]

      hub oauth update wall --redirect-uri https://wall.example.org/back
    """
    changes = _texts(name=name, domain=domain, redirect_uri=redirect_uri)
    if subnet is not None:
        changes["subnet"] = short_text(subnet, what="the subnet", most=SUBNET_MAX)
    if not changes:
        misused("nothing to change; `hub oauth update --help` shows what can be")

    def work(tx: "Tx") -> "OAuthClient":
        found = _find(tx, client)
        tx.oauth.update_client(found.id, **changes)
        return tx.oauth.client(found.id) or found

    changed = place.transact(work)
    if as_json:
        print_json(view(changed))
        return
    say(f"changed [bold]{shown(changed.name)}[/]")


@app.command()
@placed
def delete(client: Which, yes: Yes = False, place: Place = HERE) -> None:
    """Delete an application with its grants. Keys that it has by them work no more."""
    from hub.store import DELETED_AT_ONCE

    found = place.transact(lambda tx: _find(tx, client))
    confirm(place.told(f"Delete {found.name} and everything that users let it do?"), yes=yes)
    gone = DELETED_AT_ONCE
    while gone == DELETED_AT_ONCE:
        gone = place.transact(lambda tx: tx.oauth.delete_client(found.id, limit=DELETED_AT_ONCE))
    say(f"deleted [bold]{shown(found.name)}[/]")


@app.command()
@placed
def grants(
    client: Annotated[str | None, typer.Option(metavar="CLIENT", help="Only those of this OAuth id.")] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """List what users let applications do."""
    from hub.store import Listing

    equal = {"client_oauth_id": client}
    found = place.transact(lambda tx: tx.oauth.list_grants(Listing(equal=equal)))
    if as_json:
        print_json([view_grant(grant) for grant in found])
        return
    rows = [
        (each.id, each.client.oauth_id, each.scope, each.access_type, each.key.id, utc(each.key.expires_ms))
        for each in found
    ]
    print_table(["id", "client", "may", "access", "key", "key expires"], rows, empty="no grants")


@app.command()
@placed
def revoke(grant: Annotated[int, typer.Argument(metavar="GRANT", help="Its id.")], place: Place = HERE) -> None:
    """Take back what a user let an application do, with its key. Its connections end within a second."""

    def work(tx: "Tx") -> None:
        if tx.oauth.grant(grant) is None:
            fail(f"there is no grant {grant}; `hub oauth grants` shows all")
        tx.oauth.delete_grant(grant)

    place.transact(work)
    say(f"revoked grant {grant}")


def view(client: "OAuthClient") -> dict[str, Any]:
    """An application as ``--json`` prints it; the secret stays out unless it is asked for."""
    return {
        "id": client.id,
        "oauthId": client.oauth_id,
        "name": client.name,
        "domain": client.domain,
        "redirectUri": client.redirect_uri,
        "subnet": client.subnet,
    }


def view_grant(grant: "OAuthGrant") -> dict[str, Any]:
    """A grant as ``--json`` prints it; its code stays out."""
    return {
        "id": grant.id,
        "client": grant.client.oauth_id,
        "type": grant.type,
        "accessType": grant.access_type,
        "scope": grant.scope,
        "networkIds": None if grant.network_ids is None else list(grant.network_ids),
        "timestamp": utc(grant.timestamp_ms),
        "keyId": grant.key.id,
        "keyExpires": utc(grant.key.expires_ms),
    }


def _texts(**values: str | None) -> dict[str, Any]:
    return {
        name: text_of(value, what=f"the {name.replace('_', ' ')}", most=_LIMITS[name])
        for name, value in values.items()
        if value is not None
    }


def _find(tx: "Tx", oauth_id: str) -> "OAuthClient":
    found = tx.oauth.client_by_oauth_id(oauth_id)
    return found if found is not None else _unknown(oauth_id)


def _unknown(oauth_id: str) -> NoReturn:
    fail(f"there is no application {oauth_id}; `hub oauth list` shows all")


def _refuse_taken(tx: "Tx", oauth_id: str) -> None:
    if tx.oauth.client_by_oauth_id(oauth_id) is not None:
        fail(f"there is an application {oauth_id} already; OAuth ids are unique")
