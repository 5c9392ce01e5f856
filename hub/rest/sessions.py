"""Login and logout."""

from hub.rest.route import Route

ROUTES: list[Route] = []
