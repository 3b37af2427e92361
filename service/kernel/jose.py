"""Signatures on tokens (RFC 7515) and public keys (RFC 7517), for the three algorithms we issue.

joserfc makes keys, thumbprints and JWKs.  Signing and verifying use `cryptography` directly, since
every request pays for them; a test compares the results with joserfc's.

The header of a token must be, letter by letter, the header that this service writes.  It is
compared as text and never parsed, so `alg`, `typ`, `crit` and `jku` leave no choice to an attacker.
"""

import base64
import binascii
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast, get_args

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

T = TypeVar("T")

Algorithm: TypeAlias = Literal["ES256", "RS256", "EdDSA"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
_Private: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type (RFC 9068 section 2.1)
_KEY_TYPES: Final[dict[Algorithm, type[ECKey | RSAKey | OKPKey]]] = {
    "ES256": ECKey,
    "RS256": RSAKey,
    "EdDSA": OKPKey,
}
FOREIGN_ALGORITHMS = ["ES256", "RS256", "PS256", "Ed25519"]
_FOREIGN = JWSRegistry(algorithms=FOREIGN_ALGORITHMS, strict_check_header=False)
_FOREIGN.max_header_length = 8192
_SHA256 = SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()
_SCALAR = 32
_RSA_BITS: Final = 2048
"""The least that RS256 may have (RFC 7518 section 3.3).  Every verifier takes it, and a key signs
for 90 days by default; a signature of 3072 bits takes two to three times as long."""
_RSA_2048 = 341  # letters of base64url
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e"})


def encode(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Undo `encode`.  ValueError for any text that `encode` does not produce.

    The library alone also accepts `+` for `-`, padding, and stray bits in the last letter, so that
    one signature would have many texts.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from None
    if encode(raw) != text:
        raise ValueError("not canonical base64url")
    return raw


def generate(algorithm: Algorithm) -> bytes:
    """Make a private key, as PKCS#8 PEM.  EdDSA is Ed25519 here."""
    match algorithm:
        case "ES256":
            return ECKey.generate_key("P-256").as_pem(private=True)
        case "RS256":
            return RSAKey.generate_key(_RSA_BITS).as_pem(private=True)
        case "EdDSA":
            return OKPKey.generate_key("Ed25519").as_pem(private=True)


def verify_foreign(token: str, jwks: str) -> bytes:
    """Return the payload of a compact JWS that is signed by one of a client's own keys.

    ValueError for another key, an algorithm that is not asymmetric, or a `crit` header.
    """
    try:
        keys = KeySet.import_key_set(msgspec.json.decode(jwks))
        found = jws.deserialize_compact(token, keys, registry=_FOREIGN)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ValueError(type(exc).__name__) from None
    if "crit" in found.headers():
        raise ValueError("critical header")
    return found.payload


def is_public_set(jwks: str) -> bool:
    """Whether a text is a JWK set of public keys that `verify_foreign` can use, all of them.

    Keys for other purposes are refused, such as X25519, `use` encryption or a foreign `alg`: a
    client could never authenticate with them.
    """
    try:
        members = msgspec.json.decode(jwks, type=dict[str, list[dict[str, str]]])["keys"]
        if not members or any(_is_weak(one) for one in members):
            return False
        keys = KeySet.import_key_set({"keys": members}).keys  # type: ignore[typeddict-item]
        return all(
            isinstance(key, (ECKey, RSAKey, OKPKey))
            and not key.is_private
            and bool(key.public_key)
            and bool(JWSRegistry.filter_algorithms(key, FOREIGN_ALGORITHMS))
            for key in keys
        )
    except (JoseError, UnsupportedAlgorithm, msgspec.MsgspecError, ValueError, KeyError):
        return False


def _is_weak(jwk: dict[str, str]) -> bool:
    kty = jwk["kty"]
    return kty not in ("EC", "OKP", "RSA") or (kty == "RSA" and len(jwk["n"]) < _RSA_2048)


def verify_with(token: str, public_jwk: str, typ: str) -> bytes:
    """Return the payload of a compact JWS of type `typ` that is signed by the key of a JWK.

    ValueError otherwise.  The key decides the algorithm, not the header.
    """
    try:
        head, payload, signature = token.split(".")
        members: dict[str, Any] = msgspec.json.decode(public_jwk)
        algorithm = cast("Algorithm", members["alg"])
        key = _KEY_TYPES[algorithm].import_key(members)
        genuine = _verifies(
            cast("_Public", key.public_key), f"{head}.{payload}".encode(), decode(signature)
        )
        if not genuine or head != _header(algorithm, key.thumbprint(), typ):
            raise ValueError("another key, or another type")  # noqa: TRY301
        return decode(payload)
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise ValueError(type(exc).__name__) from None


def read_kid(token: str) -> str:
    """Return the `kid` of a compact JWS without verifying it.  ValueError when there is none."""
    try:
        return str(read_json(decode(token.partition(".")[0]), dict[str, Any])["kid"])
    except KeyError as exc:
        raise ValueError(type(exc).__name__) from None


def read_json(text: bytes, kind: type[T]) -> T:
    """Decode JSON from outside into `kind`.  ValueError when it does not fit, or nests too deep."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise ValueError(type(exc).__name__) from None


def _header(algorithm: Algorithm, kid: str, typ: str) -> str:
    return encode(msgspec.json.encode({"alg": algorithm, "kid": kid, "typ": typ}))


def _verifies(public: _Public, signed: bytes, signature: bytes) -> bool:
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * _SCALAR:
                return False
            r = int.from_bytes(signature[:_SCALAR])
            s = int.from_bytes(signature[_SCALAR:])
            public.verify(encode_dss_signature(r, s), signed, _ECDSA)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, signed, _PKCS1, _SHA256)
        else:
            public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


class Key:
    """A signing key.  Its id (`kid`) is its thumbprint (RFC 7638)."""

    def __init__(self, algorithm: Algorithm, pem: bytes) -> None:
        parsed = _KEY_TYPES[algorithm].import_key(pem)
        self.algorithm = algorithm
        self.kid: str = parsed.thumbprint()
        self._private = cast("_Private", parsed.private_key)
        self._public = cast("_Public", parsed.public_key)
        members = parsed.as_dict(private=False)
        self.jwk: dict[str, str] = {
            **{name: str(members[name]) for name in sorted(members.keys() & _PUBLIC_MEMBERS)},
            "kid": self.kid,
            "use": "sig",
            "alg": algorithm,
        }
        self.header = _header(algorithm, self.kid, ACCESS_TOKEN)

    def sign(self, payload: bytes) -> str:
        """Make an access token: a compact JWS over `payload`, of type `at+jwt`."""
        return self._signed(self.header, payload)

    def sign_as(self, typ: str, payload: bytes) -> str:
        """Make a compact JWS of another type (RFC 8725 section 3.11): never an access token."""
        return self._signed(_header(self.algorithm, self.kid, typ), payload)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is a signature of this key over `signed`."""
        return _verifies(self._public, signed, signature)

    def _signed(self, header: str, payload: bytes) -> str:
        signed = f"{header}.{encode(payload)}"
        return f"{signed}.{encode(self._signature(signed.encode()))}"

    def _signature(self, signed: bytes) -> bytes:
        private = self._private
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(signed, _ECDSA))
            return r.to_bytes(_SCALAR) + s.to_bytes(_SCALAR)
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(signed, _PKCS1, _SHA256)
        return private.sign(signed)
