"""OAuth grants: what users let OAuth clients do, each with the key that the client gets."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from hub.actions.caller import Caller
from hub.actions.listing import listing
from hub.actions.makers import check_covered, is_covered, maker_of, shown_key, to_user_id
from hub.core.grants import Wanted, as_wanted
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_views import ShownKey
from protocol.entities import AccessKey, OAuthClient, OAuthGrant, User
from protocol.errors import (
    CLIENT_NULL,
    GRANT_INCOMPLETE,
    GRANT_NOT_FOUND,
    NOT_PERMITTED,
    USER_NOT_FOUND,
    HubError,
)
from protocol.names import AccessType, GrantType
from protocol.oauth_forms import CreateGrant, GrantForm, ListGrants, OneGrant, UpdateGrant
from protocol.oauth_views import ShownClient, ShownGrant
from protocol.requests import Unset, or_none
from protocol.rules import OAUTH_GRANT, check

_CLIENT_REQUIRED = "Client field is required"


async def list_grants(gateway: Gateway, caller: Caller, ask: ListGrants) -> list[ShownGrant]:
    """A user's grants; an administrator's are everybody's."""
    asked = listing(
        ask,
        sort="timestamp_ms",
        equal={
            "client_oauth_id": ask.client_oauth_id,
            "type": ask.type,
            "scope": ask.scope,
            "redirect_uri": ask.redirect_uri,
            "access_type": ask.access_type,
        },
    )

    def work(tx: Tx) -> list[ShownGrant]:
        user = _addressed(tx, caller, ask.user)
        whose = None if user.is_admin else user.id
        found = tx.oauth.list_grants(asked, user_id=whose, after_ms=ask.start_ms, before_ms=ask.end_ms)
        maker = maker_of(tx, gateway, caller)
        return [_shown(tx, grant, user, maker) for grant in found]

    return await gateway.store.consult(work)


async def get_grant(gateway: Gateway, caller: Caller, ask: OneGrant) -> ShownGrant:
    """One of a user's grants."""

    def work(tx: Tx) -> ShownGrant:
        user = _addressed(tx, caller, ask.user)
        return _shown(tx, _require(tx, user, ask.grant_id), user, maker_of(tx, gateway, caller))

    return await gateway.store.consult(work)


async def create_grant(gateway: Gateway, caller: Caller, ask: CreateGrant) -> ShownGrant:
    """Let an OAuth client act for a user. What comes of it, a key or a code for one, is shown this once."""
    now_ms = gateway.now_ms()

    def work(tx: Tx, _: object) -> ShownGrant:
        user = _addressed(tx, caller, ask.user)
        wanted = _wanted(tx, ask)
        key = wanted.key(user_id=user.id, now_ms=now_ms)
        check_covered(maker_of(tx, gateway, caller), key)
        return make_grant(tx, wanted, key, now_ms=now_ms)

    made: ShownGrant = await gateway.transact(work)
    return made


async def update_grant(gateway: Gateway, caller: Caller, ask: UpdateGrant) -> ShownGrant:
    """Change what is given of a grant, and renew it in any case: another key, another code, from now on."""
    now_ms = gateway.now_ms()

    def work(tx: Tx, _: object) -> ShownGrant:
        grant = _require(tx, _addressed(tx, caller, ask.user), ask.grant_id)
        wanted = _changed(tx, grant, ask)
        key = wanted.key(key_id=grant.key.id, user_id=grant.user_id, now_ms=now_ms)
        check_covered(maker_of(tx, gateway, caller), grant.key, key)
        return renew_grant(tx, grant, wanted, key, now_ms=now_ms)

    renewed: ShownGrant = await gateway.transact(work)
    return renewed


async def delete_grant(gateway: Gateway, caller: Caller, ask: OneGrant) -> None:
    """Take back what an OAuth client may do, with its key, if the user has let it."""

    def work(tx: Tx, _: object) -> None:
        if _find(tx, _addressed(tx, caller, ask.user), ask.grant_id) is not None:
            tx.oauth.delete_grant(ask.grant_id)

    await gateway.transact(work)


# --- making and renewing ----------------------------------------------------------------------------------------------


def make_grant(tx: Tx, wanted: Wanted, key: AccessKey, *, now_ms: int) -> ShownGrant:
    """Store a new grant with its key."""
    made = tx.insert_key(
        user_id=key.user_id,
        label=key.label,
        permissions=key.permissions,
        type=key.type,
        expires_ms=key.expires_ms,
    )
    grant = tx.oauth.insert_grant(
        user_id=key.user_id,
        client_id=wanted.client.id,
        key_id=made.key.id,
        timestamp_ms=now_ms,
        type=wanted.type,
        access_type=wanted.access_type,
        redirect_uri=wanted.redirect_uri,
        scope=wanted.scope,
        network_ids=wanted.network_ids,
        auth_code=_new_code(wanted),
        code_challenge=wanted.code_challenge,
    )
    return _made(grant, ShownKey(made.key, made.secret))


