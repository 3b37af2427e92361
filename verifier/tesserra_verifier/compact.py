"""Parses a token: a compact JWS (RFC 7515 section 7.1), in exactly one form.

Only the form that this issuer writes is accepted; everything else is refused before any key is
used.  So `crit`, `jku` or `x5u`, and a member that is there twice, are never obeyed (RFC 8725).
"""

import base64
import binascii
import json
import re
from typing import Any, NamedTuple

from tesserra_verifier.errors import InvalidTokenError

LONGEST = 8192
_LONGEST_HEADER = 512
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_HEADER_MEMBERS = {"alg", "kid", "typ"}


class Compact(NamedTuple):
    """The parts of a token.  Do not use the payload before the signature is verified."""

    algorithm: str
    kid: str
    signed: bytes
    signature: bytes
    encoded: str

    def payload(self) -> dict[str, Any]:
        """Decode the payload.  InvalidTokenError."""
        return _decode_object(self.encoded)


def read(token: str) -> Compact:
    """Parse a token.  InvalidTokenError when it does not have the required form."""
    parts = _TOKEN.fullmatch(token)
    if parts is None or len(parts[1]) > _LONGEST_HEADER:
        raise InvalidTokenError("malformed")
    header = _decode_object(parts[1])
    if header.keys() != _HEADER_MEMBERS or header["typ"] != "at+jwt":
        raise InvalidTokenError("malformed", "header")
    algorithm, kid = header["alg"], header["kid"]
    if not isinstance(algorithm, str) or not isinstance(kid, str):
        raise InvalidTokenError("malformed", "header")
    signed = f"{parts[1]}.{parts[2]}".encode()
    return Compact(algorithm, kid, signed, _decode(parts[3]), parts[2])


def _decode(text: str) -> bytes:
    """Decode base64url.  Unused bits of the last letter must be zero, as encoders write them."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise InvalidTokenError("malformed", "base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        raise InvalidTokenError("malformed", "base64url")
    return raw


def _decode_object(text: str) -> dict[str, Any]:
    try:
        told = json.loads(_decode(text), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidTokenError("malformed", "JSON") from None
    if not isinstance(told, dict):
        raise InvalidTokenError("malformed", "JSON")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(name)
