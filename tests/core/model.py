"""Who sees what, once more and as plainly as the words say it: what the compiled access is held against."""

from hypothesis import strategies as st

from protocol.entities import AccessKey, KeyPermission, User
from protocol.names import ADMIN_ACTIONS, KeyAction
from tests.builders import administrator, user

GUIDS = ("lamp", "fan", "door")
NETWORKS = (1, 2, 3)
GROUPS = (10, 20)

Place = tuple[str, int | None, tuple[int, ...]]
"""Guid, network and groups of a device."""


def owner_sees(owner: User, place: Place) -> bool:
    """An administrator sees all; a client what its networks and links reach."""
    guid, network_id, groups = place
    return (
        owner.is_admin
        or network_id in owner.networks
        or guid in owner.linked_devices
        or bool(owner.linked_groups & set(groups))
    )


def permission_admits(permission: KeyPermission, owner: User, action: KeyAction, place: Place) -> bool:
    """Null is no condition; every condition that is there has to hold. Peers are not considered here."""
    guid, network_id, _ = place
    return (
        (permission.actions is None or action.lower() in {name.lower() for name in permission.actions})
        and (action not in ADMIN_ACTIONS or owner.is_admin)
        and (permission.network_ids is None or network_id in permission.network_ids)
        and (permission.device_guids is None or guid in permission.device_guids)
    )


def key_sees(key: AccessKey | None, owner: User, action: KeyAction, place: Place) -> bool:
    """What the owner sees and at least one permission of the key admits; without a key, what the owner sees."""
    if key is None:
        return owner_sees(owner, place)
    return owner_sees(owner, place) and any(
        permission_admits(permission, owner, action, place) for permission in key.permissions
    )


# --- what there is ----------------------------------------------------------------------------------------------------


def some(values):
    """Any selection, also none of them."""
    return st.lists(st.sampled_from(values), unique=True, max_size=len(values)).map(tuple)


def spelled(name: str) -> st.SearchStrategy[str]:
    """An action's name in one of the spellings that permissions may use."""
    return st.sampled_from([name, name.lower(), name.upper()])


actions = st.sampled_from(list(KeyAction))
places = st.tuples(st.sampled_from(GUIDS), st.none() | st.sampled_from(NETWORKS), some(GROUPS))
users = st.builds(
    lambda networks, guids, groups: user(*networks, linked_devices=frozenset(guids), linked_groups=frozenset(groups)),
    some(NETWORKS),
    some(GUIDS),
    some(GROUPS),
)
owners = users | st.just(administrator())
NAMED = (KeyAction.GET_DEVICE_NOTIFICATION, KeyAction.GET_DEVICE_COMMAND, KeyAction.MANAGE_NETWORK)
permissions = st.builds(
    KeyPermission,
    actions=st.none() | some(NAMED) | st.lists(st.sampled_from(NAMED).flatmap(spelled), max_size=2).map(tuple),
    network_ids=st.none() | some(NETWORKS),
    device_guids=st.none() | some(GUIDS),
)
keys = st.lists(permissions, max_size=3).map(lambda entries: AccessKey(7, 2, "a key", permissions=tuple(entries)))
