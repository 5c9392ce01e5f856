"""What a run of ``hub bench`` needs in a hub whose database is here: made beside the running hub, and removed again."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hub.cli.local import load_settings, with_store
from protocol.names import KeyAction

if TYPE_CHECKING:
    from hub.bench.plan import Names
    from hub.client import Profile
    from hub.settings import Settings
    from hub.store import Store, Tx

CLASS_NAME = "bench"
CLASS_VERSION = "1.0"
"""One device class serves every run, and stays: classes are never deleted."""
AT_ONCE = 500
"""Devices in a transaction: while it lasts the hub cannot store messages."""
MESSAGES_AT_ONCE = 1_000
ACTIONS = (
    KeyAction.GET_NETWORK,
    KeyAction.GET_DEVICE,
    KeyAction.GET_DEVICE_NOTIFICATION,
    KeyAction.GET_DEVICE_COMMAND,
    KeyAction.CREATE_DEVICE_COMMAND,
    KeyAction.UPDATE_DEVICE_COMMAND,
    KeyAction.CREATE_DEVICE_NOTIFICATION,
)


class LocalEntities:
    """Makes a user with a network, an access key and devices in the database of the settings; takes them away again."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings

    def make(self, names: "Names", device_key: str) -> str:
        """Make everything; returns the access key, which reaches the devices of this run and nothing else.

        Raises:
            Failure: the database is not there.
            HubError: it cannot be written to.
        """
        secret = ""
        network_id = class_id = 0

        def owner(tx: "Tx") -> None:
            nonlocal secret, network_id, class_id
            secret, network_id, class_id = _make_owner(tx, names)

        def devices(guids: Sequence[str]) -> Callable[["Tx"], None]:
            return lambda tx: _make_devices(tx, guids, device_key, class_id=class_id, network_id=network_id)

        self._change([owner, *(devices(part) for part in _parts(names.guids()))])
        return secret

    def remove(self, names: "Names") -> None:
        """Take everything away that is there, messages first: little by little, so that the hub can go on storing."""

        async def use(store: "Store") -> None:
            for part in _parts(names.guids()):
                while await store.transact(partial(_remove_messages, part)) == MESSAGES_AT_ONCE:
                    pass
                await store.transact(_removing(part))
            await store.transact(lambda tx: _remove_owner(tx, names))

        with_store(self._settings, use)

    def _change(self, works: "Sequence[Callable[[Tx], None]]") -> None:
        async def use(store: "Store") -> None:
            for work in works:
                await store.transact(work)

        with_store(self._settings, use)


def local_entities(target: "Profile") -> LocalEntities | None:
    """Who makes entities for this hub; None: it is not the hub of this directory's settings."""
    from hub.client import BadProfile, Profile
    from hub.client.profile import FILE_NAME

    settings = load_settings()
    try:
        own = Profile.read(settings.data_directory / FILE_NAME)
    except BadProfile:
        return None
    path = settings.database_path
    ours = (own.url, own.access_key) == (target.url, target.access_key)
    return LocalEntities(settings) if ours and path is not None and path.exists() else None


def _make_owner(tx: "Tx", names: "Names") -> tuple[str, int, int]:
    from protocol.entities import KeyPermission
    from protocol.names import UserRole

    network = tx.insert_network(name=names.network)
    user = tx.insert_user(login=names.login, role=UserRole.CLIENT)
    tx.add_member(user.id, network.id)
    permission = KeyPermission(actions=ACTIONS, network_ids=(network.id,))
    key = tx.insert_key(user_id=user.id, label=names.label, permissions=[permission])
    known = tx.device_class(CLASS_NAME, CLASS_VERSION)
    of_class = known if known is not None else tx.insert_class(name=CLASS_NAME, version=CLASS_VERSION)
    return key.secret, network.id, of_class.id


def _make_devices(tx: "Tx", guids: Sequence[str], key: str, *, class_id: int, network_id: int) -> None:
    for guid in guids:
        tx.insert_device(guid=guid, key=key, name=guid, class_id=class_id, network_id=network_id)


def _remove_messages(guids: Sequence[str], tx: "Tx") -> int:
    found = [device.id for device in map(tx.device, guids) if device is not None]
    return tx.delete_messages(found, limit=MESSAGES_AT_ONCE)


def _removing(guids: Sequence[str]) -> "Callable[[Tx], None]":
    def remove(tx: "Tx") -> None:
        for guid in guids:
            tx.delete_device(guid)

    return remove


def _remove_owner(tx: "Tx", names: "Names") -> None:
    user, network = tx.user_by_login(names.login), tx.network_by_name(names.network)
    if user is not None:
        tx.delete_user(user.id)
    if network is not None:
        tx.delete_network(network.id)


def _parts(guids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (guids[start : start + AT_ONCE] for start in range(0, len(guids), AT_ONCE))
