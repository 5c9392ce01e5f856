"""What is heard of other workers: every message once, in the order of its worker, whatever the bus does."""

from collections import defaultdict

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub.bus import Bundle, Placed, Section, Updated, topic_of, updates_of
from hub.gateway.heard import COMMANDS, NOTIFICATIONS, UPDATES, Heard, id_of, stream_of
from protocol.messages import LANES, Command
from protocol.names import Kind
from tests.builders import notification

OWN = 0
LAMP, FAN = topic_of(Kind.NOTIFICATION, "lamp"), topic_of(Kind.NOTIFICATION, "fan")
SAFE_AT_START = (1_000,) * LANES


def heard(*topics, held=(OWN, 1, 2)):
    """What listens to these topics, which flow already."""
    made = Heard(OWN)
    made.start(SAFE_AT_START, held)
    made.follow(topics)
    made.joined(topics)
    read(made)
    return made


def placed(guid, message_id):
    return Placed(notification(guid, id=message_id), None)


def section(guid, before, *ids):
    return Section(topic_of(Kind.NOTIFICATION, guid), before, [placed(guid, number) for number in ids])


def bundle(lane, *sections, **members):
    return Bundle(f"run {lane}", lane, sections, **members)


def deliver(made, *bundles):
    """The ids that are delivered at once."""
    return [id_of(item) for one in bundles for item in made.deliver(one)]


def read(made, *logged, safe=SAFE_AT_START):
    """Read the log, which has these (guid, id): the ids that are delivered."""
    reading = made.begin()
    found = []
    for guid, number in sorted(logged, key=lambda one: one[1]):
        lane = number % LANES
        if lane not in reading.lanes[NOTIFICATIONS] or number <= reading.beyond[NOTIFICATIONS][lane]:
            continue
        if made.logged(NOTIFICATIONS, number, topic_of(Kind.NOTIFICATION, guid)):
            found.append(number)
    return found + [id_of(item) for item in made.end(reading, safe)]


def lane_id(lane, number):
    return 2_000 * LANES + number * LANES + lane


A, B, C, D = (lane_id(1, number) for number in range(4))
OTHER = lane_id(2, 7)


def test_what_joins_on_is_delivered_at_once():
    """Each section names the id before it."""
    lamp = heard(LAMP)

    assert deliver(lamp, bundle(1, section("lamp", 0, A)), bundle(1, section("lamp", A, B, C))) == [A, B, C]
    assert not lamp.in_doubt


def test_what_comes_again_is_not_delivered_again():
    """A bus may repeat itself."""
    lamp = heard(LAMP)

    assert deliver(lamp, *[bundle(1, section("lamp", 0, A, B))] * 2) == [A, B]


def test_what_nobody_follows_is_passed_over():
    """It came along with something else."""
    lamp = heard(LAMP)

    assert deliver(lamp, bundle(1, section("fan", 0, A))) == []


def test_a_gap_keeps_a_topic_back_until_the_log_was_read():
    """What is missing comes first, then what was held; other topics flow on."""
    both = heard(LAMP, FAN)
    deliver(both, bundle(1, section("lamp", 0, A)))

    held = deliver(both, bundle(1, section("lamp", B, C)), bundle(2, section("lamp", 0, OTHER)))
    flowing = deliver(both, bundle(1, section("fan", 0, D)))

    assert (held, flowing, both.gaps) == ([], [D], 1)
    assert read(both, ("lamp", A), ("lamp", B), ("lamp", C), ("fan", D)) == [B, C, OTHER]


def test_a_time_has_passed_when_everybody_has_promised_it():
    """Each lane tells with where its topics end what it gives no more; who has told nothing yet may give anything."""
    lamp = heard(LAMP)

    deliver(lamp, bundle(1, ends={}, floor=A, floor_ms=70))
    one = lamp.passed_ms()
    deliver(lamp, bundle(2, ends={}, floor=OTHER, floor_ms=60))

    assert (one, lamp.passed_ms()) == (0, 60)
    lamp.renewed((OWN, 1), SAFE_AT_START)
    read(lamp)
    assert lamp.passed_ms() == 70
    assert heard(LAMP, held=(OWN,)).passed_ms() > 10**15


def test_a_time_has_not_passed_while_something_before_it_is_missing():
    """What was promised counts when everything up to there is here; a later promise is for later."""
    lamp = heard(LAMP, held=(OWN, 1))
    deliver(lamp, bundle(1, section("lamp", A, B)), bundle(1, ends={LAMP: B}, floor=B, floor_ms=70))
    deliver(lamp, bundle(1, ends={LAMP: B}, floor=C, floor_ms=80))
    missing = lamp.passed_ms()

    read(lamp, ("lamp", A), ("lamp", B), safe=tuple(B if lane == 1 else 1_000 for lane in range(LANES)))

    assert (missing, lamp.passed_ms()) == (0, 70)


