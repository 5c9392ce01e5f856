"""Why somebody may do something, or may not: the chain that decides, link by link.

Nothing here decides. Whether it is allowed is what enforcement asks (:func:`stopping`, :meth:`Access.sees`,
:meth:`Access.reaches_network`); what is told of it is found by the functions that access is compiled with
(:func:`failing`, :func:`reach`, :func:`narrow`), one permission at a time. ``tests/core/test_explain.py`` holds the two
against each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hub.core.access import (
    RULES,
    Clause,
    Condition,
    Peer,
    Principal,
    Rule,
    as_meant,
    failing,
    narrow,
    networks_of,
    reach,
    stopping,
)
from protocol.entities import AccessKey, Device, KeyPermission, User
from protocol.names import Action, KeyAction, Operation, Role

Link = dict[str, Any]
"""One link of the chain, as it goes out."""

_USERS = frozenset({Role.ADMIN, Role.CLIENT, Role.KEY})


@dataclass(frozen=True, slots=True)
class Target:
    """What something would be done to: a device, or a network, or if neither is named, no one thing.

    Attributes:
        exists: whether there is such a device, as far as whoever asks may know.
        is_absent: there is none, and whoever asks would see it if there were.
        network_id, groups: where the device is.
        network: the network that is named.
    """

    guid: str | None = None
    network_id: int | None = None
    groups: tuple[int, ...] = ()
    exists: bool = True
    network: int | None = None
    is_absent: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether it is allowed, and because of what."""

    allowed: bool
    because: tuple[Link, ...]

    def members(self) -> dict[str, Any]:
        return {"allowed": self.allowed, "because": list(self.because)}


def rule_named(name: str) -> Rule | None:
    """The rule that a name stands for: that of a key action (everybody who has any use for it passes), of an action or
    of an operation. None: there is no such name."""
    by_name = {action.lower(): action for action in KeyAction}
    if (key_action := by_name.get(name.lower())) is not None:
        return _rule_of(key_action)
    named: dict[str, Action | Operation] = {action.value: action for action in RULES}
    return RULES[named[name]] if name in named else None


def _rule_of(key_action: KeyAction) -> Rule:
    every = [rule.roles for rule in RULES.values() if rule.key_action is key_action]
    if None in every:
        return Rule(None, key_action)
    return Rule(frozenset().union(*[roles for roles in every if roles is not None]) or _USERS, key_action)


def target_of(principal: Principal, guid: str | None, device: Device | None, *, network: int | None = None) -> Target:
    """What is asked about, as far as this principal may know: a device that it sees for no action is like one that is
    not there."""
    access = principal.access
    if device is not None and any(access.sees(action, device) for action in KeyAction):
        return Target(device.guid, device.network_id, device.groups)
    if guid is None:
        return Target(network=network)
    nowhere = Target(guid, exists=False)
    sees_all = any(_admits(clause, nowhere) for action in KeyAction for clause in access.scopes(action))
    return replace(nowhere, is_absent=sees_all)


def unusable(user: User | None, key: AccessKey | None, now_ms: int) -> list[Link]:
    """Why nobody gets in as this user, or with this key: nothing that is allowed to them counts then."""
    links: list[Link] = []
    if key is not None and key.expired(now_ms):
        links.append({"key": key.id, "condition": "expired"})
    if user is not None and not user.is_active:
        links.append({"user": user.id, "condition": "status", "has": user.status.name.lower().replace("_", "-")})
    return links


def explain(rule: Rule, principal: Principal, target: Target, peer: Peer) -> Explanation:
    """Tell what decides about an action of this rule."""
    obstacle = stopping(rule, principal)
    reaches = obstacle is None and _reaches(rule, principal, target)
    if obstacle is None and rule.key_action is not None and (target.is_absent or (reaches and not target.exists)):
        return Explanation(False, ({"deviceGuid": target.guid, "condition": "exists"},))
    if reaches:
        return Explanation(True, tuple(_granting(rule, principal, target, peer)))
    if obstacle is Condition.ROLE:
        roles = sorted(role.value for role in rule.roles or ())
        return Explanation(False, ({"role": principal.role.value, "condition": obstacle.value, "has": roles},))
    return Explanation(False, tuple(_refusing(rule, principal, target, peer)))


