"""What the hub says of itself."""

from typing import Any

from hub.actions.caller import Caller
from hub.gateway import Gateway
from protocol.answers import SERVER_INFO
from protocol.forms import Form
from protocol.requests import ServerInfo
from protocol.times import format_ms


async def server_info(gateway: Gateway, caller: Caller, ask: ServerInfo) -> dict[str, Any]:
    """Version, time and REST address. ``serverTimestamp`` is a replay cursor that misses no later message."""
    base_url = caller.connection.base_url if caller.connection is not None else gateway.policy.public_url or ""
    info = {
        "apiVersion": gateway.policy.api_version,
        "serverTimestamp": format_ms(gateway.ids.before_next_ms()),
        "restServerUrl": f"{base_url}/rest",
    }
    return {"info": SERVER_INFO(info)}


async def get_info(gateway: Gateway, caller: Caller, ask: Form) -> dict[str, Any]:
    """The same for REST, with the address of the WebSockets."""
    scheme, _, rest = caller.base_url.partition("://")
    return {
        "apiVersion": gateway.policy.api_version,
        "serverTimestamp": format_ms(gateway.ids.before_next_ms()),
        "webSocketServerUrl": f"{'wss' if scheme == 'https' else 'ws'}://{rest}/websocket",
    }
