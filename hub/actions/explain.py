"""Why may, or may not: ``access/explain``."""

from typing import Any

from hub.actions.caller import Caller
from hub.core.access import Peer, Principal, Rule, key_principal, parse_address, user_principal
from hub.core.explain import Explanation, Link, explain, rule_named, target_of, unusable
from hub.gateway import Gateway
from hub.gateway.calls import in_task
from hub.store import KeyRecord
from protocol.errors import (
    KEY_NOT_FOUND,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    USER_NOT_FOUND,
    bad_parameter,
)
from protocol.names import KeyAction
from protocol.requests import ExplainAccess


async def explain_access(gateway: Gateway, caller: Caller, ask: ExplainAccess) -> dict[str, Any]:
    """Tell what decides whether something is allowed: to whoever asks, or for administrators to anybody."""
    rule = _rule(ask)
    principal, peer, links = await _subject(gateway, caller, ask)
    device = None
    if ask.device_guid is not None:
        device = await in_task(gateway.devices.device(ask.device_guid))
    if links:
        return Explanation(False, tuple(links)).members()
    target = target_of(caller.principal, ask.device_guid, device, network=ask.network_id)
    return explain(rule, principal, target, peer).members()


def _rule(ask: ExplainAccess) -> Rule:
    rule = None if ask.action is None else rule_named(ask.action)
    if rule is None:
        raise bad_parameter("actionName")
    for one, other in (("networkId", ask.device_guid), ("userId", ask.key_id)):
        if other is not None and {"networkId": ask.network_id, "userId": ask.user_id}[one] is not None:
            raise bad_parameter(one)
    return rule


async def _subject(gateway: Gateway, caller: Caller, ask: ExplainAccess) -> tuple[Principal, Peer, list[Link]]:
    """Whose rights are asked about, where they would come from, and why they cannot come in at all."""
    if ask.key_id is None and ask.user_id is None:
        return caller.principal, caller.peer if caller.connection is None else caller.connection.peer, []
    if caller.principal.is_anonymous:
        raise NOT_AUTHENTICATED.error()
    now_ms = gateway.now_ms()
    if ask.key_id is not None:
        peer = _peer(ask)
        record = await in_task(gateway.store.find_key_by_id(ask.key_id))
        _may_ask_about_key(caller.principal, record)
        assert record is not None, "otherwise it was refused"
        return key_principal(record.key, record.owner, peer), peer, unusable(record.owner, record.key, now_ms)
    assert ask.user_id is not None, "one of them is given"
    _may_ask_about_user(caller.principal, ask.user_id)
    user = await in_task(gateway.store.find_user(ask.user_id))
    if user is None:
        raise USER_NOT_FOUND.error()
    return user_principal(user), Peer(), unusable(user, None, now_ms)


def _peer(ask: ExplainAccess) -> Peer:
    address = None if ask.address is None else parse_address(ask.address)
    if ask.address is not None and address is None:
        raise bad_parameter("address")
    return Peer(address, ask.origin)


def _may_ask_about_key(principal: Principal, record: KeyRecord | None) -> None:
    """Administrators may, of any key; everybody of the own ones. Those of others are as good as absent."""
    user, key = principal.user, principal.key
    own = record is not None and key is not None and key.id == record.key.id
    if not own and (user is None or (key is not None and not principal.access.allows(KeyAction.MANAGE_ACCESS_KEY))):
        raise NOT_PERMITTED.error(detail={"permission": KeyAction.MANAGE_ACCESS_KEY.value})
    if record is None or not (own or (user is not None and (user.is_admin or user.id == record.key.user_id))):
        raise KEY_NOT_FOUND.error()


def _may_ask_about_user(principal: Principal, user_id: int) -> None:
    """Administrators may, of anybody; everybody of themselves. A key is not its owner: it needs the right to see whom
    it asks about."""
    user = principal.user
    own = user is not None and user.id == user_id
    needed = KeyAction.GET_CURRENT_USER if own else KeyAction.MANAGE_USER
    lacking = principal.key is not None and not principal.access.allows(needed)
    if user is None or lacking or not (own or user.is_admin):
        raise NOT_PERMITTED.error(detail={"permission": needed.value})
