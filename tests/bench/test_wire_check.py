"""The checker notices what is lost, repeated and reordered, whoever publishes and however it arrives."""

import random

import pytest

from hub.bench.check import Order, Reader
from hub.bench.times import Times, coarse
from tests.bench.streams import NOW_US, SENT_US, faults, reader, tokens


def test_messages_in_order_are_fine():
    """All of them, once and in order: nothing is wrong."""
    one = reader()

    one.take(tokens(range(5)), NOW_US)
    one.take(tokens(range(5, 9)), NOW_US)

    assert faults(one, {0: 9}) == (0, 0, 0)
    assert one.delivered == 9
    assert not one.strays


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 3, 4], (1, 0, 0)),
        ([0, 1, 1, 2, 3, 4], (0, 1, 0)),
        ([0, 2, 1, 3, 4], (0, 0, 1)),
        ([1, 2, 3, 4], (1, 0, 0)),
        ([0, 1, 2], (2, 0, 0)),
        ([], (5, 0, 0)),
        ([4, 3, 2, 1, 0], (0, 0, 4)),
        ([0, 1, 2, 3, 4, 0], (0, 1, 0)),
        ([0, 3, 1, 1, 4], (1, 1, 1)),
    ],
)
def test_each_fault_is_counted(numbers, expected):
    """Lost, repeated and reordered messages, alone and together, in one chunk or message by message."""
    at_once, one_by_one = reader(), reader()

    if numbers:
        at_once.take(tokens(numbers), NOW_US)
    for number in numbers:
        one_by_one.take(tokens([number]), NOW_US)

    assert expected == faults(at_once, {0: 5})
    assert expected == faults(one_by_one, {0: 5})


def test_publishers_are_looked_at_one_by_one():
    """Between publishers any order is right; each publisher's own messages have theirs."""
    one, other = reader(order := Order()), reader(order)

    one.take(tokens([0, 1], 1) + tokens([0], 2) + tokens([2], 1), NOW_US)
    other.take(tokens([0], 2) + tokens([0, 2, 1], 1), NOW_US)

    assert faults(one, {1: 3, 2: 1}) == (0, 0, 0)
    assert faults(other, {1: 3, 2: 1}) == (0, 0, 1)


def test_the_fault_of_one_reader_is_not_that_of_the_others():
    """Who gets a wrong stream leaves the common order; the rest goes on with it."""
    order = Order()
    right, wrong = reader(order), reader(order)

    wrong.take(tokens([0, 2]), NOW_US)
    right.take(tokens([0, 1, 2]), NOW_US)

    assert wrong.strays
    assert not right.strays
    assert faults(wrong, {0: 3}) == (1, 0, 0)
    assert faults(right, {0: 3}) == (0, 0, 0)


def test_a_lenient_reader_begins_in_the_middle():
    """Who comes later has lost nothing of what was before."""
    one = reader(lenient=True)

    one.take(tokens([7, 8, 10]), NOW_US)

    assert faults(one, {0: 12}) == (2, 0, 0)


def test_what_is_no_token_changes_nothing():
    """A chunk that was cut at the wrong places is refused as a whole."""
    one = reader()

    taken = one.take([(b"x" * 35,), *tokens([0])], NOW_US)

    assert not taken
    assert one.position == 0


def test_the_floor_is_where_the_slowest_reader_is():
    """What is in flight ends when everybody has it, and not before."""
    risen: list[int] = []
    order = Order(risen.append)
    fast, slow = reader(order), reader(order)

    fast.take(tokens(range(3)), NOW_US)
    assert order.floor == 0
    slow.take(tokens(range(2)), NOW_US)
    assert order.floor == 2
    slow.end()

    assert order.floor == 3
    assert risen == [2, 1]


def test_an_order_forgets_what_everybody_has(monkeypatch):
    """Memory does not grow with the run."""
    monkeypatch.setattr("hub.bench.check.ORDER_TRIM", 10)
    one = reader(order := Order())

    for begin in range(0, 100, 5):
        one.take(tokens(range(begin, begin + 5)), NOW_US)
        order.tidy()

    assert len(order.tokens) < 20
    assert faults(one, {0: 100}) == (0, 0, 0)


def test_who_is_far_behind_is_still_checked(monkeypatch):
    """An order that is full goes on without the laggard, whose messages are then looked at one by one."""
    monkeypatch.setattr("hub.bench.check.ORDER_TRIM", 10)
    monkeypatch.setattr("hub.bench.check.ORDER_MAX", 20)
    order = Order()
    ahead, behind = reader(order), reader(order)

    ahead.take(tokens(range(100)), NOW_US)
    behind.take(tokens(range(3)), NOW_US)
    order.tidy()
    behind.take(tokens([*range(3, 50), *range(51, 100)]), NOW_US)

    assert len(order.tokens) <= 20
    assert faults(behind, {0: 100}) == (1, 0, 0)


def test_any_stream_gets_the_verdict_of_a_plain_count():
    """However a stream is spoilt and cut into chunks, the counts are those of a look at each message."""
    chance = random.Random(7)
    for _ in range(300):
        numbers = list(range(12))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(numbers))
            spoil = chance.choice(["drop", "repeat", "swap"])
            if spoil == "drop" and len(numbers) > 1:
                del numbers[place]
            elif spoil == "repeat":
                numbers.insert(place, numbers[place])
            else:
                numbers.insert(chance.randrange(len(numbers)), numbers.pop(place))
        one, rest = reader(), numbers
        while rest:
            cut = chance.randrange(1, len(rest) + 1)
            one.take(tokens(rest[:cut]), NOW_US)
            rest = rest[cut:]

        lost, repeated, reordered = faults(one, {0: 12})

        assert lost == 12 - len(set(numbers))
        assert repeated == len(numbers) - len(set(numbers))
        assert bool(reordered) == (list(dict.fromkeys(numbers)) != sorted(set(numbers)))


def test_every_message_is_measured_where_that_is_asked_for():
    """On a schedule the latency of each message counts; at full speed one of a chunk counts for all of it."""
    each, sampled = Times(), Times()

    Reader(Order(), each).take(tokens(range(4)), NOW_US)
    Reader(Order(), sampled, every=False).take(tokens(range(4)), NOW_US)

    assert each.counts() == {coarse(NOW_US - SENT_US): 4}
    assert sampled.counts() == each.counts()


@pytest.mark.parametrize("us", [1, 999, 2_049, 1_234_567, 59_999_999])
def test_times_are_kept_to_three_digits(us):
    """What is made coarse stays within a thousandth."""
    assert abs(coarse(us) - us) <= us / 1000
