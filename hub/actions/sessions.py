"""Login and logout: an identity for a session key, and the end of a key."""

from hub.actions.caller import Caller
from hub.actions.configuration import is_allowed
from hub.actions.user_changes import PROVIDER_OF
from hub.core.identities import check_input, provider_of
from hub.core.session_keys import session_label, session_permission
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_forms import Login
from protocol.account_views import ShownKey
from protocol.entities import User
from protocol.errors import (
    BAD_CREDENTIALS,
    IDENTITY_UNKNOWN,
    NOT_AUTHENTICATED,
    PROVIDER_NOT_ALLOWED,
    USER_INACTIVE,
    HubError,
)
from protocol.forms import Form
from protocol.names import KeyType, Provider


async def login(gateway: Gateway, caller: Caller, ask: Login) -> ShownKey:
    """Exchange an identity for a session key, which is shown now and never again."""
    provider = provider_of(ask)
    if provider is not Provider.PASSWORD and not is_allowed(gateway, provider):
        raise PROVIDER_NOT_ALLOWED.error(name=provider.capitalize())
    check_input(provider, ask)
    if provider is Provider.PASSWORD:
        user = await _by_password(gateway, caller, ask)
    else:
        user = await _by_provider(gateway, provider, ask)
    return await _session(gateway, user)


async def _by_password(gateway: Gateway, caller: Caller, ask: Login) -> User:
    try:
        return await gateway.logins.active_user(ask.login or "", ask.password or "", caller.peer)
    except HubError as error:
        if error.problem is BAD_CREDENTIALS:
            raise NOT_AUTHENTICATED.error() from error
        raise


async def _by_provider(gateway: Gateway, provider: Provider, ask: Login) -> User:
    email = await gateway.logins.email_at(provider, ask)
    user = await gateway.store.consult(lambda tx: tx.user_by_identity(PROVIDER_OF[f"{provider}_login"], email))
    if user is None:
        raise IDENTITY_UNKNOWN.error()
    if not user.is_active:
        raise USER_INACTIVE.error()
    await gateway.logins.welcome(user)
    return user


async def _session(gateway: Gateway, user: User) -> ShownKey:
    now_ms = gateway.now_ms()

    def work(tx: Tx, _: object) -> ShownKey:
        present = tx.user(user.id)
        # What was vouched for is the user as it was: with a new password, or locked meanwhile, it is nobody.
        if present is None or not present.is_active or present.password_changes != user.password_changes:
            raise NOT_AUTHENTICATED.error()
        made = tx.insert_key(
            user_id=user.id,
            label=session_label(present.login, now_ms),
            permissions=[session_permission(present)],
            type=KeyType.SESSION,
            expires_ms=now_ms + gateway.logins.session_timeout_ms,
        )
        return ShownKey(made.key, made.secret)

    shown: ShownKey = await gateway.transact(work)
    return shown


async def logout(gateway: Gateway, caller: Caller, ask: Form) -> None:
    """Delete the very key that asks, whatever it is; its connections end."""
    key = caller.principal.key
    assert key is not None, "only a key gets here"
    await gateway.transact(lambda tx, _: tx.delete_key(key.id))
