"""Following messages for OpenTelemetry: which spans there are, whose children they are, and who pays for it."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import hub.app
from hub.app import Hub
from hub.starting import CannotStart
from tests.bus.conftest import shared_redis
from tests.gateway.conftest import cluster_place, start_cluster
from tests.gateway.inside import FailingStore, world
from tests.rest import http
from tests.rest.http import Client
from tests.store.conftest import database, postgres
from tests.waiting import WAIT_S, until
from tests.websocket.conftest import StartHub, World, settings_for, start_hub

__all__ = ["cluster_place", "database", "postgres", "shared_redis", "start_cluster", "start_hub"]

pytestmark = pytest.mark.slow
HAS_PACKAGES = all(find_spec(name) is not None for name in ("opentelemetry",)) and find_spec("opentelemetry.sdk")
needs_packages = pytest.mark.skipif(not HAS_PACKAGES, reason="no opentelemetry: pip install 'device-hub[tracing]'")

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FOLLOWED, NOT_FOLLOWED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
INSERT = {"deviceGuid": "lamp", "notification": {"notification": "watts", "parameters": {"value": 60}}}


class Traced:
    """A hub whose spans stay in memory."""

    def __init__(self, at: World, exporter: Any) -> None:
        self.at = at
        self.exporter = exporter

    async def spans(self, number: int) -> list[Any]:
        """So many finished spans, in the order of their beginnings; there are no more."""
        tracing = self.at.hub.tracing
        assert tracing is not None

        async def found() -> list[Any]:
            tracing.telemetry._provider.force_flush()
            spans = self.exporter.get_finished_spans()
            return sorted(spans, key=lambda span: span.start_time) if len(spans) >= number else []

        spans = await until(found)
        assert len(spans) == number, [span.name for span in spans]
        return spans

    def client(self, secret: str = "admin") -> Client:
        return Client(self.at.hub.port, http.key(self.at.secrets[secret]))


StartTraced = Callable[..., Any]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hubs that start from now on keep their spans here."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    import hub.telemetry

    exporter = InMemorySpanExporter()
    monkeypatch.setattr(hub.telemetry, "make_exporter", lambda: exporter)
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return exporter


@pytest.fixture
def start_traced(start_hub: StartHub, follow: Any) -> StartTraced:
    """Start a hub that follows every request, or fewer: ``await start_traced(tracing_sample_ratio=0)``."""

    async def start(**chosen: Any) -> Traced:
        at = await start_hub(world(), **{"tracing": True, "tracing_sample_ratio": 1.0, **chosen})
        return Traced(at, follow)

    return start


def tree(spans: list[Any]) -> dict[str, str | None]:
    """The name of each span's parent, by its name."""
    names = {span.context.span_id: span.name for span in spans}
    return {span.name: None if span.parent is None else names.get(span.parent.span_id, "elsewhere") for span in spans}


def ids(span: Any) -> tuple[str, str]:
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}"


# --- spans ------------------------------------------------------------------------------------------------------------


@needs_packages
@pytest.mark.parametrize("kind", ["notification", "command"])
async def test_an_insert_has_a_span_for_each_of_its_steps(start_traced, kind):
    """The request, within it the commit, behind that the delivery; all of one trace, which others may have begun."""
    traced = await start_traced()
    peer = await traced.at.key("admin")

    for _ in range(2):  # The second goes the short way.
        await peer.succeed(f"{kind}/insert", deviceGuid="lamp", **{kind: {kind: "x"}}, traceparent=FOLLOWED)

    spans = await traced.spans(6)
    for request, commit, deliver in (spans[:3], spans[3:]):
        assert tree([request, commit, deliver]) == {
            f"{kind}/insert": "elsewhere",
            "commit": f"{kind}/insert",
            "deliver": f"{kind}/insert",
        }
        assert ids(request) == (TRACE, PARENT)
        assert {span.context.trace_id for span in (commit, deliver)} == {request.context.trace_id}
        assert request.start_time <= commit.start_time <= commit.end_time <= deliver.start_time <= deliver.end_time
        assert request.attributes["hub.principal"] == "key:1"
    assert traced.at.hub.gateway._committing == {}


@needs_packages
async def test_an_update_of_a_command_is_followed_too(start_traced):
    """As far as its commit."""
    traced = await start_traced()
    peer = await traced.at.key("admin")
    made = await peer.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})
    await traced.spans(3)

    await peer.succeed("command/update", deviceGuid="lamp", commandId=made["command"]["id"], command={"status": "ok"})

    spans = (await traced.spans(5))[3:]
    assert tree(spans) == {"command/update": None, "commit": "command/update"}


