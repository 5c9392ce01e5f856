"""The token endpoint of OAuth 2: a code, or a password that a user has told, for a key."""

from hub.actions.caller import Caller
from hub.actions.grants import make_grant, renew_grant
from hub.core.grants import Wanted, as_wanted, check_exchange, seconds_left
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_views import ShownKey
from protocol.entities import OAuthClient, User
from protocol.errors import (
    BAD_CODE,
    BAD_CREDENTIALS,
    BAD_GRANT_TYPE,
    CLIENT_ID_REQUIRED,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    SCOPE_REQUIRED,
    USER_PASSWORD_WRONG,
    HubError,
)
from protocol.key_permissions import check_actions
from protocol.names import AccessType, GrantType
from protocol.oauth_forms import AskToken
from protocol.oauth_views import Token
from protocol.rules import OAUTH_GRANT, check


async def get_token(gateway: Gateway, caller: Caller, ask: AskToken) -> Token:
    """Exchange a code or a password for a key. The key is shown now and never again."""
    if ask.grant_type == "authorization_code":
        return await _by_code(gateway, caller, ask)
    if ask.grant_type == "password":
        return await _by_password(gateway, caller, ask)
    raise BAD_GRANT_TYPE.error()


def _token(shown: ShownKey, now_ms: int) -> Token:
    return Token(shown.text, seconds_left(shown.key, now_ms))


# --- with a code ------------------------------------------------------------------------------------------------------


async def _by_code(gateway: Gateway, caller: Caller, ask: AskToken) -> Token:
    own = caller.principal.client
    oauth_id = ask.client_id or (own.oauth_id if own is not None else "")
    if not oauth_id:
        raise CLIENT_ID_REQUIRED.error()
    now_ms = gateway.now_ms()

    def work(tx: Tx, _: object) -> ShownKey:
        found = tx.oauth.grant_by_code(ask.code or "")
        grant = check_exchange(
            found, oauth_id=oauth_id, redirect_uri=ask.redirect_uri, verifier=ask.code_verifier, now_ms=now_ms
        )
        user = tx.user(grant.user_id)
        if user is None or not user.is_active or not tx.oauth.take_code(grant.id, ask.code or ""):
            raise BAD_CODE.error()
        readable = tx.readable_key(grant.key.id)
        if readable is not None:
            return ShownKey(grant.key, readable)
        # Nobody was shown the key that was made with the grant, and nobody can be any more.
        made = tx.renew_key(grant.key.id)
        return ShownKey(made.key, made.secret)

    shown: ShownKey = await gateway.transact(work)
    return _token(shown, now_ms)


# --- with a password --------------------------------------------------------------------------------------------------


async def _by_password(gateway: Gateway, caller: Caller, ask: AskToken) -> Token:
    client = caller.principal.client
    if client is None:
        raise NOT_PERMITTED.error()
    if not ask.scope:
        raise SCOPE_REQUIRED.error()
    check(OAUTH_GRANT, scope=ask.scope)
    check_actions(ask.scope.split(" "))
    user = await _user(gateway, caller, ask)
    now_ms = gateway.now_ms()

    def work(tx: Tx, _: object) -> ShownKey:
        return _granted(tx, user, client, ask.scope or "", now_ms=now_ms)

    shown: ShownKey = await gateway.transact(work)
    return _token(shown, now_ms)


async def _user(gateway: Gateway, caller: Caller, ask: AskToken) -> User:
    """Whoever has told the client the password; the answer to a wrong one is for a client that is known."""
    login = ask.username or ""
    try:
        return (await gateway.logins.by_password(login, ask.password, caller.peer)).require_user()
    except HubError as error:
        if error.problem is not BAD_CREDENTIALS:
            raise
        record = await gateway.store.find_login(login)
        known = record is not None and record.user.is_active
        raise (USER_PASSWORD_WRONG if known else NOT_AUTHENTICATED).error() from error


def _granted(tx: Tx, user: User, client: OAuthClient, scope: str, *, now_ms: int) -> ShownKey:
    """The key of a grant that is there, rebuilt, or of a new one."""
    present, granted_to = tx.user(user.id), tx.oauth.client(client.id)
    if present is None or not present.is_active or present.password_changes != user.password_changes:
        raise NOT_AUTHENTICATED.error()
    if granted_to is None:
        raise NOT_PERMITTED.error()
    grant = tx.oauth.password_grant(user_id=user.id, client_id=client.id, scope=scope)
    if grant is not None:
        wanted = as_wanted(grant)
        key = wanted.key(key_id=grant.key.id, user_id=user.id, now_ms=now_ms)
        return renew_grant(tx, grant, wanted, key, now_ms=now_ms).key
    wanted = Wanted(granted_to, GrantType.PASSWORD, AccessType.ONLINE, granted_to.redirect_uri, scope)
    return make_grant(tx, wanted, wanted.key(user_id=user.id, now_ms=now_ms), now_ms=now_ms).key
