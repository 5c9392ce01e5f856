"""``hub user``: people and programs with a login."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hub.cli.lookup import find_network, find_user, user_of_any_status
from hub.cli.options import AsJson, PasswordStdin, Yes
from hub.cli.output import confirm, fail, misused, print_json, print_members, print_table, say, shown
from hub.cli.place import HERE, Place, placed
from hub.cli.secrets import read_password
from hub.cli.values import json_value, text_of, utc
from protocol.names import LOGIN_MAX, UserRole, UserStatus

if TYPE_CHECKING:
    from hub.store import Tx
    from protocol.entities import User

app = typer.Typer(
    help="Users: people and programs with a login. A user is named by login, or by id.", no_args_is_help=True
)

Role = Literal["admin", "client"]
Status = Literal["active", "locked-out", "disabled", "deleted"]
ROLES: dict[str, UserRole] = {"admin": UserRole.ADMIN, "client": UserRole.CLIENT}
STATUSES: dict[str, UserStatus] = {
    "active": UserStatus.ACTIVE,
    "locked-out": UserStatus.LOCKED_OUT,
    "disabled": UserStatus.DISABLED,
    "deleted": UserStatus.DELETED,
}

Who = Annotated[str, typer.Argument(metavar="USER", help="Login or id.")]
Networks = Annotated[
    list[str] | None, typer.Option("--network", metavar="NETWORK", help="Name or id of a network; may be repeated.")
]


@app.command()
@placed
def create(
    login: Annotated[str, typer.Argument(help="1 to 64 characters; nobody else's.")],
    role: Annotated[Role, typer.Option(help="admin sees and may everything.")] = "client",
    status: Annotated[Status, typer.Option()] = "active",
    network: Networks = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="Anything about the user.")] = None,
    password_stdin: PasswordStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Make a user who acts through access keys only.")
    ] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Create a user. The password is asked for, or read from stdin.

    [bold]Examples[/]

      hub user create ann --network home
      pass show hub/ann | hub user create ann --network home --password-stdin
      hub user create robot --no-password
    """
    if password_stdin and no_password:
        misused("--password-stdin and --no-password: give one of them")
    name = text_of(login, what="the login", most=LOGIN_MAX)
    about = None if data is None else json_value(data, what="--data")
    secret = {} if no_password else place.password(read_password(name, from_stdin=password_stdin))

    def work(tx: "Tx") -> "User":
        _refuse_taken(tx, name)
        networks = [find_network(tx, word) for word in network or ()]
        user = tx.insert_user(login=name, role=ROLES[role], status=STATUSES[status], data=about, **secret)
        for each in networks:
            tx.add_member(user.id, each.id)
        return tx.user(user.id) or user

    user = place.transact(work)
    if as_json:
        print_json(view(user))
    else:
        say(f"created {role} [bold]{shown(user.login)}[/], id {user.id}")


