"""Where the hub itself may connect to: the addresses of the internet, and those that an installation names.

What a name stands for is decided by whoever runs its DNS, so it is not names that are let pass, but addresses.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hub.core.access import Address, Block

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
"""By which a computer without IPv4 reaches the rest: the internet's whenever what is behind it is."""


def may_connect(address: Address, named: Sequence[Block]) -> bool:
    """Whether an address is one of the internet's or in one of these blocks, also where it holds another in itself."""
    return all(_is_public(one) or is_named(one, named) for one in _within(address))


def is_named(address: Address, named: Sequence[Block]) -> bool:
    """Whether an address is in one of these blocks."""
    return any(address in block for block in named)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        return address in _NAT64 or (address in _UNICAST and address.is_global)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _within(address: Address) -> Iterator[Address]:
    """What an address is another way to write for, or what a gateway would make of it; then the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
            return
        yield from _behind(address)
    yield address


def _behind(address: IPv6Address) -> Iterator[IPv4Address]:
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