def _reaches(rule: Rule, principal: Principal, target: Target) -> bool:
    """As enforcement asks, of a device that may not be there."""
    action, access = rule.key_action, principal.access
    if action is None:
        return True
    if target.guid is not None:
        return any(_admits(clause, target) for clause in access.scopes(action))
    return target.network is None or access.reaches_network(action, target.network)


def _admits(clause: Clause, target: Target) -> bool:
    assert target.guid is not None, "only asked of devices"
    return clause.admits(target.guid, target.network_id, target.groups)


# --- why not ----------------------------------------------------------------------------------------------------------


def _refusing(rule: Rule, principal: Principal, target: Target, peer: Peer) -> Iterator[Link]:
    key, owner = principal.key, principal.user
    if key is not None and owner is not None and rule.key_action is not None:
        if not key.permissions:
            yield {"key": key.id, "condition": "permissions", "has": []}
        for number, permission in enumerate(map(as_meant, key.permissions)):
            condition = first_failing(permission, rule.key_action, owner, peer, target)
            assert condition is not None, "otherwise it were allowed"
            yield {"key": key.id, "permission": number, **_told(condition, permission, owner, peer)}
    elif owner is not None:
        yield {"user": owner.id, "condition": Condition.VISIBLE.value}
    elif principal.device is not None:
        yield {"device": principal.device.guid, "condition": Condition.VISIBLE.value}
    else:
        yield {"role": principal.role.value, "condition": Condition.VISIBLE.value}


def first_failing(
    permission: KeyPermission, action: KeyAction, owner: User, peer: Peer, target: Target
) -> Condition | None:
    """The first condition of a permission, as it is meant, that keeps this action from this target; None: none does."""
    condition = failing(permission, action, owner, peer)
    if condition is not None or _leaves(permission, owner, target):
        return condition
    network = target.network if target.guid is None else target.network_id
    if permission.network_ids is not None and network not in permission.network_ids:
        return Condition.NETWORKS
    if permission.device_guids is not None and target.guid is not None and target.guid not in permission.device_guids:
        return Condition.DEVICES
    return Condition.VISIBLE


def _leaves(permission: KeyPermission, owner: User, target: Target) -> bool:
    """Whether a permission that lets the action through leaves its owner this target."""
    if target.guid is not None:
        return any(_admits(clause, target) for clause in narrow(reach(owner), [permission]))
    networks = networks_of(owner, [permission])
    return target.network is None or networks is None or target.network in networks


def _told(condition: Condition, permission: KeyPermission, owner: User, peer: Peer) -> Link:
    link: Link = {"condition": condition.value}
    if condition is Condition.OWNER:
        return {**link, "has": owner.role.name.lower()}
    if condition is Condition.VISIBLE:
        return {**link, "user": owner.id}
    lists = {
        Condition.ACTIONS: permission.actions,
        Condition.SUBNETS: permission.subnets,
        Condition.DOMAINS: permission.domains,
        Condition.NETWORKS: permission.network_ids,
        Condition.DEVICES: permission.device_guids,
    }
    link["has"] = list(lists[condition] or ())
    if condition is Condition.SUBNETS:
        link["address"] = None if peer.address is None else str(peer.address)
    if condition is Condition.DOMAINS:
        link["origin"] = peer.origin
    return link


# --- why --------------------------------------------------------------------------------------------------------------


def _granting(rule: Rule, principal: Principal, target: Target, peer: Peer) -> Iterator[Link]:
    yield {"role": principal.role.value}
    key, owner = principal.key, principal.user
    if rule.key_action is None:
        return
    if key is not None and owner is not None:
        failing_first = [first_failing(as_meant(one), rule.key_action, owner, peer, target) for one in key.permissions]
        yield {"key": key.id, "permission": failing_first.index(None)}
    if owner is not None:
        yield from _way(owner, target)
    elif principal.device is not None and target.guid is not None:
        yield {"device": principal.device.guid}


def _way(user: User, target: Target) -> Iterator[Link]:
    """By what a user reaches a target."""
    if target.guid is None and target.network is None:
        return
    if user.is_admin:
        yield {"user": user.id, "role": Role.ADMIN.value}
        return
    network = target.network if target.guid is None else target.network_id
    if network in user.networks:
        yield {"user": user.id, "network": network}
    elif target.guid in user.linked_devices:
        yield {"user": user.id, "device": target.guid}
    else:
        yield {"user": user.id, "group": min(user.linked_groups.intersection(target.groups), default=None)}
