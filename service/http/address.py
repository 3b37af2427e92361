"""Whose address is it?  The peer's, or what trusted proxies say, read from right to left."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from service.kernel.refusal import Reason, Refused

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256


def client_address(
    peer: str | None, forwarded: list[bytes], trusted: tuple[Network, ...]
) -> str | None:
    """Return the nearest address no trusted proxy vouches further for; None when there is no peer.

    `forwarded` holds the X-Forwarded-For headers in order.  What is no address ends the walk at the
    proxy that sent it: a forged header never skips a limit and never fails.
    """
    current = _address(peer or "")
    if current is None:
        return None
    hops = [hop.strip() for header in forwarded for hop in header.decode("latin-1").split(",")]
    while hops and _is_trusted(current, trusted):
        claimed = _address(hops.pop())
        if claimed is None:
            break
        current = claimed
    return str(current)


def remembering(
    trusted: tuple[Network, ...],
) -> Callable[[str | None, tuple[bytes, ...]], str | None]:
    """Return `client_address` for these proxies; whoever asks often is worked out once."""

    def find(peer: str | None, forwarded: tuple[bytes, ...]) -> str | None:
        return client_address(peer, list(forwarded), trusted)

    remembered = lru_cache(_REMEMBERED)(find)

    def find_again(peer: str | None, forwarded: tuple[bytes, ...]) -> str | None:
        known = sum(map(len, forwarded)) <= _LONGEST_REMEMBERED
        return (remembered if known else find)(peer, forwarded)

    return find_again


def given_address(text: str | None) -> str | None:
    """Return the address a caller tells of, in its one spelling.  Refused(INVALID_REQUEST)."""
    if text is None:
        return None
    address = _address(text)
    if address is None:
        raise Refused(Reason.INVALID_REQUEST, "an IP address is expected", fields=("address",))
    return str(address)


def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Read the settings' networks."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _address(text: str) -> Address | None:
    if text.startswith("[") and "]" in text:
        text = text[1 : text.index("]")]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    return any(address.version == net.version and address in net for net in trusted)
