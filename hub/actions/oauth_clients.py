"""OAuth clients: applications that users may let act for them."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.listing import listing
from hub.gateway import Gateway
from hub.store import DELETED_AT_ONCE, Tx
from protocol.entities import OAuthClient
from protocol.errors import (
    ID_GIVEN,
    OAUTH_CLIENT_NOT_FOUND,
    OAUTH_CLIENT_TO_CHANGE_NOT_FOUND,
    OAUTH_ID_TAKEN,
)
from protocol.names import Role
from protocol.oauth_forms import CreateClient, ListClients, OneClient, UpdateClient
from protocol.oauth_views import ShownClient
from protocol.requests import or_none
from protocol.rules import OAUTH_CLIENT, check

_COLUMNS = {"oauthid": "oauth_id"}


async def list_clients(gateway: Gateway, caller: Caller, ask: ListClients) -> list[ShownClient]:
    """OAuth clients. A pattern for the name makes the name itself be ignored."""
    name = ask.name if ask.name_pattern is None else None
    asked = listing(
        ask,
        sort=_COLUMNS.get(ask.sort_field or "", ask.sort_field),
        equal={"name": name, "domain": ask.domain, "oauth_id": ask.oauth_id},
        like={} if ask.name_pattern is None else {"name": ask.name_pattern},
    )
    return await gateway.store.consult(
        lambda tx: [_shown(tx, caller, client) for client in tx.oauth.list_clients(asked)]
    )


async def get_client(gateway: Gateway, caller: Caller, ask: OneClient) -> ShownClient:
    """One OAuth client."""

    def work(tx: Tx) -> ShownClient:
        client = tx.oauth.client(ask.client_id)
        if client is None:
            raise OAUTH_CLIENT_NOT_FOUND.error(id=ask.client_id)
        return _shown(tx, caller, client)

    return await gateway.store.consult(work)


async def create_client(gateway: Gateway, caller: Caller, ask: CreateClient) -> ShownClient:
    """Make an OAuth client with a secret of the hub's choice."""
    if or_none(ask.id) is not None:
        raise ID_GIVEN.error()
    values = {name: or_none(value) for name, value in _values(ask).items()}

    def work(tx: Tx, _: object) -> ShownClient:
        _check(tx, values)
        made = tx.oauth.insert_client(**values)
        return ShownClient(made.client, made.secret)

    shown: ShownClient = await gateway.transact(work)
    return shown


async def update_client(gateway: Gateway, caller: Caller, ask: UpdateClient) -> None:
    """Change what is given of an OAuth client. Keys that it has already stay as they are."""

    def work(tx: Tx, _: object) -> None:
        client = tx.oauth.client(ask.client_id)
        if client is None:
            raise OAUTH_CLIENT_TO_CHANGE_NOT_FOUND.error(id=ask.client_id)
        values = _values(ask)
        _check(tx, values, but=client)
        tx.oauth.update_client(client.id, **values)

    await gateway.transact(work)


async def delete_client(gateway: Gateway, caller: Caller, ask: OneClient) -> None:
    """Delete an OAuth client, if it is there, with its grants and the keys that it has by them: a few at a time, so
    that the writes of others pass between them. If it is broken off, it is still there; repeating it is safe."""
    gone = DELETED_AT_ONCE
    while gone == DELETED_AT_ONCE:
        gone = await gateway.transact(lambda tx, _: tx.oauth.delete_client(ask.client_id, limit=DELETED_AT_ONCE))


def _shown(tx: Tx, caller: Caller, client: OAuthClient) -> ShownClient:
    """A client as its caller sees it: the secret is for administrators in person."""
    return ShownClient(client, tx.oauth.client_secret(client.id) if caller.principal.role is Role.ADMIN else None)


def _values(ask: CreateClient | UpdateClient) -> dict[str, Any]:
    return {
        "name": ask.name,
        "domain": ask.domain,
        "subnet": None if ask.subnet == "" else ask.subnet,
        "redirect_uri": ask.redirect_uri,
        "oauth_id": ask.oauth_id,
    }


def _check(tx: Tx, values: dict[str, Any], *, but: OAuthClient | None = None) -> None:
    oauth_id = values["oauth_id"]
    holder = tx.oauth.client_by_oauth_id(oauth_id) if isinstance(oauth_id, str) else None
    if holder is not None and (but is None or holder.id != but.id):
        raise OAUTH_ID_TAKEN.error()
    check(
        OAUTH_CLIENT,
        name=values["name"],
        domain=values["domain"],
        subnet=values["subnet"],
        redirectUri=values["redirect_uri"],
        oauthId=oauth_id,
    )
