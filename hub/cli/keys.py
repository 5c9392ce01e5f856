"""``hub key``: access keys, the credentials of programs."""

import difflib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hub.cli.key_explain import explain
from hub.cli.lookup import find_key, find_network, find_user
from hub.cli.options import AsJson
from hub.cli.output import fail, misused, note, print_json, print_members, print_table, say, shown
from hub.cli.place import HERE, Place, placed
from hub.cli.values import moment_ms, storable, text_of, utc
from protocol.names import ADMIN_ACTIONS, GUID_MAX, LABEL_MAX, KeyAction, KeyType

if TYPE_CHECKING:
    from hub.store import NewKey, Tx
    from protocol.entities import AccessKey, KeyPermission, User

app = typer.Typer(
    help="Access keys: credentials of programs. A key acts for its owner, narrowed by its permissions.",
    no_args_is_help=True,
)

_WATCH = (
    KeyAction.GET_NETWORK,
    KeyAction.GET_DEVICE,
    KeyAction.GET_DEVICE_STATE,
    KeyAction.GET_DEVICE_NOTIFICATION,
    KeyAction.GET_DEVICE_COMMAND,
)
PRESETS: dict[str, tuple[KeyAction, ...] | None] = {
    "watch": _WATCH,
    "control": (*_WATCH, KeyAction.CREATE_DEVICE_COMMAND),
    "gateway": (
        KeyAction.GET_DEVICE,
        KeyAction.REGISTER_DEVICE,
        KeyAction.GET_DEVICE_COMMAND,
        KeyAction.UPDATE_DEVICE_COMMAND,
        KeyAction.CREATE_DEVICE_NOTIFICATION,
    ),
    "full": None,
}
"""Rights that belong together; None: whatever the owner may."""

Preset = Literal["watch", "control", "gateway", "full"]
Id = Annotated[int, typer.Argument(metavar="ID", help="As `hub key list` shows it.")]


@app.command()
@placed
def create(
    user: Annotated[str, typer.Option("--user", metavar="USER", help="The owner: login or id.")],
    label: Annotated[str, typer.Option(help="What the key is for; 1 to 64 characters, once per owner.")],
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="watch: read everything. control: watch and send commands. gateway: speak for devices. full: all "
            "that the owner may."
        ),
    ] = None,
    action: Annotated[list[str] | None, typer.Option(help="Allow an action, such as GetDevice; repeatable.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Only devices of this network; repeatable.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(metavar="GUID", help="Only this device; repeatable.")] = None,
    subnet: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="Only from these addresses, such as 10.0.0.0/8.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="From browsers, only on pages of this host.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="30d, or a date such as 2030-12-31; never unless given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the key and nothing else.")] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Create an access key. The key is printed once and cannot be shown again.

    [bold]Examples[/]

      hub key create --user ann --label dashboard --preset watch
      hub key create --user ann --label lamp-button --preset control --device lamp --expires 30d
      HUB_KEY=$(hub key create --user dhadmin --label cli --preset full --quiet) hub tail
    """
    name = text_of(label, what="the label", most=LABEL_MAX)
    actions = _actions(preset, action or ())
    expires_ms = None if expires is None else _in_the_future(expires)
    limits = {
        "device_guids": _optional(text_of(guid, what="a guid", most=GUID_MAX) for guid in device or ()),
        "subnets": _optional(_subnet(text) for text in subnet or ()),
        "domains": _optional(_domain(text) for text in domain or ()),
    }

    def work(tx: "Tx") -> tuple["NewKey", "User", list[str]]:
        from protocol.entities import KeyPermission

        owner = find_user(tx, user)
        if any(key.label == name for key in tx.keys(owner.id)):
            fail(f"{owner.login} has a key with the label {name} already; revoke it or choose another label")
        networks = _optional(find_network(tx, word).id for word in network or ())
        permission = KeyPermission(actions=actions, network_ids=networks, **limits)
        made = tx.insert_key(user_id=owner.id, label=name, permissions=[permission], expires_ms=expires_ms)
        return made, owner, [guid for guid in device or () if tx.device(guid.strip()) is None]

    made, owner, unknown = place.transact(work)
    _hint(owner, actions, unknown)
    if quiet:
        typer.echo(made.secret)
    elif as_json:
        print_json(view(made.key) | {"key": made.secret})
    else:
        say(f"created key {made.key.id} of [bold]{shown(owner.login)}[/], {_until(made.key)}")
        say(f"the key, shown only now: [bold]{shown(made.secret)}[/]")


@app.command("list")
@placed
def list_keys(
    user: Annotated[str | None, typer.Option(metavar="USER", help="Only keys of this user.")] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """List access keys; of each only its beginning."""

    def work(tx: "Tx") -> tuple[list["AccessKey"], dict[int, str]]:
        owner = find_user(tx, user).id if user is not None else None
        return tx.keys(owner), {each.id: each.login for each in tx.users()}

    keys, logins = place.transact(work)
    if as_json:
        print_json([view(key) for key in keys])
        return
    rows = [
        (
            key.id,
            f"{key.start}…",
            key.label,
            logins.get(key.user_id),
            _kind(key),
            _until(key),
            _summary(key.permissions),
        )
        for key in keys
    ]
    print_table(["id", "key", "label", "owner", "type", "expires", "may"], rows, empty="no access keys")


@app.command()
@placed
def show(
    key: Id,
    secret: Annotated[
        bool, typer.Option("--secret", help="Show the key itself (HUB_ACCESS_KEYS_READABLE installations only).")
    ] = False,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Show an access key with its permissions."""

    def work(tx: "Tx") -> tuple["AccessKey", "User | None", str | None]:
        found = find_key(tx, key)
        return found, tx.user(found.user_id), tx.readable_key(key) if secret else None

    found, owner, text = place.transact(work)
    if secret and text is None:
        fail("no readable copy of this key was kept; make a new one with `hub key create`")
    if as_json:
        print_json(view(found) | ({"key": text} if secret else {}))
        return
    print_members(
        {
            "id": found.id,
            "key": text or found.masked,
            "label": found.label,
            "owner": owner.login if owner else None,
            "type": _kind(found),
            "expires": _until(found),
            **{f"permission {number}": _told(permission) for number, permission in enumerate(found.permissions, 1)},
        }
    )


