"""``hub key explain``: what a key may, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.lookup import find_key
from hub.cli.options import AsJson
from hub.cli.output import fail, misused, print_json, say, shown
from hub.cli.place import HERE, Place

if TYPE_CHECKING:
    from hub.core.explain import Explanation
    from hub.store import Tx


def explain(
    key: Annotated[int, typer.Argument(metavar="ID", help="As `hub key list` shows it.")],
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="Such as CreateDeviceCommand, command/insert or listDevices.")
    ],
    device: Annotated[str | None, typer.Option(metavar="GUID", help="Done to this device.")] = None,
    network: Annotated[int | None, typer.Option(metavar="ID", help="Done to this network.")] = None,
    address: Annotated[
        str | None, typer.Option(metavar="IP", help="By somebody at this address, for keys with subnets.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(metavar="ORIGIN", help="On a page of this origin, for keys with domains.")
    ] = None,
    place: Place = HERE,
    as_json: AsJson = False,
) -> None:
    """Tell whether an access key may do something, and why: by the rules that the hub goes by.

    [bold]Examples[/]

      hub key explain 3 CreateDeviceCommand --device lamp
      hub key explain 3 GetDevice --device lamp --address 10.1.2.3 --json
    """
    import time

    from hub.core.access import Peer, key_principal, parse_address
    from hub.core.explain import Explanation, Target, rule_named, unusable
    from hub.core.explain import explain as explained

    rule = rule_named(action)
    if rule is None:
        misused(f"there is no action {action}; the names are those of `hub key create --action` and of the API")
    if device is not None and network is not None:
        misused("--device and --network: give one of them")
    peer = Peer(None if address is None else parse_address(address), origin)
    if address is not None and peer.address is None:
        misused(f"{address} is no address")

    def work(tx: "Tx") -> "Explanation":
        found = find_key(tx, key)
        owner = tx.user(found.user_id)
        if owner is None:
            fail(f"the owner of access key {key} is gone")
        if links := unusable(owner, found, time.time_ns() // 1_000_000):
            return Explanation(False, tuple(links))
        there = None if device is None else tx.device(device)
        target = (
            Target(device, exists=device is None, network=network, is_absent=device is not None)
            if there is None
            else Target(there.guid, there.network_id, there.groups)
        )
        return explained(rule, key_principal(found, owner, peer), target, peer)

    explanation = place.transact(work)
    if as_json:
        print_json(explanation.members())
        return
    say("[bold]allowed[/]" if explanation.allowed else "[bold]not allowed[/]")
    for link in explanation.because:
        say(f"  {shown(in_words(link))}")


def in_words(link: dict[str, Any]) -> str:
    """One link of the chain, as a sentence."""
    of_key = f"permission {link['permission']} of key {link['key']}" if "permission" in link else ""
    condition = link.get("condition")
    if condition is None:
        return _granted(link, of_key)
    has = link.get("has")
    listed = ", ".join(map(str, has)) if isinstance(has, list) else has
    sentences = {
        "role": f"a {link.get('role')} does not do that; who does: {listed}",
        "permissions": f"key {link.get('key')} has no permissions at all",
        "owner": f"{of_key}: only keys of administrators do that, and the owner is a {listed}",
        "visible": f"{of_key}: user {link.get('user')} does not reach it",
        "exists": f"there is no device {link.get('deviceGuid')}",
        "expired": f"key {link.get('key')} has expired",
        "status": f"user {link.get('user')} is {listed}",
    }
    if condition in sentences:
        return sentences[condition]
    come = {"subnets": f", and the address is {link.get('address') or 'not known'}"}.get(
        condition, f", and the origin is {link['origin']}" if "origin" in link else ""
    )
    return f"{of_key}: {condition} has {listed or 'nothing'}{come}"


def _granted(link: dict[str, Any], of_key: str) -> str:
    if of_key:
        return f"{of_key} lets it through"
    if "user" not in link:
        return f"the role is {link['role']}"
    way = {
        "role": "is an administrator, who reaches everything",
        "network": f"is a member of network {link.get('network')}",
        "device": f"is linked to device {link.get('device')}",
        "group": f"is linked to group {link.get('group')}",
    }
    return f"user {link['user']} {next(text for name, text in way.items() if name in link)}"
