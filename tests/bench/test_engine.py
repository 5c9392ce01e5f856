"""A run from the outside: what it notices, how it ends, and that it cleans up however it ends."""

import multiprocessing
import os
import re
import resource
import signal

import pytest

from hub.bench.door import Target, raise_descriptors
from hub.bench.meters import Meters, Second, Tally
from hub.bench.pace import Schedule
from hub.bench.plan import BenchError, Names, Plan, Scenario, WireCodec
from hub.bench.run import run
from hub.bench.seconds import Seconds
from hub.bench.speak import Speech
from hub.bench.system import hub_facts
from tests.bench.conftest import Watching
from tests.bench.faulty import Fault, Nothing, faulty_hub

# --- what it notices --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (Fault.NONE, set()),
        (Fault.DROP, {"lost"}),
        (Fault.REPEAT, {"repeated"}),
        (Fault.REORDER, {"reordered"}),
        (Fault.REFUSE, set()),
    ],
)
def test_a_server_that_spoils_messages_is_found_out(watching, fault, wrong):
    """A lost, a repeated and a reordered message each show in the result; a refused one is an error, and no loss."""
    with faulty_hub(fault) as url:
        plan = Plan(
            scenario=Scenario.FANOUT,
            url=url,
            key="-",
            dashboards=3,
            rate=203.0,
            duration_s=0.5,
            warmup_s=0.1,
            drain_s=3.0,  # a busy machine delivers late, which is no loss
        )
        result = run(plan, watching, entities=Nothing())

    counts = {"lost": result.check.lost, "repeated": result.check.repeated, "reordered": result.check.reordered}
    assert {name for name, count in counts.items() if count} == wrong
    assert (result.errors.get("notification/insert 429", 0) > 0) == (fault is Fault.REFUSE)


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interruption_ends_with_what_was_measured(running_hub):
    """Ctrl-C: the result is of the time until then, it says so, and nothing stays in the hub."""

    class Impatient(Watching):
        def sample(self, sample: object) -> None:
            if not self.samples:
                os.kill(os.getpid(), signal.SIGINT)
            super().sample(sample)

    before = running_hub.holds()

    result = run(
        running_hub.plan(Scenario.FANOUT, dashboards=3, duration_s=60.0), Impatient(), entities=running_hub.entities
    )

    assert result.duration_s < 30
    assert result.delivered > 0
    assert any("interrupted" in text for text in result.warnings)
    assert running_hub.holds() == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_an_interruption_while_connecting_ends_the_run(running_hub):
    """There is nothing to tell of; nothing stays in the hub."""

    class Sudden(Watching):
        def phase(self, name: str, total: int | None) -> None:
            if name == "connecting":
                os.kill(os.getpid(), signal.SIGINT)

    before = running_hub.holds()

    with pytest.raises(BenchError, match="interrupted before anything was measured"):
        run(running_hub.plan(Scenario.FANOUT, dashboards=3), Sudden(), entities=running_hub.entities)

    assert running_hub.holds() == before


@pytest.mark.slow
def test_a_load_process_that_dies_ends_the_run(running_hub):
    """It is said, and nothing stays in the hub."""

    class Deadly(Watching):
        def sample(self, sample: object) -> None:
            for process in multiprocessing.active_children():
                process.kill()

    before = running_hub.holds()

    with pytest.raises(BenchError, match="ended unexpectedly"):
        run(running_hub.plan(Scenario.FANOUT, dashboards=3, duration_s=60.0), Deadly(), entities=running_hub.entities)

    assert running_hub.holds() == before


@pytest.mark.slow
def test_nobody_can_connect(running_hub, watching):
    """With a key that the hub does not know, the run ends with the hub's reason, and is tidied up all the same."""

    class Forgetful(Nothing):
        def make(self, names: Names, device_key: str) -> str:
            running_hub.entities.make(names, device_key)
            return "not the key"

        def remove(self, names: Names) -> None:
            running_hub.entities.remove(names)

    before = running_hub.holds()

    with pytest.raises(BenchError, match=r"none of 3 dashboards could connect to .*: 3 x authenticate 401"):
        run(running_hub.plan(Scenario.FANOUT, dashboards=3), watching, entities=Forgetful())

    assert running_hub.holds() == before


@pytest.mark.slow
def test_without_the_database_it_says_what_it_leaves(running_hub, watching):
    """A hub elsewhere is asked for devices over the socket, and cannot be asked to remove them."""
    before = running_hub.holds()

    result = run(running_hub.plan(Scenario.FANOUT, dashboards=2), watching)
    left = running_hub.holds()
    tag = re.search(r"bench-(\w+)", " ".join(result.warnings))
    assert tag is not None
    names = Names(tag.group(1), 1)
    running_hub.entities.remove(names)

    assert result.delivered > 0
    assert set(left["networks"]) - set(before["networks"]) == {names.network}
    assert f"hub network delete {names.network}" in " ".join(watching.warnings)


