"""Attenuation: what is made with an access key gets no right that the key lacks, and outlives it not.

A lesser permission is within a greater one when each of its lists names only what the greater's names, or when the
greater's has no condition there. So whatever a covered key is let do, its maker would have been let do itself.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from hub.core.access import Block, as_meant, covers_host, domain_host, to_block
from protocol.entities import AccessKey, KeyPermission
from protocol.names import KeyType

Within = Callable[[Any, tuple[Any, ...]], bool]


def covers(maker: AccessKey, made: AccessKey) -> bool:
    """Whether a key may make, or change, another one that is like this.

    A SESSION key never is: it stands for a login, so it is free to make any key, and its end moves.
    """
    return (
        made.type is not KeyType.SESSION
        and _ends_in_time(maker, made)
        and all(any(_is_within(lesser, own) for own in maker.permissions) for lesser in made.permissions)
    )


def _ends_in_time(maker: AccessKey, made: AccessKey) -> bool:
    return maker.expires_ms is None or (made.expires_ms is not None and made.expires_ms <= maker.expires_ms)


def _is_within(lesser: KeyPermission, greater: KeyPermission) -> bool:
    lesser, greater = as_meant(lesser), as_meant(greater)
    return (
        _names_only(lesser.actions, greater.actions, _same_word)
        and _names_only(lesser.subnets, greater.subnets, _in_subnets)
        and _names_only(lesser.domains, greater.domains, _in_domains)
        and _names_only(lesser.network_ids, greater.network_ids, _same)
        and _names_only(lesser.device_guids, greater.device_guids, _same)
    )


def _names_only(lesser: tuple[Any, ...] | None, greater: tuple[Any, ...] | None, within: Within) -> bool:
    if greater is None:
        return True
    return lesser is not None and all(within(one, greater) for one in lesser)


def _same(one: Any, among: tuple[Any, ...]) -> bool:
    return one in among


def _same_word(one: str, among: tuple[str, ...]) -> bool:
    return one.lower() in (word.lower() for word in among)


def _in_subnets(subnet: str, among: tuple[str, ...]) -> bool:
    block = to_block(subnet)
    if block is None:
        return subnet in among
    return any(_contains(to_block(own), block) for own in among)


def _contains(greater: Block | None, lesser: Block) -> bool:
    if isinstance(lesser, IPv4Network):
        return isinstance(greater, IPv4Network) and lesser.subnet_of(greater)
    return isinstance(greater, IPv6Network) and lesser.subnet_of(greater)


def _in_domains(domain: str, among: tuple[str, ...]) -> bool:
    host = domain_host(domain)
    return any(covers_host(own, host) for own in among) if host else domain in among