def test_a_lost_last_message_is_noticed_by_where_the_topic_ends():
    """Nothing may come after it that would show the gap."""
    lamp = heard(LAMP)

    deliver(lamp, bundle(1, ends={LAMP: A}, floor=A))

    assert (lamp.gaps, lamp.in_doubt) == (1, True)
    assert read(lamp, ("lamp", A)) == [A]


def test_the_position_follows_what_is_complete():
    """Up to where every worker says that it has told everything; while something is missing it stays."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(2, ends={}, floor=9_000))
    before = lamp.position(own=8_000)

    deliver(lamp, bundle(1, ends={}, floor=7_000))
    after = lamp.position(own=8_000)
    deliver(lamp, bundle(1, ends={LAMP: A}, floor=A))

    assert (before, after, lamp.position(own=8_000)) == (1_000, 7_000, 7_000)


def test_nothing_flows_from_a_lost_connection_until_it_was_read_up():
    """What was published meanwhile nobody heard."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(1, section("lamp", 0, A)))
    lamp.parted()
    while_away = read(lamp, ("lamp", B))

    lamp.joined([LAMP])
    held = deliver(lamp, bundle(1, section("lamp", C, D)))

    assert (while_away, held) == ([B], [])
    assert read(lamp, ("lamp", B), ("lamp", C)) == [C, D]


def test_a_reading_that_fails_leaves_everything_in_doubt():
    """It is repeated, and nothing is delivered twice."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(1, section("lamp", A, B)))
    reading = lamp.begin()
    assert lamp.logged(NOTIFICATIONS, A, LAMP)

    lamp.give_up(reading)

    assert lamp.in_doubt
    assert read(lamp, ("lamp", A), ("lamp", B)) == [B]


def test_too_much_that_waits_is_dropped_and_read():
    """Memory is bounded; the log has it all."""
    lamp = Heard(OWN, most_held=2)
    lamp.start(SAFE_AT_START, (OWN, 1))
    lamp.follow([LAMP])
    lamp.joined([LAMP])
    deliver(lamp, bundle(1, section("lamp", 0, A, B, C)))

    assert read(lamp, ("lamp", A), ("lamp", B), ("lamp", C), ("lamp", D)) == [A, B, C, D]
    assert deliver(lamp, bundle(1, section("lamp", C, D))) == []


def test_who_has_another_lane_reads_on_in_the_one_before():
    """What was delivered there is known; what followed may have been committed all the same."""
    lamp = heard(LAMP)
    first, doubtful, later = (lane_id(OWN, number) for number in range(3))

    lamp.moved(3, newest=first, given=doubtful)

    assert read(lamp, ("lamp", first), ("lamp", doubtful)) == [doubtful]
    assert deliver(lamp, bundle(OWN, section("lamp", 0, later))) == [later]


def test_who_has_the_same_lane_again_reads_nothing():
    """Nobody else has said anything there."""
    lamp = heard(LAMP)

    lamp.moved(OWN, newest=A, given=B)

    assert not lamp.in_doubt


def test_a_worker_that_has_gone_is_read_once_more():
    """It may have said something last; then its lane is done with."""
    lamp = heard(LAMP)

    lamp.renewed((OWN, 2), SAFE_AT_START)

    assert lamp.in_doubt
    assert read(lamp, ("lamp", A)) == [A]
    later = (9_999_999,) * LANES
    lamp.renewed((OWN, 2), later)
    assert not lamp.in_doubt


def test_what_a_run_has_not_told_is_read_when_the_next_one_speaks():
    """A worker that ends between a commit and its bundle may be followed on its lane before anybody sees it go."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(1, section("lamp", 0, A)))

    assert deliver(lamp, Bundle("next run", 1, [section("lamp", 0, C)])) == []
    deliver(lamp, Bundle("next run", 1, [], ends={LAMP: C}, floor=D))
    assert lamp.in_doubt
    assert read(lamp, ("lamp", A), ("lamp", B), ("lamp", C)) == [B, C]
    assert deliver(lamp, Bundle("next run", 1, [section("lamp", C, D)])) == [D]