def test_a_hub_that_is_not_there():
    """An address that nobody knows is a wrong argument."""
    with pytest.raises(BenchError, match="leads nowhere") as refused:
        Target.of("ws://no.such.host.invalid:1/api/websocket")

    assert refused.value.code == 2


# --- what it needs ----------------------------------------------------------------------------------------------------


def test_too_few_descriptors_are_named():
    """The limit that is hit has a name, and a way out."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("there is no limit")

    with pytest.raises(BenchError, match=r"RLIMIT_NOFILE.* is \d+: more --processes"):
        raise_descriptors(hard)


def test_many_sockets_come_from_several_addresses():
    """One address has about 28,000 ports; only the loopback network has more addresses for us."""
    here, there = Target.of("ws://127.0.0.1:80/"), Target.of("ws://192.0.2.1:80/")

    assert here.sources(1_000, None) == []
    assert here.sources(50_000, None) == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert here.sources(10, 2) == ["127.0.0.2", "127.0.0.3"]
    assert there.sources(50_000, None) == []


@pytest.mark.slow
def test_the_hub_tells_its_limits(running_hub):
    """A result says under which limits and with which durability the hub ran."""
    told = hub_facts(running_hub.profile.url)

    assert (told["limits"], told["durability"]) == ("bench", "commit")


# --- its parts --------------------------------------------------------------------------------------------------------


def test_a_schedule_is_not_slowed_down():
    """Who was held up sends everything that is due, each message with the time that it was meant for."""
    schedule = Schedule(1_000_000, rate=1_000.0)

    first = list(schedule.due(1_000_000))
    late = list(schedule.due(1_004_500))

    assert first == [(0, 1_000_000)]
    assert late == [(number, 1_000_000 + number * 1_000) for number in range(1, 5)]
    assert schedule.next_us == 1_005_000


def test_a_schedule_is_handed_out_in_batches(monkeypatch):
    """A tool that is far behind does not block its loop."""
    monkeypatch.setattr("hub.bench.pace.BATCH_MAX", 10)
    schedule = Schedule(0, rate=1_000_000.0)

    assert [len(list(schedule.due(24))) for _ in range(4)] == [10, 10, 5, 0]


@pytest.mark.parametrize("codec", list(WireCodec))
@pytest.mark.parametrize("size", [64, 100, 101, 322, 65_000 - 5_000])
def test_a_payload_has_the_size_that_was_asked_for(codec, size):
    """Whatever its length takes to be written."""
    speech = Speech(codec)

    assert len(speech.encode(speech.parameters(size))) == size


def test_a_second_is_complete_when_all_have_told():
    """Seconds of several processes are added up, in their order."""
    told: list[object] = []
    seconds = Seconds(2, told.append)

    seconds.add(Second(1, 1.0, Tally(10, 1, 1, 0), 5, {100: 1}))
    seconds.add(Second(2, 2.0, Tally(1, 0, 0, 0), 5, {}))
    assert told == []
    seconds.add(Second(1, 1.0, Tally(20, 2, 2, 1), 7, {300: 3}))
    seconds.flush()

    first, second = seconds.samples
    assert (first.deliveries, first.messages, first.connections, first.errors) == (30, 3, 12, 1)
    assert (first.p50_us, second.p50_us) == (300, None)
    assert told == [first, second]


def test_the_warm_up_does_not_count():
    """What happened before measuring began is in no figure."""
    meters = Meters("delivery")
    meters.sent = 5
    meters.waited("delivery", 0)
    meters.begin()
    meters.sent = 7

    finished = meters.finish({})

    assert finished.tally == Tally(0, 2, 0, 0)
    assert finished.latencies == {"delivery": {}}


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"dashboards": 0}, "--dashboards: must be from 1"),
        ({"rate": float("nan")}, "--rate: must be from"),
        ({"payload_bytes": 10}, "--payload: must be from 64"),
        ({"url": "http://here"}, "--url: must look like"),
        ({"pin": (-1,)}, "--pin: cores are numbers"),
        ({"duration_s": 0.0}, "--duration: must be more than 0"),
        ({"scenario": Scenario.MIXED}, "--rate: a mixed run needs a rate"),
        ({"scenario": Scenario.RECONNECT}, "--rate: a reconnect run needs a rate"),
        ({"scenario": Scenario.SLOW, "slow_share": 1.0}, "--slow: must be between 0 and 1"),
        ({"churn_per_s": 1.0}, "are of mixed runs only"),
    ],
)
def test_a_plan_that_cannot_be_says_why(chosen, told):
    """Each problem names its option; exit code 2."""
    given = {"scenario": Scenario.FANOUT, "url": "ws://127.0.0.1:1/api/websocket", "key": "-", **chosen}

    with pytest.raises(BenchError, match=told) as refused:
        Plan(**given).checked()

    assert refused.value.code == 2
