"""Which addresses a URL from outside may reach: public ones, and those that the settings allow."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TypeAlias

from core.errors import StepError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
# What Python counts as global differs between its releases, so these are named: IANA's special-purpose registries,
# 6to4 (RFC 3056) and Teredo (RFC 4380), which lead to an IPv4 address inside, and the site-local range of old.
SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "198.18.0.0/15", "2001::/23", "2002::/16", "64:ff9b:1::/48", "fec0::/10"),
    )
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are the IPv4 address that is reached


def blocked(address: Address) -> bool:
    """Return whether an address is not public: loopback, private, link-local, multicast, reserved."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return blocked(address.ipv4_mapped)
        if address in NAT64:
            return blocked(ipaddress.IPv4Address(address.packed[-4:]))
    special = any(address in network for network in SPECIAL)
    return special or not address.is_global or address.is_multicast or address.is_reserved


def allowed(host: str, port: int, allow_hosts: Iterable[str]) -> bool:
    """Return whether `host` or `host:port` stands in the settings' allow_hosts, whatever the case."""
    name = f"[{host}]" if ":" in host else host
    return any(entry.lower() in (host, name, f"{name}:{port}") for entry in allow_hosts)


def checked(host: str, port: int, allow_hosts: Iterable[str]) -> list[str]:
    """Return the addresses of a host, resolved once; raises StepError if one of them is blocked and not allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StepError(f"{host} cannot be found: {getattr(error, 'strerror', None) or error}", "connect") from error
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allowed(host, port, allow_hosts) and any(blocked(ipaddress.ip_address(text)) for text in texts):
        raise StepError(
            f"{host}:{port} comes from event data and is no public address; "
            "[engine] allow_hosts in jobdeck.toml names those that such URLs may reach",
            "blocked",
        )
    return texts
