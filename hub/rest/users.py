"""Users, and which networks they are members of."""

from hub.rest.route import Route

ROUTES: list[Route] = []
