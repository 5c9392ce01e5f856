"""Where a request really came from, when a proxy stands in between."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from hub.core.access import Address, parse_address

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """The far end of a request: the client's address and the scheme that it used."""

    address: Address | None
    secure: bool


class Proxies:
    """The proxies whose forwarding headers count.

    Args:
        trusted: addresses and CIDR blocks.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(entry, strict=False) for entry in trusted]

    def source(self, peer: str | None, headers: list[tuple[str, str]], *, secure: bool) -> Source:
        """The client behind trusted proxies: the right-most address that is not one of them.

        Args:
            peer: the address that the TCP connection comes from.
            headers: names in lower case, in their order.
            secure: whether that connection is TLS.
        """
        address = parse_address(peer) if peer else None
        if not self._networks or not self._trusts(address):
            return Source(address, secure)
        scheme = next((value for name, value in reversed(headers) if name == "x-forwarded-proto"), "")
        if scheme:
            secure = scheme.split(",")[-1].strip().lower() in ("https", "wss")
        hops = [hop for name, value in headers if name == "x-forwarded-for" for hop in value.split(",")]
        for hop in reversed(hops):
            address = parse_address(_without_port(hop.strip()))
            if not self._trusts(address):
                break
        return Source(address, secure)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
