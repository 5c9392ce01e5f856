"""Finding a route: the segments of a path, one by one.

Not Starlette's router, which matches the decoded path: a guid may have any characters, a slash too, so a path is taken
apart before it is decoded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from hub.rest.route import Route
from protocol.errors import NOT_FOUND


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    anything: "_Node | None" = None
    names: tuple[str, ...] = ()
    routes: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path leads.

    Attributes:
        routes: by method.
        values: the segments that stand for names.
    """

    routes: Mapping[str, Route]
    values: Mapping[str, str]

    @property
    def methods(self) -> list[str]:
        """What an ``Allow`` header lists."""
        methods = {*self.routes, "OPTIONS"}
        return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class Routes:
    """All routes, as a tree of segments. What is written out goes before what is a name."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.all = tuple(routes)
        self._root = _Node()
        for route in self.all:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.anything = node = node.anything or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        if node.names and node.names != tuple(names):
            raise ValueError(f"{route.path} has other names than a path of the same shape")
        if route.method in node.routes:
            raise ValueError(f"there are two of {route.method} {route.path}")
        node.names = tuple(names)
        node.routes[route.method] = route

    def find(self, raw_path: str) -> Found:
        """Find the routes of a path as it came, still with its percent signs; one slash at its end is passed over.

        Raises:
            NotFound: there are none.
        """
        segments = raw_path.removeprefix("/").removesuffix("/").split("/")
        values: list[str] = []
        node = self._walk(self._root, segments, values)
        if node is None:
            raise NOT_FOUND.error()
        return Found(node.routes, dict(zip(node.names, values, strict=True)))

    def _walk(self, node: _Node, segments: list[str], values: list[str]) -> _Node | None:
        if not segments:
            return node if node.routes else None
        segment, *rest = segments
        if (literal := node.literals.get(segment)) is not None and (found := self._walk(literal, rest, values)):
            return found
        if node.anything is None or not segment:
            return None
        values.append(_decoded(segment))
        found = self._walk(node.anything, rest, values)
        if found is None:
            values.pop()
        return found


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as exc:
        raise NOT_FOUND.error() from exc
