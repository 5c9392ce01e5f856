"""Users: whoever has a login, and which networks they are members of."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.listing import listing
from hub.actions.user_changes import UserChange, check_free, keep_an_administrator
from hub.gateway import Gateway
from hub.passwords import PASSWORD_MAX
from hub.store import Listing, Tx
from protocol.account_forms import (
    CreateUser,
    ListUsers,
    OneMembership,
    OneUser,
    UpdateCurrentUser,
    UpdateUser,
)
from protocol.account_views import Member
from protocol.entities import Network, User
from protocol.errors import (
    CONFLICT,
    CURRENT_USER_GONE,
    MEMBERSHIP_NOT_FOUND,
    NETWORK_NOT_FOUND,
    OLD_PASSWORD_REQUIRED,
    OLD_PASSWORD_WRONG,
    PASSWORD_REQUIRED,
    USER_NOT_FOUND,
    USER_NOT_YOURS,
    bad_parameter,
)
from protocol.forms import Form
from protocol.names import KeyAction, Role
from protocol.requests import UNSET, Unset, or_none

# --- looking ----------------------------------------------------------------------------------------------------------


async def list_users(gateway: Gateway, caller: Caller, ask: ListUsers) -> list[User]:
    """Users of every status. A pattern for the login makes the login itself be ignored."""
    asked = listing(
        ask,
        sort=ask.sort_field,
        equal={
            "login": ask.login if ask.login_pattern is None else None,
            "role": ask.role,
            "status": ask.status,
        },
        like={} if ask.login_pattern is None else {"login": ask.login_pattern},
    )
    return await gateway.store.consult(lambda tx: tx.list_users(asked))


async def get_user(gateway: Gateway, caller: Caller, ask: OneUser) -> Member:
    """A user with networks; a client's key sees its owner only."""
    _check_own(caller, ask.user_id)
    found = await gateway.store.consult(lambda tx: _member(tx, ask.user_id))
    if found is None:
        raise USER_NOT_FOUND.error()
    return found


async def get_current_user(gateway: Gateway, caller: Caller, ask: Form) -> Member:
    """Whoever asks, or the owner of the key that asks."""
    user_id = caller.principal.require_user().id
    found = await gateway.store.consult(lambda tx: _member(tx, user_id))
    if found is None:
        raise CURRENT_USER_GONE.error()
    return found


def _check_own(caller: Caller, user_id: int) -> None:
    user = caller.principal.require_user()
    if caller.principal.role is Role.KEY and not user.is_admin and user.id != user_id:
        raise USER_NOT_YOURS.error()


def _member(tx: Tx, user_id: int) -> Member | None:
    user = tx.user(user_id)
    return None if user is None else Member(user, tx.list_networks(Listing(), user.networks))


# --- changing ---------------------------------------------------------------------------------------------------------


async def create_user(gateway: Gateway, caller: Caller, ask: CreateUser) -> User:
    """Make a user, without a password if none is given."""
    login = ask.login.strip() if isinstance(ask.login, str) else None
    values: dict[str, Any] = {
        "login": login,
        "role": or_none(ask.role),
        "status": or_none(ask.status),
        **ask.identities,
    }

    def check(tx: Tx) -> None:
        check_free(tx, login, ask.identities)
        ask.check(**values)

    await gateway.store.consult(check)
    password_hash = await _hashed(gateway, ask.password) if ask.password else None

    def work(tx: Tx, _: object) -> User:
        check(tx)
        return tx.insert_user(**values, password_hash=password_hash, data=or_none(ask.data))

    made: User = await gateway.transact(work)
    return made


async def update_user(gateway: Gateway, caller: Caller, ask: UpdateUser) -> None:
    """Change what is given of a user, as whoever manages users."""
    await _update(gateway, caller, UserChange(ask, ask.user_id, as_admin=True, keeps_session=_key_id(caller)))


