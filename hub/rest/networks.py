"""Networks."""

from hub.actions.networks import create_network, delete_network, get_network, list_networks, update_network
from hub.rest.route import Route
from protocol.device_forms import CreateNetwork, ListNetworks, OneNetwork, UpdateNetwork
from protocol.device_views import CREATED, NETWORK, NETWORK_WITH_DEVICES
from protocol.errors import (
    BAD_PARAMETER,
    BAD_SORT_ORDER,
    CONFLICT,
    ID_GIVEN,
    NETWORK_EXISTS,
    NETWORK_NOT_FOUND,
    VALIDATION,
)
from protocol.names import Operation
from protocol.views import each, listed, reference

ROUTES = [
    Route(
        operation=Operation.LIST_NETWORKS,
        method="GET",
        path="/network",
        summary="List the networks that the caller sees",
        perform=list_networks,
        form=ListNetworks,
        shape=each(NETWORK),
        answer=listed(NETWORK),
        refusals=(BAD_SORT_ORDER,),
        bare=frozenset({BAD_PARAMETER}),
    ),
    Route(
        operation=Operation.CREATE_NETWORK,
        method="POST",
        path="/network",
        summary="Create a network",
        perform=create_network,
        form=CreateNetwork,
        status=201,
        shape=CREATED,
        answer=reference(CREATED),
        refusals=(ID_GIVEN, NETWORK_EXISTS, VALIDATION, CONFLICT),
        bare=frozenset({VALIDATION}),
    ),
    Route(
        operation=Operation.GET_NETWORK,
        method="GET",
        path="/network/{id}",
        summary="Get a network with its devices, as far as the caller sees them",
        perform=get_network,
        form=OneNetwork,
        shape=NETWORK_WITH_DEVICES,
        answer=reference(NETWORK_WITH_DEVICES),
        refusals=(NETWORK_NOT_FOUND,),
    ),
    Route(
        operation=Operation.UPDATE_NETWORK,
        method="PUT",
        path="/network/{id}",
        summary="Change a network",
        perform=update_network,
        form=UpdateNetwork,
        status=204,
        refusals=(NETWORK_NOT_FOUND, VALIDATION, CONFLICT),
    ),
    Route(
        operation=Operation.DELETE_NETWORK,
        method="DELETE",
        path="/network/{id}",
        summary="Delete a network with all its devices",
        perform=delete_network,
        form=OneNetwork,
        status=204,
    ),
]
