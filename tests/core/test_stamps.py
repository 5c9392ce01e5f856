"""Stamps: ids and times that never go back and never repeat, whatever the clock does."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.stamps import RESERVE_US, Stamper
from protocol.errors import StoreUnavailable
from protocol.messages import AHEAD_MS, IDS_BEGIN_US, LANES, lowest_id

NOW_US = 1_800_000_000_000_000
NOW_MS = NOW_US // 1000
YEAR_2300_US = 10_413_792_000_000_000

clocks = st.integers(-(10**15), YEAR_2300_US) | st.integers(NOW_US - 2_000_000, NOW_US + 2_000_000)
"""Any clock, and clocks that creep or jump a little about the same moment."""
devices = st.integers(1, 3)
turns = st.lists(st.tuples(devices, clocks), max_size=40)
lanes = st.integers(0, LANES - 1)


def stamper(lane: int = 0, mark: int = 0, last_timestamp_ms: int = 0) -> Stamper:
    return Stamper(lane=lane, mark=mark, last_timestamp_ms=last_timestamp_ms)


def reserving(stamps: Stamper, now_us: int) -> Stamper:
    """Reserve whatever is wanted, as a gateway does whose database answers at once."""
    mark = stamps.wanted(now_us)
    if mark is not None:
        stamps.reserved(mark)
    return stamps


def given_out(stamps: Stamper, turns) -> list[tuple[int, int, int]]:
    """Device, id and time of the stamps for these devices at these times."""
    drawn = [(device_id, reserving(stamps, now_us).stamp(device_id, now_us)) for device_id, now_us in turns]
    return [(device_id, stamp.id, stamp.timestamp_ms) for device_id, stamp in drawn]


def rises(values: list[int]) -> bool:
    return all(one < other for one, other in pairwise(values))


# --- ids --------------------------------------------------------------------------------------------------------------


@given(lane=lanes, turns=turns)
def test_ids_rise_in_their_lane(lane, turns):
    """Ids strictly increase, belong to the worker's lane, and fit into a JavaScript number."""
    ids = [message_id for _, message_id, _ in given_out(stamper(lane), turns)]

    assert rises(ids)
    assert {message_id % LANES for message_id in ids} <= {lane}
    assert all(0 <= message_id < 2**53 for message_id in ids)


@given(turns=st.lists(st.tuples(st.booleans(), clocks), max_size=40))
def test_no_id_passes_the_reservation(turns):
    """When the database does not answer, a message is refused rather than given an id that a crash could give again."""
    stamps, mark = stamper(), 0

    for answers, now_us in turns:
        wanted = stamps.wanted(now_us)
        if answers and wanted is not None:
            assert wanted > mark
            mark = wanted
            stamps.reserved(mark)
        with suppress(StoreUnavailable):
            assert stamps.stamp(1, now_us).id <= mark


