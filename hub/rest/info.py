"""What the hub says of itself: ``/info``."""

from typing import Any

from hub.actions.info import get_info
from hub.rest.route import Route
from protocol.names import Operation
from protocol.views import STRING, TIME, View, reference

API_INFO: View[dict[str, Any]] = View(
    "ApiInfo",
    {
        "apiVersion": (STRING, lambda info: info["apiVersion"]),
        "serverTimestamp": (TIME, lambda info: info["serverTimestamp"]),
        "webSocketServerUrl": (STRING, lambda info: info["webSocketServerUrl"]),
    },
)

ROUTES = [
    Route(
        operation=Operation.GET_INFO,
        method="GET",
        path="/info",
        summary="Version, time and the address of the WebSockets",
        perform=get_info,
        shape=API_INFO,
        answer=reference(API_INFO),
    )
]
