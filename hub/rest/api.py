"""Every route of the REST API."""

from hub.rest import access, classes, configuration, devices, info, keys, messages, networks, polls, sessions, users
from hub.rest.route import Route

_PARTS = (info, sessions, configuration, users, keys, networks, devices, classes, messages, polls, access)

ROUTES: tuple[Route, ...] = tuple(route for part in _PARTS for route in part.ROUTES)
