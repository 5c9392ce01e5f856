"""The gateway among others: telling them, hearing them, and reading the log where the bus has failed.

What is committed here goes out as one bundle a turn, before the sockets here are written to. What others commit comes
as bundles; :class:`hub.gateway.heard.Heard` decides what is missing, and then the log is read. While there is no bus,
or a worker is silent that still has its lane, the log is read once a second.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from hub.bus import Bundle, Placed, Section, Updated, topic_of, topics_of, updates_of
from hub.core.access import Clauses
from hub.core.subscription import Published, Subscription
from hub.gateway.heard import COMMANDS, NOTIFICATIONS, UPDATES, Heard, Item, Reading
from hub.gateway.presence import Elsewhere
from hub.store import Lane, LogQuery, Renewal
from hub.store.errors import LaneLost
from protocol.errors import HubError
from protocol.messages import AHEAD_MS, IDS_BEGIN_US, LANES, Command
from protocol.names import INT64_MAX, CommandState, Kind

if TYPE_CHECKING:
    from hub.gateway import Gateway

log = logging.getLogger("hub")

SILENT_BEATS = 4
"""A worker that has said nothing for so many heartbeats, and still has its lane, may be telling nobody."""

WHOLE_EVERY = 10
"""Every so many heartbeats a worker tells whom all it has, not just what has changed."""

AGAIN_S = 0.2
"""When the log is read again that could not be read."""

LAGS = 60
"""For how many minutes it is remembered how late messages of others came."""

JOIN_S = 5.0
"""How long a subscribe waits for the bus; then the subscription starts all the same, and the log brings the rest."""

ASK_AGAIN_S = 0.1
"""When the others are asked again for their floors, if none of them has answered."""

STREAMS = {Kind.NOTIFICATION: NOTIFICATIONS, Kind.COMMAND: COMMANDS}


class Floor(NamedTuple):
    """What a worker promises: it gives nothing at or below this id any more, nor at or before this timestamp."""

    id: int
    ms: int


class Others:
    """A gateway's part in a cluster. Where there are no others, nothing here runs."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._policy = gateway.policy
        self.run = uuid4().hex
        """Names this run of the worker."""
        self.heard = Heard(-1)
        self.elsewhere = Elsewhere()
        self.leads = gateway.bus.alone
        """Whether this worker does what only one of the cluster must do."""
        self.workers = 1
        self.polls = 0
        """Readings of the log for what the bus had not brought."""
        self._lane = -1
        self._own_floor = Floor(0, 0)
        self._bundle: list[Placed] = []
        self._updates: list[Updated] = []
        self._revision: int | None = None
        self._cancelled: list[int] = []
        self._sent: dict[int, int] = {}
        self._uses: Counter[int] = Counter()
        self._unused_s: dict[int, float] = {}
        self._heard_s: dict[int, float] = {}
        self._changed = asyncio.Event()
        self._doubt = asyncio.Event()
        self._back = asyncio.Event()
        self._asking_s: float | None = None
        self._wanted_ms = 0
        self._answering: asyncio.Task[None] | None = None
        self._beats = 0
        self._is_missed = False
        self._lags: deque[tuple[int, int]] = deque(maxlen=LAGS)
        self._tasks: list[asyncio.Task[None]] = []

    # --- life

    async def start(self, lane: Lane) -> None:
        """Join. The lane is taken, the log is being written to."""
        if self._gateway.bus.alone:
            return
        self._lane = self.heard.lane = lane.number
        renewal, floor = await self._renew()
        self.heard.start(renewal.safe, renewal.held)
        self._take(renewal, floor)
        await self._gateway.bus.open(self)
        self._use([updates_of(lane.number)])
        # Whoever hears it keeps order from now on, and does not find out with his next heartbeat.
        self._gateway.bus.publish(replace(self._floors(self._own_floor), ends={}))
        self._tasks = [
            asyncio.create_task(self._beat(), name="heartbeat"),
            asyncio.create_task(self._read_when_in_doubt(), name="catch-up"),
        ]

    async def stop(self) -> None:
        """Leave: the others are told all that is committed, and that nothing more comes. The log is flushed already."""
        tasks = [*self._tasks, *([self._answering] if self._answering is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._tasks:
            self.tell()
            with suppress(HubError, LaneLost):
                _, self._own_floor = await self._renew()
                self._say(leaving=True)
        self._tasks = []
        await self._gateway.bus.close()

    # --- telling

    def message(self, one: Published) -> None:
        """A message that was committed here goes out at the end of the turn."""
        self._bundle.append(Placed(one.message, one.network_id, one.groups, one.traceparent))

    def updated(self, update_id: int, command: Command) -> None:
        """So does an update of a command."""
        self._updates.append(Updated(update_id, command))

    def cancelled(self, command_id: int) -> None:
        """So does word of a command that is to be sent to nobody any more: to all, for anybody may hold it."""
        if not self._gateway.bus.alone:
            self._cancelled.append(command_id)

    def changed(self, revision: int) -> None:
        """So does word of a change of an entity."""
        self._revision = max(revision, self._revision or 0)
        self._gateway.arm()

    def tell(self) -> None:
        """Send what this turn has for the others."""
        takers = self._gateway.admission.moved_takers
        if not (self._bundle or self._updates or self._revision is not None or self._cancelled or takers):
            return
        topics: dict[int, list[Any]] = {}
        for placed in self._bundle:
            topics.setdefault(topic_of(placed.message.kind, placed.message.device_guid), []).append(placed)
        sections = [self._section(topic, items, items[-1].message.id) for topic, items in topics.items()]
        topics.clear()
        for one in self._updates:
            topics.setdefault(updates_of(one.command.id % LANES), []).append(one)
        sections += [self._section(topic, items, items[-1].update_id) for topic, items in topics.items()]
        bundle = Bundle(
            self.run,
            self._lane,
            sections,
            revision=self._revision,
            presence=self._gateway.admission.presence(whole=False) if takers else None,
            cancelled=self._cancelled,
        )
        self._bundle, self._updates, self._revision, self._cancelled = [], [], None, []
        self._gateway.bus.publish(bundle)

    def _section(self, topic: int, items: list[Any], last: int) -> Section:
        before, self._sent[topic] = self._sent.get(topic, 0), last
        return Section(topic, before, items)

    async def _beat(self) -> None:
        """Say that this worker is there, and how far it is; hear who else is."""
        while True:
            await asyncio.sleep(self._policy.heartbeat_s)
            try:
                await self._beat_once()
                self._is_missed = False
            except LaneLost:
                log.error("another worker has the lane of this one; taking a new one", extra={"lane": self._lane})
                await self._take_another_lane()
            except HubError as error:
                if not self._is_missed:
                    log.warning("the heartbeat could not be stored", extra={"error": error.text})
                self._is_missed = True
            except Exception:
                log.exception("a heartbeat failed")

    async def _beat_once(self) -> None:
        self._take(*await self._renew())
        self._doubt_the_silent()
        self._say()
        self._note_lag()
        self._unfollow_unused()

    async def _renew(self) -> tuple[Renewal, Floor]:
        """Returns the renewal, and what was promised when it was made; see :meth:`_take`."""
        floor = self._promise()
        try:
            await self._gateway.all_submitted()
        except HubError:
            # Nothing is known to be safe. But if our lane was given up meanwhile, nothing will ever be written in it.
            await self._renew_at(0)
            raise
        return await self._renew_at(floor.id), floor

    async def _renew_at(self, safe: int) -> Renewal:
        gateway, begun_us = self._gateway, self._gateway.clock_us()
        lease_ms = int(self._policy.lease_s * 1000)
        renewal = await gateway.store.renew(self._lane, owner=self.run, safe=safe, lease_ms=lease_ms)
        gateway.set_clock(renewal.now_us, begun_us)
        return renewal

    def _promise(self) -> Floor:
        """Of a single moment, so that both go together."""
        return Floor(self._gateway.ids.promise(), self._gateway.ids.before_next_ms())

    def _take(self, renewal: Renewal, floor: Floor) -> None:
        """Go by a renewal. ``floor`` counts only together with it: a worker that was not known before may give lower
        ids; for the same reason one that was overtaken by a later one does not count at all."""
        if floor < self._own_floor:
            self._settled()
            return
        self._own_floor = floor
        self.leads, self.workers = renewal.leads, max(1, renewal.workers)
        now_s = asyncio.get_running_loop().time()
        for lane in renewal.held - self.heard.held:
            self._heard_s.setdefault(lane, now_s)
        for lane in self.heard.held - renewal.held:
            self._heard_s.pop(lane, None)
            self.elsewhere.gone(lane)
        self.heard.renewed(renewal.held, renewal.safe)
        self._settled()

    def _doubt_the_silent(self) -> None:
        """Once a heartbeat, not after each reading of the log: that would lead to the next one at once."""
        now_s = asyncio.get_running_loop().time()
        silent_s = now_s - SILENT_BEATS * self._policy.heartbeat_s
        self.heard.doubt(lane for lane in self.heard.held if self._heard_s.get(lane, now_s) < silent_s)
        self._settled()

    def _say(self, *, leaving: bool = False) -> None:
        self._beats += 1
        whole = self._beats % WHOLE_EVERY == 1
        presence = self._gateway.admission.presence(whole=whole)
        self._gateway.bus.publish(replace(self._floors(self._own_floor), presence=presence, leaving=leaving))

    def _floors(self, floor: Floor) -> Bundle:
        return Bundle(self.run, self._lane, ends=dict(self._sent), floor=floor.id, floor_ms=floor.ms)

    @property
    def lag_us(self) -> int:
        """How far what was heard of everybody is behind the present."""
        return max(0, self._gateway.now_us() - IDS_BEGIN_US - self._gateway.fan_out.position)

    def _note_lag(self) -> None:
        """Remember the greatest lag of each minute."""
        minute, lag_us = self._gateway.now_us() // 60_000_000, self.lag_us
        if self._lags and self._lags[-1][0] == minute:
            lag_us = max(lag_us, self._lags.pop()[1])
        self._lags.append((minute, lag_us))

    async def _take_another_lane(self) -> None:
        self._gateway.commits.part()  # What waits has ids of a lane that is not ours.
        given = self._gateway.ids.promise()
        try:
            lane = await self._gateway.take_lane()
        except HubError as error:
            log.warning("no lane could be taken", extra={"error": error.text})
            return
        self._sent.clear()
        self._own_floor = Floor(0, 0)
        self._lane = lane.number
        self.heard.moved(lane.number, newest=self._gateway.own_newest, given=given)
        self._use([updates_of(lane.number)])
        self._settled()

    # --- hearing

    def deliver(self, bundle: Bundle) -> None:
        self._heard_s[bundle.lane] = asyncio.get_running_loop().time()
        if not bundle.leaving:
            self.workers = max(self.workers, 2)
        if bundle.revision is not None:
            self._gateway.rights.poll_soon()
        if bundle.presence is not None:
            self._gateway.admission.heard(self.elsewhere, bundle.lane, bundle.presence)
        if bundle.asks_ms:
            self._answer(bundle.asks_ms)
        for command_id in bundle.cancelled:
            self._gateway.fan_out.cancel(command_id)
        self._publish(self.heard.deliver(bundle))
        if bundle.ends is not None:
            self._asking_s = None
        if bundle.ends is not None or self.heard.in_doubt:
            self._settled()

    def joined(self, topics: Iterable[int]) -> None:
        self._back.set()
        self.heard.joined(topics)
        self._settled()
        if not self.heard.in_doubt:
            self._doubt.set()  # Nobody else is there; the topics have to be let flow all the same.

    def parted(self) -> None:
        log.warning("the bus is away; the log is read instead")
        self._back.clear()
        self.heard.parted()
        self._settled()

    def _publish(self, items: Iterable[Item]) -> None:
        fan_out, any_at_all = self._gateway.fan_out, False
        for item in items:
            any_at_all = True
            if isinstance(item, Placed):
                self._gateway.ids.heard(item.message)
                if not self._gateway.is_over(item.message):
                    fan_out.publish(self._gateway.from_elsewhere(item))
            else:
                self._gateway.order.updated_elsewhere(item.command)
        if any_at_all:
            self._gateway.arm()

    def _settled(self) -> None:
        """What was heard has moved something: tell who waits for it."""
        self._gateway.fan_out.advance(self.heard.position(self._own_floor.id))
        if self.heard.in_doubt:
            self._doubt.set()
        self._changed.set()

    # --- times

    async def pass_by(self, timestamp_ms: int) -> None:
        """Return when nothing with this timestamp or an earlier one can come from another worker any more. While there
        is no bus that may take long: set a limit."""
        while self.heard.passed_ms() < timestamp_ms:
            self._ask(timestamp_ms)
            self._changed.clear()
            await self._changed.wait()

    def _ask(self, timestamp_ms: int) -> None:
        """Have the others tell their floors now, not with their next heartbeat. One question at a time: the answers
        may do for later ones."""
        now_s = asyncio.get_running_loop().time()
        if self._asking_s is None or now_s - self._asking_s > ASK_AGAIN_S:
            self._asking_s = now_s
            self._gateway.bus.publish(Bundle(self.run, self._lane, asks_ms=timestamp_ms))

    def _answer(self, timestamp_ms: int) -> None:
        self._wanted_ms = max(self._wanted_ms, timestamp_ms)
        if self._answering is None:
            self._answering = asyncio.create_task(self._tell_floors(), name="floors")

    async def _tell_floors(self) -> None:
        """Answer all who have asked meanwhile with one promise, when what was given before it is told."""
        gateway = self._gateway
        try:
            while self._wanted_ms:
                wanted_ms, self._wanted_ms = self._wanted_ms, 0
                gateway.ids.pass_by(wanted_ms)
                floor = self._promise()
                await gateway.all_ended()
                self.tell()
                gateway.bus.publish(self._floors(floor))
        except HubError:
            pass  # The log cannot be written to: nothing can be promised.
        finally:
            self._answering = None

    # --- topics

    @staticmethod
    def topics(kind: Kind, guids: frozenset[str] | None, clauses: Clauses) -> frozenset[int]:
        """What has to be heard for a subscription to these devices, or to all that these clauses let it see."""
        if guids is None:
            named = [clause.guids for clause in clauses]
            if any(some is None for some in named):
                return frozenset(topics_of(kind))
            guids = frozenset().union(*[some for some in named if some is not None])
        return frozenset(topic_of(kind, guid) for guid in guids)

    async def follow(self, topics: frozenset[int]) -> None:
        """Hear these topics, too: returns when everything on them comes, by the bus or else by the log. Each use ends
        with :meth:`unfollow`."""
        self._use(topics)
        if not self.heard.is_open(topics):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(JOIN_S):
                while self.heard.is_open(topics) and self._gateway.bus.is_up:
                    self._changed.clear()
                    await self._changed.wait()

    def refollow(self, subscription: Subscription) -> None:
        """What a subscription may see has changed."""
        if self._gateway.bus.alone:
            return
        before = subscription.topics
        subscription.topics = self.topics(subscription.kind, subscription.guids, subscription.clauses)
        self._use(subscription.topics - before)
        self.unfollow(before - subscription.topics)

    def listen(self, command_id: int) -> None:
        """Updates of a command are needed, which may have been inserted by another worker."""
        topic = updates_of(command_id % LANES)
        if not self._uses[topic]:
            self._use([topic])

    def _use(self, topics: Iterable[int]) -> None:
        fresh = [topic for topic in topics if not self._uses[topic] and topic not in self._unused_s]
        for topic in topics:
            self._uses[topic] += 1
            self._unused_s.pop(topic, None)
        if fresh:
            self.heard.follow(fresh)
            self._gateway.bus.follow(fresh)

    def unfollow(self, topics: Iterable[int]) -> None:
        """Nobody needs these any more; they are heard for a while yet, for somebody may come back."""
        for topic in topics:
            now_s = asyncio.get_running_loop().time()
            self._uses[topic] -= 1
            if self._uses[topic] <= 0:
                del self._uses[topic]
                self._unused_s[topic] = now_s

    def _unfollow_unused(self) -> None:
        before_s = asyncio.get_running_loop().time() - self._policy.idle_topic_s
        idle = [topic for topic, since_s in self._unused_s.items() if since_s < before_s]
        for topic in idle:
            del self._unused_s[topic]
        if idle:
            self._gateway.bus.unfollow(idle)
            self.heard.unfollow(idle)

    # --- cursors

    def resume_from(self, since: int) -> int:
        """Where a replay begins that a cursor asks for.

        Whoever was connected to another worker may have missed messages with lower ids: another worker may have
        committed them later, and of any worker they may have come later, on another topic. What has not come here
        either will come live, and must be known by then. So a few are sent again rather than one left out.
        """
        if self._gateway.bus.alone or not since:
            return since
        late_us = max([int(self._policy.replay_overlap_s * 1e6), *(lag_us for _, lag_us in self._lags)])
        return max(0, min(since - late_us, self._gateway.fan_out.position))

    def may_exist(self, message_id: int) -> bool:
        """Whether another worker may have given this id by now."""
        return not self._gateway.bus.alone and message_id <= self._gateway.now_us() - IDS_BEGIN_US + AHEAD_MS * 1_000

    # --- reading the log

    async def _read_when_in_doubt(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._policy.bus_poll_s):
                    await self._doubt.wait()
            self._doubt.clear()
            if not self._gateway.bus.is_up:
                self.heard.doubt(self.heard.held)
            if not (self.heard.in_doubt or self.heard.has_open):
                continue
            try:
                await self._read()
            except (HubError, LaneLost):
                await asyncio.sleep(AGAIN_S)
                self._doubt.set()
            except Exception:
                log.exception("the log could not be read for what others have told")
                await asyncio.sleep(AGAIN_S)
                self._doubt.set()
            if not self._gateway.bus.is_up:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._policy.bus_poll_s):
                        await self._back.wait()  # What it brings from then on is held until the log was read.
                self._doubt.set()

    async def _read(self) -> None:
        """Read what is in doubt, and deliver what had not come."""
        self.polls += 1
        reading = self.heard.begin()
        try:
            # Before the log: up to where each lane is safe, the reading is complete.
            renewal, floor = await self._renew()
            for kind, stream in STREAMS.items():
                await self._read_stream(kind, reading, stream)
            await self._read_updates(reading)
        except BaseException:
            self.heard.give_up(reading)
            raise
        self._publish(self.heard.end(reading, renewal.safe))
        self._take(renewal, floor)

    async def _read_stream(self, kind: Kind, reading: Reading, stream: int) -> None:
        beyond = _only(reading.beyond[stream], reading.lanes[stream])
        query, complete = LogQuery(kind, after=min(beyond), beyond=beyond), not reading.lanes[stream]
        while not complete:
            page = await self._gateway.store.read(query)
            self._publish(
                Placed(one.message, one.network_id, one.groups)
                for one in page.messages
                if self.heard.logged(stream, one.message.id, topic_of(kind, one.message.device_guid))
            )
            query, complete = replace(query, after=page.read_to), page.complete

    async def _read_updates(self, reading: Reading) -> None:
        beyond = _only(reading.beyond[UPDATES], reading.lanes[UPDATES])
        after, complete = min(beyond), not reading.lanes[UPDATES]
        while not complete:
            page = await self._gateway.store.read_updates(after=after, beyond=beyond)
            for one in page.updates:
                if one.command.state is CommandState.CANCELLED:
                    self._gateway.fan_out.cancel(one.command.id)
            self._publish(
                Updated(one.update_id, one.command)
                for one in page.updates
                if self.heard.logged(UPDATES, one.update_id, updates_of(one.command.id % LANES))
            )
            after, complete = page.read_to, page.complete


def _only(positions: Sequence[int], lanes: Iterable[int]) -> tuple[int, ...]:
    """Positions of these lanes; of the others nothing is asked for."""
    wanted = set(lanes)
    return tuple(position if lane in wanted else INT64_MAX for lane, position in enumerate(positions))