def renew_grant(tx: Tx, grant: OAuthGrant, wanted: Wanted, key: AccessKey, *, now_ms: int) -> ShownGrant:
    """Rebuild a grant in place: its key keeps nothing but its id."""
    tx.update_key(key.id, label=key.label, permissions=key.permissions, type=key.type, expires_ms=key.expires_ms)
    made = tx.renew_key(key.id)
    tx.oauth.update_grant(
        grant.id,
        client_id=wanted.client.id,
        timestamp_ms=now_ms,
        type=wanted.type,
        access_type=wanted.access_type,
        redirect_uri=wanted.redirect_uri,
        scope=wanted.scope,
        network_ids=wanted.network_ids,
        auth_code=_new_code(wanted),
        code_challenge=wanted.code_challenge,
    )
    renewed = tx.oauth.grant(grant.id)
    assert renewed is not None, "a row that this transaction has just written"
    return _made(renewed, ShownKey(made.key, made.secret))


def _new_code(wanted: Wanted) -> str | None:
    return str(uuid4()) if wanted.type is GrantType.CODE else None


def _made(grant: OAuthGrant, key: ShownKey) -> ShownGrant:
    return ShownGrant(grant, key, ShownClient(grant.client), grant.auth_code)


# --- whose grants -----------------------------------------------------------------------------------------------------


def _addressed(tx: Tx, caller: Caller, named: str) -> User:
    """The user whose grants are meant: always oneself; somebody else only for administrators."""
    own = caller.principal.require_user()
    user_id = own.id if named.lower() == "current" else to_user_id(named)
    if user_id != own.id and not own.is_admin:
        raise NOT_PERMITTED.error()
    user = tx.user(user_id)
    if user is None:
        raise USER_NOT_FOUND.error()
    return user


def _find(tx: Tx, user: User, grant_id: int) -> OAuthGrant | None:
    grant = tx.oauth.grant(grant_id)
    return grant if grant is not None and (user.is_admin or grant.user_id == user.id) else None


def _require(tx: Tx, user: User, grant_id: int) -> OAuthGrant:
    grant = _find(tx, user, grant_id)
    if grant is None:
        raise GRANT_NOT_FOUND.error(id=grant_id)
    return grant


def _shown(tx: Tx, grant: OAuthGrant, user: User, maker: AccessKey | None) -> ShownGrant:
    # A key that could read the code of one with more rights could exchange it for them.
    code = grant.auth_code if is_covered(maker, grant.key) else None
    secret = tx.oauth.client_secret(grant.client.id) if user.is_admin and maker is None else None
    return ShownGrant(grant, shown_key(tx, grant.key, maker), ShownClient(grant.client, secret), code)


# --- what is wanted of a grant ----------------------------------------------------------------------------------------


def _wanted(tx: Tx, ask: CreateGrant) -> Wanted:
    if ask.missing:
        raise _incomplete(*ask.missing)
    _check_rules(ask)
    client = tx.oauth.client_by_oauth_id(ask.client.oauth_id) if ask.client and ask.client.oauth_id else None
    if client is None:
        raise _incomplete(_CLIENT_REQUIRED)
    return Wanted(
        client,
        ask.type or GrantType.CODE,
        or_none(ask.access_type) or AccessType.ONLINE,
        ask.redirect_uri or "",
        ask.scope or "",
        or_none(ask.network_ids),
        ask.code_challenge,
    )


def _changed(tx: Tx, grant: OAuthGrant, ask: UpdateGrant) -> Wanted:
    """The grant as it is to be."""
    if ask.client is None:
        raise CLIENT_NULL.error()
    if ask.type is GrantType.PASSWORD and grant.type is not GrantType.PASSWORD:
        raise _incomplete("Invalid grant type!")
    check(OAUTH_GRANT, type=ask.type, accessType=ask.access_type)
    _check_rules(ask)
    given: dict[str, Any] = {
        "code_challenge": ask.code_challenge,
        "type": ask.type,
        "access_type": ask.access_type,
        "redirect_uri": ask.redirect_uri,
        "scope": ask.scope,
        "network_ids": ask.network_ids,
    }
    changes = {name: value for name, value in given.items() if not isinstance(value, Unset)}
    return replace(as_wanted(grant), client=_changed_client(tx, grant, ask), **changes)


def _changed_client(tx: Tx, grant: OAuthGrant, ask: UpdateGrant) -> OAuthClient:
    if not ask.client or ask.client.name is None:
        return grant.client
    client = tx.oauth.client_by_name(ask.client.name)
    if client is None:
        raise _incomplete(_CLIENT_REQUIRED)
    return client


def _check_rules(ask: GrantForm) -> None:
    check(OAUTH_GRANT, redirectUri=ask.redirect_uri, scope=ask.scope)


def _incomplete(*violations: str) -> HubError:
    return GRANT_INCOMPLETE.error(violations="; ".join(violations))
