"""Who is asking: authentication in band and per message."""

from typing import Any

from hub.actions.caller import Caller
from hub.core.access import Principal
from hub.core.connection import Connection, Exchange
from hub.gateway import Gateway
from protocol.errors import BAD_CREDENTIALS, DEVICE_BLOCKED, KEY_EXPIRED, NOT_AUTHENTICATED
from protocol.names import Action, Endpoint, Role
from protocol.requests import Authenticate


async def authenticate(gateway: Gateway, caller: Caller, ask: Authenticate) -> dict[str, Any]:
    """Say who the connection is. A connection can confirm its identity, never change it; a failure changes nothing."""
    connection = caller.connection
    assert connection is not None, "only a connection authenticates in band"
    _refuse_other(connection.principal, ask)
    epoch = gateway.rights.epoch
    principal = await _principal(gateway, connection, ask)
    if not connection.principal.is_anonymous and principal.identity != connection.principal.identity:
        raise BAD_CREDENTIALS.error()
    gateway.authenticated(connection, principal, epoch=epoch)
    return {}


def _refuse_other(current: Principal, ask: Authenticate) -> None:
    """Refuse, before any password is looked at, what names somebody else than the connection already is."""
    named: dict[Role, bool] = {
        Role.ANONYMOUS: True,
        Role.ADMIN: current.user is not None and ask.login == current.user.login,
        Role.CLIENT: current.user is not None and ask.login == current.user.login,
        Role.KEY: ask.login is None and ask.access_key is not None,
        Role.DEVICE: current.device is not None and ask.device_id == current.device.guid,
    }
    if not named[current.role]:
        raise BAD_CREDENTIALS.error()


async def _principal(gateway: Gateway, connection: Connection, ask: Authenticate) -> Principal:
    as_client = connection.endpoint is Endpoint.CLIENT or gateway.policy.cross_endpoint
    as_device = connection.endpoint is Endpoint.DEVICE or gateway.policy.cross_endpoint
    if ask.login is not None and as_client:
        return await gateway.logins.by_password(ask.login, ask.password, connection.peer)
    if ask.access_key is not None and as_client:
        gateway.admission.pace(ask.access_key)
        return await gateway.logins.by_key(ask.access_key, connection.peer)
    if ask.device_id is not None and as_device:
        gateway.admission.pace(ask.device_id, ask.device_key or "")
        return await gateway.logins.by_device(ask.device_id, ask.device_key)
    raise BAD_CREDENTIALS.error()


async def resolve(gateway: Gateway, connection: Connection, exchange: Exchange) -> Principal:
    """Who asks this one request: the connection's principal, unless the message brings credentials of its own.

    On an anonymous connection they authenticate it for good; on a device's, those of another device count for this
    message only, which is how gateways speak for the devices behind them.
    """
    principal = connection.principal
    if exchange.action not in (Action.AUTHENTICATE, Action.DEVICE_SAVE) and exchange.has_credentials:
        if principal.is_anonymous:
            epoch = gateway.rights.epoch
            gateway.admission.pace(exchange.device_id or "", exchange.device_key or "")
            principal = await gateway.logins.by_device(exchange.device_id, exchange.device_key)
            gateway.authenticated(connection, principal, epoch=epoch)
            return principal
        if _is_other_device(gateway, principal, exchange):
            return await gateway.logins.by_device(exchange.device_id, exchange.device_key)
    await require_valid(gateway, principal)
    return principal


def _is_other_device(gateway: Gateway, principal: Principal, exchange: Exchange) -> bool:
    return (
        gateway.policy.devices_gateway_mode
        and principal.device is not None
        and exchange.device_key is not None
        and exchange.device_id not in (None, principal.device.guid)
    )


def is_current(gateway: Gateway, principal: Principal) -> bool:
    """Whether a connection's principal is known to be valid now, without asking anybody."""
    if principal.key is not None and principal.key.expired(gateway.now_ms()):
        return False
    if principal.device is None:
        return True
    device = gateway.devices.cached(principal.device.guid)
    return device is not None and device.id == principal.device.id and not device.is_blocked


async def require_valid(gateway: Gateway, principal: Principal) -> None:
    """Refuse what comes in between the end of a credential and the end of its connection."""
    if principal.key is not None and principal.key.expired(gateway.now_ms()):
        raise KEY_EXPIRED.error()
    if principal.device is not None:
        device = await gateway.devices.device(principal.device.guid)
        if device is None or device.id != principal.device.id:
            raise NOT_AUTHENTICATED.error()
        if device.is_blocked:
            raise DEVICE_BLOCKED.error(guid=device.guid)
