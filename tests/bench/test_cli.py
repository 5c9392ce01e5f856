"""The command line of ``hub bench``: what it refuses before anything runs, and what it does with results."""

import asyncio
import json
import socket
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.bench.result import Check, Result
from hub.bench.verdict import EXAMPLES
from tests.bench.results import at_rate, latency, result
from tests.cli import conftest
from tests.cli.conftest import begin, run
from tests.waiting import WAIT_S, until

nowhere = conftest.nowhere
SCENARIOS = ("connect", "fanout", "fanin", "commands", "mixed", "reconnect", "slow")


def without_marks(text):
    """A help text without its frame and its line breaks."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("words", [(), *((name,) for name in (*SCENARIOS, "compare"))], ids=" ".join)
def test_every_command_explains_itself(nowhere, words):
    """With examples, without a hub, and without the extra being needed."""
    told = nowhere.hub("bench", *words, "--help").out

    assert "Usage:" in told
    assert "Examples" in told
    assert " ".join(("hub bench", *words)) in without_marks(told)


@pytest.mark.parametrize(
    ("scenario", "option", "there"),
    [
        ("connect", "--connections", True),
        ("connect", "--payload", False),
        ("connect", "--duration", False),
        ("fanout", "--publishers", True),
        ("fanout", "--churn", False),
        ("fanin", "--devices", True),
        ("mixed", "--churn", True),
        ("mixed", "--in-flight", False),
        ("reconnect", "--outage", True),
        ("slow", "--slow", True),
        ("fanin", "--slow", False),
    ],
)
def test_a_scenario_has_its_own_options(nowhere, scenario, option, there):
    """No more: what has no meaning for it is a wrong argument."""
    told = nowhere.hub("bench", scenario, "--help").out

    assert (f" {option} " in told) == there
    if not there:
        nowhere.hub("bench", scenario, option, "1", code=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fail-if", "p99>50"), "us, ms or s"),
        (("--fail-if", "quick"), EXAMPLES),
        (("--dashboards", "many"), "1000 or 10k"),
        (("--dashboards", "1.5"), "whole number"),
        (("--dashboards", "0"), "--dashboards: must be from 1"),
        (("--rate", "-1"), "2.5 or 10k"),
        (("--duration", "soon"), "10s, 500ms or 2m"),
        (("--duration", "0"), "--duration: must be more than 0"),
        (("--payload", "1"), "--payload: must be from"),
        (("--pin", "first"), "cores such as 1 or 2,3"),
        (("--codec", "xml"), "json"),
        (("--out", "nowhere/a.json"), "there is no such directory"),
        (("--html", "."), "is a directory"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(nowhere, monkeypatch, words, told):
    """Exit code 2; half an hour of measuring must not end in one."""
    monkeypatch.setenv("HUB_URL", "ws://127.0.0.1:1")
    monkeypatch.setenv("HUB_KEY", "key")

    assert told in without_marks(nowhere.hub("bench", "fanout", *words, code=2).err)


def test_no_hub_to_be_reached(nowhere, monkeypatch):
    """Exit code 3, and how to start one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("HUB_URL", f"ws://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("HUB_KEY", "key")

        told = nowhere.hub("bench", "fanout", code=3).err

    assert "no hub can be reached at ws://127.0.0.1:" in told
    assert "hub serve" in told


def test_which_hub_has_to_be_known(nowhere):
    """As for every command that talks to one."""
    assert "which hub?" in nowhere.hub("bench", "fanout", code=1).err


def test_without_the_extra_it_says_what_to_install(nowhere, monkeypatch):
    """The histogram library is an extra; nothing else of the command line needs it."""
    monkeypatch.setattr("hub.cli.bench_measure.find_spec", lambda name: None)

    for words in (("fanout",), ("compare", "a", "b")):
        assert "pip install 'device-hub[bench]'" in nowhere.hub("bench", *words, code=2).err


# --- compare ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(nowhere):
    """Writes results to ``a.json`` and ``b.json``."""

    def write(a, b):
        for name, made in (("a.json", a), ("b.json", b)):
            (nowhere.path / name).write_text(made.to_json())
        return nowhere

    return write


def test_compare_prints_a_table(files):
    """Both figures, their ratio, and which is better."""
    told = files(at_rate(1_000), at_rate(1_500)).hub("bench", "compare", "a.json", "b.json").out

    line = next(line for line in told.splitlines() if line.startswith("deliveries/s"))
    assert line.split() == ["deliveries/s", "1,000/s", "1,500/s", "1.50×", "better"]


def test_compare_warns_of_other_conditions(files):
    """And goes on: sometimes that is the question."""
    told = files(result(), result(system={"durability": "queued"})).hub("bench", "compare", "a.json", "b.json").out

    assert "not the same: durability: commit in A, queued in B" in told


def test_compare_as_json(files):
    """For programs, verdict included."""
    place = files(at_rate(1_000), at_rate(500))

    told = place.hub("bench", "compare", "a.json", "b.json", "--json", "--fail-if", "deliveries/s<0.9x", code=1)

    assert told.json["figures"][0]["ratio"] == 0.5
    assert told.json["failures"] == ["deliveries/s<0.9x: it is 0.5x (1,000/s → 500/s)"]
    assert "error: deliveries/s<0.9x" in told.err


def test_compare_writes_a_page(files):
    """Both runs in one file."""
    place = files(at_rate(1_000), at_rate(1_500))

    place.hub("bench", "compare", "a.json", "b.json", "--html", "both.html")

    assert "1.50×" in (place.path / "both.html").read_text()


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (result(), result(scenario="fanin"), "cannot be compared"),
        (result(), None, "b.json: cannot be read"),
        (result(), "{}", 'b.json: not a result of hub bench: it has no "format"'),
    ],
)
def test_compare_refuses_what_is_not_comparable(nowhere, a, b, told):
    """Exit code 2, and the file's name."""
    for name, made in (("a.json", a), ("b.json", b)):
        if made is not None:
            (nowhere.path / name).write_text(made if isinstance(made, str) else made.to_json())

    assert told in nowhere.hub("bench", "compare", "a.json", "b.json", code=2).err


