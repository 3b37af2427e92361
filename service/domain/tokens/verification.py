"""Makes and verifies access tokens.

A bounded number of verified tokens is cached, by the SHA-256 of their text, so a worker verifies
the signature of a token once.  Expiry is checked at every use; the caller also checks revocation at
every use.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import UNSET

from service.domain.tokens.model import Claims
from service.kernel import jose
from service.kernel.refusal import Reason, Refused

LEEWAY = 10
"""How many seconds clocks may differ."""

_LONGEST = 4096
_REMEMBERED = 20_000


class Tokens:
    """Makes and verifies tokens of one issuer and audience."""

    def __init__(
        self, issuer: str, audience: str, find_key: Callable[[str], jose.Key | None]
    ) -> None:
        self._issuer = issuer
        self.audience = audience
        self._find_key = find_key
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Claims).decode

    def mint(self, key: jose.Key, claims: Claims) -> str:
        """Sign claims.  It takes tens of microseconds: call it outside of decisions."""
        return key.sign(self._encode(claims))

    def verify(self, token: str, at: datetime, *, any_audience: bool = False) -> Claims:
        """Return the claims of a genuine, unexpired token.  Refused(UNAUTHENTICATED) otherwise.

        It is for this service, or (`any_audience`) for any whose tokens this issuer signs: then the
        caller says what that means.  Does not check whether the token is revoked.
        """
        if len(token) > _LONGEST or not token.isascii():
            raise _no("too long, or not ASCII")
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._check(token)
            self._remember(digest, claims)
        if not any_audience and claims.aud != self.audience:
            raise _no("issued for another")
        now = at.timestamp()
        if now >= claims.exp + LEEWAY:
            raise _no("expired")
        if now < claims.iat - LEEWAY:
            raise _no("issued in the future")
        return claims

    def forget(self) -> None:
        """Forget every verified token: a key was killed or removed."""
        self._verified.clear()

    def _check(self, token: str) -> Claims:
        parts = token.split(".")
        if len(parts) != 3:  # noqa: PLR2004 - compact JWS
            raise _no("not a compact JWS")
        header, payload, signature = parts
        key = self._find_key(header)
        if key is None:
            raise _no("not a header we write")
        try:
            genuine = key.verifies(f"{header}.{payload}".encode(), jose.decode(signature))
            claims = self._decode(jose.decode(payload)) if genuine else None
        except (ValueError, msgspec.MsgspecError):
            claims = None
        if claims is None:
            raise _no("signature or claims")
        if claims.iss != self._issuer:
            raise _no("issued by another")
        if claims.cnf is not UNSET:
            raise _bound()
        return msgspec.structs.replace(claims, kid=key.kid)

    def _remember(self, digest: bytes, claims: Claims) -> None:
        self._verified[digest] = claims
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)


def _bound() -> Refused:
    """Refuse a token that is bound to a key: no proof of possession is checked here.

    RFC 9449 section 7.1, RFC 8705 section 3.  Only the issuer's own signature gets here, so it may
    be said why.
    """
    return Refused(
        Reason.UNAUTHENTICATED,
        "this access token is bound to a key (cnf), and no proof of possession is accepted here",
        private="access token: bound to a key",
    )


def _no(private: str) -> Refused:
    return Refused(Reason.UNAUTHENTICATED, private=f"access token: {private}")