def test_a_run_that_was_seen_to_go_is_not_waited_for():
    """The log was read then."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(1, section("lamp", 0, A)))
    lamp.renewed((OWN, 2), SAFE_AT_START)
    read(lamp, ("lamp", A))

    assert deliver(lamp, Bundle("next run", 1, [section("lamp", 0, B)])) == [B]


def test_unfollowed_topics_leave_nothing():
    """Also not what they held."""
    lamp = heard(LAMP)
    deliver(lamp, bundle(1, section("lamp", A, B)))

    lamp.unfollow([LAMP])

    assert not lamp.has_open
    assert deliver(lamp, bundle(1, section("lamp", B, C))) == []


def test_updates_are_a_stream_of_their_own():
    """By their update ids, on the topic of the lane in which their command was inserted."""
    own = heard(updates_of(OWN))
    done = Updated(B, Command(OWN, 1, "lamp", "on", 0, updated=True))

    items = list(own.deliver(bundle(1, Section(updates_of(OWN), 0, [done]))))

    assert [done] == items
    assert tuple(stream_of(topic) for topic in (updates_of(OWN), LAMP, topic_of(Kind.COMMAND, "lamp"))) == (
        UPDATES,
        NOTIFICATIONS,
        COMMANDS,
    )


# --- whatever the bus does --------------------------------------------------------------------------------------------


class Whatever(RuleBasedStateMachine):
    """Two workers commit and publish; bundles get lost, connections go and come; the log has everything.

    Each message on a followed topic is delivered once, those of one worker and device in their order, and when all has
    been read nothing is missing.
    """

    @initialize()
    def begin(self):
        self.made = Heard(OWN, most_held=6)
        self.made.start(SAFE_AT_START, (OWN, 1, 2))
        self.followed, self.joined_topics = set(), set()
        self.up = True
        self.log = []  # (guid, id)
        self.sent = {1: {}, 2: {}}
        self.safe = list(SAFE_AT_START)
        self.number = 0
        self.got = []
        self.owed_from = {}  # guid: position in the log from which all is owed
        self.runs = {1: 0, 2: 0}
        for lane in self.runs:
            self.beat(lane, lost=False)

    def bundle(self, lane, *sections, **members):
        return Bundle(f"run {self.runs[lane]}", lane, sections, **members)

    @rule(lane=st.sampled_from([1, 2]))
    def crash(self, lane):
        """Another worker is there at once."""
        self.runs[lane] += 1
        self.sent[lane] = {}

    def take(self, items):
        self.got += [(item.message.device_guid, item.message.id) for item in items]

    @rule(
        lane=st.sampled_from([1, 2]),
        guids=st.lists(st.sampled_from(["lamp", "fan"]), min_size=1, max_size=4),
        lost=st.booleans(),
    )
    def commit(self, lane, guids, lost):
        by_topic = defaultdict(list)
        for guid in guids:
            self.number += 1
            message_id = lane_id(lane, self.number)
            self.log.append((guid, message_id))
            by_topic[guid].append(message_id)
        sections = []
        for guid, ids in by_topic.items():
            topic = topic_of(Kind.NOTIFICATION, guid)
            sections.append(section(guid, self.sent[lane].get(topic, 0), *ids))
            self.sent[lane][topic] = ids[-1]
        if self.up and not lost:
            joined = [one for one in sections if one.topic in self.joined_topics]
            self.take(self.made.deliver(self.bundle(lane, *joined)))

    @rule(lane=st.sampled_from([1, 2]), lost=st.booleans())
    def beat(self, lane, lost):
        floor = lane_id(lane, self.number)
        self.safe[lane] = floor
        if self.up and not lost:
            self.take(self.made.deliver(self.bundle(lane, ends=dict(self.sent[lane]), floor=floor)))

    @rule(guid=st.sampled_from(["lamp", "fan"]))
    def follow(self, guid):
        topic = topic_of(Kind.NOTIFICATION, guid)
        if guid in self.followed:
            return
        self.followed.add(guid)
        self.made.follow([topic])
        if self.up:
            self.made.joined([topic])
            self.joined_topics.add(topic)
        self.owed_from[guid] = len(self.log)

    @precondition(lambda self: self.up)
    @rule()
    def part(self):
        self.up = False
        self.joined_topics.clear()
        self.made.parted()

    @precondition(lambda self: not self.up)
    @rule()
    def come_back(self):
        self.up = True
        self.joined_topics = {topic_of(Kind.NOTIFICATION, guid) for guid in self.followed}
        self.made.joined(self.joined_topics)

    @rule(fails=st.booleans())
    def read(self, fails):
        reading, safe = self.made.begin(), tuple(self.safe)
        log = sorted(self.log, key=lambda one: one[1])
        for count, (guid, message_id) in enumerate(log):
            if fails and count > len(log) // 2:
                self.made.give_up(reading)
                return
            lane = message_id % LANES
            if lane in reading.lanes[NOTIFICATIONS] and message_id > reading.beyond[NOTIFICATIONS][lane]:
                topic = topic_of(Kind.NOTIFICATION, guid)
                if self.made.logged(NOTIFICATIONS, message_id, topic):
                    self.got.append((guid, message_id))
        self.take(self.made.end(reading, safe))

    @invariant()
    def each_once_and_in_order(self):
        assert len(self.got) == len(set(self.got))
        for guid in ("lamp", "fan"):
            for lane in (1, 2):
                ids = [number for one, number in self.got if one == guid and number % LANES == lane]
                assert ids == sorted(ids)

    def teardown(self):
        if not hasattr(self, "made"):
            return
        if not self.up:
            self.come_back()
        for _ in range(3):
            self.beat(1, lost=False)
            self.beat(2, lost=False)
            self.read(fails=False)
        assert not self.made.in_doubt
        assert not self.made.has_open
        got = set(self.got)
        for guid in self.followed:
            owed = {one for one in self.log[self.owed_from[guid] :] if one[0] == guid}
            assert owed <= got


Whatever.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWhatever = Whatever.TestCase
