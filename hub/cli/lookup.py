"""From what people write to the thing that they mean, inside a transaction."""

from typing import TYPE_CHECKING

from hub.cli.output import fail

if TYPE_CHECKING:
    from hub.store import Tx
    from protocol.entities import AccessKey, Device, Network, User


def find_user(tx: "Tx", word: str) -> "User":
    """A user by login, or by id where nobody has such a login.

    Raises:
        Failure: there is none.
    """
    user = user_of_any_status(tx, word)
    if user is None and _is_id(word):
        user = tx.user(int(word))
    return user if user is not None else fail(f"there is no user {word}; `hub user list` shows all")


def user_of_any_status(tx: "Tx", login: str) -> "User | None":
    """Whoever has a login, also with the status DELETED, which the store passes over elsewhere."""
    from hub.store import Listing

    return next(iter(tx.list_users(Listing(equal={"login": login}))), None)


def find_network(tx: "Tx", word: str) -> "Network":
    """A network by name, or by id where none has such a name.

    Raises:
        Failure: there is none.
    """
    network = tx.network_by_name(word)
    if network is None and _is_id(word):
        network = tx.network(int(word))
    return network if network is not None else fail(f"there is no network {word}; `hub network list` shows all")


def find_device(tx: "Tx", guid: str) -> "Device":
    """A device by its guid, letter for letter.

    Raises:
        Failure: there is none.
    """
    device = tx.device(guid)
    return device if device is not None else fail(f"there is no device {guid}; `hub device list` shows all")


def find_key(tx: "Tx", key_id: int) -> "AccessKey":
    """An access key by its id.

    Raises:
        Failure: there is none.
    """
    key = tx.key(key_id)
    return key if key is not None else fail(f"there is no access key {key_id}; `hub key list` shows all")


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 18
