"""Clusters that something happens to: nothing that was acknowledged is lost, nor shown to whom it does not concern.

The scenarios in a small size; ``make fault`` plays them, and more, in full.
"""

from pathlib import Path

import pytest

from tests.fault import faults_links, faults_order, faults_processes
from tests.fault.stage import SCENARIOS, play

__all__ = ["faults_links", "faults_order", "faults_processes"]

SMALL = [(one.name, place) for one in SCENARIOS.values() if one.small is not None for place in one.places]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), SMALL, ids=["-".join(one) for one in SMALL])
async def test_a_cluster_keeps_its_promises(name: str, place: str, tmp_path: Path, record_property):
    """Under a fault: 0 lost, 0 false acknowledgements, 0 unauthorised, 0 out of order, 0 duplicates in a connection."""
    scenario = SCENARIOS[name]
    assert scenario.small is not None, "only those are played here"

    outcome = await play(scenario, scenario.small, tmp_path, place=place)

    record_property("outcome", str(outcome))
    assert outcome.broken == [], outcome
