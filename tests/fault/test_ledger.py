"""The ledger finds what it is there to find."""

from tests.fault.ledger import Fact, Ledger, Verdict


def fact(number: int, *, device: str = "lamp", name: str | None = None) -> Fact:
    return Fact(number, device, f"2026-01-01T00:00:00.{number:03}", name or f"n{number}")


def ledger(*acknowledged: Fact, received: list[Fact]) -> Ledger:
    made = Ledger()
    for one in acknowledged:
        made.acknowledge(one)
    for one in received:
        made.receive("reader", one)
    return made


def test_a_complete_ordered_receipt_is_clean():
    """What was acknowledged and came once, in order, is all right; what was stored without an answer may come too."""
    kept = ledger(fact(1), fact(2), received=[fact(1), fact(2), fact(3)])

    assert kept.check("reader", ["lamp"]).clean
    assert kept.check_log([1, 2, 3]).clean


def test_what_is_wrong_is_named():
    """Lost, doubled, turned round and reissued messages are each told by their ids."""
    kept = ledger(fact(1), fact(2), fact(4), received=[fact(2), fact(1, name="other"), fact(2)])

    assert kept.check("reader", ["lamp"]) == Verdict(lost=[4], duplicates=[2], inversions=[(2, 1)], reissued=[1])


def test_other_devices_do_not_count():
    """A receiver of one device misses nothing of another, and order is a matter of one device."""
    kept = ledger(fact(2), fact(1, device="fan"), received=[fact(2), fact(1, device="fan")])

    assert kept.check("reader", ["lamp"]).clean


def test_an_acknowledgement_without_a_row_is_false():
    """Every acknowledged id has to be in the log, once."""
    kept = ledger(fact(1), fact(2), received=[])

    assert kept.check_log([1, 1]) == Verdict(duplicates=[1], false_acknowledgements=[2])
