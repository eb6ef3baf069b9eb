"""Which addresses a request of a user may reach.

The lists follow IANA's special-purpose address registries (RFC 6890 and its successors). Python's own `is_global` is
not enough: it has changed between patch releases and knows nothing of the forms that wrap an IPv4 address.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Category(StrEnum):
    """Why an address is refused. For logs and tests: the answer to a user never names it."""

    METADATA = "cloud metadata"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    CARRIER = "carrier-grade NAT"
    UNSPECIFIED = "unspecified"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    BENCHMARKING = "benchmarking"
    DISCARD = "discard"
    TUNNEL = "tunnel or translation"
    RESERVED = "reserved"


# What `allow_private` opens: the networks a development machine or an intranet lives in.
INSIDE = frozenset({Category.PRIVATE, Category.LOOPBACK, Category.LINK_LOCAL, Category.CARRIER})

# The credentials of the machine itself. Only naming the single address opens one of these, a wide network does not.
METADATA: frozenset[str] = frozenset(
    {
        "169.254.169.254",  # AWS, Azure, Google Cloud, DigitalOcean, Oracle, OpenStack, Hetzner
        "169.254.169.253",  # AWS name server
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod credentials
        "169.254.0.23",  # Tencent Cloud
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure, an address out of the public range
        "192.0.0.192",  # Oracle Cloud (older)
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS pod credentials
        "fd20:ce::254",  # Google Cloud
        "fe80::a9fe:a9fe",  # OpenStack
    }
)


def _networks(table: Iterable[tuple[str, Category]]) -> tuple[tuple[Network, Category], ...]:
    return tuple((ip_network(network), category) for network, category in table)


IPV4 = _networks(
    [
        ("0.0.0.0/32", Category.UNSPECIFIED),
        ("0.0.0.0/8", Category.RESERVED),  # "this network"; Linux connects 0.0.0.0 to itself
        ("10.0.0.0/8", Category.PRIVATE),
        ("100.64.0.0/10", Category.CARRIER),
        ("127.0.0.0/8", Category.LOOPBACK),
        ("169.254.0.0/16", Category.LINK_LOCAL),
        ("172.16.0.0/12", Category.PRIVATE),
        ("192.0.0.0/24", Category.RESERVED),
        ("192.0.2.0/24", Category.DOCUMENTATION),
        ("192.88.99.0/24", Category.TUNNEL),  # 6to4 relays
        ("192.168.0.0/16", Category.PRIVATE),
        ("198.18.0.0/15", Category.BENCHMARKING),
        ("198.51.100.0/24", Category.DOCUMENTATION),
        ("203.0.113.0/24", Category.DOCUMENTATION),
        ("224.0.0.0/4", Category.MULTICAST),
        ("255.255.255.255/32", Category.BROADCAST),
        ("240.0.0.0/4", Category.RESERVED),
    ]
)

# The first match counts, so an exception stands before the block it lies in.
IPV6 = _networks(
    [
        ("::/128", Category.UNSPECIFIED),
        ("::1/128", Category.LOOPBACK),
        ("::/96", Category.TUNNEL),  # IPv4-compatible
        ("::ffff:0:0:0/96", Category.TUNNEL),  # IPv4-translated (RFC 2765)
        ("64:ff9b:1::/48", Category.TUNNEL),  # local NAT64: where the IPv4 address sits is unknown
        ("100::/64", Category.DISCARD),
        ("100:0:0:1::/64", Category.RESERVED),
        ("2001::/32", Category.TUNNEL),  # Teredo
        ("2001:2::/48", Category.BENCHMARKING),
        ("2001::/23", Category.RESERVED),  # IETF protocol assignments, ORCHID among them
        ("2001:db8::/32", Category.DOCUMENTATION),
        ("2002::/16", Category.TUNNEL),  # 6to4
        ("3fff::/20", Category.DOCUMENTATION),
        ("3ffe::/16", Category.RESERVED),  # 6bone, returned
        ("fc00::/7", Category.PRIVATE),
        ("fe80::/10", Category.LINK_LOCAL),
        ("fec0::/10", Category.PRIVATE),  # site-local
        ("ff00::/8", Category.MULTICAST),
    ]
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# Interface identifiers of ISATAP; a host with such an interface unwraps them itself.
ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


@dataclass(frozen=True, slots=True)
class AddressRules:
    """The operator's exceptions from "public addresses only"."""

    allow_private: bool = False
    allowed: tuple[Network, ...] = ()

    def refusal(self, address: Address) -> Category | None:
        """Return why `address` may not be connected to, None where it may."""
        if isinstance(address, IPv6Address):
            if (wrapped := _ipv4_behind(address)) is not None:
                return self.refusal(wrapped)
            address = IPv6Address(int(address))  # drops a zone, which would defeat every comparison below
        if str(address) in METADATA:
            return None if self._names_only(address) else Category.METADATA
        category = _category(address)
        if category is None or category is Category.TUNNEL:
            return category
        if self.allow_private and category in INSIDE:
            return None
        return None if any(address in network for network in self.allowed) else category

    def _names_only(self, address: Address) -> bool:
        return any(network.num_addresses == 1 and address in network for network in self.allowed)


def _ipv4_behind(address: IPv6Address) -> IPv4Address | None:
    """Return where packets really go: IPv4-mapped and well-known NAT64 addresses are only spellings of IPv4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else None


def _category(address: Address) -> Category | None:
    table = IPV4 if isinstance(address, IPv4Address) else IPV6
    for network, category in table:
        if address in network:
            return category
    if isinstance(address, IPv4Address):
        return None
    if address not in GLOBAL_UNICAST:
        return Category.RESERVED
    if (int(address) >> 32) & 0xFFFF_FFFF in ISATAP:
        return Category.TUNNEL
    return None
