"""Configuration rows, and what of the configuration everybody may know."""

from typing import Any

from hub.actions import configuration
from hub.rest.route import Media, Route
from protocol.account_forms import OneConfiguration, PutConfiguration, SetConfiguration
from protocol.names import Operation
from protocol.views import INT32, INT64, STRING, View, listed, nullable, reference

PROVIDER: View[dict[str, Any]] = View(
    "IdentityProvider",
    {
        "name": (STRING, lambda provider: provider["name"]),
        "clientId": (nullable(STRING), lambda provider: provider["clientId"]),
    },
)

AUTH_CONFIG: View[dict[str, Any]] = View(
    "AuthConfig",
    {
        "providers": (listed(PROVIDER), lambda config: [PROVIDER(one) for one in config["providers"]]),
        "sessionTimeout": (INT64, lambda config: config["sessionTimeout"]),
    },
)

CLUSTER_CONFIG: View[dict[str, Any]] = View(
    "ClusterConfig",
    {
        "metadata.broker.list": (nullable(STRING), lambda config: config["metadata.broker.list"]),
        "zookeeper.connect": (nullable(STRING), lambda config: config["zookeeper.connect"]),
        "threads.count": (INT32, lambda config: config["threads.count"]),
        "cassandra.contactpoints": (nullable(STRING), lambda config: config["cassandra.contactpoints"]),
    },
)

ROUTES = [
    Route(
        operation=Operation.GET_AUTH_CONFIG,
        method="GET",
        path="/info/config/auth",
        summary="How to log in",
        perform=configuration.get_auth_config,
        shape=AUTH_CONFIG,
        answer=reference(AUTH_CONFIG),
    ),
    Route(
        operation=Operation.GET_CLUSTER_CONFIG,
        method="GET",
        path="/info/config/cluster",
        summary="What is between the workers",
        perform=configuration.get_cluster_config,
        shape=CLUSTER_CONFIG,
        answer=reference(CLUSTER_CONFIG),
    ),
    Route(
        operation=Operation.GET_CONFIGURATION,
        method="GET",
        path="/configuration/{name}",
        summary="The value of a row; nothing where there is none",
        perform=configuration.get_configuration,
        form=OneConfiguration,
        answers_text=True,
    ),
    Route(
        operation=Operation.PUT_CONFIGURATION,
        method="PUT",
        path="/configuration/{name}",
        summary="Write a row: the body is its value",
        perform=configuration.put_configuration,
        form=PutConfiguration,
        media=Media.TEXT,
    ),
    Route(
        operation=Operation.SET_CONFIGURATION,
        method="GET",
        path="/configuration/{name}/set",
        summary="Write a row by its value in the query",
        perform=configuration.put_configuration,
        form=SetConfiguration,
        only_devicehive=True,
    ),
    Route(
        operation=Operation.DELETE_CONFIGURATION,
        method="DELETE",
        path="/configuration/{name}",
        summary="Delete a row",
        perform=configuration.delete_configuration,
        form=OneConfiguration,
        status=204,
    ),
]
