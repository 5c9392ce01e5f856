"""The bus of a hub with one worker: there is nobody to tell."""

from collections.abc import Callable

from hub.bus import Bundle


class LocalBus:
    """Keeps the promises of :class:`hub.bus.Bus` for a worker that is alone."""

    alone = True

    async def open(self, deliver: Callable[[Bundle], None]) -> None:
        """Nobody will ever call ``deliver``."""

    async def close(self) -> None:
        """Nothing to leave."""

    def publish(self, bundle: Bundle) -> None:
        """Nobody listens."""
