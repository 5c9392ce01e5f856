"""Device classes and their equipment."""

from hub.rest.route import Route

ROUTES: list[Route] = []
