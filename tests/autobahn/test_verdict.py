"""What counts as a violation in the reports of the Autobahn test suite."""

from tests.autobahn.verdict import Deviation, deviations


def results(**cases: str) -> dict[str, dict[str, str]]:
    """Results by case, written ``c3_4="OK"``; each holds for the closing, too."""
    return {case[1:].replace("_", "."): {"behavior": result, "behaviorClose": result} for case, result in cases.items()}


def found(ours: dict[str, dict[str, str]], theirs: dict[str, dict[str, str]]) -> list[tuple[str, bool]]:
    return [(one.case, one.bad) for one in deviations(ours, theirs)]


def test_what_is_perfect_in_both_is_not_told():
    """A case that went well, or that only informs, is no deviation."""
    good = results(c1_1="OK", c7_1="INFORMATIONAL")

    assert found(good, good) == []


def test_worse_than_the_other_server_is_bad():
    """Strictness counts, and so does a failure where the other is only not strict."""
    theirs = results(c3_4="OK", c4_1_5="NON-STRICT", c10_1="NON-STRICT")

    ours = results(c3_4="NON-STRICT", c4_1_5="FAILED", c10_1="NON-STRICT")

    assert found(ours, theirs) == [("3.4", True), ("4.1.5", True), ("10.1", False)]


def test_what_the_library_is_known_for_is_allowed():
    """The listed cases may be as bad as listed, whatever the other server does in this run, and not worse."""
    theirs = results(c3_2="OK", c6_4_1="OK", c7_1_5="OK")

    ours = results(c3_2="NON-STRICT", c6_4_1="FAILED", c7_1_5="FAILED")

    assert found(ours, theirs) == [("3.2", False), ("6.4.1", True), ("7.1.5", False)]


def test_a_wrong_end_is_as_bad_as_a_wrong_answer():
    """The way a connection was closed is judged, too."""
    ours = {"7.5.1": {"behavior": "OK", "behaviorClose": "UNCLEAN"}}

    assert [Deviation("7.5.1", "OK, close: UNCLEAN", "OK", bad=True)] == list(deviations(ours, results(c7_5_1="OK")))


def test_a_case_that_was_not_run_is_bad():
    """A suite that stops half-way must not look like success."""
    assert found({}, results(c2_1="OK")) == [("2.1", True)]
    assert found(results(c2_1="OK"), {}) == [("2.1", True)]
