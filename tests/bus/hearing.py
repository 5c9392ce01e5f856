"""Somebody who listens to a bus, and what he is told, in a word or two each."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from hub.bus import Bundle, Placed, Section, Updated, topics_of, updates_of
from protocol.messages import Command
from protocol.names import Kind
from tests.builders import command, notification
from tests.waiting import until

WATTS = topics_of(Kind.NOTIFICATION)[1]
OTHERS = topics_of(Kind.NOTIFICATION)[2]
ORDERS = topics_of(Kind.COMMAND)[1]
ANSWERS = updates_of(3)

_runs = count(1)


class Ear:
    """A receiver that writes everything down."""

    def __init__(self) -> None:
        self.log: list[str] = []
        """What happened, in order: ``joined``, ``parted``, ``heard``."""
        self.bundles: list[Bundle] = []
        self.topics: set[int] = set()
        self.unjoined: list[int] = []
        """Topics that were heard before it was told to be joined."""

    def deliver(self, bundle: Bundle) -> None:
        self.log.append("heard")
        self.bundles.append(bundle)
        self.unjoined += [section.topic for section in bundle.sections if section.topic not in self.topics]

    def joined(self, topics: Iterable[int]) -> None:
        self.log.append("joined")
        self.topics |= set(topics)

    def parted(self) -> None:
        self.log.append("parted")
        self.topics.clear()

    def sections(self, topic: int) -> list[Section]:
        return [section for bundle in self.bundles for section in bundle.sections if section.topic == topic]

    def ids(self, topic: int, worker: str | None = None) -> list[int]:
        """Ids of what was heard on a topic, in order."""
        return [
            item.message.id if isinstance(item, Placed) else item.update_id
            for bundle in self.bundles
            if worker is None or bundle.worker == worker
            for section in bundle.sections
            if section.topic == topic
            for item in section.items
        ]

    def told(self, name: str) -> list[Any]:
        """The values of a member that goes to everybody."""
        return [value for bundle in self.bundles if (value := getattr(bundle, name)) not in (None, False)]

    async def until_joined(self, *topics: int) -> None:
        async def joined() -> bool:
            return set(topics) <= self.topics

        await until(joined)

    async def until_heard(self, topic: int, ids: Sequence[int]) -> None:
        async def heard() -> bool:
            return self.ids(topic) == list(ids)

        await until(heard)


def run() -> str:
    """The name of a run that no other has."""
    return f"run-{next(_runs)}"


def section(topic: int, *ids: int, before: int = 0, **members: Any) -> Section:
    """Messages, or updates, with these ids."""
    if topic in topics_of(Kind.NOTIFICATION):
        return Section(topic, before, [Placed(notification(id=number, **members), 1, (2, 3)) for number in ids])
    if topic in topics_of(Kind.COMMAND):
        return Section(topic, before, [Placed(command(id=number, **members), 1) for number in ids])
    return Section(topic, before, [Updated(number, _ordered(**members)) for number in ids])


def _ordered(**members: Any) -> Command:
    return command(**{"status": "ok", "result": {"done": True}, "updated": True, **members})


def bundle(*sections: Section, worker: str = "run-0", **members: Any) -> Bundle:
    return Bundle(worker, lane=3, sections=sections, **members)