async def update_current_user(gateway: Gateway, caller: Caller, ask: UpdateCurrentUser) -> None:
    """Change what is given of whoever asks, by the rules of their own role."""
    user_id = caller.principal.require_user().id
    await _update(gateway, caller, UserChange(ask, user_id, as_admin=False, keeps_session=_key_id(caller)))


def _key_id(caller: Caller) -> int | None:
    return None if caller.principal.key is None else caller.principal.key.id


async def _update(gateway: Gateway, caller: Caller, change: UserChange) -> None:
    before = await gateway.store.consult(change.check)
    if not change.ask.given:
        return
    password_hash = await _new_hash(gateway, caller, change, before)

    def work(tx: Tx, _: object) -> None:
        now = change.check(tx)
        if password_hash and now.password_changes != before.password_changes:
            raise CONFLICT.error()
        change.apply(tx, now, password_hash)

    await gateway.transact(work)


async def _new_hash(gateway: Gateway, caller: Caller, change: UserChange, user: User) -> str | Unset:
    """The hash of the new password, if there is one and whoever sets it may."""
    new, old = change.ask.password, or_none(change.ask.old_password)
    if new is UNSET:
        return UNSET
    if old and old.strip():
        if not await gateway.logins.confirms(user, old, caller.peer):
            raise OLD_PASSWORD_WRONG.error()
    elif not change.is_free(user):
        raise OLD_PASSWORD_REQUIRED.error()
    if not new:
        raise PASSWORD_REQUIRED.error()
    return await _hashed(gateway, new)


async def _hashed(gateway: Gateway, password: str | Unset) -> str:
    assert isinstance(password, str), "there is one"
    if len(password) > PASSWORD_MAX:
        raise bad_parameter("password")
    return await gateway.logins.passwords.hash(password)


async def delete_user(gateway: Gateway, caller: Caller, ask: OneUser) -> None:
    """Delete a user with memberships, keys and links; it may be absent already."""

    def work(tx: Tx, _: object) -> None:
        user = tx.user(ask.user_id)
        if user is not None:
            tx.delete_user(user.id)
            keep_an_administrator(tx, user)

    await gateway.transact(work)


# --- memberships ------------------------------------------------------------------------------------------------------


async def get_user_network(gateway: Gateway, caller: Caller, ask: OneMembership) -> Network:
    """A network that a user is a member of, and that the caller may see."""
    _check_own(caller, ask.user_id)
    may_see = caller.principal.access.reaches_network(KeyAction.GET_NETWORK, ask.network_id)

    def work(tx: Tx) -> Network:
        user = _user(tx, ask.user_id)
        network = tx.network(ask.network_id) if may_see and ask.network_id in user.networks else None
        if network is None:
            raise MEMBERSHIP_NOT_FOUND.error(network_id=ask.network_id, user_id=ask.user_id)
        return network

    return await gateway.store.consult(work)


async def add_user_network(gateway: Gateway, caller: Caller, ask: OneMembership) -> None:
    """Make a user a member of a network; idempotent."""
    may_see = caller.principal.access.reaches_network(KeyAction.MANAGE_NETWORK, ask.network_id)

    def work(tx: Tx, _: object) -> None:
        user = _user(tx, ask.user_id)
        if not may_see or tx.network(ask.network_id) is None:
            raise NETWORK_NOT_FOUND.error(id=ask.network_id)
        tx.add_member(user.id, ask.network_id)

    await gateway.transact(work)


async def remove_user_network(gateway: Gateway, caller: Caller, ask: OneMembership) -> None:
    """End a membership, if there is one."""
    may_see = caller.principal.access.reaches_network(KeyAction.MANAGE_NETWORK, ask.network_id)

    def work(tx: Tx, _: object) -> None:
        user = _user(tx, ask.user_id)
        if may_see:
            tx.remove_member(user.id, ask.network_id)

    await gateway.transact(work)


def _user(tx: Tx, user_id: int) -> User:
    user = tx.user(user_id)
    if user is None:
        raise USER_NOT_FOUND.error()
    return user
