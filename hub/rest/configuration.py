"""Configuration rows, and what of the configuration everybody may know."""

from hub.rest.route import Route

ROUTES: list[Route] = []