@needs_packages
async def test_notifications_that_the_hub_looks_into_are_followed_too(start_traced):
    """They are stored in a transaction of their own."""
    traced = await start_traced()
    peer = await traced.at.key("admin")

    await peer.succeed(
        "notification/insert",
        deviceGuid="lamp",
        notification={"notification": "device-status", "parameters": {"status": "on"}},
    )

    spans = await traced.spans(2)
    assert tree(spans) == {"notification/insert": None, "commit": "notification/insert"}


@needs_packages
async def test_what_is_answered_before_its_commit_has_no_span_for_that(start_traced):
    """Under HUB_DURABILITY=queued nothing waits for it."""
    traced = await start_traced(durability="queued")
    peer = await traced.at.key("admin")

    for _ in range(2):
        await peer.succeed("notification/insert", **INSERT)

    spans = await traced.spans(4)
    assert [span.name for span in spans] == ["notification/insert", "deliver"] * 2


@needs_packages
@pytest.mark.parametrize(
    ("method", "path", "body", "name", "status"),
    [
        ("POST", "/device/lamp/notification", {"notification": "x"}, "POST notification", 201),
        ("POST", "/device/lamp/command", {"command": "x"}, "POST command", 201),
        ("POST", "/device/nobody/command", {"command": "x"}, "POST command", 404),
    ],
)
async def test_requests_of_rest_are_followed(start_traced, method, path, body, name, status):
    """By the header that all of HTTP has for that; reading is not followed."""
    traced = await start_traced()
    client = traced.client()

    response = await client.ask(method, path, body, headers=[("traceparent", FOLLOWED)])
    await client.get("/device/lamp/notification")

    assert response.status == status
    spans = await traced.spans(3 if status == 201 else 1)
    assert (spans[0].name, ids(spans[0])) == (name, (TRACE, PARENT))
    assert spans[0].attributes["http.response.status_code"] == status
    assert [span.name for span in spans[1:]] == (["commit", "deliver"] if status == 201 else [])


@needs_packages
async def test_a_failure_is_told_by_its_reason(start_traced, monkeypatch):
    """At the request and at the commit that failed; nothing of it stays behind."""
    make = hub.app.make_store
    monkeypatch.setattr(hub.app, "make_store", lambda settings: FailingStore(make(settings)))
    traced = await start_traced()
    peer = await traced.at.key("admin")
    store = traced.at.hub.store

    store.fails = lambda name: name == "write"
    answer = await peer.ask("notification/insert", **INSERT)
    store.fails = lambda name: False

    assert answer["code"] == 503
    request, commit = await traced.spans(2)
    assert [span.attributes["error.type"] for span in (request, commit)] == ["unavailable"] * 2
    assert [span.status.description for span in (request, commit)] == ["unavailable"] * 2
    assert traced.at.hub.gateway._committing == {}


@needs_packages
async def test_no_span_has_what_a_message_says(start_traced):
    """Nor a key: spans leave the house."""
    traced = await start_traced()
    client = traced.client()

    await client.post("/device/lamp/command", {"command": "x", "parameters": {"pin": "swordfish"}})

    for span in await traced.spans(3):
        assert "swordfish" not in span.to_json()
        assert traced.at.secrets["admin"] not in span.to_json()


@needs_packages
async def test_a_shutdown_does_not_wait_for_whoever_takes_no_spans(start_traced, monkeypatch):
    """For a few seconds, and that is all."""
    import hub.telemetry

    monkeypatch.setattr(hub.telemetry, "LAST_SPANS_S", 0.1)
    traced = await start_traced()
    goes_on = threading.Event()
    monkeypatch.setattr(traced.exporter, "shutdown", lambda: goes_on.wait(WAIT_S))

    await asyncio.wait_for(traced.at.hub.stop(), WAIT_S / 2)

    goes_on.set()


# --- which traces -----------------------------------------------------------------------------------------------------


@needs_packages
async def test_few_are_chosen_and_senders_go_first(start_traced):
    """Whoever follows a trace already decides; of the others a share is taken, here none."""
    traced = await start_traced(tracing_sample_ratio=0.0)
    peer = await traced.at.key("admin")

    await peer.succeed("notification/insert", **INSERT)
    await peer.succeed("notification/insert", **INSERT, traceparent=NOT_FOLLOWED)
    await peer.succeed("notification/insert", **INSERT, traceparent=FOLLOWED)

    assert ids((await traced.spans(3))[0]) == (TRACE, PARENT)


@needs_packages
@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "rubbish",
        7,
        None,
        ["00"],
        FOLLOWED.upper(),
        FOLLOWED + "-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
    ],
)
async def test_what_is_malformed_is_as_good_as_absent(start_traced, traceparent):
    """A trace of its own begins; the request is carried out as if nothing had been there (W3C Trace Context)."""
    traced = await start_traced()
    peer = await traced.at.key("admin")

    await peer.succeed("notification/insert", **INSERT, traceparent=traceparent)

    request = (await traced.spans(3))[0]
    assert request.parent is None
    assert f"{request.context.trace_id:032x}" != TRACE


