"""What an application and a device have in common."""

from typing import Any

from hub.client.session import Session
from hub.client.socket import Options
from hub.client.stream import Stream
from protocol.client_events import Subscription

DEFAULTS = Options()


class Connected:
    """What an application and a device have in common."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment; without one, calls wait for the next."""
        return self._session.connected

    def _stream(self, subscription: Subscription, wrap: Any) -> Stream[Any]:
        options = self._session.options
        return Stream(self._session, subscription, wrap, queue_limit=options.queue_limit, timeout_s=options.timeout_s)
