"""From the lines of an export to entities: what is there already is matched, and changed only where it differs.

Imported when needed.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, TypeVar

import orjson

from hub.actions.equipment import differ
from hub.actions.user_changes import end_sessions
from hub.cli.exporting import KEY_TYPES
from hub.cli.lines import BadLine, Members, read_header, read_line
from hub.cli.lookup import user_of_any_status
from hub.cli.output import Failure
from hub.cli.sessions import Session
from hub.cli.users import ROLES, STATUSES, keep_an_administrator
from hub.core.states import state_of
from protocol.entities import AccessKey, Device, DeviceClass, EquipmentState, KeyPermission, Network, User
from protocol.errors import HubError
from protocol.messages import IDS_BEGIN_US, Command, Message, Notification
from protocol.names import Kind
from protocol.requests import SaveEquipment
from protocol.times import parse_ms

if TYPE_CHECKING:
    from hub.store import Tx

T = TypeVar("T")

AT_ONCE = 500
"""Lines of one transaction, at most."""

LONGEST_S = 0.5
"""After so many seconds a transaction takes no more lines: a running hub writes between them, and the database has its
patience."""


class Outcome(StrEnum):
    """What became of a line."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


Counts = dict[str, dict[Outcome, int]]
"""How many lines of a kind had which outcome."""