@needs_packages
async def test_of_several_headers_none_counts(start_traced):
    """Nobody can say which is meant."""
    traced = await start_traced()

    headers = [("traceparent", FOLLOWED), ("traceparent", FOLLOWED)]
    await traced.client().post("/device/lamp/command", {"command": "x"}, headers=headers)

    assert (await traced.spans(3))[0].parent is None


# --- what subscribers are told ----------------------------------------------------------------------------------------


@needs_packages
@pytest.mark.parametrize("subprotocol", ["hub.1.json", "hub.1.msgpack"])
@pytest.mark.parametrize("kind", ["notification", "command"])
async def test_a_trace_is_carried_to_whoever_asked_for_more(start_traced, subprotocol, kind):
    """In extended mode a message names its request as the parent; on the old wire it is as ever (extensions.md)."""
    traced = await start_traced()
    extended = await traced.at.key("admin", subprotocols=[subprotocol])
    ordinary = await traced.at.key("admin")
    for peer in (extended, ordinary):
        await peer.succeed(f"{kind}/subscribe", deviceGuids=["lamp"])
    publisher = await traced.at.key("admin")

    await publisher.succeed(f"{kind}/insert", deviceGuid="lamp", **{kind: {kind: "x"}}, traceparent=FOLLOWED)

    told, plain = (await extended.push())[kind], (await ordinary.push())[kind]
    request = (await traced.spans(3))[0]
    assert told.pop("traceparent") == f"00-{TRACE}-{request.context.span_id:016x}-01"
    assert told == plain


@needs_packages
@pytest.mark.parametrize("kind", ["notification", "command"])
async def test_a_trace_is_carried_to_other_workers(follow, start_cluster, kind):
    """Subscribers there are told of it as those here are, and what brings it to them has a span of its own."""
    pair = await start_cluster(world(), tracing=True, tracing_sample_ratio=1.0)
    here, there = (Traced(one, follow) for one in pair.worlds)
    extended = await there.at.key("admin", subprotocols=["hub.1.json"])
    await extended.succeed(f"{kind}/subscribe", deviceGuids=["lamp"])
    publisher = await here.at.key("admin")

    for traceparent in (FOLLOWED, NOT_FOLLOWED):
        await publisher.succeed(f"{kind}/insert", deviceGuid="lamp", **{kind: {kind: "x"}}, traceparent=traceparent)
    followed, not_followed = [(await extended.push())[kind]["traceparent"] for _ in range(2)]

    there.at.hub.tracing.telemetry._provider.force_flush()
    request, *others = await here.spans(4)
    assert followed == f"00-{TRACE}-{request.context.span_id:016x}-01"
    assert (not_followed[:36], not_followed[-3:]) == (NOT_FOLLOWED[:36], "-00")
    assert {(span.name, span.kind.name) for span in others} == {
        ("commit", "INTERNAL"),
        ("deliver", "PRODUCER"),
        ("deliver", "CONSUMER"),
    }
    assert {ids(span) for span in others} == {(TRACE, f"{request.context.span_id:016x}")}


@needs_packages
async def test_history_names_no_trace(start_traced):
    """The log does not keep it."""
    traced = await start_traced()
    publisher = await traced.at.key("admin")
    await publisher.succeed("notification/insert", **INSERT, traceparent=FOLLOWED)
    extended = await traced.at.key("admin", subprotocols=["hub.1.json"])

    await extended.succeed("notification/subscribe", since=0)

    assert "traceparent" not in (await extended.push())["notification"]


# --- who pays ---------------------------------------------------------------------------------------------------------


async def test_a_hub_that_follows_nothing_imports_nothing(start_hub):
    """Neither OpenTelemetry nor what goes with it; a traceparent is one more member that nobody knows."""
    code = "import sys, hub.app; print([name for name in sys.modules if 'opentelemetry' in name or 'traced' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    at = await start_hub(world())
    extended = await at.key("admin", subprotocols=["hub.1.json"])
    await extended.succeed("notification/subscribe")

    await extended.succeed("notification/insert", **INSERT, traceparent=FOLLOWED)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    assert "traceparent" not in (await extended.push())["notification"]
    assert type(at.hub.gateway) is hub.app.Gateway


async def test_a_missing_package_is_told(tmp_path, monkeypatch):
    """At the start, with what to install."""
    monkeypatch.setitem(sys.modules, "hub.telemetry", None)

    with pytest.raises(CannotStart, match=r"device-hub\[tracing\]"):
        Hub(settings_for(tmp_path, tracing=True))