@app.command("list")
@placed
def list_users(
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only members of this network.")] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """List users."""

    def work(tx: "Tx") -> list["User"]:
        within = find_network(tx, network).id if network is not None else None
        return [user for user in tx.users() if within is None or within in user.networks]

    users = place.transact(work)
    if as_json:
        print_json([view(user) for user in users])
        return
    rows = [(user.id, user.login, *words_of(user), utc(user.last_login_ms)) for user in users]
    print_table(["id", "login", "role", "status", "last login"], rows, empty="no users")


@app.command()
@placed
def show(user: Who, place: Place = HERE, as_json: AsJson = False) -> None:
    """Show a user with networks and number of access keys."""

    def work(tx: "Tx") -> tuple["User", list[str], int]:
        found = find_user(tx, user)
        names = [network.name for network in tx.networks() if network.id in found.networks]
        return found, names, len(tx.keys(found.id))

    found, networks, keys = place.transact(work)
    if as_json:
        print_json({**view(found), "accessKeys": keys})
        return
    role, status = words_of(found)
    print_members(
        {
            "id": found.id,
            "login": found.login,
            "role": role,
            "status": status,
            "last login": utc(found.last_login_ms),
            "networks": ", ".join(networks) or None,
            "access keys": keys,
            "data": _compact(found.data),
        }
    )


@app.command()
@placed
def update(
    user: Who,
    login: Annotated[str | None, typer.Option(help="A new login.")] = None,
    role: Annotated[Role | None, typer.Option()] = None,
    status: Annotated[Status | None, typer.Option(help="active also unlocks.")] = None,
    network: Networks = None,
    remove_network: Annotated[
        list[str] | None, typer.Option("--remove-network", metavar="NETWORK", help="Leave a network.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="null removes it.")] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Change a user; --network adds a membership. Open connections follow within a second.

    [bold]Examples[/]

      hub user update ann --network garage
      hub user update ann --status disabled
    """
    changes: dict[str, Any] = {}
    if login is not None:
        changes["login"] = text_of(login, what="the login", most=LOGIN_MAX)
    if role is not None:
        changes["role"] = ROLES[role]
    if status is not None:
        changes["status"] = STATUSES[status]
    if data is not None:
        changes["data"] = json_value(data, what="--data")
    if not changes and not network and not remove_network:
        misused("nothing to change; `hub user update --help` shows what can be")

    def work(tx: "Tx") -> "User":
        found = find_user(tx, user)
        keep_an_administrator(tx, found, role=changes.get("role"), status=changes.get("status"))
        if "login" in changes and changes["login"] != found.login:
            _refuse_taken(tx, changes["login"])
        joined = [find_network(tx, word).id for word in network or ()]
        left = [find_network(tx, word).id for word in remove_network or ()]
        if changes:
            tx.update_user(found.id, **changes)
        for network_id in joined:
            tx.add_member(found.id, network_id)
        for network_id in left:
            tx.remove_member(found.id, network_id)
        return tx.user(found.id) or found

    changed = place.transact(work)
    if as_json:
        print_json(view(changed))
    else:
        say(f"changed [bold]{shown(changed.login)}[/]")


@app.command()
@placed
def delete(user: Who, yes: Yes = False, place: Place = HERE) -> None:
    """Delete a user with memberships and access keys. Its connections end within a second."""
    confirm(place.told(f"Delete user {user} with all access keys?"), yes=yes)

    def work(tx: "Tx") -> str:
        found = find_user(tx, user)
        keep_an_administrator(tx, found, status=UserStatus.DELETED)
        tx.delete_user(found.id)
        return found.login

    say(f"deleted [bold]{shown(place.transact(work))}[/]")


@app.command()
@placed
def password(
    user: Who,
    password_stdin: PasswordStdin = False,
    remove: Annotated[bool, typer.Option("--remove", help="Leave the user without a password.")] = False,
    place: Place = HERE,
) -> None:
    """Set a user's password. Connections and session keys that came of the old one end within a second.

    [bold]Examples[/]

      hub user password dhadmin
      openssl rand -base64 18 | tee /dev/tty | hub user password ann --password-stdin
    """
    if password_stdin and remove:
        misused("--password-stdin and --remove: give one of them")
    login = place.transact(lambda tx: find_user(tx, user).login)
    secret = place.password(None if remove else read_password(login, from_stdin=password_stdin))

    def work(tx: "Tx") -> None:
        from hub.actions.user_changes import end_sessions

        found = find_user(tx, user)
        tx.set_password(found.id, **secret)  # type: ignore[arg-type]
        if not place.is_remote:  # A hub does so itself.
            end_sessions(tx, found.id)

    place.transact(work)
    say(f"{'removed' if remove else 'set'} the password of [bold]{shown(login)}[/]")


def view(user: "User") -> dict[str, Any]:
    """A user as ``--json`` prints it."""
    role, status = words_of(user)
    return {
        "id": user.id,
        "login": user.login,
        "role": role,
        "status": status,
        "lastLogin": utc(user.last_login_ms),
        "networks": sorted(user.networks),
        "data": user.data,
    }


def _refuse_taken(tx: "Tx", login: str) -> None:
    # The login of a user whose status is DELETED stays taken as well.
    if user_of_any_status(tx, login) is not None:
        fail(f"there is a user {login} already; logins are unique")


def keep_an_administrator(
    tx: "Tx", user: "User", *, role: UserRole | None = None, status: UserStatus | None = None
) -> None:
    """Refuse what would leave the hub without anybody who can manage it."""
    stays = role in (None, UserRole.ADMIN) and status in (None, UserStatus.ACTIVE)
    if user.is_admin and user.is_active and not stays and tx.active_administrators() <= 1:
        fail(f"{user.login} is the last active administrator; make another one first")


def words_of(user: "User") -> tuple[str, str]:
    """Role and status as commands write them."""
    role = next(word for word, value in ROLES.items() if value is user.role)
    return role, next(word for word, value in STATUSES.items() if value is user.status)


def _compact(data: Any) -> str | None:
    import json

    return None if data is None else json.dumps(data, ensure_ascii=False)
