"""Access keys of a user. What is made or changed with a key is no more than that key (attenuation)."""

from dataclasses import replace

from hub.actions.caller import Caller
from hub.actions.listing import listing
from hub.actions.makers import check_covered, maker_of, shown_key, to_user_id
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_forms import CreateKey, ListKeys, OneKey, UpdateKey
from protocol.account_views import ShownKey
from protocol.entities import AccessKey, User
from protocol.errors import (
    KEY_NOT_FOUND,
    KEY_TO_CHANGE_NOT_FOUND,
    LABEL_REQUIRED,
    LABEL_TAKEN,
    NOT_PERMITTED,
    bad_parameter,
)
from protocol.key_permissions import read_permissions
from protocol.names import KeyType
from protocol.requests import UNSET, Unset, or_none
from protocol.rules import check_label


async def list_keys(gateway: Gateway, caller: Caller, ask: ListKeys) -> list[ShownKey]:
    """A user's keys of every type. A pattern for the label makes the label itself be ignored."""
    asked = listing(
        ask,
        sort=ask.sort_field,
        equal={"label": ask.label if ask.label_pattern is None else None, "type": ask.type},
        like={} if ask.label_pattern is None else {"label": ask.label_pattern},
    )

    def work(tx: Tx) -> list[ShownKey]:
        owner = _owner(tx, caller, ask.user)
        maker = maker_of(tx, gateway, caller)
        return [shown_key(tx, key, maker) for key in tx.list_keys(owner.id, asked)]

    return await gateway.store.consult(work)


async def get_key(gateway: Gateway, caller: Caller, ask: OneKey) -> ShownKey:
    """One of a user's keys."""

    def work(tx: Tx) -> ShownKey:
        key = _key(tx, _owner(tx, caller, ask.user), ask.key_id)
        if key is None:
            raise KEY_NOT_FOUND.error()
        return shown_key(tx, key, maker_of(tx, gateway, caller))

    return await gateway.store.consult(work)


async def create_key(gateway: Gateway, caller: Caller, ask: CreateKey) -> ShownKey:
    """Make a key, which is shown now and never again."""

    def work(tx: Tx, _: object) -> ShownKey:
        owner = _owner(tx, caller, ask.user)
        wanted = _wanted(tx, owner, ask)
        check_covered(maker_of(tx, gateway, caller), wanted)
        made = tx.insert_key(
            user_id=owner.id,
            label=wanted.label,
            permissions=wanted.permissions,
            type=wanted.type,
            expires_ms=wanted.expires_ms,
        )
        return ShownKey(made.key, made.secret)

    shown: ShownKey = await gateway.transact(work)
    return shown


async def update_key(gateway: Gateway, caller: Caller, ask: UpdateKey) -> None:
    """Change what is given of a key; the key itself stays."""

    def work(tx: Tx, _: object) -> None:
        key = _key(tx, _owner(tx, caller, ask.user), ask.key_id)
        if key is None:
            raise KEY_TO_CHANGE_NOT_FOUND.error()
        if not ask.given:
            return
        changed = _changed(key, ask)
        check_covered(maker_of(tx, gateway, caller), key, changed)
        tx.update_key(
            key.id,
            label=changed.label,
            permissions=UNSET if ask.permissions is UNSET else changed.permissions,
            type=changed.type,
            expires_ms=changed.expires_ms,
        )

    await gateway.transact(work)


async def delete_key(gateway: Gateway, caller: Caller, ask: OneKey) -> None:
    """Delete a key, if the user has it; its connections end."""

    def work(tx: Tx, _: object) -> None:
        if _key(tx, _owner(tx, caller, ask.user), ask.key_id) is not None:
            tx.delete_key(ask.key_id)

    await gateway.transact(work)


# --- whose keys -------------------------------------------------------------------------------------------------------


def _owner(tx: Tx, caller: Caller, named: str) -> User:
    """The user whose keys are meant: always oneself; somebody else only for administrators."""
    own = caller.principal.require_user()
    user_id = own.id if named.lower() == "current" else to_user_id(named)
    owner = tx.user(user_id) if user_id == own.id or own.is_admin else None
    if owner is None:
        raise NOT_PERMITTED.error()
    return owner


def _key(tx: Tx, owner: User, key_id: int) -> AccessKey | None:
    key = tx.key(key_id)
    return key if key is not None and key.user_id == owner.id else None


# --- what is wanted of a key ------------------------------------------------------------------------------------------


def _wanted(tx: Tx, owner: User, ask: CreateKey) -> AccessKey:
    """The key that is to be made, as far as it is known before it is."""
    if not ask.label:
        raise LABEL_REQUIRED.error(detail={"parameter": "label"})
    check_label(ask.label)
    if tx.key_by_label(owner.id, ask.label) is not None:
        raise LABEL_TAKEN.error()
    return AccessKey(
        0,
        owner.id,
        ask.label,
        type=ask.type or KeyType.DEFAULT,
        expires_ms=or_none(ask.expires_ms),
        permissions=read_permissions(ask.permissions),
    )


def _changed(key: AccessKey, ask: UpdateKey) -> AccessKey:
    """The key as it is to be."""
    if not isinstance(ask.label, Unset):
        check_label(ask.label)
        key = replace(key, label=ask.label or "")
    if ask.permissions is not UNSET:
        key = replace(key, permissions=read_permissions(ask.permissions))
    if ask.type is None:
        raise bad_parameter("type")
    if not isinstance(ask.type, Unset):
        key = replace(key, type=ask.type)
    return key if isinstance(ask.expires_ms, Unset) else replace(key, expires_ms=ask.expires_ms)
