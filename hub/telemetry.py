"""OpenTelemetry's SDK, set up by its own environment variables. Imported only where ``HUB_TRACING`` says so.

``OTEL_EXPORTER_OTLP_ENDPOINT`` and its like say where spans go, ``OTEL_TRACES_SAMPLER`` which are chosen (without it
that is the hub's setting), ``OTEL_BSP_MAX_QUEUE_SIZE`` how many wait: more are dropped, and nobody waits for them.
"""

import asyncio
import os
import threading
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from protocol.version import __version__

LAST_SPANS_S = 5.0
"""How long a shutdown waits for the last spans to be taken."""


def make_exporter() -> SpanExporter:
    """What takes the spans."""
    return OTLPSpanExporter()


class Telemetry:
    """Where spans are made, and where they go.

    Args:
        sample_ratio: the share of traces that are followed which nobody outside follows already.
        worker: its number among the hub's workers.
    """

    def __init__(self, *, sample_ratio: float, worker: int) -> None:
        resource = Resource.create({"service.name": "hub", "service.version": __version__, "hub.worker": worker})
        named = {name for name in ("OTEL_SERVICE_NAME",) if os.environ.get(name)}
        if named:
            resource = resource.merge(Resource.create())
        by_environment = bool(os.environ.get("OTEL_TRACES_SAMPLER"))
        sampler = None if by_environment else ParentBased(TraceIdRatioBased(sample_ratio))
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(make_exporter()))

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer("hub", __version__)

    async def stop(self) -> None:
        """Send the last spans, for a few seconds at most."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # The loop has ended: nobody waits any more.
                loop.call_soon_threadsafe(stopped.set)

        # Not one of the loop's own threads: the process would wait for its end, which may be many seconds.
        threading.Thread(target=stop, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), LAST_SPANS_S)
