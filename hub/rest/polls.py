"""Long polls."""

from hub.rest.route import Route

ROUTES: list[Route] = []
