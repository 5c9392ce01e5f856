"""What REST requests that explain rights hold, and what the answer shows."""

from dataclasses import dataclass
from typing import Any

from protocol.forms import NUMBER_ASKED, TEXT_ASKED, Form, query
from protocol.requests import ExplainAccess
from protocol.views import BOOL, View


@dataclass(slots=True, kw_only=True)
class AskAccess(Form):
    """May somebody do something, and why."""

    action: str | None = query(TEXT_ASKED, "actionName")
    device_guid: str | None = query(TEXT_ASKED)
    network_id: int | None = query(NUMBER_ASKED)
    key_id: int | None = query(NUMBER_ASKED, "accessKeyId")
    user_id: int | None = query(NUMBER_ASKED)
    address: str | None = query(TEXT_ASKED)
    origin: str | None = query(TEXT_ASKED)

    def to_request(self) -> ExplainAccess:
        """What a socket would have asked."""
        return ExplainAccess(
            self.action,
            self.device_guid,
            self.network_id,
            self.key_id,
            self.user_id,
            self.address,
            self.origin,
        )


_LINK = {"type": "object", "description": "one link of the chain that decides"}

EXPLANATION: View[dict[str, Any]] = View(
    "Explanation",
    {
        "allowed": (BOOL, lambda told: told["allowed"]),
        "because": ({"type": "array", "items": _LINK}, lambda told: told["because"]),
    },
)
