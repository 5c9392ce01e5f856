"""What the process says of itself in numbers, read off its state when somebody asks: nothing is counted per message."""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.web.edge import Edge
from protocol.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HubCollector(Collector):
    """Reads a worker's state at every scrape. Names begin with ``hub_``; sizes are bytes, times seconds."""

    def __init__(self, edge: Edge, *, worker: int = 1) -> None:
        self._edge = edge
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        yield self._info()
        yield self._worker_info()
        yield from self._gauges()
        yield from self._counters()
        if not self._edge.gateway.bus.alone:
            yield from self._cluster()
            yield from self._bus()

    def _info(self) -> Metric:
        """What a benchmark has to say about the hub that it measured."""
        info = GaugeMetricFamily("hub_info", "What kind of hub this is", labels=["version", "limits", "durability"])
        durability = "commit" if self._edge.gateway.policy.durable_notifications else "queued"
        info.add_metric([__version__, self._edge.limits.profile, durability], 1)
        return info

    def _worker_info(self) -> Metric:
        """Whose numbers these are: on a port that several workers share, each scrape finds another one."""
        info = GaugeMetricFamily("hub_worker_info", "Which worker says this", labels=["worker", "lane", "run"])
        others = self._edge.gateway.others
        info.add_metric([str(self._worker), str(max(0, others.heard.lane)), others.run[:8]], 1)
        return info

    def _cluster(self) -> Iterator[Metric]:
        others, order = self._edge.gateway.others, self._edge.gateway.order
        gauges = {
            "hub_cluster_workers": ("Workers on this database", others.workers),
            "hub_cluster_leads": ("Whether this one does what only one must do", int(others.leads)),
            "hub_bus_waiting": ("What follows from commits and waits for its place on the bus", len(order)),
            "hub_position_lag_seconds": ("How far behind what is heard of the others is", others.lag_us / 1e6),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        counters = {
            "hub_bus_gaps": ("How often the bus had left something out", others.heard.gaps),
            "hub_bus_healed": ("Messages that the log had and the bus had not brought", others.heard.healed),
            "hub_bus_too_slow": ("How often order across workers was given up for a while", order.given_up),
            "hub_bus_log_reads": ("Readings of the log in place of the bus", others.polls),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(name, text, value=value)

    def _bus(self) -> Iterator[Metric]:
        """What the bus counts: what it has now is a gauge, what has happened a counter."""
        for name, value in self._edge.gateway.bus.figures().items():
            text = f"Of the bus: {name.replace('_', ' ')}"
            if name.endswith("_ms"):
                yield GaugeMetricFamily(f"hub_bus_{name.removesuffix('_ms')}_seconds", text, value=value / 1000)
            elif name == "up" or name.endswith("_bytes"):
                yield GaugeMetricFamily(f"hub_bus_{name}", text, value=value)
            else:
                yield CounterMetricFamily(f"hub_bus_{name}", text, value=value)

    def _gauges(self) -> Iterator[Metric]:
        gateway = self._edge.gateway
        values = {
            "hub_connections": ("Open connections: WebSockets and event streams", len(gateway)),
            "hub_streams": ("Open event streams", self._edge.streams),
            "hub_connections_limit": ("Most connections this process takes", self._edge.limits.connections),
            "hub_connections_stale": ("Connections whose rights are being read anew", gateway.rights.stale),
            "hub_sockets_stalled": ("Sockets whose peers are behind with reading", self._edge.behind),
            "hub_sockets_throttled": ("Sockets that send more than they may", len(self._edge.throttled)),
            "hub_send_memory_bytes": ("Bytes that waited for slow readers when last weighed", self._edge.unsent_bytes),
            "hub_send_memory_limit_bytes": ("Most that may wait", self._edge.limits.send_memory_bytes),
            "hub_polls": ("Long polls under way", len(gateway.polls)),
            "hub_polls_limit": ("Most long polls this process takes", gateway.policy.polls),
            "hub_provider_logins_waiting": (
                "Logins that wait for identity providers",
                gateway.logins.asking_providers,
            ),
            "hub_replays": ("Replays under way", len(gateway.replays)),
            "hub_log_pending_writes": ("Writes waiting for their commit", len(gateway.commits)),
            "hub_log_pending_bytes": ("Memory of the writes waiting for their commit", gateway.commits.bytes),
            "hub_device_cache_entries": ("Devices in the cache", len(gateway.devices)),
            "hub_commands_watched": (
                "Commands that may expire, while somebody here waits to hear",
                len(gateway.states),
            ),
            "hub_position": ("Id of the newest published message", gateway.fan_out.position),
            "hub_draining": ("Whether the process shuts down", int(self._edge.draining)),
            "hub_resident_memory_bytes": ("Resident memory of the process", resident_bytes()),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(name, text, value=value)

    def _counters(self) -> Iterator[Metric]:
        edge, gateway = self._edge, self._edge.gateway
        values = {
            "hub_connections_accepted": ("Handshakes that succeeded", edge.counters.accepted),
            "hub_streams_opened": ("Event streams that have begun", edge.counters.streams),
            "hub_messages_received": ("Messages that peers sent", edge.counters.received),
            "hub_deliveries": ("Messages x subscriptions pushed", gateway.fan_out.deliveries),
            "hub_socket_writes": ("Writes to sockets", edge.counters.writes),
            "hub_socket_written_bytes": ("Bytes written to sockets", edge.counters.written_bytes),
            "hub_log_batches": ("Group commits", gateway.commits.batches),
            "hub_log_writes": ("Writes committed", gateway.commits.writes),
            "hub_log_failures": ("Group commits that failed", gateway.commits.failures),
            "hub_oauth_codes_expired": ("Codes of OAuth grants that nobody exchanged", gateway.duties.codes_forgotten),
            "hub_devices_turned_offline": ("Devices set Offline for their silence", gateway.duties.turned_offline),
        }
        for name, (text, value) in values.items():
            yield CounterMetricFamily(name, text, value=value)
        closes = CounterMetricFamily("hub_connections_closed", "Connections that ended", labels=["code"])
        for code, count in sorted(edge.counters.closes.items()):
            closes.add_metric([str(int(code))], count)
        yield closes
        refused = CounterMetricFamily("hub_handshakes_refused", "Handshakes and requests refused", labels=["status"])
        for status, count in sorted(edge.counters.refused.items()):
            refused.add_metric([str(status)], count)
        yield refused
        reached = CounterMetricFamily("hub_limit_reached", "How often a limit was reached", labels=["limit"])
        for name, count in sorted(gateway.tally.items()):
            reached.add_metric([name], count)
        yield reached
        moved = CounterMetricFamily(
            "hub_commands_moved", "Commands by the state they were moved to, but for updates", labels=["state"]
        )
        for state, count in sorted(gateway.states.moved.items()):
            moved.add_metric([state.word], count)
        yield moved
        polls = CounterMetricFamily("hub_polls_answered", "Long polls that ended, and how", labels=["with"])
        for ending, count in sorted(gateway.polls.answered.items()):
            polls.add_metric([ending], count)
        yield polls
        vouched = CounterMetricFamily(
            "hub_provider_logins", "Logins by identity providers, and what came of them", labels=["provider", "with"]
        )
        for (provider, said), count in sorted(gateway.logins.providers_said.items()):
            vouched.add_metric([provider, said], count)
        yield vouched
        pruned = CounterMetricFamily("hub_messages_pruned", "Messages removed by retention", labels=["kind"])
        for kind, count in gateway.duties.pruned.items():
            pruned.add_metric([kind.name.lower()], count)
        yield pruned


def registry(edge: Edge, *, worker: int = 1) -> CollectorRegistry:
    """The metrics of one worker."""
    metrics = CollectorRegistry()
    metrics.register(HubCollector(edge, worker=worker))
    return metrics


def render(metrics: CollectorRegistry) -> bytes:
    return generate_latest(metrics)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
