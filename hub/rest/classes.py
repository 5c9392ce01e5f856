"""Device classes and their equipment."""

from hub.actions.classes import create_class, delete_class, get_class, list_classes, update_class
from hub.actions.equipment import create_piece, delete_piece, get_piece, update_piece
from hub.rest.route import Route
from protocol.class_forms import (
    CreateClass,
    CreatePiece,
    ListClasses,
    OneClass,
    OnePiece,
    UpdateClass,
    UpdatePiece,
)
from protocol.device_views import BARE_CLASS, CREATED, DEVICE_CLASS, EQUIPMENT
from protocol.errors import (
    BAD_SORT_ORDER,
    CLASS_EXISTS,
    CLASS_NOT_FOUND,
    CLASS_PERMANENT,
    CONFLICT,
    DUPLICATE_EQUIPMENT,
    EQUIPMENT_NOT_FOUND,
    ID_GIVEN,
    LIMIT_REACHED,
    VALIDATION,
)
from protocol.names import Operation
from protocol.views import each, listed, reference

_CLASSES = [
    Route(
        operation=Operation.LIST_CLASSES,
        method="GET",
        path="/device/class",
        summary="List device classes",
        perform=list_classes,
        form=ListClasses,
        shape=each(BARE_CLASS),
        answer=listed(BARE_CLASS),
        refusals=(BAD_SORT_ORDER,),
    ),
    Route(
        operation=Operation.CREATE_CLASS,
        method="POST",
        path="/device/class",
        summary="Create a device class with its equipment",
        perform=create_class,
        form=CreateClass,
        status=201,
        shape=CREATED,
        answer=reference(CREATED),
        refusals=(ID_GIVEN, CLASS_EXISTS, DUPLICATE_EQUIPMENT, VALIDATION, LIMIT_REACHED, CONFLICT),
        bare=frozenset({VALIDATION}),
    ),
    Route(
        operation=Operation.GET_CLASS,
        method="GET",
        path="/device/class/{id}",
        summary="Get a device class with its equipment",
        perform=get_class,
        form=OneClass,
        shape=DEVICE_CLASS,
        answer=reference(DEVICE_CLASS),
        refusals=(CLASS_NOT_FOUND,),
    ),
    Route(
        operation=Operation.UPDATE_CLASS,
        method="PUT",
        path="/device/class/{id}",
        summary="Change a device class; equipment that is given replaces the whole set",
        perform=update_class,
        form=UpdateClass,
        status=204,
        refusals=(CLASS_NOT_FOUND, DUPLICATE_EQUIPMENT, VALIDATION, LIMIT_REACHED, CONFLICT),
    ),
    Route(
        operation=Operation.DELETE_CLASS,
        method="DELETE",
        path="/device/class/{id}",
        summary="Delete a device class with its equipment and all its devices",
        perform=delete_class,
        form=OneClass,
        status=204,
    ),
]

_EQUIPMENT = [
    Route(
        operation=Operation.CREATE_EQUIPMENT,
        method="POST",
        path="/device/class/{deviceClassId}/equipment",
        summary="Add a piece of equipment to a class that is not permanent",
        perform=create_piece,
        form=CreatePiece,
        status=201,
        shape=CREATED,
        answer=reference(CREATED),
        refusals=(CLASS_NOT_FOUND, CLASS_PERMANENT, DUPLICATE_EQUIPMENT, VALIDATION, LIMIT_REACHED, CONFLICT),
        bare=frozenset({VALIDATION}),
    ),
    Route(
        operation=Operation.GET_EQUIPMENT,
        method="GET",
        path="/device/class/{deviceClassId}/equipment/{id}",
        summary="Get a piece of equipment",
        perform=get_piece,
        form=OnePiece,
        shape=EQUIPMENT,
        answer=reference(EQUIPMENT),
        refusals=(EQUIPMENT_NOT_FOUND,),
    ),
    Route(
        operation=Operation.UPDATE_EQUIPMENT,
        method="PUT",
        path="/device/class/{deviceClassId}/equipment/{id}",
        summary="Change a piece of equipment",
        perform=update_piece,
        form=UpdatePiece,
        status=204,
        refusals=(EQUIPMENT_NOT_FOUND, VALIDATION, CONFLICT),
    ),
    Route(
        operation=Operation.DELETE_EQUIPMENT,
        method="DELETE",
        path="/device/class/{deviceClassId}/equipment/{id}",
        summary="Delete a piece of equipment",
        perform=delete_piece,
        form=OnePiece,
        status=204,
    ),
]

ROUTES = [*_CLASSES, *_EQUIPMENT]
