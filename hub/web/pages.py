"""Pages that the hub serves itself: a fixed set of files, read once."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
"""Nothing from another host, nothing written into the page runs, and no other page shows this one."""


FILES = {
    "docs": ("docs.css", "docs.js", "websocket.js", "errors.js"),
    "oauth2": ("oauth2.css", "oauth2.js"),
}
"""What each page needs beside it."""


def documentation(context: str) -> list[Route]:
    """The routes of the API's documentation beside the REST root of this prefix."""
    return _page(context, "docs")


def authorization(context: str) -> list[Route]:
    """The routes of the page on which people let applications act for them, by OAuth 2."""
    return _page(context, "oauth2")


def _page(context: str, name: str) -> list[Route]:
    """A page with its style and its script, which are below it."""
    page = f"{context}/{name}"
    return [
        _route(page, f"{name}.html"),
        *(_route(f"{page}/{file}", file) for file in FILES[name]),
    ]


def _route(path: str, name: str) -> Route:
    content = files("hub.web").joinpath("files", name).read_bytes()
    media = _TYPES[name.rpartition(".")[2]]

    async def show(request: Request) -> Response:
        return Response(content, media_type=media, headers=HEADERS)

    return Route(path, show)
