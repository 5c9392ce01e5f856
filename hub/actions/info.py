"""What the hub says of itself."""

from typing import Any

from hub.actions.caller import Caller
from hub.gateway import Gateway
from protocol.requests import ServerInfo
from protocol.times import format_ms


async def server_info(gateway: Gateway, caller: Caller, ask: ServerInfo) -> dict[str, Any]:
    """Version, time and REST address. ``serverTimestamp`` is a replay cursor that misses no later message."""
    base_url = caller.connection.base_url if caller.connection is not None else gateway.policy.public_url or ""
    return {
        "info": {
            "apiVersion": gateway.policy.api_version,
            "serverTimestamp": format_ms(gateway.before_next_ms()),
            "restServerUrl": f"{base_url}/rest",
        }
    }