# --- what a run prints ------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(nowhere, monkeypatch):
    """Runs ``fanout`` as if it had come to this result."""

    def go(made, *words, code=0):
        monkeypatch.setenv("HUB_URL", "ws://127.0.0.1:1")
        monkeypatch.setenv("HUB_KEY", "key")
        monkeypatch.setattr("hub.cli.bench_measure._reach", lambda url: None)
        monkeypatch.setattr("hub.bench.run.run", lambda plan, view, entities=None: made)
        return nowhere.hub("bench", "fanout", *words, code=code)

    return go


def test_a_result_is_a_few_lines(measured):
    """Figures, percentiles, the check, the client, and under what the hub ran."""
    told = measured(result(warnings=("a load process was busy",))).out

    for text in (
        "fanout  1 publisher → 10 dashboards · 16 in flight · 3 s",
        "1,000/s",
        "p99.99",
        "nothing lost, repeated or reordered",
        "50% of a core",
        "limits bench · durability commit",
        "warning: a load process was busy",
    ):
        assert text in told
    assert len(told.splitlines()) < 25


def test_json_is_all_there_is_on_stdout(measured):
    """It can be piped, and compared later."""
    told = measured(result(), "--json")

    assert Result.from_json(told.out) == result()
    json.loads(told.out)


def test_files_are_written(measured, nowhere):
    """Each where it was asked for, the other distributions beside the main one."""
    measured(result(), "--out", "a.json", "--csv", "a.csv", "--hgrm", "a.hgrm", "--html", "a.html")

    assert {path.name for path in nowhere.path.iterdir()} == {
        "a.json",
        "a.csv",
        "a.hgrm",
        "a-acknowledgement.hgrm",
        "a.html",
    }
    assert Result.read(nowhere.path / "a.json") == result()


def test_a_loss_fails_and_is_still_told(measured):
    """Exit code 1; the result is printed and written all the same."""
    told = measured(result(check=Check(lost=2)), "--out", "a.json", code=1)

    assert "2 lost" in told.out
    assert "error: 2 lost" in told.err
    assert Path("a.json").exists()


def test_a_condition_fails(measured):
    """Exit code 1, and what it was."""
    made = result(latencies={"delivery": latency(70)})

    assert "p99>50ms: it was 70.0 ms" in measured(made, "--fail-if", "p99>50ms", code=1).err
    measured(made, "--fail-if", "p99>80ms")


def test_repeated_runs_are_told_by_their_median(measured):
    """With the least and the most."""
    told = measured(at_rate(1_000), "--repeat", "3").out

    assert "3 runs of 3 s" in told


def test_an_interrupted_run_is_the_last(measured):
    """Whoever presses Ctrl-C does not wait for four more."""
    told = measured(result(warnings=("interrupted: the figures are of what was measured until then",)), "--repeat", "5")

    assert "runs of" not in told.out


# --- a whole run ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(path):
    """A hub under bench limits, in this directory, once its profile is there."""
    process = await begin("serve", "--port", "0", "--limits", "bench", cwd=path)

    async def started():
        assert process.returncode is None, (await process.communicate())[1].decode()
        return (path / "hub-profile.json").exists()

    try:
        await until(started, within_s=3 * WAIT_S)
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def left(path, table):
    """What a table of the hub's database holds of a run."""
    with sqlite3.connect(path / "hub.db") as database:
        names = {"device": "guid", "network": "name", "user": "login", "access_key": "label"}
        query = f"SELECT count(*) FROM {table} WHERE {names[table]} LIKE 'bench-%'"
        return database.execute(query).fetchone()[0]


@pytest.mark.slow
async def test_fanout_from_the_command_line(tmp_path):
    """Devices and key are made beside the hub, messages reach every dashboard, and nothing is left behind."""
    words = "--dashboards 5 --duration 1s --warmup 0 --processes 1 --json --html page.html --fail-if p50>60s"

    async with served(tmp_path), asyncio.timeout(6 * WAIT_S):
        done = await run("bench", "fanout", *words.split(), cwd=tmp_path)

    assert done.code == 0, done.err
    found = Result.from_json(done.out)
    assert found.check == Check()
    assert found.delivered > 0
    assert found.latencies["delivery"].count > 0
    assert found.system["limits"] == "bench"
    assert "measuring" in done.err
    assert "<svg" in (tmp_path / "page.html").read_text()
    assert [left(tmp_path, table) for table in ("device", "network", "user", "access_key")] == [0, 0, 0, 0]
