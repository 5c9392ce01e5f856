"""The index of subscriptions: topics, and the buckets of subscribers that stand in them."""

from hub.core.access import Clause
from hub.core.audience import Audience
from hub.core.subscription import Published, Subscription
from protocol.codecs import CODECS


class Bucket:
    """All subscribers of one topic and name (or of every name), and what they get this turn."""

    __slots__ = ("audiences", "index", "key", "name", "plain", "special", "turn")

    def __init__(self, index: "dict[object, Topic]", key: object, name: str | None) -> None:
        self.index = index
        self.key = key
        self.name = name
        self.audiences: list[Audience | None] = [None] * len(CODECS)
        self.plain: tuple[dict[Subscription, None], ...] = tuple({} for _ in CODECS)
        self.special: dict[Subscription, tuple[Clause, ...]] = {}
        self.turn: list[Published] = []

    def __repr__(self) -> str:
        return f"Bucket({self.key!r}, name={self.name!r}, special={len(self.special)})"

    @property
    def is_empty(self) -> bool:
        return not self.special and not any(self.plain) and not any(self.audiences)

    def audience(self, codec: int) -> Audience:
        """The audience of this codec, made when it is not there yet."""
        audience = self.audiences[codec]
        if audience is None:
            audience = self.audiences[codec] = Audience()
        return audience


class Topic:
    """One entry of an index: the bucket for every name, and those for one name each."""

    __slots__ = ("every", "named")

    def __init__(self) -> None:
        self.every: Bucket | None = None
        self.named: dict[str, Bucket] = {}


class Index:
    """The topics of one kind. Devices, networks and groups are looked up apart: their keys are plain values."""

    __slots__ = ("devices", "everything", "groups", "networks")

    def __init__(self) -> None:
        self.everything: dict[object, Topic] = {}
        self.networks: dict[object, Topic] = {}
        self.groups: dict[object, Topic] = {}
        self.devices: dict[object, Topic] = {}


def find_bucket(index: dict[object, Topic], key: object, name: str | None) -> Bucket:
    """The bucket of a key and name, made when it is not there yet."""
    topic = index.get(key)
    if topic is None:
        topic = index[key] = Topic()
    if name is None:
        if topic.every is None:
            topic.every = Bucket(index, key, None)
        return topic.every
    if name not in topic.named:
        topic.named[name] = Bucket(index, key, name)
    return topic.named[name]


def drop_bucket(bucket: Bucket) -> None:
    """Take an empty bucket out of its index; once, for nobody stands in it any more."""
    topic = bucket.index[bucket.key]
    if bucket.name is None:
        topic.every = None
    else:
        del topic.named[bucket.name]
    if topic.every is None and not topic.named:
        del bucket.index[bucket.key]
