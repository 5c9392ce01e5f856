"""The parts of a hub whose requests are followed, see :mod:`hub.gateway.tracing`; all of them are imported late."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from hub.gateway import Gateway
from hub.settings import Settings
from hub.starting import CannotStart
from hub.web.edge import Kinds

if TYPE_CHECKING:
    from hub.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Tracing:
    """What a hub is made of whose requests are followed."""

    telemetry: "Telemetry"
    make_gateway: Callable[..., Gateway]
    kinds: Kinds
    follow_rest: Callable[[ASGIApp, Any], ASGIApp]


def make_tracing(settings: Settings, *, worker: int) -> Tracing:
    """The parts that follow requests.

    Raises:
        CannotStart: OpenTelemetry is not installed.
    """
    try:
        from hub.telemetry import Telemetry  # late: a hub that traces nothing needs none of it
    except ImportError as exc:
        raise CannotStart(f"HUB_TRACING needs OpenTelemetry: pip install 'device-hub[tracing]' ({exc})") from exc
    from hub.gateway.tracing import TracedGateway
    from hub.web.tracing import TRACED, follow_rest

    telemetry = Telemetry(sample_ratio=settings.tracing_sample_ratio, worker=worker)
    return Tracing(telemetry, partial(TracedGateway, tracer=telemetry.tracer), TRACED, follow_rest)