def test_a_reservation_is_low_when_half_of_it_is_used():
    """Then there is time enough to reserve more before it ends."""
    stamps = reserving(stamper(), NOW_US)
    low = []
    for used_us in (0, RESERVE_US // 2 - LANES, RESERVE_US // 2 + LANES):
        stamps.stamp(1, NOW_US + used_us)
        low.append(stamps.is_low)

    assert low == [False, False, True]


def test_an_id_tells_when_it_was_given():
    """While a worker is not in a hurry, its ids are the microseconds since 2020."""
    (_, message_id, _), *_ = given_out(stamper(), [(1, NOW_US)])

    assert 0 <= message_id - (NOW_US - IDS_BEGIN_US) < LANES


def test_lanes_never_meet():
    """Workers at the same moment give different ids without talking to each other."""
    stamps = [given_out(stamper(lane), [(1, NOW_US)] * 3) for lane in range(LANES)]

    ids = [message_id for drawn in stamps for _, message_id, _ in drawn]
    assert len(set(ids)) == 3 * LANES


def test_a_reservation_is_renewed_at_half():
    """A new one is asked for while half of the last is left, so that stamping never waits for it."""
    stamps = reserving(stamper(), NOW_US)

    assert stamps.wanted(NOW_US) is None
    assert stamps.wanted(NOW_US + RESERVE_US // 2) is None
    assert stamps.wanted(NOW_US + RESERVE_US // 2 + 1) is not None


def test_an_older_reservation_takes_nothing_back():
    """Answers of the database may come in any order."""
    stamps = reserving(stamper(), NOW_US)

    stamps.reserved(5)

    assert stamps.stamp(1, NOW_US).id > 5


# --- times ------------------------------------------------------------------------------------------------------------


@given(turns=turns)
def test_times_never_go_back(turns):
    """Whatever the clock does, a later message is never older."""
    times = [timestamp_ms for _, _, timestamp_ms in given_out(stamper(), turns)]

    assert times == sorted(times)


@given(turns=turns)
def test_times_of_a_device_rise_until_they_are_too_far_ahead(turns):
    """Messages of a device share a millisecond only where its time is already ten seconds ahead of the clock."""
    last: dict[int, int] = {}

    for (device_id, now_us), (_, _, timestamp_ms) in zip(turns, given_out(stamper(), turns), strict=True):
        before = last.get(device_id, -(10**15))
        assert timestamp_ms > before or timestamp_ms >= now_us // 1000 + AHEAD_MS
        last[device_id] = timestamp_ms


def test_messages_of_different_devices_may_share_a_millisecond():
    """Only a device's own messages have to be told apart by time."""
    times = [timestamp_ms for _, _, timestamp_ms in given_out(stamper(), [(1, NOW_US), (2, NOW_US)])]

    assert times == [NOW_MS, NOW_MS]


def test_a_burst_of_one_device_runs_ahead_of_the_clock_and_no_further():
    """More than a message a millisecond pushes the time ahead, at most ten seconds; then it stands still."""
    times = [timestamp_ms for _, _, timestamp_ms in given_out(stamper(), [(1, NOW_US)] * (AHEAD_MS + 50))]

    assert times[: AHEAD_MS + 1] == list(range(NOW_MS, NOW_MS + AHEAD_MS + 1))
    assert set(times[AHEAD_MS:]) == {NOW_MS + AHEAD_MS}


def test_the_clock_overtakes_what_ran_ahead():
    """Once the clock is later than the last stamp, the clock counts again."""
    times = [
        timestamp_ms for _, _, timestamp_ms in given_out(stamper(), [(1, NOW_US), (1, NOW_US), (1, NOW_US + 5_000_000)])
    ]

    assert times == [NOW_MS, NOW_MS + 1, NOW_MS + 5_000]


# --- restarts ---------------------------------------------------------------------------------------------------------


@given(lane=lanes, lives=st.lists(turns, min_size=2, max_size=4))
def test_nothing_repeats_after_a_restart(lane, lives):
    """From its reservation and the last stored time a worker goes on above all that it ever gave."""
    mark, last_ms = 0, 0
    ids, times = [], []

    for life in lives:
        stamps = stamper(lane, mark, last_ms)
        for device_id, now_us in life:
            mark = stamps.wanted(now_us) or mark
            stamps.reserved(mark)
            stamp = stamps.stamp(device_id, now_us)
            assert not times or stamp.timestamp_ms > last_ms
            ids.append(stamp.id)
            times.append(stamp.timestamp_ms)
        last_ms = max([last_ms, *times])

    assert rises(ids)
    assert times == sorted(times)


# --- the time that a client may go on from ----------------------------------------------------------------------------


@given(before=turns, asked_us=clocks, after=st.lists(st.tuples(devices, clocks), min_size=1, max_size=20))
def test_every_later_message_is_newer_than_the_servers_time(before, asked_us, after):
    """Whoever replays from the time that ``server/info`` told misses nothing, also if the clock goes back."""
    stamps = stamper()
    given_out(stamps, before)

    told_ms = stamps.before_next_ms(asked_us)

    assert all(timestamp_ms > told_ms for _, _, timestamp_ms in given_out(stamps, after))


def test_the_servers_time_is_just_behind_its_clock():
    """It is as late as it can be, so that a replay repeats little."""
    assert stamper().before_next_ms(NOW_US) == NOW_MS - 1


@given(before=turns, passed_us=clocks, ahead_ms=st.integers(-2, 20_000), after=turns)
def test_what_was_passed_by_is_not_given_any_more(before, passed_us, ahead_ms, after):
    """Of no device, whatever the clock does then; and if it cannot be promised yet, that is said."""
    stamps = stamper()
    given_out(stamps, before)
    border_ms = stamps.before_next_ms(passed_us) + 1 + ahead_ms

    promised = stamps.pass_by(border_ms, passed_us)

    assert promised or ahead_ms >= 0
    assert not promised or all(timestamp_ms > border_ms for _, _, timestamp_ms in given_out(stamps, after))


@given(turns=st.lists(st.tuples(devices, clocks, st.booleans()), max_size=40))
def test_passing_by_keeps_times_near_their_ids(turns):
    """A message is looked up by its time through the least id that it can have."""
    stamps = stamper()
    for device_id, now_us, passes in turns:
        stamp = reserving(stamps, now_us).stamp(device_id, now_us)
        assert stamp.id >= lowest_id(stamp.timestamp_ms)
        if passes:
            stamps.pass_by(stamp.timestamp_ms, now_us)


def test_passing_by_waits_for_the_clock():
    """As far ahead of it as stamps may be, only the clock carries them on."""
    stamps = reserving(stamper(), NOW_US)
    most_ms = NOW_MS + AHEAD_MS

    assert stamps.pass_by(most_ms - 1, NOW_US)
    assert not stamps.pass_by(most_ms, NOW_US)
    assert stamps.pass_by(most_ms, NOW_US + 1_000)
    assert stamps.stamp(1, NOW_US + 1_000).timestamp_ms == most_ms + 1


def test_nothing_is_stamped_before_something_is_reserved():
    """A worker that has never reached its database gives no ids at all."""
    with pytest.raises(StoreUnavailable) as refused:
        stamper().stamp(1, NOW_US)

    assert refused.value.retry_after_s == 1


# --- among others -----------------------------------------------------------------------------------------------------


def test_what_was_heard_of_others_comes_before():
    """A message that was inserted after one from another worker had been heard here has the greater id and time."""
    stamps = reserving(stamper(lane=1), NOW_US)
    theirs = reserving(stamper(lane=2), NOW_US + 700).stamp(1, NOW_US + 700)

    stamps.heard(theirs.id, 1, theirs.timestamp_ms, NOW_US)
    ours = stamps.stamp(1, NOW_US)

    assert ours.id > theirs.id
    assert ours.timestamp_ms > theirs.timestamp_ms


def test_another_devices_time_is_not_ours():
    """Two devices may share a millisecond; a clock that is far ahead is not followed."""
    stamps = reserving(stamper(), NOW_US)

    stamps.heard(0, 1, NOW_MS, NOW_US)
    stamps.heard(0, 1, NOW_MS + 2 * AHEAD_MS, NOW_US)

    assert stamps.stamp(2, NOW_US).timestamp_ms == NOW_MS


def test_a_promise_is_below_all_that_comes():
    """And close to the present, as far as ids are reserved."""
    stamps = reserving(stamper(), NOW_US)

    promised = stamps.promise(NOW_US)

    assert promised == NOW_US - IDS_BEGIN_US
    assert stamps.next_id(NOW_US) > promised
    assert stamper(mark=7).promise(NOW_US) == 7
