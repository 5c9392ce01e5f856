"""The record of a cluster's peers finds what it is there to find."""

from protocol.messages import LANES
from tests.fault.record import Findings, Insert, Mailbox, Receipt, Record, percentile


def record(*inserts: tuple[str, int, float, float], device: str = "lamp") -> tuple[Record, Mailbox]:
    """Acknowledged inserts: name, id, when sent, when acknowledged."""
    made, mailbox = Record(), Mailbox("reader", ["command"], ["lamp"])
    made.mailboxes.append(mailbox)
    for name, number, sent_s, acknowledged_s in inserts:
        made.send(Insert("command", device, name, sent_s))
        made.acknowledge(name, number, acknowledged_s)
    mailbox.begin()
    return made, mailbox


def receipt(name: str, number: int, *, device: str = "lamp", at_s: float = 9.0) -> Receipt:
    return Receipt("command", number, device, name, at_s)


def kinds_of(found: Findings) -> set[str]:
    return {name for name, what in vars(found).items() if what}


def test_what_came_once_and_in_order_is_clean():
    """Also twice, if a new connection began between."""
    made, mailbox = record(("a", 1, 0, 1), ("b", 65, 2, 3))
    mailbox.put(receipt("a", 1))
    mailbox.put(receipt("b", 65))
    mailbox.begin()
    mailbox.put(receipt("b", 65))

    assert made.findings({"a": {1}, "b": {65}}).clean


def test_what_never_came_is_lost():
    """And what is not in the log was acknowledged falsely; what is there twice was repeated."""
    made, _ = record(("a", 1, 0, 1), ("b", 2, 0, 1))

    assert kinds_of(made.findings({"b": {2, 3}})) == {"lost", "false_acknowledgements", "repeated"}


def test_twice_in_one_connection_is_a_duplicate():
    """The same id, whatever came between."""
    made, mailbox = record(("a", 1, 0, 1))
    mailbox.put(receipt("a", 1))
    mailbox.put(receipt("a", 1))

    assert kinds_of(made.findings({"a": {1}})) == {"duplicates"}


def test_order_counts_within_a_lane():
    """Of two gateways the ids may be mixed, of one they rise."""
    made, mailbox = record(("a", LANES, 0, 9), ("b", LANES + 1, 0, 9), ("c", 2 * LANES, 0, 9))
    for name, number in (("b", LANES + 1), ("c", 2 * LANES), ("a", LANES)):
        mailbox.put(receipt(name, number))

    assert kinds_of(made.findings({"a": {LANES}, "b": {LANES + 1}, "c": {2 * LANES}})) == {"inversions"}


def test_what_was_sent_after_an_acknowledgement_comes_after_it():
    """Whatever gateways they went through."""
    made, mailbox = record(("a", 1, 0, 1), ("b", 2, 2, 3))
    mailbox.put(receipt("b", 2))
    mailbox.put(receipt("a", 1))

    assert kinds_of(made.findings({"a": {1}, "b": {2}})) == {"out_of_turn"}


def test_a_foreign_device_is_unauthorised():
    """Nobody gets what was not meant for him."""
    made, mailbox = record()
    mailbox.put(receipt("x", 1, device="safe"))

    assert kinds_of(made.findings({})) == {"unauthorised"}


def test_lag_runs_from_the_acknowledgement_to_the_first_receipt():
    """What was pushed before it was answered has none."""
    made, mailbox = record(("a", 1, 0, 1), ("b", 2, 0, 4))
    mailbox.put(receipt("a", 1, at_s=3.5))
    mailbox.put(receipt("b", 2, at_s=3.5))

    assert made.lags_s() == [2.5, 0.0]
    assert made.lags_s(since_s=2) == [0.0]
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0
