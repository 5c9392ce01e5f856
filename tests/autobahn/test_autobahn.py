"""RFC 6455, as the Autobahn test suite reads it, cases 1 to 7 and 10."""

from pathlib import Path

import pytest

from tests.autobahn.suite import RUN_S, WSTEST, run
from tests.autobahn.verdict import deviations

CASES = 247


@pytest.mark.slow
@pytest.mark.timeout(RUN_S)
@pytest.mark.skipif(not WSTEST.exists(), reason="needs the Autobahn test suite: run make autobahn once")
def test_the_hub_keeps_to_the_protocol_as_well_as_plain_websockets(tmp_path: Path):
    """No case of the suite goes worse than with ``websockets``' own server."""
    hub, websockets = run(tmp_path)

    assert CASES == len(hub) == len(websockets)
    assert [str(one) for one in deviations(hub, websockets) if one.bad] == []
