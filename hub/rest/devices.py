"""Devices, their registration, and the states of their equipment."""

from typing import Any

from hub.actions.devices import (
    Seen,
    delete_device,
    find_device,
    get_state,
    list_devices,
    list_states,
    register_device,
)
from hub.rest.route import Route
from protocol.device_forms import ListDevices, OneDevice, OneState, RegisterDevice
from protocol.device_views import DEVICE, DEVICE_FOR_DEVICE, EQUIPMENT_STATE
from protocol.errors import (
    BAD_CREDENTIALS,
    BAD_SORT_ORDER,
    CONFLICT,
    DEVICE_CLASS_REQUIRED,
    DEVICE_KEY_REQUIRED,
    DEVICE_NAME_REQUIRED,
    DEVICE_NOT_FOUND,
    DEVICE_NOT_YOURS,
    DUPLICATE_EQUIPMENT,
    LIMIT_REACHED,
    NETWORK_KEY,
    NO_NETWORK_ACCESS,
    NO_NETWORK_CREATION,
    VALIDATION,
)
from protocol.names import Action, Operation
from protocol.views import each, listed, reference


def _seen(seen: Seen) -> dict[str, Any]:
    return (DEVICE_FOR_DEVICE if seen.by_device else DEVICE)(seen.device)


ROUTES = [
    Route(
        operation=Operation.LIST_DEVICES,
        method="GET",
        path="/device",
        summary="List the devices that the caller sees",
        perform=list_devices,
        form=ListDevices,
        shape=each(DEVICE),
        answer=listed(DEVICE),
        refusals=(BAD_SORT_ORDER,),
    ),
    Route(
        operation=Operation.GET_DEVICE,
        method="GET",
        path="/device/{guid}",
        summary="Get a device; devices themselves are not shown their network's key",
        perform=find_device,
        form=OneDevice,
        shape=_seen,
        answer={"anyOf": [reference(DEVICE), reference(DEVICE_FOR_DEVICE)]},
        refusals=(DEVICE_NOT_FOUND,),
    ),
    Route(
        operation=Action.DEVICE_SAVE,
        method="PUT",
        path="/device/{guid}",
        summary="Register a device, or change one",
        perform=register_device,
        form=RegisterDevice,
        ask=RegisterDevice.to_request,
        status=204,
        refusals=(
            DEVICE_NAME_REQUIRED,
            DEVICE_KEY_REQUIRED,
            DEVICE_CLASS_REQUIRED,
            VALIDATION,
            LIMIT_REACHED,
            BAD_CREDENTIALS,
            DEVICE_NOT_YOURS,
            NETWORK_KEY,
            NO_NETWORK_ACCESS,
            NO_NETWORK_CREATION,
            DUPLICATE_EQUIPMENT,
            CONFLICT,
        ),
        bare=frozenset({VALIDATION}),
    ),
    Route(
        operation=Operation.DELETE_DEVICE,
        method="DELETE",
        path="/device/{guid}",
        summary="Delete a device; its connections end",
        perform=delete_device,
        form=OneDevice,
        status=204,
        refusals=(DEVICE_NOT_FOUND,),
    ),
    Route(
        operation=Operation.LIST_EQUIPMENT_STATES,
        method="GET",
        path="/device/{guid}/equipment",
        summary="List what the equipment of a device has last reported",
        perform=list_states,
        form=OneDevice,
        shape=each(EQUIPMENT_STATE),
        answer=listed(EQUIPMENT_STATE),
        refusals=(DEVICE_NOT_FOUND,),
    ),
    Route(
        operation=Operation.GET_EQUIPMENT_STATE,
        method="GET",
        path="/device/{guid}/equipment/{code}",
        summary="Get what one piece of a device's equipment has last reported",
        perform=get_state,
        form=OneState,
        shape=EQUIPMENT_STATE,
        answer=reference(EQUIPMENT_STATE),
        refusals=(DEVICE_NOT_FOUND,),
    ),
]
