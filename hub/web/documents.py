"""Documents beside the REST API's own: the AsyncAPI document of the WebSockets, and the catalogue of errors."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.web.asyncapi import make_document
from hub.web.edge import Edge
from protocol.errors import CATALOGUE, CLOSES, NAMES, REMEDIES

HEADERS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff", "cache-control": "no-cache"}


def documents(context: str, edge: Edge, *, public_url: str | None) -> list[Route]:
    """The routes of the documents under this prefix.

    Args:
        public_url: scheme and host that peers are told; None: those that they asked for.
    """

    async def show_asyncapi(request: Request) -> Response:
        secure, host = _reached_at(request, edge, public_url)
        document = make_document(host=host, secure=secure, path=f"{context}/websocket")
        return JSONResponse(document, headers=HEADERS)

    return [
        Route(f"{context}/websocket/asyncapi.json", show_asyncapi),
        Route(f"{context}/docs/errors.json", _show_errors),
    ]


def _reached_at(request: Request, edge: Edge, public_url: str | None) -> tuple[bool, str]:
    if public_url:
        scheme, _, host = public_url.partition("://")
        return scheme == "https", host
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    peer = request.client.host if request.client else None
    secure = edge.find_source(peer, headers, request.url.scheme == "https").secure
    return secure, request.headers.get("host", "localhost")


async def _show_errors(request: Request) -> Response:
    return JSONResponse(error_catalogue(), headers=HEADERS)


def error_catalogue() -> dict[str, Any]:
    """Every error with what to do about it, and every code that a connection is closed with."""
    return {
        "errors": [
            {
                "name": name,
                "code": problem.code,
                "error": problem.text,
                "reason": problem.reason,
                "when": problem.when,
                "remedy": REMEDIES.get(problem.reason, ""),
            }
            for name, problem in zip(NAMES, CATALOGUE, strict=True)
        ],
        "closes": [
            {"code": int(code), "name": code.name.lower().replace("_", "-"), "when": close.when, "remedy": close.remedy}
            for code, close in CLOSES.items()
        ],
    }
