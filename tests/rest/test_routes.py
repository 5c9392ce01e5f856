"""Finding a route by its path, segment by segment."""

import pytest

from hub.actions.info import get_info
from hub.rest.api import ROUTES
from hub.rest.route import Route
from hub.rest.routes import Routes
from protocol.errors import NOT_FOUND, HubError
from protocol.names import Operation


def route(path: str, method: str = "GET") -> Route:
    return Route(operation=Operation.GET_INFO, method=method, path=path, summary="", perform=get_info)


ALL = Routes(
    [
        route("/device"),
        route("/device", "POST"),
        route("/device/{guid}"),
        route("/device/{guid}", "PUT"),
        route("/device/class"),
        route("/device/class/{id}"),
        route("/device/{guid}/command/poll"),
        route("/device/{guid}/command/{id}"),
        route("/device/command/poll"),
    ]
)


@pytest.mark.parametrize(
    ("path", "leads_to", "values"),
    [
        ("/device", "/device", {}),
        ("/device/", "/device", {}),
        ("/device/lamp", "/device/{guid}", {"guid": "lamp"}),
        ("/device/lamp/", "/device/{guid}", {"guid": "lamp"}),
        ("/device/class", "/device/class", {}),
        ("/device/Class", "/device/{guid}", {"guid": "Class"}),
        ("/device/class/7", "/device/class/{id}", {"id": "7"}),
        ("/device/lamp/command/poll", "/device/{guid}/command/poll", {"guid": "lamp"}),
        ("/device/lamp/command/7", "/device/{guid}/command/{id}", {"guid": "lamp", "id": "7"}),
        ("/device/command/poll", "/device/command/poll", {}),
        # What is written out wins only where the rest of the path follows it.
        ("/device/class/command/7", "/device/{guid}/command/{id}", {"guid": "class", "id": "7"}),
        ("/device/command/command/poll", "/device/{guid}/command/poll", {"guid": "command"}),
        # A guid has any characters, those of a path too.
        ("/device/a%2Fb", "/device/{guid}", {"guid": "a/b"}),
        ("/device/a%2fcommand%2Fpoll", "/device/{guid}", {"guid": "a/command/poll"}),
        ("/device/%63lass", "/device/{guid}", {"guid": "class"}),
        ("/device/%E2%82%AC", "/device/{guid}", {"guid": "€"}),
        ("/device/%2525", "/device/{guid}", {"guid": "%25"}),
        ("/device/a+b", "/device/{guid}", {"guid": "a+b"}),
        ("/device/%3F%23", "/device/{guid}", {"guid": "?#"}),
        ("/device/%", "/device/{guid}", {"guid": "%"}),
        ("/device/..", "/device/{guid}", {"guid": ".."}),
    ],
)
def test_a_path_leads_to_its_route(path, leads_to, values):
    """Percent signs are decoded after the path is taken apart."""
    found = ALL.find(path)

    assert found.routes["GET"].path == leads_to
    assert found.values == values


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/Device",
        "/device//",
        "//device",
        "/device/lamp/command",
        "/device//command/7",
        "/device/lamp/command/7/8",
        "/device/%FF",
        "/device/%C3%28",
        "/device/lamp%ED%A0%80",
        "/nowhere",
    ],
)
def test_another_path_leads_nowhere(path):
    """An empty segment is no name, and what is no UTF-8 is no guid."""
    with pytest.raises(HubError) as caught:
        ALL.find(path)

    assert caught.value.problem is NOT_FOUND


def test_a_path_knows_its_methods():
    """HEAD comes with GET, and OPTIONS always."""
    assert ALL.find("/device").methods == ["GET", "HEAD", "OPTIONS", "POST"]
    assert Routes([route("/user", "PUT")]).find("/user").methods == ["OPTIONS", "PUT"]


def test_two_routes_must_differ():
    """By method or by path; and paths of one shape have one set of names."""
    with pytest.raises(ValueError, match="two of GET /device/x"):
        Routes([route("/device/x"), route("/device/x")])
    with pytest.raises(ValueError, match="other names"):
        Routes([route("/device/{guid}"), route("/device/{id}", "PUT")])


@pytest.mark.parametrize("one", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_every_route_of_the_api_leads_to_itself(one):
    """None is hidden behind another."""
    path = one.path.replace("{", "").replace("}", "")

    assert Routes(ROUTES).find(path).routes[one.method] is one