@app.command()
@placed
def revoke(keys: Annotated[list[int], typer.Argument(metavar="ID…")], place: Place = HERE) -> None:
    """Revoke access keys: they are deleted, and connections that use them end within a second.

    [bold]Examples[/]

      hub key revoke 3 4
    """

    def work(tx: "Tx") -> None:
        for key_id in keys:
            tx.delete_key(find_key(tx, key_id).id)

    place.transact(work)
    say(f"revoked {', '.join(str(key_id) for key_id in keys)}")


app.command()(placed(explain))


def view(key: "AccessKey") -> dict[str, Any]:
    """A key as ``--json`` prints it: masked."""
    return {
        "id": key.id,
        "userId": key.user_id,
        "label": key.label,
        "key": key.masked,
        "type": _kind(key),
        "expirationDate": utc(key.expires_ms),
        "permissions": [permission.view() for permission in key.permissions],
    }


def _actions(preset: str | None, named: Iterable[str]) -> tuple[str, ...] | None:
    extra = [_action(name) for name in named]
    if preset is None and not extra:
        misused(f"say what the key may do: --preset {'|'.join(PRESETS)}, or --action for single actions")
    allowed = PRESETS[preset] if preset is not None else ()
    if allowed is None:
        return None
    return tuple(dict.fromkeys([*map(str, allowed), *extra]))


def _action(name: str) -> str:
    by_lower = {action.lower(): str(action) for action in KeyAction}
    if name.lower() not in by_lower:
        nearest = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.0)[0]
        misused(f"there is no action {name}; the nearest is {by_lower[nearest]}")
    return by_lower[name.lower()]


def _in_the_future(text: str) -> int:
    now_ms = time.time_ns() // 1_000_000
    expires_ms = moment_ms(text, now_ms=now_ms, what="--expires")
    if expires_ms <= now_ms:
        misused(f"--expires {text}: that has passed")
    return expires_ms


def _subnet(text: str) -> str:
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        misused(f"{text} is neither an address nor a block like 10.0.0.0/8")
    return text


def _domain(text: str) -> str:
    host = storable(text.strip().lower(), what="a domain")
    if not host or "/" in host or ":" in host or "*" in host or host.startswith("."):
        misused(f"{text!r}: write a domain as a host name, such as example.org; its subdomains count as well")
    return host


def _optional(values: Iterable[Any]) -> tuple[Any, ...] | None:
    """Null, not an empty list, where nothing was said: an empty list of a permission allows nothing."""
    return tuple(values) or None


def _hint(owner: "User", actions: tuple[str, ...] | None, unknown: list[str]) -> None:
    useless = sorted(ADMIN_ACTIONS & set(actions or ()))
    if useless and not owner.is_admin:
        note(f"{shown(owner.login)} is no administrator, so these have no effect: {', '.join(useless)}")
    if unknown:
        note(f"no such device yet: {shown(', '.join(unknown))}")


def _kind(key: "AccessKey") -> str:
    return {KeyType.DEFAULT: "key", KeyType.SESSION: "session", KeyType.OAUTH: "oauth"}[key.type]


def _until(key: "AccessKey") -> str:
    end = utc(key.expires_ms)
    if end is None:
        return "never expires"
    expired = key.expired(time.time_ns() // 1_000_000)
    return f"{'expired' if expired else 'until'} {end[:19]}Z"


def _summary(permissions: Iterable["KeyPermission"]) -> str:
    return "; ".join(map(_told, permissions)) or "nothing"


def _told(permission: "KeyPermission") -> str:
    """One permission in words; what is not limited is not mentioned."""
    parts = ["everything" if permission.actions is None else _preset_of(permission.actions)]
    for word, values in (
        ("networks", permission.network_ids),
        ("devices", permission.device_guids),
        ("from", permission.subnets),
        ("on pages of", permission.domains),
    ):
        if values is not None:
            parts.append(f"{word} {', '.join(map(str, values)) or 'none'}")
    return ", ".join(parts)


def _preset_of(actions: tuple[str, ...]) -> str:
    named = next((name for name, preset in PRESETS.items() if preset and set(preset) == set(actions)), None)
    return named or ", ".join(actions) or "nothing"
