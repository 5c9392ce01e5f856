"""Devices, their registration, and the states of their equipment."""

from hub.rest.route import Route

ROUTES: list[Route] = []
