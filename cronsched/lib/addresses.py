"""Addresses of clients: which belong together, and which belong to a network."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


def one_client(text: str) -> str:
    """Return what to count a client by. Callers own whole IPv6 networks, so all addresses of a /64 are one."""
    try:
        address = plain(ip_address(text))
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> 64 << 64))


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an IPv4 address that is written as an IPv6 one (`::ffff:…`) as what it is."""
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Return whether one of `networks` holds `address`."""
    address = plain(address)
    return any(address in network for network in networks)
