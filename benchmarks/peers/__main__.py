"""The hub beside its peers: fan-out and fan-in, alternating, on the same two cores, with the same client.

    python -m benchmarks.peers [--systems hub nats c] [--seconds 3] [--repeat 5]

Each server runs on one core, the client on another, one system at a time; when all have had their turn, they have it
again. *In flight*: published and not yet delivered to every subscriber (and, for fan-in, not yet acknowledged). Ratios
are those within a round; their medians are told. Writes ``peers.json`` and ``peers.svg``.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from benchmarks.peers import brokers, ours, relays
from benchmarks.peers.chart import chart
from benchmarks.peers.report import as_text, report
from benchmarks.peers.rounds import Comparison, Scenario
from benchmarks.peers.systems import System

SYSTEMS = [*ours.SYSTEMS, *brokers.SYSTEMS, *relays.SYSTEMS]
RESULTS = Path(__file__).parents[1] / "results"
DEVICES_MAX = 1_000


def parsed(words: list[str]) -> argparse.Namespace:
    assert __doc__ is not None, "it is above"
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__.splitlines()[0])
    families = sorted({system.family for system in SYSTEMS})
    parser.add_argument(
        "--systems", nargs="+", choices=families, default=families, metavar="SYSTEM", help=", ".join(families)
    )
    parser.add_argument("--scenarios", nargs="+", choices=["fanout", "fanin"], default=["fanout", "fanin"])
    parser.add_argument("--subscribers", type=int, default=1_000, help="of the fan-out (1000)")
    parser.add_argument("--devices", type=int, default=100, help="of the fan-in (100)")
    parser.add_argument("--payload", type=int, default=250, help="bytes of one delivery on the wire (250)")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 16], help="messages in flight, fan-out (1 16)")
    parser.add_argument("--window", type=int, default=10, help="messages in flight per device, fan-in (10)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (3)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for peers.json and peers.svg")
    options = parser.parse_args(words)
    if not 1 <= options.devices <= DEVICES_MAX:
        parser.error(f"--devices must be 1 to {DEVICES_MAX}")
    if max(options.window, *options.windows) > brokers.IN_FLIGHT_MAX:
        parser.error(f"at most {brokers.IN_FLIGHT_MAX} in flight")
    return options


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    every = {
        "fanout": Scenario("fan-out", options.subscribers, 1, options.windows, acknowledged=False),
        "fanin": Scenario("fan-in", 1, options.devices, [options.window], acknowledged=True),
    }
    return [every[name] for name in options.scenarios]


def chosen(options: argparse.Namespace) -> list[System]:
    return [system for system in SYSTEMS if system.family in options.systems]


def main(words: list[str]) -> int:
    options = parsed(words)
    if shutil.which("cc") is None:
        print("the client is a C program: install a C compiler (apt-get install gcc libc6-dev)", file=sys.stderr)
        return 3
    comparison = Comparison(chosen(options), scenarios(options), options.payload, options.seconds, options.repeat)
    comparison.run()
    found = report(comparison)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "peers.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.results / "peers.svg").write_text(chart(found))
    print(as_text(found))
    return 0 if found["systems"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
