"""The HTTP side: is it alive, is it ready, how is it doing."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.rest.api import ROUTES
from hub.rest.application import Rest
from hub.rest.options import RestOptions
from hub.web.documents import documents
from hub.web.edge import Edge
from hub.web.metrics import CONTENT_TYPE, registry, render
from hub.web.pages import authorization, documentation
from hub.web.slowest import MOST, asked_count, is_from_here, slowest
from hub.web.streams import Streams
from protocol.version import __version__

STALE_S = 5.0
"""The database was last heard of this long ago at most, or the worker is not ready."""


def make_app(
    edge: Edge,
    *,
    metrics: bool,
    worker: int = 1,
    rest: RestOptions = RestOptions(),
    around_rest: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> ASGIApp:
    """The application behind every request that is no WebSocket.

    Args:
        worker: the number of this one among the hub's workers.
        rest: how the REST API behaves.
        around_rest: what else is done with its requests.
    """

    async def index(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(docs[0])
        about = {"name": "hub", "version": __version__, "webSocketPaths": _paths(edge)}
        return JSONResponse(about | {"restPaths": roots, "documentationPaths": docs})

    roots = [f"{context}/rest" for context in edge.context_paths]
    docs = [f"{context}/docs" for context in edge.context_paths]
    routes = [Route("/", index), *_health(edge)]
    for context in edge.context_paths:
        routes += [*documentation(context), *authorization(context)]
        routes += documents(context, edge, public_url=rest.public_url)
    if metrics:
        routes += _figures(edge, worker=worker, is_private=False)
    others = Starlette(routes=routes, exception_handlers={HTTPException: _error})
    streams = Streams(edge)
    api = Rest(
        edge.gateway, ROUTES, codec=edge.json, find_source=edge.find_source, open_stream=streams.opened, options=rest
    )

    asked = around_rest(api)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = others if api.context_of(scope["path"]) is None else asked
        await chosen(scope, receive, send)

    return app


def make_figures(edge: Edge, *, worker: int) -> Starlette:
    """The application of the port that is this worker's own, for whoever watches it."""
    routes = [*_health(edge), *_figures(edge, worker=worker, is_private=True)]
    return Starlette(routes=routes, exception_handlers={HTTPException: _error})


def _health(edge: Edge) -> list[Route]:
    async def livez(request: Request) -> Response:
        """The loop turns: that is all that this says; the bus is beside it."""
        return JSONResponse({"status": "ok", "bus": _bus(edge)})

    async def readyz(request: Request) -> Response:
        """Whether to send traffic here. Answered from memory: it is quick under any load.

        Without its bus a worker is slower to hear of the others, not wrong: it stays ready.
        """
        checks = {
            "accepting": not edge.draining,
            "log": edge.gateway.commits.alive,
            "database": edge.gateway.database_silence_s() < STALE_S,
            "connections": len(edge.gateway) < edge.limits.connections,
        }
        ready = all(checks.values())
        return JSONResponse(
            {"status": "ok" if ready else "unavailable", "checks": checks, "bus": _bus(edge)},
            status_code=200 if ready else 503,
        )

    routes = [Route(path, livez) for path in ("/livez", "/health")]
    return routes + [Route(path, readyz) for path in ("/readyz", "/ready")]


def _bus(edge: Edge) -> str:
    bus = edge.gateway.bus
    if bus.alone:
        return "in-process"
    return "up" if bus.is_up else "away"


def _figures(edge: Edge, *, worker: int, is_private: bool) -> list[Route]:
    """What the worker says of itself in numbers.

    Args:
        is_private: only whoever runs the hub comes here. At the door that peers use, single connections are not shown
            to anybody but this computer.
    """
    collected = registry(edge, worker=worker)

    async def show_metrics(request: Request) -> Response:
        return Response(render(collected), media_type=CONTENT_TYPE)

    async def show_slowest(request: Request) -> Response:
        if not (is_private or is_from_here(request)):
            raise HTTPException(403, "only for requests from this computer, or on HUB_WORKER_METRICS_PORT")
        count = asked_count(request.query_params.get("n"))
        if count is None:
            raise HTTPException(400, f"n must be a whole number from 1 to {MOST}")
        return JSONResponse({"worker": worker, "slowest": slowest(edge, count)})

    return [Route("/metrics", show_metrics), Route("/slowest", show_slowest)]


def _paths(edge: Edge) -> list[str]:
    return [f"{context}/websocket/{end}" for context in edge.context_paths for end in ("client", "device")]


async def _error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException), "registered for this class only"
    return JSONResponse({"error": exc.status_code, "message": exc.detail}, status_code=exc.status_code)