class Import:
    """Carries out lines, in order, up to ``AT_ONCE`` in a transaction.

    Args:
        is_remote: the hub is elsewhere: hashes, states of equipment and messages cannot be brought there.
        new_keys: where the keys are written that have to be made anew; None: none are made.
        passed: hears the number of bytes of each line that was carried out.

    Attributes:
        counts: of what was carried out so far.
        done: number of the last line that was carried out for good.
        left_out: of devices, how many have states that cannot be set at this place.
    """

    def __init__(
        self,
        session: Session,
        *,
        is_remote: bool,
        new_keys: IO[str] | None = None,
        passed: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._session = session
        self._is_remote = is_remote
        self._new_keys = new_keys
        self._passed = passed
        self._takes_hashes = False
        self._networks: dict[str, Network] = {}
        self._classes: dict[tuple[str, str], DeviceClass] = {}
        self.counts: Counts = {}
        self.done = 0
        self.left_out = 0

    def run(self, lines: Iterable[bytes]) -> None:
        """Carry out a whole export.

        Raises:
            Failure: a line is bad, and says which. Lines up to ``done`` stay carried out, of others nothing is.
        """
        numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        number, first = next(numbered, (1, b""))
        self._at(number, lambda: self._begin(read_header(first)))
        batch = list(islice(numbered, AT_ONCE))
        while batch:
            done = self._carry_out(batch)
            batch = batch[done:] + list(islice(numbered, done))

    def _begin(self, header: Members) -> None:
        pepper = header.get("pepper")
        if pepper is None or self._is_remote:
            return
        self._takes_hashes = pepper == self._session.read(lambda tx: tx.pepper_mark())
        if not self._takes_hashes and self._new_keys is None:
            raise BadLine(
                "the hashes of keys in it are of a hub with another pepper, and good for nothing here: bring its "
                "pepper file as well, or give --new-keys FILE"
            )

    def _carry_out(self, batch: list[tuple[int, bytes]]) -> int:
        """Carry out as many lines as one transaction takes, one at least; returns how many."""
        self._networks.clear()
        self._classes.clear()
        outcomes = self._session.change(lambda tx: self._apply_all(tx, batch))
        for kind, outcome in outcomes:
            of_kind = self.counts.setdefault(kind, dict.fromkeys(Outcome, 0))
            of_kind[outcome] += 1
        self.done = batch[len(outcomes) - 1][0]
        self._passed(sum(len(line) for _, line in batch[: len(outcomes)]))
        return len(outcomes)

    def _apply_all(self, tx: "Tx", batch: list[tuple[int, bytes]]) -> list[tuple[str, Outcome]]:
        outcomes: list[tuple[str, Outcome]] = []
        end_s = time.monotonic() + LONGEST_S
        for number, line in batch:
            if outcomes and time.monotonic() > end_s:
                break
            outcomes.append(self._at(number, lambda line=line: self._apply(tx, *read_line(line))))  # type: ignore[misc]
            if self._is_remote:
                self.done = number
        return outcomes

    def _at(self, number: int, work: Callable[[], T]) -> T:
        try:
            return work()
        except (BadLine, HubError, Failure) as exc:
            raise Failure(f"line {number}: {exc}") from exc

    def _apply(self, tx: "Tx", kind: str, line: Members) -> tuple[str, Outcome]:
        return kind, _APPLY[kind](self, tx, line)

    # --- networks and classes ---

    def _network(self, tx: "Tx", line: Members) -> Outcome:
        found = tx.network_by_name(line["name"])
        values = _values(line, {"description": "description", "key": "key"})
        if found is None:
            self._networks[line["name"]] = tx.insert_network(name=line["name"], **values)
            return Outcome.CREATED
        return _update(lambda **changes: tx.update_network(found.id, **changes), found, values)

    def _class(self, tx: "Tx", line: Members) -> Outcome:
        found = tx.device_class(line["name"], line["version"])
        values = _values(line, _CLASS)
        if found is None:
            made = tx.insert_class(name=line["name"], version=line["version"], **values)
            self._equip(tx, made, line)
            return Outcome.CREATED
        outcome = _update(lambda **changes: tx.update_class(found.id, **changes), found, values)
        return Outcome.CHANGED if self._equip(tx, found, line) else outcome

    def _equip(self, tx: "Tx", of: DeviceClass, line: Members) -> bool:
        """Make the equipment as it is in the line; says whether it differed."""
        if "equipment" not in line:
            return False
        pieces = [SaveEquipment(one["name"], one["code"], one["type"], one.get("data")) for one in line["equipment"]]
        if len({piece.code for piece in pieces}) < len(pieces):
            raise BadLine("two pieces of equipment have the same code")
        wanted = [[piece.name, piece.code, piece.type, piece.data] for piece in pieces]
        if not differ(wanted, [[piece.name, piece.code, piece.type, piece.data] for piece in of.equipment]):
            return False
        tx.replace_equipment(of.id, pieces)
        return True

    # --- users and their keys ---

    def _user(self, tx: "Tx", line: Members) -> Outcome:
        networks = {self._network_id(tx, name) for name in line.get("networks", ())}
        values = _values(line, _IDENTITIES) | {
            name: words[line[name]] for name, words in (("role", ROLES), ("status", STATUSES)) if name in line
        }
        found = user_of_any_status(tx, line["login"])
        if found is None:
            user = tx.insert_user(login=line["login"], **({"role": ROLES["client"]} | values))
            outcome = Outcome.CREATED
        else:
            user = found
            keep_an_administrator(tx, user, role=values.get("role"), status=values.get("status"))
            outcome = _update(lambda **changes: tx.update_user(user.id, **changes), user, values)
        changed = "networks" in line and _join(tx, user, networks)
        changed |= "passwordHash" in line and self._put_password(tx, user, line)
        return Outcome.CHANGED if changed and outcome is Outcome.UNCHANGED else outcome

    def _put_password(self, tx: "Tx", user: User, line: Members) -> bool:
        # Not with the pepper: passwords have salts of their own.
        secrets = {"password_hash": line["passwordHash"], "password_salt": line.get("passwordSalt")}
        if self._is_remote or not _put(tx, "user", user.id, secrets):
            return False
        end_sessions(tx, user.id)
        return True

    def _key(self, tx: "Tx", line: Members) -> Outcome:
        owner = user_of_any_status(tx, line["owner"])
        if owner is None:
            raise BadLine(f"there is no user {line['owner']}")
        values = {
            "permissions": tuple(self._permission(tx, one) for one in line["permissions"]),
            "type": _KEY_TYPES[line.get("type", "key")],
            "expires_ms": None if line.get("expires") is None else parse_ms(line["expires"]),
        }
        found = tx.key_by_label(owner.id, line["label"])
        if found is None:
            self._insert_key(tx, owner, line, values)
            return Outcome.CREATED
        outcome = self._update_key(tx, found, values)
        changed = self._takes_hashes and "hash" in line and _put(tx, "key", found.id, line["hash"])
        return Outcome.CHANGED if changed else outcome

    def _update_key(self, tx: "Tx", found: AccessKey, values: Mapping[str, Any]) -> Outcome:
        if all(getattr(found, name) == value for name, value in values.items()):
            return Outcome.UNCHANGED
        tx.update_key(found.id, **values)
        return Outcome.CHANGED

    def _insert_key(self, tx: "Tx", owner: User, line: Members, values: Mapping[str, Any]) -> None:
        told = {"kind": "key", "owner": owner.login, "label": line["label"]}
        if self._takes_hashes and "hash" in line:
            made = tx.insert_key(user_id=owner.id, label=line["label"], **values)
            tx.put_secrets("key", made.key.id, line["hash"])
            return
        self._require_new_keys(f"the access key {line['label']} of {owner.login}")
        self._tell_key(told, tx.insert_key(user_id=owner.id, label=line["label"], **values).secret)

    def _permission(self, tx: "Tx", told: Members) -> KeyPermission:
        networks = told.get("networks")
        return KeyPermission(
            domains=_many(told.get("domains")),
            subnets=_many(told.get("subnets")),
            actions=_many(told.get("actions")),
            network_ids=None if networks is None else tuple(self._network_id(tx, name) for name in networks),
            device_guids=_many(told.get("deviceGuids")),
        )

    # --- devices ---

    def _device(self, tx: "Tx", line: Members) -> Outcome:
        values = _values(line, {"name": "name", "status": "status", "data": "data", "isBlocked": "is_blocked"})
        values["class_id"] = self._class_id(tx, line["class"])
        if "network" in line:
            values["network_id"] = None if line["network"] is None else self._network_id(tx, line["network"])
        found = tx.device(line["guid"])
        if found is None:
            device, outcome = self._insert_device(tx, line, values), Outcome.CREATED
        else:
            device, outcome = found, self._update_device(tx, found, values)
        changed = self._put_states(tx, device, line)
        changed |= self._takes_hashes and "keyHash" in line and _put(tx, "device", device.id, {"key": line["keyHash"]})
        return Outcome.CHANGED if changed and outcome is Outcome.UNCHANGED else outcome

    def _insert_device(self, tx: "Tx", line: Members, values: dict[str, Any]) -> Device:
        import secrets

        key = secrets.token_urlsafe(24)
        if not (self._takes_hashes and "keyHash" in line):
            self._require_new_keys(f"device {line['guid']}")
            self._tell_key({"kind": "device", "guid": line["guid"]}, key)
        return tx.insert_device(guid=line["guid"], key=key, **({"name": line["guid"]} | values))

    def _update_device(self, tx: "Tx", found: Device, values: Mapping[str, Any]) -> Outcome:
        present = {"class_id": found.device_class.id, "network_id": found.network_id}
        changes = {
            name: value
            for name, value in values.items()
            if _differ(value, present.get(name, getattr(found, name, None)))
        }
        if not changes:
            return Outcome.UNCHANGED
        tx.update_device(found.id, **changes)
        return Outcome.CHANGED

    def _put_states(self, tx: "Tx", device: Device, line: Members) -> bool:
        """Bring the states of its equipment there; says whether any differed."""
        told = line.get("states")
        if not told:
            return False
        wanted = {
            one["code"]: EquipmentState(one["code"], parse_ms(one["timestamp"]), one.get("parameters")) for one in told
        }
        known = {state.code: state for state in tx.equipment_states(device.id)}
        differing = [state for code, state in wanted.items() if _state_differs(state, known.get(code))]
        if self._is_remote:
            self.left_out += bool(differing)
            return False
        for state in differing:
            tx.put_equipment_state(device.id, state)
        return bool(differing)

    # --- messages ---

    def _message(self, tx: "Tx", kind: Kind, line: Members) -> Outcome:
        if self._is_remote:
            raise BadLine(
                "messages cannot be imported over the REST API: they would be new ones, and devices would obey old "
                "commands; import them on the hub's computer"
            )
        device = tx.device(line["device"])
        if device is None:
            raise BadLine(f"there is no device {line['device']}")
        if line["id"] > time.time_ns() // 1_000 - IDS_BEGIN_US:
            raise BadLine(f"message {line['id']} is of the future; is the clock of this computer right?")
        known = tx.message_device(kind, line["id"])
        if known is not None and known != device.id:
            raise BadLine(f"message {line['id']} is one of another device here")
        if known is not None:
            return Outcome.UNCHANGED
        tx.append(self._to_message(tx, kind, device, line), device)
        return Outcome.CREATED

    def _to_message(self, tx: "Tx", kind: Kind, device: Device, line: Members) -> Message:
        shared = (line["id"], device.id, device.guid, line["name"], parse_ms(line["timestamp"]))
        parameters = orjson.dumps(line.get("parameters"))
        if kind is Kind.NOTIFICATION:
            return Notification(*shared, parameters)
        user = tx.user_by_login(line["user"]) if line.get("user") is not None else None
        command = Command(
            *shared,
            user.id if user is not None else None,
            parameters,
            line.get("lifetime"),
            line.get("status"),
            orjson.dumps(line.get("result")),
            line.get("updated", False),
        )
        return replace(command, state=state_of(line.get("state"), command))

    # --- what lines name ---

    def _network_id(self, tx: "Tx", name: str) -> int:
        if name not in self._networks:
            found = tx.network_by_name(name)
            if found is None:
                raise BadLine(f"there is no network {name}")
            self._networks[name] = found
        return self._networks[name].id

    def _class_id(self, tx: "Tx", of: Members) -> int:
        named = of["name"], of["version"]
        if named not in self._classes:
            found = tx.device_class(*named)
            if found is None:
                raise BadLine(f"there is no device class {named[0]} {named[1]}")
            self._classes[named] = found
        return self._classes[named].id

    # --- keys that are made anew ---

    def _require_new_keys(self, what: str) -> None:
        if self._new_keys is None:
            raise BadLine(
                f"{what} is new here, and the file has no key that works: give --new-keys FILE to have one made and "
                "written there, or export with --secrets and import where the pepper is the same"
            )

    def _tell_key(self, told: Members, key: str) -> None:
        """Write a key down before it works: one that is lost could not be made known again."""
        assert self._new_keys is not None, "it was required"
        self._new_keys.write(json.dumps(told | {"key": key}, ensure_ascii=False) + "\n")
        self._new_keys.flush()


_APPLY: dict[str, Callable[[Import, Any, Members], Outcome]] = {
    "network": Import._network,
    "class": Import._class,
    "user": Import._user,
    "key": Import._key,
    "device": Import._device,
    "notification": lambda it, tx, line: it._message(tx, Kind.NOTIFICATION, line),
    "command": lambda it, tx, line: it._message(tx, Kind.COMMAND, line),
}

_CLASS = {"isPermanent": "is_permanent", "offlineTimeout": "offline_timeout_s", "data": "data"}
_IDENTITIES = {
    "googleLogin": "google_login",
    "facebookLogin": "facebook_login",
    "githubLogin": "github_login",
    "data": "data",
}
_KEY_TYPES = {word: of_type for of_type, word in KEY_TYPES.items()}


def _values(line: Members, names: Mapping[str, str]) -> dict[str, Any]:
    """What a line says, by the names of the store; what it does not say stays as it is."""
    return {name: line[told] for told, name in names.items() if told in line}


def _update(update: Callable[..., None], found: object, values: Mapping[str, Any]) -> Outcome:
    changes = {name: value for name, value in values.items() if _differ(value, getattr(found, name))}
    if not changes:
        return Outcome.UNCHANGED
    update(**changes)
    return Outcome.CHANGED


def _differ(value: Any, present: Any) -> bool:
    """As JSON where it may be anything, for which true and 1 are not the same."""
    return (
        differ(value, present) if isinstance(value, dict | list) else (value, type(value)) != (present, type(present))
    )


def _state_differs(state: EquipmentState, known: EquipmentState | None) -> bool:
    return known is None or known.timestamp_ms != state.timestamp_ms or _differ(state.parameters, known.parameters)


def _join(tx: "Tx", user: User, networks: set[int]) -> bool:
    """Make a user a member of these networks and no others; says whether that was different."""
    for network_id in networks - user.networks:
        tx.add_member(user.id, network_id)
    for network_id in user.networks - networks:
        tx.remove_member(user.id, network_id)
    return networks != user.networks


def _put(tx: "Tx", entity: Any, row_id: int, secrets: dict[str, str | None]) -> bool:
    if tx.kept_secrets(entity, row_id) == secrets:
        return False
    tx.put_secrets(entity, row_id, secrets)
    return True


def _many(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def summary(counts: Counts) -> Iterator[tuple[str, int, int, int]]:
    """Kind, and how many were created, changed and left as they were."""
    for kind, of_kind in counts.items():
        yield kind, of_kind[Outcome.CREATED], of_kind[Outcome.CHANGED], of_kind[Outcome.UNCHANGED]
