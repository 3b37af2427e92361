"""The client's address: the peer's, or the one that trusted proxies report."""

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias

from service.kernel.clock import Clock
from service.kernel.log import log
from service.kernel.refusal import wrong

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_WITH_PORT = re.compile(r"(?P<host>[0-9.]+|\[[^\]]*\])(?::[0-9]{1,5})?")
_SILENT_SECONDS = 300.0
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256


def client_address(
    peer: str | None, forwarded: list[bytes], trusted: tuple[Network, ...]
) -> str | None:
    """Return the first address that is not a trusted proxy's; None when there is no peer.

    The headers X-Forwarded-For (`forwarded`, in order) are read from right to left.  An element may
    have a port and quotes; empty ones are skipped (RFC 9110 section 5.6.1).  An element that is not
    an address ends the search at the proxy that sent it.  So a forged header never evades a limit
    and never causes an error.
    """
    current = _address(peer or "")
    if current is None:
        return None
    hops = [hop.strip() for header in forwarded for hop in header.decode("latin-1").split(",")]
    hops = [hop for hop in hops if hop]
    while hops and _is_trusted(current, trusted):
        claimed = _address(_without_port(hops.pop()))
        if claimed is None:
            break
        current = claimed
    return str(current)


class ClientAddresses:
    """Finds `client_address` behind these proxies, with a cache.

    Warns, once in some minutes, about a proxy that does not report its client: all clients behind
    it then share one rate limit.
    """

    def __init__(self, trusted: tuple[Network, ...], clock: Clock) -> None:
        self._trusted = trusted
        self._clock = clock
        self._silent_until = 0.0
        self._remembered = lru_cache(_REMEMBERED)(self._work_out)

    def find(
        self, peer: str | None, forwarded: tuple[bytes, ...], *, by_person: bool = False
    ) -> str | None:
        """Return the address; None when there is no peer.

        `by_person`: a person makes the request, so a trusted peer must be a proxy.  Other requests
        may come from a trusted peer itself.
        """
        known = sum(map(len, forwarded)) <= _LONGEST_REMEMBERED
        address, at_proxy = (self._remembered if known else self._work_out)(peer, forwarded)
        if not at_proxy or self._clock.monotonic() < self._silent_until:
            return address
        if by_person or any(header.strip(b" \t,") for header in forwarded):
            self._silent_until = self._clock.monotonic() + _SILENT_SECONDS
            log().warning(
                "a trusted proxy does not say whose request it is",
                **{"client.address": address},
                error="X-Forwarded-For holds no address where AUTH_TRUSTED_PROXIES ends: everybody"
                " behind this proxy shares one budget",
            )
        return address

    def _work_out(self, peer: str | None, forwarded: tuple[bytes, ...]) -> tuple[str | None, bool]:
        address = client_address(peer, list(forwarded), self._trusted)
        proxy = _address(peer or "")
        at_proxy = proxy is not None and address == str(proxy) and _is_trusted(proxy, self._trusted)
        return address, at_proxy


def given_address(text: str | None) -> str | None:
    """Return an address from a request in its canonical spelling.  Refused(INVALID_REQUEST)."""
    if text is None:
        return None
    address = _address(text)
    if address is None:
        raise wrong("address", "must be an IP address such as 192.0.2.1 or 2001:db8::1")
    return str(address)


def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Parse the networks of the settings."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _without_port(hop: str) -> str:
    """Remove quotes and a port: `192.0.2.1:4711`, `"[2001:db8::1]:4711"`."""
    match = _WITH_PORT.fullmatch(hop.strip('"'))
    return match["host"] if match else hop


def _address(text: str) -> Address | None:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
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
