"""Networks, as far as the caller's access goes: what is out of its scope does not exist for it."""

from collections.abc import Sequence
from typing import Any

from hub.actions.caller import Caller
from hub.actions.devices import delete_devices_of
from hub.actions.listing import listing, within
from hub.core.access import scopes_of_both
from hub.gateway import Gateway, Stamps
from hub.store import Listing, Tx
from protocol.device_forms import CreateNetwork, ListNetworks, OneNetwork, UpdateNetwork
from protocol.entities import Device, Network
from protocol.errors import ID_GIVEN, NETWORK_EXISTS, NETWORK_NOT_FOUND
from protocol.names import KeyAction
from protocol.requests import or_none
from protocol.rules import NETWORK, check


async def list_networks(gateway: Gateway, caller: Caller, ask: ListNetworks) -> list[Network]:
    """The networks that the caller sees."""
    ids = caller.principal.access.networks.get(KeyAction.GET_NETWORK, frozenset())
    asked = listing(ask, sort=ask.sort_field, equal={"name": ask.name}, like={"name": ask.name_pattern})
    return await gateway.store.consult(lambda tx: tx.list_networks(asked, ids))


async def get_network(gateway: Gateway, caller: Caller, ask: OneNetwork) -> tuple[Network, Sequence[Device]]:
    """A network, with those of its devices that the caller sees."""
    clauses = scopes_of_both(caller.principal, KeyAction.GET_NETWORK, KeyAction.GET_DEVICE, caller.peer)
    seen = within(clauses, network_id=ask.network_id)

    def work(tx: Tx) -> tuple[Network, Sequence[Device]]:
        network = _require(tx, caller, KeyAction.GET_NETWORK, ask.network_id)
        return network, tx.list_devices(Listing(), seen)

    return await gateway.store.consult(work)


async def create_network(gateway: Gateway, caller: Caller, ask: CreateNetwork) -> Network:
    """Make a network. Whoever made it is no member of it."""
    if or_none(ask.id) is not None:
        raise ID_GIVEN.error()
    name, key, description = or_none(ask.name), or_none(ask.key), or_none(ask.description)

    def work(tx: Tx, stamps: Stamps) -> Network:
        if name is not None and tx.network_by_name(name) is not None:
            raise NETWORK_EXISTS.error()
        check(NETWORK, name=name, key=key, description=description)
        return tx.insert_network(name=name, key=key, description=description)

    made: Network = await gateway.transact(work)
    return made


async def update_network(gateway: Gateway, caller: Caller, ask: UpdateNetwork) -> None:
    """Change a network."""
    changes: dict[str, Any] = {"name": ask.name, "key": ask.key, "description": ask.description}

    def work(tx: Tx, stamps: Stamps) -> None:
        network = _require(tx, caller, KeyAction.MANAGE_NETWORK, ask.network_id)
        check(NETWORK, **changes)
        tx.update_network(network.id, **changes)

    await gateway.transact(work)


async def delete_network(gateway: Gateway, caller: Caller, ask: OneNetwork) -> None:
    """Delete a network with all its devices, if it is there."""
    if not caller.principal.access.reaches_network(KeyAction.MANAGE_NETWORK, ask.network_id):
        return
    await delete_devices_of(gateway, network_id=ask.network_id)
    await gateway.transact(lambda tx, stamps: tx.delete_network(ask.network_id))


def _require(tx: Tx, caller: Caller, action: KeyAction, network_id: int) -> Network:
    network = tx.network(network_id)
    if network is None or not caller.principal.access.reaches_network(action, network_id):
        raise NETWORK_NOT_FOUND.error(id=network_id)
    return network
