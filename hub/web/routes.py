"""The HTTP side: is it alive, is it ready, how is it doing."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.web.edge import Edge
from hub.web.metrics import CONTENT_TYPE, registry, render
from protocol.version import __version__

STALE_S = 5.0
"""The database was last heard of this long ago at most, or the worker is not ready."""


def make_app(edge: Edge, *, metrics: bool) -> Starlette:
    """The application behind every request that is no WebSocket."""
    collected = registry(edge)

    async def index(request: Request) -> Response:
        return JSONResponse({"name": "hub", "version": __version__, "webSocketPaths": _paths(edge)})

    async def livez(request: Request) -> Response:
        """The loop turns: that is all that this says."""
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        """Whether to send traffic here. Answered from memory: it is quick under any load."""
        checks = {
            "accepting": not edge.draining,
            "log": edge.gateway.commits.alive,
            "database": edge.gateway.database_silence_s() < STALE_S,
            "connections": len(edge.gateway) < edge.limits.connections,
        }
        ready = all(checks.values())
        return JSONResponse(
            {"status": "ok" if ready else "unavailable", "checks": checks}, status_code=200 if ready else 503
        )

    async def show_metrics(request: Request) -> Response:
        return Response(render(collected), media_type=CONTENT_TYPE)

    routes = [Route("/", index)]
    routes += [Route(path, livez) for path in ("/livez", "/health")]
    routes += [Route(path, readyz) for path in ("/readyz", "/ready")]
    if metrics:
        routes.append(Route("/metrics", show_metrics))
    return Starlette(routes=routes, exception_handlers={HTTPException: _error})


def _paths(edge: Edge) -> list[str]:
    return [f"{context}/websocket/{end}" for context in edge.context_paths for end in ("client", "device")]


async def _error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException), "registered for this class only"
    return JSONResponse({"error": exc.status_code, "message": exc.detail}, status_code=exc.status_code)
