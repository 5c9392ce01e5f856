"""Access keys of a user."""

from hub.rest.route import Route

ROUTES: list[Route] = []
