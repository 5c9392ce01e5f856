"""Commands and notifications of one device."""

from dataclasses import dataclass
from typing import Any

from hub.actions.messages import insert_notification
from hub.rest.route import Route
from protocol.errors import (
    DEVICE_NOT_FOUND,
    DEVICE_WITHOUT_NETWORK,
    GUID_REFUSED,
    HubError,
)
from protocol.forms import ANYTHING, TEXT, TEXT_ASKED, Form, body, path
from protocol.names import Action
from protocol.requests import UNSET, InsertNotification, Unset, to_json
from protocol.views import INT64, STRING, TIME, View, reference

CREATED_NOTIFICATION: View[dict[str, Any]] = View(
    "NotificationCreated",
    {
        "id": (INT64, lambda made: made["id"]),
        "notification": (STRING, lambda made: made["notification"]),
        "deviceGuid": (STRING, lambda made: made["deviceGuid"]),
        "timestamp": (TIME, lambda made: made["timestamp"]),
    },
)


@dataclass(slots=True, kw_only=True)
class NotificationForm(Form):
    """A notification to insert."""

    needs_body = True

    guid: str = path(TEXT_ASKED)
    notification: str | None | Unset = body(TEXT, required=True)
    parameters: Any = body(ANYTHING)

    def to_request(self) -> InsertNotification:
        """What a socket would have asked."""
        given = self.parameters is not UNSET
        return InsertNotification(
            self.guid,
            self.notification or None,
            to_json(self.parameters) if given else None,
            self.parameters if given else None,
        )


def _device_not_found(error: HubError, ask: InsertNotification) -> HubError | None:
    """On a socket an absent device is a wrong guid; here it is not found."""
    return DEVICE_NOT_FOUND.error(guid=ask.device_guid) if error.problem is GUID_REFUSED else None


ROUTES = [
    Route(
        operation=Action.NOTIFICATION_INSERT,
        method="POST",
        path="/device/{guid}/notification",
        summary="Publish a notification of a device",
        perform=insert_notification,
        form=NotificationForm,
        ask=NotificationForm.to_request,
        status=201,
        shape=lambda result: CREATED_NOTIFICATION(result["notification"]),
        answer=reference(CREATED_NOTIFICATION),
        told=_device_not_found,
        refusals=(DEVICE_NOT_FOUND, DEVICE_WITHOUT_NETWORK),
        is_message=True,
    )
]
