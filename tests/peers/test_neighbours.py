"""What the benchmark of bad neighbours makes of its samples."""

from benchmarks.neighbours import Phases, quantile


def test_the_ratio_compares_each_abused_phase_to_the_calm_one_before_it():
    """A machine that slows down half-way changes no ratio."""
    phases = Phases(calm=[[10.0], [20.0], [30.0]], abused=[[11.0], [22.0], [90.0]])

    assert phases.summary(1.25)["p99_ratios"] == [1.1, 1.1, 3.0]
    assert phases.summary(1.25)["p99_ratio"] == 1.1


def test_a_bound_is_met_by_the_median_of_the_ratios():
    """Or it is not, and that is said."""
    phases = Phases(calm=[[10.0]], abused=[[13.0]])

    assert [phases.summary(bound)["met"] for bound in (1.25, 1.3, None)] == [False, True, True]


def test_a_quantile_is_one_of_the_samples():
    """Of a hundred samples the 99th percentile is the last."""
    assert quantile(range(100), 0.99) == 99
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
